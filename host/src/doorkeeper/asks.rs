//! What the management API asks about pairing and devices, and what it shows of them.
//!
//! Promises: each ask is answered once; a refusal says why and what to do. Refuses asks about anything else: they are
//! handed back.

use std::time::{Duration, Instant};

use punktfunk_control::{ArmError, Device, Fingerprint, HostControl, PendingDevice, WindowEnd, now_s};
use punktfunk_manage::model::{self, Pairing, PairingState};
use punktfunk_manage::{Ask, Refused, Why};

use super::{Closed, DoorError, Doorkeeper};

/// What a device is called that only the command line names.
const NAMED: &str = "named by --trust";

impl Doorkeeper {
    /// Answers an ask about pairing or devices; another one comes back.
    pub fn answer(&mut self, ask: Ask, control: &mut HostControl, now: Instant) -> Option<Ask> {
        match ask {
            Ask::ArmPairing { seconds, reply } => {
                let armed = self.open(control, (Duration::from_secs(seconds.into()), true), now);
                reply.answer(armed.map(|()| self.pairing(control, now)).map_err(too_soon));
            }
            Ask::CancelPairing { reply } => {
                control.cancel_pairing(now);
                self.closed = None;
                reply.answer(Ok(self.pairing(control, now)));
            }
            Ask::Approve { request, name, reply } => {
                let approved = self.approve(control, request, name.as_deref(), now);
                reply.answer(approved.map(|device| self.shown(&device, control)).map_err(refused));
            }
            Ask::Deny { request, reply } => reply.answer(self.deny(control, request, now).map_err(refused)),
            Ask::Devices { reply } => reply.answer(Ok(self.all(control))),
            Ask::RenameDevice { fingerprint, name, reply } => {
                let renamed = read(&fingerprint)
                    .and_then(|known| self.rename(control, known, &name, now).map_err(refused));
                reply.answer(renamed.map(|device| self.shown(&device, control)));
            }
            Ask::RevokeDevice { fingerprint, reply } => {
                let revoked =
                    read(&fingerprint).and_then(|known| self.revoke(control, known, now).map_err(refused));
                reply.answer(revoked);
            }
            other => return Some(other),
        }
        None
    }

    /// The window, for the console.
    pub fn pairing(&self, control: &HostControl, now: Instant) -> Pairing {
        let wait_s = control.pairing_wait(now).map(|wait| wait.as_secs() + 1);
        let failures = control.pairing_failures();
        if let Some(armed) = control.pairing_window() {
            let left_s = armed.until.saturating_duration_since(now).as_secs();
            let (pin, left_s) = (Some(armed.pin.reveal()), Some(left_s));
            let state = PairingState::Armed;
            return Pairing { state, pin, left_s, failures, wait_s, ..Pairing::default() };
        }
        let (state, paired, fault) = match &self.closed {
            Some(Closed::Paired(name)) => (PairingState::Paired, Some(name.clone()), None),
            Some(Closed::Failed(why)) => (PairingState::Failed, None, Some(why.clone())),
            Some(Closed::Ended(WindowEnd::Failures)) => (PairingState::Disarmed, None, None),
            Some(Closed::Ended(WindowEnd::Expired)) => (PairingState::Expired, None, None),
            Some(Closed::Ended(WindowEnd::Cancelled | WindowEnd::Used)) | None => {
                (PairingState::Closed, None, None)
            }
        };
        Pairing { state, failures, paired, fault, wait_s, ..Pairing::default() }
    }

    fn all(&self, control: &HostControl) -> Vec<model::Device> {
        let paired = self.devices.all().iter().map(|device| self.shown(device, control));
        let unpaired = self.named.iter().filter(|named| self.devices.find(named).is_none());
        let named = unpaired.map(|fingerprint| model::Device {
            fingerprint: fingerprint.to_string(),
            name: NAMED.to_owned(),
            paired_at_s: None,
            last_seen_at_s: None,
            connected: is_here(fingerprint, control),
        });
        paired.chain(named).collect()
    }

    fn shown(&self, device: &Device, control: &HostControl) -> model::Device {
        model::Device {
            fingerprint: device.fingerprint.to_string(),
            name: device.name.clone(),
            paired_at_s: Some(device.paired_at),
            last_seen_at_s: device.last_seen_at,
            connected: is_here(&device.fingerprint, control),
        }
    }
}

/// Those that wait, for the console.
pub fn pending(control: &HostControl, now: Instant) -> Vec<model::PendingDevice> {
    let shown = |device: &PendingDevice| model::PendingDevice {
        id: device.id.number(),
        name: device.name.clone(),
        fingerprint: device.fingerprint.to_string(),
        remote: device.remote.to_string(),
        requested_at_s: now_s().saturating_sub(now.saturating_duration_since(device.requested_at).as_secs()),
        left_s: device.left(now).as_secs(),
    };
    control.pending().iter().map(shown).collect()
}

fn is_here(fingerprint: &Fingerprint, control: &HostControl) -> bool {
    control.running().any(|(_, running)| running == *fingerprint)
}

fn read(fingerprint: &str) -> Result<Fingerprint, Refused> {
    let read = fingerprint.parse::<Fingerprint>();
    read.map_err(|error| Refused::new(Why::Invalid, error.to_string(), "take it from the list of devices"))
}

fn too_soon(error: ArmError) -> Refused {
    Refused::new(
        Why::TooSoon,
        error.to_string(),
        "wait, and find out who has been guessing: the log names addresses",
    )
}

fn refused(error: DoorError) -> Refused {
    let (why, remedy) = match &error {
        DoorError::NobodyWaits(_) => (Why::NotFound, "let the device ask anew"),
        DoorError::NoSuchDevice(_) => (Why::NotFound, "take its fingerprint from the list of devices"),
        DoorError::StillTrusted { .. } => (Why::Conflict, "start the host without that option"),
        DoorError::Unwritten { .. } => {
            (Why::Failed, "mend the file that the error names, and revoke the device again")
        }
        DoorError::Devices(_) => (Why::Failed, "look at the file that the error names"),
    };
    Refused::new(why, error.to_string(), remedy)
}
