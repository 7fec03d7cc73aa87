//! The client's end: who says that he is there.
//!
//! Promises: an answer after the time that was given, and no sooner, with every host that has told an address by then;
//! what is kept is bounded, and what is left out is counted. Refuses to follow a record that cannot be read: such a host
//! is shown with what is wrong.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::{Duration, Instant};

use mdns_sd::{ResolvedService, ScopedIp, ServiceEvent};

use crate::limits::{ADDRESSES_MAX, HOSTS_MAX, SEARCH_LOOK_INTERVAL};
use crate::responder::{Health, Responder};
use crate::{About, AboutError, DiscoverError, SERVICE, name};

/// A host that says that it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it calls itself; printable.
    pub name: String,
    /// Where it listens, the likeliest first; at least one.
    pub addresses: Vec<SocketAddr>,
    /// What it says about itself.
    pub about: Result<About, AboutError>,
}

/// What a search has come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// The hosts, by name.
    pub hosts: Vec<Found>,
    /// How many more there were.
    pub left_out: usize,
    /// It was broken off, because this network says more than can be remembered.
    pub is_cut_short: bool,
}

/// Listens for hosts for this long.
///
/// # Errors
/// The library does not begin, or ends by itself.
pub fn browse(patience: Duration) -> Result<Search, DiscoverError> {
    let until = Instant::now() + patience;
    let responder = Responder::start()?;
    let events = responder.daemon.browse(SERVICE).map_err(DiscoverError::of("search"))?;
    let mut known = Known::default();
    let mut looked_at = Instant::now();
    loop {
        let now = Instant::now();
        if now.saturating_duration_since(looked_at) >= SEARCH_LOOK_INTERVAL {
            looked_at = now;
            known.is_cut_short = match responder.health() {
                Health::Well => false,
                Health::Flooded => true,
                Health::Gone => {
                    let source = mdns_sd::Error::DaemonShutdown;
                    return Err(DiscoverError::Mdns { verb: "go on", source });
                }
            };
        }
        let left = until.saturating_duration_since(now);
        if left.is_zero() || known.is_cut_short {
            return Ok(known.into_search());
        }
        match events.recv_timeout(left.min(SEARCH_LOOK_INTERVAL)) {
            Ok(ServiceEvent::ServiceResolved(service)) => known.add(&service),
            Ok(ServiceEvent::ServiceRemoved(_, fullname)) => known.remove(&fullname),
            // The library's other news say nothing about a host that can be reached; an end shows in its health.
            Ok(_) | Err(_) => {}
        }
    }
}

/// Who has been found so far, by full name.
#[derive(Default)]
struct Known {
    hosts: BTreeMap<String, Found>,
    left_out: usize,
    is_cut_short: bool,
}

impl Known {
    fn add(&mut self, service: &ResolvedService) {
        let found = found(service);
        if found.addresses.is_empty() {
            return;
        }
        if self.hosts.len() >= HOSTS_MAX && !self.hosts.contains_key(&service.fullname) {
            self.left_out += 1;
            return;
        }
        self.hosts.insert(service.fullname.clone(), found);
    }

    fn remove(&mut self, fullname: &str) {
        self.hosts.remove(fullname);
    }

    fn into_search(self) -> Search {
        let mut hosts: Vec<Found> = self.hosts.into_values().collect();
        hosts.sort_by(|a, b| (&a.name, &a.addresses).cmp(&(&b.name, &b.addresses)));
        Search { hosts, left_out: self.left_out, is_cut_short: self.is_cut_short }
    }
}

fn found(service: &ResolvedService) -> Found {
    let mut addresses: Vec<SocketAddr> =
        service.addresses.iter().filter_map(|ip| address(ip, service.port)).collect();
    addresses.sort_by_key(|address| (rank(address.ip()), *address));
    addresses.truncate(ADDRESSES_MAX);
    let about = About::read(|key| service.get_property_val(key).flatten());
    Found { name: name::of_instance(&service.fullname, SERVICE), addresses, about }
}

