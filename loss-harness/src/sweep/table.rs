//! A sweep in words, for a terminal, and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Row;

/// A line a cell.
pub fn text(rows: &[Row]) -> String {
    let mut text = String::from(
        "   loss  burst          size  parity  resend    AUs   bound %  delivered %  overhead %  p99 ms  verdict\n",
    );
    for row in rows {
        let (cell, outcome) = (&row.cell, &row.outcome);
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "{:>7}  {:>5}  {:>12}  {:>6}  {:>6}  {:>5}  {:>8.3}  {:>11.3}  {:>10.2}  {:>6.2}  {}",
            cell.loss.to_string(),
            cell.burst,
            cell.plan.size.to_string(),
            cell.plan.redundancy.to_string(),
            if cell.plan.resend { "on" } else { "off" },
            outcome.sent,
            outcome.allowed_share() * 100.0,
            outcome.delivered_share() * 100.0,
            outcome.overhead() * 100.0,
            outcome.latency.p99.as_secs_f64() * 1e3,
            verdict(row),
        );
    }
    text + &summary(rows) + "\n"
}

/// What all cells came to, in a sentence.
pub fn summary(rows: &[Row]) -> String {
    let sum = |of: fn(&Row) -> u64| rows.iter().map(of).sum::<u64>();
    format!(
        "{} access units, {:.1} GB, {} wrong blocks; {} of {} cells delivered exactly what the bound allows, {} are wrong",
        sum(|row| u64::from(row.outcome.sent)),
        sum(|row| row.outcome.payload_bytes) as f64 / 1e9,
        sum(|row| u64::from(row.outcome.wrong_blocks)),
        sum(|row| u64::from(row.is_at_bound())),
        rows.len(),
        sum(|row| u64::from(!row.outcome.is_right())),
    )
}

/// One JSON array.
pub fn json(rows: &[Row]) -> String {
    let rows: Vec<Value> = rows.iter().map(value).collect();
    format!("{}\n", Value::from(rows))
}

fn value(row: &Row) -> Value {
    let (cell, outcome) = (&row.cell, &row.outcome);
    json!({
        "loss": cell.loss,
        "burst": cell.burst,
        "size": cell.plan.size,
        "redundancy": cell.plan.redundancy,
        "resend": cell.plan.resend,
        "aus": outcome.sent,
        "allowed_share": outcome.allowed_share(),
        "delivered_share": outcome.delivered_share(),
        "in_time": outcome.in_time,
        "wrong_blocks": outcome.wrong_blocks,
        "shards_recovered": outcome.counters.shards_recovered,
        "overhead": outcome.overhead(),
        "latency_us": {
            "p50": outcome.latency.p50.as_micros() as u64,
            "p99": outcome.latency.p99.as_micros() as u64,
            "max": outcome.latency.max.as_micros() as u64,
        },
        "digest": format!("{:016x}", outcome.digest),
        "right": outcome.is_right(),
    })
}

fn verdict(row: &Row) -> &'static str {
    match (row.outcome.is_right(), row.is_at_bound()) {
        (true, true) => "right: at the bound",
        (true, false) => "right: the rest came too late",
        (false, _) => "WRONG",
    }
}
