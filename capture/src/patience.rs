//! How long somebody waits for a first picture, and whether anybody still does.
//!
//! Promises: what is being waited for hears within [`Patience::LOOK_INTERVAL`] that nobody waits any more. Refuses
//! nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long somebody waits, and whether anybody still does. Its clones are the same somebody's.
#[derive(Clone, Debug)]
pub struct Patience {
    /// When the answer must be there.
    pub until: Instant,
    /// The same where a person is asked, who may have to find the dialog first: no earlier.
    pub person_until: Instant,
    /// Whether nobody waits any more.
    pub given_up: Arc<AtomicBool>,
}

impl Patience {
    /// How soon it is noticed that nobody waits any more.
    pub const LOOK_INTERVAL: Duration = Duration::from_millis(50);

    /// Somebody's who waits until then, for a person, too.
    pub fn until(until: Instant) -> Self {
        Self { until, person_until: until, given_up: Arc::default() }
    }

    /// The same with what a person would have.
    #[must_use]
    pub fn as_for_a_person(&self) -> Self {
        Self { until: self.person_until, ..self.clone() }
    }

    /// What is left of it.
    pub fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// Gives up.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// Whether nobody waits any more.
    pub fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    /// Whether it is over, one way or the other.
    pub fn is_over(&self) -> bool {
        self.is_given_up() || self.left().is_zero()
    }
}

impl From<Duration> for Patience {
    /// Somebody's who waits for so long from now on.
    fn from(patience: Duration) -> Self {
        Self::until(Instant::now() + patience)
    }
}
