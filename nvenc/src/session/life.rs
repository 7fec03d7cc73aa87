//! How a session dies, and is made anew.
//!
//! Promises: one that died is made anew once, and what its driver still has out goes when it is home, without a wait for it.
//! A driver whose answers cannot be is read with more care from the next picture on.

use super::Session;
use crate::config::{Readback, Tier};
use crate::encoder::Encoder;
use crate::error::{Nonsense, NvencError, Said};
use crate::limits::{PICTURE_MAX, REBUILD_PICTURES};
use crate::live::Live;
use crate::sys::NV_ENC_ERR_ENCODER_NOT_INITIALIZED;

impl Session {
    /// Makes a dead session anew, if that was not tried a moment ago.
    pub(super) fn rebuild(&mut self) -> Result<(), NvencError> {
        let death = self.death.clone().unwrap_or_else(|| gone("nvEncEncodePicture"));
        if self.since_rebuild.is_some_and(|pictures| pictures < REBUILD_PICTURES) {
            return Err(after_rebuild(death));
        }
        self.since_rebuild = Some(0);
        self.counts.rebuilds += 1;
        self.reopen()
    }

    /// Ends the driver's session, and begins another as it is planned now, with an IDR.
    pub(super) fn reopen(&mut self) -> Result<(), NvencError> {
        if let Some(live) = self.live.take() {
            let (inputs, before) = (live.inputs().counts, &mut self.inputs_before);
            before.registered += inputs.registered;
            before.found += inputs.found;
            before.evicted += inputs.evicted;
            self.busy_before += live.busy();
            self.uncut_before += live.uncut();
            self.waited_before |= live.waits();
            // Whoever has slices of it may be waiting for this very thread.
            if live.has_lent() {
                self.leaving.push(live);
            }
        }
        if std::mem::take(&mut self.whole_is_due) {
            self.caps.sub_frame = false;
            self.plan.readback = Readback::Whole;
        }
        self.plan.tier = Tier::of(&self.config);
        let encoder = Encoder::open(&self.library, &self.ground)?;
        self.live = Some(Live::start(encoder, &self.config, &self.plan)?);
        self.references.clear();
        self.idr_is_due = true;
        self.death = None;
        Ok(())
    }

    /// Remembers what ends the session.
    pub(super) fn bury(&mut self, error: &NvencError) {
        if error.is_session_lost() {
            self.death = Some(error.clone());
        }
    }

    /// Gives up a picture whose `InFlight` was forgotten instead of dropped: its buffers are the encoder's still.
    pub(super) fn settle(&mut self) {
        self.leaving.retain(Live::has_lent);
        if self.death.is_none() {
            self.abandon();
        }
    }

    /// What follows from an answer, which may have been of a picture that was not done.
    pub(super) fn judge(&mut self, error: &NvencError, is_partial: bool) {
        self.idr_is_due = true;
        self.bury(error);
        let NvencError::Hostile { what, .. } = error else { return };
        // Offsets that are wrong in the end were wrong when slices were given by them.
        let are_offsets = matches!(what, Nonsense::Offset { .. } | Nonsense::Count { .. });
        if is_partial || are_offsets && self.plan.readback == Readback::SubFrame {
            self.whole_is_due = true;
            self.counts.reads_whole = 1;
        } else {
            // A driver that moves what it called finished, or miscounts, is not trusted about the newest slice any more.
            self.holds_back |= matches!(what, Nonsense::Moved { .. } | Nonsense::Slices { .. });
        }
    }

    /// Gives up what is still encoded.
    pub(super) fn abandon(&mut self) {
        let Some(live) = self.live.as_mut().filter(|live| live.is_encoding()) else { return };
        self.counts.abandoned += 1;
        self.current = None;
        self.idr_is_due = true;
        if self.death.is_some() {
            return;
        }
        if let Err(error) = live.abandon(PICTURE_MAX) {
            // Whatever it was: nothing is known of the session's state any more.
            self.death = Some(if error.is_session_lost() { error } else { gone("nvEncLockBitstream") });
        }
    }
}

/// The death of a session of which nothing more is known.
pub(super) fn gone(call: &'static str) -> NvencError {
    let said = Said { status: NV_ENC_ERR_ENCODER_NOT_INITIALIZED, words: String::new() };
    NvencError::Died { call, said, rebuilt: false }
}

/// The same, told of a session that was made anew already.
fn after_rebuild(death: NvencError) -> NvencError {
    match death {
        NvencError::Died { call, said, .. } => NvencError::Died { call, said, rebuilt: true },
        other => other,
    }
}
