//! Whether datagrams to the host's port are filtered away, as far as can be known here.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::Command;

use crate::limits::{LOOPBACK_MAX, PROGRAM_BYTES_MAX, RULES_MAX};
use crate::process::output;
use crate::rules::{Fate, fate};
use crate::{Verdict, View};

/// CAP_NET_ADMIN's bit (linux/capability.h): who may read the rules.
const CAP_NET_ADMIN: u32 = 12;

/// A datagram over loopback, and the rules.
pub(crate) fn firewall(view: &View) -> Verdict {
    let port = view.listen.port();
    // A running host's port is left alone: what comes there counts.
    if !view.is_host && port != 0 && arrives(view.listen) == Some(false) {
        return Verdict::broken(
            format!("a datagram to UDP port {port} did not arrive, over loopback"),
            format!(
                "a rule of this machine's throws it away (sudo nft list ruleset): {}",
                let_in(view, port)
            ),
        );
    }
    let keeper = Keeper::of(view);
    if keeper.is_none() && !has_rules(view) {
        return Verdict::ok("the kernel has no rules");
    }
    let may_read = may_read(view);
    let list = may_read.then(|| {
        output(Command::new("nft").args(["--json", "list", "ruleset"]), RULES_MAX, PROGRAM_BYTES_MAX)
    });
    match list.flatten().and_then(|text| fate(&text, port)) {
        Some(Fate::LetIn) => Verdict::ok(format!("no rule that was found throws UDP port {port} away")),
        Some(Fate::Dropped(chain)) => Verdict::broken(
            format!("a rule in {chain} throws UDP port {port} away"),
            format!("clients do not reach this host: {}", let_in(view, port)),
        ),
        Some(Fate::NotNamed(chain)) => Verdict::degraded(
            format!("{chain} lets in only what a rule names, and none names UDP port {port}"),
            format!("clients may not reach this host: {}", let_in(view, port)),
        ),
        Some(Fate::NotKnown(chain)) => Verdict::degraded(
            format!(
                "{chain} lets in only what a rule names; some tell of ports in a way that is not followed here: whether UDP \
                 port {port} is among them cannot be told"
            ),
            format!(
                "unless it is (sudo nft list ruleset), clients do not reach this host: {}",
                let_in(view, port)
            ),
        ),
        Some(Fate::NotSpelt(chain)) => Verdict::degraded(
            format!(
                "{chain} lets in only what a rule names; some are iptables' own, which nft does not spell out: whether one \
                 names UDP port {port} is not known"
            ),
            format!("unless one does, clients do not reach this host: {}", let_in(view, port)),
        ),
        None => judge_unread(view, keeper, may_read),
    }
}

/// Where the rules are not known.
fn judge_unread(view: &View, keeper: Option<Keeper>, may_read: bool) -> Verdict {
    let port = view.listen.port();
    let why = if may_read {
        "nft does not list its rules (apt install nftables)"
    } else {
        "only root may read its rules (sudo nft list ruleset)"
    };
    match keeper {
        // Both let in what is named alone, and everything over loopback.
        Some(keeper) => Verdict::degraded(
            format!("{keeper} is on, and {why}: whether it lets UDP port {port} in is not known"),
            format!("unless that was done, clients do not reach this host: {}", let_in(view, port)),
        ),
        None if may_read => Verdict::degraded(
            format!("there may be rules, and {why}: whether they let UDP port {port} in is not known"),
            format!("clients may not reach this host: {}", let_in(view, port)),
        ),
        None => Verdict::ok(format!(
            "there may be rules, which only root may read (sudo nft list ruleset); UDP port {port} has to be let in"
        )),
    }
}

/// Whether a datagram to the port comes in; none where that cannot be tried.
fn arrives(listen: SocketAddr) -> Option<bool> {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    // An address of a real device's, and packets stay in the machine still: they are its own.
    let socket = UdpSocket::bind(SocketAddr::new(ip, listen.port())).ok()?;
    let any =
        if ip.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let sender = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.set_read_timeout(Some(LOOPBACK_MAX)).ok()?;
    match sender.send_to(b"doctor", SocketAddr::new(ip, listen.port())) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Some(false),
        Err(_) => return None,
    }
    let mut bytes = [0; 16];
    Some(socket.recv_from(&mut bytes).is_ok())
}

