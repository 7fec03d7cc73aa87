//! The matrix from colours to samples in whole numbers, as the shader multiplies by it.
//!
//! Promises: greys have no colour, and white and black are exact. Colours come in 16 bits, where the most is that of their own
//! bits moved up; a sample has 23 bits of fraction at 8 bits and 21 at 10, so that each sum stays in 32 bits.

use crate::format::{Colour, OutputFormat, Range};

/// Bits that the shader carries colours in.
const CARRIED_BITS: u32 = 16;

/// Red's, green's and blue's weight, and what is added.
pub(crate) type Row = [i32; 4];

/// Rows for Y, Cb and Cr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Weights {
    pub(crate) luma: Row,
    pub(crate) blue_chroma: Row,
    pub(crate) red_chroma: Row,
}

/// What samples are, of so many bits: that of black, of grey's chroma, and from black to white and from the least chroma
/// to the most (ITU-T H.273, 8.3, equations 20 to 25).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Levels {
    pub(crate) black: u32,
    pub(crate) grey: u32,
    pub(crate) luma: f64,
    pub(crate) chroma: f64,
}

impl Levels {
    pub(crate) fn of(range: Range, bits: u32) -> Self {
        let unit = 1_u32 << (bits - 8);
        let grey = 128 * unit;
        match range {
            Range::Limited => {
                Self { black: 16 * unit, grey, luma: f64::from(219 * unit), chroma: f64::from(224 * unit) }
            }
            Range::Full => {
                let most = f64::from((1_u32 << bits) - 1);
                Self { black: 0, grey, luma: most, chroma: most }
            }
        }
    }
}

impl Weights {
    /// For a source of so many bits a colour.
    pub(crate) fn new(colour: Colour, format: OutputFormat, source_bits: u32) -> Self {
        let fraction = if format.bits() == 8 { 23 } else { 21 };
        let most = f64::from(((1_u32 << source_bits) - 1) << (CARRIED_BITS - source_bits));
        let levels = Levels::of(colour.range, format.bits());
        let (red, blue) = colour.matrix.weights();
        let scale = f64::from(1_u32 << fraction) / most;
        let whole = |weight: f64| (weight * scale).round() as i32;
        // Above 31 bits in chroma's full range; the shader adds without a sign.
        let added = |level: u32| ((level << fraction) + (1 << (fraction - 1))).cast_signed();
        let total = whole(levels.luma);
        let (luma_red, luma_blue) = (whole(red * levels.luma), whole(blue * levels.luma));
        let half = whole(levels.chroma / 2.0);
        let blue_red = whole(-red / (1.0 - blue) / 2.0 * levels.chroma);
        let red_blue = whole(-blue / (1.0 - red) / 2.0 * levels.chroma);
        Self {
            luma: [luma_red, total - luma_red - luma_blue, luma_blue, added(levels.black)],
            blue_chroma: [blue_red, -blue_red - half, half, added(levels.grey)],
            red_chroma: [half, -half - red_blue, red_blue, added(levels.grey)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Matrix, Siting};

    #[test]
    fn black_white_and_the_purest_colours_stay_in_32_bits_and_are_exact() {
        for matrix in [Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020] {
            for range in [Range::Limited, Range::Full] {
                for (format, source_bits) in
                    OutputFormat::ALL.iter().flat_map(|format| [(*format, 8), (*format, 10)])
                {
                    let colour = Colour { matrix, range, siting: Siting::Left };
                    let weights = Weights::new(colour, format, source_bits);
                    let levels = Levels::of(range, format.bits());
                    let most = i64::from(((1_u32 << source_bits) - 1) << (16 - source_bits));
                    let fraction = if format.bits() == 8 { 23 } else { 21 };
                    let sum = |row: Row, rgb: [i64; 3]| {
                        let parts: i64 =
                            rgb.iter().zip(row).map(|(colour, weight)| colour * i64::from(weight)).sum();
                        // The parts are added up with a sign, the last one without.
                        assert!(i32::try_from(parts).is_ok(), "{colour:?} {format:?}");
                        let sum = parts + i64::from(row[3].cast_unsigned());
                        u32::try_from(sum).expect("in 32 bits, and above zero") >> fraction
                    };
                    let white = levels.black + levels.luma as u32;
                    assert_eq!(
                        (sum(weights.luma, [0; 3]), sum(weights.luma, [most; 3])),
                        (levels.black, white)
                    );
                    let ceiling = levels.grey + (levels.chroma / 2.0).ceil() as u32;
                    for (row, pure) in
                        [(weights.blue_chroma, [0, 0, most]), (weights.red_chroma, [most, 0, 0])]
                    {
                        for grey in [0, most / 3, most] {
                            assert_eq!(sum(row, [grey; 3]), levels.grey);
                        }
                        assert!(sum(row, pure).abs_diff(ceiling) <= 1, "{colour:?} {format:?}");
                        let opposite = pure.map(|colour| most - colour);
                        assert!(sum(row, opposite).abs_diff(2 * levels.grey - ceiling) <= 1);
                    }
                }
            }
        }
    }
}
