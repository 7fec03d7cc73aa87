//! Hello and Welcome: what a client wants and can do, and what the host has made of it.
//!
//! Promises: every field is bounded, unknown fields are skipped, unknown codecs and ciphers in a list
//! are left out. Refuses: texts and lists above their limits, and a Welcome that picks what this end
//! does not know.

use minicbor::{Decode, Encode};
use punktfunk_seal::Cipher;

use super::bounded::{self, WireNumber};
use crate::limits::PROTOCOL;

/// A picture's size and rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Mode {
    /// Width in pixels.
    #[n(0)]
    pub width: u32,
    /// Height in pixels.
    #[n(1)]
    pub height: u32,
    /// Refresh rate in millihertz: 60 Hz is 60 000.
    #[n(2)]
    pub refresh_mhz: u32,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (hz, rest) = (self.refresh_mhz / 1000, self.refresh_mhz % 1000);
        write!(f, "{}x{}@{hz}", self.width, self.height)?;
        if rest != 0 {
            write!(f, ".{rest:03}")?;
        }
        Ok(())
    }
}

/// How pictures are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// ITU-T H.264, Annex B.
    H264,
    /// ITU-T H.265, Annex B.
    Hevc,
    /// AV1, low-overhead bitstream.
    Av1,
    /// The verifiable test bitstream: no picture, every byte checkable.
    Pattern,
}

impl Codec {
    /// Its number on the wire.
    pub fn to_number(self) -> u16 {
        self.number()
    }

    /// The codec with this number, if this end knows it.
    pub fn of_number(number: u16) -> Option<Self> {
        Self::from_number(number)
    }
}

impl WireNumber for Codec {
    fn number(&self) -> u16 {
        match self {
            Codec::H264 => 1,
            Codec::Hevc => 2,
            Codec::Av1 => 3,
            Codec::Pattern => 100,
        }
    }

    fn from_number(number: u16) -> Option<Self> {
        match number {
            1 => Some(Codec::H264),
            2 => Some(Codec::Hevc),
            3 => Some(Codec::Av1),
            100 => Some(Codec::Pattern),
            _ => None,
        }
    }
}

impl std::fmt::Display for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Codec::H264 => "H.264",
            Codec::Hevc => "HEVC",
            Codec::Av1 => "AV1",
            Codec::Pattern => "pattern",
        })
    }
}

/// Bits of a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Depth {
    /// 8: what an end has that does not speak of it.
    #[default]
    Eight,
    /// 10.
    Ten,
}

impl Depth {
    /// Its number on the wire.
    pub fn to_number(self) -> u16 {
        self.number()
    }

    /// The depth with this number, if this end knows it.
    pub fn of_number(number: u16) -> Option<Self> {
        Self::from_number(number)
    }
}

impl WireNumber for Depth {
    fn number(&self) -> u16 {
        match self {
            Depth::Eight => 8,
            Depth::Ten => 10,
        }
    }

    fn from_number(number: u16) -> Option<Self> {
        match number {
            8 => Some(Depth::Eight),
            10 => Some(Depth::Ten),
            _ => None,
        }
    }
}

impl std::fmt::Display for Depth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bits", self.number())
    }
}

/// How many samples of colour there are to those of brightness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Chroma {
    /// Half as many in each direction: what an end has that does not speak of it.
    #[default]
    Yuv420,
    /// As many.
    Yuv444,
}

impl Chroma {
    /// Its number on the wire.
    pub fn to_number(self) -> u16 {
        self.number()
    }

    /// The chroma with this number, if this end knows it.
    pub fn of_number(number: u16) -> Option<Self> {
        Self::from_number(number)
    }
}

impl WireNumber for Chroma {
    fn number(&self) -> u16 {
        match self {
            Chroma::Yuv420 => 420,
            Chroma::Yuv444 => 444,
        }
    }

    fn from_number(number: u16) -> Option<Self> {
        match number {
            420 => Some(Chroma::Yuv420),
            444 => Some(Chroma::Yuv444),
            _ => None,
        }
    }
}

impl std::fmt::Display for Chroma {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Chroma::Yuv420 => "4:2:0",
            Chroma::Yuv444 => "4:4:4",
        })
    }
}

impl WireNumber for Cipher {
    fn number(&self) -> u16 {
        match self {
            Cipher::Aes128Gcm => 1,
            Cipher::ChaCha20Poly1305 => 2,
        }
    }

    fn from_number(number: u16) -> Option<Self> {
        match number {
            1 => Some(Cipher::Aes128Gcm),
            2 => Some(Cipher::ChaCha20Poly1305),
            _ => None,
        }
    }
}

