//! How long a datagram may be, on each network device that clients may come by.
//!
//! Promises: a device without an address and without a route counts for nothing (a bus of a car's, a bridge's port); a
//! tunnel beside a network of the usual size is no fault, since it cannot carry more. Refuses to call the machine broken
//! while one device carries a session.

use std::collections::BTreeSet;

use crate::{Verdict, View};

/// An Ethernet's.
const MTU_USUAL: u32 = 1_500;

/// QUIC's least datagram of 1200 bytes with the headers of IPv6 and UDP.
const MTU_MIN: u32 = 1_248;

/// `IFF_UP`, `IFF_LOOPBACK` and `IFF_POINTOPOINT` (linux/if.h).
const IFF_UP: u32 = 0x1;
const IFF_LOOPBACK: u32 = 0x8;
const IFF_POINTOPOINT: u32 = 0x10;

/// Scopes of IPv6's addresses (net/ipv6.h): the machine itself, and one link.
const SCOPE_HOST: &str = "10";
const SCOPE_LINK: &str = "20";

/// A network device that is up and leads to others.
#[derive(Debug, PartialEq, Eq)]
struct Device {
    name: String,
    mtu: u32,
    /// A tunnel has one other end.
    is_tunnel: bool,
}

/// How long a datagram may be.
pub(crate) fn mtu(view: &View) -> Verdict {
    let devices = devices(view);
    if devices.is_empty() {
        return Verdict::degraded(
            "no network device is up but loopback",
            "only clients on this machine reach the host: sudo ip link set dev DEVICE up",
        );
    }
    let devices = reached(view, devices);
    let Some(least) = devices.iter().min_by_key(|device| device.mtu) else {
        return Verdict::degraded(
            "no network device that is up has an address",
            "only clients on this machine reach the host: sudo ip address add ADDRESS/24 dev DEVICE, or have DHCP give one",
        );
    };
    let told: Vec<_> = devices.iter().map(|device| format!("{} {}", device.name, device.mtu)).collect();
    judge(told.join(", "), least, &devices)
}

fn judge(told: String, least: &Device, devices: &[Device]) -> Verdict {
    let name = &least.name;
    if least.mtu < MTU_MIN {
        let found = format!("no session can be had over {name}, which carries less than {MTU_MIN}");
        let remedy = format!("{found}: sudo ip link set dev {name} mtu 1500");
        return if devices.iter().all(|device| device.mtu < MTU_MIN) {
            Verdict::broken(told, remedy)
        } else {
            Verdict::degraded(told, remedy)
        };
    }
    let has_usual = devices.iter().any(|device| device.mtu >= MTU_USUAL);
    // What a person can mend, or has nothing better beside it.
    let small = devices.iter().filter(|device| device.mtu < MTU_USUAL && !(device.is_tunnel && has_usual));
    let Some(Device { name, mtu, .. }) = small.min_by_key(|device| device.mtu) else {
        return Verdict::ok(told);
    };
    let more = (MTU_USUAL - 92) * 100 / (mtu - 92) - 100;
    Verdict::degraded(
        told,
        format!(
            "over {name} each picture takes {more} % more datagrams: sudo ip link set dev {name} mtu 1500, where the link carries that (a VPN does not)"
        ),
    )
}

fn devices(view: &View) -> Vec<Device> {
    let folder = "/sys/class/net";
    let device = |name: String| {
        let flags = view.read(&format!("{folder}/{name}/flags")).ok()?;
        let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16).ok()?;
        let is_down = view.read(&format!("{folder}/{name}/operstate")).is_ok_and(|state| state == "down");
        if flags & IFF_UP == 0 || flags & IFF_LOOPBACK != 0 || is_down {
            return None;
        }
        let mtu = view.read(&format!("{folder}/{name}/mtu")).ok()?.parse().ok()?;
        Some(Device { name, mtu, is_tunnel: flags & IFF_POINTOPOINT != 0 })
    };
    view.names(folder).into_iter().filter_map(device).collect()
}

