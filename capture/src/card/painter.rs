//! Draws a card's pictures one after another, touching only what changes.

use super::canvas::{Canvas, Colour, Rect};
use super::code::{self, CardStamp, Layout};
use super::glyphs;
use super::scene::{self, INK, Line, PAPER, Places};
use crate::{CaptureError, Mode};

/// Glyphs of the picture number: eight digits.
const NUMBER_GLYPHS: usize = 8;

/// Glyphs of the time code: `HH:MM:SS.mmm`.
const TIME_GLYPHS: usize = 12;

/// Microseconds that the bar takes to sweep the lane once.
const SWEEP_US: u64 = 2_000_000;

/// Microseconds that the ball takes to go round the zone plate once.
const ORBIT_US: u64 = 5_000_000;

/// The bar that sweeps, and the ball that goes round.
const BAR: Colour = Colour::grey(235);
const BALL: Colour = Colour::new(120, 70, 190);

/// A card on which one picture after another is drawn.
#[derive(Debug)]
pub struct Painter {
    places: Places,
    /// The card without anything that moves.
    scene: Canvas,
    canvas: Canvas,
    bar: Rect,
    ball: Rect,
    number: [u8; NUMBER_GLYPHS],
    time: [u8; TIME_GLYPHS],
}

impl Painter {
    /// A card of a mode's sides; its refresh is only written on it.
    ///
    /// # Errors
    /// [`CaptureError::CardTooSmall`].
    pub fn new(mode: Mode) -> Result<Self, CaptureError> {
        let (width, height) = (mode.width(), mode.height());
        let layout = Layout::of(width, height).ok_or(CaptureError::CardTooSmall {
            width,
            height,
            min_width: code::MIN_WIDTH,
            min_height: code::MIN_HEIGHT,
        })?;
        let places = Places::new(mode, layout);
        let mut scene = Canvas::new(width as usize, height as usize);
        scene::draw(&mut scene, &places, mode);
        let nowhere = Rect::new(0, 0, 0, 0);
        let canvas = scene.clone();
        Ok(Self { places, scene, canvas, bar: nowhere, ball: nowhere, number: [0; 8], time: [0; 12] })
    }

    /// Draws the picture of a stamp and lends it: I420 without gaps, luma stride = width.
    pub fn paint(&mut self, stamp: CardStamp) -> &[u8] {
        self.move_ball(stamp.time_us);
        self.move_bar(stamp.time_us);
        self.write_number(stamp.number);
        self.write_time(stamp.time_us);
        code::draw(&mut self.canvas, &self.places.code, stamp);
        self.canvas.bytes()
    }

    fn move_bar(&mut self, time_us: u64) {
        let lane = self.places.lane;
        let bar_width = (lane.width / 40).max(8);
        let way = (lane.width - bar_width) as u64;
        let x = (time_us % SWEEP_US * way / SWEEP_US) as usize;
        self.canvas.restore(self.bar, &self.scene);
        self.bar = Rect::new(lane.x + x, lane.y, bar_width, lane.height);
        self.canvas.fill(self.bar, BAR);
    }

    fn move_ball(&mut self, time_us: u64) {
        let plate = self.places.plate;
        let side = (plate.width.min(plate.height) / 8).max(4);
        let angle = (time_us % ORBIT_US) as f32 / ORBIT_US as f32 * std::f32::consts::TAU;
        let radius = (plate.width.min(plate.height) as f32 / 2.0 - side as f32) * 0.7;
        let middle = (plate.x as f32 + plate.width as f32 / 2.0, plate.y as f32 + plate.height as f32 / 2.0);
        let corner = |middle: f32, way: f32| (middle + way * radius - side as f32 / 2.0) as usize;
        let (sine, cosine) = angle.sin_cos();
        self.canvas.restore(self.ball, &self.scene);
        self.ball = Rect::new(corner(middle.0, sine), corner(middle.1, -cosine), side, side);
        self.fill_disc(self.ball);
    }

    /// A disc in a square, a pair of rows at a time.
    fn fill_disc(&mut self, square: Rect) {
        let radius = square.width as f32 / 2.0;
        for row in (0..square.height).step_by(2) {
            let off = row as f32 + 1.0 - radius;
            let half = (radius * radius - off * off).max(0.0).sqrt();
            let (begin, end) = ((radius - half) as usize, (radius + half) as usize);
            self.canvas.fill(Rect::new(square.x + begin, square.y + row, end - begin, 2), BALL);
        }
    }

    fn write_number(&mut self, number: u64) {
        let mut glyphs = [b'0'; NUMBER_GLYPHS];
        let mut rest = number;
        for glyph in glyphs.iter_mut().rev() {
            *glyph = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        write_line(&mut self.canvas, self.places.number, &mut self.number, glyphs);
    }

    fn write_time(&mut self, time_us: u64) {
        let ms = time_us / 1000;
        let (h, m, s) = (ms / 3_600_000 % 100, ms / 60_000 % 60, ms / 1000 % 60);
        let digit = |value: u64, power: u64| b'0' + (value / power % 10) as u8;
        let glyphs = [
            digit(h, 10),
            digit(h, 1),
            b':',
            digit(m, 10),
            digit(m, 1),
            b':',
            digit(s, 10),
            digit(s, 1),
            b'.',
            digit(ms, 100),
            digit(ms, 10),
            digit(ms, 1),
        ];
        write_line(&mut self.canvas, self.places.time, &mut self.time, glyphs);
    }
}

/// Draws the glyphs that differ from those that stand there.
fn write_line<const COUNT: usize>(
    canvas: &mut Canvas,
    line: Line,
    there: &mut [u8; COUNT],
    glyphs: [u8; COUNT],
) {
    let Line { x, y, scale } = line;
    for (index, (there, glyph)) in there.iter_mut().zip(glyphs).enumerate() {
        if *there != glyph {
            *there = glyph;
            glyphs::draw(canvas, (x + index * glyphs::ADVANCE * scale, y), scale, glyph, INK, PAPER);
        }
    }
}
