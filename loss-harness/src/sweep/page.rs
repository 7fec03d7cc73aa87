//! A sweep as one HTML page with plots: nothing to fetch and no script, light or dark as the reader's machine is set.
//!
//! A panel for each loss and burst length, a colour for each redundancy, and every figure in a table below. Promises the
//! same page for the same rows. What comes from outside, the plan's name, is escaped.

use std::fmt::Write as _;

use super::plot::{Point, Series, panel};
use super::{Row, summary};

/// The page's colours for series; a further series begins again.
const COLOURS: usize = 6;

const STYLE: &str = "\
:root{color-scheme:light dark;--back:#fff;--card:#fff;--text:#1b1f24;--soft:#57606a;--rule:#d8dee4;\
--c0:#0b62c4;--c1:#c2410c;--c2:#0f7b55;--c3:#9333a8;--c4:#8a6100;--c5:#475569}
@media(prefers-color-scheme:dark){:root{--back:#0f1216;--card:#161b21;--text:#e6edf3;--soft:#9aa6b2;--rule:#2b333d;\
--c0:#6cb2ff;--c1:#ff9d66;--c2:#4fd1a1;--c3:#d9a2ef;--c4:#e5c558;--c5:#b4c0cc}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--text);font:15px/1.5 system-ui,sans-serif}
main{max-width:1200px;margin:0 auto;padding:24px 16px 48px}
h1{font-size:22px;line-height:1.25;margin:0 0 4px}
p{margin:0 0 12px;max-width:72ch}
.soft{color:var(--soft)}
.legend{display:flex;flex-wrap:wrap;gap:6px 20px;list-style:none;margin:16px 0;padding:0}
.legend svg{width:34px;height:12px;vertical-align:middle;margin-right:6px;overflow:visible}
.panels{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,320px),1fr));gap:16px}
figure{margin:0;padding:12px 12px 4px;background:var(--card);border:1px solid var(--rule);border-radius:8px}
figcaption{font-weight:600;margin-bottom:4px}
figure svg{display:block;width:100%;height:auto}
.grid{stroke:var(--rule);stroke-width:1}
.tick,.axis{fill:var(--soft);font-size:11px;font-family:inherit}
.bound{fill:none;stroke-width:2;stroke-linejoin:round}
.again{stroke-dasharray:5 4}
.dot{stroke:var(--card);stroke-width:1}
.ring{stroke-width:2}
";
const STYLE_TABLE: &str = "\
details{margin-top:24px}
summary{cursor:pointer;font-weight:600}
.wide{overflow-x:auto;margin-top:8px}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:13px;white-space:nowrap}
th,td{padding:4px 12px 4px 0;text-align:right;border-bottom:1px solid var(--rule)}
th{color:var(--soft);font-weight:600}
.wrong{color:var(--c1);font-weight:600}
";

