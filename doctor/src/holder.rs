//! Who holds a port, as far as `/proc` tells this user.
//!
//! Promises: one who holds the port of another address only is not meant. Refuses to guess at an identity that neither a
//! host's command line nor its environment names: then its settings have it.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use crate::View;

/// The kernel's tables of sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// UDP's.
    Udp,
    /// TCP's, of which those count that listen.
    Tcp,
}

/// Whose identity a host has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The one that is looked at.
    This,
    /// Another, which is here.
    Other(PathBuf),
    /// Its settings' own, which may be this one.
    Unnamed,
}

/// A program that holds a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) pid: u32,
    pub(crate) name: String,
}

impl Holder {
    /// Whether it is a host of ours.
    pub(crate) fn is_host(&self) -> bool {
        self.name == "punktfunk-host"
    }

    /// Whose identity it has, by what it was begun with.
    pub(crate) fn identity(&self, view: &View) -> Whose {
        let words = |file| view.read(&format!("/proc/{}/{file}", self.pid)).unwrap_or_default();
        let (command, variables) = (words("cmdline"), words("environ"));
        let variable =
            variables.split('\0').find_map(|one| one.strip_prefix(IDENTITY_VARIABLE)?.strip_prefix('='));
        let named = named_identity(&command).or(variable).filter(|named| !named.is_empty());
        let Some(named) = named else { return Whose::Unnamed };
        // As the program itself sees it.
        let from = fs::read_link(view.path(&format!("/proc/{}/cwd", self.pid))).unwrap_or_default();
        let theirs = from.join(named);
        let whole = |path: &PathBuf| fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        if whole(&theirs) == whole(&view.folder) { Whose::This } else { Whose::Other(theirs) }
    }
}

/// The variable that a host's identity may stand in.
const IDENTITY_VARIABLE: &str = "PUNKTFUNK_IDENTITY";

/// What `--identity` says in words that zeros end.
fn named_identity(command: &str) -> Option<&str> {
    let mut words = command.split('\0');
    words
        .find_map(|word| match word.strip_prefix("--identity") {
            Some("") => Some(None),
            Some(rest) => rest.strip_prefix('=').map(Some),
            None => None,
        })?
        .or_else(|| words.next())
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.name, self.pid)
    }
}

/// The first program that keeps others from `at`; none where it is another user's.
pub(crate) fn holder(view: &View, table: Table, at: SocketAddr) -> Option<Holder> {
    let files = match table {
        Table::Udp => ["/proc/net/udp", "/proc/net/udp6"],
        Table::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
    };
    let tables = files.iter().filter_map(|file| view.read(file).ok());
    let inodes: BTreeSet<u64> = tables.flat_map(|text| inodes(&text, table, at)).collect();
    if inodes.is_empty() {
        return None;
    }
    let links: BTreeSet<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let pids = view.names("/proc").into_iter().filter_map(|name| name.parse::<u32>().ok());
    let holds = |pid: &u32| {
        let descriptors = fs::read_dir(view.path(&format!("/proc/{pid}/fd"))).into_iter().flatten().flatten();
        let mut targets = descriptors.filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
        targets.any(|target| target.to_str().is_some_and(|target| links.contains(target)))
    };
    let pid = pids.into_iter().find(holds)?;
    let name = view.read(&format!("/proc/{pid}/comm")).unwrap_or_else(|_| "a program".to_owned());
    Some(Holder { pid, name })
}

/// Of the lines whose local address keeps others from `at`.
fn inodes(text: &str, table: Table, at: SocketAddr) -> Vec<u64> {
    let inode = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let (ip, port) = words.get(1)?.rsplit_once(':')?;
        let is_local = u16::from_str_radix(port, 16) == Ok(at.port()) && meet(address(ip)?, at.ip());
        // 0A is TCP's state of listening.
        let counts = is_local && (table == Table::Udp || *words.get(3)? == "0A");
        counts.then(|| words.get(9)?.parse().ok())?
    };
    text.lines().skip(1).filter_map(inode).collect()
}

/// An address as the kernel's tables have it: words of 32 bits in this machine's order, of the network's bytes.
fn address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (index, four) in bytes.chunks_mut(4).enumerate() {
                four.copy_from_slice(&word(index * 8)?);
            }
            Some(Ipv6Addr::from(bytes).to_canonical())
        }
        _ => None,
    }
}

