//! What of the figures is as it must be.
//!
//! Promises: each point is said by itself, with what it was judged by; what could not be judged says why and is no
//! failure. Times are a GPU's: those of Vulkan on the CPU are not judged, and a target that another card than an H100 misses
//! is said and no failure. Refuses: nothing.

use std::fmt;
use std::time::Duration;

use punktfunk_gpu::GpuError;

use crate::check::Checked;
use crate::leak::PICTURES_MIN;
use crate::measure::{Found, Measured};
use crate::reader::NoReader;
use crate::row::{Row, quantile};

/// What a sample may differ by from the exact result.
const DIFFERENCE_MAX: u32 = 1;

/// What a 5K picture may take the device to become NV12.
const CONVERSION_MAX: Duration = Duration::from_micros(150);

/// What a picture may take to be begun whose buffer is known.
const CACHED_MAX: Duration = Duration::from_micros(20);

/// Resident memory that may be more at the end of 10,000 pictures than after the first thousand, in KiB: less than one a
/// picture. One that stayed would be 128, and the imports of one buffer in ten that stayed, more than all of this.
const RESIDENT_KIB_MAX: i64 = 8 << 10;

/// The device's memory that may be, in KiB: a driver takes it by 2 MiB, and others use the device, too.
const DEVICE_KIB_MAX: i64 = 32 << 10;

/// Cards that the targets are for.
const TARGET_CARDS: [&str; 2] = ["H100", "H200"];

/// What there is to say of the device itself: whether it is Vulkan on the CPU, or why there is none. A machine without one that
/// nobody asked for has no such link; one whose `card` is CUDA's, and not Vulkan's, has a broken one.
pub fn device(is_software: Result<bool, &GpuError>, is_asked_for: bool, card: Option<&str>) -> Option<Point> {
    const WHAT: &str = "Vulkan's device";
    match (is_software, card) {
        (Ok(true) | Err(GpuError::Loader { .. } | GpuError::NoDevice { .. }), Some(card))
            if !is_asked_for =>
        {
            let words = format!("{card} is CUDA's and not Vulkan's: install NVIDIA's Vulkan driver");
            Some(Point::new(WHAT, State::Failed, words))
        }
        (Err(error @ (GpuError::Loader { .. } | GpuError::NoDevice { .. })), None) if !is_asked_for => {
            Some(Point::not_run(WHAT, error.to_string()))
        }
        (Err(error), _) => Some(Point::new(WHAT, State::Failed, error.to_string())),
        (Ok(_), _) => None,
    }
}

/// What became of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is as it must be.
    Good,
    /// A target that this card need not meet.
    Missed,
    /// It is not.
    Failed,
    /// It could not be judged.
    NotRun,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            State::Good => "good",
            State::Missed => "missed",
            State::Failed => "FAILED",
            State::NotRun => "not run",
        })
    }
}

/// One point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// Which.
    pub what: &'static str,
    /// What became of it.
    pub state: State,
    /// By what, or why not.
    pub words: String,
}

impl Point {
    fn new(what: &'static str, state: State, words: impl Into<String>) -> Self {
        Self { what, state, words: words.into() }
    }

    fn of(what: &'static str, is_good: bool, words: impl Into<String>) -> Self {
        Self::new(what, if is_good { State::Good } else { State::Failed }, words)
    }

    fn not_run(what: &'static str, why: impl Into<String>) -> Self {
        Self::new(what, State::NotRun, why)
    }
}

/// Every point.
pub fn judge(found: &Found) -> Vec<Point> {
    let mut points =
        vec![cuda(found), rows(found), oracle(found), compared(found), waits(found), copies(found)];
    points.extend(leak(found));
    points.extend(times(found));
    points
}

fn cuda(found: &Found) -> Point {
    let what = "CUDA on this device";
    match &found.no_reader {
        None => Point::of(what, true, "opened"),
        Some(NoReader::Absent(why)) => Point::not_run(what, why),
        Some(NoReader::Broken(why)) => Point::of(what, false, why),
    }
}

/// Why CUDA reads nothing.
fn no_cuda(found: &Found) -> Option<&str> {
    found.no_reader.as_ref().map(|_| "there is no CUDA for it (see above)")
}

