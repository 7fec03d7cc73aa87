//! What a session's media is sealed with, and why: for the log, the summary and people.

use std::fmt;

use punktfunk_engine::Openers;
use punktfunk_proto::{Negotiated, ReassemblerLimits};
use punktfunk_seal::{Backend, Cipher, CipherReason, Direction, Opener, Plane, PlaneKeys, Secret};
use serde_json::{Value, json};

use crate::error::ClientError;
use crate::ground::Ground;

/// What was agreed, and what this end opens with.
#[derive(Debug, Clone, Copy)]
pub struct Sealing {
    /// What was agreed on.
    pub cipher: Cipher,
    /// Why, as this end sees it.
    pub reason: CipherReason,
    /// What does the work here.
    pub opened_by: Backend,
}

impl Sealing {
    /// What a Welcome has made of this end's ciphers.
    ///
    /// # Errors
    /// This end has not offered it.
    pub fn of(cipher: Cipher, ground: &Ground) -> Result<Self, ClientError> {
        let reason = ground
            .ciphers
            .reason(cipher, None)
            .ok_or_else(|| ClientError::Welcome(format!("we did not offer {cipher}")))?;
        let sealing = Self { cipher, reason, opened_by: ground.seal.opening(cipher) };
        tracing::info!("media is {sealing}");
        Ok(sealing)
    }

    /// What opens each plane of a session with this secret.
    pub fn openers(&self, secret: &Secret, negotiated: &Negotiated) -> Openers {
        let keys = |plane| {
            PlaneKeys::new(secret, self.cipher, Direction::HostToClient, plane).with_backend(self.opened_by)
        };
        let window = ReassemblerLimits::from(negotiated).replay_window;
        Openers::with_probe(Opener::new(keys(Plane::Video), window), keys(Plane::Probe))
    }

    /// A part of the summary.
    pub fn json(&self) -> Value {
        json!({
            "cipher": self.cipher.to_string(),
            "reason": self.reason.to_string(),
            "opened_by": self.opened_by.to_string(),
        })
    }
}

impl fmt::Display for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sealed with {} ({}), opened by {}", self.cipher, self.reason, self.opened_by)
    }
}
