//! What one session's pictures may be coded as, and by whom: what each of its modes and rates is held to.
//!
//! Promises: once a coding is agreed on, nothing is admitted but by that ([`Codings::only`]). Refuses what the encoders
//! refuse, in their words.

use std::sync::Arc;

use punktfunk_capture::Mode;

use super::{Coding, CodingWish, Encoders, WireRate};
use crate::error::HostError;

/// What one session's pictures may be coded as.
#[derive(Debug, Clone)]
pub struct Codings {
    encoders: Arc<Encoders>,
    wish: CodingWish,
    /// What was asked for at the beginning.
    wire: WireRate,
    /// Whether openh264 has taken the card's place for good.
    has_fallen: bool,
}

impl Codings {
    /// What a client wants, of these encoders.
    pub fn new(encoders: Arc<Encoders>, wish: CodingWish, wire: WireRate) -> Self {
        Self { encoders, wish, wire, has_fallen: false }
    }

    /// What makes them.
    pub fn encoders(&self) -> &Arc<Encoders> {
        &self.encoders
    }

    /// What is wanted.
    pub fn wish(&self) -> &CodingWish {
        &self.wish
    }

    /// The first that can be had at this mode; without one, at some mode.
    ///
    /// # Errors
    /// As [`Encoders::agree`].
    pub fn agree(&self, mode: Option<Mode>) -> Result<Coding, HostError> {
        match self.has_fallen {
            true => self.encoders.agree_in_software(&self.wish, mode, self.wire),
            false => self.encoders.agree(&self.wish, mode, self.wire),
        }
    }

    /// Whether one can be had at this mode.
    ///
    /// # Errors
    /// As [`Encoders::agree`].
    pub fn check_mode(&self, mode: Mode) -> Result<(), HostError> {
        self.agree(Some(mode)).map(drop)
    }

    /// The same, held to what was agreed on.
    pub fn only(&self, coding: Coding) -> Self {
        Self { wish: CodingWish::only(coding), ..self.clone() }
    }

    /// The same, since openh264 has taken the card's place.
    pub fn in_software(&self) -> Self {
        // The rate is held by itself.
        let kbps = self.wire.kbps.min(self.wire_kbps_max(true));
        Self { has_fallen: true, wire: WireRate { kbps, ..self.wire }, ..self.clone() }
    }

    /// The most of a wire that can be filled; after the card's encoder has fallen, by openh264.
    pub fn wire_kbps_max(&self, has_fallen: bool) -> u32 {
        let most = |codec: &_| self.encoders.wire_kbps_max(*codec, self.wire, has_fallen);
        self.wish.codecs.iter().map(most).max().unwrap_or(0)
    }

    /// Whether the encoder can fill this wire rate.
    ///
    /// # Errors
    /// [`HostError::Rate`] names the most that it can.
    pub fn check_rate(&self, asked_kbps: u32, has_fallen: bool) -> Result<(), HostError> {
        let most_kbps = self.wire_kbps_max(has_fallen);
        if asked_kbps > most_kbps { Err(HostError::Rate { asked_kbps, most_kbps }) } else { Ok(()) }
    }
}
