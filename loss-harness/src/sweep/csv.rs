//! A sweep as comma-separated values: a line a cell, a head line with units in the names, no quoting, because no value
//! has a comma.

use std::fmt::Write as _;

use super::Row;

const HEAD: &str = "loss_percent,burst_datagrams,au_bytes_min,au_bytes_max,redundancy_percent,resend,aus,datagrams,\
datagrams_gone,overhead_percent,aus_allowed,aus_in_time,aus_delivered,bound_percent,delivered_percent,wrong_blocks,\
shards_recovered,latency_p50_us,latency_p99_us,latency_max_us,digest,right\n";

/// The whole file.
pub fn csv(rows: &[Row]) -> String {
    let mut text = String::from(HEAD);
    for Row { cell, outcome } in rows {
        let (plan, latency) = (&cell.plan, &outcome.latency);
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "{},{},{},{},{},{},{},{},{},{:.3},{},{},{},{:.4},{:.4},{},{},{},{},{},{:016x},{}",
            percent(cell.loss.share()),
            cell.burst,
            plan.size.min.0,
            plan.size.max.0,
            percent(plan.redundancy.share()),
            plan.resend,
            outcome.sent,
            outcome.fates.datagrams,
            outcome.fates.gone(),
            outcome.overhead() * 100.0,
            outcome.allowed,
            outcome.in_time,
            outcome.delivered,
            outcome.allowed_share() * 100.0,
            outcome.delivered_share() * 100.0,
            outcome.wrong_blocks,
            outcome.counters.shards_recovered,
            latency.p50.as_micros(),
            latency.p99.as_micros(),
            latency.max.as_micros(),
            outcome.digest,
            outcome.is_right(),
        );
    }
    text
}

/// A share as a number of percent, without the digits that binary fractions make up.
fn percent(share: f64) -> f64 {
    (share * 1e8).round() / 1e6
}