fn rows(found: &Found) -> Point {
    let failed: Vec<String> = found
        .rows
        .iter()
        .filter_map(|it| Some(format!("{} {}: {}", it.size, it.format, it.row.as_ref().err()?)))
        .collect();
    let words = if failed.is_empty() { format!("{} of them", found.rows.len()) } else { failed.join("; ") };
    Point::of("each size and format", failed.is_empty() && !found.rows.is_empty(), words)
}

/// What was checked of each size and format; else why nothing was, or what failed.
fn checked<'a, T>(
    found: &'a Found,
    what: &'static str,
    of: impl Fn(&Checked) -> Option<T>,
) -> Result<Vec<(&'a Measured, T)>, Point> {
    let mut all = Vec::new();
    for measured in &found.rows {
        match &measured.checked {
            None => {}
            Some(Ok(checked)) => all.extend(of(checked).map(|it| (measured, it))),
            Some(Err(why)) => {
                let words = format!("{} {}: {why}", measured.size, measured.format);
                return Err(Point::of(what, false, words));
            }
        }
    }
    if all.is_empty() { Err(Point::not_run(what, "--check was not asked for")) } else { Ok(all) }
}

fn oracle(found: &Found) -> Point {
    let what = "pixels beside the exact result";
    let all = match checked(found, what, |checked| Some(checked.difference)) {
        Ok(all) => all,
        Err(point) => return point,
    };
    let most = all.iter().map(|(_, difference)| *difference).max().unwrap_or_default();
    Point::of(what, most <= DIFFERENCE_MAX, format!("{} pictures, at most {most} off", all.len()))
}

fn compared(found: &Found) -> Point {
    let what = "pixels as CUDA reads them beside Vulkan's";
    if let Some(why) = no_cuda(found) {
        return Point::not_run(what, why);
    }
    let all = match checked(found, what, |checked| checked.cuda) {
        Ok(all) => all,
        Err(point) => return point,
    };
    let (bytes, differ) = all.iter().fold((0, 0), |sum, (_, it)| (sum.0 + it.bytes, sum.1 + it.differ));
    let where_: Vec<_> = all
        .iter()
        .filter(|(_, it)| it.differ > 0)
        .map(|(measured, it)| format!("{} {}: {}", measured.size, measured.format, it.differ))
        .collect();
    let words = match where_.is_empty() {
        true => format!("{bytes} bytes of {} sizes and formats are equal", all.len()),
        false => format!("{differ} of {bytes} bytes differ ({})", where_.join(", ")),
    };
    Point::of(what, differ == 0 && bytes > 0, words)
}

fn measured(found: &Found) -> impl Iterator<Item = (&Measured, &Row)> {
    found.rows.iter().filter_map(|it| Some((it, it.row.as_ref().ok()?)))
}

fn waits(found: &Found) -> Point {
    let what = "hand-over without a wait of the host's";
    if let Some(why) = no_cuda(found) {
        return Point::not_run(what, why);
    }
    let shared: Vec<_> = measured(found).filter_map(|(_, row)| Some((row, row.shares_timelines?))).collect();
    if shared.is_empty() {
        return Point::not_run(what, "nothing was handed over");
    }
    if shared.iter().any(|(_, shares)| !shares) {
        let why = "its timelines cannot be shared: this thread waited for each picture";
        return match found.is_software {
            true => Point::not_run(what, why),
            false => Point::of(what, false, why),
        };
    }
    let waits: u64 = shared.iter().map(|(row, _)| row.waits_hand_over).sum();
    let other: u64 = shared.iter().map(|(row, _)| row.waits_other).sum();
    let other = if other > 0 { format!(", {other} for producers or for room") } else { String::new() };
    Point::of(what, waits == 0, format!("{waits} waits{other}"))
}

fn copies(found: &Found) -> Point {
    let what = "bytes that the CPU copied of dmabufs";
    let mut dmabufs = measured(found).filter(|(_, row)| row.is_dmabuf).peekable();
    if dmabufs.peek().is_none() {
        return Point::not_run(what, "the driver imports no dmabufs: pictures were uploaded");
    }
    let copied: u64 = dmabufs.map(|(_, row)| row.copied).sum();
    Point::of(what, copied == 0, copied.to_string())
}

