//! What the harness says: tables for people, JSON for programs, progress on a terminal.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::coder;
use crate::plan::Plan;
use crate::run::Outcome;
use crate::sweep;

/// A line on standard error that counts AUs, where that is a terminal.
pub struct Progress {
    of: u32,
    shown_at: Option<Instant>,
}

impl Progress {
    /// Counts up to `of`.
    pub fn new(of: u32) -> Progress {
        Progress { of, shown_at: std::io::stderr().is_terminal().then(Instant::now) }
    }

    /// `done` AUs are done.
    pub fn step(&mut self, done: u32) {
        let Some(shown_at) = self.shown_at.as_mut() else { return };
        if shown_at.elapsed() >= Duration::from_millis(100) {
            *shown_at = Instant::now();
            eprint!("\r{done} of {} access units", self.of);
            // Nothing hangs on a terminal that refuses.
            let _ = std::io::stderr().flush();
        }
    }

    /// Clears the line.
    pub fn finish(&self) {
        if self.shown_at.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}

/// A run in words.
pub fn run_text(plan: &Plan, outcome: &Outcome) -> String {
    let mut text = String::new();
    let fates = &outcome.fates;
    let counters = &outcome.counters;
    let mut line = |words: std::fmt::Arguments<'_>| {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{words}");
    };
    line(format_args!(
        "sent       {} access units of {}, {} MB, {} datagrams, redundancy {}, seed {}",
        outcome.sent,
        plan.size,
        outcome.payload_bytes / 1_000_000,
        fates.datagrams,
        plan.redundancy,
        plan.seed
    ));
    line(format_args!(
        "channel    {} lost, {} lost in bursts, {} dropped by the queue, {} duplicated, {} corrupted",
        fates.lost, fates.lost_in_bursts, fates.dropped_by_queue, fates.duplicated, fates.corrupted
    ));
    line(format_args!(
        "received   {} placed, {} copied, {} surplus, {} replayed, {} late, {} with a bad tag, {} malformed",
        counters.placed,
        counters.copied,
        counters.surplus,
        counters.replayed,
        counters.late,
        counters.bad_tag,
        counters.malformed
    ));
    line(format_args!(
        "recovered  {} shards in {} of {} blocks",
        counters.shards_recovered, counters.blocks_recovered, counters.blocks_whole
    ));
    line(format_args!(
        "bound      {} of {} access units ({:.3} %)",
        outcome.allowed,
        outcome.sent,
        outcome.allowed_share() * 100.0
    ));
    line(format_args!(
        "delivered  {} of {} access units ({:.3} %), {} reported lost, {} blocks with wrong bytes",
        outcome.delivered,
        outcome.sent,
        outcome.delivered_share() * 100.0,
        outcome.lost,
        outcome.wrong_blocks
    ));
    line(format_args!("digest     {:016x}", outcome.digest));
    line(format_args!("verdict    {}", verdict(outcome)));
    text
}

/// A run as one JSON object.
pub fn run_json(plan: &Plan, outcome: &Outcome) -> String {
    format!("{}\n", run_value(plan, outcome))
}

