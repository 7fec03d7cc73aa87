//! Line plots as SVG, by hand: axes, ticks, a line a series, a legend.
//!
//! Promises: whatever numbers come, the picture is well formed; a number that is none leaves a gap. Refuses: anything
//! that would need a library or a script in the picture.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

pub use crate::axis::Scale;
use crate::axis::{Axis, short};
use crate::error::PerfProgramError;
use crate::markup::escape;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 46.0;
const BOTTOM: f64 = 58.0;

/// Told apart by the colour-blind, too (Okabe and Ito's eight, without yellow and black).
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"];

/// One line.
#[derive(Debug, Clone)]
pub struct Series {
    /// For the legend.
    pub name: String,
    /// In the order of the line.
    pub points: Vec<(f64, f64)>,
}

/// A plot.
#[derive(Debug, Clone)]
pub struct Plot {
    /// Above it.
    pub title: String,
    /// Under the horizontal axis.
    pub x: String,
    /// Beside the vertical one.
    pub y: String,
    /// Of the horizontal axis.
    pub x_scale: Scale,
    /// Of the vertical one.
    pub y_scale: Scale,
    /// The lines.
    pub series: Vec<Series>,
}

impl Plot {
    /// Writes the picture.
    ///
    /// # Errors
    /// The folder or the file cannot be made.
    pub fn write(&self, folder: &Path, name: &str) -> Result<(), PerfProgramError> {
        let io = |source| PerfProgramError::Io { what: "write a plot", source };
        fs::create_dir_all(folder).map_err(io)?;
        fs::write(folder.join(name), self.svg()).map_err(io)
    }

    /// The picture.
    pub fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|series| series.points.iter());
        let x = Axis::new(self.x_scale, points().map(|point| point.0), LEFT, WIDTH - RIGHT);
        let y = Axis::new(self.y_scale, points().map(|point| point.1), HEIGHT - BOTTOM, TOP);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        );
        text(&mut svg, WIDTH / 2.0, 20.0, "middle", &self.title);
        text(&mut svg, (LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 14.0, "middle", &self.x);
        let middle = (TOP + HEIGHT - BOTTOM) / 2.0;
        let _ = writeln!(
            svg,
            "<text transform=\"translate(16 {middle}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            escape(&self.y)
        );
        grid(&mut svg, &x, &y);
        for (index, series) in self.series.iter().enumerate() {
            line(&mut svg, series, COLOURS[index % COLOURS.len()], &x, &y);
            let (at, colour) = (LEFT + 8.0 + 150.0 * (index % 4) as f64, COLOURS[index % COLOURS.len()]);
            let down = TOP - 8.0 + 14.0 * (index / 4) as f64;
            let _ = writeln!(
                svg,
                "<rect x=\"{at}\" y=\"{}\" width=\"10\" height=\"3\" fill=\"{colour}\"/>",
                down - 4.0
            );
            text(&mut svg, at + 14.0, down, "start", &series.name);
        }
        svg.push_str("</svg>\n");
        svg
    }
}

fn grid(svg: &mut String, x: &Axis, y: &Axis) {
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    for tick in x.ticks() {
        let Some(at) = x.place(tick) else { continue };
        let _ = writeln!(svg, "<path d=\"M{at:.1} {TOP}V{bottom}\" stroke=\"#ddd\"/>");
        text(svg, at, bottom + 18.0, "middle", &short(tick));
    }
    for tick in y.ticks() {
        let Some(at) = y.place(tick) else { continue };
        let _ = writeln!(svg, "<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#ddd\"/>");
        text(svg, LEFT - 6.0, at + 4.0, "end", &short(tick));
    }
    let _ = writeln!(svg, "<path d=\"M{LEFT} {TOP}V{bottom}H{right}\" fill=\"none\" stroke=\"black\"/>");
}

fn line(svg: &mut String, series: &Series, colour: &str, x: &Axis, y: &Axis) {
    let mut path = String::new();
    let mut begun = false;
    for point in &series.points {
        match x.place(point.0).zip(y.place(point.1)) {
            Some((at, down)) => {
                let _ = write!(path, "{}{at:.1} {down:.1}", if begun { 'L' } else { 'M' });
                let _ = writeln!(svg, "<circle cx=\"{at:.1}\" cy=\"{down:.1}\" r=\"3\" fill=\"{colour}\"/>");
                begun = true;
            }
            None => begun = false,
        }
    }
    let _ = writeln!(svg, "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>");
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let _ =
        writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escape(words));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plot(scale: Scale, points: Vec<(f64, f64)>) -> Plot {
        let series = vec![Series { name: "a < b & c".to_owned(), points }];
        let (title, x, y) = ("t".to_owned(), "x".to_owned(), "y".to_owned());
        Plot { title, x, y, x_scale: scale, y_scale: scale, series }
    }

    proptest! {
        #[test]
        fn whatever_numbers_come_the_picture_is_well_formed(
            log: bool, points in prop::collection::vec((any::<f64>(), any::<f64>()), 0..12)
        ) {
            let svg = plot(if log { Scale::Log } else { Scale::Linear }, points).svg();
            prop_assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
            prop_assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            prop_assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
        }
    }

    #[test]
    fn a_point_lies_where_it_should_and_words_are_escaped() {
        let svg = plot(Scale::Linear, vec![(0.0, 0.0), (10.0, 5.0)]).svg();
        assert!(svg.contains("cx=\"80.0\" cy=\"382.0\""), "{svg}");
        assert!(svg.contains("a &lt; b &amp; c"));
        let gap = plot(Scale::Log, vec![(1.0, 1.0), (2.0, f64::NAN), (3.0, 2.0)]).svg();
        assert_eq!(gap.matches("<circle").count(), 2);
    }
}
