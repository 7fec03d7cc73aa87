//! The bounds of this crate, each with its reason.

/// The longest side of a picture: 8192, the most that any of NVIDIA's decoders does for HEVC and AV1.
pub const SIDE_MAX: u32 = 8192;

/// Surfaces that pictures are decoded into: the most that NVDECODE takes. A small stream that says nothing of its references
/// is owed the 16 of its level, and what the parser holds besides.
pub const SURFACES_MAX: u8 = 32;

/// Pictures that may be lent at the same time: one that is copied or shown, and the next.
pub const FRAMES_MAX: u32 = 2;

/// Bytes of one access unit, as many as the software decoder takes: a picture without any compression, twice.
pub const AU_BYTES_MAX: usize = 32 << 20;

const _: () = assert!(SURFACES_MAX as u32 > FRAMES_MAX);
