//! What the program says: tables for people, one JSON object for programs, progress on standard error.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::path::Path;
use std::time::SystemTime;

use serde::Serialize;

use crate::case::Case;
use crate::error::PerfProgramError;
use crate::figures::{Figures, Rounds, Side};
use crate::loop_command::{Measured, Searched};
use crate::machine;
use crate::meter::Window;
use crate::plot::{Plot, Scale, Series};

/// All that `loop` says.
#[derive(Debug, Clone, Serialize)]
pub struct LoopReport {
    /// The command line.
    pub command: String,
    /// Seconds since 1970.
    pub unix_time_s: u64,
    /// The CPU and its cores.
    pub cpu: String,
    /// The kernel's release.
    pub kernel: String,
    /// The cases.
    pub cases: Vec<Measured>,
    /// The searches.
    pub searches: Vec<Searched>,
}

impl LoopReport {
    /// Of these, here and now.
    pub fn new(cases: Vec<Measured>, searches: Vec<Searched>) -> LoopReport {
        LoopReport {
            command: std::env::args().skip(1).collect::<Vec<_>>().join(" "),
            unix_time_s: unix_time_s(),
            cpu: machine::cpu(),
            kernel: machine::kernel(),
            cases,
            searches,
        }
    }

    /// Every case was clean in one window at least, and every search found something.
    pub fn is_right(&self) -> bool {
        let wrong = |figures: &Figures| figures.aus.wrong > 0 || figures.left_out > 0;
        self.cases.iter().all(|case| case.summary.clean > 0 && !case.ours.iter().any(wrong))
            && self.searches.iter().all(|search| search.highest_clean_mbps.is_some())
    }
}

/// Seconds since 1970.
pub fn unix_time_s() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// A line on standard error, where that is a terminal or somebody keeps it.
pub fn progress(words: &str) {
    let end = if std::io::stderr().is_terminal() { "\x1b[K\r" } else { "\n" };
    eprint!("{words}{end}");
    // Nothing hangs on a terminal that refuses.
    let _ = std::io::stderr().flush();
}

/// Says a report, and whether all of it is right.
///
/// # Errors
/// It cannot be written as JSON; our fault.
pub fn say(report: &LoopReport, as_json: bool) -> Result<bool, PerfProgramError> {
    if as_json {
        println!("{}", json(report)?);
    } else {
        print!("{}", text(report));
    }
    Ok(report.is_right())
}

/// Plots over the rates that were measured.
///
/// # Errors
/// The folder cannot be written to.
pub fn plot(report: &LoopReport, folder: &Path) -> Result<(), PerfProgramError> {
    by_rate(report).write(folder, "latency.svg")?;
    by_au(report).write(folder, "latency-by-au.svg")?;
    cpu(report).write(folder, "cpu.svg")
}

/// A line of one figure of every case over another.
fn line(
    report: &LoopReport,
    name: &str,
    over: fn(&Measured) -> f64,
    value: fn(&Measured) -> Option<Rounds>,
) -> Series {
    let point = |case: &Measured| Some((over(case), value(case)?.median));
    let mut points: Vec<(f64, f64)> = report.cases.iter().filter_map(point).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    Series { name: name.to_owned(), points }
}

fn plot_over(x: &str, title: &str, y: &str, series: Vec<Series>) -> Plot {
    Plot {
        title: title.to_owned(),
        x: x.to_owned(),
        y: y.to_owned(),
        x_scale: Scale::Log,
        y_scale: Scale::Log,
        series,
    }
}

fn latencies(report: &LoopReport, over: fn(&Measured) -> f64) -> Vec<Series> {
    vec![
        line(report, "p50", over, |case| case.summary.p50_us),
        line(report, "p99", over, |case| case.summary.p99_us),
        line(report, "twin p50", over, |case| case.summary.twin_p50_us),
        line(report, "twin p99", over, |case| case.summary.twin_p99_us),
    ]
}

fn by_rate(report: &LoopReport) -> Plot {
    let series = latencies(report, |case| case.case.rate.mbps());
    plot_over("payload, Mbit/s", "stamp to reassembled, medians of the rounds", "µs", series)
}

fn by_au(report: &LoopReport) -> Plot {
    let series = latencies(report, |case| case.case.au_bytes().0 as f64 / 1e3);
    plot_over("an ordinary access unit, KB", "stamp to reassembled, medians of the rounds", "µs", series)
}

fn cpu(report: &LoopReport) -> Plot {
    let rate = |case: &Measured| case.case.rate.mbps();
    let series = vec![
        line(report, "sender", rate, |case| case.summary.sender_cpu),
        line(report, "receiver", rate, |case| case.summary.receiver_cpu),
        line(report, "twin's sender", rate, |case| case.summary.twin_sender_cpu),
        line(report, "twin's receiver", rate, |case| case.summary.twin_receiver_cpu),
    ];
    plot_over("payload, Mbit/s", "CPU-seconds a gigabit of goodput", "CPU-s/Gbit", series)
}

/// One object on one line.
///
/// # Errors
/// It cannot be; our fault.
pub fn json(value: &impl Serialize) -> Result<String, PerfProgramError> {
    serde_json::to_string(value).map_err(|error| PerfProgramError::Words(error.to_string()))
}

/// Says what one end alone did.
///
/// # Errors
/// It cannot be written as JSON; our fault.
pub fn say_end(what: &str, case: &Case, window: &Window, as_json: bool) -> Result<(), PerfProgramError> {
    if as_json {
        println!("{}", json(&serde_json::json!({"what": what, "case": case, "window": window}))?);
        return Ok(());
    }
    let seconds = window.wall_ns as f64 / 1e9;
    let bytes = window.count("bytes").max(window.count("au_bytes"));
    let gbit = bytes as f64 * 8.0 / 1e9;
    println!("{what} {:.3} Gbit in {seconds:.2} s ({:.1} Mbit/s)", gbit, gbit * 1e3 / seconds);
    println!("CPU {:.4} s a gigabit", window.cpu_ns as f64 / 1e9 / gbit.max(f64::MIN_POSITIVE));
    for (name, value) in &window.counters {
        println!("  {name} {value}");
    }
    print!("{}", stages(&window.stages));
    Ok(())
}

