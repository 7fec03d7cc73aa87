//! One end's books over a window: CPU time by thread, counters, histograms by stage, allocations, memory.
//!
//! Promises: what a window says is what happened between its two ends, warm-up left out; the making and checking of
//! bytes is kept apart from the CPU time of the data plane. Refuses: to read the kernel's books within a window.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use punktfunk_perf::{
    Collector, HistogramLog, LogHeader, PerfTarget, Recorder, Stage, Summary, TimeAxis, process_cpu,
};
use serde::{Deserialize, Serialize};

use crate::error::PerfProgramError;
use crate::machine::{self, ThreadTime};
use crate::os;

/// How often the stages' samples are fetched: well before a tap is full at any rate.
pub const DRAIN_INTERVAL: Duration = Duration::from_millis(25);

/// What a histogram says, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Samples.
    pub count: u64,
    /// The median.
    pub p50: u64,
    /// Ninety-nine in a hundred were no longer.
    pub p99: u64,
    /// 999 in a thousand were no longer.
    pub p999: u64,
    /// The longest.
    pub max: u64,
    /// The arithmetic mean.
    pub mean: f64,
}

impl From<Summary> for Spread {
    fn from(summary: Summary) -> Spread {
        Spread {
            count: summary.count,
            p50: summary.p50_us,
            p99: summary.p99_us,
            p999: summary.p999_us,
            max: summary.max_us,
            mean: summary.mean_us,
        }
    }
}

/// What one end did between two moments.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// How long it was.
    pub wall_ns: u64,
    /// CPU time of the process, making and checking left out.
    pub cpu_ns: u64,
    /// CPU time of making or checking bytes.
    pub apart_ns: u64,
    /// CPU time of each thread, making and checking included.
    pub threads: Vec<ThreadTime>,
    /// What was counted in it.
    pub counters: BTreeMap<String, u64>,
    /// What stood at its end.
    pub gauges: BTreeMap<String, u64>,
    /// The stages' histograms.
    pub stages: BTreeMap<String, Spread>,
    /// Allocations of the whole process.
    pub allocations: u64,
    /// Resident memory at its end.
    pub resident_kib: u64,
}

impl Window {
    /// A counter; 0 for one that this end does not have.
    pub fn count(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or(0)
    }

    /// A stage's histogram.
    pub fn stage(&self, stage: Stage) -> Option<Spread> {
        self.stages.get(stage.name()).copied()
    }
}

