//! The two clocks: the one that stages are timed by, and the world's.

use std::hint::black_box;
use std::io;
use std::time::Instant;

use crate::{Verdict, View, sys};

/// Clock sources that are read over a bus, or tick no faster than the scheduler.
const SLOW: [&str; 5] = ["hpet", "acpi_pm", "jiffies", "refined-jiffies", "pit"];

/// A reading through the kernel's shared page takes some 20 to 50 ns; a system call to slow hardware 1000 and more.
const READING_NS_MAX: u128 = 1_000;

const READINGS: u32 = 1_000;

/// The kernel's clock source, and what a reading takes.
pub(crate) fn clock(view: &View) -> Verdict {
    let folder = "/sys/devices/system/clocksource/clocksource0";
    let source =
        view.read(&format!("{folder}/current_clocksource")).unwrap_or_else(|_| "not named".to_owned());
    let others = view.read(&format!("{folder}/available_clocksource")).unwrap_or_default();
    let began = Instant::now();
    for _ in 0..READINGS {
        black_box(Instant::now());
    }
    judge(&source, &others, began.elapsed().as_nanos() / u128::from(READINGS))
}

fn judge(source: &str, others: &str, reading_ns: u128) -> Verdict {
    let found = format!("{source}, {reading_ns} ns a reading");
    if !SLOW.contains(&source) && reading_ns <= READING_NS_MAX {
        return Verdict::ok(found);
    }
    let better = others.split_whitespace().find(|other| *other != source && !SLOW.contains(other));
    let remedy = match better {
        Some(better) => format!(
            "each datagram that is timed waits for it: echo {better} | sudo tee \
             /sys/devices/system/clocksource/clocksource0/current_clocksource"
        ),
        None => "each datagram that is timed waits for it; the kernel has found no better one: dmesg | grep -i -e tsc -e \
                 clocksource says why"
            .to_owned(),
    };
    Verdict::degraded(found, remedy)
}

/// Whether the wall clock is kept.
pub(crate) fn clock_sync() -> Verdict {
    judge_sync(sys::is_clock_kept())
}

fn judge_sync(is_kept: io::Result<bool>) -> Verdict {
    match is_kept {
        Ok(true) => Verdict::ok("the wall clock is kept in step"),
        Ok(false) => Verdict::degraded(
            "nobody keeps the wall clock in step",
            "dates of certificates and logs may be wrong; latency figures are not affected: sudo timedatectl set-ntp true",
        ),
        Err(error) => Verdict::degraded(
            format!("the kernel does not say whether the wall clock is kept: {error}"),
            "dates of certificates and logs may be wrong: timedatectl tells more",
        ),
    }
}

#[cfg(test)]
mod tests {
    use punktfunk_manage::model::CheckState;

    use super::*;

    #[test]
    fn a_slow_clock_is_named_with_the_better_one_that_is_there() {
        assert_eq!(judge("tsc", "tsc hpet", 21), Verdict::ok("tsc, 21 ns a reading"));
        let slow = judge("hpet", "hpet tsc acpi_pm", 900);
        assert_eq!(slow.state, CheckState::Degraded);
        assert!(slow.remedy.contains("echo tsc |"), "{slow:?}");
        assert_eq!(judge("xen", "xen", 1_500).state, CheckState::Degraded);
    }

    #[test]
    fn a_clock_that_nobody_keeps_costs_and_is_no_end() {
        assert_eq!(judge_sync(Ok(true)).state, CheckState::Ok);
        assert_eq!(judge_sync(Ok(false)).state, CheckState::Degraded);
        assert_eq!(judge_sync(Err(io::ErrorKind::PermissionDenied.into())).state, CheckState::Degraded);
        assert!(sys::is_clock_kept().is_ok(), "reading it needs no rights");
    }
}
