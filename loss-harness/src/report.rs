//! What the harness says of a run: words for people, JSON for programs.

use std::fmt::Write as _;
use std::time::Duration;

use punktfunk_proto::ReassemblyCounters;
use serde_json::{Value, json};

use crate::link::FateCounts;
use crate::outcome::Outcome;
use crate::plan::Plan;

/// A run in words.
pub fn run_text(plan: &Plan, outcome: &Outcome) -> String {
    let mut text = String::new();
    let fates = &outcome.fates;
    let mut line = |words: std::fmt::Arguments<'_>| {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{words}");
    };
    line(format_args!(
        "sent       {} access units of {}, {} MB, {} datagrams ({:.2} % beside the data), redundancy {}, seed {}",
        outcome.sent,
        plan.size,
        outcome.payload_bytes / 1_000_000,
        fates.datagrams,
        outcome.overhead() * 100.0,
        plan.redundancy,
        plan.seed
    ));
    line(format_args!("channel    {}", fates_text(fates)));
    line(format_args!(
        "feedback   {} reports: {}",
        outcome.host.reports,
        fates_text(&outcome.feedback_fates)
    ));
    line(format_args!("{}", received_text(&outcome.counters)));
    let resends = outcome.host.resends;
    if plan.resend {
        line(format_args!(
            "resends    {} of {} asked for, {} too late, {} not held, {} refused",
            resends.resent, resends.asked, resends.late, resends.gone, resends.refused
        ));
    }
    line(format_args!(
        "bound      {} of {} access units ({:.3} %)",
        outcome.allowed,
        outcome.sent,
        outcome.allowed_share() * 100.0
    ));
    line(format_args!(
        "delivered  {} of {} access units ({:.3} %), {} reported lost, {} blocks with wrong bytes; of {} in time",
        outcome.delivered,
        outcome.sent,
        outcome.delivered_share() * 100.0,
        outcome.lost,
        outcome.wrong_blocks,
        outcome.in_time
    ));
    line(format_args!(
        "usable     {} access units, longest gap {}, {} IDRs; capture to whole p50 {:.2} p99 {:.2} max {:.2} ms",
        outcome.usable,
        outcome.longest_gap,
        outcome.host.idrs,
        millis(outcome.latency.p50),
        millis(outcome.latency.p99),
        millis(outcome.latency.max)
    ));
    line(format_args!("digest     {:016x}", outcome.digest));
    line(format_args!("verdict    {}", verdict(outcome)));
    text
}

/// What the receiver did with what came.
fn received_text(counters: &ReassemblyCounters) -> String {
    format!(
        "received   {} placed, {} copied, {} surplus, {} replayed, {} late, {} with a bad tag, {} malformed\n\
         recovered  {} shards in {} of {} blocks",
        counters.placed,
        counters.copied,
        counters.surplus,
        counters.replayed,
        counters.late,
        counters.bad_tag,
        counters.malformed,
        counters.shards_recovered,
        counters.blocks_recovered,
        counters.blocks_whole
    )
}

/// A run as one JSON object.
pub fn run_json(plan: &Plan, outcome: &Outcome) -> String {
    format!("{}\n", run_value(plan, outcome))
}

fn run_value(plan: &Plan, outcome: &Outcome) -> Value {
    let counters = &outcome.counters;
    json!({
        "plan": plan,
        "aus": {
            "sent": outcome.sent,
            "allowed": outcome.allowed,
            "in_time": outcome.in_time,
            "delivered": outcome.delivered,
            "usable": outcome.usable,
            "longest_gap": outcome.longest_gap,
            "lost": outcome.lost,
            "astray": outcome.astray,
            "idrs": outcome.host.idrs,
        },
        "allowed_share": outcome.allowed_share(),
        "delivered_share": outcome.delivered_share(),
        "overhead": outcome.overhead(),
        "wrong_blocks": outcome.wrong_blocks,
        "spans_astray": outcome.spans_astray,
        "conserved": outcome.is_conserved,
        "payload_bytes": outcome.payload_bytes,
        "latency_us": {
            "p50": outcome.latency.p50.as_micros() as u64,
            "p99": outcome.latency.p99.as_micros() as u64,
            "max": outcome.latency.max.as_micros() as u64,
        },
        "sent": {
            "data": outcome.host.data_datagrams,
            "parity": outcome.host.parity_datagrams,
            "resent": outcome.host.resends.resent,
        },
        "resends": {
            "asked": outcome.host.resends.asked,
            "late": outcome.host.resends.late,
            "gone": outcome.host.resends.gone,
            "refused": outcome.host.resends.refused,
        },
        "channel": fates_value(&outcome.fates),
        "feedback": fates_value(&outcome.feedback_fates),
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

fn fates_value(fates: &FateCounts) -> Value {
    json!({
        "datagrams": fates.datagrams,
        "arrived": fates.arrived,
        "lost": fates.lost,
        "lost_in_bursts": fates.lost_in_bursts,
        "lost_in_blackouts": fates.lost_in_blackouts,
        "lost_by_trace": fates.lost_by_trace,
        "over_mtu": fates.over_mtu,
        "dropped_by_queue": fates.dropped_by_queue,
        "duplicated": fates.duplicated,
        "corrupted": fates.corrupted,
    })
}

/// What a link did, naming only what it did do.
fn fates_text(fates: &FateCounts) -> String {
    let done = [
        (fates.lost, "lost"),
        (fates.lost_in_bursts, "lost in bursts"),
        (fates.lost_in_blackouts, "lost in blackouts"),
        (fates.lost_by_trace, "lost by the trace"),
        (fates.over_mtu, "longer than the MTU"),
        (fates.dropped_by_queue, "dropped by the queue"),
        (fates.duplicated, "duplicated"),
        (fates.corrupted, "corrupted"),
    ];
    let done =
        done.into_iter().filter(|(count, _)| *count > 0).map(|(count, way)| format!(", {count} {way}"));
    format!("{} datagrams{}", fates.datagrams, done.collect::<String>())
}

fn verdict(outcome: &Outcome) -> String {
    if outcome.is_right() {
        let late = outcome.allowed - outcome.in_time;
        return match late {
            0 => "right: what the bound allows was delivered, no byte wrong".to_owned(),
            _ => format!(
                "right: what the bound allows was delivered but for {late} that came too late, no byte wrong"
            ),
        };
    }
    format!(
        "WRONG: {} wrong blocks, {} spans astray, {}, access units on the wrong side of the bound: {:?}",
        outcome.wrong_blocks,
        outcome.spans_astray,
        if outcome.is_conserved { "all accounted for" } else { "datagrams unaccounted for" },
        outcome.astray
    )
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