fn leak(found: &Found) -> Vec<Point> {
    const DESCRIPTORS: &str = "descriptors left";
    const RESIDENT: &str = "resident memory left";
    const DEVICE: &str = "device memory left";
    let leak = match &found.leak {
        Ok(Some(leak)) => leak,
        Ok(None) => {
            let why = format!("it takes --leak {PICTURES_MIN} at least");
            return [DESCRIPTORS, RESIDENT, DEVICE].map(|what| Point::not_run(what, why.clone())).into();
        }
        Err(why) => return vec![Point::of(DESCRIPTORS, false, why)],
    };
    let after = format!("after {} pictures, {} imports", leak.pictures, leak.imports);
    let device = match leak.device_kib {
        Some(kib) => {
            Point::of(DEVICE, kib <= DEVICE_KIB_MAX, format!("{kib} KiB {after}, {DEVICE_KIB_MAX} may be"))
        }
        None => Point::not_run(DEVICE, "CUDA tells it, and there is none"),
    };
    let (descriptors, resident) = (leak.descriptors, leak.resident_kib);
    vec![
        Point::of(DESCRIPTORS, descriptors <= 0, format!("{descriptors} {after}")),
        Point::of(
            RESIDENT,
            resident <= RESIDENT_KIB_MAX,
            format!("{resident} KiB {after}, {RESIDENT_KIB_MAX} may be"),
        ),
        device,
    ]
}

fn times(found: &Found) -> [Point; 2] {
    let conversion = measured(found)
        .find(|(it, _)| (it.size, it.format) == ("5K", "NV12"))
        .map_or(Err("no 5K picture became NV12"), |(_, row)| {
            quantile(&row.gpu, 0.5).ok_or("the device keeps no time")
        });
    let cached: Vec<Duration> = measured(found).filter_map(|(_, row)| quantile(&row.cached, 0.5)).collect();
    let cached = cached.into_iter().max().ok_or("the driver imports no dmabufs");
    [
        time(found, "a 5K picture to NV12 (median)", conversion, CONVERSION_MAX),
        time(found, "an import from the cache (slowest median)", cached, CACHED_MAX),
    ]
}

