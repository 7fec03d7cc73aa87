//! Charts as SVG that stands in a page: axes, lines, bars, a legend, and a place to point at for each value.
//!
//! Promises: well-formed whatever the numbers are; a value that is none leaves a gap; every chart has a title and says in
//! words what it shows; colours and sizes are the style sheet's, so that one drawing is right in light and dark, on a
//! phone and in the picture. Refuses: words that were not escaped.

use std::fmt::Write as _;

use crate::axis::{Axis, Scale, short};
use crate::markup::escape;

/// The drawing's size; words are 12 high in it, and up to 16 on a phone.
pub const WIDTH: f64 = 520.0;
/// See [`WIDTH`].
pub const HEIGHT: f64 = 300.0;

const LEFT: f64 = 58.0;
const RIGHT: f64 = 14.0;
const BOTTOM: f64 = 48.0;
/// Under the legend's last row: the vertical axis's unit stands there.
const TOP: f64 = 22.0;
/// The width of a letter where words are largest.
const LETTER: f64 = 10.2;
/// A line's length in the legend: so long that its pattern is seen.
const SWATCH: f64 = 30.0;
/// A row of the legend.
const LEGEND_ROW: f64 = 24.0;
/// The longest name of which three stand in a row of the legend: on a phone, too.
const NAME_LETTERS_MAX: usize = 11;

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stroke {
    /// A line.
    Solid,
    /// A dashed line.
    Dash,
    /// A dotted line.
    Dots,
    /// A line of long dashes.
    Long,
    /// A dash and a dot.
    DashDot,
    /// A line of short dashes.
    Short,
    /// A dash and two dots.
    DashDotDot,
    /// A bar from the foot, as wide as the values lie apart.
    Bars,
}

impl Stroke {
    /// Every pattern of a line, as many as the lines of the fullest chart.
    pub const LINES: [Stroke; 7] = [
        Stroke::Solid,
        Stroke::Dash,
        Stroke::Dots,
        Stroke::Long,
        Stroke::DashDot,
        Stroke::Short,
        Stroke::DashDotDot,
    ];

    /// The style sheet's further class for it.
    pub fn class(self) -> &'static str {
        match self {
            Stroke::Solid | Stroke::Bars => "",
            Stroke::Dash => " dash",
            Stroke::Dots => " dots",
            Stroke::Long => " long",
            Stroke::DashDot => " dash-dot",
            Stroke::Short => " short",
            Stroke::DashDotDot => " dash-dot-dot",
        }
    }
}

/// One series.
#[derive(Debug, Clone)]
pub struct Line {
    /// For the legend.
    pub name: String,
    /// Which of the six colours.
    pub colour: usize,
    /// How it is drawn.
    pub stroke: Stroke,
    /// In the order of the line.
    pub points: Vec<(f64, f64)>,
}

/// Something to point at: a place on the horizontal axis, and what is to be read there.
#[derive(Debug, Clone)]
pub struct Hit {
    /// Where.
    pub x: f64,
    /// The words.
    pub words: String,
}

/// A chart.
#[derive(Debug, Clone)]
pub struct Chart {
    /// Unique in the page; letters and hyphens.
    pub id: &'static str,
    /// What it is.
    pub title: String,
    /// What it says, in words, for whoever does not see it.
    pub description: String,
    /// What has to be said beside it; may be empty.
    pub note: String,
    /// Under the horizontal axis.
    pub x_label: &'static str,
    /// Beside the vertical one, its unit.
    pub y_label: &'static str,
    /// Of the horizontal axis.
    pub x_scale: Scale,
    /// Of the vertical one.
    pub y_scale: Scale,
    /// The horizontal range, where it is not the values'.
    pub x_range: Option<(f64, f64)>,
    /// The horizontal axis's ticks, where they are not round numbers.
    pub x_ticks: Option<Vec<(f64, String)>>,
    /// A place on the horizontal axis that is marked, and its word.
    pub mark: Option<(f64, String)>,
    /// The least that the vertical axis reaches to.
    pub y_least: f64,
    /// Words in place of a course, where there is none.
    pub nothing: Option<String>,
    /// The series.
    pub lines: Vec<Line>,
    /// Things to point at.
    pub hits: Vec<Hit>,
}

/// The two axes of a chart.
struct Axes {
    x: Axis,
    y: Axis,
    top: f64,
}

