//! The gate: each hot verb beside the best library's, in one process and in turn, and a bound on the ratio.
//!
//! Absolute times say more of a shared machine than of the code; a ratio of two things that were timed a millisecond
//! apart does not. Promises: a verb fails only when the median of the ratios passes its bound in every one of several
//! tries; the table below is all there is to change. Refuses: to gate anything that has no rival here.
//!
//! `cargo bench -p benches --bench gate` gates; with `--test` each pair runs once and nothing is judged.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "a bench may panic, and speaks to a person")]

mod aead;
mod blocks;
#[path = "../rivals/blocks.rs"]
mod library;
mod plane;
#[path = "../rivals/udp.rs"]
mod rivals;
mod udp;

use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long each side of a pair runs at a time: long enough for a clock, short enough that the machine is the same.
const TURN: Duration = Duration::from_millis(3);

/// Turns of each side in a try.
const TURNS: usize = 21;

/// Tries before a ratio counts as too high.
const TRIES: usize = 3;

/// One verb and its rival.
pub struct Pair {
    /// What is done.
    name: &'static str,
    /// The most that ours may take, over what the rival takes.
    bound: f64,
    /// Why that much.
    reason: &'static str,
    ours: Run,
    rival: Run,
}

/// Does a thing so many times, and says how long that took.
type Run = Box<dyn FnMut(u32) -> Duration>;

/// A thing whose every call is timed whole.
fn whole(mut call: impl FnMut() + 'static) -> Run {
    Box::new(move |count| {
        let start = Instant::now();
        (0..count).for_each(|_| call());
        start.elapsed()
    })
}

/// The table: every pair with its bound and the bound's reason.
fn pairs() -> Vec<Pair> {
    let (aead_bound, aead_reason) = aead::bound();
    vec![
        aead::seal("seal 1408 bytes", aead_bound, aead_reason),
        aead::open("open 1408 bytes", aead_bound, aead_reason),
        blocks::encode("parity of 434+44", 0.75, "0.22–0.32 measured; AVX2 alone may be 0.6"),
        blocks::recover("recover 1 of 434+44", 0.25, "0.02–0.03 measured: the cost follows the losses"),
        blocks::recover_many("recover 44 of 434+44", 0.60, "0.12–0.16 measured; AVX2 alone may be 0.4"),
        plane::protect("packetize, parity, seal 370+37", 1.05, "0.72 of the bare libraries measured"),
        plane::reassemble("reassemble 370+37 / open alone", 1.90, "1.12–1.37 measured; placing is memory's"),
        udp::send(
            "send 132 datagrams / quinn-udp",
            1.20,
            "0.22–0.89 measured; the kernel's part is both sides'",
        ),
    ]
}

fn main() -> ExitCode {
    let once = std::env::args().any(|argument| argument == "--test");
    let mut failed = 0;
    println!("{:<34}{:>8}{:>8}{:>8}  ours / rival, by time", "", "ratio", "bound", "ns");
    for mut pair in pairs() {
        if once {
            (pair.ours)(1);
            (pair.rival)(1);
            println!("{:<34} ran", pair.name);
            continue;
        }
        let (ratio, nanoseconds) = judge(&mut pair);
        let verdict = if ratio <= pair.bound { "" } else { "  TOO SLOW" };
        println!(
            "{:<34}{ratio:>8.3}{:>8.2}{nanoseconds:>8.0}  {}{verdict}",
            pair.name, pair.bound, pair.reason
        );
        failed += usize::from(ratio > pair.bound);
    }
    if failed > 0 {
        eprintln!("gate: {failed} verbs are slower beside their rivals than their bounds allow");
    }
    ExitCode::from(u8::from(failed > 0))
}

/// The least median of a few tries, and what one of ours took in it.
fn judge(pair: &mut Pair) -> (f64, f64) {
    let mut best = (f64::INFINITY, 0.0);
    for _ in 0..TRIES {
        let one = median_ratio(pair);
        if one.0 < best.0 {
            best = one;
        }
        if best.0 <= pair.bound {
            break;
        }
    }
    best
}

fn median_ratio(pair: &mut Pair) -> (f64, f64) {
    let (count, rivals) = (calls_a_turn(&mut pair.ours), calls_a_turn(&mut pair.rival));
    let mut turns: Vec<(f64, f64)> = (0..TURNS)
        .map(|turn| {
            // Which is first alternates: what one leaves in the caches helps the other.
            let (ours, rival) = if turn % 2 == 0 {
                let ours = time(&mut pair.ours, count);
                (ours, time(&mut pair.rival, rivals))
            } else {
                let rival = time(&mut pair.rival, rivals);
                (time(&mut pair.ours, count), rival)
            };
            (ours / rival, ours)
        })
        .collect();
    turns.sort_by(|a, b| a.0.total_cmp(&b.0));
    turns[TURNS / 2]
}

fn calls_a_turn(run: &mut Run) -> u32 {
    run(1);
    let mut count = 1;
    while run(count) < TURN / 2 && count < 1 << 24 {
        count *= 2;
    }
    count
}

/// Nanoseconds of one call, over `count` of them.
fn time(run: &mut Run, count: u32) -> f64 {
    run(count).as_nanos() as f64 / f64::from(count)
}
