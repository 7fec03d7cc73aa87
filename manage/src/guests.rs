//! Who is connected, and who has to leave for a newcomer.
//!
//! Promises: [`CONNECTIONS_MAX`] at once; whoever has not shown the token is a stranger, and of one network's no more
//! than [`STRANGERS_MAX`] stay. A newcomer beyond either limit takes the place of a stranger: in its own network or else
//! in the one with the most, of the address that has the most, and by chance among equals. So whoever connects without
//! the token, and reads nothing, keeps nobody out from another address. With a network's worth of addresses it may
//! end a neighbour's handshake now and then, and the neighbour's browser comes again; it ends nothing of anybody's who has
//! shown the token. Refuses a newcomer only where everyone else has.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::limits::{CONNECTIONS_MAX, STRANGERS_MAX};

/// The bits of an IPv6 address by which a network is known: a machine elsewhere may have all addresses in one, and
/// here everybody's are in the same one.
const NETWORK: u128 = !0 << 64;

/// Everyone who is connected, in the order of their coming.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guests(Arc<Mutex<Vec<Arc<Guest>>>>);

/// One connection.
#[derive(Debug)]
pub(crate) struct Guest {
    from: IpAddr,
    has_token: AtomicBool,
    leave: Notify,
}

/// A place among the guests, free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    guests: Guests,
    guest: Arc<Guest>,
}

impl Guest {
    /// It has shown the token, and is no stranger any more.
    pub(crate) fn handle_token(&self) {
        self.has_token.store(true, Ordering::Relaxed);
    }

    fn is_stranger(&self) -> bool {
        !self.has_token.load(Ordering::Relaxed)
    }
}

impl Place {
    /// Who has it.
    pub(crate) fn guest(&self) -> Arc<Guest> {
        Arc::clone(&self.guest)
    }

    /// Ends when somebody else has it.
    pub(crate) async fn taken(&self) {
        self.guest.leave.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.guests.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|guest| !Arc::ptr_eq(guest, &self.guest));
    }
}

impl Guests {
    /// A place for somebody from this address; `None` where nobody has to leave for it.
    pub(crate) fn enter(&self, from: IpAddr) -> Option<Place> {
        let from = from.to_canonical();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let crowd = if strangers(&all, from, network) >= STRANGERS_MAX {
            Some(network(from))
        } else if all.len() >= CONNECTIONS_MAX {
            let of_strangers = all.iter().filter(|guest| guest.is_stranger()).map(|guest| guest.from);
            Some(network(of_strangers.max_by_key(|from| strangers(&all, *from, network))?))
        } else {
            None
        };
        if let Some(index) = crowd.and_then(|crowd| who_leaves(&all, crowd)) {
            let guest = all.remove(index);
            tracing::debug!(from = %guest.from, "a stranger's connection to the management API ends for another");
            guest.leave.notify_one();
        }
        let guest = Arc::new(Guest { from, has_token: AtomicBool::new(false), leave: Notify::new() });
        all.push(Arc::clone(&guest));
        Some(Place { guests: self.clone(), guest })
    }
}

/// One of the strangers of the network's most crowded address.
fn who_leaves(all: &[Arc<Guest>], crowd: IpAddr) -> Option<usize> {
    let is_here = |guest: &Guest| guest.is_stranger() && network(guest.from) == crowd;
    let beside = |guest: &Guest| strangers(all, guest.from, |from| from);
    let most = all.iter().filter(|guest| is_here(guest)).map(|guest| beside(guest)).max()?;
    let leaves = |index: &usize| is_here(&all[*index]) && beside(&all[*index]) == most;
    // Whose turn it is, no neighbour can foresee.
    let chance = RandomState::new();
    (0..all.len()).filter(leaves).min_by_key(|index| chance.hash_one(index))
}

/// Those from the same place, as `place` tells places apart.
fn strangers(all: &[Arc<Guest>], from: IpAddr, place: impl Fn(IpAddr) -> IpAddr) -> usize {
    all.iter().filter(|guest| place(guest.from) == place(from) && guest.is_stranger()).count()
}

