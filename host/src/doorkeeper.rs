//! Who may connect: the devices that are paired, those that the command line names, and how others come to be among them.
//!
//! Promises: whoever is let in stands in `devices.toml` before it hears so, and may connect from then on; who is taken out,
//! here or by another program, loses a live session within a second, even where it may come again because the command
//! line says so; the operator is told that then. One that is taken out here is out at once, also where the list cannot be
//! written: until the program ends, and the operator is told that, too. A device that waits is let in by the operator's
//! word, or by that of a session whose device is trusted by name. Refuses: the word of a session that is only there
//! because the host is open to everyone.

mod asks;
mod seen;
mod sparing;

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use punktfunk_control::{
    ArmError, Bye, ByeReason, Device, Devices, DevicesError, Fingerprint, HostControl, HostEvent,
    PendingDevice, SessionId, Trust, TurnedAwayReason, WindowEnd, now_s,
};

use crate::say::Say;
use seen::Seen;
use sparing::Sparing;

pub use asks::pending;

/// How often it is looked whether another program has changed the devices: with a session's last words well within a
/// second.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Who may connect.
pub struct Doorkeeper {
    devices: Devices,
    /// Trusted by `--trust`, as long as the program runs.
    named: Vec<Fingerprint>,
    is_open: bool,
    host_name: String,
    looked_at: Instant,
    /// What the last look said was wrong, so that it is said once.
    is_unreadable: bool,
    /// What came of the last window.
    closed: Option<Closed>,
    /// Who of the devices control has been told of: what differs from the list has yet to be followed.
    followed: Vec<Fingerprint>,
    /// Whether control has not taken the last change, so that it is said once.
    is_unfollowed: bool,
    /// Who is out though the list may name it yet.
    withdrawn: Vec<Fingerprint>,
    seen: Seen,
    /// Lines about those that are turned away.
    rejected: Sparing<IpAddr>,
    /// Lines about those that knock.
    knocks: Sparing<IpAddr>,
    /// Who waits, as far as it has been said.
    waiting: Vec<SessionId>,
    /// Lines about words of sessions that come to nothing.
    vain: Sparing<Fingerprint>,
    say: Say,
}

/// What came of a window.
#[derive(Debug)]
enum Closed {
    /// The device of this name is paired.
    Paired(String),
    /// A device knew the PIN, and could not be let in, for this reason.
    Failed(String),
    /// Nobody has paired.
    Ended(WindowEnd),
}

/// Why an operator's word cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The device does not wait any more, or never has.
    #[error("no device waits under number {0}; it may have gone, or somebody else has decided")]
    NobodyWaits(u64),
    /// No paired device has this fingerprint.
    #[error("no paired device has the fingerprint {0}")]
    NoSuchDevice(Fingerprint),
    /// The command line says that it may connect.
    #[error("{fingerprint} is not paired any more and its session is over, and it may come again: {why}")]
    StillTrusted {
        /// Whose certificate.
        fingerprint: Fingerprint,
        /// Which option lets it in.
        why: &'static str,
    },
    /// The device is out, and the list says otherwise.
    #[error(
        "{fingerprint} is out until this host ends, and may come again after that, for it is not written down: {error}"
    )]
    Unwritten {
        /// Whose certificate.
        fingerprint: Fingerprint,
        /// Why the list cannot be written.
        #[source]
        error: DevicesError,
    },
    /// The list of devices.
    #[error(transparent)]
    Devices(#[from] DevicesError),
}

impl Doorkeeper {
    /// Reads who is paired, from the identity's folder.
    ///
    /// # Errors
    /// The list cannot be read.
    pub fn new(
        folder: &Path,
        (is_open, named): (bool, Vec<Fingerprint>),
        host_name: String,
        say: Say,
        now: Instant,
    ) -> Result<Self, DevicesError> {
        let devices = Devices::load(folder)?;
        Ok(Self {
            followed: devices.fingerprints(),
            devices,
            named,
            is_open,
            host_name,
            looked_at: now,
            is_unreadable: false,
            closed: None,
            is_unfollowed: false,
            withdrawn: Vec::new(),
            seen: Seen::new(folder),
            rejected: Sparing::new(),
            knocks: Sparing::new(),
            waiting: Vec::new(),
            vain: Sparing::new(),
            say,
        })
    }

