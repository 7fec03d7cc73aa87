//! What a session's media is sealed with, and why: for the log, the summary and people.

use std::fmt;

use punktfunk_seal::{Backend, Cipher, CipherReason};
use serde_json::{Value, json};

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
