//! `loop`, `send` and `recv`: cases measured in rounds, ours and the twin's in turn, or a search for the highest clean
//! rate.
//!
//! Promises: within a round the two stand side by side in time, and which is first alternates; a ratio is of two windows
//! of one round. Refuses: windows that are too short to hold an IDR's period's worth of anything, or too long to end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::case::Case;
use crate::cli::{LoopArgs, ProtectArgs, RecvArgs, SendArgs};
use crate::error::PerfProgramError;
use crate::figures::{Figures, Rounds};
use crate::limits::{self, Effort, Part};
use crate::machine;
use crate::meter::Window;
use crate::pair::{Plane, measure};
use crate::protect;
use crate::report;
use crate::search::RateSearch;
use crate::talk::{ClientSetup, End, EndConfig, HostSetup, Order};
use crate::units::{Idrs, Rate};
use crate::veth;

/// Where a search begins and where it ends at the latest.
const SEARCH_FIRST_KBPS: u64 = 1_000_000;
const SEARCH_MOST_KBPS: u64 = 40_000_000;

/// One case's windows.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// In a line.
    pub name: String,
    /// What was measured.
    pub case: Case,
    /// The data plane's windows.
    pub ours: Vec<Figures>,
    /// The bare twin's, each of the same round.
    pub twin: Vec<Figures>,
    /// What they come to.
    pub summary: Summary,
}

/// Best, median and worst of a case's figures, and the ratios to the twin of the same round.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Windows that were clean, of all.
    pub clean: usize,
    /// Payload that arrived whole.
    pub goodput_mbps: Option<Rounds>,
    /// Stamp to reassembled, median.
    pub p50_us: Option<Rounds>,
    /// Its 99th percentile.
    pub p99_us: Option<Rounds>,
    /// Its 99.9th.
    pub p999_us: Option<Rounds>,
    /// IDRs' median.
    pub idr_p50_us: Option<Rounds>,
    /// The twin's median.
    pub twin_p50_us: Option<Rounds>,
    /// The twin's 99th percentile.
    pub twin_p99_us: Option<Rounds>,
    /// Ours over the twin's, median.
    pub p50_ratio: Option<Rounds>,
    /// Ours over the twin's, 99th percentile.
    pub p99_ratio: Option<Rounds>,
    /// The sender's CPU-seconds a gigabit.
    pub sender_cpu: Option<Rounds>,
    /// The receiver's.
    pub receiver_cpu: Option<Rounds>,
    /// The twin's sender's.
    pub twin_sender_cpu: Option<Rounds>,
    /// The twin's receiver's.
    pub twin_receiver_cpu: Option<Rounds>,
}

/// A search's way and end.
#[derive(Debug, Clone, Serialize)]
pub struct Searched {
    /// Which of the two was searched for.
    pub plane: &'static str,
    /// The highest clean rate, in Mbit/s of goodput.
    pub highest_clean_mbps: Option<f64>,
    /// What was tried, in turn.
    pub tried: Vec<Tried>,
    /// The figures at the highest clean rate.
    pub at_highest: Option<Figures>,
}

/// One try of a search.
#[derive(Debug, Clone, Serialize)]
pub struct Tried {
    /// Asked for, in Mbit/s.
    pub rate_mbps: f64,
    /// Whether it was clean.
    pub clean: bool,
    /// What came.
    pub goodput_mbps: f64,
    /// Access units lost, late and dropped.
    pub lost: u64,
    /// Access units shed before encode, or passed over by the source.
    pub shed: u64,
}

/// `loop`.
///
/// # Errors
/// Arguments that make no sense, or an end that died.
pub fn run(args: &LoopArgs) -> Result<bool, PerfProgramError> {
    let window = window_of(args.seconds)?;
    if let Some(parts) = &args.limits {
        return run_limits(args, parts, window);
    }
    let (mut cases, mut searches) = (Vec::new(), Vec::new());
    let rates: Vec<Rate> =
        args.rate.iter().copied().chain(args.au.iter().map(|bytes| bytes.each(args.shape.fps))).collect();
    if rates.is_empty() {
        let planes = if args.no_twin { &[Plane::Ours][..] } else { &[Plane::Ours, Plane::Twin][..] };
        for plane in planes {
            searches.push(search(*plane, &args.shape.case(Rate::of_kbps(1)), window)?);
        }
    }
    for rate in rates {
        let case = args.shape.case(rate);
        cases.push(rounds(&case, args.rounds, window, !args.no_twin, args.perf.as_deref())?);
    }
    let report = report::LoopReport::new(cases, searches);
    if let Some(folder) = &args.plots {
        report::plot(&report, folder)?;
    }
    report::say(&report, args.json)
}