/// What all addresses have in common that one machine may take.
fn network(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V4(from) => from.into(),
        IpAddr::V6(from) => Ipv6Addr::from_bits(from.to_bits() & NETWORK).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn count(guests: &Guests) -> usize {
        guests.0.lock().unwrap().len()
    }

    /// Whether it was told to leave.
    fn has_left(place: &Place) -> bool {
        let all = place.guests.0.lock().unwrap();
        !all.iter().any(|guest| Arc::ptr_eq(guest, &place.guest))
    }

    #[test]
    fn a_stranger_of_a_crowded_address_leaves_for_the_next() {
        let guests = Guests::default();
        let other = guests.enter(address(9)).unwrap();
        let crowd: Vec<_> = (0..STRANGERS_MAX).map(|_| guests.enter(address(1)).unwrap()).collect();
        crowd[0].guest().handle_token();
        let fits = guests.enter(address(1)).unwrap();
        assert!(!crowd.iter().any(has_left), "one of them is no stranger");
        let next = guests.enter(address(1)).unwrap();
        let strangers = crowd[1..].iter().chain([&fits]);
        assert!(!has_left(&crowd[0]) && !has_left(&other) && !has_left(&next));
        assert_eq!(strangers.filter(|stranger| has_left(stranger)).count(), 1);
        let before = count(&guests);
        drop((crowd, fits, next));
        assert_eq!(count(&guests), before - STRANGERS_MAX - 1, "who has left is not counted twice");
    }

    #[test]
    fn a_crowd_of_many_addresses_leaves_a_place_and_whoever_has_the_token_stays() {
        let guests = Guests::default();
        let owners: Vec<_> = (0..STRANGERS_MAX)
            .map(|_| guests.enter(address(1)).unwrap())
            .inspect(|owner| owner.guest().handle_token())
            .collect();
        let alone = guests.enter(address(2)).unwrap();
        let crowd: Vec<_> = (0..200_u8).map(|n| guests.enter(address(10 + n % 6)).unwrap()).collect();
        assert_eq!(count(&guests), CONNECTIONS_MAX);
        assert!(!owners.iter().any(has_left) && !has_left(&alone));
        let newcomer = guests.enter(address(3)).unwrap();
        assert!(!has_left(&newcomer) && count(&guests) == CONNECTIONS_MAX);
        drop(crowd);
    }

    /// By IPv6 everybody on a LAN is in one network.
    #[test]
    fn a_neighbour_s_crowd_ends_no_handshake_of_another_address_in_its_network() {
        let (guests, of) = (Guests::default(), |text: &str| text.parse::<IpAddr>().unwrap());
        let owner = guests.enter(of("fe80::1")).unwrap();
        let mut crowd: Vec<_> = (0..500).map(|_| guests.enter(of("fe80::2")).unwrap()).collect();
        assert!(!has_left(&owner) && count(&guests) == STRANGERS_MAX);
        drop(owner);
        crowd.extend((0..500_u16).map(|n| guests.enter(of(&format!("fe80::{n:x}"))).unwrap()));
        let owner = guests.enter(of("fe80::1:1")).unwrap();
        assert!(!has_left(&owner), "there is a place for whoever comes");
        owner.guest().handle_token();
        crowd.extend((0..500_u16).map(|n| guests.enter(of(&format!("fe80::{n:x}"))).unwrap()));
        assert!(!has_left(&owner), "and it is kept");
    }

    /// Who leaves among equals is not to be foreseen: not the first one, which may be about to show the token.
    #[test]
    fn among_equals_chance_decides() {
        let first_leaves = |_: &i32| {
            let guests = Guests::default();
            let crowd: Vec<_> = (0..=STRANGERS_MAX).map(|_| guests.enter(address(1)).unwrap()).collect();
            has_left(&crowd[0])
        };
        let count = (0..600).filter(first_leaves).count();
        assert!((10..150).contains(&count), "{count} of 600, where 50 are to be expected");
    }

    #[test]
    fn where_everyone_has_the_token_nobody_leaves() {
        let guests = Guests::default();
        let enter = |_| guests.enter(address(1)).inspect(|place| place.guest().handle_token());
        let all: Vec<_> = (0..CONNECTIONS_MAX).map_while(enter).collect();
        assert_eq!(all.len(), CONNECTIONS_MAX);
        assert!(guests.enter(address(2)).is_none());
        drop(all);
        assert!(guests.enter(address(2)).is_some());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_a_mapped_one_is_ipv4() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), address(1));
        assert_ne!(of("::ffff:192.0.2.1"), address(2));
    }
}