/// Those of `devices` that clients may come by: with a route or an address that goes beyond the link; where none has one,
/// those with an address of the link's own.
fn reached(view: &View, devices: Vec<Device>) -> Vec<Device> {
    // An address of IPv4's brings a route to its network, in a file whose first column names the device.
    let routes = view.read("/proc/net/route").unwrap_or_default();
    let routes = routes.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    let addresses = view.read("/proc/net/if_inet6").unwrap_or_default();
    // Address, device's number, prefix, scope, flags, device.
    let addresses = addresses.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let of_ipv6: Vec<(String, String)> = addresses
        .filter_map(|words| Some(((*words.get(3)?).to_owned(), (*words.get(5)?).to_owned())))
        .filter(|(scope, _)| scope != SCOPE_HOST)
        .collect();
    let (linked, beyond): (Vec<_>, Vec<_>) = of_ipv6.iter().partition(|(scope, _)| scope == SCOPE_LINK);
    let beyond: BTreeSet<&str> = beyond.iter().map(|(_, name)| name.as_str()).chain(routes).collect();
    let linked: BTreeSet<&str> = linked.iter().map(|(_, name)| name.as_str()).collect();
    let has_beyond = devices.iter().any(|device| beyond.contains(device.name.as_str()));
    let counts = if has_beyond { beyond } else { linked };
    devices.into_iter().filter(|device| counts.contains(device.name.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use punktfunk_manage::model::CheckState;

    use super::*;
    use crate::view::tests::machine;

    const ROUTES: &str = "Iface\tDestination\tGateway\n";

    /// Devices by name, MTU, flags and state; those of `routed` have a route, `addressed` is `/proc/net/if_inet6`.
    fn seen(devices: &[(&str, &str, &str, &str)], routed: &[&str], addressed: &str) -> Verdict {
        let mut files = vec![("/proc/net/if_inet6".to_owned(), addressed.to_owned())];
        let routes = routed.iter().map(|name| format!("{name}\t0000000A\t00000000\n"));
        files.push(("/proc/net/route".to_owned(), format!("{ROUTES}{}", routes.collect::<String>())));
        for (name, mtu, flags, state) in [&[("lo", "65536", "0x9", "unknown")][..], devices].concat() {
            for (file, text) in [("mtu", mtu), ("flags", flags), ("operstate", state)] {
                files.push((format!("/sys/class/net/{name}/{file}"), format!("{text}\n")));
            }
        }
        let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let (_dir, view) = machine(&files);
        mtu(&view)
    }

    #[test]
    fn the_least_mtu_of_what_is_up_decides() {
        let state = |mtu, flags, state| seen(&[("eth0", mtu, flags, state)], &["eth0"], "").state;
        assert_eq!(state("1500", "0x1003", "up"), CheckState::Ok);
        assert_eq!(state("9000", "0x1003", "up"), CheckState::Ok);
        assert_eq!(state("1420", "0x1003", "unknown"), CheckState::Degraded);
        assert_eq!(state("1420", "0x1013", "unknown"), CheckState::Degraded, "a tunnel alone");
        assert_eq!(state("1200", "0x1003", "up"), CheckState::Broken);
        assert_eq!(state("1200", "0x1002", "down"), CheckState::Degraded, "nothing is up");
        let verdict = seen(&[("eth0", "1280", "0x1003", "up")], &["eth0"], "");
        let words = "over eth0 each picture takes 18 % more datagrams";
        assert!(verdict.remedy.contains(words), "{verdict:?}");
    }

    #[test]
    fn a_tunnel_beside_a_network_and_a_device_without_an_address_are_no_fault() {
        let eth0 = ("eth0", "1500", "0x1003", "up");
        // Tailscale's routes are in a table of their own; its address of IPv6 is seen.
        let addressed = "fd7a115ca1e000000000000000000001 05 80 00 80 tailscale0\n\
                         fe800000000000000000000000000001 06 40 20 80     can0\n";
        let tailscale = ("tailscale0", "1280", "0x10d1", "unknown");
        let can = ("can0", "16", "0xc1", "up");
        let verdict = seen(&[can, eth0, tailscale], &["eth0"], addressed);
        assert_eq!(verdict, Verdict::ok("eth0 1500, tailscale0 1280"));
        let alone = seen(&[can, tailscale], &[], addressed);
        assert_eq!((alone.state, alone.found.as_str()), (CheckState::Degraded, "tailscale0 1280"));
        assert!(alone.remedy.contains("over tailscale0"), "{alone:?}");
        let small = seen(&[("eth0", "1400", "0x1003", "up"), tailscale], &["eth0"], addressed);
        assert_eq!(small.state, CheckState::Degraded, "{small:?}");
    }

    #[test]
    fn it_is_broken_only_where_no_device_carries_a_session() {
        let (eth0, old) = (("eth0", "1500", "0x1003", "up"), ("arc0", "508", "0x1003", "up"));
        let one = seen(&[eth0, old], &["eth0", "arc0"], "");
        assert_eq!(one.state, CheckState::Degraded, "{one:?}");
        assert!(one.remedy.contains("no session can be had over arc0"), "{one:?}");
        assert_eq!(seen(&[old], &["arc0"], "").state, CheckState::Broken);
    }

    #[test]
    fn an_address_of_the_links_own_is_enough_where_there_is_no_other() {
        let eth0 = [("eth0", "1500", "0x1003", "up")];
        let linked = "fe800000000000000000000000000001 02 40 20 80     eth0\n";
        assert_eq!(seen(&eth0, &[], linked), Verdict::ok("eth0 1500"));
        let none = seen(&eth0, &[], "00000000000000000000000000000001 01 80 10 80 lo\nnonsense\n");
        assert_eq!(none.state, CheckState::Degraded);
        assert!(none.found.contains("has an address"), "{none:?}");
    }
}
