//! A card's machine-readable code: 100 square cells, light for 1, dark for 0, at the foot of the picture.
//!
//! The number (32 bits), the time in microseconds (44 bits) and a CRC-24 (OpenPGP's, RFC 9580 section 6.1) over
//! both, most significant bits first, row by row. Cells are at least 16 pixels a side, so that a macroblock's
//! mean carries each, and lie on multiples of 8 pixels from the corner of the picture, which suits transforms.
//!
//! Promised: [`read`] gives what was drawn, or `None`; never a panic, whatever the bytes and sides.

use super::canvas::{Canvas, Colour, Rect};

/// The narrowest card in pixels: 20 cells of 16.
pub(super) const MIN_WIDTH: u32 = 320;

/// The lowest card in pixels: five rows of cells, and as much again for the picture.
pub(super) const MIN_HEIGHT: u32 = 180;

const NUMBER_BITS: u32 = 32;
const TIME_BITS: u32 = 44;
const CRC_BITS: u32 = 24;
const CELLS: usize = (NUMBER_BITS + TIME_BITS + CRC_BITS) as usize;

/// The largest useful cell in pixels; more would only take room.
const CELL_MAX: usize = 64;

const LIGHT: u8 = 220;
const DARK: u8 = 30;
const BETWEEN: u32 = (LIGHT as u32 + DARK as u32) / 2;

/// What a card's machine-readable code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CardStamp {
    /// The picture's number, modulo 2³² (over a hundred days at 480 Hz).
    pub number: u64,
    /// Microseconds from the card's start to the picture's capture, modulo 2⁴⁴ (200 days).
    pub time_us: u64,
}

/// Where the cells of a picture's code lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    x: usize,
    y: usize,
    columns: usize,
    cell: usize,
}

impl Layout {
    /// `None` when a picture of these sides has no room.
    pub(super) fn of(width: u32, height: u32) -> Option<Self> {
        if width < MIN_WIDTH || height < MIN_HEIGHT {
            return None;
        }
        let (width, height) = (width as usize, height as usize);
        let columns = [50, 25, 20].into_iter().find(|columns| width / columns >= 16)?;
        let rows = CELLS / columns;
        // High cells would push the picture out of a wide, low card.
        let cell = (width / columns).min(height / 2 / rows).min(CELL_MAX) / 8 * 8;
        let (x, y) = ((width - columns * cell) / 2 / 8 * 8, (height - rows * cell) / 8 * 8);
        (cell >= 16).then_some(Self { x, y, columns, cell })
    }

    /// The first row of pixels that the code uses.
    pub(super) fn top(&self) -> usize {
        self.y
    }

    /// Cell `index`.
    fn cell(&self, index: usize) -> Rect {
        let (row, column) = (index / self.columns, index % self.columns);
        Rect::new(self.x + column * self.cell, self.y + row * self.cell, self.cell, self.cell)
    }
}

/// Draws a stamp's cells.
pub(super) fn draw(canvas: &mut Canvas, layout: &Layout, stamp: CardStamp) {
    let message = message(stamp);
    for index in 0..CELLS {
        let bit = message >> (CELLS - 1 - index) & 1;
        canvas.fill(layout.cell(index), Colour::grey(if bit == 1 { LIGHT } else { DARK }));
    }
}

/// Reads the code of a card out of a luma plane, `stride` bytes a row; `None` when there is no valid one.
pub fn read(luma: &[u8], stride: usize, width: u32, height: u32) -> Option<CardStamp> {
    let layout = Layout::of(width, height)?;
    let mut message = 0_u128;
    for index in 0..CELLS {
        message = message << 1 | u128::from(mean(luma, stride, layout.cell(index))? > BETWEEN);
    }
    let stamp = CardStamp {
        number: (message >> (TIME_BITS + CRC_BITS)) as u64,
        time_us: (message >> CRC_BITS) as u64 & ((1 << TIME_BITS) - 1),
    };
    (self::message(stamp) == message).then_some(stamp)
}