    /// The name that a device was paired by.
    pub fn device_name(&self, fingerprint: &Fingerprint) -> Option<&str> {
        self.devices.find(fingerprint).map(|device| device.name.as_str())
    }

    /// Whom control is to believe.
    pub fn trust(&self) -> Trust {
        if self.is_open {
            return Trust::Open;
        }
        Trust::Pinned(self.named.iter().copied().chain(self.believed()).collect())
    }

    /// Opens the window for a device that knows the PIN, and says the PIN.
    ///
    /// # Errors
    /// After too many wrong PINs, until their wait is over.
    pub fn arm(
        &mut self,
        control: &mut HostControl,
        lifetime: Duration,
        now: Instant,
    ) -> Result<(), ArmError> {
        self.open(control, (lifetime, false), now)
    }

    fn open(
        &mut self,
        control: &mut HostControl,
        (lifetime, is_shown): (Duration, bool),
        now: Instant,
    ) -> Result<(), ArmError> {
        let armed = control.arm_pairing(lifetime, now)?;
        self.closed = None;
        self.say.pairing(&armed.pin.reveal(), armed.until.saturating_duration_since(now), is_shown);
        Ok(())
    }

    /// Lets a device in that waits, under its own name or another one.
    ///
    /// # Errors
    /// It does not wait any more, or cannot be written down.
    pub fn approve(
        &mut self,
        control: &mut HostControl,
        number: u64,
        name: Option<&str>,
        now: Instant,
    ) -> Result<Device, DoorError> {
        let PendingDevice { id, name: own, fingerprint, .. } = waiting(control, number)?;
        self.let_in(control, id, fingerprint, name.unwrap_or(&own), now)?;
        self.devices.find(&fingerprint).cloned().ok_or(DoorError::NoSuchDevice(fingerprint))
    }

    /// Turns a device away that waits.
    ///
    /// # Errors
    /// It does not wait any more.
    pub fn deny(&mut self, control: &mut HostControl, number: u64, now: Instant) -> Result<(), DoorError> {
        let PendingDevice { id, name, fingerprint, .. } = waiting(control, number)?;
        let denied = control.turn_away(id, TurnedAwayReason::Denied, now);
        denied.map_err(|_| DoorError::NobodyWaits(number))?;
        self.say.denied(&name, fingerprint);
        Ok(())
    }

    /// Gives a device another name.
    ///
    /// # Errors
    /// There is none, or it cannot be written down.
    pub fn rename(
        &mut self,
        control: &mut HostControl,
        fingerprint: Fingerprint,
        name: &str,
        now: Instant,
    ) -> Result<Device, DoorError> {
        self.devices.rename(&fingerprint, name)?;
        self.follow(control, now);
        self.devices.find(&fingerprint).cloned().ok_or(DoorError::NoSuchDevice(fingerprint))
    }

    /// Takes a device's trust away; a session of it ends, before anything is written.
    ///
    /// # Errors
    /// There is none, it is out and that cannot be written down, or the command line lets the device in all the same.
    pub fn revoke(
        &mut self,
        control: &mut HostControl,
        fingerprint: Fingerprint,
        now: Instant,
    ) -> Result<(), DoorError> {
        let is_named = self.named.contains(&fingerprint);
        if self.devices.find(&fingerprint).is_some() && !self.withdrawn.contains(&fingerprint) {
            self.withdrawn.push(fingerprint);
        }
        self.follow(control, now);
        end_sessions(control, &fingerprint, now);
        let removed = self.devices.remove(&fingerprint);
        self.follow(control, now);
        let was_known = match removed {
            Ok(was_known) => was_known,
            Err(error) if is_named || self.is_open => return Err(error.into()),
            Err(error) => return Err(DoorError::Unwritten { fingerprint, error }),
        };
        if !was_known && !is_named {
            return Err(DoorError::NoSuchDevice(fingerprint));
        }
        match (is_named, self.is_open) {
            (true, _) => Err(DoorError::StillTrusted { fingerprint, why: "it is named by --trust" }),
            (false, true) => Err(DoorError::StillTrusted { fingerprint, why: "the host runs with --open" }),
            (false, false) => Ok(()),
        }
    }

