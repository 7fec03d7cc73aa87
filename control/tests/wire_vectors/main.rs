//! `docs/vectors/*.json`: what `docs/wire.md` says, as bytes. A second implementation is held against them.
//!
//! Each run makes them anew and compares, so that they cannot fall behind the code. They are wire format: a change of
//! what is there already is a change of the protocol. After an addition:
//! `PUNKTFUNK_VECTORS=write cargo test -p punktfunk-control --test wire_vectors`.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod bench;
mod case;
mod clocks;
mod control;
mod feedback;
mod filler;
mod hostile;
mod keys;
mod media;
mod pairing;

use serde_json::Value;
use std::path::Path;

/// The secret of every vector that does not name another: bytes 0 to 31.
fn secret() -> [u8; 32] {
    std::array::from_fn(|index| index as u8)
}

/// Compares a file with what it should be, or writes it.
fn hold(name: &str, vectors: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/vectors").join(name);
    let made = format!("{}\n", serde_json::to_string_pretty(vectors).unwrap());
    if std::env::var_os("PUNKTFUNK_VECTORS").is_some_and(|value| value == "write") {
        std::fs::write(&path, &made).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    let line = there.lines().zip(made.lines()).position(|(old, new)| old != new).map(|index| index + 1);
    assert!(
        there == made,
        "docs/vectors/{name} is not what this code makes (first in line {line:?}): has the wire format changed?"
    );
}

#[test]
fn keys_are_current() {
    hold("keys.json", &keys::vectors());
}

#[test]
fn media_is_current() {
    hold("media.json", &media::vectors());
}

#[test]
fn hostile_datagrams_are_current() {
    hold("hostile.json", &hostile::vectors());
}

#[test]
fn feedback_is_current() {
    hold("feedback.json", &feedback::vectors());
}

#[test]
fn filler_is_current() {
    hold("filler.json", &filler::vectors());
}

#[test]
fn control_messages_are_current() {
    hold("control.json", &control::vectors());
}

#[test]
fn pairing_is_current() {
    hold("pairing.json", &pairing::vectors());
}

#[test]
fn clocks_and_limits_are_current() {
    hold("clocks.json", &clocks::vectors());
}
