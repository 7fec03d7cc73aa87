//! Devices that have knocked and wait for somebody's word.
//!
//! Promises: at most eight, two of them from one address, so that one machine's throw-away keys leave room for others;
//! one device has one place, however often it knocks. A machine with several addresses may fill them all the same, for
//! nothing tells one that waits from another: then the PIN is the way in, which needs no place here. Refuses: the ninth,
//! as long as none of the others has gone; for two minutes, a device that somebody has said No to, and every one of an
//! address that has heard it twice, for a key costs nothing; and to be read as proof of anything but the fingerprint: a
//! name is what a stranger calls itself.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::event::SessionId;
use crate::fingerprint::Fingerprint;
use crate::limits::{
    DENIED_MAX, DENIED_PER_ADDRESS_MAX, PENDING_MAX, PENDING_PER_ADDRESS_MAX, PENDING_WAIT_MAX,
};
use crate::pairing::messages::TurnedAwayReason;

/// One device that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingDevice {
    /// The request's number: its connection's, never used again.
    pub id: SessionId,
    /// What it calls itself.
    pub name: String,
    /// Who it has proven to be.
    pub fingerprint: Fingerprint,
    /// Where it is.
    pub remote: SocketAddr,
    /// When it has knocked.
    pub requested_at: Instant,
}

impl PendingDevice {
    /// For how long it still waits.
    pub fn left(&self, now: Instant) -> Duration {
        (self.requested_at + PENDING_WAIT_MAX).saturating_duration_since(now)
    }
}

/// All that wait, and those that may not.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// Oldest first.
    waiting: Vec<PendingDevice>,
    /// Oldest first.
    denied: VecDeque<Denied>,
}

/// Somebody has said No to this one.
#[derive(Debug)]
struct Denied {
    fingerprint: Fingerprint,
    address: IpAddr,
    at: Instant,
}

impl Pending {
    /// Whether there is a place for a device. One that has had a place keeps it.
    pub(crate) fn check(&mut self, device: &PendingDevice) -> Result<(), TurnedAwayReason> {
        self.forget_denied(device.requested_at);
        let address = device.remote.ip().to_canonical();
        if self.is_denied(&device.fingerprint) || self.denied_at(address) >= DENIED_PER_ADDRESS_MAX {
            return Err(TurnedAwayReason::Denied);
        }
        if self.waiting.iter().any(|known| known.fingerprint == device.fingerprint) {
            return Ok(());
        }
        let is_beside = |known: &&PendingDevice| known.remote.ip().to_canonical() == address;
        let beside = self.waiting.iter().filter(is_beside).count();
        let is_full = self.waiting.len() >= PENDING_MAX || beside >= PENDING_PER_ADDRESS_MAX;
        if is_full { Err(TurnedAwayReason::Full) } else { Ok(()) }
    }

    /// Takes a device in for which there is a place. What it had before is gone; that connection's number is handed back.
    pub(crate) fn knock(&mut self, device: PendingDevice) -> Option<SessionId> {
        let before = self.waiting.iter().position(|known| known.fingerprint == device.fingerprint);
        let before = before.map(|index| self.waiting.remove(index).id);
        self.waiting.push(device);
        before
    }

    /// Takes a device out: somebody has decided, or it has gone.
    pub(crate) fn take(&mut self, id: SessionId) -> Option<PendingDevice> {
        let index = self.waiting.iter().position(|known| known.id == id)?;
        Some(self.waiting.remove(index))
    }

    /// Somebody has said No. A device that is out already is not so for longer because it has tried.
    pub(crate) fn deny(&mut self, fingerprint: Fingerprint, address: IpAddr, now: Instant) {
        self.forget_denied(now);
        if self.is_denied(&fingerprint) {
            return;
        }
        if self.denied.len() >= DENIED_MAX {
            self.denied.pop_front();
        }
        self.denied.push_back(Denied { fingerprint, address: address.to_canonical(), at: now });
    }

    pub(crate) fn all(&self) -> &[PendingDevice] {
        &self.waiting
    }

    fn is_denied(&self, fingerprint: &Fingerprint) -> bool {
        self.denied.iter().any(|known| known.fingerprint == *fingerprint)
    }

    fn denied_at(&self, address: IpAddr) -> usize {
        self.denied.iter().filter(|known| known.address == address).count()
    }

