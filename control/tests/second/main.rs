//! `docs/second`, an implementation in Python that knows `docs/` alone, beside this code.
//!
//! First the vectors; then random sessions, in which each side seals and the other opens, and bent bytes, of which both must say
//! the same. Each test prints its seed: `PUNKTFUNK_SEED=N` runs it again. Where python3 is not installed these say so in one
//! line and pass, unless `CI=true`.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../wire_vectors/bench.rs"]
mod bench;
mod bytes;
mod chance;
mod sessions;
mod twin;

use chance::Chance;
use twin::Twin;

/// Runs a test with Python beside it, from a seed that is said.
fn with_twin(name: &str, test: impl FnOnce(&mut Twin, &mut Chance)) {
    let Some(mut twin) = Twin::start() else { return };
    let seed = chance::seed();
    eprintln!("{name}: PUNKTFUNK_SEED={seed} runs it again");
    test(&mut twin, &mut Chance::new(seed));
}

#[test]
fn the_second_implementation_agrees_with_every_vector() {
    twin::check();
}

#[test]
fn what_is_sealed_here_is_reassembled_there() {
    with_twin("sealed here", |twin, chance| {
        for _ in 0..6 {
            sessions::sealed_here(twin, chance, sessions::Peer::Honest);
        }
    });
}

#[test]
fn of_hostile_datagrams_both_say_the_same() {
    with_twin("hostile", |twin, chance| {
        for _ in 0..8 {
            sessions::sealed_here(twin, chance, sessions::Peer::Hostile);
        }
    });
}

#[test]
fn what_is_sealed_there_is_reassembled_here() {
    with_twin("sealed there", |twin, chance| {
        for _ in 0..6 {
            sessions::sealed_there(twin, chance);
        }
    });
}

#[test]
fn of_bent_control_messages_both_say_the_same() {
    with_twin("messages", bytes::messages);
}

#[test]
fn of_bent_reports_both_say_the_same() {
    with_twin("reports", bytes::reports);
}

#[test]
fn bounds_and_times_are_the_same() {
    with_twin("bounds", bytes::bounds_and_times);
}

#[test]
fn of_rounds_of_clocks_both_say_the_same() {
    with_twin("rounds", bytes::rounds);
}
