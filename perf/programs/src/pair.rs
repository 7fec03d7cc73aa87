//! One measurement: a sender and a receiver, each a process of its own, for one window.
//!
//! They are processes, not threads, because that is what they are in the product: each has its page tables, its part of
//! the caches and the scheduler's attention, its own resident memory; and the kernel's books then tell the sender's
//! CPU-seconds from the receiver's without a guess.
//!
//! Promises: nothing of this program runs while the window lasts; the machine's state is taken just before it. Refuses:
//! to count the warm-up.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::case::{Case, Waiting};
use crate::error::PerfProgramError;
use crate::figures::Figures;
use crate::machine;
use crate::meter::Window;
use crate::talk::{ClientSetup, End, EndConfig, HostSetup, Order, RelaySetup};

/// How long both ends run before a window: an IDR, every ring and buffer touched, the clocks up.
const WARM_UP: Duration = Duration::from_millis(700);

/// Which of the two is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plane {
    /// The data plane.
    Ours,
    /// The bare twin.
    Twin,
}

/// Both ends, running.
pub struct Pair {
    /// The sending end.
    pub host: End,
    /// The receiving end.
    pub client: End,
    /// The hop between them, where there is one.
    pub relay: Option<End>,
}

impl Pair {
    /// Starts both; pictures come after [`Pair::go`].
    ///
    /// # Errors
    /// An end cannot start.
    pub fn start(
        plane: Plane,
        case: &Case,
        perf: Option<PathBuf>,
        epoch_datagrams: Option<u32>,
    ) -> Result<Pair, PerfProgramError> {
        let (seed, origin_ns) = (1, machine::monotonic_ns());
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let setup = ClientSetup {
            case: case.clone(),
            listen: loopback,
            origin_ns: Some(origin_ns),
            seed,
            perf: perf.clone(),
        };
        let config = match plane {
            Plane::Ours => EndConfig::Client(setup),
            Plane::Twin => EndConfig::TwinReceive(setup),
        };
        let client = End::start("receiving", &config, case.waiting, &[])?;
        let loss_per_mille = case.loss.per_mille();
        let relay = match plane {
            Plane::Ours if loss_per_mille > 0 => {
                let relay = RelaySetup { destination: client.address, loss_per_mille, seed };
                Some(End::start("relaying", &EndConfig::Relay(relay), Waiting::Block, &[])?)
            }
            Plane::Ours | Plane::Twin => None,
        };
        let destination = relay.as_ref().map_or(client.address, |relay| relay.address);
        let (case, bind) = (case.clone(), loopback);
        let waiting = case.waiting;
        let setup =
            HostSetup { case, destination, bind, origin_ns, seed, alone: false, epoch_datagrams, perf };
        let config = match plane {
            Plane::Ours => EndConfig::Host(setup),
            Plane::Twin => EndConfig::TwinSend(setup),
        };
        let host = End::start("sending", &config, waiting, &[])?;
        Ok(Pair { host, client, relay })
    }

    /// Lets pictures come, and warms up.
    ///
    /// # Errors
    /// An end has died.
    pub fn go(&mut self) -> Result<(), PerfProgramError> {
        self.host.order(&Order::Go)?;
        self.host.idle(WARM_UP)?;
        self.mark()
    }

    /// Begins a window at both ends.
    ///
    /// # Errors
    /// An end has died.
    pub fn mark(&mut self) -> Result<(), PerfProgramError> {
        self.client.order(&Order::Mark)?;
        self.host.order(&Order::Mark)
    }

    /// Ends the window: the sender's and the receiver's.
    ///
    /// # Errors
    /// An end has died.
    pub fn report(&mut self) -> Result<(Window, Window), PerfProgramError> {
        let client = self.client.window(&Order::Report)?;
        Ok((self.host.window(&Order::Report)?, client))
    }

    /// Ends both, the sender first.
    ///
    /// # Errors
    /// An end has died.
    pub fn stop(mut self) -> Result<(Window, Window), PerfProgramError> {
        let host = self.host.window(&Order::Stop)?;
        let mut client = self.client.window(&Order::Stop)?;
        if let Some(relay) = &mut self.relay {
            let relay = relay.window(&Order::Stop)?;
            for name in ["lost", "passed"] {
                client.gauges.insert(format!("relay_{name}"), relay.count(name));
            }
        }
        Ok((host, client))
    }
}

/// Measures one window.
///
/// # Errors
/// An end cannot start, or has died.
pub fn measure(
    plane: Plane,
    case: &Case,
    window: Duration,
    perf: Option<PathBuf>,
) -> Result<Figures, PerfProgramError> {
    let (load, ping_pong_ns) = (machine::load(), machine::ping_pong_ns());
    let mut pair = Pair::start(plane, case, perf, None)?;
    pair.go()?;
    pair.host.idle(window)?;
    let (host, client) = pair.report()?;
    let setup = pair.host.setup.iter().map(|words| format!("sender: {words}"));
    let setup = setup.chain(pair.client.setup.iter().map(|words| format!("receiver: {words}"))).collect();
    let (host_end, client_end) = pair.stop()?;
    let mut figures = Figures::new(case, host, client);
    figures.setup = setup;
    figures.load = load;
    figures.ping_pong_ns = ping_pong_ns;
    figures.left_out = host_end.gauges.get("slices_out").copied().unwrap_or(0)
        + host_end.gauges.get("arena_leased_bytes").copied().unwrap_or(0)
        + client_end.gauges.get("spans_out").copied().unwrap_or(0);
    Ok(figures)
}
