//! Keys change while a gigabit a second flows, many times a second: nothing is lost by it.

#[allow(dead_code, reason = "this file uses a part")]
mod support;

use std::time::{Duration, Instant};

use punktfunk_engine::{ClientEnd, HostEnd, Machine, Wishes};
use punktfunk_seal::{EPOCH_AGE_MAX, EpochLimits, SEQUENCES_PER_EPOCH_MAX};

use support::{Check, Pattern, start_rekeyed, wait_for};

/// 500 pictures a second of 250 KB are a gigabit.
const INTERVAL: Duration = Duration::from_millis(2);
const SLICE_BYTES: usize = 125_000;
const SLICES: u16 = 2;

/// Two seconds of them.
const AUS: u64 = 1_000;

/// Epochs that a run goes through at the least.
const EPOCHS_MIN: u64 = 8;

/// Runs of which one must meet with no full socket.
const RUNS_MAX: u32 = 4;

/// How long a run may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends all access units, reports going back as the control thread carries them.
fn run(epochs: EpochLimits) -> (HostEnd<Pattern>, ClientEnd<Check>) {
    let pattern = Pattern::new(SLICES, SLICE_BYTES, INTERVAL, AUS);
    let machine = Machine::probe(Wishes::default());
    let mut pair = start_rekeyed(epochs, machine, pattern, Check::new(false), 4_000_000);
    let start = Instant::now();
    wait_for(PATIENCE, || {
        while let Some(report) = pair.client.poll_feedback() {
            pair.host.handle_feedback(report, None);
        }
        pair.host.is_ended()
    });
    let took = start.elapsed();
    let host = pair.host.stop();
    wait_for(Duration::from_secs(5), || {
        let client = pair.client.stats();
        client.decode.whole + client.receive.dropped_decode_queue >= host.stats.protect.sent
    });
    let client = pair.client.stop();
    eprintln!(
        "{} epochs in {took:?}, {} Mbit/s on the wire, {} access units",
        host.stats.protect.epoch,
        host.stats.protect.wire_bytes * 8 / took.as_micros() as u64,
        client.stats.decode.whole,
    );
    (host, client)
}

/// What every run must come to, whatever ended its epochs; `false` where a busy machine's full socket has lost datagrams
/// that no key is to blame for, so that another run has to judge the rest.
fn check((host, client): (HostEnd<Pattern>, ClientEnd<Check>)) -> bool {
    let (sent, came, decode) = (host.stats.protect, client.stats.receive, client.stats.decode);
    assert!(sent.epoch >= EPOCHS_MIN, "{sent:?}");
    assert_eq!((host.fault, client.fault), (None, None));
    assert_eq!(client.decode.expect("the stage gave it back").wrong, 0);
    assert_eq!((sent.dropped_key_exhausted, sent.dropped_protect), (0, 0), "{sent:?}");
    assert_eq!((came.unknown_epoch, came.bad_tag, came.replayed, came.malformed), (0, 0, 0, 0), "{came:?}");
    assert!(decode.whole > 0);
    if came.kernel_drops > 0 {
        eprintln!("the kernel dropped {} buffers: {} access units lost", came.kernel_drops, came.lost_aus);
        return false;
    }
    assert_eq!(came.lost_aus, 0, "{sent:?} {came:?}");
    assert_eq!(decode.whole + came.dropped_decode_queue, sent.sent, "{sent:?} {came:?}");
    true
}

/// Runs until one was judged in full.
fn judge(epochs: EpochLimits) {
    let judged = (0..RUNS_MAX).any(|_| check(run(epochs)));
    assert!(
        judged,
        "the kernel dropped datagrams in each of {RUNS_MAX} runs: nothing is known of what a key costs"
    );
}

#[test]
fn epochs_that_end_by_their_datagrams_cost_nothing() {
    judge(EpochLimits::shorter(15_000, EPOCH_AGE_MAX));
}

#[test]
fn epochs_that_end_by_their_age_cost_nothing() {
    judge(EpochLimits::shorter(SEQUENCES_PER_EPOCH_MAX, Duration::from_millis(120)));
}
