//! A font of 5 × 7 dots for what a test card has to say: digits, capitals and a little punctuation.

use super::canvas::{Canvas, Colour, Rect};

/// Dots from the left edge of a glyph to that of the next.
pub(super) const ADVANCE: usize = 6;

/// Dots from the top of a glyph to its foot.
pub(super) const HEIGHT: usize = 7;

/// Draws one glyph in a cell of `ADVANCE` × `HEIGHT` dots of `scale` pixels, paper included.
pub(super) fn draw(
    canvas: &mut Canvas,
    (x, y): (usize, usize),
    scale: usize,
    glyph: u8,
    ink: Colour,
    paper: Colour,
) {
    // An odd height is rounded up: nothing of the glyph before may stay.
    canvas.fill(Rect::new(x, y, ADVANCE * scale, HEIGHT * scale + 1), paper);
    for (down, row) in rows(glyph).into_iter().enumerate() {
        for across in (0..5).filter(|across| row >> (4 - across) & 1 == 1) {
            let (left, top) = (x + across * scale, y + down * scale);
            if scale.is_multiple_of(2) {
                canvas.fill(Rect::new(left, top, scale, scale), ink);
            } else {
                dot(canvas, left, top, scale, ink.y);
            }
        }
    }
}

/// A dot of an odd number of pixels has no chroma pixels of its own: luma alone.
fn dot(canvas: &mut Canvas, left: usize, top: usize, scale: usize, luma: u8) {
    for y in top..top + scale {
        for x in left..left + scale {
            canvas.dot(x, y, luma);
        }
    }
}

/// The seven rows of a glyph, five bits each; blank where there is none.
fn rows(glyph: u8) -> [u8; HEIGHT] {
    match glyph.to_ascii_uppercase() {
        b'0' => [14, 17, 19, 21, 25, 17, 14],
        b'1' => [4, 12, 4, 4, 4, 4, 14],
        b'2' => [14, 17, 1, 2, 4, 8, 31],
        b'3' => [31, 2, 4, 2, 1, 17, 14],
        b'4' => [2, 6, 10, 18, 31, 2, 2],
        b'5' => [31, 16, 30, 1, 1, 17, 14],
        b'6' => [6, 8, 16, 30, 17, 17, 14],
        b'7' => [31, 1, 2, 4, 8, 8, 8],
        b'8' => [14, 17, 17, 14, 17, 17, 14],
        b'9' => [14, 17, 17, 15, 1, 2, 12],
        b':' => [0, 4, 4, 0, 4, 4, 0],
        b'.' => [0, 0, 0, 0, 0, 12, 12],
        b'@' => [14, 17, 1, 13, 21, 21, 14],
        b'X' => [17, 17, 10, 4, 10, 17, 17],
        b'P' => [30, 17, 17, 30, 16, 16, 16],
        b'U' => [17, 17, 17, 17, 17, 17, 14],
        b'N' => [17, 17, 25, 21, 19, 17, 17],
        b'K' => [17, 18, 20, 24, 20, 18, 17],
        b'T' => [31, 4, 4, 4, 4, 4, 4],
        b'F' => [31, 16, 16, 30, 16, 16, 16],
        _ => [0; HEIGHT],
    }
}