/// The totals that an end has at a moment.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// CPU time of making or checking bytes, in nanoseconds.
    pub apart_ns: u64,
    /// Counted since the start.
    pub counters: Vec<(&'static str, u64)>,
    /// What stands now.
    pub gauges: Vec<(&'static str, u64)>,
}

/// The books as a window begins.
#[derive(Debug)]
struct Mark {
    at: Instant,
    cpu: Duration,
    threads: Vec<ThreadTime>,
    totals: Totals,
    allocations: u64,
}

/// Keeps an end's books.
pub struct Meter {
    recorder: Recorder,
    log: Option<Log>,
    mark: Mark,
    drained: Instant,
}

/// A log of its own intervals, beside the windows.
struct Log {
    recorder: Recorder,
    file: HistogramLog<BufWriter<File>>,
    axis: TimeAxis,
    next: Instant,
}

impl Meter {
    /// A meter of these taps. With a folder, `perf-ROLE.hlog` is written into it on the axis that begins at `origin`.
    ///
    /// # Errors
    /// The log cannot be made.
    pub fn new(
        role: &str,
        collectors: Vec<Collector>,
        folder: Option<&Path>,
        origin: Instant,
    ) -> Result<Meter, PerfProgramError> {
        let mut recorder = Recorder::new();
        collectors.into_iter().for_each(|collector| recorder.attach(collector));
        let now = Instant::now();
        let log = folder.map(|folder| Log::open(role, folder, origin, now)).transpose()?;
        let mark = Mark::read(Totals::default(), now);
        Ok(Meter { recorder, log, mark, drained: now })
    }

    /// Counts one sample that came on no tap.
    pub fn record(&mut self, stage: Stage, value: Duration) {
        self.recorder.record(stage, value);
        if let Some(log) = &mut self.log {
            log.recorder.record(stage, value);
        }
    }

    /// Fetches what the stages say, when it is time to.
    pub fn poll(&mut self, totals: impl FnOnce() -> Totals, now: Instant) {
        if now.saturating_duration_since(self.drained) < DRAIN_INTERVAL {
            return;
        }
        self.drained = now;
        self.drain();
        if let Some(log) = self.log.as_mut().filter(|log| now >= log.next) {
            log.write(&totals(), now);
        }
    }

    /// The window begins.
    pub fn mark(&mut self, totals: Totals) {
        self.drain();
        self.recorder.end_interval();
        self.mark = Mark::read(totals, Instant::now());
    }

    /// The window ends, and the next begins.
    pub fn window(&mut self, totals: Totals) -> Window {
        let ended = Mark::read(totals.clone(), Instant::now());
        self.drain();
        let summaries =
            Stage::ALL.into_iter().filter_map(|stage| Some((stage, self.recorder.interval(stage)?)));
        let stages = summaries.map(|(stage, summary)| (stage.name().to_owned(), summary.into())).collect();
        let window = window_between(&self.mark, &ended, stages);
        self.mark(totals);
        window
    }

    /// The log's last interval.
    pub fn finish(&mut self, totals: &Totals) {
        self.drain();
        if let Some(mut log) = self.log.take() {
            let until = log.axis.at(Instant::now());
            let counters = totals.counters.iter().copied();
            if let Err(error) = log.file.finish(&mut log.recorder, counters, until) {
                eprintln!("punktfunk-perf: {error}");
            }
        }
    }

    fn drain(&mut self) {
        let log = &mut self.log;
        self.recorder.drain_each(|stage, value| {
            if let Some(log) = log {
                log.recorder.record(stage, value);
            }
        });
    }
}

impl Log {
    fn open(role: &str, folder: &Path, origin: Instant, now: Instant) -> Result<Log, PerfProgramError> {
        let target = PerfTarget::parse(&folder.to_string_lossy())?;
        let axis = TimeAxis::with_offset(origin, 0, SystemTime::now(), now);
        let comments = [format!("punktfunk-perf {}", env!("CARGO_PKG_VERSION")), machine::cpu()];
        let file = target.open_log(role, &LogHeader { axis, comments: &comments })?;
        Ok(Log { recorder: Recorder::new(), file, axis, next: now + PerfTarget::INTERVAL_DEFAULT })
    }

    fn write(&mut self, totals: &Totals, now: Instant) {
        self.next = now + PerfTarget::INTERVAL_DEFAULT;
        let until = self.axis.at(now);
        let counters = totals.counters.iter().copied();
        if let Err(error) = self.file.write_interval(&mut self.recorder, counters, until) {
            eprintln!("punktfunk-perf: {error}");
        }
    }
}

impl Mark {
    fn read(totals: Totals, at: Instant) -> Mark {
        Mark {
            at,
            cpu: process_cpu(),
            threads: machine::thread_times(),
            totals,
            allocations: os::allocations(),
        }
    }
}

fn window_between(begun: &Mark, ended: &Mark, stages: BTreeMap<String, Spread>) -> Window {
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let before = |list: &[(&'static str, u64)], name: &str| {
        list.iter().find(|(known, _)| *known == name).map_or(0, |(_, value)| *value)
    };
    let counters = ended.totals.counters.iter().map(|(name, value)| {
        ((*name).to_owned(), value.saturating_sub(before(&begun.totals.counters, name)))
    });
    // Two threads of one name are told apart by nothing; their sum is what is of use.
    let mut threads: BTreeMap<&str, u64> = BTreeMap::new();
    for thread in &ended.threads {
        *threads.entry(&thread.name).or_default() += thread.cpu_ns;
    }
    for thread in &begun.threads {
        let time = threads.entry(&thread.name).or_default();
        *time = time.saturating_sub(thread.cpu_ns);
    }
    let apart_ns = ended.totals.apart_ns.saturating_sub(begun.totals.apart_ns);
    Window {
        wall_ns: nanos(ended.at - begun.at),
        cpu_ns: nanos(ended.cpu - begun.cpu).saturating_sub(apart_ns),
        apart_ns,
        threads: threads
            .into_iter()
            .map(|(name, cpu_ns)| ThreadTime { name: name.to_owned(), cpu_ns })
            .collect(),
        counters: counters.collect(),
        gauges: ended.totals.gauges.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
        stages,
        allocations: ended.allocations - begun.allocations,
        resident_kib: machine::resident_kib(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(sent: u64, apart_ns: u64) -> Totals {
        Totals { apart_ns, counters: vec![("sent", sent)], gauges: vec![("leased", sent)] }
    }

    #[test]
    fn a_window_holds_what_happened_in_it() {
        let (mut tap, collector) = punktfunk_perf::channel(16);
        let mut meter = Meter::new("test", vec![collector], None, Instant::now()).unwrap();
        tap.record(Stage::Seal, Duration::from_micros(900));
        meter.mark(totals(5, 10));
        tap.record(Stage::Seal, Duration::from_micros(100));
        let window = meter.window(totals(12, 30));
        assert_eq!((window.count("sent"), window.apart_ns), (7, 20));
        assert_eq!(window.gauges["leased"], 12);
        let seal = window.stage(Stage::Seal).unwrap();
        assert_eq!((seal.count, seal.p50, seal.max), (1, 100, 100), "the warm-up's sample is not in it");
        assert_eq!(window.stage(Stage::Fec), None);
        assert_eq!(window.count("unknown"), 0);
        let next = meter.window(totals(12, 30));
        assert_eq!((next.count("sent"), next.stage(Stage::Seal)), (0, None));
    }

    #[test]
    fn a_log_is_written_beside_the_windows() {
        let folder = tempfile::tempdir().unwrap();
        let (mut tap, collector) = punktfunk_perf::channel(16);
        let mut meter = Meter::new("host", vec![collector], Some(folder.path()), Instant::now()).unwrap();
        tap.record(Stage::Seal, Duration::from_micros(100));
        meter.mark(totals(0, 0));
        tap.record(Stage::Seal, Duration::from_micros(300));
        meter.finish(&totals(1, 0));
        let log =
            punktfunk_perf::parse_log(File::open(folder.path().join("perf-host.hlog")).unwrap()).unwrap();
        assert_eq!(log.total("seal").unwrap().len(), 2);
    }
}
