//! Pixel formats that a dmabuf can have, by both their names: PipeWire's and DRM's.
//!
//! Promises: the two mean the same bytes (`spa/param/video/raw.h`, `drm_fourcc.h`), and how many of them a row of each
//! plane has at the least. Refuses nothing: what is not in the table is neither asked for nor agreed on.

use pipewire::spa::sys;

/// A format.
#[derive(Debug)]
pub(super) struct Format {
    /// PipeWire's number.
    pub(super) spa: u32,
    /// DRM's.
    pub(super) fourcc: u32,
    /// PipeWire's name.
    pub(super) name: &'static str,
    /// The planes that its pixels need; a modifier may add some of its own.
    pub(super) planes: &'static [Plane],
}

/// How a plane's samples lie beside the picture's pixels.
#[derive(Debug)]
pub(super) struct Plane {
    /// Pixels that share a sample, across and down.
    pixels: (u32, u32),
    sample_bytes: u32,
}

impl Plane {
    const fn new(pixels: (u32, u32), sample_bytes: u32) -> Self {
        Self { pixels, sample_bytes }
    }

    /// Bytes of a row's samples.
    pub(super) fn row_bytes(&self, width: u32) -> u32 {
        width.div_ceil(self.pixels.0) * self.sample_bytes
    }

    pub(super) fn rows(&self, height: u32) -> u32 {
        height.div_ceil(self.pixels.1)
    }
}

const PACKED: &[Plane] = &[Plane::new((1, 1), 4)];
const NV12: &[Plane] = &[Plane::new((1, 1), 1), Plane::new((2, 2), 2)];
const P010: &[Plane] = &[Plane::new((1, 1), 2), Plane::new((2, 2), 4)];

const fn packed(spa: u32, letters: [u8; 4], name: &'static str) -> Format {
    Format { spa, fourcc: u32::from_le_bytes(letters), name, planes: PACKED }
}

/// DRM names a pixel as a little-endian word, its highest byte first; PipeWire names the 8-bit ones by their bytes in
/// memory, and the 10-bit ones as DRM does.
static KNOWN: [Format; 10] = [
    packed(sys::SPA_VIDEO_FORMAT_BGRx, *b"XR24", "BGRx"),
    packed(sys::SPA_VIDEO_FORMAT_BGRA, *b"AR24", "BGRA"),
    packed(sys::SPA_VIDEO_FORMAT_RGBx, *b"XB24", "RGBx"),
    packed(sys::SPA_VIDEO_FORMAT_RGBA, *b"AB24", "RGBA"),
    packed(sys::SPA_VIDEO_FORMAT_xRGB_210LE, *b"XR30", "xRGB_210LE"),
    packed(sys::SPA_VIDEO_FORMAT_ARGB_210LE, *b"AR30", "ARGB_210LE"),
    packed(sys::SPA_VIDEO_FORMAT_xBGR_210LE, *b"XB30", "xBGR_210LE"),
    packed(sys::SPA_VIDEO_FORMAT_ABGR_210LE, *b"AB30", "ABGR_210LE"),
    Format {
        spa: sys::SPA_VIDEO_FORMAT_NV12,
        fourcc: u32::from_le_bytes(*b"NV12"),
        name: "NV12",
        planes: NV12,
    },
    Format {
        spa: sys::SPA_VIDEO_FORMAT_P010_10LE,
        fourcc: u32::from_le_bytes(*b"P010"),
        name: "P010_10LE",
        planes: P010,
    },
];

/// The format that DRM calls so.
pub(super) fn by_fourcc(fourcc: u32) -> Option<&'static Format> {
    KNOWN.iter().find(|format| format.fourcc == fourcc)
}

/// The format that PipeWire calls so.
pub(super) fn by_spa(spa: u32) -> Option<&'static Format> {
    KNOWN.iter().find(|format| format.spa == spa)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_one_entry_and_rows_as_long_as_its_samples() {
        for format in &KNOWN {
            assert_eq!(by_fourcc(format.fourcc).unwrap().spa, format.spa);
            assert_eq!(by_spa(format.spa).unwrap().fourcc, format.fourcc);
        }
        let rows = |letters: &[u8; 4], width, height| -> Vec<(u32, u32)> {
            let format = by_fourcc(u32::from_le_bytes(*letters)).unwrap();
            format.planes.iter().map(|plane| (plane.row_bytes(width), plane.rows(height))).collect()
        };
        assert_eq!(rows(b"XR24", 641, 481), [(2564, 481)]);
        assert_eq!(rows(b"NV12", 641, 481), [(641, 481), (642, 241)]);
        assert_eq!(rows(b"P010", 640, 480), [(1280, 480), (1280, 240)]);
        assert!(by_fourcc(0).is_none() && by_spa(0).is_none());
    }
}