    /// Follows what other programs have changed.
    pub fn poll(&mut self, control: &mut HostControl, now: Instant) {
        if now.saturating_duration_since(self.looked_at) < LOOK_INTERVAL {
            return;
        }
        self.looked_at = now;
        self.seen.poll();
        self.say_sums(now);
        self.look(control, now);
    }

    /// Reads the list, where it has changed.
    fn look(&mut self, control: &mut HostControl, now: Instant) {
        match self.devices.poll_changed() {
            Ok(false) => {}
            Ok(true) => self.is_unreadable = false,
            Err(error) => {
                if !std::mem::replace(&mut self.is_unreadable, true) {
                    tracing::error!(%error, "the paired devices stay as they were");
                }
            }
        }
        self.follow(control, now);
    }

    /// What control tells of strangers, and of what sessions say about them.
    pub fn handle_event(&mut self, event: HostEvent, control: &mut HostControl, now: Instant) {
        match event {
            HostEvent::PinProven { session, name, fingerprint, remote } => {
                tracing::info!(name, %remote, %fingerprint, "a device knows the PIN");
                match self.let_in(control, session, fingerprint, &name, now) {
                    Ok(()) => self.closed = Some(Closed::Paired(name)),
                    Err(error) => {
                        tracing::error!(%error, "it cannot be written down, and is turned away");
                        self.closed = Some(Closed::Failed(error.to_string()));
                    }
                }
            }
            HostEvent::PairingClosed { end } => {
                let failed = matches!(self.closed, Some(Closed::Failed(_)));
                self.say.pairing_closed(end, failed);
                if !matches!(self.closed, Some(Closed::Paired(_) | Closed::Failed(_))) {
                    self.closed = Some(Closed::Ended(end));
                }
            }
            HostEvent::PendingChanged => {
                self.say_pending(control.pending(), now);
                let sessions: Vec<_> = control.running().collect();
                for (session, fingerprint) in sessions {
                    self.tell(control, session, &fingerprint, now);
                }
            }
            HostEvent::PendingDecided { by, pending, is_approved, .. } => {
                self.handle_decision(by, pending, is_approved, control, now);
            }
            HostEvent::Rejected { remote, reason }
                if self.rejected.may_say(remote.ip().to_canonical(), now) =>
            {
                self.say.rejected(remote, &reason);
            }
            _ => {}
        }
    }

    /// Says who waits; of each that is new, a line in the log, as long as its address has not had enough of them.
    fn say_pending(&mut self, pending: &[PendingDevice], now: Instant) {
        for device in pending.iter().filter(|device| !self.waiting.contains(&device.id)) {
            if self.knocks.may_say(device.remote.ip().to_canonical(), now) {
                self.say.asks(device, now);
            }
        }
        self.waiting = pending.iter().map(|device| device.id).collect();
        self.say.pending(pending, now);
    }

    /// How many lines were not said, now and then.
    fn say_sums(&mut self, now: Instant) {
        for (from, count) in self.rejected.poll(now) {
            self.say.rejected_more(from, count);
        }
        for (from, count) in self.knocks.poll(now) {
            let from = from.map(|from| from.to_string());
            tracing::info!(
                from = from.as_deref().unwrap_or("elsewhere"),
                count,
                "devices have asked more often"
            );
        }
        for (by, count) in self.vain.poll(now) {
            let by = by.map(|by| by.to_string());
            tracing::warn!(by = by.as_deref().unwrap_or("others"), count, "more words came to nothing");
        }
    }

    /// A session has begun: its device is here, and may be asked about those that wait.
    pub fn handle_start(&mut self, session: SessionId, control: &mut HostControl, now: Instant) {
        let running = control.running().find(|(running, _)| *running == session);
        let Some((_, fingerprint)) = running else { return };
        if self.devices.find(&fingerprint).is_some() {
            self.seen.note(fingerprint, now_s());
        }
        if !control.pending().is_empty() {
            self.tell(control, session, &fingerprint, now);
        }
    }

    /// The program ends: nobody is to wait any more.
    pub fn leave(&mut self, control: &mut HostControl, now: Instant) {
        control.cancel_pairing(now);
        let waiting: Vec<_> = control.pending().iter().map(|device| device.id).collect();
        for id in waiting {
            // Whoever has gone meanwhile needs no word.
            let _ = control.turn_away(id, TurnedAwayReason::ShuttingDown, now);
        }
    }

