//! What the stage learns of the link, and the rates that it goes by: the encoder's and the pacer's.
//!
//! Promises: the encoder's rate has one writer; each change is logged once. Refuses: to learn from a speed test's filler.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use punktfunk_proto::{BitrateChange, BitrateReason, FeedbackReport, Pace, RateChange};

use super::ProtectStage;

impl<S: AsRef<[u8]>> ProtectStage<S> {
    /// Learns of the path and of the link from what the client saw.
    pub(super) fn measure(&mut self, report: &FeedbackReport, now: Instant) {
        // What filler does to the path is no news of video.
        if self.is_filling() {
            return;
        }
        if self.path.handle_report(report, now) {
            self.shrink_path("no long datagram arrives any more");
        }
        let change = self.link.as_mut().and_then(|link| link.handle_report(report, now));
        self.note_rate(change);
        if let (Some(bitrate), Some(link)) = (&mut self.bitrate, &mut self.link) {
            let change = bitrate.handle_report(report, link, now);
            self.follow(change);
        }
    }

    /// Another wire rate was agreed on.
    pub(super) fn handle_wire_rate(&mut self, kbps: u32) {
        let Some(bitrate) = &mut self.bitrate else { return self.set_wire_rate(kbps) };
        let change = bitrate.set_asked(kbps);
        self.follow(change);
    }

    /// Another mode: what waits for a picture, and what a decoder's time is compared with, goes by its interval.
    pub(super) fn handle_interval(&mut self, interval: Duration) {
        self.patience = interval;
        if let Some(bitrate) = &mut self.bitrate {
            bitrate.set_interval(interval);
        }
    }

    /// Says what has become of the rate, and goes by it.
    pub(super) fn follow(&mut self, change: Option<BitrateChange>) {
        let Some(BitrateChange { reason, before_kbps, now_kbps }) = change else { return };
        tracing::debug!(reason = reason.as_str(), before_kbps, now_kbps, "the bitrate");
        if reason == BitrateReason::Futile && !std::mem::replace(&mut self.is_futile_said, true) {
            tracing::warn!(
                now_kbps,
                "a lower bitrate did not help the client; it is taken back, and tried again later"
            );
        }
        self.set_wire_rate(now_kbps);
    }

    /// The encoder has it with its next picture, and the pacer what it needs.
    fn set_wire_rate(&mut self, kbps: u32) {
        self.wishes.wire_kbps.store(kbps, Ordering::Relaxed);
        let change = self.link.as_mut().and_then(|link| link.set_wire_rate(kbps));
        self.note_rate(change);
    }

    fn note_rate(&self, change: Option<RateChange>) {
        if let Some(RateChange { reason, before, now }) = change {
            tracing::debug!(?reason, ?before, ?now, "the link's rate");
        }
    }

    pub(super) fn set_pace(&mut self, pace: Option<Pace>) {
        if let Some(Pace { rate_kbps, burst_bytes }) = pace {
            self.pacer.set_rate(rate_kbps);
            self.pacer.set_burst(burst_bytes);
        }
    }
}
