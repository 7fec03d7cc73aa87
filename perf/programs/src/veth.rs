//! A link that drops: a pair of virtual Ethernet devices in a network namespace of its own, whose far end throws away
//! what it gets.
//!
//! Promises: everything it made is gone when it is dropped, and it touches no device that it did not make. Trains stay
//! trains up to the far end, as they do up to a card that cuts them. Refuses: to go on without the rights to make one;
//! it says which.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde::Serialize;

use crate::case::Case;
use crate::error::PerfProgramError;
use crate::machine;
use crate::meter::Window;
use crate::talk::{End, EndConfig, HostSetup, Order};

/// Whoever is at that address, it is not the far end: its kernel drops what is not addressed to it.
const NOBODY: &str = "02:00:00:00:00:99";

/// Addresses of a net for documentation (RFC 5737).
const NEAR: &str = "192.0.2.1/24";
const FAR: &str = "192.0.2.2";

/// The namespaces of both ends.
#[derive(Debug)]
pub struct DroppingVeth {
    near: String,
    far: String,
}

impl DroppingVeth {
    /// Makes one.
    ///
    /// # Errors
    /// `ip` is missing, or is not allowed to: it needs root.
    pub fn new() -> Result<DroppingVeth, PerfProgramError> {
        let id = std::process::id();
        let veth = DroppingVeth { near: format!("pf-perf-near-{id}"), far: format!("pf-perf-far-{id}") };
        let (near, far) = (veth.near.as_str(), veth.far.as_str());
        ip(&["netns", "add", near])?;
        ip(&["netns", "add", far])?;
        ip(&["-n", near, "link", "add", "pf0", "type", "veth", "peer", "name", "pf1", "netns", far])?;
        ip(&["-n", near, "address", "add", NEAR, "dev", "pf0"])?;
        ip(&["-n", near, "link", "set", "pf0", "up"])?;
        ip(&["-n", far, "link", "set", "pf1", "up"])?;
        ip(&["-n", near, "neighbour", "add", FAR, "lladdr", NOBODY, "dev", "pf0", "nud", "permanent"])?;
        Ok(veth)
    }

    /// Where to send.
    pub fn destination(&self) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 2], 9))
    }

    /// What to run a program with so that it is at the near end.
    pub fn within(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.near]
    }
}

impl Drop for DroppingVeth {
    fn drop(&mut self) {
        // With its namespace a device goes too. What was never made is not missed.
        let _ = ip(&["netns", "delete", &self.near]);
        let _ = ip(&["netns", "delete", &self.far]);
    }
}

fn ip(arguments: &[&str]) -> Result<(), PerfProgramError> {
    let command = || format!("ip {}", arguments.join(" "));
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .map_err(|error| PerfProgramError::Tool { command: command(), words: error.to_string() })?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(PerfProgramError::Tool {
        command: command(),
        words: format!("{words}; network namespaces need root"),
    })
}

/// What the whole sender costs where nothing stands behind the link.
#[derive(Debug, Clone, Serialize)]
pub struct Dropped {
    /// Payload that was sent, in Mbit/s.
    pub payload_mbps: f64,
    /// CPU-seconds a gigabit of payload, the whole process.
    pub cpu_s_per_gbit: f64,
    /// Nanoseconds a datagram, the same time.
    pub ns_per_datagram: f64,
    /// Access units shed before encode.
    pub shed: u64,
    /// What was done, stage by stage.
    pub window: Window,
}

/// Sends `case` into a link that drops.
///
/// # Errors
/// No such link can be made here, or the sender broke.
pub fn measure(case: &Case, window: Duration) -> Result<Dropped, PerfProgramError> {
    let veth = DroppingVeth::new()?;
    let setup = HostSetup {
        case: case.clone(),
        destination: veth.destination(),
        bind: SocketAddr::from(([192, 0, 2, 1], 0)),
        origin_ns: machine::monotonic_ns(),
        seed: 1,
        alone: true,
        epoch_datagrams: None,
        perf: None,
    };
    let mut host = End::start("sending", &EndConfig::Host(setup), case.waiting, &veth.within())?;
    host.order(&Order::Go)?;
    host.idle(Duration::from_millis(500))?;
    host.order(&Order::Mark)?;
    host.idle(window)?;
    let window = host.window(&Order::Report)?;
    let gbit = (window.count("au_bytes") as f64 * 8.0 / 1e9).max(f64::MIN_POSITIVE);
    Ok(Dropped {
        payload_mbps: gbit * 1e3 / (window.wall_ns as f64 / 1e9).max(f64::MIN_POSITIVE),
        cpu_s_per_gbit: window.cpu_ns as f64 / 1e9 / gbit,
        ns_per_datagram: window.cpu_ns as f64 / window.count("datagrams").max(1) as f64,
        shed: window.count("shed"),
        window,
    })
}

/// In words.
pub fn text(dropped: &Dropped) -> String {
    format!(
        "into a veth that drops: {:.0} Mbit/s of payload, {:.4} CPU-s/Gbit, {:.0} ns a datagram, {} shed\n",
        dropped.payload_mbps, dropped.cpu_s_per_gbit, dropped.ns_per_datagram, dropped.shed
    )
}
