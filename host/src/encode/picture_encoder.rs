//! What encodes a source's pictures: one of a closed set, and what its failures mean for the pictures after.
//!
//! Promises: a failure says whether the picture, its memory or the encoder is of no use, so that whoever has the source
//! knows what to do. Refuses nothing of its own.

use punktfunk_capture::Picture;
use punktfunk_engine::{EncodeOutcome, EncodeRequest, SliceSink, StageFault};

use super::Slice;
use super::nvenc::Nvenc;
use super::software::Software;

/// The encoders that there are.
pub enum PictureEncoder {
    /// openh264, on the CPU.
    Software(Box<Software>),
    /// NVIDIA's, on its card.
    Nvenc(Box<Nvenc>),
}

/// Why a picture was not encoded.
#[derive(Debug)]
pub enum EncodeFault {
    /// Something about this one picture: the next one may do.
    Picture(StageFault),
    /// Its memory cannot be read there, nor will that of any other of the same kind.
    Dmabuf {
        /// The pixel format, by DRM's name.
        fourcc: u32,
        /// How the memory is laid out, by DRM's number.
        modifier: u64,
        /// Why.
        why: String,
    },
    /// It is a dmabuf's, and nothing here reads any.
    NoDmabufs {
        /// Why.
        why: String,
    },
    /// The GPU that converts pictures is gone; the CPU does from the next one on.
    Gpu(StageFault),
    /// The encoder is of no use any more.
    Encoder(StageFault),
}

impl From<StageFault> for EncodeFault {
    fn from(fault: StageFault) -> Self {
        Self::Encoder(fault)
    }
}

impl PictureEncoder {
    /// Its name in a list of what took another's place.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Software(_) => "openh264",
            Self::Nvenc(_) => "nvenc",
        }
    }

    /// Width, height and refresh of the pictures that it takes.
    pub fn shape(&self) -> (u32, u32, u32) {
        match self {
            Self::Software(inner) => inner.shape(),
            Self::Nvenc(inner) => inner.shape(),
        }
    }

    /// Sets the rate from the next picture on, in kbit/s of access-unit bytes; whether the encoder takes it.
    ///
    /// # Errors
    /// The encoder broke.
    pub fn set_rate(&mut self, kbps: u32) -> Result<bool, StageFault> {
        match self {
            Self::Software(inner) => inner.set_rate(kbps).map(|()| true),
            Self::Nvenc(inner) => Ok(inner.set_rate(kbps)),
        }
    }

    /// Takes pictures of other sides or another rate from now on, if that needs no other encoder; whether it does so.
    ///
    /// # Errors
    /// The encoder broke.
    pub fn reshape(&mut self, shape: (u32, u32, u32), kbps: u32) -> Result<bool, StageFault> {
        match self {
            Self::Software(_) => Ok(false),
            Self::Nvenc(inner) => inner.reshape(shape, kbps),
        }
    }

    /// Whether pictures may come as dmabufs.
    pub fn reads_dmabufs(&self) -> bool {
        match self {
            Self::Software(inner) => inner.reads_dmabufs(),
            Self::Nvenc(_) => true,
        }
    }

    /// Whether it can leave references out that a client misses.
    pub fn leaves_out(&self) -> bool {
        match self {
            Self::Software(_) => true,
            Self::Nvenc(inner) => inner.leaves_out(),
        }
    }

    /// Whether it died and was made anew since the last call.
    pub fn was_made_anew(&mut self) -> bool {
        match self {
            Self::Software(_) => false,
            Self::Nvenc(inner) => inner.was_made_anew(),
        }
    }

    /// Whether it gave a picture in one piece since the last call, for want of a true word on its slices.
    pub fn was_uncut(&mut self) -> bool {
        match self {
            Self::Software(_) => false,
            Self::Nvenc(inner) => inner.was_uncut(),
        }
    }

    /// Encodes a picture.
    ///
    /// # Errors
    /// [`EncodeFault`].
    pub fn encode(
        &mut self,
        picture: &Picture<'_>,
        request: &EncodeRequest,
        out: &mut SliceSink<'_, Slice>,
    ) -> Result<EncodeOutcome, EncodeFault> {
        match self {
            Self::Software(inner) => inner.encode(picture, request, out),
            Self::Nvenc(inner) => inner.encode(picture, request, out),
        }
    }

    /// Encodes the picture before once more, where it is still there.
    ///
    /// # Errors
    /// [`EncodeFault`].
    pub fn repeat(
        &mut self,
        request: &EncodeRequest,
        out: &mut SliceSink<'_, Slice>,
    ) -> Result<EncodeOutcome, EncodeFault> {
        match self {
            Self::Software(inner) => Ok(inner.repeat(request, out)?),
            Self::Nvenc(inner) => inner.repeat(request, out),
        }
    }

    /// Takes a slice back.
    pub fn recycle(&mut self, slice: Slice) {
        match self {
            Self::Software(inner) => inner.recycle(slice),
            // Its memory goes home by itself.
            Self::Nvenc(_) => drop(slice),
        }
    }
}