fn time(found: &Found, what: &'static str, took: Result<Duration, &str>, most: Duration) -> Point {
    let took = match took {
        _ if found.is_software => {
            return Point::not_run(what, "this is Vulkan on the CPU: no time is judged");
        }
        Err(why) => return Point::not_run(what, why),
        Ok(took) => took,
    };
    let us = |time: Duration| time.as_nanos() as f64 / 1e3;
    let words = format!("{:.1} µs, the target is {:.0} µs", us(took), us(most));
    let is_for_it = TARGET_CARDS.iter().any(|card| found.device.contains(card));
    match (took <= most, is_for_it) {
        (true, _) => Point::new(what, State::Good, words),
        (false, true) => Point::new(what, State::Failed, words),
        (false, false) => Point::new(what, State::Missed, format!("{words} on an H100")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Compared;
    use crate::leak::Leak;

    /// What an H100 that does all as it must would give.
    fn good() -> Found {
        let row = Row {
            gpu: vec![Duration::from_micros(140)],
            import: Some(Duration::from_micros(300)),
            cached: vec![Duration::from_micros(12)],
            hand_over: vec![Duration::from_micros(30)],
            shares_timelines: Some(true),
            is_dmabuf: true,
            ..Row::default()
        };
        let checked = Checked { difference: 1, cuda: Some(Compared { bytes: 100, differ: 0 }) };
        let leak = Leak {
            pictures: 10_000,
            imports: 1_000,
            evictions: 900,
            descriptors: 0,
            resident_kib: 300,
            device_kib: Some(0),
        };
        let measured =
            |format| Measured { size: "5K", format, row: Ok(row.clone()), checked: Some(Ok(checked)) };
        Found {
            device: "NVIDIA H100 80GB HBM3".to_owned(),
            is_software: false,
            no_reader: None,
            rows: vec![measured("NV12"), measured("P010")],
            leak: Ok(Some(leak)),
        }
    }

    /// What is not good of what `plant` makes of it.
    fn bad(plant: impl FnOnce(&mut Found)) -> Vec<(&'static str, State)> {
        let mut found = good();
        plant(&mut found);
        let points = judge(&found).into_iter();
        points.filter(|point| point.state != State::Good).map(|point| (point.what, point.state)).collect()
    }

    fn row(found: &mut Found) -> &mut Row {
        found.rows[0].row.as_mut().unwrap()
    }

    fn checked(found: &mut Found) -> &mut Checked {
        found.rows[1].checked.as_mut().unwrap().as_mut().unwrap()
    }

    fn leak_of(found: &mut Found) -> &mut Leak {
        found.leak.as_mut().unwrap().as_mut().unwrap()
    }

    #[test]
    fn good_figures_are_good() {
        assert_eq!(bad(|_| {}), []);
    }

    #[test]
    fn each_bad_figure_fails_by_itself() {
        type Plant = fn(&mut Found);
        let plants: [(Plant, &str); 12] = [
            (|found| found.no_reader = Some(NoReader::Broken("cuInit failed".into())), "CUDA on this device"),
            (|found| found.rows[1].row = Err("lost".into()), "each size and format"),
            (|found| checked(found).difference = 2, "pixels beside the exact result"),
            (|found| found.rows[0].checked = Some(Err("lost".into())), "pixels beside the exact result"),
            (
                |found| checked(found).cuda.as_mut().unwrap().differ = 1,
                "pixels as CUDA reads them beside Vulkan's",
            ),
            (|found| row(found).waits_hand_over = 1, "hand-over without a wait of the host's"),
            (|found| row(found).shares_timelines = Some(false), "hand-over without a wait of the host's"),
            (|found| row(found).copied = 1, "bytes that the CPU copied of dmabufs"),
            (|found| leak_of(found).descriptors = 1, "descriptors left"),
            (|found| leak_of(found).resident_kib = RESIDENT_KIB_MAX + 1, "resident memory left"),
            (|found| leak_of(found).device_kib = Some(DEVICE_KIB_MAX + 1), "device memory left"),
            (|found| found.leak = Err("lost".into()), "descriptors left"),
        ];
        for (plant, what) in plants {
            let failed = bad(plant);
            assert!(failed.contains(&(what, State::Failed)), "{what}: {failed:?}");
        }
    }

    #[test]
    fn a_target_is_an_h100s_and_no_time_is_the_cpus() {
        const CONVERSION: &str = "a 5K picture to NV12 (median)";
        const CACHED: &str = "an import from the cache (slowest median)";
        let slow = |found: &mut Found| {
            row(found).gpu = vec![Duration::from_micros(151)];
            row(found).cached = vec![Duration::from_micros(21)];
        };
        assert_eq!(bad(slow), [(CONVERSION, State::Failed), (CACHED, State::Failed)]);
        let other = |found: &mut Found| {
            slow(found);
            found.device = "NVIDIA L4".to_owned();
        };
        assert_eq!(bad(other), [(CONVERSION, State::Missed), (CACHED, State::Missed)]);
        let software = |found: &mut Found| {
            slow(found);
            found.is_software = true;
        };
        assert_eq!(bad(software), [(CONVERSION, State::NotRun), (CACHED, State::NotRun)]);
    }

    #[test]
    fn what_is_not_here_is_named_and_is_no_failure() {
        let without = bad(|found| {
            found.no_reader = Some(NoReader::Absent("no libcuda.so.1".into()));
            found.leak = Ok(None);
            for measured in &mut found.rows {
                measured.checked = None;
                let row = measured.row.as_mut().unwrap();
                (row.shares_timelines, row.is_dmabuf, row.copied) = (None, false, 1);
                (row.gpu, row.cached) = (Vec::new(), Vec::new());
            }
        });
        assert_eq!(without.len(), 10, "{without:?}");
        assert!(without.iter().all(|(_, state)| *state == State::NotRun), "{without:?}");
        // Vulkan on the CPU shares no timelines unless a layer lends it them.
        let unshared = bad(|found| {
            found.is_software = true;
            row(found).shares_timelines = Some(false);
        });
        assert!(
            unshared.contains(&("hand-over without a wait of the host's", State::NotRun)),
            "{unshared:?}"
        );
    }
}