    fn handle_decision(
        &mut self,
        by: Fingerprint,
        pending: SessionId,
        is_approved: bool,
        control: &mut HostControl,
        now: Instant,
    ) {
        // Who has been taken out a moment ago has no word any more.
        self.look(control, now);
        if !self.is_trusted_by_name(&by) {
            if self.vain.may_say(by, now) {
                tracing::warn!(%by, "a session of a device that is not paired wants to decide about another one");
            }
            return;
        }
        let number = pending.number();
        let done = if is_approved {
            self.approve(control, number, None, now).map(drop)
        } else {
            self.deny(control, number, now)
        };
        match done {
            Ok(()) => tracing::info!(%by, is_approved, "a paired device has decided"),
            Err(error) if self.vain.may_say(by, now) => {
                tracing::warn!(%by, %error, "a paired device's word came to nothing");
            }
            Err(_) => {}
        }
    }

    fn is_trusted_by_name(&self, fingerprint: &Fingerprint) -> bool {
        self.named.contains(fingerprint) || self.believed().any(|believed| believed == *fingerprint)
    }

    fn tell(&self, control: &mut HostControl, session: SessionId, device: &Fingerprint, now: Instant) {
        if self.is_trusted_by_name(device)
            && let Err(error) = control.send_pending(session, now)
        {
            tracing::debug!(%error, "a session does not hear who waits");
        }
    }

    /// Writes the device down, lets control believe it, and only then tells it.
    fn let_in(
        &mut self,
        control: &mut HostControl,
        id: SessionId,
        fingerprint: Fingerprint,
        name: &str,
        now: Instant,
    ) -> Result<(), DoorError> {
        if let Err(error) = self.devices.add(fingerprint, name, now_s()) {
            let _ = control.turn_away(id, TurnedAwayReason::Fault, now);
            return Err(error.into());
        }
        self.withdrawn.retain(|withdrawn| *withdrawn != fingerprint);
        self.follow(control, now);
        self.say.paired(name, fingerprint);
        if let Err(error) = control.admit(id, &self.host_name, now) {
            tracing::warn!(%error, "the device has gone before it was told; it is let in all the same");
        }
        Ok(())
    }

    /// Lets control believe whom the list names now. Every change reads what others have written too, so what is
    /// compared is the list with what control was told last, and not what the last change was meant to do.
    fn follow(&mut self, control: &mut HostControl, now: Instant) {
        // Whom the list does not name any more is out by that.
        self.withdrawn.retain(|withdrawn| self.devices.find(withdrawn).is_some());
        let believed: Vec<_> = self.believed().collect();
        if believed == self.followed {
            return;
        }
        for gone in self.followed.iter().filter(|known| !believed.contains(known)) {
            end_sessions(control, gone, now);
        }
        match control.set_trust(self.trust(), now) {
            Ok(()) => {
                tracing::info!(devices = believed.len(), "the paired devices have changed");
                (self.followed, self.is_unfollowed) = (believed, false);
            }
            // The next look tries again.
            Err(error) if !self.is_unfollowed => {
                tracing::error!(%error, "whom to believe cannot be changed");
                self.is_unfollowed = true;
            }
            Err(_) => {}
        }
    }

    /// The devices that may connect because the list says so.
    fn believed(&self) -> impl Iterator<Item = Fingerprint> + '_ {
        self.devices.fingerprints().into_iter().filter(|device| !self.withdrawn.contains(device))
    }
}

/// Ends what a device has running, which may be allowed to come again.
fn end_sessions(control: &mut HostControl, device: &Fingerprint, now: Instant) {
    let running: Vec<_> = control.running().filter(|(_, whose)| whose == device).collect();
    for (session, _) in running {
        if let Err(error) = control.bye(session, &Bye::new(ByeReason::TrustWithdrawn, ""), now) {
            tracing::debug!(%error, "a session of a device that is out has ended by itself");
        }
    }
}

fn waiting(control: &HostControl, number: u64) -> Result<PendingDevice, DoorError> {
    let found = control.pending().iter().find(|device| device.id.number() == number);
    found.cloned().ok_or(DoorError::NobodyWaits(number))
}

#[cfg(test)]
mod tests;
