//! Pairing, as the host's program steers it: the window, those that wait, and who is let in.
//!
//! Promises: whoever is let in has been written down by the program before it hears so. Refuses: to decide by itself.

use std::time::{Duration, Instant};

use super::HostControl;
use super::stranger::{Step, Stranger};
use super::tidings::Tidings;
use crate::error::ControlError;
use crate::event::{HostEvent, SessionId};
use crate::messages::{Message, PendingDevices, PendingEntry};
use crate::pairing::{ArmError, ArmedWindow, Desk, PendingDevice, TurnedAwayReason};

impl HostControl {
    /// Opens the window for one device that knows the PIN, for two minutes at most.
    ///
    /// # Errors
    /// After too many wrong PINs, until their wait is over.
    pub fn arm_pairing(&mut self, lifetime: Duration, now: Instant) -> Result<ArmedWindow, ArmError> {
        let armed = self.desk.window.arm(lifetime, now);
        self.tell_window();
        armed
    }

    /// Closes the window; whether there was one.
    pub fn cancel_pairing(&mut self, now: Instant) -> bool {
        let was_open = self.desk.window.cancel(now);
        self.tell_window();
        was_open
    }

    /// The open window.
    pub fn pairing_window(&self) -> Option<ArmedWindow> {
        self.desk.window.status()
    }

    /// For how long no window can be opened yet: too many wrong PINs were tried.
    pub fn pairing_wait(&self, now: Instant) -> Option<Duration> {
        self.desk.window.wait(now)
    }

    /// Wrong PINs since a device was last let in.
    pub fn pairing_failures(&self) -> u32 {
        self.desk.window.failures()
    }

    /// The devices that have knocked and wait for somebody's word, oldest first.
    pub fn pending(&self) -> &[PendingDevice] {
        self.desk.pending.all()
    }

    /// Lets a device in that has proven the PIN or waits for somebody's word. It must have been written down, and
    /// [`HostControl::set_trust`] been called, because it may connect at once.
    ///
    /// # Errors
    /// When it has gone; what was written down may stay, for it was let in.
    pub fn admit(&mut self, id: SessionId, host_name: &str, now: Instant) -> Result<(), ControlError> {
        self.decide(id, |stranger, desk| stranger.admit(host_name, desk, now))
    }

    /// Turns a device away that has proven the PIN or waits for somebody's word.
    ///
    /// # Errors
    /// When it has gone.
    pub fn turn_away(
        &mut self,
        id: SessionId,
        reason: TurnedAwayReason,
        now: Instant,
    ) -> Result<(), ControlError> {
        self.decide(id, |stranger, desk| stranger.turn_away(reason, desk, now))
    }

    /// Tells a session's client who waits. Whether that client may know, and decide, is the program's business.
    ///
    /// # Errors
    /// When the session has ended, is not running, or the client does not read.
    pub fn send_pending(&mut self, session: SessionId, now: Instant) -> Result<(), ControlError> {
        let entry = |device: &PendingDevice| PendingEntry {
            id: device.id.0,
            name: device.name.clone(),
            fingerprint: *device.fingerprint.as_bytes(),
            left_s: u32::try_from(device.left(now).as_secs()).unwrap_or(u32::MAX),
        };
        let devices = self.desk.pending.all().iter().map(entry).collect();
        let session = self.session(session)?;
        session.require_running("send_pending")?;
        session.send(&Message::PendingDevices(PendingDevices { devices }))
    }

    fn decide(
        &mut self,
        id: SessionId,
        word: impl FnOnce(&mut Stranger, &mut Desk),
    ) -> Result<(), ControlError> {
        let found = self.strangers.iter_mut().find(|known| known.id == id && known.is_to_be_decided());
        let stranger = found.ok_or(ControlError::NoSuchSession(id))?;
        let waited = self.desk.pending.all().len();
        word(stranger, &mut self.desk);
        stranger.link.exchange(&mut self.port);
        if self.desk.pending.all().len() != waited {
            self.tidings.tell_pending_changed();
        }
        Ok(())
    }

    /// A connection whose TLS has agreed on pairing is no session: it goes on as a stranger's.
    pub(super) fn receive_stranger(&mut self, index: usize, now: Instant) {
        let session = self.sessions.swap_remove(index);
        let ours = self.identity.fingerprint();
        let Some(stranger) = Stranger::new(session.id, session.link, ours, now) else { return };
        self.strangers.push(stranger);
        self.advance_stranger(self.strangers.len() - 1, now);
    }

    pub(super) fn advance_stranger(&mut self, index: usize, now: Instant) {
        self.with_stranger(index, |stranger, desk, tidings| stranger.advance(desk, tidings, now), now);
    }

    pub(super) fn handle_strangers_timeout(&mut self, now: Instant) {
        self.desk.window.handle_timeout(now);
        for index in 0..self.strangers.len() {
            self.with_stranger(
                index,
                |stranger, desk, tidings| stranger.handle_timeout(desk, tidings, now),
                now,
            );
        }
        self.tell_window();
    }

    fn with_stranger(
        &mut self,
        index: usize,
        verb: impl FnOnce(&mut Stranger, &mut Desk, &mut Tidings) -> Step,
        now: Instant,
    ) {
        let waited = self.desk.pending.all().len();
        let stranger = &mut self.strangers[index];
        stranger.link.exchange(&mut self.port);
        let step = verb(stranger, &mut self.desk, &mut self.tidings);
        stranger.link.exchange(&mut self.port);
        if let Step::Waits(Some(before)) = step
            && let Some(before) = self.strangers.iter_mut().find(|known| known.id == before)
        {
            before.turn_away(TurnedAwayReason::Superseded, &mut self.desk, now);
            before.link.exchange(&mut self.port);
        }
        if step != Step::None || self.desk.pending.all().len() != waited {
            self.tidings.tell_pending_changed();
        }
        self.tell_window();
    }

    pub(super) fn tell_window(&mut self) {
        if let Some(end) = self.desk.window.poll_end() {
            self.tidings.tell(HostEvent::PairingClosed { end });
        }
    }

    /// When anything of a stranger's is due.
    pub(super) fn poll_strangers_timeout(&mut self) -> Option<Instant> {
        let strangers = self.strangers.iter_mut().filter_map(Stranger::poll_timeout).min();
        [strangers, self.desk.window.poll_timeout()].into_iter().flatten().min()
    }

    #[cfg(test)]
    pub(crate) fn stranger_links(&mut self) -> impl Iterator<Item = &mut crate::link::Link> {
        self.strangers.iter_mut().map(|stranger| &mut stranger.link)
    }
}