/// The client's first message.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Hello {
    /// The control protocol that the client speaks; `PROTOCOL` here.
    #[n(0)]
    pub protocol: u32,
    /// What the client calls itself, for logs and consoles.
    #[cbor(n(1), with = "bounded::name")]
    pub client_name: String,
    /// The picture that the client wants.
    #[n(2)]
    pub mode: Mode,
    /// What the client can decode, best first.
    #[cbor(n(3), with = "bounded::known_list")]
    pub codecs: Vec<Codec>,
    /// What the client can open, best first.
    #[cbor(n(4), with = "bounded::known_list")]
    pub ciphers: Vec<Cipher>,
    /// The wire rate asked for, FEC and headers counted in.
    #[n(5)]
    pub bitrate_kbps: u32,
    /// The compositor asked for; `None` leaves it to the host.
    #[cbor(n(6), with = "bounded::optional_name", has_nil)]
    pub compositor: Option<String>,
    /// Most slices in an access unit that the client can take.
    #[n(7)]
    pub slices_max: u16,
    /// Largest access unit that the client can take, in bytes.
    #[n(8)]
    pub au_bytes_max: u32,
    /// Longest shard that the client can take, in bytes.
    #[n(9)]
    pub shard_bytes_max: u16,
    /// Redundancy asked for: parity shards per thousand data shards; `None` leaves it to the host.
    #[n(10)]
    pub redundancy_per_mille: Option<u16>,
    /// The session is for a speed test alone: no source shall be opened, and no pictures come.
    #[cbor(n(11), default)]
    pub without_pictures: bool,
    /// Bits of a sample asked for: a [`Depth`]'s number, or one that the host may know; `None`: 8.
    #[n(12)]
    pub depth: Option<u16>,
    /// Chroma asked for: a [`Chroma`]'s number, or one that the host may know; `None`: 420.
    #[n(13)]
    pub chroma: Option<u16>,
}

impl Hello {
    /// A Hello of this protocol for `mode` at `bitrate_kbps`, with H.264, both ciphers, four slices,
    /// access units up to 16 MiB and shards up to 1408 bytes.
    pub fn new(client_name: impl Into<String>, mode: Mode, bitrate_kbps: u32) -> Self {
        Self {
            protocol: PROTOCOL,
            client_name: client_name.into(),
            mode,
            codecs: vec![Codec::H264],
            ciphers: vec![Cipher::Aes128Gcm, Cipher::ChaCha20Poly1305],
            bitrate_kbps,
            compositor: None,
            slices_max: 4,
            au_bytes_max: 16 << 20,
            shard_bytes_max: 1408,
            redundancy_per_mille: None,
            without_pictures: false,
            depth: None,
            chroma: None,
        }
    }
}

/// One compositor that the host has found.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct CompositorOffer {
    /// Its name, as a Hello asks for it.
    #[cbor(n(0), with = "bounded::name")]
    pub name: String,
    /// Its version, if it told one.
    #[cbor(n(1), with = "bounded::optional_name", has_nil)]
    pub version: Option<String>,
    /// Whether a session can be had on it.
    #[n(2)]
    pub usable: bool,
    /// Why not; empty when usable.
    #[cbor(n(3), with = "bounded::text")]
    pub reason: String,
}

/// The host's answer to a Hello: what this session will be.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Welcome {
    /// The control protocol that the host speaks; `PROTOCOL` here.
    #[n(0)]
    pub protocol: u32,
    /// What the host calls itself.
    #[cbor(n(1), with = "bounded::name")]
    pub host_name: String,
    /// The picture that will be sent.
    #[n(2)]
    pub mode: Mode,
    /// How it is coded.
    #[cbor(n(3), with = "bounded::number")]
    pub codec: Codec,
    /// How datagrams are sealed.
    #[cbor(n(4), with = "bounded::number")]
    pub cipher: Cipher,
    /// The wire rate, FEC and headers counted in.
    #[n(5)]
    pub bitrate_kbps: u32,
    /// Longest shard that will be sent, in bytes.
    #[n(6)]
    pub shard_bytes_max: u16,
    /// Parity shards per thousand data shards.
    #[n(7)]
    pub redundancy_per_mille: u16,
    /// Largest access unit that will be sent, in bytes.
    #[n(8)]
    pub au_bytes_max: u32,
    /// Most slices in an access unit.
    #[n(9)]
    pub slices_max: u16,
    /// Where the pictures come from, in words.
    #[cbor(n(10), with = "bounded::text")]
    pub source: String,
    /// What encodes them, in words: a software encoder is said out loud.
    #[cbor(n(11), with = "bounded::text")]
    pub encoder: String,
    /// Every compositor that the host has looked for.
    #[cbor(n(12), with = "bounded::list")]
    pub compositors: Vec<CompositorOffer>,
    /// Bits of a sample.
    #[cbor(n(13), with = "bounded::unusual", has_nil)]
    pub depth: Depth,
    /// How many samples of colour there are.
    #[cbor(n(14), with = "bounded::unusual", has_nil)]
    pub chroma: Chroma,
}
