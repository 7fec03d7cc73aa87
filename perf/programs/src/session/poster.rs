//! The picture: the page's drawings on one sheet, as PNG, drawn here and not by a browser.
//!
//! Promises: words render on a machine without a font, for two are built in; the same picture for the same figures; a
//! script of which the built-in fonts have no letters shows as boxes, never as nothing. Refuses: to look anything up, be
//! it a font, a file or an address.

use std::fmt::Write as _;
use std::sync::Arc;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{self, fontdb};

use crate::error::PerfProgramError;
use crate::markup::escape;

use super::chart::{self, Chart, text};
use super::figures::Session;
use super::page::{about, headline, key_figures};
use super::plots;
use super::theme::LIGHT;
use super::verdict::Weight;
use super::way;

/// The sheet's width; what is drawn is twice as fine.
const WIDTH: f64 = 1200.0;
const MARGIN: f64 = 40.0;
const FINE: f32 = 2.0;

/// The most sentences of a verdict that the sheet has room for; the page has all.
const WORDS_MAX: usize = 8;

/// Letters of a line of the verdict.
const LETTERS_MAX: usize = 150;

/// Roboto, Apache-2.0: see fonts/README.md.
const FONTS: [&[u8]; 2] =
    [include_bytes!("../../fonts/Roboto-Regular.ttf"), include_bytes!("../../fonts/Roboto-Medium.ttf")];

/// The picture's bytes.
///
/// # Errors
/// The drawing is none, which is our fault, or there is no memory for it.
pub fn png(session: &Session) -> Result<Vec<u8>, PerfProgramError> {
    let failed = |words: String| PerfProgramError::Failed(format!("cannot draw the picture: {words}"));
    let mut fonts = fontdb::Database::new();
    for font in FONTS {
        fonts.load_font_source(fontdb::Source::Binary(Arc::new(font)));
    }
    fonts.set_sans_serif_family("Roboto");
    let options = usvg::Options {
        font_family: "Roboto".to_owned(),
        fontdb: Arc::new(fonts),
        ..usvg::Options::default()
    };
    let tree = usvg::Tree::from_str(&svg(session), &options).map_err(|error| failed(error.to_string()))?;
    let size = tree.size().to_int_size().scale_by(FINE).ok_or_else(|| failed("it has no size".to_owned()))?;
    let mut pixels =
        Pixmap::new(size.width(), size.height()).ok_or_else(|| failed("no memory".to_owned()))?;
    resvg::render(&tree, Transform::from_scale(FINE, FINE), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| failed(error.to_string()))
}

/// The sheet as one drawing.
fn svg(session: &Session) -> String {
    let mut body = String::new();
    let mut y = MARGIN + 24.0;
    text(&mut body, "s26 strong", MARGIN, y, "start", &shortened(&session.source, 70));
    text(&mut body, "s14 soft", WIDTH - MARGIN, y, "end", "punktfunk session report");
    y += 26.0;
    text(&mut body, "s14 soft", MARGIN, y, "start", &shortened(&about(session), LETTERS_MAX));
    y = verdict(&mut body, session, y + 20.0);
    y = tiles(&mut body, session, y + 14.0);
    y = panel(&mut body, "A picture’s way", y, way::WIDE.1, |body, y| {
        nested(body, &way::wide(session), (MARGIN + 18.0, y), (WIDTH - 2.0 * MARGIN - 36.0, way::WIDE.1));
    });
    if let Some((drawing, height)) = way::shares(session, "shares-wide", WIDTH - 2.0 * MARGIN - 36.0) {
        y = panel(&mut body, "Where the milliseconds go, means", y, height, |body, y| {
            nested(body, &drawing, (MARGIN + 18.0, y), (WIDTH - 2.0 * MARGIN - 36.0, height));
        });
    }
    let charts: Vec<Chart> =
        [plots::percentiles(session), plots::over_time(session), plots::cadence(session)].concat();
    for pair in charts.chunks(2) {
        y = row(&mut body, session, pair, y);
    }
    let height = y + MARGIN - 16.0;
    let css = LIGHT.resolve(include_str!("drawing.css"));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" width=\"{WIDTH}\" \
         height=\"{height:.0}\" font-family=\"Roboto\">\n<style>{css}\
         .s13{{font-size:13px}}.s14{{font-size:14px}}.s16{{font-size:16px}}.s24{{font-size:24px}}.s26{{font-size:26px}}\
         .s34{{font-size:34px}}.caps{{font-size:12px;letter-spacing:1px}}</style>\n\
         <rect class=\"page\" width=\"{WIDTH}\" height=\"{height:.0}\"/>\n{body}</svg>\n"
    )
}

