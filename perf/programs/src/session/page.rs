//! The page: one HTML file with everything in it.
//!
//! Promises: nothing is fetched and nothing can be, for the page's own policy forbids it; it is complete without its
//! script, which only shows values under the pointer; light or dark as the reader's machine is set, and the other way
//! round by a switch that needs no script; the same page for the same figures. Refuses: markup in what a file says.

use std::fmt::Write as _;

use crate::markup::escape;

use super::chart::Chart;
use super::figures::{Session, Timed};
use super::plots;
use super::tables;
use super::theme::{DARK, LIGHT};
use super::verdict::Weight;
use super::way;
use super::words::{count, date, duration, split, three_digits};

/// The page's script; [`SCRIPT_HASH`] is the policy's word for it.
pub const SCRIPT: &str = include_str!("page.js");

/// SHA-256 of the script in base64: the only script that the policy lets run.
pub const SCRIPT_HASH: &str = "BUPUx7wPG7NZLeH2lf12Wzv4FJcH6CQYrQTUsdvFo20=";

/// The style sheet of page and drawings, without the colours.
fn style() -> String {
    let (light, dark) = (LIGHT.properties(), DARK.properties());
    format!(
        ":root{{color-scheme:light;{light}}}\n:root:has(#theme:checked){{color-scheme:dark;{dark}}}\n\
         @media(prefers-color-scheme:dark){{:root{{color-scheme:dark;{dark}}}\
         :root:has(#theme:checked){{color-scheme:light;{light}}}}}\n{}{}\
         @media print{{:root,:root:has(#theme:checked){{color-scheme:light;{light}}}}}\n",
        include_str!("drawing.css"),
        include_str!("page.css"),
    )
}

/// The whole page.
pub fn page(session: &Session) -> String {
    let title = format!("punktfunk session: {}", session.source);
    // Writing to a String does not fail.
    let mut html = String::from("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    let _ = writeln!(
        html,
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         script-src 'sha256-{SCRIPT_HASH}'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<title>{}</title>\n<style>\n{}</style>\n</head>\n<body>",
        escape(&title),
        style(),
    );
    html.push_str(
        "<header><div class=\"name\">punktfunk <span>session report</span></div>\
         <label class=\"theme\"><input type=\"checkbox\" id=\"theme\" role=\"switch\">light / dark</label></header>\n<main>\n",
    );
    head(&mut html, session);
    tiles(&mut html, session);
    way_section(&mut html, session);
    let table = tables::percentiles_panel(session);
    charts(&mut html, "Latency by percentile", PERCENTILES, &plots::percentiles(session), &table);
    charts(&mut html, "Over time", TIME, &plots::over_time(session), "");
    charts(&mut html, "Cadence", CADENCE, &plots::cadence(session), "");
    facts(&mut html, session);
    tables::all(&mut html, session);
    let _ = writeln!(
        html,
        "</main>\n<footer>Made by punktfunk-perf {} from the session's own logs. This page holds everything that it \
         shows, and asks nobody for anything.</footer>\n<script>{SCRIPT}</script>\n</body>\n</html>",
        env!("CARGO_PKG_VERSION")
    );
    html
}

const PERCENTILES: &str = "Each further nine has the same room, so that the one picture in a thousand is seen as well as the usual one.";
const TIME: &str = "What came of each interval. Lost never came whole, late came when it was of no use any more, dropped \
                    was thrown away: three counts.";
const CADENCE: &str = "How far pictures lie apart. An even stream is one narrow peak where the line is. What stands to the right \
                       of it is a gap: a stutter where the source has a picture for every turn, and nothing amiss where \
                       nothing moved.";

/// The source's name and circumstances.
pub fn about(session: &Session) -> String {
    let mut words: Vec<String> = Vec::new();
    words.extend(session.start_unix_s.and_then(date));
    if session.seconds > 0.0 {
        words.push(format!("{} s", three_digits(session.seconds)));
    }
    words.extend(session.mode.clone());
    words.extend(session.encoder.clone());
    words.extend(session.ended.as_ref().map(|ended| format!("ended: {ended}")));
    words.join(" · ")
}

/// Whether all was well, in one sentence; and whether it was.
pub fn headline(session: &Session) -> (String, bool) {
    let pictures = &session.pictures;
    let is_good = session.verdict.iter().all(|word| word.weight != Weight::Loss);
    let number = |some: Option<u64>| some.map_or_else(|| "?".to_owned(), count);
    let counts = format!(
        "{} lost, {} late, {} dropped, {} shed",
        number(pictures.lost),
        number(pictures.late),
        number(pictures.dropped_in_all),
        number(pictures.shed)
    );
    let words = match (pictures.sent, pictures.decoded) {
        (Some(sent), Some(decoded)) => {
            format!("{} pictures sent, {} decoded: {counts}", count(sent), count(decoded))
        }
        (Some(sent), None) => format!("{} pictures sent: {counts}", count(sent)),
        (None, Some(decoded)) => format!("{} pictures decoded: {counts}", count(decoded)),
        (None, None) => "Nobody counted pictures".to_owned(),
    };
    (words + ".", is_good)
}

