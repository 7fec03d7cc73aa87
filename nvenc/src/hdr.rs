//! HDR10's metadata, as bytes: the mastering display's colour volume and the content's light levels.
//!
//! H.264 and HEVC have SEI messages of one form (HEVC D.2.28 and D.2.35; types 137 and 144), AV1 has metadata OBUs with
//! units of its own (AV1 6.7.3 and 6.7.4; types 2 and 1).
//!
//! They are handed to the driver as payloads, which 12.1 and 13.0 both write as they are; 13.0's own fields for them are used
//! where payloads are not: in AV1.

use crate::sys::{CHROMA_POINTS, CONTENT_LIGHT_LEVEL, MASTERING_DISPLAY_INFO};

/// A colour's place, each coordinate in units of 0.00002.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Chromaticity {
    /// x.
    pub x: u16,
    /// y.
    pub y: u16,
}

/// The mastering display and the light levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hdr {
    /// Of the display.
    pub red: Chromaticity,
    /// Of the display.
    pub green: Chromaticity,
    /// Of the display.
    pub blue: Chromaticity,
    /// Of the display.
    pub white: Chromaticity,
    /// The display's brightest, in 0.0001 cd/m².
    pub luminance_max: u32,
    /// The display's darkest, in 0.0001 cd/m².
    pub luminance_min: u32,
    /// The brightest pixel, in cd/m²; 0 where unknown.
    pub light_max: u16,
    /// The brightest picture's average, in cd/m²; 0 where unknown.
    pub light_average_max: u16,
}

/// SEI payload type of the mastering display's colour volume.
pub const SEI_MASTERING_DISPLAY: u32 = 137;
/// SEI payload type of the content's light levels.
pub const SEI_LIGHT_LEVEL: u32 = 144;
/// AV1's metadata type of the mastering display's colour volume.
pub const OBU_MASTERING_DISPLAY: u32 = 2;
/// AV1's metadata type of the content's light levels.
pub const OBU_LIGHT_LEVEL: u32 = 1;

impl Hdr {
    /// The SEI message of the display: green, blue, red.
    #[must_use]
    pub fn mastering_sei(&self) -> [u8; 24] {
        let points = [self.green, self.blue, self.red, self.white];
        volume(points, self.luminance_max, self.luminance_min)
    }

    /// The OBU of the display: red, green, blue, in 1/65536; the brightest in 1/256 cd/m², the darkest in 1/16384.
    #[must_use]
    pub fn mastering_obu(&self) -> [u8; 24] {
        let points = [self.red, self.green, self.blue, self.white].map(fraction);
        volume(points, self.luminance_max_256(), self.luminance_min_16384())
    }

    /// The light levels, in either form.
    #[must_use]
    pub fn light_levels(&self) -> [u8; 4] {
        let ([a, b], [c, d]) = (self.light_max.to_be_bytes(), self.light_average_max.to_be_bytes());
        [a, b, c, d]
    }

    /// 13.0's structure of the display, in AV1's units.
    pub(crate) fn mastering_of_av1(&self) -> MASTERING_DISPLAY_INFO {
        let point = |at| {
            let Chromaticity { x, y } = fraction(at);
            CHROMA_POINTS { x, y }
        };
        MASTERING_DISPLAY_INFO {
            g: point(self.green),
            b: point(self.blue),
            r: point(self.red),
            whitePoint: point(self.white),
            maxLuma: self.luminance_max_256(),
            minLuma: self.luminance_min_16384(),
        }
    }

    /// 13.0's structure of the light levels.
    pub(crate) fn light_of_av1(&self) -> CONTENT_LIGHT_LEVEL {
        CONTENT_LIGHT_LEVEL {
            maxContentLightLevel: self.light_max,
            maxPicAverageLightLevel: self.light_average_max,
        }
    }

    fn luminance_max_256(&self) -> u32 {
        scaled(self.luminance_max, 256, 10_000)
    }

    fn luminance_min_16384(&self) -> u32 {
        scaled(self.luminance_min, 16_384, 10_000)
    }
}

/// From 0.00002 to 1/65536.
fn fraction(at: Chromaticity) -> Chromaticity {
    let scale = |value: u16| u16::try_from(scaled(value.into(), 65_536, 50_000)).unwrap_or(u16::MAX);
    Chromaticity { x: scale(at.x), y: scale(at.y) }
}

/// `value · to / from`, rounded, at most what fits.
fn scaled(value: u32, to: u64, from: u64) -> u32 {
    u32::try_from((u64::from(value) * to + from / 2) / from).unwrap_or(u32::MAX)
}

/// Four points and two luminances, the high byte first.
fn volume(points: [Chromaticity; 4], max: u32, min: u32) -> [u8; 24] {
    let mut bytes = [0; 24];
    for (place, point) in bytes.chunks_exact_mut(4).zip(points) {
        place[..2].copy_from_slice(&point.x.to_be_bytes());
        place[2..].copy_from_slice(&point.y.to_be_bytes());
    }
    bytes[16..20].copy_from_slice(&max.to_be_bytes());
    bytes[20..].copy_from_slice(&min.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BT.2020 primaries, D65, 1000 cd/m² down to 0.005: what most displays of HDR10 are mastered on.
    fn usual() -> Hdr {
        Hdr {
            red: Chromaticity { x: 35_400, y: 14_600 },
            green: Chromaticity { x: 8_500, y: 39_850 },
            blue: Chromaticity { x: 6_550, y: 2_300 },
            white: Chromaticity { x: 15_635, y: 16_450 },
            luminance_max: 10_000_000,
            luminance_min: 50,
            light_max: 1000,
            light_average_max: 400,
        }
    }

    #[test]
    fn the_sei_is_as_the_standard_has_it() {
        let expected = [
            0x21, 0x34, 0x9b, 0xaa, // green: 0.170, 0.797
            0x19, 0x96, 0x08, 0xfc, // blue: 0.131, 0.046
            0x8a, 0x48, 0x39, 0x08, // red: 0.708, 0.292
            0x3d, 0x13, 0x40, 0x42, // white: 0.3127, 0.3290
            0x00, 0x98, 0x96, 0x80, 0x00, 0x00, 0x00, 0x32,
        ];
        assert_eq!(usual().mastering_sei(), expected);
        assert_eq!(usual().light_levels(), [0x03, 0xe8, 0x01, 0x90]);
    }

    #[test]
    fn the_obu_has_units_and_an_order_of_its_own() {
        let bytes = usual().mastering_obu();
        assert_eq!(&bytes[..4], &[0xb5, 0x3f, 0x4a, 0xc1], "red first: 0.708 and 0.292 of 65536");
        assert_eq!(&bytes[16..20], &[0, 3, 0xe8, 0], "1000 cd/m² in 1/256");
        assert_eq!(&bytes[20..], &[0, 0, 0, 82], "0.005 cd/m² in 1/16384");
        let fields = usual().mastering_of_av1();
        assert_eq!((fields.r.x, fields.maxLuma, fields.minLuma), (0xb53f, 256_000, 82));
    }

    #[test]
    fn the_extremes_fit() {
        let point = Chromaticity { x: u16::MAX, y: u16::MAX };
        let hdr = Hdr { red: point, luminance_max: u32::MAX, luminance_min: u32::MAX, ..usual() };
        let bytes = hdr.mastering_obu();
        assert_eq!(&bytes[..4], &[0xff; 4]);
        assert_eq!(&bytes[20..], &[0xff; 4]);
    }
}
