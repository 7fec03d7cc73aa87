//! How far it is, on standard error: a line that is written over where that is a terminal, and a line every few
//! seconds where it is not. Never a word on standard output.

use std::io::{IsTerminal, Write as _};
use std::time::{Duration, Instant};

const SHOWN_EACH_TERMINAL: Duration = Duration::from_millis(100);
const SHOWN_EACH: Duration = Duration::from_secs(5);

/// Counts up to a known number.
#[derive(Debug)]
pub struct Progress {
    of: usize,
    what: &'static str,
    is_terminal: bool,
    begun_at: Instant,
    /// `None` for one that says nothing.
    shown_at: Option<Instant>,
}

impl Progress {
    /// Counts `of` of `what`.
    pub fn new(of: usize, what: &'static str) -> Progress {
        let now = Instant::now();
        let is_terminal = std::io::stderr().is_terminal();
        Progress { of, what, is_terminal, begun_at: now, shown_at: Some(now) }
    }

    /// Counts and says nothing.
    pub fn silent() -> Progress {
        Progress { shown_at: None, ..Progress::new(0, "") }
    }

    /// So many are done.
    pub fn step(&mut self, done: usize) {
        let Some(shown_at) = self.shown_at.as_mut() else { return };
        let each = if self.is_terminal { SHOWN_EACH_TERMINAL } else { SHOWN_EACH };
        if shown_at.elapsed() < each {
            return;
        }
        *shown_at = Instant::now();
        let line = format!("{done} of {} {}, {} s", self.of, self.what, self.begun_at.elapsed().as_secs());
        // Nothing hangs on a terminal that refuses.
        if self.is_terminal {
            eprint!("\r{line}\x1b[K");
            let _ = std::io::stderr().flush();
        } else {
            eprintln!("{line}");
        }
    }

    /// Clears the line.
    pub fn finish(&self) {
        if self.shown_at.is_some() && self.is_terminal {
            eprint!("\r\x1b[K");
        }
    }
}