/// The mean of a cell's middle, away from what an encoder smears over its edges.
fn mean(luma: &[u8], stride: usize, cell: Rect) -> Option<u32> {
    let middle = cell.inset(cell.width / 4);
    let mut sum = 0;
    for row in middle.y..middle.y + middle.height {
        let begin = row.checked_mul(stride)?.checked_add(middle.x)?;
        let pixels = luma.get(begin..begin.checked_add(middle.width)?)?;
        sum += pixels.iter().map(|pixel| u32::from(*pixel)).sum::<u32>();
    }
    Some(sum / (middle.width * middle.height) as u32)
}

/// The 100 bits of a stamp.
fn message(stamp: CardStamp) -> u128 {
    let number = u128::from(stamp.number) & ((1 << NUMBER_BITS) - 1);
    let time_us = u128::from(stamp.time_us) & ((1 << TIME_BITS) - 1);
    let payload = number << TIME_BITS | time_us;
    payload << CRC_BITS | u128::from(crc24(payload, NUMBER_BITS + TIME_BITS))
}

/// CRC-24 of the low `bits` bits of `payload`, most significant first.
fn crc24(payload: u128, bits: u32) -> u32 {
    let mut crc = 0x00b7_04ce;
    for index in (0..bits).rev() {
        let bit = (payload >> index & 1) as u32;
        let carry = crc >> 23 & 1 ^ bit;
        crc = (crc << 1 & 0x00ff_ffff) ^ (carry * 0x0086_4cfb);
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_crc_is_openpgps() {
        // The check value of CRC-24/OPENPGP over "123456789".
        let text = b"123456789".iter().fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
        assert_eq!(crc24(text, 72), 0x0021_cf02);
    }

    #[test]
    fn every_cell_is_inside_of_the_picture_and_large_enough() {
        for (width, height) in [
            (320, 180),
            (322, 180),
            (400, 300),
            (798, 180),
            (800, 180),
            (1280, 720),
            (1920, 1080),
            (3840, 2160),
            (720, 1280),
            (16384, 16384),
            (16384, 180),
        ] {
            let layout = Layout::of(width, height).unwrap_or_else(|| panic!("{width}x{height}"));
            assert!(layout.cell >= 16 && layout.y >= height as usize / 2 - 8, "{width}x{height} {layout:?}");
            for index in 0..CELLS {
                let Rect { x, y, width: cell_width, height: cell_height } = layout.cell(index);
                assert!(x + cell_width <= width as usize && y + cell_height <= height as usize);
            }
        }
    }

    #[test]
    fn pictures_without_a_code_read_as_none() {
        for luma in [0, 16, 30, 128, 220, 255] {
            assert_eq!(read(&vec![luma; 1280 * 720], 1280, 1280, 720), None, "{luma}");
        }
        assert_eq!(read(&[], 0, 1280, 720), None);
        assert_eq!(read(&[0; 100], usize::MAX, 1280, 720), None);
        assert_eq!(read(&[0; 100], 4, 0, 0), None);
        assert_eq!(read(&[0; 100], 4, u32::MAX, u32::MAX), None);
    }

    proptest! {
        #[test]
        fn every_stamp_comes_back_through_noise(
            number: u32, time_us in 0u64..1 << 44, width in 160u32..700, height in 90u32..400, swing in 0u8..80, seed: u64
        ) {
            let (width, height) = (width * 2, height * 2);
            let mut canvas = Canvas::new(width as usize, height as usize);
            let stamp = CardStamp { number: number.into(), time_us };
            let layout = Layout::of(width, height).unwrap();
            draw(&mut canvas, &layout, stamp);
            let mut luma = canvas.bytes()[..(width * height) as usize].to_vec();
            let mut state = seed;
            for byte in &mut luma {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let noise = (state >> 56) as i32 % (2 * i32::from(swing) + 1) - i32::from(swing);
                *byte = (i32::from(*byte) + noise).clamp(0, 255) as u8;
            }
            prop_assert_eq!(read(&luma, width as usize, width, height), Some(stamp));
            // One cell turned round is no other stamp, but none.
            let cell = layout.cell((seed % CELLS as u64) as usize);
            for row in cell.y..cell.y + cell.height {
                for byte in &mut luma[row * width as usize + cell.x..][..cell.width] {
                    *byte = 250 - (*byte).min(250);
                }
            }
            prop_assert_eq!(read(&luma, width as usize, width, height), None);
        }
    }
}
