//! Changes in mid-stream, as the host answers them.
//!
//! Promises: each is said once and counted, whoever has asked for it; one is asked for at a time. Refuses nothing.

use std::time::{Duration, Instant};

use punktfunk_control::{Mode, Reconfigured};
use serde_json::{Value, json};

use crate::terminal::say;

/// How long the next command waits for the answer to the one before; a compositor takes seconds at most.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// What has been changed.
#[derive(Debug, Default)]
pub struct Changes {
    done: u64,
    refused: u64,
    /// What holds since the last one.
    now: Option<(Mode, u32)>,
    /// Until when an answer is waited for.
    awaited: Option<Instant>,
}

impl Changes {
    /// A change is asked for.
    pub fn ask(&mut self, now: Instant) {
        self.awaited = Some(now + ANSWER_MAX);
    }

    /// Whether the answer to the last one is awaited.
    pub fn is_awaited(&self, now: Instant) -> bool {
        self.awaited.is_some_and(|until| now < until)
    }

    /// The host has done it, or not.
    pub fn handle(&mut self, answer: &Reconfigured) {
        let Reconfigured { mode, bitrate_kbps, from_au, refused } = answer;
        let (width, height, hz) = (mode.width, mode.height, f64::from(mode.refresh_mhz) / 1e3);
        self.awaited = None;
        self.now = Some((*mode, *bitrate_kbps));
        if refused.is_empty() {
            self.done += 1;
            say(&format!("{width}x{height}@{hz} at {bitrate_kbps} kbit/s from access unit {from_au} on"));
        } else {
            self.refused += 1;
            say(&format!(
                "the host does not change that: {refused}; {width}x{height}@{hz} at {bitrate_kbps} kbit/s"
            ));
        }
    }

    /// For the summary.
    pub fn json(&self) -> Value {
        let now = self.now.map(|(mode, bitrate_kbps)| {
            json!({
                "width": mode.width, "height": mode.height, "refresh_hz": f64::from(mode.refresh_mhz) / 1e3,
                "bitrate_kbps": bitrate_kbps,
            })
        });
        json!({"done": self.done, "refused": self.refused, "now": now})
    }
}
