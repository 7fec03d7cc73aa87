//! Devices that ask this client's host to be let in, as the host tells of them.
//!
//! Promises: each is said once, and answered once where `--approve-with` has a word for it. Refuses to answer
//! without one.

use std::collections::BTreeSet;

use punktfunk_control::{Fingerprint, PendingDevices};

use crate::cli::Approval;
use crate::terminal::say;

/// Those that were told of.
pub struct Visitors {
    approval: Option<Approval>,
    told: BTreeSet<u64>,
}

impl Visitors {
    /// With a word for them, or without.
    pub fn new(approval: Option<Approval>) -> Self {
        Self { approval, told: BTreeSet::new() }
    }

    /// Whether a device of this number waits.
    pub fn is_told(&self, id: u64) -> bool {
        self.told.contains(&id)
    }

    /// Says who is new; gives the words to be sent.
    pub fn handle(&mut self, pending: &PendingDevices) -> Vec<(u64, bool)> {
        // Whoever has gone needs no memory; a request's number is never used again.
        self.told.retain(|id| pending.devices.iter().any(|device| device.id == *id));
        let mut words = Vec::new();
        for device in &pending.devices {
            if !self.told.insert(device.id) {
                continue;
            }
            let fingerprint = Fingerprint::from(device.fingerprint);
            let word = self.approval.and_then(|approval| approval.about(&fingerprint));
            let answer = match word {
                Some(true) => "answered Yes",
                Some(false) => "answered No",
                None => "not answered; --approve-with does, or --commands",
            };
            let (name, id) = (&device.name, device.id);
            say(&format!("{name} ({fingerprint}, number {id}) asks the host to be let in: {answer}"));
            words.extend(word.map(|word| (device.id, word)));
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use punktfunk_control::PendingEntry;

    fn told(ids: &[u64]) -> PendingDevices {
        let device =
            |id: &u64| PendingEntry { id: *id, name: "x".into(), fingerprint: [*id as u8; 32], left_s: 9 };
        PendingDevices { devices: ids.iter().map(device).collect() }
    }

    #[test]
    fn each_device_is_answered_once() {
        let mut yes = Visitors::new(Some(Approval::Yes));
        assert_eq!(yes.handle(&told(&[1])), [(1, true)]);
        assert_eq!(yes.handle(&told(&[1, 2])), [(2, true)]);
        assert_eq!(yes.handle(&told(&[])), []);
        let mut only = Visitors::new(Some(Approval::Only(Fingerprint::from([2; 32]))));
        assert_eq!(only.handle(&told(&[1, 2, 3])), [(2, true)]);
        assert_eq!(Visitors::new(Some(Approval::No)).handle(&told(&[7])), [(7, false)]);
        assert_eq!(Visitors::new(None).handle(&told(&[7])), []);
    }

    #[test]
    fn answers_are_read() {
        assert_eq!("yes".parse(), Ok(Approval::Yes));
        assert_eq!("no".parse(), Ok(Approval::No));
        let fingerprint = Fingerprint::from([2; 32]);
        assert_eq!(fingerprint.to_string().parse(), Ok(Approval::Only(fingerprint)));
        assert!("maybe".parse::<Approval>().is_err());
    }
}
