//! The state of the machine beside a figure: its CPU, its load, how far its cores lie apart at the moment, and what this
//! process and its threads have used.
//!
//! Promises: nothing here runs while a window is measured, but for reading the kernel's own books at its two ends.
//! Refuses: to guess; what the kernel does not tell is absent.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// How long one side of a ping-pong waits for the other, so that a stalled thread ends it.
const PING_PATIENCE: Duration = Duration::from_millis(500);

const PINGS: u64 = 20_000;

/// CPU time of one thread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ThreadTime {
    /// The thread's name.
    pub name: String,
    /// Nanoseconds that it ran.
    pub cpu_ns: u64,
}

/// Nanoseconds of the clock that all processes of this machine share.
pub fn monotonic_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// The instant at which that clock read `origin_ns`, so that two processes count from the same one.
pub fn instant_at(origin_ns: u64) -> Instant {
    let (now, now_ns) = (Instant::now(), monotonic_ns());
    now.checked_sub(Duration::from_nanos(now_ns.saturating_sub(origin_ns))).unwrap_or(now)
}

/// CPU time of this process's threads, by their names; empty where the kernel keeps no such books.
pub fn thread_times() -> Vec<ThreadTime> {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    let time = |task: fs::DirEntry| {
        let name = fs::read_to_string(task.path().join("comm")).ok()?.trim().to_owned();
        let books = fs::read_to_string(task.path().join("schedstat")).ok()?;
        let cpu_ns = books.split_ascii_whitespace().next()?.parse().ok()?;
        Some(ThreadTime { name, cpu_ns })
    };
    let mut times: Vec<ThreadTime> = tasks.filter_map(|task| time(task.ok()?)).collect();
    times.sort_by(|a, b| a.name.cmp(&b.name));
    times
}

/// Resident memory of this process in KiB.
pub fn resident_kib() -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_ascii_whitespace().next()).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

/// The load average of the last minute.
pub fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_ascii_whitespace().next()?.parse().ok()
}

/// The CPU's name and how many cores this process may use.
pub fn cpu() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let name = name.map_or("unknown CPU", |(_, name)| name.trim());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    format!("{name}, {cores} cores")
}

/// The kernel's release.
pub fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

/// Nanoseconds that a cache line takes from one core to another and back, now: the best of a few short tries, `None`
/// where two threads do not run side by side.
pub fn ping_pong_ns() -> Option<f64> {
    if thread::available_parallelism().map_or(1, usize::from) < 2 {
        return None;
    }
    (0..3).filter_map(|_| ping_pong_once()).min_by(f64::total_cmp)
}

fn ping_pong_once() -> Option<f64> {
    let line = Arc::new(AtomicU64::new(0));
    let far = Arc::clone(&line);
    let there = thread::spawn(move || bounce(&far, 1));
    let start = Instant::now();
    let came = bounce(&line, 0);
    let spent = start.elapsed();
    let both = there.join().unwrap_or(false) && came;
    both.then(|| spent.as_nanos() as f64 / (PINGS / 2) as f64)
}

/// Adds one whenever the count's last bit is `turn`; false when the other side does not come.
fn bounce(line: &AtomicU64, turn: u64) -> bool {
    let end = Instant::now() + PING_PATIENCE;
    let mut looks = 0_u32;
    loop {
        let count = line.load(Ordering::Acquire);
        if count >= PINGS {
            return true;
        }
        if count % 2 == turn {
            line.store(count + 1, Ordering::Release);
            continue;
        }
        looks = looks.wrapping_add(1);
        if looks.is_multiple_of(4_096) && Instant::now() >= end {
            return false;
        }
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_clocks_agree_on_an_origin() {
        let origin = monotonic_ns();
        let (here, there) = (instant_at(origin), instant_at(origin));
        let apart = here.max(there) - here.min(there);
        assert!(apart < Duration::from_millis(50), "{apart:?}");
        assert!(here <= Instant::now());
    }

    #[test]
    fn the_kernels_books_are_read() {
        let spent: u64 = (0..3_000_000_u64).fold(0, |sum, word| std::hint::black_box(sum ^ word));
        std::hint::black_box(spent);
        assert!(resident_kib() > 0 && !cpu().is_empty() && !kernel().is_empty());
        if fs::read_to_string("/proc/self/schedstat").is_ok() {
            assert!(thread_times().iter().any(|thread| thread.cpu_ns > 0));
        }
        if let Some(nanoseconds) = ping_pong_ns() {
            assert!((1.0..1e8).contains(&nanoseconds), "{nanoseconds}");
        }
    }
}