impl Chart {
    /// The drawing.
    pub fn svg(&self) -> String {
        let mut svg = format!(
            "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\" \
             xmlns=\"http://www.w3.org/2000/svg\">\n<title id=\"{id}-t\">{}</title><desc id=\"{id}-d\">{}</desc>\n",
            escape(&self.title),
            escape(&self.description),
            id = self.id,
        );
        let rows = self.lines.len().div_ceil(self.legend_in_row()).max(1);
        let top = TOP + LEGEND_ROW * rows as f64;
        let points = || self.lines.iter().flat_map(|line| line.points.iter());
        let foot = HEIGHT - BOTTOM;
        let x = match self.x_range {
            Some(range) => Axis::over(self.x_scale, range, LEFT, WIDTH - RIGHT),
            None => Axis::new(self.x_scale, points().map(|point| point.0), LEFT, WIDTH - RIGHT),
        };
        let least = (self.y_least > 0.0).then_some(self.y_least);
        let values = points().map(|point| point.1).chain(least);
        let axes = Axes { x, y: Axis::new(self.y_scale, values, foot, top), top };
        self.grid(&mut svg, &axes);
        for line in &self.lines {
            draw(&mut svg, line, &axes);
        }
        if let Some(words) = &self.nothing {
            text(&mut svg, "soft s14", (LEFT + WIDTH - RIGHT) / 2.0, (top + foot) / 2.0, "middle", words);
        }
        self.legend(&mut svg);
        self.hits(&mut svg, &axes);
        svg + "</svg>\n"
    }