fn run_limits(args: &LoopArgs, parts: &[Part], window: Duration) -> Result<bool, PerfProgramError> {
    let parts = if parts.is_empty() { &Part::ALL[..] } else { parts };
    let limits = limits::measure(parts, Effort { rounds: args.rounds, window })?;
    let mut report = report::LoopReport::new(limits.cases.clone(), limits.searches.clone());
    if let Some(folder) = &args.plots {
        report::plot(&report, folder)?;
    }
    let table = limits::text(&limits);
    if args.json {
        (report.cases, report.searches) = (Vec::new(), Vec::new());
        println!("{}", report::json(&serde_json::json!({"run": report, "limits": limits}))?);
    } else {
        report::say(&report, false)?;
        println!("\n{table}");
    }
    Ok(limits.rows.iter().all(|row| row.reached))
}

/// `protect`.
///
/// # Errors
/// A shape that the protocol does not carry.
pub fn protect(args: &ProtectArgs) -> Result<bool, PerfProgramError> {
    let case = Case { idrs: Idrs::NONE, ..args.shape.case(args.rate) };
    let protected = protect::measure(&case, window_of(args.seconds)?)?;
    print!("{}", if args.json { report::json(&protected)? + "\n" } else { protect::text(&protected) });
    Ok(true)
}

/// A window that holds something and ends.
///
/// # Errors
/// It does not.
pub fn window_of(seconds: f64) -> Result<Duration, PerfProgramError> {
    if (0.2..=3_600.0).contains(&seconds) {
        return Ok(Duration::from_secs_f64(seconds));
    }
    Err(PerfProgramError::Usage(format!("--seconds wants 0.2 to 3600, got {seconds}")))
}

/// Measures one case in rounds.
///
/// # Errors
/// An end that died.
pub fn rounds(
    case: &Case,
    count: u32,
    window: Duration,
    with_twin: bool,
    perf: Option<&Path>,
) -> Result<Measured, PerfProgramError> {
    let (mut ours, mut twin) = (Vec::new(), Vec::new());
    for round in 0..count.max(1) {
        let order = if round % 2 == 0 { [Plane::Ours, Plane::Twin] } else { [Plane::Twin, Plane::Ours] };
        for plane in order {
            match plane {
                Plane::Ours => ours.push(measure(plane, case, window, perf.map(Path::to_owned))?),
                Plane::Twin if with_twin => twin.push(measure(plane, case, window, None)?),
                Plane::Twin => {}
            }
        }
        report::progress(&format!("{}: round {} of {count}", case.name(), round + 1));
    }
    let summary = Summary::of(&ours, &twin);
    Ok(Measured { name: case.name(), case: case.clone(), ours, twin, summary })
}

impl Summary {
    fn of(ours: &[Figures], twin: &[Figures]) -> Summary {
        let each =
            |list: &[Figures], value: fn(&Figures) -> Option<f64>| Rounds::of(list.iter().filter_map(value));
        let ratio = |value: fn(&Figures) -> Option<f64>| {
            let pairs = ours.iter().zip(twin).filter_map(|(ours, twin)| value(ours).zip(value(twin)));
            Rounds::of(pairs.map(|(ours, twin)| ours / twin))
        };
        Summary {
            clean: ours.iter().filter(|figures| figures.clean).count(),
            goodput_mbps: each(ours, |figures| Some(figures.goodput_mbps)),
            p50_us: each(ours, p50),
            p99_us: each(ours, p99),
            p999_us: each(ours, |figures| Some(figures.latency_us?.p999 as f64)),
            idr_p50_us: each(ours, |figures| Some(figures.idr_latency_us?.p50 as f64)),
            twin_p50_us: each(twin, p50),
            twin_p99_us: each(twin, p99),
            p50_ratio: ratio(p50),
            p99_ratio: ratio(p99),
            sender_cpu: each(ours, |figures| Some(figures.sender.cpu_s_per_gbit)),
            receiver_cpu: each(ours, |figures| Some(figures.receiver.cpu_s_per_gbit)),
            twin_sender_cpu: each(twin, |figures| Some(figures.sender.cpu_s_per_gbit)),
            twin_receiver_cpu: each(twin, |figures| Some(figures.receiver.cpu_s_per_gbit)),
        }
    }
}