/// The whole page.
pub fn page(name: &str, rows: &[Row]) -> String {
    let mut html = String::from("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    let name = escaped(name);
    // Writing to a String does not fail.
    let _ = writeln!(html, "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">");
    let _ = writeln!(html, "<title>Delivered under loss: {name}</title>\n<style>\n{STYLE}{STYLE_TABLE}");
    for colour in 0..COLOURS {
        let _ = writeln!(
            html,
            ".bound.c{colour}{{stroke:var(--c{colour})}}.dot.c{colour}{{fill:var(--c{colour})}}\
             .ring.c{colour}{{stroke:var(--c{colour});fill:var(--card)}}"
        );
    }
    let _ = writeln!(html, "</style>\n</head>\n<body>\n<main>\n<h1>Delivered under loss: {name}</h1>");
    let seed = rows.first().map_or(0, |row| row.cell.plan.seed);
    let _ = writeln!(html, "<p class=\"soft\">{}. Seed {seed}.</p>", summary(rows));
    let _ = writeln!(
        html,
        "<p>A block of <i>k</i> data and <i>m</i> parity shards can be had when at most <i>m</i> of them are lost. \
         The lines are that bound, counted from what the simulated link did; the dots are what the receiver delivered, \
         every byte compared. Each further nine of the share has the same room.</p>"
    );
    legend(&mut html, rows);
    html += "<div class=\"panels\">\n";
    panels(&mut html, rows);
    html += "</div>\n";
    table(&mut html, rows);
    html + "</main>\n</body>\n</html>\n"
}

fn legend(html: &mut String, rows: &[Row]) {
    html.push_str("<ul class=\"legend\">\n");
    for (index, redundancy) in distinct(rows, redundancy_of).into_iter().enumerate() {
        let colour = index % COLOURS;
        let _ = writeln!(
            html,
            "<li><svg viewBox=\"0 0 34 12\" aria-hidden=\"true\"><polyline class=\"bound c{colour}\" \
             points=\"0,6 34,6\"/><circle class=\"dot c{colour}\" cx=\"17\" cy=\"6\" r=\"3.5\"/></svg>{redundancy} \
             parity</li>"
        );
    }
    if rows.iter().any(|row| row.cell.plan.resend) {
        html.push_str(
            "<li><svg viewBox=\"0 0 34 12\" aria-hidden=\"true\"><polyline class=\"bound again c5\" \
             points=\"0,6 34,6\"/><circle class=\"ring c5\" cx=\"17\" cy=\"6\" r=\"3.5\"/></svg>missing shards sent \
             again</li>\n",
        );
    }
    html.push_str("</ul>\n");
}

fn panels(html: &mut String, rows: &[Row]) {
    let sizes = distinct(rows, |row| row.cell.plan.size.to_string());
    let redundancies = distinct(rows, redundancy_of);
    for caption in distinct(rows, caption_of) {
        let here: Vec<&Row> = rows.iter().filter(|row| caption_of(row) == caption).collect();
        let mut series = Vec::new();
        for (colour, redundancy) in redundancies.iter().enumerate() {
            for resend in [false, true] {
                let of_it = here
                    .iter()
                    .filter(|row| redundancy_of(row) == *redundancy && row.cell.plan.resend == resend);
                let points: Vec<Point> = of_it.map(|row| point(row, &sizes)).collect();
                if !points.is_empty() {
                    series.push(Series { colour: colour % COLOURS, resend, points });
                }
            }
        }
        let svg = panel(&sizes, &series, &format!("Delivered share over access-unit size, {caption}"));
        let _ = writeln!(html, "<figure><figcaption>{caption}</figcaption>\n{svg}\n</figure>");
    }
}

fn point(row: &Row, sizes: &[String]) -> Point {
    let (plan, outcome) = (&row.cell.plan, &row.outcome);
    let size = plan.size.to_string();
    let (delivered, bound) = (outcome.delivered_share(), outcome.allowed_share());
    Point {
        place: sizes.iter().position(|one| *one == size).unwrap_or(0),
        bound,
        delivered,
        title: format!(
            "{size}, {} parity{}: {:.2} % delivered, {:.2} % allowed, {:.1} % overhead",
            plan.redundancy,
            if plan.resend { ", sent again" } else { "" },
            delivered * 100.0,
            bound * 100.0,
            outcome.overhead() * 100.0,
        ),
    }
}

fn table(html: &mut String, rows: &[Row]) {
    html.push_str(
        "<details>\n<summary>All figures</summary>\n<div class=\"wide\"><table>\n<tr><th>loss</th><th>burst</th>\
         <th>size</th><th>parity</th><th>resend</th><th>AUs</th><th>bound %</th><th>delivered %</th>\
         <th>overhead %</th><th>wrong blocks</th><th>p50 ms</th><th>p99 ms</th><th>digest</th></tr>\n",
    );
    for Row { cell, outcome } in rows {
        let _ = writeln!(
            html,
            "<tr{}><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{:.3}</td><td>{:.3}</td>\
             <td>{:.2}</td><td>{}</td><td>{:.2}</td><td>{:.2}</td><td>{:016x}</td></tr>",
            if outcome.is_right() { "" } else { " class=\"wrong\"" },
            cell.loss,
            cell.burst,
            cell.plan.size,
            cell.plan.redundancy,
            if cell.plan.resend { "on" } else { "off" },
            outcome.sent,
            outcome.allowed_share() * 100.0,
            outcome.delivered_share() * 100.0,
            outcome.overhead() * 100.0,
            outcome.wrong_blocks,
            outcome.latency.p50.as_secs_f64() * 1e3,
            outcome.latency.p99.as_secs_f64() * 1e3,
            outcome.digest,
        );
    }
    html.push_str("</table></div>\n</details>\n");
}

fn redundancy_of(row: &Row) -> String {
    row.cell.plan.redundancy.to_string()
}

fn caption_of(row: &Row) -> String {
    match row.cell.burst {
        burst if burst > 1.0 => format!("{} lost, in bursts of {burst}", row.cell.loss),
        _ => format!("{} lost, each by itself", row.cell.loss),
    }
}

/// What the rows say, each once, in the order of the rows.
fn distinct(rows: &[Row], say: impl Fn(&Row) -> String) -> Vec<String> {
    let mut said: Vec<String> = Vec::new();
    for row in rows {
        let word = say(row);
        if !said.contains(&word) {
            said.push(word);
        }
    }
    said
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut escaped, character| {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
        escaped
    })
}