/// Whether a filter is in the kernel at all.
fn has_rules(view: &View) -> bool {
    let is_loaded = |module| view.path(&format!("/sys/module/{module}")).exists();
    let has_nft = is_loaded("nf_tables") || view.read("/proc/net/netfilter/nf_tables").is_ok();
    // A kernel that has them built in lists no modules: then only reading tells.
    has_nft
        || is_loaded("ip_tables")
        || view.path("/proc/net/ip_tables_names").exists()
        || view.path("/proc/net/netfilter").exists()
}

fn may_read(view: &View) -> bool {
    let status = view.read("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0);
    effective & (1 << CAP_NET_ADMIN) != 0
}

/// A program that looks after the rules, and lets in only what it was told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeper {
    Firewalld,
    Ufw,
}

impl Keeper {
    /// The one that is on.
    fn of(view: &View) -> Option<Self> {
        // Its folder is made when it first needs one; its service's group is there as long as it runs.
        let signs = ["/run/firewalld", "/sys/fs/cgroup/system.slice/firewalld.service"];
        if signs.iter().any(|sign| view.path(sign).exists()) {
            return Some(Self::Firewalld);
        }
        let is_on = |text: String| {
            text.lines()
                .any(|line| matches!(line.trim(), "ENABLED=yes" | "ENABLED=\"yes\"" | "ENABLED='yes'"))
        };
        view.read("/etc/ufw/ufw.conf").is_ok_and(is_on).then_some(Self::Ufw)
    }
}

impl fmt::Display for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Firewalld => "firewalld",
            Self::Ufw => "ufw",
        })
    }
}

/// The command of whoever looks after the rules here.
fn let_in(view: &View, port: u16) -> String {
    match Keeper::of(view) {
        Some(Keeper::Firewalld) => {
            format!("sudo firewall-cmd --permanent --add-port={port}/udp && sudo firewall-cmd --reload")
        }
        Some(Keeper::Ufw) => format!("sudo ufw allow {port}/udp"),
        None => format!("let UDP port {port} in, where its rules are kept (/etc/nftables.conf)"),
    }
}

#[cfg(test)]
mod tests {
    use punktfunk_manage::model::CheckState;

    use super::*;
    use crate::view::tests::machine;

    #[test]
    fn whoever_looks_after_the_rules_is_named() {
        let (_dir, view) = machine(&[("/run/firewalld/x", "")]);
        assert!(let_in(&view, 7).contains("firewall-cmd --permanent --add-port=7/udp"));
        let (_dir, view) = machine(&[("/etc/ufw/ufw.conf", "# ufw\nENABLED=yes\n")]);
        assert_eq!(let_in(&view, 7), "sudo ufw allow 7/udp");
        let (_dir, view) = machine(&[("/etc/ufw/ufw.conf", "ENABLED=no\n")]);
        assert!(let_in(&view, 7).contains("nftables.conf"));
        assert_eq!(firewall(&view), Verdict::ok("the kernel has no rules"));
    }

    #[test]
    fn a_firewall_that_is_on_and_cannot_be_read_is_not_called_open() {
        let user = ("/proc/self/status", "Name:\tx\nCapEff:\t0000000000000000\n");
        let signs: [(&str, &str, &str); 4] = [
            ("/etc/ufw/ufw.conf", "ENABLED=yes\n", "sudo ufw allow 0/udp"),
            ("/etc/ufw/ufw.conf", "ENABLED=\"yes\"\n", "sudo ufw allow 0/udp"),
            ("/run/firewalld/x", "", "firewall-cmd --permanent --add-port=0/udp"),
            (
                "/sys/fs/cgroup/system.slice/firewalld.service/x",
                "",
                "firewall-cmd --permanent --add-port=0/udp",
            ),
        ];
        for (path, text, command) in signs {
            let (_dir, view) = machine(&[user, (path, text), ("/sys/module/nf_tables/x", "")]);
            let verdict = firewall(&view);
            assert_eq!(verdict.state, CheckState::Degraded, "{path}: {verdict:?}");
            assert!(verdict.remedy.contains(command), "{verdict:?}");
        }
        let off = ("/etc/ufw/ufw.conf", "ENABLED=no\n");
        let (_dir, view) = machine(&[user, off, ("/sys/module/nf_tables/x", "")]);
        assert_eq!(firewall(&view).state, CheckState::Ok, "nobody is known to look after rules");
    }

    #[test]
    fn a_datagram_over_loopback_arrives_or_its_port_is_not_ours_to_try() {
        let holds = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = holds.local_addr().unwrap();
        assert_eq!(arrives(at), None);
        drop(holds);
        assert_eq!(arrives(at), Some(true));
    }
}
