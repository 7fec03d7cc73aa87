//! Colour conversion between packed RGB and I420: BT.709, limited range (ITU-R BT.709-6 items 3.2 to 3.5; 8 bits).
//!
//! Promised: every byte is within one of the exact, real-valued result, chroma being the mean of its four pixels.
//! Refused: sources that are too short, and sides that differ.

use crate::{CodecError, I420, I420Buffer};

/// Converts `width` × `height` pixels of `B G R x` bytes, `stride` bytes a row, into `out` (same sides).
///
/// # Errors
/// [`CodecError::Plane`] when `src` or `stride` is too short, [`CodecError::SizeChanged`] when `out` has other sides.
pub fn bgrx_to_i420(
    src: &[u8],
    stride: usize,
    width: u32,
    height: u32,
    out: &mut I420Buffer,
) -> Result<(), CodecError> {
    let (expected, came) = ((out.width(), out.height()), (width, height));
    if expected != came {
        return Err(CodecError::SizeChanged { expected, came });
    }
    let row_bytes = width as usize * 4;
    let needed = stride.saturating_mul(height as usize - 1).saturating_add(row_bytes);
    if stride < row_bytes || src.len() < needed {
        return Err(CodecError::Plane { plane: "BGRx", stride, bytes: src.len(), expected: needed });
    }
    let (y, u, v) = out.planes_mut();
    let (columns, chroma) = (width as usize, width as usize / 2);
    for (pair, y) in y.chunks_exact_mut(2 * columns).enumerate() {
        let upper = &src[2 * pair * stride..][..row_bytes];
        let lower = &src[(2 * pair + 1) * stride..][..row_bytes];
        let (y_upper, y_lower) = y.split_at_mut(columns);
        luma_row(upper, y_upper);
        luma_row(lower, y_lower);
        let place = pair * chroma..(pair + 1) * chroma;
        chroma_row(upper, lower, &mut u[place.clone()], &mut v[place]);
    }
    Ok(())
}

/// Converts a picture to packed `R G B` bytes; `out` is resized to `width × height × 3`.
pub fn i420_to_rgb(picture: &I420<'_>, out: &mut Vec<u8>) {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    out.clear();
    out.reserve(width * height * 3);
    for row in 0..height {
        let y = &picture.y()[row * picture.stride_y()..][..width];
        let chroma = row / 2 * picture.stride_uv();
        let (u, v) = (&picture.u()[chroma..][..width / 2], &picture.v()[chroma..][..width / 2]);
        for (pixels, (u, v)) in y.chunks_exact(2).zip(u.iter().zip(v)) {
            for &y in pixels {
                out.extend_from_slice(&rgb(y, *u, *v));
            }
        }
    }
}

/// Weights of R, G and B in Y in 256ths: 219/255 × 256 × (0.2126, 0.7152, 0.0722), rounded. They are small enough for
/// the sum to stay in 16 bits, and their error is below 0.4.
const LUMA: [u32; 3] = [47, 157, 16];

/// Weights of R, G and B in Cb and Cr in 65,536ths: 224/255 × 65,536 × (−0.2126, −0.7152, 0.9278) ÷ 1.8556, and the
/// same of (0.7874, −0.7152, −0.0722) ÷ 1.5748, rounded so that grey comes out without colour.
const CB: [i32; 3] = [-6_596, -22_189, 28_785];
const CR: [i32; 3] = [28_785, -26_145, -2_640];

const _: () = assert!(CB[0] + CB[1] + CB[2] == 0 && CR[0] + CR[1] + CR[2] == 0);

fn luma_row(bgrx: &[u8], y: &mut [u8]) {
    let (pixels, _) = bgrx.as_chunks::<4>();
    for (y, pixel) in y.iter_mut().zip(pixels) {
        let pixel = u32::from_le_bytes(*pixel);
        let (b, g, r) = (pixel & 0xff, pixel >> 8 & 0xff, pixel >> 16 & 0xff);
        *y = ((LUMA[0] * r + LUMA[1] * g + LUMA[2] * b + (16 << 8) + 128) >> 8) as u8;
    }
}

fn chroma_row(upper: &[u8], lower: &[u8], u: &mut [u8], v: &mut [u8]) {
    let (upper, _) = upper.as_chunks::<8>();
    let (lower, _) = lower.as_chunks::<8>();
    for ((u, v), (upper, lower)) in u.iter_mut().zip(v).zip(upper.iter().zip(lower)) {
        let (upper, lower) = (u64::from_le_bytes(*upper), u64::from_le_bytes(*lower));
        // Every other byte of two pixels in 16 bits each: blue and red, then green and the unused.
        let even = (upper & 0x00ff_00ff_00ff_00ff) + (lower & 0x00ff_00ff_00ff_00ff);
        let odd = (upper >> 8 & 0x00ff_00ff_00ff_00ff) + (lower >> 8 & 0x00ff_00ff_00ff_00ff);
        let (even, odd) = (even + (even >> 32), odd + (odd >> 32));
        let (b, g, r) = ((even & 0xffff) as i32, (odd & 0xffff) as i32, (even >> 16 & 0xffff) as i32);
        // Sums of four pixels: two bits more than one.
        let scaled = |weights: [i32; 3]| {
            (weights[0] * r + weights[1] * g + weights[2] * b + (128 << 18) + (1 << 17)) >> 18
        };
        *u = scaled(CB) as u8;
        *v = scaled(CR) as u8;
    }
}