/// Whether two sockets of one port would be in each other's way; IPv6's address of all is IPv4's, too.
fn meet(one: IpAddr, other: IpAddr) -> bool {
    if one.is_ipv4() == other.is_ipv4() {
        return one == other || one.is_unspecified() || other.is_unspecified();
    }
    [one, other].iter().any(|ip| ip.is_ipv6() && ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;
    use crate::view::tests::machine;

    #[test]
    fn this_very_program_is_found_by_what_it_holds() {
        let (_dir, mut view) = machine(&[]);
        view.root = "/".into();
        let (udp, tcp) = (UdpSocket::bind("127.0.0.1:0").unwrap(), TcpListener::bind("[::1]:0"));
        let at = udp.local_addr().unwrap();
        let found = holder(&view, Table::Udp, at).expect("it is held");
        assert_eq!(found.pid, std::process::id());
        if let Ok(tcp) = tcp {
            let at = tcp.local_addr().unwrap();
            assert_eq!(holder(&view, Table::Tcp, at).expect("it is held").pid, std::process::id());
        }
        for everywhere in ["0.0.0.0", "::"] {
            let wide = SocketAddr::new(everywhere.parse().unwrap(), at.port());
            assert_eq!(holder(&view, Table::Udp, wide).expect("it is held").pid, std::process::id());
        }
        let beside = SocketAddr::new("127.0.0.9".parse().unwrap(), at.port());
        assert!(holder(&view, Table::Udp, beside).is_none_or(|holder| holder.pid != std::process::id()));
        drop(udp);
        assert!(holder(&view, Table::Udp, at).is_none_or(|holder| holder.pid != std::process::id()));
    }

    #[test]
    fn tables_that_make_no_sense_hold_nothing() {
        let at = "127.0.0.1:47800".parse().unwrap();
        let good = "head\n 1: 0100007F:BAB8 0:0 07 0:0 0:0 0 0 0 7";
        assert_eq!(inodes(good, Table::Udp, at), [7]);
        for text in ["", "head\nx", "head\n 1: 00:BAB8", "head\n 1: 0100007é:BAB8 0:0 07 0:0 0:0 0 0 0 7"] {
            assert_eq!(inodes(text, Table::Udp, at), [0; 0], "{text:?}");
        }
        assert_eq!(inodes(&good.replace(" 7", " many"), Table::Udp, at), [0; 0]);
    }

    #[test]
    fn addresses_are_read_as_the_kernel_writes_them_and_meet_as_sockets_do() {
        assert_eq!(address("0100007F"), Some(Ipv4Addr::LOCALHOST.into()));
        assert_eq!(address("00000000000000000000000001000000"), Some(Ipv6Addr::LOCALHOST.into()));
        assert_eq!(address("0000000000000000FFFF00000100007F"), Some(Ipv4Addr::LOCALHOST.into()));
        let [local, all, local6, all6] =
            ["127.0.0.1", "0.0.0.0", "::1", "::"].map(|text| text.parse::<IpAddr>().unwrap());
        assert!(meet(local, all) && meet(local, all6) && meet(local6, all6) && meet(all, all6));
        assert!(!meet(local, local6) && !meet(all, local6) && !meet(local, Ipv4Addr::BROADCAST.into()));
    }

    #[test]
    fn a_host_with_another_identity_is_told_by_its_command_line() {
        let command = |identity: &str| format!("punktfunk-host\0serve\0{identity}\0--once\0");
        for words in ["--identity\0theirs", "--identity=theirs"] {
            let (dir, mut view) = machine(&[("/proc/7/cmdline", &command(words)), ("/srv/theirs/x", "")]);
            std::os::unix::fs::symlink(dir.path().join("srv"), view.path("/proc/7/cwd")).unwrap();
            let host = Holder { pid: 7, name: "punktfunk-host".into() };
            assert_eq!(host.identity(&view), Whose::Other(dir.path().join("srv/theirs")), "{words:?}");
            view.folder = dir.path().join("srv/../srv/theirs");
            assert_eq!(host.identity(&view), Whose::This, "{words:?}");
        }
        let (_dir, view) = machine(&[("/proc/7/cmdline", &command("--identity-of-a-kind"))]);
        let host = Holder { pid: 7, name: "punktfunk-host".into() };
        assert_eq!(host.identity(&view), Whose::Unnamed, "another flag");
        assert_eq!(named_identity("punktfunk-host\0--identity"), None);
    }

    #[test]
    fn a_host_with_another_identity_is_told_by_its_environment_too() {
        let host = Holder { pid: 7, name: "punktfunk-host".into() };
        let of = |command: &str, environ: &str| {
            let (dir, view) = machine(&[("/proc/7/cmdline", command), ("/proc/7/environ", environ)]);
            (host.identity(&view), dir)
        };
        let plain = "punktfunk-host\0serve\0";
        let (whose, _dir) = of(plain, "HOME=/root\0PUNKTFUNK_IDENTITY=/srv/theirs\0");
        assert_eq!(whose, Whose::Other("/srv/theirs".into()));
        let (whose, _dir) = of("punktfunk-host\0--identity=/srv/flag\0", "PUNKTFUNK_IDENTITY=/srv/theirs\0");
        assert_eq!(whose, Whose::Other("/srv/flag".into()), "a flag stands over a variable");
        for environ in ["", "PUNKTFUNK_IDENTITY=\0", "NO_PUNKTFUNK_IDENTITY=/srv/theirs\0"] {
            assert_eq!(of(plain, environ).0, Whose::Unnamed, "{environ:?}");
        }
    }
}