/// What has to be said first, on its ground; where it ends.
fn verdict(body: &mut String, session: &Session, top: f64) -> f64 {
    let (words, is_good) = headline(session);
    let losses: Vec<_> = session.verdict.iter().filter(|word| word.weight == Weight::Loss).collect();
    let said = losses.len().min(WORDS_MAX);
    let more = losses.len() - said;
    let height = 46.0 + 21.0 * (said + usize::from(more > 0)) as f64 + if said > 0 { 8.0 } else { 0.0 };
    let wide = WIDTH - 2.0 * MARGIN;
    let kind = if is_good { "good" } else { "bad" };
    // Writing to a String does not fail.
    let _ = writeln!(
        body,
        "<rect class=\"{kind}-back\" x=\"{MARGIN}\" y=\"{top}\" width=\"{wide}\" height=\"{height}\" rx=\"10\"/>\
         <rect class=\"{kind}\" x=\"{MARGIN}\" y=\"{top}\" width=\"4\" height=\"{height}\" rx=\"2\"/>"
    );
    text(body, "s16 strong", MARGIN + 20.0, top + 29.0, "start", &words);
    let mut y = top + 54.0;
    for word in losses.iter().take(said) {
        text(body, "s14", MARGIN + 20.0, y, "start", &shortened(&word.words, LETTERS_MAX));
        y += 21.0;
    }
    if more > 0 {
        text(body, "s14 soft", MARGIN + 20.0, y, "start", &format!("and {more} more: see the page"));
    }
    top + height
}

fn tiles(body: &mut String, session: &Session, top: f64) -> f64 {
    let tiles = key_figures(session);
    if tiles.is_empty() {
        return top;
    }
    let wide = (WIDTH - 2.0 * MARGIN + 14.0) / tiles.len() as f64 - 14.0;
    for (index, (name, value, unit)) in tiles.iter().enumerate() {
        let x = MARGIN + (wide + 14.0) * index as f64;
        let _ = writeln!(
            body,
            "<rect class=\"card\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"76\" rx=\"10\"/>\
             <text class=\"s24 strong\" x=\"{:.1}\" y=\"{:.1}\">{}<tspan class=\"s13 soft\" dx=\"5\">{}</tspan></text>",
            x + 14.0,
            top + 58.0,
            escape(value),
            escape(unit),
        );
        text(body, "soft", x + 14.0, top + 26.0, "start", name);
    }
    top + 76.0
}

/// A card with a heading around what `draw` draws at its place; where the next begins.
fn panel(body: &mut String, title: &str, top: f64, height: f64, draw: impl FnOnce(&mut String, f64)) -> f64 {
    let top = top + 16.0;
    let _ = writeln!(
        body,
        "<rect class=\"card\" x=\"{MARGIN}\" y=\"{top:.1}\" width=\"{}\" height=\"{:.1}\" rx=\"10\"/>",
        WIDTH - 2.0 * MARGIN,
        height + 56.0
    );
    text(body, "s16 strong", MARGIN + 18.0, top + 29.0, "start", title);
    draw(body, top + 46.0);
    top + height + 56.0
}

/// Two charts side by side.
fn row(body: &mut String, session: &Session, charts: &[Chart], top: f64) -> f64 {
    let wide = (WIDTH - 2.0 * MARGIN - 16.0) / 2.0;
    let inner = wide - 28.0;
    let high = inner * chart::HEIGHT / chart::WIDTH;
    let top = top + 16.0;
    for (index, chart) in charts.iter().enumerate() {
        let x = MARGIN + (wide + 16.0) * index as f64;
        let _ = writeln!(
            body,
            "<rect class=\"card\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"{:.1}\" rx=\"10\"/>",
            high + 58.0
        );
        text(body, "s14 strong", x + 14.0, top + 27.0, "start", &chart.title);
        nested(body, &chart.svg(), (x + 14.0, top + 44.0), (inner, high));
    }
    if charts.len() == 1 {
        machine(body, session, (MARGIN + wide + 16.0, top), (wide, high + 58.0));
    }
    top + high + 58.0
}

/// What the host said of itself, where a chart would have no neighbour.
fn machine(body: &mut String, session: &Session, (x, y): (f64, f64), (wide, high): (f64, f64)) {
    let Some((end, facts)) = session.facts.first() else { return };
    let _ = writeln!(
        body,
        "<rect class=\"card\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" height=\"{high:.1}\" rx=\"10\"/>"
    );
    text(body, "s14 strong", x + 14.0, y + 27.0, "start", &format!("The machine, as the {end} found it"));
    let rows = ((high - 60.0) / 21.0) as usize;
    for (row, (name, words)) in facts.iter().take(rows).enumerate() {
        let down = y + 56.0 + 21.0 * row as f64;
        text(body, "soft", x + 14.0, down, "start", &shortened(name, 14));
        text(body, "", x + 120.0, down, "start", &shortened(words, 66));
    }
}

/// A drawing within the drawing.
fn nested(body: &mut String, drawing: &str, (x, y): (f64, f64), (width, height): (f64, f64)) {
    let place = format!("<svg x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"");
    body.push_str(&drawing.replacen("<svg", &place, 1));
}

/// So many letters of words, and a sign that there were more.
fn shortened(words: &str, letters: usize) -> String {
    match words.char_indices().nth(letters) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words.to_owned(),
    }
}
