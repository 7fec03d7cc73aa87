//! How far the demo is: a bar where a person looks on, a line now and then where a log is kept.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const CELLS: usize = 30;
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Draws on standard error.
#[derive(Debug)]
pub(crate) struct Progress {
    stream: Duration,
    is_terminal: bool,
    last_line: Option<Instant>,
}

impl Progress {
    pub(crate) fn new(stream: Duration) -> Progress {
        Progress { stream, is_terminal: std::io::stderr().is_terminal(), last_line: None }
    }

    /// Shows that `streamed` has passed since the first bytes were recorded (`None` before) and how many
    /// they are by now.
    pub(crate) fn show(&mut self, streamed: Option<Duration>, recorded_bytes: u64, now: Instant) {
        let text = match streamed {
            Some(streamed) => line(streamed.min(self.stream), self.stream, recorded_bytes),
            None => "waiting for the first picture".to_owned(),
        };
        if self.is_terminal {
            eprint!("\r\x1b[K  {text}");
            let _ = std::io::stderr().flush();
        } else if self.last_line.is_none_or(|last| now.saturating_duration_since(last) >= LINE_INTERVAL) {
            eprintln!("  {text}");
            self.last_line = Some(now);
        }
    }

    /// Ends the bar's line.
    pub(crate) fn finish(&self) {
        if self.is_terminal {
            eprintln!();
        }
    }
}

fn line(streamed: Duration, stream: Duration, recorded_bytes: u64) -> String {
    let (streamed_s, stream_s) = (streamed.as_secs_f64(), stream.as_secs_f64());
    let share = if stream_s > 0.0 { streamed_s / stream_s } else { 1.0 };
    // Both are small and not negative: the cast only cuts the fraction off.
    let full = ((share * CELLS as f64) as usize).min(CELLS);
    let megabytes = recorded_bytes as f64 / 1e6;
    format!(
        "[{}{}] {streamed_s:4.1} of {stream_s:.0} s, {megabytes:.1} MB recorded",
        "#".repeat(full),
        "-".repeat(CELLS - full)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_keeps_its_length() {
        for (streamed, full) in [(0, 0), (5, 10), (15, 30), (99, 30)] {
            let line = line(Duration::from_secs(streamed), Duration::from_secs(15), 2_500_000);
            assert_eq!(line.matches('#').count(), full, "{line}");
            assert_eq!(line.matches(['#', '-']).count(), CELLS, "{line}");
            assert!(line.contains("2.5 MB"), "{line}");
        }
    }
}
