//! The software encoder as a stage: one conversion and one encode a picture. The conversion is the CPU's, or that of a GPU
//! that reads dmabufs, whose work is then waited for.
//!
//! Promises: what the client misses is left out of what follows where a picture from before is kept, else it takes an IDR; a
//! picture that is encoded again needs no source; a rate above what the encoder was made for gets a new one,
//! which begins with an IDR, and that is said; where the GPU is lost the CPU converts from then on. Refuses what the encoder and the importer refuse, in their words.

use std::time::Instant;

use punktfunk_capture::dmabuf::fourcc_name;
use punktfunk_capture::{Mode, Picture, PixelFormat, Pixels};
use punktfunk_codec::h264::{Encoder, EncoderConfig};
use punktfunk_codec::limits::BITRATE_KBPS_MAX;
use punktfunk_codec::{CodecError, I420, I420Buffer, convert};
use punktfunk_engine::{CpuCopies, EncodeOutcome, EncodeRequest, SliceSink, StageFault};
use punktfunk_gpu::format::{Colour, OutputFormat};
use punktfunk_gpu::{Device, GpuError, Handover};

use super::import::{Import, import_fault};
use super::picture_encoder::EncodeFault;
use super::{STAGE, Slice, SlicePool, push};
use crate::error::HostError;

/// openh264, with the memory that its pictures are converted into.
pub struct Software {
    encoder: Encoder,
    converted: I420Buffer,
    /// A GPU's conversion, in place of the CPU's.
    import: Option<Import>,
    newest: Newest,
    pool: SlicePool,
}

/// Where the newest picture is, to be encoded again.
enum Newest {
    /// It was the source's, and is gone.
    None,
    /// The CPU converted it.
    Converted,
    /// The GPU did.
    Imported,
}

impl Software {
    /// An encoder for pictures of `mode` at `kbps` of access-unit bytes, converted on `device`, or on the CPU.
    ///
    /// # Errors
    /// The encoder's No, or the importer's.
    pub fn new(mode: Mode, kbps: u32, slices: u16, device: Option<&Device>) -> Result<Self, HostError> {
        let (width, height) = (mode.width(), mode.height());
        let encoder = Encoder::recovering(EncoderConfig {
            width,
            height,
            refresh_mhz: mode.refresh_mhz(),
            bitrate_kbps: kbps,
            slices,
        })?;
        let made = (OutputFormat::I420, Colour::BT709);
        let import = device.map(|device| Import::new(device, (width, height), made, Handover::Mapped));
        Ok(Self {
            encoder,
            converted: I420Buffer::new(width, height)?,
            import: import.transpose()?,
            newest: Newest::None,
            pool: SlicePool::new(4 * usize::from(slices), 64 << 10),
        })
    }

    /// Width, height and refresh of the pictures that it takes.
    pub fn shape(&self) -> (u32, u32, u32) {
        let config = self.encoder.config();
        (config.width, config.height, config.refresh_mhz)
    }

    /// Whether there is a GPU that reads dmabufs for it.
    pub fn reads_dmabufs(&self) -> bool {
        self.import.is_some()
    }

