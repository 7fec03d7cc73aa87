//! How clients find the host without being told: multicast DNS on UDP port 5353.
//!
//! Promises: the port is shared, as every responder shares it, and given back at once; no group is joined on a real
//! device, since the kernel would tell the network so. Inside a running host what became of its announcement decides.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketType, bind, socket, sockopt};

use crate::announced::Word;
use crate::holder::{Table, holder};
use crate::{Verdict, View};

/// Multicast DNS's (RFC 6762).
const PORT: u16 = 5_353;

/// `IFF_UP`, `IFF_LOOPBACK` and `IFF_MULTICAST` (linux/if.h).
const IFF_UP: u32 = 0x1;
const IFF_LOOPBACK: u32 = 0x8;
const IFF_MULTICAST: u32 = 0x1000;

/// What its lack costs.
const COST: &str = "clients have to be told this host's address: punktfunk connect ADDRESS";

/// What became of the announcement; else whether the port can be shared, and a device speaks multicast.
pub(crate) fn discovery(view: &View) -> Verdict {
    match view.announced.last() {
        Word::As(name) => Verdict::ok(format!("announced on the local network as {name}")),
        Word::NotWished(why) => Verdict::degraded(format!("not announced: {why}"), COST),
        Word::Unheard(why) => {
            let ways = look(view);
            let mend = if ways.remedy.is_empty() { COST.to_owned() } else { ways.remedy };
            Verdict::broken(format!("this host could not be announced: {why}; {}", ways.found), mend)
        }
        Word::Nothing => look(view),
    }
}

fn look(view: &View) -> Verdict {
    if let Err(error) = share_port() {
        let all = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
        let holder =
            holder(view, Table::Udp, all).map(|holder| format!(", held by {holder}")).unwrap_or_default();
        return Verdict::broken(
            format!("UDP port {PORT} cannot be shared: {error}{holder}"),
            format!("{COST}; or end who holds it: sudo ss -lunp sport = :{PORT}"),
        );
    }
    let speaks = |name: &String| {
        let flags = view.read(&format!("/sys/class/net/{name}/flags")).unwrap_or_default();
        let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16).unwrap_or(0);
        flags & IFF_UP != 0 && flags & IFF_LOOPBACK == 0 && flags & IFF_MULTICAST != 0
    };
    let devices: Vec<_> = view.names("/sys/class/net").into_iter().filter(speaks).collect();
    if devices.is_empty() {
        return Verdict::degraded(
            "no network device that is up speaks multicast",
            format!("{COST}; or: sudo ip link set dev DEVICE up multicast on"),
        );
    }
    Verdict::ok(format!("UDP port {PORT} can be shared; multicast on {}", devices.join(", ")))
}

fn share_port() -> io::Result<OwnedFd> {
    let fd = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    sockopt::set_socket_reuseaddr(&fd, true)?;
    // Kernels without it share by the other alone.
    let _ = sockopt::set_socket_reuseport(&fd, true);
    bind(&fd, &SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)))?;
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use punktfunk_manage::model::CheckState;

    use super::*;
    use crate::view::tests::machine;

    #[test]
    fn inside_a_host_its_announcement_decides() {
        let files = [("/sys/class/net/eth0/flags", "0x1003\n")];
        let (_dir, view) = machine(&files);
        let host = view.announced.clone();
        host.heard_as("Living room");
        assert_eq!(discovery(&view), Verdict::ok("announced on the local network as Living room"));
        host.not_wished("--no-announce");
        let quiet = discovery(&view);
        assert_eq!(
            (quiet.state, quiet.found.as_str()),
            (CheckState::Degraded, "not announced: --no-announce")
        );
        assert!(quiet.remedy.contains("punktfunk connect ADDRESS"), "{quiet:?}");
        host.unheard("no device takes multicast");
        let failed = discovery(&view);
        assert_eq!(failed.state, CheckState::Broken);
        assert!(failed.found.contains("no device takes multicast"), "{failed:?}");
        assert!(failed.remedy.contains("punktfunk connect ADDRESS"), "{failed:?}");
    }
}
