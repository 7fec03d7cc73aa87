//! What became of a running host's announcement on the local network, as its own thread last said.
//!
//! Promises: whoever has a copy sees what was said last, and nobody waits for anybody.

use std::sync::{Arc, Mutex, PoisonError};

/// The word on it: one side says it, the doctor's looks read it.
#[derive(Clone, Debug, Default)]
pub struct Announced(Arc<Mutex<Word>>);

/// What was said last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Word {
    /// It is on its way, or there is no host.
    #[default]
    Nothing,
    /// The network has heard of it under this name.
    As(String),
    /// The host was not to announce itself, and why.
    NotWished(String),
    /// The network has not heard of it, and why.
    Unheard(String),
}

impl Announced {
    /// The network has heard of the host under this name.
    pub fn heard_as(&self, name: &str) {
        self.say(Word::As(name.to_owned()));
    }

    /// The host does not announce itself: nobody wishes it, or nobody could come.
    pub fn not_wished(&self, why: &str) {
        self.say(Word::NotWished(why.to_owned()));
    }

    /// It was tried, and nobody has heard.
    pub fn unheard(&self, why: &str) {
        self.say(Word::Unheard(why.to_owned()));
    }

    // A word is whole whenever the lock is free, whatever became of who had it.
    fn say(&self, word: Word) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = word;
    }

    pub(crate) fn last(&self) -> Word {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
