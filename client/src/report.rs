//! The session's figures while it runs: the live table and the PUNKTFUNK_PERF log.
//!
//! Promises: a line a second for people, an interval log on the host's time axis for tools. Refuses to
//! write a log before the clocks are joined: its times would mean nothing.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::{Duration, Instant, SystemTime};

use punktfunk_control::{HostStats, SkewEstimate};
use punktfunk_engine::ClientStats;
use punktfunk_perf::{Collector, HistogramLog, LogHeader, PerfTarget, Recorder, Stage, TimeAxis};
use punktfunk_proto::SessionClock;

use crate::pictures::Pictures;

/// A line of the table, and a look at the log, this often.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

/// The table is headed anew after this many lines.
const LINES_A_HEADING: u32 = 20;

/// Collects the stages' samples and writes them on.
pub struct Report {
    recorder: Recorder,
    target: Option<PerfTarget>,
    log: Option<(HistogramLog<BufWriter<File>>, TimeAxis)>,
    table: bool,
    lines: u32,
    next_line: Instant,
    line_interval: Duration,
    before: Before,
    started: Instant,
}

/// Totals at the last line.
#[derive(Debug, Clone, Copy, Default)]
struct Before {
    wire_bytes: u64,
    decoded: u64,
}

impl Report {
    /// A report that begins at `now`; `table` asks for the live table on standard output.
    pub fn new(target: Option<PerfTarget>, collectors: Vec<Collector>, table: bool, now: Instant) -> Self {
        let mut recorder = Recorder::new();
        for collector in collectors {
            recorder.attach(collector);
        }
        let line_interval = target.as_ref().map_or(LINE_INTERVAL, PerfTarget::interval);
        Self {
            recorder,
            target,
            log: None,
            table,
            lines: 0,
            next_line: now + line_interval,
            line_interval,
            before: Before::default(),
            started: now,
        }
    }

    /// The histograms.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// The clocks are joined: the log can begin.
    pub fn join_clocks(&mut self, clock: SessionClock, skew: SkewEstimate, source: &str, now: Instant) {
        if self.log.is_some() {
            return;
        }
        let Some(target) = &self.target else { return };
        let origin = now.checked_sub(Duration::from_micros(clock.micros(now))).unwrap_or(now);
        let axis = TimeAxis::with_offset(origin, skew.offset_us, SystemTime::now(), now);
        let comments = [
            format!("punktfunk {}", env!("CARGO_PKG_VERSION")),
            format!("source: {source}"),
            format!("clocks joined within {} us", skew.error_us),
        ];
        match target.open_log("client", &LogHeader { axis, comments: &comments }) {
            Ok(log) => self.log = Some((log, axis)),
            Err(error) => tracing::error!(%error, "no PUNKTFUNK_PERF log"),
        }
    }

    /// Reads the taps; writes a line and an interval when one is over.
    pub fn poll(&mut self, stats: &ClientStats, host: Option<&HostStats>, now: Instant) {
        self.recorder.drain();
        if now < self.next_line {
            return;
        }
        self.next_line = now + self.line_interval;
        if self.table {
            self.write_line(stats, host, now);
        }
        if let Some((log, axis)) = &mut self.log {
            let until = axis.at(now);
            if let Err(error) = log.write_interval(&mut self.recorder, counters(stats), until) {
                tracing::error!(%error, "the PUNKTFUNK_PERF log ends here");
                self.log = None;
            }
        }
        self.recorder.end_interval();
    }

    fn write_line(&mut self, stats: &ClientStats, host: Option<&HostStats>, now: Instant) {
        let mut out = std::io::stdout().lock();
        // A reader that has gone away is no reason to end a session.
        let _ = self.format_line(&mut out, stats, host, now).and_then(|()| out.flush());
        self.before = Before { wire_bytes: stats.receive.wire_bytes, decoded: stats.decode.decoded };
        self.lines += 1;
    }

    fn format_line(
        &self,
        out: &mut impl Write,
        stats: &ClientStats,
        host: Option<&HostStats>,
        now: Instant,
    ) -> std::io::Result<()> {
        if self.lines.is_multiple_of(LINES_A_HEADING) {
            writeln!(
                out,
                "{:>6} {:>8} {:>8} {:>6} {:>6} {:>6} {:>8} {:>8} {:>9} {:>9}",
                "s", "decoded", "a second", "lost", "late", "dropped", "shed", "Mbit/s", "p50 ms", "p99 ms"
            )?;
        }
        let (receive, decode) = (stats.receive, stats.decode);
        let pictures = Pictures::new(stats, host);
        let seconds = self.line_interval.as_secs_f64();
        let latency = self.recorder.interval(Stage::CaptureToDecoded);
        let milliseconds = |us: Option<u64>| us.map_or("-".into(), |us| format!("{:.2}", us as f64 / 1e3));
        writeln!(
            out,
            "{:>6.1} {:>8} {:>8.1} {:>6} {:>6} {:>7} {:>8} {:>8.1} {:>9} {:>9}",
            now.saturating_duration_since(self.started).as_secs_f64(),
            decode.decoded,
            decode.decoded.saturating_sub(self.before.decoded) as f64 / seconds,
            pictures.lost,
            pictures.late,
            pictures.dropped,
            host.map_or("-".into(), |host| host.pictures_shed.to_string()),
            receive.wire_bytes.saturating_sub(self.before.wire_bytes) as f64 * 8e-6 / seconds,
            milliseconds(latency.map(|summary| summary.p50_us)),
            milliseconds(latency.map(|summary| summary.p99_us)),
        )
    }

    /// Reads the last samples and ends the log.
    pub fn finish(&mut self, stats: &ClientStats, now: Instant) {
        self.recorder.drain();
        if let Some((log, axis)) = self.log.take()
            && let Err(error) = log.finish(&mut self.recorder, counters(stats), axis.at(now))
        {
            tracing::error!(%error, "the PUNKTFUNK_PERF log is not complete");
        }
    }
}

fn counters(stats: &ClientStats) -> [(&'static str, u64); 24] {
    let (receive, decode) = (stats.receive, stats.decode);
    [
        ("datagrams", receive.datagrams),
        ("wire_bytes", receive.wire_bytes),
        ("placed", receive.placed),
        ("copied", receive.copied),
        ("surplus", receive.surplus),
        ("recovered_shards", receive.recovered),
        ("bad_tag", receive.bad_tag),
        ("malformed", receive.malformed),
        ("kernel_drops", receive.kernel_drops),
        ("aus_whole", decode.whole),
        ("aus_lost", receive.lost_aus),
        ("aus_late", receive.late_aus),
        ("decoded", decode.decoded),
        ("replayed", receive.replayed),
        ("unknown_epoch", receive.unknown_epoch),
        ("over_limit", receive.over_limit),
        ("late", receive.late),
        ("dropped_memory", receive.dropped_memory),
        ("dropped_window", receive.dropped_window),
        ("idr_requests", decode.idr_requests),
        ("without_clock", decode.without_clock),
        ("dropped_decode_queue", receive.dropped_decode_queue),
        ("dropped_awaiting_idr", decode.dropped_awaiting_idr),
        ("dropped_decode_error", decode.dropped_decode_error),
    ]
}