fn head(html: &mut String, session: &Session) {
    let (words, is_good) = headline(session);
    let _ = writeln!(
        html,
        "<h1>{}</h1>\n<p class=\"about\">{}</p>\n<section class=\"say{}\" aria-label=\"What became of the pictures\"><b>{words}</b>",
        escape(&session.source),
        escape(&about(session)),
        if is_good { "" } else { " bad" },
    );
    list(html, session, Weight::Loss);
    html.push_str("</section>\n");
    if session.verdict.iter().any(|word| word.weight == Weight::Note) {
        html.push_str("<div class=\"notes\">Also to be known:");
        list(html, session, Weight::Note);
        html.push_str("</div>\n");
    }
}

fn list(html: &mut String, session: &Session, weight: Weight) {
    let words: Vec<_> = session.verdict.iter().filter(|word| word.weight == weight).collect();
    if words.is_empty() {
        return;
    }
    html.push_str("<ul>");
    for word in words {
        let _ = write!(html, "<li>{}</li>", escape(&word.words));
    }
    html.push_str("</ul>");
}

/// The figures that are asked for first: names, values, units.
pub fn key_figures(session: &Session) -> Vec<(String, String, String)> {
    let mut tiles = Vec::new();
    let mut tile = |name: &str, value: String, unit: &str| {
        tiles.push((name.to_owned(), value, unit.to_owned()));
    };
    if let Some(sum) = way::whole(session) {
        for (name, us) in
            [("median latency", sum.p50_us), ("p99 latency", sum.p99_us), ("p99.9 latency", sum.p999_us)]
        {
            let (value, unit) = split(us * 1e3);
            tile(name, value, unit);
        }
    }
    if let Some(rate) = session.pictures_per_s {
        tile("pictures", three_digits(rate), "a second");
    }
    if let Some(mbps) = session.wire_mbps {
        tile("on the wire", three_digits(mbps), "Mbit/s");
    }
    if let ((Some(host), Some(client)), Some(streamed_s)) = (session.cpu_s, session.streamed_s) {
        let cores = |seconds: f64| count((seconds / streamed_s * 100.0).round() as u64);
        tile("CPU, host + client", format!("{} + {}", cores(host), cores(client)), "%");
    }
    tiles
}

fn tiles(html: &mut String, session: &Session) {
    html.push_str("<dl class=\"tiles\">\n");
    for (name, value, unit) in key_figures(session) {
        let _ = writeln!(
            html,
            "<div class=\"tile\"><dt>{}</dt><dd>{}<small>{}</small></dd></div>",
            escape(&name),
            escape(&value),
            escape(&unit)
        );
    }
    html.push_str("</dl>\n");
}

fn way_section(html: &mut String, session: &Session) {
    html.push_str(
        "<section><h2>A picture’s way</h2>\n<p class=\"soft\">The median of each stage large, its tail below; the bar is \
         its part of a picture’s time.</p>\n<div class=\"panel\">\n",
    );
    html.push_str(&way::wide(session));
    html.push_str(&way::tall(session));
    html.push_str("</div>\n");
    let bars = way::shares(session, "shares-wide", 1120.0).zip(way::shares(session, "shares-tall", 334.0));
    if let (Some(((wide, _), (tall, _))), Some(of)) = (bars, session.shares_of) {
        let _ = writeln!(
            html,
            "<div class=\"panel\"><h3>Where the milliseconds go</h3>\n<p class=\"soft\">Means, {}. Stages overlap where an \
             access unit has several slices. In between: rings, wakes, the wire. The parts lie from left to right in the order of \
             their words.</p>\n{wide}{tall}</div>",
            way::label(of)
        );
    }
    html.push_str("</section>\n");
}

/// A section of charts, and of what else stands beside them.
fn charts(html: &mut String, heading: &str, about: &str, charts: &[Chart], beside: &str) {
    if charts.is_empty() {
        return;
    }
    let _ =
        writeln!(html, "<section><h2>{heading}</h2>\n<p class=\"soft\">{about}</p>\n<div class=\"panels\">");
    for chart in charts {
        let _ = writeln!(
            html,
            "<figure class=\"panel\"><figcaption><h3>{}</h3><p>{}</p></figcaption>\n{}</figure>",
            escape(&chart.title),
            escape(&chart.note),
            chart.svg()
        );
    }
    html.push_str(beside);
    html.push_str("</div></section>\n");
}

fn facts(html: &mut String, session: &Session) {
    if session.facts.is_empty() {
        return;
    }
    html.push_str("<section><h2>The machine and its caps</h2>\n<div class=\"facts\">\n");
    for (end, facts) in &session.facts {
        let _ = writeln!(html, "<div class=\"panel\"><h3>{}</h3><dl>", title_case(end));
        for (name, words) in facts {
            let _ = writeln!(html, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(words));
        }
        html.push_str("</dl></div>\n");
    }
    html.push_str("</div></section>\n");
}

/// A word with its first letter large.
pub fn title_case(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A row of percentiles.
pub fn percentiles_row(timed: &Timed) -> [String; 5] {
    [timed.p50_us, timed.p99_us, timed.p999_us, timed.max_us, timed.mean_us]
        .map(|us| if us.is_finite() { duration(us * 1e3) } else { "–".to_owned() })
}
