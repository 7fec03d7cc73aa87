//! What can go wrong, and whose fault it is.

use punktfunk_cuda::CudaError;

use crate::caps::{Chroma, Codec, Depth};
use crate::limits::{AU_BYTES_MAX, FRAMES_MAX, SIDE_MAX, SURFACES_MAX};

/// An error of NVIDIA's decoder, of the way to it, or of a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NvdecError {
    /// The library is not there.
    #[error(
        "NVIDIA's decoder is not on this machine (no libnvcuvid.so.1): install it beside the driver (Debian: libnvcuvid1, \
         non-free; in a container: NVIDIA_DRIVER_CAPABILITIES with video)"
    )]
    Absent,
    /// It is there, and cannot be loaded.
    #[error("libnvcuvid.so.1 cannot be loaded ({0}): install NVIDIA's driver anew")]
    Unloadable(String),
    /// The library lacks a function.
    #[error("libnvcuvid.so.1 has no {0}: the driver is too old, or a part of one")]
    Symbol(&'static str),
    /// CUDA, or a call of the decoder's.
    #[error(transparent)]
    Cuda(#[from] CudaError),
    /// The device has no decoder for this.
    #[error("{device} decodes no {codec} of {depth} in {chroma}")]
    Unsupported {
        /// The device's name.
        device: String,
        /// The codec.
        codec: Codec,
        /// The depth.
        depth: Depth,
        /// The chroma.
        chroma: Chroma,
    },
    /// The device's decoder does not go so far.
    #[error("{device} decodes no {codec} of {width}x{height}")]
    Size {
        /// The device's name.
        device: String,
        /// The codec.
        codec: Codec,
        /// Coded pixels.
        width: u32,
        /// Coded pixels.
        height: u32,
    },
    /// More pictures are lent than there may be.
    #[error("{FRAMES_MAX} decoded pictures are lent, which is all that may be: give one back first")]
    AllLent,
    /// The stream is not what is decoded here.
    #[error("refused: {0}")]
    Refused(Flaw),
    /// A fault of this crate's, within a callback.
    #[error("a callback of the decoder's panicked, which is our fault")]
    Panicked,
}

impl NvdecError {
    /// Whether it is the stream's fault: the decoder goes on with the next access unit.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, NvdecError::Refused(_))
    }
}

/// What is wrong with a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Flaw {
    /// No picture was in the access unit, or none that the parser could read.
    #[error("there is no picture in it")]
    NoPicture,
    /// The decoder met an error in the picture.
    #[error("the picture is damaged")]
    Damaged,
    /// More bytes than a picture has.
    #[error("it has more than {AU_BYTES_MAX} bytes")]
    TooLong,
    /// Fields.
    #[error("it is interlaced")]
    Interlaced,
    /// Chroma that is not subsampled both ways.
    #[error("its chroma is not 4:2:0")]
    Chroma,
    /// Bits that there are no surfaces for.
    #[error("its samples are neither of 8 nor of 10 bits")]
    Depth,
    /// Sides that no picture has, or a visible part outside of them.
    #[error("its sides are none, beyond {SIDE_MAX}, or its visible part is not within them")]
    Sides,
    /// More references than there are surfaces.
    #[error("it takes more than {SURFACES_MAX} surfaces")]
    Surfaces,
    /// A picture before its sequence, or in a surface that is none.
    #[error("a picture came before what it belongs to")]
    Order,
}
