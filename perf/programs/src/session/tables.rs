//! Every figure of the charts as a table, each in a box that scrolls by itself.

use std::fmt::Write as _;

use crate::markup::escape;

use super::figures::Session;
use super::page::{percentiles_row, title_case};
use super::way::label;
use super::words::{count, duration, three_digits};

/// All tables.
pub fn all(html: &mut String, session: &Session) {
    html.push_str("<section><h2>All figures</h2>\n");
    stages(html, session);
    curves(html, session);
    time(html, session);
    cadence(html, session);
    for (end, counters) in &session.counters {
        let rows = counters.iter().map(|(name, value)| vec![name.replace('_', " "), count(*value)]).collect();
        table(html, &format!("{}’s counters", title_case(end)), &["counter", "at the end"], rows);
    }
    html.push_str("</section>\n");
}

fn table(html: &mut String, name: &str, heads: &[&str], rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        return;
    }
    // Writing to a String does not fail.
    let _ = writeln!(
        html,
        "<details><summary>{name}</summary>\n<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"{name}\">{}\
         </div></details>",
        bare(heads, rows),
        name = escape(name)
    );
}

/// The table itself.
fn bare(heads: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut html = String::from("<table><thead><tr>");
    for head in heads {
        let _ = write!(html, "<th scope=\"col\">{}</th>", escape(head));
    }
    html.push_str("</tr></thead><tbody>\n");
    for row in rows {
        html.push_str("<tr>");
        for (index, cell) in row.iter().enumerate() {
            let cell = escape(cell);
            let _ = match index {
                0 => write!(html, "<th scope=\"row\">{cell}</th>"),
                _ => write!(html, "<td>{cell}</td>"),
            };
        }
        html.push_str("</tr>\n");
    }
    html + "</tbody></table>"
}

fn stages(html: &mut String, session: &Session) {
    let all = session.stages.iter().chain(&session.details).chain(&session.sums);
    let rows = all.map(|timed| {
        let mut row = vec![label(timed.stage).to_owned(), timed.end.to_owned(), count(timed.count)];
        row.extend(percentiles_row(timed));
        row
    });
    let heads = ["stage", "end", "count", "p50", "p99", "p99.9", "longest", "mean"];
    table(html, "Stages and sums", &heads, rows.collect());
}

/// The heads of the table of percentiles.
pub const PERCENTILES: [&str; 6] = ["stage", "50 %", "90 %", "99 %", "99.9 %", "longest"];

/// The table of percentiles as it stands beside the charts.
pub fn percentiles_panel(session: &Session) -> String {
    if session.curves.is_empty() {
        return String::new();
    }
    let rows = percentiles_beside(session);
    format!(
        "<div class=\"panel rows\"><h3>The same in figures</h3>\n<div class=\"wide\" tabindex=\"0\" role=\"region\" \
         aria-label=\"Percentiles\">{}</div></div>\n",
        bare(&PERCENTILES, rows)
    )
}

/// Its rows.
pub fn percentiles_beside(session: &Session) -> Vec<Vec<String>> {
    percentiles(session, &[2.0, 10.0, 100.0, 1e3])
}

fn curves(html: &mut String, session: &Session) {
    let heads = ["stage", "50 %", "75 %", "90 %", "95 %", "99 %", "99.9 %", "99.99 %", "longest"];
    let rows = percentiles(session, &[2.0, 4.0, 10.0, 20.0, 100.0, 1e3, 1e4]);
    table(html, "Latency by percentile", &heads, rows);
}

/// A row for each curve: what so many nines stay below, where there are as many samples, and the longest.
fn percentiles(session: &Session, wanted: &[f64]) -> Vec<Vec<String>> {
    let rows = session.curves.iter().map(|curve| {
        let mut row = vec![label(curve.stage).to_owned()];
        row.extend(wanted.iter().map(|one_in| {
            let known = curve.at(*one_in).filter(|_| curve.count as f64 >= *one_in);
            known.map_or_else(|| UNKNOWN.to_owned(), |ms| duration(ms * 1e6))
        }));
        row.extend(curve.points.last().map(|point| duration(point.1 * 1e6)));
        row
    });
    rows.collect()
}

/// What nobody measured or counted.
const UNKNOWN: &str = "–";

fn time(html: &mut String, session: &Session) {
    let series = &session.series;
    let latency = series
        .latency
        .iter()
        .map(|point| [point.at_s, point.p50_ms, point.p99_ms, point.max_ms].map(three_digits).to_vec());
    table(html, "Latency over time", &["s", "p50 ms", "p99 ms", "longest ms"], latency.collect());
    let known = |some: Option<u64>| some.map_or_else(|| UNKNOWN.to_owned(), count);
    let rate = |mbps: Option<f64>| mbps.map_or_else(|| UNKNOWN.to_owned(), three_digits);
    let client = series.client.points.iter().map(|point| {
        let mut row = vec![three_digits(point.at_s), rate(point.mbps)];
        row.extend([point.lost, point.late, point.dropped].map(known));
        row
    });
    table(html, "Received over time", &["s", "Mbit/s", "lost", "late", "dropped"], client.collect());
    let host = series.host.points.iter().map(|point| {
        vec![three_digits(point.at_s), rate(point.mbps), known(point.shed), known(point.dropped)]
    });
    table(html, "Sent over time", &["s", "Mbit/s", "shed", "dropped"], host.collect());
}

fn cadence(html: &mut String, session: &Session) {
    let rows = session.cadence.iter().map(|cadence| {
        let mut row = vec![label(cadence.stage).to_owned(), count(cadence.count)];
        row.extend(
            [
                cadence.expected_ms,
                cadence.p1_ms,
                cadence.p50_ms,
                cadence.p99_ms,
                cadence.p999_ms,
                cadence.max_ms,
            ]
            .map(three_digits),
        );
        row.push(count(cadence.gaps));
        row
    });
    let heads = ["ms", "count", "expected", "p1", "p50", "p99", "p99.9", "longest", "gaps"];
    table(html, "Cadence", &heads, rows.collect());
}
