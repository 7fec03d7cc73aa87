//! A session's figures at the host: the stages' samples, the PUNKTFUNK_PERF log, the statistics message, and the stages
//! of the last second for the console.

use std::fs::File;
use std::io::BufWriter;
use std::time::{Duration, Instant, SystemTime};

use punktfunk_control::{HostStats, StageSummary};
use punktfunk_engine as engine;
use punktfunk_perf::{HistogramLog, LogHeader, PerfTarget, Recorder, Stage, Summary, TimeAxis, process_cpu};

/// Collects a session's samples and writes them on.
pub struct Report {
    recorder: Recorder,
    /// The samples since the console's last look: the log's intervals are others.
    lately: Recorder,
    log: Option<HistogramLog<BufWriter<File>>>,
    axis: TimeAxis,
    interval: Duration,
    next_write: Instant,
    cpu_at_start: Duration,
}

impl Report {
    /// A report of a session that started at `start`; a log that cannot be opened there, by this
    /// name, is said and done without.
    pub fn new(
        perf: Option<&(PerfTarget, String)>,
        collectors: Vec<punktfunk_perf::Collector>,
        comments: &[String],
        start: Instant,
    ) -> Self {
        let axis = TimeAxis::host(start, SystemTime::now(), Instant::now());
        let mut recorder = Recorder::new();
        for collector in collectors {
            recorder.attach(collector);
        }
        let log = perf.and_then(|(target, role)| {
            target
                .open_log(role, &LogHeader { axis, comments })
                .inspect_err(|error| tracing::error!(%error, "no PUNKTFUNK_PERF log"))
                .ok()
        });
        let interval = perf.map_or(PerfTarget::INTERVAL_DEFAULT, |(target, _)| target.interval());
        let lately = Recorder::new();
        Self {
            recorder,
            lately,
            log,
            axis,
            interval,
            next_write: start + interval,
            cpu_at_start: process_cpu(),
        }
    }

    /// Reads the taps, and writes an interval when one is over.
    pub fn poll(&mut self, stats: &engine::HostStats, now: Instant) {
        let lately = &mut self.lately;
        self.recorder.drain_each(|stage, value| lately.record(stage, value));
        if now < self.next_write {
            return;
        }
        self.next_write = now + self.interval;
        if let Some(log) = &mut self.log {
            let until = self.axis.at(now);
            if let Err(error) = log.write_interval(&mut self.recorder, counters(stats), until) {
                tracing::error!(%error, "the PUNKTFUNK_PERF log ends here");
                self.log = None;
            }
        }
        self.recorder.end_interval();
    }

    /// The statistics message for the client.
    pub fn message(&self, stats: &engine::HostStats, last: bool, now: Instant) -> HostStats {
        let (encode, protect) = (stats.encode, stats.protect);
        HostStats {
            session_us: u64::try_from(self.axis.at(now).as_micros()).unwrap_or(u64::MAX),
            last,
            pictures_captured: encode.captured,
            pictures_superseded: encode.superseded,
            pictures_shed: encode.shed + encode.skipped,
            pictures_spoiled: encode.spoiled,
            pictures_stamped_here: encode.stamped_here,
            aus_sent: protect.sent,
            aus_dropped: protect.dropped_protect,
            idrs_sent: encode.idrs,
            recovery_points: encode.recovery_points,
            references_invalidated: encode.references_invalidated,
            idrs_no_reference: encode.idrs_no_reference,
            aus_sent_early: protect.sent_early,
            copied_capture_bytes: encode.copied_capture,
            copied_import_bytes: encode.copied_import,
            copied_slice_bytes: encode.copied_slices,
            datagrams_sent: protect.datagrams,
            wire_bytes: protect.wire_bytes,
            payload_bytes: encode.bytes,
            packets_send_dropped: protect.packets_send_dropped,
            aus_immediate: protect.immediate_aus,
            aus_paced: protect.paced_aus,
            cpu_us: u64::try_from((process_cpu() - self.cpu_at_start).as_micros()).unwrap_or(u64::MAX),
            system_calls: protect.system_calls,
            blocks_dropped_key: protect.dropped_key_exhausted,
            parity_datagrams: protect.parity_datagrams,
            datagrams_resent: protect.datagrams_resent,
            resend_asked: protect.resend_asked,
            resend_late: protect.resend_late,
            resend_gone: protect.resend_gone,
            resend_refused: protect.resend_refused,
            link_kbps: protect.link_kbps,
            link_proven: protect.link_proven,
            link_late: protect.link_late,
            link_lost: protect.link_lost,
            burst_lost: protect.burst_lost,
            rate_kbps: protect.rate_kbps,
            rate_reason: protect.bitrate_reason().as_str().to_owned(),
            rate_delay: protect.rate_delay,
            rate_loss: protect.rate_loss,
            rate_decode: protect.rate_decode,
            rate_climb: protect.rate_climb,
            rate_futile: protect.rate_futile,
            shard_bytes: protect.shard_bytes,
            path_shrunk: protect.path_shrunk,
            path_changed: protect.path_changed,
            stages: stages(|stage| self.recorder.summary(stage)),
            ..HostStats::default()
        }
    }

