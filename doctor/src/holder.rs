//! Who holds a port, as far as `/proc` tells this user.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;

use crate::View;

/// The kernel's tables of sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// UDP's.
    Udp,
    /// TCP's, of which those count that listen.
    Tcp,
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
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.name, self.pid)
    }
}

/// The first program that holds `port`; none where it is another user's.
pub(crate) fn holder(view: &View, table: Table, port: u16) -> Option<Holder> {
    let files = match table {
        Table::Udp => ["/proc/net/udp", "/proc/net/udp6"],
        Table::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
    };
    let tables = files.iter().filter_map(|file| view.read(file).ok());
    let inodes: BTreeSet<u64> = tables.flat_map(|text| inodes(&text, table, port)).collect();
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

/// Of the lines whose local port is `port`.
fn inodes(text: &str, table: Table, port: u16) -> Vec<u64> {
    let inode = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let (_, local) = words.get(1)?.rsplit_once(':')?;
        let is_local = u16::from_str_radix(local, 16) == Ok(port);
        // 0A is TCP's state of listening.
        let counts = is_local && (table == Table::Udp || *words.get(3)? == "0A");
        counts.then(|| words.get(9)?.parse().ok())?
    };
    text.lines().skip(1).filter_map(inode).collect()
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
        let port = udp.local_addr().unwrap().port();
        let found = holder(&view, Table::Udp, port).expect("it is held");
        assert_eq!(found.pid, std::process::id());
        if let Ok(tcp) = tcp {
            let port = tcp.local_addr().unwrap().port();
            assert_eq!(holder(&view, Table::Tcp, port).expect("it is held").pid, std::process::id());
        }
        drop(udp);
        assert!(holder(&view, Table::Udp, port).is_none_or(|holder| holder.pid != std::process::id()));
    }

    #[test]
    fn tables_that_make_no_sense_hold_nothing() {
        for text in ["", "head\nx", "head\n 1: 00:BAB8", "head\n 1: 0:BAB8 0:0 07 0:0 0:0 0 0 0 many"] {
            assert_eq!(inodes(text, Table::Udp, 0xbab8), [0; 0], "{text:?}");
        }
    }
}
