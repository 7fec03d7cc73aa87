//! Every bound of this crate, each with its reason.

/// Macroblocks of 16 × 16 pixels in one picture: H.264 level 5.2's bound (table A-1), and openh264's own.
pub const MACROBLOCKS_MAX: u32 = 36_864;

/// The longest side of a picture in pixels: level 5.2 allows √(8 × 36,864) = 543 macroblocks a side (A.3.1 f, g).
pub const SIDE_MAX: u32 = 543 * 16;

/// The shortest side of a picture in pixels: one macroblock; openh264 refuses less.
pub const SIDE_MIN: u32 = 16;

/// Slices of one picture: openh264 keeps at most 35 slice NAL units a layer (`MAX_SLICES_NUM_TMP`).
pub const SLICES_MAX: u16 = 35;

/// Bitrate in kbit/s that the encoder takes: below, not even skipped macroblocks fit.
pub const BITRATE_KBPS_MIN: u32 = 100;

/// Bitrate in kbit/s that the encoder takes: level 5.2's 240 Mbit/s (table A-1).
pub const BITRATE_KBPS_MAX: u32 = 240_000;

/// The least picture rate in millihertz: openh264's least.
pub const REFRESH_MHZ_MIN: u32 = 1_000;

/// The highest picture rate in millihertz: 480 Hz, the fastest displays sold.
pub const REFRESH_MHZ_MAX: u32 = 480_000;

/// The highest picture rate in millihertz that openh264's rate control reckons with (`MAX_FRAME_RATE`); at higher
/// ones its bitrate is scaled down to match.
pub const LIBRARY_RATE_MHZ_MAX: u32 = 60_000;

/// Bytes of one access unit handed to the decoder: a picture of 36,864 macroblocks without any compression is 14 MB;
/// PCM macroblocks and escapes add at most as much again.
pub const AU_BYTES_MAX: usize = 32 << 20;

/// Bytes of parameter sets that the decoder remembers: real ones have tens, the largest legal pair some thousand.
pub const PARAMETER_SETS_BYTES_MAX: usize = 8 << 10;

const _: () = assert!(MACROBLOCKS_MAX as usize * 384 * 2 <= AU_BYTES_MAX);
const _: () = assert!(BITRATE_KBPS_MAX as u64 * 1000 <= i32::MAX as u64);
const _: () = assert!(AU_BYTES_MAX <= i32::MAX as usize);

/// Bytes of one access unit of the verifiable bitstream: what the protocol allows at most.
pub const BITSTREAM_AU_BYTES_MAX: u64 = 64 << 20;

/// Payload rate in bit/s of the verifiable bitstream: ten times the fastest link in sight.
pub const BITSTREAM_RATE_BPS_MAX: u64 = 100_000_000_000;

/// Slices an access unit of the verifiable bitstream: more than any encoder makes (NVENC 32, openh264 35).
pub const BITSTREAM_SLICES_MAX: u16 = 64;

/// Size of the verifiable bitstream's large access units, in ordinary ones.
pub const BITSTREAM_IDR_TIMES_MAX: u32 = 100;

/// Milliseconds between the verifiable bitstream's large access units: a minute.
pub const BITSTREAM_IDR_PERIOD_MS_MAX: u32 = 60_000;

const _: () = assert!(BITSTREAM_AU_BYTES_MAX <= u32::MAX as u64);