    /// Each stage since the last call.
    pub fn lately(&mut self) -> Vec<StageSummary> {
        let stages = stages(|stage| self.lately.interval(stage));
        self.lately.end_interval();
        stages
    }

    /// Reads the last samples and ends the log.
    pub fn finish(&mut self, stats: &engine::HostStats, now: Instant) {
        self.recorder.drain();
        if let Some(log) = self.log.take() {
            let until = self.axis.at(now);
            if let Err(error) = log.finish(&mut self.recorder, counters(stats), until) {
                tracing::error!(%error, "the PUNKTFUNK_PERF log is not complete");
            }
        }
    }
}

fn stages(of: impl Fn(Stage) -> Option<Summary>) -> Vec<StageSummary> {
    let summarize = |stage: Stage| {
        let Summary { count, p50_us, p99_us, p999_us, max_us, .. } = of(stage)?;
        Some(StageSummary { name: stage.name().to_owned(), count, p50_us, p99_us, p999_us, max_us })
    };
    Stage::ALL.into_iter().filter_map(summarize).collect()
}

fn counters(stats: &engine::HostStats) -> [(&'static str, u64); 45] {
    let (encode, protect) = (stats.encode, stats.protect);
    [
        ("pictures_captured", encode.captured),
        ("pictures_superseded", encode.superseded),
        ("pictures_shed", encode.shed),
        ("pictures_skipped", encode.skipped),
        ("pictures_spoiled", encode.spoiled),
        ("pictures_stamped_here", encode.stamped_here),
        ("idrs", encode.idrs),
        ("idrs_no_reference", encode.idrs_no_reference),
        ("recovery_points", encode.recovery_points),
        ("references_invalidated", encode.references_invalidated),
        ("copied_capture_bytes", encode.copied_capture),
        ("copied_import_bytes", encode.copied_import),
        ("copied_slice_bytes", encode.copied_slices),
        ("aus_failed", encode.failed),
        ("aus_sent", protect.sent),
        ("aus_sent_early", protect.sent_early),
        ("aus_dropped_protect", protect.dropped_protect),
        ("aus_immediate", protect.immediate_aus),
        ("aus_paced", protect.paced_aus),
        ("datagrams", protect.datagrams),
        ("wire_bytes", protect.wire_bytes),
        ("packets_send_dropped", protect.packets_send_dropped),
        ("blocks_dropped_key", protect.dropped_key_exhausted),
        ("parity_datagrams", protect.parity_datagrams),
        ("datagrams_resent", protect.datagrams_resent),
        ("resend_asked", protect.resend_asked),
        ("resend_late", protect.resend_late),
        ("resend_gone", protect.resend_gone),
        ("resend_refused", protect.resend_refused),
        ("waits_full", protect.waits_full),
        ("fallbacks", protect.fallbacks),
        ("link_kbps", protect.link_kbps),
        ("link_proven", protect.link_proven),
        ("link_late", protect.link_late),
        ("link_lost", protect.link_lost),
        ("burst_lost", protect.burst_lost),
        ("rate_kbps", protect.rate_kbps),
        ("rate_delay", protect.rate_delay),
        ("rate_loss", protect.rate_loss),
        ("rate_decode", protect.rate_decode),
        ("rate_climb", protect.rate_climb),
        ("rate_futile", protect.rate_futile),
        ("shard_bytes", protect.shard_bytes),
        ("path_shrunk", protect.path_shrunk),
        ("path_changed", protect.path_changed),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_dropped_is_told_wherever_figures_are() {
        let now = Instant::now();
        let mut stats = engine::HostStats::default();
        stats.protect.dropped_protect = 3;
        stats.protect.packets_send_dropped = 5;
        stats.protect.dropped_key_exhausted = 7;
        let message = Report::new(None, Vec::new(), &[], now).message(&stats, true, now);
        let told = (message.aus_dropped, message.packets_send_dropped, message.blocks_dropped_key);
        assert_eq!(told, (3, 5, 7));
        let logged = counters(&stats);
        for counter in [("aus_dropped_protect", 3), ("packets_send_dropped", 5), ("blocks_dropped_key", 7)] {
            assert!(logged.contains(&counter), "{counter:?} in {logged:?}");
        }
    }

    #[test]
    fn what_a_source_could_not_read_or_stamp_is_told_wherever_figures_are() {
        let now = Instant::now();
        let mut stats = engine::HostStats::default();
        (stats.encode.spoiled, stats.encode.stamped_here) = (3, 5);
        let message = Report::new(None, Vec::new(), &[], now).message(&stats, true, now);
        assert_eq!((message.pictures_spoiled, message.pictures_stamped_here), (3, 5));
        let logged = counters(&stats);
        for counter in [("pictures_spoiled", 3), ("pictures_stamped_here", 5)] {
            assert!(logged.contains(&counter), "{counter:?} in {logged:?}");
        }
    }
}
