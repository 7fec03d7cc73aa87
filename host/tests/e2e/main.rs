//! End to end: the two programs as a person starts them, on loopback, judged by what they say and leave.
//!
//! Promises: every figure comes from `--json`, an exit code or a file; one session at a time on the machine;
//! each test has a folder of its own, and nothing of it is left, processes included. Where ffprobe, sway or
//! foot is not installed a test says so in one line and does without, unless `CI=true`. Refuses to reach
//! beyond loopback.
//!
//! The client stands beside the host in the target folder: `cargo test --workspace` builds both.

#![allow(clippy::unwrap_used)] // clippy's leave for tests ends at the functions that they share

mod api;
mod bitstream;
mod card;
mod ciphers;
mod codecs;
mod config;
mod console;
mod described;
mod desktop;
mod diagnosis;
mod discover;
mod driver_faults;
mod endings;
mod file;
mod follow;
mod given_up;
mod gpu;
mod hop;
mod hostile;
mod leaving;
mod loss;
mod mtu;
mod nvdec;
mod pairing;
mod rate;
mod recording;
mod refusals;
mod roaming;
mod search;
mod sessions;
mod soak;
mod speed;
mod substitutes;
mod support;
mod watchdog;