fn run_value(plan: &Plan, outcome: &Outcome) -> Value {
    let (fates, counters) = (&outcome.fates, &outcome.counters);
    json!({
        "plan": plan,
        "aus": {
            "sent": outcome.sent,
            "allowed": outcome.allowed,
            "delivered": outcome.delivered,
            "lost": outcome.lost,
            "astray": outcome.astray,
        },
        "allowed_share": outcome.allowed_share(),
        "delivered_share": outcome.delivered_share(),
        "wrong_blocks": outcome.wrong_blocks,
        "spans_astray": outcome.spans_astray,
        "payload_bytes": outcome.payload_bytes,
        "channel": {
            "datagrams": fates.datagrams,
            "lost": fates.lost,
            "lost_in_bursts": fates.lost_in_bursts,
            "dropped_by_queue": fates.dropped_by_queue,
            "duplicated": fates.duplicated,
            "corrupted": fates.corrupted,
        },
        "received": {
            "datagrams": counters.datagrams,
            "placed": counters.placed,
            "copied": counters.copied,
            "surplus": counters.surplus,
            "replayed": counters.replayed,
            "late": counters.late,
            "malformed": counters.malformed,
            "bad_tag": counters.bad_tag,
            "unknown_epoch": counters.unknown_epoch,
            "over_limit": counters.over_limit,
            "datagrams_lost": counters.datagrams_lost,
            "aus_lost": counters.aus_lost,
            "aus_late": counters.aus_late,
            "aus_dropped_memory": counters.aus_dropped_memory,
            "aus_dropped_window": counters.aus_dropped_window,
            "blocks_whole": counters.blocks_whole,
            "blocks_recovered": counters.blocks_recovered,
            "shards_recovered": counters.shards_recovered,
            "spans_allocated": counters.spans_allocated,
            "span_bytes": counters.span_bytes,
        },
        "digest": format!("{:016x}", outcome.digest),
        "right": outcome.is_right(),
    })
}

/// A sweep in words.
pub fn sweep_text(rows: &[sweep::Row]) -> String {
    let mut text = String::from("redundancy      loss  bound %  delivered %  recovered shards  verdict\n");
    for row in rows {
        let outcome = &row.outcome;
        let _ = writeln!(
            text,
            "{:>10}  {:>8}  {:>7.3}  {:>11.3}  {:>16}  {}",
            row.redundancy.to_string(),
            row.loss.to_string(),
            outcome.allowed_share() * 100.0,
            outcome.delivered_share() * 100.0,
            outcome.counters.shards_recovered,
            verdict(outcome)
        );
    }
    text
}

/// A sweep as one JSON array.
pub fn sweep_json(rows: &[sweep::Row]) -> String {
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "redundancy": row.redundancy,
                "loss": row.loss,
                "allowed_share": row.outcome.allowed_share(),
                "delivered_share": row.outcome.delivered_share(),
                "wrong_blocks": row.outcome.wrong_blocks,
                "shards_recovered": row.outcome.counters.shards_recovered,
                "digest": format!("{:016x}", row.outcome.digest),
                "right": row.outcome.is_right(),
            })
        })
        .collect();
    format!("{}\n", Value::from(rows))
}

/// The coder's figures in words.
pub fn fec_text(rows: &[coder::Row]) -> String {
    let mut text = String::from("     shape  encode µs   GB/s  recover 1 µs  recover m µs  bytes\n");
    for row in rows {
        let _ = writeln!(
            text,
            "{:>10}  {:>9.1}  {:>5.2}  {:>12.1}  {:>12.1}  {}",
            format!("{}+{}", row.k, row.m),
            micros(row.encode),
            row.data_bytes as f64 / row.encode.as_secs_f64() / 1e9,
            micros(row.recover_one),
            micros(row.recover_all),
            if row.bytes_right { "right" } else { "WRONG" }
        );
    }
    text
}

/// The coder's figures as one JSON array.
pub fn fec_json(rows: &[coder::Row]) -> String {
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "k": row.k,
                "m": row.m,
                "data_bytes": row.data_bytes,
                "encode_us": micros(row.encode),
                "recover_one_us": micros(row.recover_one),
                "recover_all_us": micros(row.recover_all),
                "bytes_right": row.bytes_right,
            })
        })
        .collect();
    format!("{}\n", Value::from(rows))
}

fn verdict(outcome: &Outcome) -> String {
    if outcome.is_right() {
        return "right: what the bound allows was delivered, no byte wrong".to_owned();
    }
    format!(
        "WRONG: {} wrong blocks, {} spans astray, access units on the wrong side of the bound: {:?}",
        outcome.wrong_blocks, outcome.spans_astray, outcome.astray
    )
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
