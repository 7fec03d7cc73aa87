//! What a stream is coded as, and what of that is asked for.
//!
//! Promises: what is asked for by name is offered alone. Refuses words that name nothing.

use std::fmt;
use std::str::FromStr;

use punktfunk_control::{Chroma, Codec, Depth};

/// What a stream is coded as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamKind {
    /// The bitstream's kind.
    pub codec: Codec,
    /// Bits of a sample.
    pub depth: Depth,
    /// How many samples of colour there are.
    pub chroma: Chroma,
}

impl StreamKind {
    /// Eight bits in 4:2:0.
    pub const fn usual(codec: Codec) -> Self {
        Self { codec, depth: Depth::Eight, chroma: Chroma::Yuv420 }
    }

    /// Whether it is eight bits in 4:2:0.
    pub fn is_usual(self) -> bool {
        self == Self::usual(self.codec)
    }

    /// Whether openh264 decodes it.
    pub fn is_software(self) -> bool {
        self == Self::usual(Codec::H264)
    }

    /// Each that there is, of pictures.
    pub fn all() -> impl Iterator<Item = Self> {
        let colours = || {
            let both = [Depth::Eight, Depth::Ten].into_iter();
            both.flat_map(|depth| [Chroma::Yuv420, Chroma::Yuv444].map(|chroma| (depth, chroma)))
        };
        PICTURES
            .into_iter()
            .flat_map(move |codec| colours().map(move |(depth, chroma)| Self { codec, depth, chroma }))
    }
}

impl fmt::Display for StreamKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}, {}", self.codec, self.depth, self.chroma)
    }
}

/// Codecs of pictures, best first: what can go on in software, and be recorded, is best.
const PICTURES: [Codec; 3] = [Codec::H264, Codec::Hevc, Codec::Av1];

/// Which codec is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CodecChoice {
    /// The host's choice of those that are decoded here; H.264 first.
    #[default]
    Auto,
    /// This one and no other.
    Only(Codec),
}

impl CodecChoice {
    /// What it leaves, best first.
    pub fn codecs(self) -> Vec<Codec> {
        match self {
            Self::Auto => PICTURES.to_vec(),
            Self::Only(codec) => vec![codec],
        }
    }
}

impl FromStr for CodecChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "h264" => Ok(Self::Only(Codec::H264)),
            "hevc" => Ok(Self::Only(Codec::Hevc)),
            "av1" => Ok(Self::Only(Codec::Av1)),
            _ => Err("a codec is auto, h264, hevc or av1".to_owned()),
        }
    }
}

/// Reads a depth.
///
/// # Errors
/// It is none.
pub fn depth(text: &str) -> Result<Depth, String> {
    text.parse().ok().and_then(Depth::of_number).ok_or_else(|| "a depth is 8 or 10 bits".to_owned())
}

/// Reads a chroma.
///
/// # Errors
/// It is none.
pub fn chroma(text: &str) -> Result<Chroma, String> {
    text.parse().ok().and_then(Chroma::of_number).ok_or_else(|| "chroma is 420 or 444".to_owned())
}

/// What is asked for of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamWish {
    /// Which codec.
    pub codec: CodecChoice,
    /// Bits of a sample.
    pub depth: Depth,
    /// How many samples of colour there are.
    pub chroma: Chroma,
}

impl StreamWish {
    /// Each that would do, best first.
    pub fn kinds(self) -> impl Iterator<Item = StreamKind> {
        let Self { codec, depth, chroma } = self;
        codec.codecs().into_iter().map(move |codec| StreamKind { codec, depth, chroma })
    }
}

impl fmt::Display for StreamWish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.codec {
            CodecChoice::Auto => write!(f, "{}, {}", self.depth, self.chroma),
            CodecChoice::Only(codec) => write!(f, "{codec}, {}, {}", self.depth, self.chroma),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_and_others_refused() {
        for (text, choice) in [
            ("auto", CodecChoice::Auto),
            ("h264", CodecChoice::Only(Codec::H264)),
            ("hevc", CodecChoice::Only(Codec::Hevc)),
            ("av1", CodecChoice::Only(Codec::Av1)),
        ] {
            assert_eq!(text.parse(), Ok(choice));
        }
        for wrong in ["", "HEVC", "h265", "pattern"] {
            assert!(wrong.parse::<CodecChoice>().is_err(), "{wrong}");
        }
        assert_eq!((depth("8"), depth("10")), (Ok(Depth::Eight), Ok(Depth::Ten)));
        assert_eq!((chroma("420"), chroma("444")), (Ok(Chroma::Yuv420), Ok(Chroma::Yuv444)));
        assert!(
            depth("12").is_err() && depth("ten").is_err() && chroma("422").is_err() && chroma("-1").is_err()
        );
    }

    #[test]
    fn all_kinds_are_different() {
        let all: Vec<StreamKind> = StreamKind::all().collect();
        assert_eq!(all.len(), 12);
        assert!((1..all.len()).all(|at| !all[..at].contains(&all[at])));
        assert_eq!(all.iter().filter(|kind| kind.is_software()).count(), 1);
    }
}
