//! Devices that have knocked and wait for somebody's word.
//!
//! Promises: at most eight; one device has one place, however often it knocks. Refuses: the
//! ninth, as long as none of the others has gone, and to be read as proof of anything but the fingerprint: a
//! name is what a stranger calls itself.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::event::SessionId;
use crate::fingerprint::Fingerprint;
use crate::limits::{PENDING_MAX, PENDING_WAIT_MAX};

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

/// Every place is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// All that wait, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Pending(Vec<PendingDevice>);

impl Pending {
    /// Takes a device in. What it had before is gone; that connection's number is handed back.
    pub(crate) fn knock(&mut self, device: PendingDevice) -> Result<Option<SessionId>, Full> {
        let before = self.0.iter().position(|known| known.fingerprint == device.fingerprint);
        if before.is_none() && self.0.len() >= PENDING_MAX {
            return Err(Full);
        }
        let before = before.map(|index| self.0.remove(index).id);
        self.0.push(device);
        Ok(before)
    }

    /// Takes a device out: somebody has decided, or it has gone.
    pub(crate) fn take(&mut self, id: SessionId) -> Option<PendingDevice> {
        let index = self.0.iter().position(|known| known.id == id)?;
        Some(self.0.remove(index))
    }

    pub(crate) fn all(&self) -> &[PendingDevice] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(number: u8, id: u64, requested_at: Instant) -> PendingDevice {
        let fingerprint = Fingerprint::of_certificate(&[number]);
        let (name, remote) = (format!("device {number}"), "10.0.0.1:9".parse().unwrap());
        PendingDevice { id: SessionId(id), name, fingerprint, remote, requested_at }
    }

    #[test]
    fn eight_wait_and_the_ninth_does_not() {
        let (mut pending, now) = (Pending::default(), Instant::now());
        for number in 0..8 {
            assert_eq!(pending.knock(device(number, number.into(), now)), Ok(None));
        }
        assert_eq!(pending.knock(device(8, 8, now)), Err(Full));
        assert_eq!(pending.take(SessionId(3)).map(|device| device.name), Some("device 3".into()));
        assert_eq!(pending.take(SessionId(3)), None, "decided once");
        assert_eq!(pending.knock(device(8, 8, now)), Ok(None));
    }

    #[test]
    fn a_device_has_one_place_and_its_last_knock_counts() {
        let (mut pending, now) = (Pending::default(), Instant::now());
        for number in 0..8 {
            pending.knock(device(number, number.into(), now)).unwrap();
        }
        let later = now + Duration::from_secs(60);
        assert_eq!(pending.knock(device(0, 100, later)), Ok(Some(SessionId(0))), "though all are taken");
        assert_eq!((pending.all().len(), pending.all()[7].id), (8, SessionId(100)));
        assert_eq!(pending.all()[0].left(later), Duration::from_secs(60));
        assert_eq!(pending.all()[0].left(later + PENDING_WAIT_MAX), Duration::ZERO);
        assert_eq!(pending.take(SessionId(0)), None);
    }
}
