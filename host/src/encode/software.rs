//! The software encoder as a stage: one conversion and one encode a picture, on the CPU.
//!
//! Promises: a picture that is encoded again needs no source; a rate above what the encoder was made for gets a new one,
//! which begins with an IDR, and that is said. Refuses what the encoder refuses, in its words.

use std::time::Instant;

use punktfunk_capture::dmabuf::fourcc_name;
use punktfunk_capture::{Mode, Picture, PixelFormat, Pixels};
use punktfunk_codec::h264::{Encoder, EncoderConfig};
use punktfunk_codec::{CodecError, I420, I420Buffer, convert};
use punktfunk_engine::{EncodeOutcome, EncodeRequest, SliceSink, StageFault};

use super::{STAGE, SlicePool, push};

/// openh264, with the memory that its pictures are converted into.
pub struct Software {
    encoder: Encoder,
    converted: I420Buffer,
    /// Whether `converted` holds the newest picture.
    has_converted: bool,
    pool: SlicePool,
}

impl Software {
    /// An encoder for pictures of `mode` at `kbps` of access-unit bytes.
    ///
    /// # Errors
    /// The encoder's No.
    pub fn new(mode: Mode, kbps: u32, slices: u16) -> Result<Self, CodecError> {
        Ok(Self {
            encoder: Encoder::new(EncoderConfig {
                width: mode.width(),
                height: mode.height(),
                refresh_mhz: mode.refresh_mhz(),
                bitrate_kbps: kbps,
                slices,
            })?,
            converted: I420Buffer::new(mode.width(), mode.height())?,
            has_converted: false,
            pool: SlicePool::new(4 * usize::from(slices), 64 << 10),
        })
    }

    /// Width, height and refresh of the pictures that it takes.
    pub fn shape(&self) -> (u32, u32, u32) {
        let config = self.encoder.config();
        (config.width, config.height, config.refresh_mhz)
    }

    /// Sets the rate from the next picture on.
    ///
    /// # Errors
    /// The encoder broke.
    pub fn set_rate(&mut self, kbps: u32) -> Result<(), StageFault> {
        if kbps <= self.encoder.bitrate_kbps_max() {
            return self.encoder.set_bitrate(kbps).map_err(fault);
        }
        tracing::info!(kbps, "the rate passes what this encoder was made for; a new one begins with an IDR");
        let config = EncoderConfig { bitrate_kbps: kbps, ..*self.encoder.config() };
        self.encoder = Encoder::new(config).map_err(fault)?;
        Ok(())
    }

    /// Encodes a picture.
    ///
    /// # Errors
    /// The encoder broke, or the picture is none of its.
    pub fn encode(
        &mut self,
        picture: &Picture<'_>,
        request: &EncodeRequest,
        out: &mut SliceSink<'_, Vec<u8>>,
    ) -> Result<EncodeOutcome, StageFault> {
        let Self { encoder, converted, has_converted, pool } = self;
        *has_converted = matches!(picture.pixels, Pixels::Memory { format: PixelFormat::Bgrx, .. });
        let planes = match picture.pixels {
            Pixels::Memory { format: PixelFormat::Bgrx, stride, bytes } => {
                let start = Instant::now();
                convert::bgrx_to_i420(bytes, stride, picture.width, picture.height, converted)
                    .map_err(fault)?;
                out.set_import(start.elapsed());
                converted.as_i420()
            }
            Pixels::Memory { format: PixelFormat::I420, stride, bytes } => {
                I420::contiguous(picture.width, picture.height, stride, bytes).map_err(fault)?
            }
            Pixels::Dmabuf(dmabuf) => {
                let what = fourcc_name(dmabuf.fourcc);
                return Err(StageFault::new(
                    STAGE,
                    format!("a dmabuf ({what}) came, which this encoder cannot read"),
                ));
            }
        };
        encode_planes(encoder, pool, &planes, request, out)
    }

    /// Encodes the picture before once more. The card and files move by themselves: their next picture will do.
    ///
    /// # Errors
    /// The encoder broke.
    pub fn repeat(
        &mut self,
        request: &EncodeRequest,
        out: &mut SliceSink<'_, Vec<u8>>,
    ) -> Result<EncodeOutcome, StageFault> {
        if !self.has_converted {
            return Ok(EncodeOutcome::Skipped);
        }
        encode_planes(&mut self.encoder, &mut self.pool, &self.converted.as_i420(), request, out)
    }

    /// Takes a slice back.
    pub fn recycle(&mut self, slice: Vec<u8>) {
        self.pool.put(slice);
    }
}

fn fault(error: CodecError) -> StageFault {
    StageFault::new(STAGE, error)
}

fn encode_planes(
    encoder: &mut Encoder,
    pool: &mut SlicePool,
    planes: &I420<'_>,
    request: &EncodeRequest,
    out: &mut SliceSink<'_, Vec<u8>>,
) -> Result<EncodeOutcome, StageFault> {
    let encoded = encoder.encode(planes, 0, request.idr).map_err(fault)?;
    if encoded.skipped() {
        return Ok(EncodeOutcome::Skipped);
    }
    let idr = encoded.is_idr();
    let mut slices = encoded.slices().peekable();
    while let Some(slice) = slices.next() {
        let mut buffer = pool.take();
        buffer.extend_from_slice(slice);
        push(pool, out, buffer, idr, slices.peek().is_none())?;
    }
    Ok(EncodeOutcome::Encoded)
}
