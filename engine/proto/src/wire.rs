//! The media datagram: 24 bytes of header in clear, the sealed shard, the AEAD's 16-byte tag.
//!
//! Little endian throughout. The header as a whole is the AAD, so a changed bit fails the tag.
//!
//! ```text
//! 0  u8  kind: 00 | plane 2 bits | epoch low 2 bits | 00     8  u32 au
//! 1  u8  flags: LAST_BLOCK 1, SLICE_END 2, IDR 4,            12 u32 pts_us
//!        RECOVERY_POINT 8, the rest 0                        16 u16 k     18 u16 m
//! 2  u16 shard: 0..k data, k..k+m parity                     20 u16 block 22 u16 tail
//! 4  u32 sequence, in this plane and epoch
//! ```
//!
//! AU numbers start at 0 and never wrap: a session ends before 2³² of them, after two years at 60 Hz (the engine's
//! encode stage refuses the next picture and says so). Sequences end with their epoch, at 2²³.
//!
//! [`Header::parse`] promises a header that is consistent in itself and with the datagram's length. It refuses all
//! else, reserved bits that are set among it. A parsed header is still only a claim until the tag was checked.

use punktfunk_seal::{Plane, TAG_BYTES};

/// Bytes of header before the sealed shard.
pub const HEADER_BYTES: usize = 24;
/// Bytes of a datagram that are not its shard: header and tag.
pub const DATAGRAM_OVERHEAD: usize = HEADER_BYTES + TAG_BYTES;

const KIND_MASK: u8 = 0b1100_0000;
const RESERVED_MASK: u8 = 0b0000_0011;
const SHARD_STEP: usize = crate::limits::SHARD_BYTES_STEP as usize;

const _: () = assert!(DATAGRAM_OVERHEAD == 40);

/// True if a datagram that begins with this byte is media; all else belongs to QUIC.
pub const fn is_media(first_byte: u8) -> bool {
    first_byte & KIND_MASK == 0
}

/// What a block says about itself beside its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Flags(u8);

impl Flags {
    /// No flag set.
    pub const NONE: Self = Self(0);
    /// The last block of its AU.
    pub const LAST_BLOCK: Self = Self(1);
    /// A slice ends with this block.
    pub const SLICE_END: Self = Self(2);
    /// The AU is an IDR.
    pub const IDR: Self = Self(4);
    /// The AU is a clean point without being an IDR.
    pub const RECOVERY_POINT: Self = Self(8);

    const ALL: u8 = 15;

    /// The flags of a header byte, or `None` when a reserved bit is set.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        if bits & !Self::ALL == 0 { Some(Self(bits)) } else { None }
    }

    /// The header byte.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True if all of `other` is set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// True for the last block of an AU.
    pub const fn last_block(self) -> bool {
        self.contains(Self::LAST_BLOCK)
    }

    /// True when a slice ends with this block.
    pub const fn slice_end(self) -> bool {
        self.contains(Self::SLICE_END)
    }

    /// True for an IDR.
    pub const fn idr(self) -> bool {
        self.contains(Self::IDR)
    }

    /// True for a clean point without IDR.
    pub const fn recovery_point(self) -> bool {
        self.contains(Self::RECOVERY_POINT)
    }

    /// What must be equal in all blocks of an AU.
    pub(crate) const fn of_au(self) -> Self {
        Self(self.0 & (Self::IDR.0 | Self::RECOVERY_POINT.0))
    }
}

/// Why a datagram is no media datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Too short, or its shard is no positive multiple of 64 bytes.
    #[error("a media datagram has 40 bytes and a positive multiple of 64 more, got {0}")]
    Length(usize),
    /// The first byte's top or bottom two bits are set.
    #[error("the first byte of media is 00pp_ee00, got {0:#010b}")]
    Kind(u8),
    /// The plane's number is not assigned.
    #[error("plane {0} is not assigned")]
    Plane(u8),
    /// A reserved flag is set.
    #[error("flags {0:#010b} set a reserved bit")]
    Flags(u8),
    /// k or m is zero, or the shard's index is not below k + m.
    #[error("shard {shard} does not belong to a block of {k} + {m} shards")]
    Shard {
        /// The shard's index.
        shard: u16,
        /// Data shards.
        k: u16,
        /// Parity shards.
        m: u16,
    },
    /// More padding than the last shard has bytes, or a shard of padding alone behind other shards.
    #[error("{tail} padding bytes do not fit a last shard of {shard_bytes}")]
    Tail {
        /// Padding bytes.
        tail: u16,
        /// Shard length.
        shard_bytes: usize,
    },
}

