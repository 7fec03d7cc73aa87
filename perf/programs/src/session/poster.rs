//! The picture: the page's drawings on one sheet, as PNG, drawn here and not by a browser; its sentences and its machine
//! are on it too, the tables of all figures are not.
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
use super::page::{about, headline, key_figures, title_case};
use super::plots;
use super::tables::{PERCENTILES, percentiles_beside};
use super::theme::LIGHT;
use super::verdict::Weight;
use super::way;
use super::words::{shortened, wrapped};

/// The sheet's width; what is drawn is twice as fine.
const WIDTH: f64 = 1200.0;
const MARGIN: f64 = 40.0;
const FINE: f32 = 2.0;

/// The most sentences of one weight that the sheet has room for; the page has all.
const WORDS_MAX: usize = 8;

/// Letters of a line across the sheet, and lines of one sentence.
const LETTERS_MAX: usize = 150;
const LINES_MAX: usize = 3;

/// Between the lines of a sentence.
const LINE: f64 = 20.0;

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
pub fn svg(session: &Session) -> String {
    let mut body = String::new();
    let mut y = MARGIN + 24.0;
    text(&mut body, "s26 strong", MARGIN, y, "start", &shortened(&session.source, 70));
    text(&mut body, "s14 soft", WIDTH - MARGIN, y, "end", "punktfunk session report");
    y += 26.0;
    for (row, words) in wrapped(&about(session), LETTERS_MAX, LINES_MAX).iter().enumerate() {
        y += if row > 0 { LINE } else { 0.0 };
        text(&mut body, "s14 soft", MARGIN, y, "start", words);
    }
    y = verdict(&mut body, session, y + 20.0);
    y = notes(&mut body, session, y);
    y = tiles(&mut body, session, y + 14.0);
    y = panel(&mut body, "A picture’s way", y, way::WIDE.1, |body, y| {
        nested(body, &way::wide(session), (MARGIN + 18.0, y), (WIDTH - 2.0 * MARGIN - 36.0, way::WIDE.1));
    });
    if let Some((drawing, height)) = way::shares(session, "shares-wide", WIDTH - 2.0 * MARGIN - 36.0) {
        y = panel(&mut body, "Where the milliseconds go, means", y, height, |body, y| {
            nested(body, &drawing, (MARGIN + 18.0, y), (WIDTH - 2.0 * MARGIN - 36.0, height));
        });
    }
    let chart = |chart: Chart| Cell::Chart(Box::new(chart));
    let mut cells: Vec<Cell> = plots::percentiles(session).into_iter().map(chart).collect();
    if !session.curves.is_empty() {
        cells.push(Cell::Percentiles);
    }
    cells.extend([plots::over_time(session), plots::cadence(session)].concat().into_iter().map(chart));
    for pair in cells.chunks(2) {
        y = row(&mut body, session, pair, y);
    }
    for pair in session.facts.chunks(2) {
        y = facts(&mut body, pair, y);
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

/// The lines of the sentences of one weight, as many as there is room for.
fn lines(session: &Session, weight: Weight) -> Vec<String> {
    let words: Vec<_> = session.verdict.iter().filter(|word| word.weight == weight).collect();
    let said = words.iter().take(WORDS_MAX);
    let mut lines: Vec<String> = said.flat_map(|word| wrapped(&word.words, LETTERS_MAX, LINES_MAX)).collect();
    if words.len() > WORDS_MAX {
        lines.push(format!("and {} more: see the page", words.len() - WORDS_MAX));
    }
    lines
}

/// What has to be said first, on its ground; where it ends.
fn verdict(body: &mut String, session: &Session, top: f64) -> f64 {
    let (words, is_good) = headline(session);
    let lines = lines(session, Weight::Loss);
    let height = 46.0 + LINE * lines.len() as f64 + if lines.is_empty() { 0.0 } else { 8.0 };
    let wide = WIDTH - 2.0 * MARGIN;
    let kind = if is_good { "good" } else { "bad" };
    // Writing to a String does not fail.
    let _ = writeln!(
        body,
        "<rect class=\"{kind}-back\" x=\"{MARGIN}\" y=\"{top}\" width=\"{wide}\" height=\"{height}\" rx=\"10\"/>\
         <rect class=\"{kind}\" x=\"{MARGIN}\" y=\"{top}\" width=\"4\" height=\"{height}\" rx=\"2\"/>"
    );
    text(body, "s16 strong", MARGIN + 20.0, top + 29.0, "start", &words);
    for (row, words) in lines.iter().enumerate() {
        text(body, "s14", MARGIN + 20.0, top + 54.0 + LINE * row as f64, "start", words);
    }
    top + height
}

/// What is also to be known, without a ground; where it ends.
fn notes(body: &mut String, session: &Session, top: f64) -> f64 {
    let lines = lines(session, Weight::Note);
    if lines.is_empty() {
        return top;
    }
    for (row, words) in ["Also to be known:".to_owned()].iter().chain(&lines).enumerate() {
        text(body, "s14 soft", MARGIN + 20.0, top + 28.0 + LINE * row as f64, "start", words);
    }
    top + 16.0 + LINE * (lines.len() + 1) as f64
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

/// What stands beside another.
enum Cell {
    Chart(Box<Chart>),
    Percentiles,
}

/// A card of half the sheet's width, with a heading; where what is in it begins.
fn card(body: &mut String, title: &str, (x, y): (f64, f64), high: f64) -> (f64, f64) {
    let _ = writeln!(
        body,
        "<rect class=\"card\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{HALF:.1}\" height=\"{high:.1}\" rx=\"10\"/>"
    );
    text(body, "s14 strong", x + 14.0, y + 27.0, "start", title);
    (x + 14.0, y + 44.0)
}

const HALF: f64 = (WIDTH - 2.0 * MARGIN - 16.0) / 2.0;

fn left_of(column: usize) -> f64 {
    MARGIN + (HALF + 16.0) * column as f64
}

/// Two cells side by side.
fn row(body: &mut String, session: &Session, cells: &[Cell], top: f64) -> f64 {
    let inner = HALF - 28.0;
    let high = inner * chart::HEIGHT / chart::WIDTH;
    let top = top + 16.0;
    for (column, cell) in cells.iter().enumerate() {
        let corner = (left_of(column), top);
        match cell {
            Cell::Chart(chart) => {
                let place = card(body, &chart.title, corner, high + 58.0);
                nested(body, &chart.svg(), place, (inner, high));
            }
            Cell::Percentiles => {
                let place = card(body, "The same in figures", corner, high + 58.0);
                percentiles(body, session, place, (inner, high));
            }
        }
    }
    top + high + 58.0
}

/// The table of percentiles.
fn percentiles(body: &mut String, session: &Session, (x, y): (f64, f64), (wide, high): (f64, f64)) {
    let rows = percentiles_beside(session);
    let line = (high / (rows.len() + 1) as f64).min(24.0);
    let heads = PERCENTILES.map(str::to_owned).to_vec();
    for (row, cells) in [heads].iter().chain(&rows).enumerate() {
        let (down, class) = (y + 12.0 + line * row as f64, if row == 0 { "soft" } else { "" });
        for (column, words) in cells.iter().enumerate() {
            match column {
                0 => text(body, class, x, down, "start", words),
                _ => text(body, class, x + 150.0 + (wide - 150.0) / 5.0 * column as f64, down, "end", words),
            }
        }
    }
}

/// What two ends said of themselves, side by side; where it ends.
fn facts(body: &mut String, ends: &[(&'static str, Vec<(String, String)>)], top: f64) -> f64 {
    const DOWN: f64 = 17.0;
    const LETTERS: usize = 64;
    let top = top + 16.0;
    let wrap = |facts: &[(String, String)]| -> Vec<(String, Vec<String>)> {
        facts.iter().map(|(name, words)| (shortened(name, 16), wrapped(words, LETTERS, 8))).collect()
    };
    let sides: Vec<_> = ends.iter().map(|(end, facts)| (end, wrap(facts))).collect();
    let height = |facts: &[(String, Vec<String>)]| {
        facts.iter().map(|(_, lines)| DOWN * lines.len().max(1) as f64 + 4.0).sum::<f64>()
    };
    let high = sides.iter().map(|(_, facts)| height(facts)).fold(0.0, f64::max) + 58.0;
    for (column, (end, facts)) in sides.iter().enumerate() {
        let (x, mut y) = card(body, &title_case(end), (left_of(column), top), high);
        for (name, lines) in facts {
            text(body, "soft", x, y + 12.0, "start", name);
            for (row, words) in lines.iter().enumerate() {
                text(body, "", x + 112.0, y + 12.0 + DOWN * row as f64, "start", words);
            }
            y += DOWN * lines.len().max(1) as f64 + 4.0;
        }
    }
    top + high
}

/// A drawing within the drawing.
fn nested(body: &mut String, drawing: &str, (x, y): (f64, f64), (width, height): (f64, f64)) {
    let place = format!("<svg x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"");
    body.push_str(&drawing.replacen("<svg", &place, 1));
}