/// One pixel, in 65,536ths.
fn rgb(y: u8, u: u8, v: u8) -> [u8; 3] {
    let luma = (i32::from(y) - 16) * 76_309;
    let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
    let byte = |value: i32| ((value + (1 << 15)) >> 16).clamp(0, 255) as u8;
    [byte(luma + 117_489 * v), byte(luma - 13_975 * u - 34_925 * v), byte(luma + 138_438 * u)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, in real numbers: Y, Cb and Cr in limited range of colours from 0 to 255.
    fn exact(r: f64, g: f64, b: f64) -> [f64; 3] {
        let y = 0.2126 * r + 0.7152 * g + 0.0722 * b;
        let (cb, cr) = ((b - y) / 1.8556, (r - y) / 1.5748);
        [16.0 + 219.0 / 255.0 * y, 128.0 + 224.0 / 255.0 * cb, 128.0 + 224.0 / 255.0 * cr]
    }

    /// The largest distance of any byte from the definition.
    fn worst(src: &[u8], stride: usize, out: &I420Buffer) -> f64 {
        let (width, height) = (out.width() as usize, out.height() as usize);
        let planes = out.as_i420();
        let pixel = |x: usize, y: usize| {
            let at = &src[y * stride + 4 * x..][..3];
            [f64::from(at[2]), f64::from(at[1]), f64::from(at[0])]
        };
        let mut worst: f64 = 0.0;
        for y in 0..height {
            for x in 0..width {
                let [r, g, b] = pixel(x, y);
                worst = worst.max((f64::from(planes.y()[y * width + x]) - exact(r, g, b)[0]).abs());
            }
        }
        for y in (0..height).step_by(2) {
            for x in (0..width).step_by(2) {
                let four = [pixel(x, y), pixel(x + 1, y), pixel(x, y + 1), pixel(x + 1, y + 1)];
                let mean: [f64; 3] =
                    std::array::from_fn(|channel| four.iter().map(|p| p[channel]).sum::<f64>() / 4.0);
                let [_, cb, cr] = exact(mean[0], mean[1], mean[2]);
                let at = y / 2 * (width / 2) + x / 2;
                worst = worst.max((f64::from(planes.u()[at]) - cb).abs());
                worst = worst.max((f64::from(planes.v()[at]) - cr).abs());
            }
        }
        worst
    }

    #[test]
    fn the_corners_of_the_colour_cube() {
        let levels = [0_u8, 1, 127, 128, 254, 255];
        for b in levels {
            for g in levels {
                for r in levels {
                    let src = [b, g, r, 0xaa].repeat(4);
                    let mut out = I420Buffer::new(2, 2).unwrap();
                    bgrx_to_i420(&src, 8, 2, 2, &mut out).unwrap();
                    assert!(worst(&src, 8, &out) < 1.0, "{r} {g} {b}");
                    if r == g && g == b {
                        assert_eq!((out.as_i420().u()[0], out.as_i420().v()[0]), (128, 128), "grey {r}");
                    }
                    let mut back = Vec::new();
                    i420_to_rgb(&out.as_i420(), &mut back);
                    for (came, went) in back[..3].iter().zip([r, g, b]) {
                        assert!(came.abs_diff(went) <= 3, "{back:?} of {r} {g} {b}");
                    }
                }
            }
        }
    }

    #[test]
    fn sources_that_do_not_fit_are_errors() {
        let mut out = I420Buffer::new(16, 4).unwrap();
        let src = vec![0; 64 * 4];
        assert!(bgrx_to_i420(&src, 64, 16, 4, &mut out).is_ok());
        assert!(matches!(bgrx_to_i420(&src, 63, 16, 4, &mut out), Err(CodecError::Plane { .. })));
        assert!(matches!(bgrx_to_i420(&src[1..], 64, 16, 4, &mut out), Err(CodecError::Plane { .. })));
        assert!(matches!(bgrx_to_i420(&src, usize::MAX, 16, 4, &mut out), Err(CodecError::Plane { .. })));
        assert!(matches!(bgrx_to_i420(&src, 64, 16, 2, &mut out), Err(CodecError::SizeChanged { .. })));
    }

    proptest! {
        #[test]
        fn the_kernel_is_within_one_of_its_real_twin(
            width in 1u32..40, height in 1u32..8, pad in 0usize..9, seed in prop::collection::vec(any::<u8>(), 64..256)
        ) {
            let (width, height) = (width * 2, height * 2);
            let stride = width as usize * 4 + pad;
            let src: Vec<u8> = seed.iter().copied().cycle().take(stride * height as usize).collect();
            let mut out = I420Buffer::new(width, height).unwrap();
            bgrx_to_i420(&src, stride, width, height, &mut out).unwrap();
            let worst = worst(&src, stride, &out);
            prop_assert!(worst < 1.0, "{}", worst);
        }
    }
}