/// An address that can be asked; one of a link carries the interface's number.
fn address(ip: &ScopedIp, port: u16) -> Option<SocketAddr> {
    let can_listen =
        |ip: IpAddr| port != 0 && !ip.is_unspecified() && !ip.is_multicast() && !ip.is_loopback();
    if !can_listen(ip.to_ip_addr()) {
        return None;
    }
    match ip {
        ScopedIp::V6(v6) if v6.addr().is_unicast_link_local() => {
            Some(SocketAddrV6::new(*v6.addr(), port, 0, v6.scope_id().index).into())
        }
        ip => Some((ip.to_ip_addr(), port).into()),
    }
}

/// Which address is tried first: one that is short to type and needs no interface's name.
fn rank(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(ip) if !ip.is_link_local() => 0,
        IpAddr::V6(ip) if !ip.is_unicast_link_local() => 1,
        IpAddr::V4(_) => 2,
        IpAddr::V6(_) => 3,
    }
}

#[cfg(test)]
mod tests {
    use mdns_sd::{ServiceInfo, TxtProperty};

    use super::*;
    use crate::Pairing;
    use crate::limits::NAME_BYTES_MAX;

    /// A host as the library hands it out.
    fn service(name: &str, addresses: &str, txt: Vec<TxtProperty>) -> ResolvedService {
        let service = ServiceInfo::new(SERVICE, name, "x.local.", addresses, 9, txt);
        service.unwrap().as_resolved_service()
    }

    fn txt() -> Vec<TxtProperty> {
        About::new(2, &"ab".repeat(32), Pairing::Open)
            .unwrap()
            .txt()
            .map(|(key, value)| (key, value).into())
            .to_vec()
    }

    #[test]
    fn addresses_that_nobody_can_ask_are_left_out_and_the_likeliest_is_first() {
        let all = "169.254.0.1,fe80::1,2001:db8::1,10.0.0.2,0.0.0.0,224.0.0.1,127.0.0.1,::1,::";
        let found = found(&service("desk", all, txt()));
        let shown: Vec<String> = found.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["10.0.0.2:9", "[2001:db8::1]:9", "169.254.0.1:9", "[fe80::1]:9"]);
        assert_eq!((found.name.as_str(), found.about.unwrap().proto()), ("desk", 2));
        let mut known = Known::default();
        known.add(&service("alone", "127.0.0.1", txt()));
        assert_eq!(known.into_search(), Search::default());
    }

    #[test]
    fn hostile_records_are_shown_with_what_is_wrong() {
        for (key, value) in
            [("fp", &b"\xff\xff"[..]), ("id", b"\x1b[31m"), ("pair", &[b'x'; 200]), ("proto", b"-1")]
        {
            let mut txt = txt();
            txt.retain(|property| property.key() != key);
            txt.push((key, value).into());
            let wrong = found(&service("\u{202e}desk\u{7}", "10.0.0.2", txt)).about.unwrap_err();
            assert!(wrong.to_string().contains(key), "{wrong}");
        }
        assert_eq!(found(&service("x", "10.0.0.2", Vec::new())).about, Err(AboutError::Missing("proto")));
        // A key without a value.
        assert_eq!(
            found(&service("x", "10.0.0.2", vec!["proto".into()])).about,
            Err(AboutError::Missing("proto"))
        );
    }

    #[test]
    fn a_crowd_is_bounded_and_counted() {
        let mut known = Known::default();
        for number in 0..500 {
            known.add(&service(&format!("{number}{}", "x".repeat(40)), "10.0.0.2,10.0.0.3", txt()));
        }
        // One that is known may change, and one that goes makes room.
        known.add(&service(&format!("0{}", "x".repeat(40)), "10.0.0.4", txt()));
        known.remove(&service(&format!("1{}", "x".repeat(40)), "10.0.0.4", txt()).fullname);
        let search = known.into_search();
        assert_eq!((search.hosts.len(), search.left_out), (HOSTS_MAX - 1, 500 - HOSTS_MAX));
        assert_eq!(search.hosts[0].addresses[0].to_string(), "10.0.0.4:9");
        assert!(search.hosts.iter().all(|host| host.name.len() <= NAME_BYTES_MAX));
    }
}
