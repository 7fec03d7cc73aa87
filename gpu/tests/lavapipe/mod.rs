//! What the tests share: Vulkan on the CPU, and nothing beside it.

#![allow(dead_code, reason = "each program of tests takes what it needs")]

use std::path::PathBuf;
use std::sync::Once;

use punktfunk_gpu::format::Order;
use punktfunk_gpu::{Choice, Device};

/// Where drivers are told of.
const MANIFESTS: &str = "/usr/share/vulkan/icd.d";

/// Makes lavapipe the only driver that the loader finds.
///
/// # Panics
/// Where it is not installed: Debian's package is mesa-vulkan-drivers.
pub fn only() {
    static ONLY: Once = Once::new();
    ONLY.call_once(|| {
        let manifest = std::fs::read_dir(MANIFESTS)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("lvp_icd")));
        let manifest: PathBuf = manifest.expect("lavapipe is installed (mesa-vulkan-drivers)");
        for name in ["VK_ICD_FILENAMES", "VK_DRIVER_FILES"] {
            // SAFETY: the loader, the one reader of these in this program, is not started before this returns.
            unsafe { std::env::set_var(name, &manifest) };
        }
    });
}

/// lavapipe's device.
///
/// # Panics
/// Where it cannot be opened.
pub fn device() -> Device {
    only();
    Device::open(&Choice::Software).expect("lavapipe opens")
}

/// A picture of noise, edges and flat parts, one word a pixel; the same for the same seed.
pub fn words(order: Order, width: u32, height: u32, seed: u64) -> Vec<u32> {
    let mut state = seed | 1;
    let mut next = move || {
        // Marsaglia's xorshift, 13, 7, 17.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u32
    };
    let bits = order.bits();
    let flat = next();
    let pixel = |x: u32, y: u32, noise: u32| match (x / 7 + y / 5) % 4 {
        0 => noise,
        1 => flat,
        2 => {
            if (x ^ y) & 1 == 0 {
                u32::MAX
            } else {
                0
            }
        }
        _ => x.wrapping_mul(0x0001_0203) ^ y << bits,
    };
    (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| pixel(x, y, next())).collect()
}

/// Pixels as bytes, their rows `stride` bytes apart, with something else between them.
pub fn bytes(words: &[u32], width: u32, stride: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for row in words.chunks(width as usize) {
        let end = bytes.len() + stride;
        bytes.extend(row.iter().flat_map(|word| word.to_le_bytes()));
        bytes.resize(end, 0x5a);
    }
    bytes
}
