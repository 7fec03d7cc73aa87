//! The session's figures while it runs: the live table, the PUNKTFUNK_PERF log, what the host's console is told.
//!
//! Promises: a line a second for people here, a message a second for those there, an interval log on the host's time
//! axis for tools. Refuses to
//! write a log before the clocks are joined: its times would mean nothing.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::{Duration, Instant, SystemTime};

use punktfunk_control::{self as control, HostStats, SkewEstimate, StageSummary};
use punktfunk_engine::ClientStats;
use punktfunk_perf::{
    Collector, HistogramLog, LogHeader, PerfTarget, Recorder, Stage, Summary, TimeAxis, process_cpu,
};
use punktfunk_proto::SessionClock;

use crate::pictures::Pictures;
use crate::terminal::printable;

/// A line of the table and a message to the host this often, however often the log is written on.
const SECOND: Duration = Duration::from_secs(1);

/// The table is headed anew after this many lines.
const LINES_A_HEADING: u32 = 20;

/// Collects the stages' samples and writes them on.
pub struct Report {
    recorder: Recorder,
    /// The samples of this second: the log's intervals are others.
    since: Recorder,
    next_second: Instant,
    cpu_at_start: Duration,
    target: Option<PerfTarget>,
    role: String,
    log: Option<(HistogramLog<BufWriter<File>>, TimeAxis)>,
    log_interval: Duration,
    next_interval: Instant,
    table: Option<Table>,
    started: Instant,
}

/// The live table.
struct Table {
    out: Box<dyn Write>,
    lines: u32,
    before: Before,
}

/// Totals at the last line.
#[derive(Debug, Clone, Copy)]
struct Before {
    at: Instant,
    wire_bytes: u64,
    decoded: u64,
}

impl Report {
    /// A report that begins at `now`, whose log is called by `role`; `table` is where the live table is written, if it is wished for.
    pub fn new(
        (target, role): (Option<PerfTarget>, String),
        collectors: Vec<Collector>,
        table: Option<Box<dyn Write>>,
        now: Instant,
    ) -> Self {
        let mut recorder = Recorder::new();
        for collector in collectors {
            recorder.attach(collector);
        }
        let log_interval = target.as_ref().map_or(PerfTarget::INTERVAL_DEFAULT, PerfTarget::interval);
        Self {
            recorder,
            since: Recorder::new(),
            next_second: now + SECOND,
            cpu_at_start: process_cpu(),
            target,
            role,
            log: None,
            log_interval,
            next_interval: now + log_interval,
            table: table.map(|out| Table::new(out, now)),
            started: now,
        }
    }

    /// The histograms.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// The clocks are joined: the log can begin, with `caps` as lines of its head.
    pub fn join_clocks(&mut self, clock: SessionClock, skew: SkewEstimate, caps: &[String], now: Instant) {
        if self.log.is_some() {
            return;
        }
        let Some(target) = &self.target else { return };
        let origin = now.checked_sub(Duration::from_micros(clock.micros(now))).unwrap_or(now);
        let axis = TimeAxis::with_offset(origin, skew.offset_us, SystemTime::now(), now);
        let mut comments = vec![format!("punktfunk {}", env!("CARGO_PKG_VERSION"))];
        // What a host said of itself must not end a line, or it could say more than one.
        comments.extend(caps.iter().map(|line| printable(line).into_owned()));
        comments.push(format!("clocks joined within {} us", skew.error_us));
        match target.open_log(&self.role, &LogHeader { axis, comments: &comments }) {
            Ok(log) => self.log = Some((log, axis)),
            Err(error) => tracing::error!(%error, "no PUNKTFUNK_PERF log"),
        }
    }

