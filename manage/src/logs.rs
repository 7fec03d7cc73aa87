//! The last lines of the program's log, for the console.
//!
//! Promises: bounded in lines and in each line's length; the same events that the log on standard error has, under
//! the same filter where it is attached beneath it. Refuses nothing: what must not be logged is not logged at all.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::limits::{LOG_LINE_BYTES_MAX, LOG_LINES_MAX};
use crate::model::LogLine;

/// The last lines. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct LogRing(Arc<Mutex<Ring>>);

#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<LogLine>,
    said: u64,
}

impl LogRing {
    /// What hands the program's events to this ring.
    pub fn layer(&self) -> LogLayer {
        LogLayer(self.clone())
    }

    /// The lines after number `after`, the oldest first; all of them, where no line has had that number yet: then it is
    /// of another life of the program.
    pub(crate) fn after(&self, after: u64) -> Vec<LogLine> {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let after = if after > ring.said { 0 } else { after };
        ring.lines.iter().filter(|line| line.number > after).cloned().collect()
    }

    fn push(&self, level: &str, target: &str, text: String) {
        let at_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.said += 1;
        let line = LogLine {
            number: ring.said,
            at_ms: u64::try_from(at_ms).unwrap_or(u64::MAX),
            level: level.to_owned(),
            target: target.to_owned(),
            text,
        };
        if ring.lines.len() == LOG_LINES_MAX {
            ring.lines.pop_front();
        }
        ring.lines.push_back(line);
    }
}

/// Hands events to a [`LogRing`].
#[derive(Clone, Debug)]
pub struct LogLayer(LogRing);

impl<S: Subscriber> Layer<S> for LogLayer {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let metadata = event.metadata();
        self.0.push(metadata.level().as_str(), metadata.target(), text.0);
    }
}

/// An event's message and fields, as one line.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let space = if self.0.is_empty() { "" } else { " " };
        // Writing into a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{space}{value:?}"),
            name => write!(self.0, "{space}{name}={value:?}"),
        };
        if self.0.len() > LOG_LINE_BYTES_MAX {
            let mut end = LOG_LINE_BYTES_MAX;
            while !self.0.is_char_boundary(end) {
                end -= 1;
            }
            self.0.truncate(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn the_last_lines_stay_and_each_has_its_number() {
        let ring = LogRing::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(ring.layer()), || {
            tracing::info!(kbps = 500, "hello");
            tracing::warn!(text = "ü".repeat(LOG_LINE_BYTES_MAX), "long");
            for _ in 0..LOG_LINES_MAX {
                tracing::debug!("more");
            }
        });
        let lines = ring.after(0);
        assert_eq!(lines.len(), LOG_LINES_MAX);
        assert_eq!(lines[0].number, 3, "the oldest two have gone");
        assert_eq!(ring.after(1_001).len(), 1);
        assert_eq!(ring.after(1_002).len(), 0);
        assert_eq!(ring.after(1_003).len(), LOG_LINES_MAX, "a number of another life");
    }

    #[test]
    fn a_line_says_what_the_event_says_and_is_cut_between_characters() {
        let ring = LogRing::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(ring.layer()), || {
            tracing::info!(kbps = 500, "hello");
            tracing::warn!(text = "ü".repeat(LOG_LINE_BYTES_MAX), "long");
        });
        let lines = ring.after(0);
        assert_eq!((lines[0].level.as_str(), lines[0].text.as_str()), ("INFO", "hello kbps=500"));
        assert!(lines[1].text.len() <= LOG_LINE_BYTES_MAX);
    }
}