/// The header of a media datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Which plane the sequence counts in.
    pub plane: Plane,
    /// The low two bits of the key epoch.
    pub epoch_low: u8,
    /// What the block says about itself.
    pub flags: Flags,
    /// Index in the block: `0..k` data, `k..k + m` parity.
    pub shard: u16,
    /// The nonce's counter in this plane and epoch.
    pub sequence: u32,
    /// Access-unit number, from 0 on; it never wraps.
    pub au: u32,
    /// Capture time on the session clock, low 32 bits of microseconds.
    pub pts_us: u32,
    /// Data shards of the block.
    pub k: u16,
    /// Parity shards of the block.
    pub m: u16,
    /// Number of the block in its AU.
    pub block: u16,
    /// Padding bytes of the last data shard.
    pub tail: u16,
}

impl Header {
    /// Reads the header of a whole datagram and checks it against the datagram's length.
    ///
    /// # Errors
    /// [`WireError`] says what is inconsistent.
    pub fn parse(datagram: &[u8]) -> Result<Self, WireError> {
        let shard_bytes = shard_bytes(datagram.len()).ok_or(WireError::Length(datagram.len()))?;
        let Some(bytes) = datagram.first_chunk::<HEADER_BYTES>() else {
            return Err(WireError::Length(datagram.len()));
        };
        let kind = bytes[0];
        if kind & (KIND_MASK | RESERVED_MASK) != 0 {
            return Err(WireError::Kind(kind));
        }
        let plane_bits = kind >> 4;
        let header = Self {
            plane: Plane::from_bits(plane_bits).ok_or(WireError::Plane(plane_bits))?,
            epoch_low: (kind >> 2) & 3,
            flags: Flags::from_bits(bytes[1]).ok_or(WireError::Flags(bytes[1]))?,
            shard: u16_at(bytes, 2),
            sequence: u32_at(bytes, 4),
            au: u32_at(bytes, 8),
            pts_us: u32_at(bytes, 12),
            k: u16_at(bytes, 16),
            m: u16_at(bytes, 18),
            block: u16_at(bytes, 20),
            tail: u16_at(bytes, 22),
        };
        header.check(shard_bytes)?;
        Ok(header)
    }

    fn check(&self, shard_bytes: usize) -> Result<(), WireError> {
        let Self { shard, k, m, tail, .. } = *self;
        // Every block has a parity shard, and k + m must itself be a count that fits the header's fields.
        let in_block = k.checked_add(m).is_some_and(|shards| shard < shards);
        if k == 0 || m == 0 || !in_block {
            return Err(WireError::Shard { shard, k, m });
        }
        // Only a block that does nothing but end its AU may be all padding.
        let tail_max = if k == 1 { shard_bytes } else { shard_bytes - 1 };
        if usize::from(tail) > tail_max {
            return Err(WireError::Tail { tail, shard_bytes });
        }
        Ok(())
    }

    /// Writes the 24 bytes.
    pub fn write(&self, out: &mut [u8; HEADER_BYTES]) {
        out[0] = (self.plane.as_bits() & 3) << 4 | (self.epoch_low & 3) << 2;
        out[1] = self.flags.bits();
        out[2..4].copy_from_slice(&self.shard.to_le_bytes());
        out[4..8].copy_from_slice(&self.sequence.to_le_bytes());
        out[8..12].copy_from_slice(&self.au.to_le_bytes());
        out[12..16].copy_from_slice(&self.pts_us.to_le_bytes());
        out[16..18].copy_from_slice(&self.k.to_le_bytes());
        out[18..20].copy_from_slice(&self.m.to_le_bytes());
        out[20..22].copy_from_slice(&self.block.to_le_bytes());
        out[22..24].copy_from_slice(&self.tail.to_le_bytes());
    }
}

/// The shard length of a datagram of this length, or `None` when it is no positive multiple of 64.
pub const fn shard_bytes(datagram_bytes: usize) -> Option<usize> {
    match datagram_bytes.checked_sub(DATAGRAM_OVERHEAD) {
        Some(shard) if shard > 0 && shard.is_multiple_of(SHARD_STEP) => Some(shard),
        Some(_) | None => None,
    }
}

fn u16_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