    /// Reads the taps; writes a line and an interval when one is over. Gives each second's figures for the host.
    pub fn poll(
        &mut self,
        stats: &ClientStats,
        host: Option<&HostStats>,
        now: Instant,
    ) -> Option<control::ClientStats> {
        let since = &mut self.since;
        self.recorder.drain_each(|stage, value| since.record(stage, value));
        let message = (now >= self.next_second).then(|| {
            self.next_second = now + SECOND;
            let streamed = now.saturating_duration_since(self.started);
            if let Some(table) = &mut self.table {
                let latency = self.since.interval(Stage::CaptureToDecoded);
                table.write_line(stats, (host, latency), streamed, now);
            }
            let message = self.message(stats, host, streamed);
            self.since.end_interval();
            message
        });
        if now >= self.next_interval {
            self.next_interval = now + self.log_interval;
            self.write_interval(stats, now);
        }
        message
    }

    fn message(
        &self,
        stats: &ClientStats,
        host: Option<&HostStats>,
        streamed: Duration,
    ) -> control::ClientStats {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let pictures = Pictures::new(stats, host);
        let cpu = process_cpu().saturating_sub(self.cpu_at_start);
        let summarize = |stage: Stage| {
            let summary = self.since.interval(stage)?;
            let Summary { count, p50_us, p99_us, p999_us, max_us, .. } = summary;
            Some(StageSummary { name: stage.name().to_owned(), count, p50_us, p99_us, p999_us, max_us })
        };
        control::ClientStats {
            pictures_decoded: stats.decode.decoded,
            pictures_lost: pictures.lost,
            pictures_late: pictures.late,
            pictures_dropped: pictures.dropped,
            datagrams: stats.receive.datagrams,
            wire_bytes: stats.receive.wire_bytes,
            kernel_drops: stats.receive.kernel_drops,
            shards_recovered: stats.receive.recovered,
            cpu_us: micros(cpu),
            session_us: micros(streamed),
            stages: Stage::ALL.into_iter().filter_map(summarize).collect(),
        }
    }

