//! One panel of the page: delivered share over access-unit size, as inline SVG.
//!
//! A line a series is the code's bound; a dot is what was delivered, a ring where shards were sent again. Every further
//! nine of the share gets the same room, because one picture lost in a hundred is seen, and one in a thousand hardly.
//! Colours are the page's custom properties, so that a panel is right in light and dark. Each dot carries its figures
//! as a title.

use std::fmt::Write as _;

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 50.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 44.0;
/// Series beside each other at a point, so that none hides another.
const DODGE: f64 = 3.5;
/// Nines that are told apart; all delivered stands half a nine above.
const NINES_MAX: f64 = 3.0;
const NINES_ALL: f64 = 3.5;
/// Where the scale has lines.
const TICKS: [(f64, &str); 6] =
    [(0.0, "0 %"), (0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"), (1.0, "100 %")];

/// What is drawn with one colour and stroke.
#[derive(Debug, Clone)]
pub struct Series {
    /// Which of the page's colours.
    pub colour: usize,
    /// Whether shards were sent again.
    pub resend: bool,
    /// Its points, each at the place of its size.
    pub points: Vec<Point>,
}

/// One cell.
#[derive(Debug, Clone)]
pub struct Point {
    /// Which of the sizes.
    pub place: usize,
    /// Share that the bound allows.
    pub bound: f64,
    /// Share that was delivered.
    pub delivered: f64,
    /// What a pointer is told.
    pub title: String,
}

/// A panel with these sizes along its foot.
pub fn panel(sizes: &[String], series: &[Series], label: &str) -> String {
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{label}\" xmlns=\"http://www.w3.org/2000/svg\">\n"
    );
    axes(&mut svg, sizes);
    for (index, one) in series.iter().enumerate() {
        let dodge = (index as f64 - (series.len() as f64 - 1.0) / 2.0) * DODGE;
        draw(&mut svg, one, sizes.len(), dodge);
    }
    svg + "</svg>"
}

fn axes(svg: &mut String, sizes: &[String]) {
    // Writing to a String does not fail.
    for (share, words) in TICKS {
        let y = y_of(share);
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{words}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            y + 4.0,
        );
    }
    for (place, size) in sizes.iter().enumerate() {
        let _ = writeln!(
            svg,
            "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{size}</text>",
            x_of(place, sizes.len()),
            HEIGHT - BOTTOM + 18.0,
        );
    }
    let _ = writeln!(
        svg,
        "<text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">access-unit size</text>",
        LEFT + (WIDTH - LEFT - RIGHT) / 2.0,
        HEIGHT - 6.0,
    );
}

fn draw(svg: &mut String, series: &Series, sizes: usize, dodge: f64) {
    let stroke = if series.resend { "bound again" } else { "bound" };
    let path: Vec<String> = series
        .points
        .iter()
        .map(|point| format!("{:.1},{:.1}", x_of(point.place, sizes) + dodge, y_of(point.bound)))
        .collect();
    let _ = writeln!(svg, "<polyline class=\"{stroke} c{}\" points=\"{}\"/>", series.colour, path.join(" "));
    let dot = if series.resend { "ring" } else { "dot" };
    for point in &series.points {
        let _ = writeln!(
            svg,
            "<circle class=\"{dot} c{}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\"><title>{}</title></circle>",
            series.colour,
            x_of(point.place, sizes) + dodge,
            y_of(point.delivered),
            point.title,
        );
    }
}

fn x_of(place: usize, count: usize) -> f64 {
    LEFT + (place as f64 + 0.5) / count.max(1) as f64 * (WIDTH - LEFT - RIGHT)
}

fn y_of(share: f64) -> f64 {
    let nines = if share >= 1.0 { NINES_ALL } else { (-(1.0 - share).log10()).min(NINES_MAX) };
    TOP + (1.0 - nines / NINES_ALL) * (HEIGHT - TOP - BOTTOM)
}