    fn grid(&self, svg: &mut String, axes: &Axes) {
        let foot = HEIGHT - BOTTOM;
        // Writing to a String does not fail.
        let ticks: Vec<(f64, String)> =
            axes.y.ticks().into_iter().filter_map(|tick| Some((axes.y.place(tick)?, short(tick)))).collect();
        let mut last = f64::INFINITY;
        for (at, words) in ticks {
            let _ = writeln!(svg, "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{:.1}\"/>", WIDTH - RIGHT);
            // Words of a logarithmic axis need room.
            if (last - at).abs() < 19.0 {
                continue;
            }
            last = at;
            text(svg, "tick", LEFT - 8.0, at + 4.0, "end", &words);
        }
        let own = self
            .x_ticks
            .clone()
            .unwrap_or_else(|| axes.x.ticks().into_iter().map(|tick| (tick, short(tick))).collect());
        let mut last = f64::NEG_INFINITY;
        for (tick, words) in own {
            let Some(at) = axes.x.place(tick).filter(|at| (LEFT - 1.0..=WIDTH - RIGHT + 1.0).contains(at))
            else {
                continue;
            };
            let _ = writeln!(svg, "<path class=\"grid\" d=\"M{at:.1} {:.1}V{foot}\"/>", axes.top);
            // Words of a narrow place are left out; those at an edge stay within the drawing.
            let half = LETTER * words.chars().count() as f64 / 2.0;
            let middle = at.min(WIDTH - half);
            if middle - half < last + LETTER {
                continue;
            }
            last = middle + half;
            text(svg, "tick", middle, foot + 19.0, "middle", &words);
        }
        let _ = writeln!(svg, "<path class=\"base\" d=\"M{LEFT} {foot}H{:.1}\"/>", WIDTH - RIGHT);
        text(svg, "label", (LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 8.0, "middle", self.x_label);
        text(svg, "label", 2.0, axes.top - 10.0, "start", self.y_label);
        if let Some((place, words)) = &self.mark
            && let Some(at) = axes.x.place(*place)
        {
            let _ = writeln!(svg, "<path class=\"mark\" d=\"M{at:.1} {:.1}V{foot}\"/>", axes.top);
            text(svg, "label", at, axes.top - 10.0, "middle", words);
        }
    }

    fn legend_in_row(&self) -> usize {
        if self.lines.iter().any(|line| line.name.chars().count() > NAME_LETTERS_MAX) { 2 } else { 3 }
    }

    fn legend(&self, svg: &mut String) {
        let in_row = self.legend_in_row();
        let wide = (WIDTH - LEFT - RIGHT) / in_row as f64;
        for (index, line) in self.lines.iter().enumerate() {
            let at = LEFT + wide * (index % in_row) as f64;
            let down = 14.0 + LEGEND_ROW * (index / in_row) as f64;
            if line.stroke == Stroke::Bars {
                let _ = writeln!(
                    svg,
                    "<rect class=\"f{}\" x=\"{at:.1}\" y=\"{:.1}\" width=\"14\" height=\"10\" rx=\"2\"/>",
                    line.colour,
                    down - 9.0,
                );
            } else {
                let _ = writeln!(
                    svg,
                    "<path class=\"line s{}{}\" d=\"M{at:.1} {:.1}h{SWATCH}\"/>",
                    line.colour,
                    line.stroke.class(),
                    down - 4.0,
                );
            }
            let swatch = if line.stroke == Stroke::Bars { 14.0 } else { SWATCH };
            text(svg, "", at + swatch + 7.0, down, "start", &line.name);
        }
    }

    /// A column for each, reaching half-way to its neighbours.
    fn hits(&self, svg: &mut String, axes: &Axes) {
        let places: Vec<(f64, &str)> =
            self.hits.iter().filter_map(|hit| Some((axes.x.place(hit.x)?, hit.words.as_str()))).collect();
        for (index, (at, words)) in places.iter().enumerate() {
            let before = index.checked_sub(1).and_then(|index| places.get(index));
            let from = before.map_or(LEFT, |(before, _)| (before + at) / 2.0).max(LEFT);
            let to = places.get(index + 1).map_or(WIDTH - RIGHT, |(next, _)| (at + next) / 2.0);
            if to <= from {
                continue;
            }
            let _ = writeln!(
                svg,
                "<rect class=\"hit\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{}</title></rect>",
                axes.top,
                to - from,
                HEIGHT - BOTTOM - axes.top,
                escape(words),
            );
        }
    }
}

fn draw(svg: &mut String, line: &Line, axes: &Axes) {
    if line.stroke == Stroke::Bars {
        return bars(svg, line, axes);
    }
    let places: Vec<Option<(f64, f64)>> =
        line.points.iter().map(|point| axes.x.place(point.0).zip(axes.y.place(point.1))).collect();
    let mut path = String::new();
    for run in places.split(Option::is_none) {
        // A line of one point has no length: it is a dot.
        if let [Some((x, y))] = run {
            let _ = writeln!(svg, "<circle class=\"f{}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>", line.colour);
            continue;
        }
        for (index, (x, y)) in run.iter().flatten().enumerate() {
            let _ = write!(path, "{}{x:.1} {y:.1}", if index == 0 { 'M' } else { 'L' });
        }
    }
    if !path.is_empty() {
        let _ = writeln!(svg, "<path class=\"line s{}{}\" d=\"{path}\"/>", line.colour, line.stroke.class());
    }
}

/// Bars that begin where the one before ended.
fn bars(svg: &mut String, line: &Line, axes: &Axes) {
    let foot = HEIGHT - BOTTOM;
    for pair in line.points.windows(2) {
        let ((from, value), (to, _)) = (pair[0], pair[1]);
        let (Some(from), Some(to)) = (axes.x.place(from), axes.x.place(to)) else { continue };
        // What is there at all is seen.
        let Some(top) = axes.y.place(value).filter(|_| value > 0.0).map(|top| top.min(foot - 1.5)) else {
            continue;
        };
        let _ = writeln!(
            svg,
            "<rect class=\"f{}\" x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
            line.colour,
            from + 0.5,
            (to - from - 1.0).max(0.5),
            foot - top,
        );
    }
}

/// Words at a place.
pub fn text(svg: &mut String, class: &str, x: f64, y: f64, anchor: &str, words: &str) {
    let _ = writeln!(
        svg,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
        escape(words)
    );
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chart(scale: Scale, stroke: Stroke, points: Vec<(f64, f64)>) -> Chart {
        let hits = points.iter().map(|(x, _)| Hit { x: *x, words: "</title><b>".to_owned() }).collect();
        Chart {
            id: "a-chart",
            title: "a < b".to_owned(),
            description: "\"&".to_owned(),
            note: String::new(),
            y_least: 0.0,
            nothing: Some("<none>".to_owned()),
            x_label: "x",
            y_label: "y",
            x_scale: scale,
            y_scale: scale,
            x_range: None,
            x_ticks: None,
            mark: None,
            lines: vec![Line { name: "<i>".to_owned(), colour: 0, stroke, points }],
            hits,
        }
    }

    proptest! {
        #[test]
        fn whatever_numbers_come_the_drawing_is_well_formed(
            log: bool, bars: bool, points in prop::collection::vec((any::<f64>(), any::<f64>()), 0..12)
        ) {
            let stroke = if bars { Stroke::Bars } else { Stroke::Dash };
            let svg = chart(if log { Scale::Log } else { Scale::Linear }, stroke, points).svg();
            prop_assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            prop_assert!(resvg::usvg::roxmltree::Document::parse(&svg).is_ok(), "{svg}");
        }
    }

    #[test]
    fn words_are_escaped_and_one_point_is_a_dot() {
        let svg = chart(Scale::Linear, Stroke::Solid, vec![(1.0, 1.0)]).svg();
        assert!(svg.contains("a &lt; b") && svg.contains("&lt;i&gt;") && !svg.contains("<b>"), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 1);
    }

    #[test]
    fn a_point_between_two_gaps_is_a_dot_too() {
        let none = f64::NAN;
        let points = [1.0, none, 2.0, 3.0, none, 4.0, none].into_iter().enumerate();
        let svg = chart(Scale::Linear, Stroke::Solid, points.map(|(x, y)| (x as f64, y)).collect()).svg();
        // The legend has a line of its own.
        let lines = svg.matches("class=\"line s0\" d").count();
        assert_eq!((svg.matches("<circle").count(), lines), (2, 1 + 1), "{svg}");
    }

    #[test]
    fn no_two_patterns_are_one() {
        let css = include_str!("drawing.css");
        let pattern = |stroke: &Stroke| match stroke.class() {
            "" => "none",
            class => {
                let rule = format!(".{}{{stroke-dasharray:", class.trim());
                css.split(&rule).nth(1).and_then(|rest| rest.split('}').next()).expect(class)
            }
        };
        let patterns: std::collections::BTreeSet<_> = Stroke::LINES.iter().map(pattern).collect();
        assert_eq!(patterns.len(), Stroke::LINES.len(), "{patterns:?}");
    }
}