    fn write_interval(&mut self, stats: &ClientStats, now: Instant) {
        if let Some((log, axis)) = &mut self.log {
            let until = axis.at(now);
            if let Err(error) = log.write_interval(&mut self.recorder, counters(stats), until) {
                tracing::error!(%error, "the PUNKTFUNK_PERF log ends here");
                self.log = None;
            }
        }
        self.recorder.end_interval();
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

impl Table {
    fn new(out: Box<dyn Write>, now: Instant) -> Self {
        let before = Before { at: now, wire_bytes: 0, decoded: 0 };
        Self { out, lines: 0, before }
    }

    fn write_line(
        &mut self,
        stats: &ClientStats,
        (host, latency): (Option<&HostStats>, Option<Summary>),
        streamed: Duration,
        now: Instant,
    ) {
        // A reader that has gone away is no reason to end a session.
        let _ = self.format_line(stats, (host, latency), streamed, now).and_then(|()| self.out.flush());
        self.before = Before { at: now, wire_bytes: stats.receive.wire_bytes, decoded: stats.decode.decoded };
        self.lines += 1;
    }

    fn format_line(
        &mut self,
        stats: &ClientStats,
        (host, latency): (Option<&HostStats>, Option<Summary>),
        streamed: Duration,
        now: Instant,
    ) -> std::io::Result<()> {
        if self.lines.is_multiple_of(LINES_A_HEADING) {
            writeln!(
                self.out,
                "{:>6} {:>8} {:>8} {:>6} {:>6} {:>6} {:>8} {:>8} {:>8} {:>9} {:>9}",
                "s",
                "decoded",
                "a second",
                "lost",
                "late",
                "dropped",
                "shed",
                "Mbit/s",
                "asked",
                "p50 ms",
                "p99 ms"
            )?;
        }
        let (receive, decode) = (stats.receive, stats.decode);
        let pictures = Pictures::new(stats, host);
        let seconds = now.saturating_duration_since(self.before.at).as_secs_f64().max(1e-3);
        let milliseconds = |us: Option<u64>| us.map_or("-".into(), |us| format!("{:.2}", us as f64 / 1e3));
        writeln!(
            self.out,
            "{:>6.1} {:>8} {:>8.1} {:>6} {:>6} {:>7} {:>8} {:>8.1} {:>8} {:>9} {:>9}",
            streamed.as_secs_f64(),
            decode.decoded,
            decode.decoded.saturating_sub(self.before.decoded) as f64 / seconds,
            pictures.lost,
            pictures.late,
            pictures.dropped,
            host.map_or("-".into(), |host| host.pictures_shed.to_string()),
            receive.wire_bytes.saturating_sub(self.before.wire_bytes) as f64 * 8e-6 / seconds,
            host.map_or("-".into(), |host| format!("{:.1}", host.rate_kbps as f64 / 1e3)),
            milliseconds(latency.map(|summary| summary.p50_us)),
            milliseconds(latency.map(|summary| summary.p99_us)),
        )
    }
}

fn counters(stats: &ClientStats) -> [(&'static str, u64); 26] {
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
        ("fallbacks", receive.fallbacks),
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
        ("recovery_points", decode.recovery_points),
        ("without_clock", decode.without_clock),
        ("dropped_decode_queue", receive.dropped_decode_queue),
        ("dropped_awaiting_idr", decode.dropped_awaiting_idr),
        ("dropped_decode_error", decode.dropped_decode_error),
    ]
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};

    use punktfunk_perf::channel;

    use super::*;

    #[test]
    fn people_and_the_host_are_told_each_second_whatever_the_logs_interval() {
        for target in [None, Some("logs,60"), Some("logs,0.01")] {
            let started = Instant::now();
            let (mut tap, collector) = channel(64);
            let mut out = tempfile::tempfile().unwrap();
            let table: Box<dyn Write> = Box::new(out.try_clone().unwrap());
            let parsed = target.map(|target| PerfTarget::parse(target).unwrap());
            let mut report =
                Report::new((parsed, "client".to_owned()), vec![collector], Some(table), started);
            let (mut stats, mut messages) = (ClientStats::default(), Vec::new());
            for tick in 1..=150 {
                // In the nth second each picture takes n ms.
                let second = (tick - 1) / 50 + 1;
                tap.record(Stage::CaptureToDecoded, Duration::from_millis(second));
                tap.record(Stage::IdrToDecoded, Duration::from_secs(1));
                stats.decode.decoded += 1;
                stats.receive.wire_bytes += 25_000;
                let told = report.poll(&stats, None, started + Duration::from_millis(20 * tick));
                messages.extend(told);
            }
            out.rewind().unwrap();
            let mut text = String::new();
            out.read_to_string(&mut text).unwrap();
            let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
            assert_eq!(lines.len(), 1 + 3, "{target:?}:\n{text}");
            let said = [("1.0", "50", "1.00"), ("2.0", "100", "2.00"), ("3.0", "150", "3.00")];
            for (line, (seconds, decoded, latency)) in lines[1..].iter().zip(said) {
                let expected =
                    [seconds, decoded, "50.0", "0", "0", "0", "-", "10.0", "-", latency, latency].to_vec();
                assert_eq!(*line, expected, "{target:?}:\n{text}");
            }
            let told = messages
                .iter()
                .map(|told| (told.session_us / 1_000, told.pictures_decoded, told.stages[0].p50_us / 1_000));
            let expected = [(1_000, 50, 1), (2_000, 100, 2), (3_000, 150, 3)];
            assert_eq!(told.collect::<Vec<_>>(), expected, "each second's own latency");
            let names: Vec<_> = messages[2].stages.iter().map(|stage| stage.name.as_str()).collect();
            assert_eq!(names, ["capture_to_decoded", "idr_to_decoded"]);
            assert_eq!(report.recorder().summary(Stage::CaptureToDecoded).unwrap().count, 150);
        }
    }
}
