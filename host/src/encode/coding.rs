//! How a session's pictures are coded: the codec, the depth and the chroma; and the same in the words of those who make
//! them.
//!
//! Promises: an encoder's input, its session and what is said of it come from the one value. Refuses nothing: who can
//! make it is for [`super::able`] to say.

use std::fmt;

use punktfunk_capture::Mode;
use punktfunk_control::{Chroma, Codec, Depth};
use punktfunk_gpu::format::OutputFormat;
use punktfunk_nvenc::{Config, Format, Rate};

/// The largest mode that a session can change to without a new one: 4K, where it does not begin larger.
const LIVE_SIDES: (u32, u32) = (3840, 2160);

/// How pictures are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coding {
    /// The bitstream's kind.
    pub codec: Codec,
    /// Bits of a sample.
    pub depth: Depth,
    /// How many samples of colour there are.
    pub chroma: Chroma,
}

impl Coding {
    /// Eight bits in 4:2:0.
    pub const fn usual(codec: Codec) -> Self {
        Self { codec, depth: Depth::Eight, chroma: Chroma::Yuv420 }
    }

    /// Whether it is eight bits in 4:2:0.
    pub fn is_usual(self) -> bool {
        self == Self::usual(self.codec)
    }

    /// What pictures are made before they are encoded.
    pub fn output(self) -> OutputFormat {
        match (self.chroma, self.depth) {
            (Chroma::Yuv420, Depth::Eight) => OutputFormat::Nv12,
            (Chroma::Yuv420, Depth::Ten) => OutputFormat::P010,
            (Chroma::Yuv444, Depth::Eight) => OutputFormat::Yuv444,
            (Chroma::Yuv444, Depth::Ten) => OutputFormat::Yuv444p10,
        }
    }

    /// The same as NVENC names it.
    pub fn input(self) -> Format {
        match (self.chroma, self.depth) {
            (Chroma::Yuv420, Depth::Eight) => Format::Nv12,
            (Chroma::Yuv420, Depth::Ten) => Format::P010,
            (Chroma::Yuv444, Depth::Eight) => Format::Yuv444,
            (Chroma::Yuv444, Depth::Ten) => Format::Yuv444Ten,
        }
    }

    /// What a session of NVENC's is asked for; none of what no encoder makes.
    pub fn config(self, mode: Mode, kbps: u32, slices: u16) -> Option<Config> {
        let (width, height) = (mode.width(), mode.height());
        Some(Config {
            format: self.input(),
            width_max: width.max(LIVE_SIDES.0),
            height_max: height.max(LIVE_SIDES.1),
            slices: slices.into(),
            ..Config::new(named(self.codec)?, width, height, rate(mode.refresh_mhz()), kbps)
        })
    }
}

impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}, {}", self.codec, self.depth, self.chroma)
    }
}

/// NVENC's name of a codec; none for what no encoder makes.
pub fn named(codec: Codec) -> Option<punktfunk_nvenc::Codec> {
    match codec {
        Codec::H264 => Some(punktfunk_nvenc::Codec::H264),
        Codec::Hevc => Some(punktfunk_nvenc::Codec::Hevc),
        Codec::Av1 => Some(punktfunk_nvenc::Codec::Av1),
        Codec::Pattern => None,
    }
}

/// Pictures a second.
pub fn rate(refresh_mhz: u32) -> Rate {
    Rate { pictures: refresh_mhz, seconds: 1000 }
}

/// What a client wants its pictures coded as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodingWish {
    /// What it decodes, best first.
    pub codecs: Vec<Codec>,
    /// Bits of a sample, no more and no less.
    pub depth: Depth,
    /// How many samples of colour there are.
    pub chroma: Chroma,
}

impl CodingWish {
    /// This coding and no other.
    pub fn only(coding: Coding) -> Self {
        Self { codecs: vec![coding.codec], depth: coding.depth, chroma: coding.chroma }
    }

    /// Each that would do, best first.
    pub fn codings(&self) -> impl Iterator<Item = Coding> + '_ {
        self.codecs.iter().map(|codec| self.by(*codec))
    }

    /// The same by another codec.
    pub fn by(&self, codec: Codec) -> Coding {
        Coding { codec, depth: self.depth, chroma: self.chroma }
    }
}

/// A wire's rate, of which an encoder has what headers and parity leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireRate {
    /// All of it, in kbit/s.
    pub kbps: u32,
    /// Parity for each thousand data shards.
    pub redundancy_per_mille: u16,
    /// Bytes of a shard.
    pub shard_bytes: u16,
}

impl WireRate {
    /// What an encoder begins with, in kbit/s.
    pub fn payload_kbps(self) -> u32 {
        super::payload_kbps(self.kbps, self.redundancy_per_mille, self.shard_bytes)
    }

    /// The wire's rate that carries so much of an encoder's.
    pub fn carrying(self, payload_kbps: u32) -> u32 {
        let shard = u64::from(self.shard_bytes);
        let datagram = shard + punktfunk_proto::DATAGRAM_OVERHEAD as u64;
        let parity = 1000 + u64::from(self.redundancy_per_mille);
        let wire = u64::from(payload_kbps) * datagram * parity / 1000 / shard.max(1);
        u32::try_from(wire).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_output_and_words_are_of_one_coding() {
        let of = |depth, chroma| Coding { codec: Codec::Hevc, depth, chroma };
        for (coding, input, output, said) in [
            (of(Depth::Eight, Chroma::Yuv420), Format::Nv12, OutputFormat::Nv12, "HEVC, 8 bits, 4:2:0"),
            (of(Depth::Ten, Chroma::Yuv420), Format::P010, OutputFormat::P010, "HEVC, 10 bits, 4:2:0"),
            (of(Depth::Eight, Chroma::Yuv444), Format::Yuv444, OutputFormat::Yuv444, "HEVC, 8 bits, 4:4:4"),
            (
                of(Depth::Ten, Chroma::Yuv444),
                Format::Yuv444Ten,
                OutputFormat::Yuv444p10,
                "HEVC, 10 bits, 4:4:4",
            ),
        ] {
            assert_eq!((coding.input(), coding.output()), (input, output));
            assert_eq!(coding.to_string(), said);
            // The converter writes what the encoder reads: as many bytes a sample, and as many samples.
            assert_eq!(input.is_ten_bits(), output.bits() == 10);
            assert_eq!(input.is_full_chroma(), !output.is_420());
            let config = coding.config("5120x2880@60".parse().unwrap(), 20_000, 4).expect("pictures");
            assert_eq!((config.format, config.width_max, config.height_max), (input, 5120, 2880));
        }
        assert_eq!(Coding::usual(Codec::Pattern).config("64x64@60".parse().unwrap(), 1, 1), None);
    }

    #[test]
    fn a_rate_and_what_carries_it_go_together() {
        let wire = WireRate { kbps: 20_000, redundancy_per_mille: 100, shard_bytes: 1152 };
        // 40 bytes of each datagram are headers, an eleventh is parity.
        assert_eq!(wire.payload_kbps(), 17_571);
        assert!((19_990..=20_000).contains(&wire.carrying(wire.payload_kbps())));
    }
}
