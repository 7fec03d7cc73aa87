//! What stands still on a card: colour bars, grey steps and ramp, a zone plate in a circle, and where things go.

use super::canvas::{Canvas, Colour, Rect};
use super::code::Layout;
use super::glyphs;
use crate::Mode;

/// 75 % colour bars in BT.709, limited range (ITU-R BT.1729 levels).
const BARS: [Colour; 8] = [
    Colour::grey(180),
    Colour::new(168, 44, 136),
    Colour::new(145, 147, 44),
    Colour::new(133, 63, 52),
    Colour::new(63, 193, 204),
    Colour::new(51, 109, 212),
    Colour::new(28, 212, 120),
    Colour::grey(16),
];

/// The paper that text stands on.
pub(super) const PAPER: Colour = Colour::grey(24);

/// The ink of what changes, and of what does not.
pub(super) const INK: Colour = Colour::grey(235);
const LABEL_INK: Colour = Colour::grey(140);

/// What is around everything.
const GROUND: Colour = Colour::grey(48);

/// Where the parts of a card lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    pub(super) code: Layout,
    /// The lane of the bar that sweeps.
    pub(super) lane: Rect,
    /// The zone plate's rectangle.
    pub(super) plate: Rect,
    /// The picture number's line.
    pub(super) number: Line,
    /// The time code's line.
    pub(super) time: Line,
    bars: Rect,
    steps: Rect,
    panel: Rect,
    label: Line,
}

/// A line of text: its first glyph's corner and its dots' size in pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) scale: usize,
}

impl Places {
    pub(super) fn new(mode: Mode, code: Layout) -> Self {
        let (width, height) = (mode.width() as usize, code.top());
        let part =
            |begin: usize, end: usize| (height * begin / 100, height * end / 100 - height * begin / 100);
        let ((bars_y, bars_height), (steps_y, steps_height)) = (part(0, 24), part(24, 34));
        let ((middle_y, middle_height), (lane_y, lane_height)) = (part(34, 89), part(89, 98));
        let panel_width = width * 9 / 20;
        let panel = Rect::new(0, middle_y, panel_width, middle_height).inset(2);
        let scale = |glyph_count: usize, share: usize| {
            let across = panel.width / (glyph_count * glyphs::ADVANCE + 2);
            let dots = across.min(panel.height * share / 100 / glyphs::HEIGHT);
            // Whole chroma pixels where there is room for them.
            if dots > 1 { dots & !1 } else { 1 }
        };
        let (number_scale, time_scale) = (scale(8, 38), scale(12, 26));
        let label_scale = scale("PUNKTFUNK 1280X720@60".len(), 14);
        let used = (number_scale + time_scale + label_scale) * glyphs::HEIGHT;
        let gap = panel.height.saturating_sub(used) / 4;
        let line = |y: usize, scale: usize| Line { x: (panel.x + panel.width / 24) & !1, y: y & !1, scale };
        let number_y = panel.y + gap;
        let time_y = number_y + number_scale * glyphs::HEIGHT + gap;
        let label_y = time_y + time_scale * glyphs::HEIGHT + gap;
        Self {
            code,
            bars: Rect::new(0, bars_y, width, bars_height + 2),
            steps: Rect::new(0, steps_y, width, steps_height + 2),
            lane: Rect::new(0, lane_y, width, lane_height),
            plate: Rect::new(panel_width, middle_y, width - panel_width, middle_height).inset(2),
            panel,
            number: line(number_y, number_scale),
            time: line(time_y, time_scale),
            label: line(label_y, label_scale),
        }
    }
}

/// Draws everything that stands still.
pub(super) fn draw(canvas: &mut Canvas, places: &Places, mode: Mode) {
    let (width, height) = (canvas.width(), canvas.height());
    canvas.fill(Rect::new(0, 0, width, height), GROUND);
    for (index, colour) in BARS.into_iter().enumerate() {
        let (begin, end) = ((width * index / BARS.len()) & !1, width * (index + 1) / BARS.len());
        canvas.fill(Rect::new(begin, places.bars.y, end - begin + 1, places.bars.height), colour);
    }
    draw_steps(canvas, places.steps);
    draw_plate(canvas, places.plate);
    draw_lane(canvas, places.lane);
    canvas.fill(places.panel, PAPER);
    draw_label(canvas, places, mode);
    canvas.fill(Rect::new(0, places.code.top() - 4, width, height), Colour::grey(16));
}

/// Eleven steps from black to white above, a smooth ramp below.
fn draw_steps(canvas: &mut Canvas, rect: Rect) {
    let half = rect.height / 2;
    let upper = Rect::new(rect.x, rect.y, rect.width, half + 1);
    let level = |across: usize, of: usize| (16 + 219 * across / of) as u8;
    canvas.shade(rect, |across, _down| level(across, rect.width - 1));
    canvas.shade(upper, |across, _down| level(across * 11 / rect.width, 10));
}

/// Rings whose spacing shrinks with the distance from the middle: what a codec, or a scaler, loses shows at once.
fn draw_plate(canvas: &mut Canvas, rect: Rect) {
    let radius = (rect.width.min(rect.height) / 2) as f32;
    let (middle_x, middle_y) = (rect.width as f32 / 2.0, rect.height as f32 / 2.0);
    canvas.shade(rect, |across, down| {
        let (x, y) = (across as f32 + 0.5 - middle_x, down as f32 + 0.5 - middle_y);
        let distance = x.hypot(y);
        if distance < radius {
            // Phase grows with the square of the distance, to a quarter of a cycle a pixel at the rim.
            let phase = std::f32::consts::PI * distance * distance / (4.0 * radius);
            (126.0 + 90.0 * phase.cos()) as u8
        } else if distance < radius + 3.0 {
            235
        } else {
            // Outside of the circle a grid of 32 pixels shows geometry.
            let on_line = across % 32 < 2 || down % 32 < 2;
            if on_line { 110 } else { GROUND.y }
        }
    });
}

/// A dark lane with ticks.
fn draw_lane(canvas: &mut Canvas, rect: Rect) {
    canvas.fill(rect, Colour::grey(24));
    for tick in 0..20 {
        let x = rect.x + rect.width * tick / 20;
        canvas.fill(Rect::new(x, rect.y + rect.height * 3 / 4, 2, rect.height / 4), LABEL_INK);
    }
}

fn draw_label(canvas: &mut Canvas, places: &Places, mode: Mode) {
    let Line { x, y, scale } = places.label;
    let text = format!("PUNKTFUNK {mode}");
    let room = (places.panel.x + places.panel.width).saturating_sub(x) / (glyphs::ADVANCE * scale);
    for (index, glyph) in text.bytes().take(room).enumerate() {
        glyphs::draw(canvas, (x + index * glyphs::ADVANCE * scale, y), scale, glyph, LABEL_INK, PAPER);
    }
}