    /// Sets the rate from the next picture on: what was agreed on with another encoder may be more than this one makes.
    ///
    /// # Errors
    /// The encoder broke.
    pub fn set_rate(&mut self, kbps: u32) -> Result<(), StageFault> {
        let kbps = kbps.min(BITRATE_KBPS_MAX);
        if kbps <= self.encoder.bitrate_kbps_max() {
            return self.encoder.set_bitrate(kbps).map_err(fault);
        }
        tracing::info!(kbps, "the rate passes what this encoder was made for; a new one begins with an IDR");
        let config = EncoderConfig { bitrate_kbps: kbps, ..*self.encoder.config() };
        self.encoder = Encoder::recovering(config).map_err(fault)?;
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
        out: &mut SliceSink<'_, Slice>,
    ) -> Result<EncodeOutcome, EncodeFault> {
        self.newest = Newest::None;
        let lent = match (&mut self.import, picture.pixels) {
            (Some(import), _) => {
                let converted = match import.convert(picture) {
                    Ok(converted) => converted,
                    Err(error @ GpuError::Lost { .. }) => {
                        self.import = None;
                        return Err(EncodeFault::Gpu(mapped_fault(error)));
                    }
                    Err(error) => return Err(import_fault(picture, error)),
                };
                out.set_import(converted.waited);
                if let Some(on_gpu) = converted.on_gpu {
                    out.set_convert(on_gpu);
                }
                out.add_copies(CpuCopies { import: converted.bytes_copied, ..CpuCopies::default() });
                self.newest = Newest::Imported;
                None
            }
            (None, Pixels::Memory { format: PixelFormat::Bgrx, stride, bytes }) => {
                let start = Instant::now();
                let (width, height) = (picture.width, picture.height);
                convert::bgrx_to_i420(bytes, stride, width, height, &mut self.converted).map_err(fault)?;
                out.set_import(start.elapsed());
                let pixels = u64::from(width) * u64::from(height);
                out.add_copies(CpuCopies { import: pixels * 3 / 2, ..CpuCopies::default() });
                self.newest = Newest::Converted;
                None
            }
            (None, Pixels::Memory { format: PixelFormat::I420, stride, bytes }) => {
                Some(I420::contiguous(picture.width, picture.height, stride, bytes).map_err(fault)?)
            }
            (None, Pixels::Dmabuf(dmabuf)) => {
                let what = fourcc_name(dmabuf.fourcc);
                let why = format!("a dmabuf ({what}) came, which this encoder cannot read");
                return Err(EncodeFault::NoDmabufs { why });
            }
        };
        match lent {
            Some(planes) => Ok(encode_planes(&mut self.encoder, &mut self.pool, &planes, request, out)?),
            None => Ok(self.repeat(request, out)?),
        }
    }

    /// Encodes the picture before once more. The card and files move by themselves: their next picture will do.
    ///
    /// # Errors
    /// The encoder broke.
    pub fn repeat(
        &mut self,
        request: &EncodeRequest,
        out: &mut SliceSink<'_, Slice>,
    ) -> Result<EncodeOutcome, StageFault> {
        let Self { encoder, converted, import, newest, pool } = self;
        let planes = match (newest, import) {
            (Newest::None, _) => return Ok(EncodeOutcome::Skipped),
            (Newest::Converted, _) => converted.as_i420(),
            (Newest::Imported, import) => {
                let newest = import.as_ref().map_or(Ok(None), Import::newest).map_err(mapped_fault)?;
                let Some((bytes, pitch)) = newest else { return Ok(EncodeOutcome::Skipped) };
                let (width, height) = (encoder.config().width, encoder.config().height);
                I420::contiguous(width, height, pitch, bytes).map_err(fault)?
            }
        };
        encode_planes(encoder, pool, &planes, request, out)
    }

    /// Takes a slice back.
    pub fn recycle(&mut self, slice: Slice) {
        self.pool.put(slice);
    }
}

fn fault(error: CodecError) -> StageFault {
    StageFault::new(STAGE, error)
}

fn mapped_fault(error: GpuError) -> StageFault {
    StageFault::new("import", error)
}

fn encode_planes(
    encoder: &mut Encoder,
    pool: &mut SlicePool,
    planes: &I420<'_>,
    request: &EncodeRequest,
    out: &mut SliceSink<'_, Slice>,
) -> Result<EncodeOutcome, StageFault> {
    let submitted = Instant::now();
    let idr = match request.lost.filter(|_| !request.idr) {
        Some(lost) => {
            let newest = u64::from(request.au.saturating_sub(lost.from_au));
            !encoder.leave_out(newest).map_err(fault)?
        }
        None => request.idr,
    };
    let encoded = encoder.encode(planes, 0, idr).map_err(fault)?;
    if encoded.skipped() {
        return Ok(EncodeOutcome::Skipped);
    }
    // The library gives all slices at once.
    let ready = Instant::now();
    out.set_submit(ready - submitted);
    out.add_copies(CpuCopies { slices: encoded.bytes().len() as u64, ..CpuCopies::default() });
    if encoded.is_recovery_point() {
        out.set_recovery_point();
    }
    let idr = encoded.is_idr();
    let mut slices = encoded.slices().peekable();
    while let Some(slice) = slices.next() {
        let mut buffer = pool.take();
        buffer.extend_from_slice(slice);
        out.set_slice_ready(ready);
        push(pool, out, buffer, idr, slices.peek().is_none())?;
    }
    Ok(EncodeOutcome::Encoded)
}