fn stages(stages: &std::collections::BTreeMap<String, crate::meter::Spread>) -> String {
    let mut text =
        format!("  {:<24}{:>9}{:>9}{:>9}{:>9}{:>9}\n", "microseconds", "count", "p50", "p99", "p99.9", "max");
    for (name, spread) in stages {
        let _ = writeln!(
            text,
            "  {name:<24}{:>9}{:>9}{:>9}{:>9}{:>9}",
            spread.count, spread.p50, spread.p99, spread.p999, spread.max
        );
    }
    text
}

fn text(report: &LoopReport) -> String {
    let mut text = format!("{}, kernel {}\n", report.cpu, report.kernel);
    for case in &report.cases {
        case_text(&mut text, case);
    }
    for search in &report.searches {
        search_text(&mut text, search);
    }
    text
}

fn case_text(text: &mut String, case: &Measured) {
    let summary = &case.summary;
    let _ = writeln!(text, "\n{}", case.name);
    let mut row = |name: &str, rounds: Option<Rounds>, digits: usize| {
        let Some(Rounds { best, median, worst, .. }) = rounds else { return };
        let _ = writeln!(text, "  {name:<34}{best:>12.digits$}{median:>12.digits$}{worst:>12.digits$}");
    };
    row("(best, median, worst of the rounds)", None, 0);
    row("goodput, Mbit/s", summary.goodput_mbps, 1);
    row("stamp → reassembled p50, µs", summary.p50_us, 0);
    row("  p99", summary.p99_us, 0);
    row("  p99.9", summary.p999_us, 0);
    row("  IDRs p50", summary.idr_p50_us, 0);
    row("twin p50, µs", summary.twin_p50_us, 0);
    row("  p99", summary.twin_p99_us, 0);
    row("ours / twin p50", summary.p50_ratio, 2);
    row("  p99", summary.p99_ratio, 2);
    row("sender, CPU-s/Gbit", summary.sender_cpu, 4);
    row("receiver", summary.receiver_cpu, 4);
    row("twin's sender", summary.twin_sender_cpu, 4);
    row("twin's receiver", summary.twin_receiver_cpu, 4);
    let _ = writeln!(text, "  clean windows                     {} of {}", summary.clean, case.ours.len());
    if let Some(figures) = case.ours.last() {
        last_text(text, figures);
    }
}

fn last_text(text: &mut String, figures: &Figures) {
    let aus = &figures.aus;
    let _ = writeln!(
        text,
        "  the last: {} encoded, {} whole, {} lost, {} late, {} dropped, {} shed, {} passed over, {} wrong slices,\n    {} shards recovered, {} datagrams resent, {:.1} % parity and resends over the data",
        aus.encoded,
        aus.whole,
        aus.lost,
        aus.late,
        aus.dropped,
        aus.shed,
        aus.superseded,
        aus.wrong,
        aus.recovered,
        aus.resent,
        figures.overhead_percent
    );
    let _ = writeln!(
        text,
        "  an access unit: {:.1} send calls for {:.1} trains, {:.1} receive calls for {:.1} GRO batches, {:.2} and {:.2} allocations",
        figures.send_calls_per_au,
        figures.trains_per_au,
        figures.receive_calls_per_au,
        figures.batches_per_au,
        figures.sender.allocations_per_au,
        figures.receiver.allocations_per_au
    );
    side_text(text, "sender", &figures.sender);
    side_text(text, "receiver", &figures.receiver);
    let _ = writeln!(
        text,
        "  cache line there and back {} ns, load {}",
        figures.ping_pong_ns.map_or("-".to_owned(), |nanoseconds| format!("{nanoseconds:.0}")),
        figures.load.map_or("-".to_owned(), |load| format!("{load:.2}"))
    );
    for words in &figures.setup {
        let _ = writeln!(text, "  {words}");
    }
}

fn side_text(text: &mut String, name: &str, side: &Side) {
    let threads: Vec<String> = side.threads.iter().map(|(name, cost)| format!("{name} {cost:.4}")).collect();
    let _ = writeln!(
        text,
        "  {name}: {:.4} CPU-s/Gbit ({}; making or checking apart {:.4}), {} MiB",
        side.cpu_s_per_gbit,
        threads.join(", "),
        side.apart_s_per_gbit,
        side.resident_kib >> 10
    );
    let each: Vec<String> =
        side.stage_ns_per_datagram.iter().map(|(stage, cost)| format!("{stage} {cost:.0}")).collect();
    let _ = writeln!(text, "    ns a datagram by stage: {}", each.join(", "));
    text.push_str(&stages(&side.stages));
}

fn search_text(text: &mut String, search: &Searched) {
    let found = search.highest_clean_mbps.map_or("none".to_owned(), |mbps| format!("{mbps:.0} Mbit/s"));
    let _ = writeln!(text, "\nhighest clean rate, {}: {found}", search.plane);
    for tried in &search.tried {
        let _ = writeln!(
            text,
            "  {:>8.0} Mbit/s asked, {:>8.0} came, {} lost, {} shed: {}",
            tried.rate_mbps,
            tried.goodput_mbps,
            tried.lost,
            tried.shed,
            if tried.clean { "clean" } else { "not clean" }
        );
    }
    if let Some(figures) = &search.at_highest {
        last_text(text, figures);
    }
}