fn p50(figures: &Figures) -> Option<f64> {
    Some(figures.latency_us?.p50 as f64)
}

fn p99(figures: &Figures) -> Option<f64> {
    Some(figures.latency_us?.p99 as f64)
}

/// Searches for the highest rate that is clean. Without IDRs: a single large access unit in a window would make its
/// own size the limit.
///
/// # Errors
/// An end that died.
pub fn search(plane: Plane, shape: &Case, window: Duration) -> Result<Searched, PerfProgramError> {
    let mut search = RateSearch::new(Rate::of_kbps(SEARCH_FIRST_KBPS), Rate::of_kbps(SEARCH_MOST_KBPS));
    let name = match plane {
        Plane::Ours => "ours",
        Plane::Twin => "twin",
    };
    let mut searched =
        Searched { plane: name, highest_clean_mbps: None, tried: Vec::new(), at_highest: None };
    while let Some(rate) = search.next() {
        let case = Case { rate, idrs: Idrs::NONE, ..shape.clone() };
        let figures = measure(plane, &case, window, None)?;
        let clean = figures.clean;
        searched.tried.push(Tried {
            rate_mbps: rate.mbps(),
            clean,
            goodput_mbps: figures.goodput_mbps,
            lost: figures.aus.lost + figures.aus.late + figures.aus.dropped,
            shed: figures.aus.shed + figures.aus.superseded,
        });
        report::progress(&format!("{name} at {rate}: {}", if clean { "clean" } else { "not clean" }));
        search.handle(rate, clean);
        if clean && search.best() == Some(rate) {
            searched.highest_clean_mbps = Some(figures.goodput_mbps);
            searched.at_highest = Some(figures);
        }
    }
    Ok(searched)
}

/// `send`.
///
/// # Errors
/// No socket, or a stage that broke.
pub fn send(args: &SendArgs) -> Result<bool, PerfProgramError> {
    let window = window_of(args.seconds)?;
    warn_of_keys();
    let case = args.shape.case(args.rate);
    let Some(destination) = args.destination else {
        let dropped = veth::measure(&Case { idrs: Idrs::NONE, ..case }, window)?;
        print!("{}", if args.json { report::json(&dropped)? + "\n" } else { veth::text(&dropped) });
        return Ok(dropped.shed == 0);
    };
    let any: IpAddr = match destination {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let setup = HostSetup {
        case: case.clone(),
        destination,
        bind: SocketAddr::new(any, 0),
        origin_ns: machine::monotonic_ns(),
        seed: args.seed,
        alone: args.alone,
        epoch_datagrams: None,
        perf: args.perf.clone(),
    };
    let mut host = End::start("sending", &EndConfig::Host(setup), case.waiting, &[])?;
    host.order(&Order::Go)?;
    host.order(&Order::Mark)?;
    host.idle(window)?;
    let sent = host.window(&Order::Stop)?;
    report::say_end("sent", &case, &sent, args.json)?;
    Ok(sent.count("dropped_protect") + sent.count("packets_send_dropped") == 0)
}

/// `recv`.
///
/// # Errors
/// No socket, or a stage that broke.
pub fn receive(args: &RecvArgs) -> Result<bool, PerfProgramError> {
    let window = window_of(args.seconds)?;
    warn_of_keys();
    let case = args.shape.case(args.rate);
    let setup = ClientSetup {
        case: case.clone(),
        listen: args.listen,
        origin_ns: None,
        seed: args.seed,
        perf: args.perf.clone(),
    };
    let mut client = End::start("receiving", &EndConfig::Client(setup), case.waiting, &[])?;
    report::progress(&format!("listening on {}", client.address));
    client.order(&Order::Mark)?;
    client.idle(window)?;
    let came: Window = client.window(&Order::Stop)?;
    report::say_end("received", &case, &came, args.json)?;
    Ok(came.count("whole") > 0 && came.count("lost_aus") + came.count("wrong_slices") == 0)
}

fn warn_of_keys() {
    eprintln!(
        "punktfunk-perf: the keys are made of --seed and protect nothing; use it on networks of your own"
    );
}
