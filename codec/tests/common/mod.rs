//! Pictures to code, and a seeded source of numbers.
#![allow(dead_code, clippy::unwrap_used)] // each test program uses a part of it

use punktfunk_codec::{I420, I420Buffer};

/// SplitMix64 (Steele, Lea, Flood 2014): small, seeded, good enough for test content.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// A gradient with a bar that moves with `number`.
pub(crate) fn moving(width: u32, height: u32, number: u32) -> I420Buffer {
    let mut picture = I420Buffer::new(width, height).unwrap();
    let (w, h) = (width as usize, height as usize);
    let (y, u, v) = picture.planes_mut();
    let bar = number as usize * 6 % w;
    for row in 0..h {
        for column in 0..w {
            let inside = (bar..bar + 24).contains(&column);
            y[row * w + column] = if inside { 220 } else { (16 + (row + column) * 180 / (w + h)) as u8 };
        }
    }
    for row in 0..h / 2 {
        for column in 0..w / 2 {
            u[row * (w / 2) + column] = (90 + row * 60 / h) as u8;
            v[row * (w / 2) + column] = (90 + column * 60 / w) as u8;
        }
    }
    picture
}

/// Noise on every pixel, other noise for every number: the hardest thing to code.
pub(crate) fn noise(width: u32, height: u32, number: u32) -> I420Buffer {
    let mut picture = I420Buffer::new(width, height).unwrap();
    let mut random = Random(u64::from(number));
    let (y, u, v) = picture.planes_mut();
    for plane in [y, u, v] {
        for bytes in plane.chunks_mut(8) {
            let noise = random.next().to_le_bytes();
            for (byte, noise) in bytes.iter_mut().zip(noise) {
                *byte = 16 + noise % 200;
            }
        }
    }
    picture
}

/// Peak signal-to-noise ratio of the luma planes in dB.
pub(crate) fn luma_psnr(a: &I420<'_>, b: &I420<'_>) -> f64 {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    let mut sum = 0_u64;
    for row in 0..a.height() as usize {
        let width = a.width() as usize;
        let (left, right) = (&a.y()[row * a.stride_y()..][..width], &b.y()[row * b.stride_y()..][..width]);
        sum += left.iter().zip(right).map(|(l, r)| u64::from(l.abs_diff(*r)).pow(2)).sum::<u64>();
    }
    let mean = sum as f64 / (f64::from(a.width()) * f64::from(a.height()));
    10.0 * (255.0 * 255.0 / mean.max(1e-9)).log10()
}