    fn forget_denied(&mut self, now: Instant) {
        self.denied.retain(|known| now.saturating_duration_since(known.at) < PENDING_WAIT_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(number: u8, id: u64, requested_at: Instant) -> PendingDevice {
        let fingerprint = Fingerprint::of_certificate(&[number]);
        let (name, remote) = (format!("device {number}"), SocketAddr::from(([10, 0, 0, number], 9)));
        PendingDevice { id: SessionId(id), name, fingerprint, remote, requested_at }
    }

    fn knock(pending: &mut Pending, device: PendingDevice) -> Result<Option<SessionId>, TurnedAwayReason> {
        pending.check(&device).map(|()| pending.knock(device))
    }

    #[test]
    fn two_of_one_address_wait_and_its_third_key_does_not() {
        let (mut pending, now) = (Pending::default(), Instant::now());
        let of = |number: u8, remote: &str| PendingDevice {
            remote: remote.parse().unwrap(),
            ..device(number, number.into(), now)
        };
        assert_eq!(knock(&mut pending, of(0, "10.0.0.9:1")), Ok(None));
        assert_eq!(knock(&mut pending, of(1, "[::ffff:10.0.0.9]:2")), Ok(None));
        assert_eq!(knock(&mut pending, of(2, "10.0.0.9:3")), Err(TurnedAwayReason::Full));
        assert_eq!(
            knock(&mut pending, of(0, "10.0.0.9:4")),
            Ok(Some(SessionId(0))),
            "its own place is its own"
        );
        assert_eq!(knock(&mut pending, of(3, "10.0.0.8:1")), Ok(None), "others are not kept out");
    }

    #[test]
    fn a_device_that_was_denied_is_out_for_two_minutes_and_trying_makes_them_no_longer() {
        let (mut pending, now) = (Pending::default(), Instant::now());
        let PendingDevice { fingerprint: denied, remote, .. } = device(0, 0, now);
        pending.deny(denied, remote.ip(), now);
        let later = now + PENDING_WAIT_MAX - Duration::from_secs(1);
        assert_eq!(knock(&mut pending, device(0, 1, later)), Err(TurnedAwayReason::Denied));
        pending.deny(denied, remote.ip(), later);
        assert_eq!(knock(&mut pending, device(1, 2, later)), Ok(None), "another one is not");
        assert_eq!(knock(&mut pending, device(0, 3, now + PENDING_WAIT_MAX)), Ok(None));
        for number in 0..u8::MAX {
            pending.deny(Fingerprint::of_certificate(&[number, number]), remote.ip(), later);
        }
        assert_eq!(pending.denied.len(), DENIED_MAX, "whoever says No often holds no more memory");
    }

    /// One key is as good as the next to whoever asks again and again.
    #[test]
    fn the_second_no_to_an_address_holds_for_all_its_keys() {
        let (mut pending, now) = (Pending::default(), Instant::now());
        let of = |number: u8, at: Instant| PendingDevice {
            remote: "10.0.0.9:1".parse().unwrap(),
            ..device(number, number.into(), at)
        };
        pending.deny(of(0, now).fingerprint, "10.0.0.9".parse().unwrap(), now);
        assert_eq!(knock(&mut pending, of(1, now)), Ok(None), "somebody else may be there");
        pending.take(SessionId(1));
        pending.deny(of(1, now).fingerprint, "::ffff:10.0.0.9".parse().unwrap(), now);
        assert_eq!(knock(&mut pending, of(2, now)), Err(TurnedAwayReason::Denied));
        assert_eq!(knock(&mut pending, device(3, 3, now)), Ok(None), "elsewhere nobody is denied");
        assert_eq!(knock(&mut pending, of(2, now + PENDING_WAIT_MAX)), Ok(None));
    }

    #[test]
    fn eight_wait_and_the_ninth_does_not() {
        let (mut pending, now) = (Pending::default(), Instant::now());
        for number in 0..8 {
            assert_eq!(knock(&mut pending, device(number, number.into(), now)), Ok(None));
        }
        assert_eq!(knock(&mut pending, device(8, 8, now)), Err(TurnedAwayReason::Full));
        assert_eq!(pending.take(SessionId(3)).map(|device| device.name), Some("device 3".into()));
        assert_eq!(pending.take(SessionId(3)), None, "decided once");
        assert_eq!(knock(&mut pending, device(8, 8, now)), Ok(None));
    }

    #[test]
    fn a_device_has_one_place_and_its_last_knock_counts() {
        let (mut pending, now) = (Pending::default(), Instant::now());
        for number in 0..8 {
            knock(&mut pending, device(number, number.into(), now)).unwrap();
        }
        let later = now + Duration::from_secs(60);
        assert_eq!(
            knock(&mut pending, device(0, 100, later)),
            Ok(Some(SessionId(0))),
            "though all are taken"
        );
        assert_eq!((pending.all().len(), pending.all()[7].id), (8, SessionId(100)));
        assert_eq!(pending.all()[0].left(later), Duration::from_secs(60));
        assert_eq!(pending.all()[0].left(later + PENDING_WAIT_MAX), Duration::ZERO);
        assert_eq!(pending.take(SessionId(0)), None);
    }
}
