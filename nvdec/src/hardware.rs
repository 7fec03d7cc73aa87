//! The decoder proper: made for one size and depth, and held by every picture that it has lent.

#![allow(unsafe_code)]

use std::ffi::{c_int, c_short, c_uint};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use punktfunk_cuda::{Context, CudaError, Stream};

use crate::caps::{Chroma, Codec, Depth};
use crate::error::{Flaw, NvdecError};
use crate::frame::Frame;
use crate::library::{Library, call};
use crate::limits::{FRAMES_MAX, SIDE_MAX, SURFACES_MAX};
use crate::sys::{
    CHROMA_420, CHROMA_444, CREATE_PREFER_CUVID, CUVIDDECODECREATEINFO, CUVIDEOFORMAT, CUVIDGETDECODESTATUS,
    CUVIDPICPARAMS, CUVIDPROCPARAMS, CUvideodecoder, DEINTERLACE_WEAVE, Rectangle, STATUS_ERROR,
    STATUS_ERROR_CONCEALED, ShortRectangle,
};

/// `CUDA_ERROR_NOT_SUPPORTED`
const NOT_SUPPORTED: i32 = 801;

/// A sequence that was found to be one that is decoded here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Format {
    coded: (u32, u32),
    visible: Rectangle,
    pub(crate) depth: Depth,
    pub(crate) chroma: Chroma,
    pub(crate) surfaces: u8,
}

impl Format {
    /// Reads what the parser says of a sequence.
    pub(crate) fn parse(said: &CUVIDEOFORMAT) -> Result<Self, Flaw> {
        if said.progressive_sequence == 0 {
            return Err(Flaw::Interlaced);
        }
        let chroma = match said.chroma_format {
            CHROMA_420 => Chroma::Half,
            CHROMA_444 => Chroma::Full,
            _ => return Err(Flaw::Chroma),
        };
        let depth = match (said.bit_depth_luma_minus8, said.bit_depth_chroma_minus8) {
            (0, 0) => Depth::Eight,
            (2, 2) => Depth::Ten,
            _ => return Err(Flaw::Depth),
        };
        let coded = (said.coded_width, said.coded_height);
        let Rectangle { left, top, right, bottom } = said.display_area;
        let is_within = |from: c_int, to: c_int, side: u32| {
            from >= 0 && from < to && u32::try_from(to).is_ok_and(|to| to <= side && side <= SIDE_MAX)
        };
        if !is_within(left, right, coded.0) || !is_within(top, bottom, coded.1) {
            return Err(Flaw::Sides);
        }
        // One more than the least, so that a picture can be mapped while the next is decoded.
        let surfaces = said.min_num_decode_surfaces.max(1).saturating_add(1);
        if surfaces > SURFACES_MAX {
            return Err(Flaw::Surfaces);
        }
        Ok(Self { coded, visible: said.display_area, depth, chroma, surfaces })
    }

    /// Visible width and height.
    pub(crate) fn sides(&self) -> (u32, u32) {
        let side = |from: c_int, to: c_int| (to - from).unsigned_abs();
        (side(self.visible.left, self.visible.right), side(self.visible.top, self.visible.bottom))
    }

    /// Rows of luma that stand in a mapped picture: an even number of them.
    pub(crate) fn rows(&self) -> usize {
        self.sides().1.next_multiple_of(2) as usize
    }
}

/// A decoder of NVIDIA's.
#[derive(Debug)]
pub(crate) struct Hardware {
    library: Library,
    context: Context,
    raw: CUvideodecoder,
    pub(crate) format: Format,
    lent: AtomicU32,
}

// SAFETY: NVIDIA's decoder may be used by any thread with the context current, and by one that decodes beside one that maps
// (NVDECODE programming guide, "Writing an Efficient Decode Application").
unsafe impl Send for Hardware {}
// SAFETY: as above; what is ours in it is atomic.
unsafe impl Sync for Hardware {}

impl Hardware {
    /// Makes a decoder. The context is current.
    pub(crate) fn new(
        library: &Library,
        context: &Context,
        codec: Codec,
        format: Format,
    ) -> Result<Arc<Self>, NvdecError> {
        let device = || context.device().name().to_owned();
        let (width, height) = format.coded;
        let (depth, chroma) = (format.depth, format.chroma);
        let caps = library.caps_in(context, codec, depth, chroma)?;
        let caps = caps.ok_or_else(|| NvdecError::Unsupported { device: device(), codec, depth, chroma })?;
        if !caps.has_sides(width, height) {
            return Err(NvdecError::Size { device: device(), codec, width, height });
        }
        let mut description = describe(codec, format);
        let mut raw: CUvideodecoder = ptr::null_mut();
        // SAFETY: one pointer is written to where there is room for it; the description is read before the call returns.
        unsafe { call!(library, context, cuvidCreateDecoder(&raw mut raw, &raw mut description)) }?;
        let (library, context) = (library.clone(), context.clone());
        Ok(Arc::new(Self { library, context, raw, format, lent: AtomicU32::new(0) }))
    }

    /// Begins to decode a picture. The context is current.
    ///
    /// # Safety
    /// `picture` is what the parser gave to its callback, which has not returned.
    pub(crate) unsafe fn decode(&self, picture: *mut CUVIDPICPARAMS) -> Result<(), NvdecError> {
        // SAFETY: the decoder lives; the picture's description is the parser's own.
        Ok(unsafe { call!(self.library, self.context, cuvidDecodePicture(self.raw, picture)) }?)
    }

    /// Maps the picture in a surface, by `stream`; waits until it is decoded.
    pub(crate) fn map(self: &Arc<Self>, surface: c_int, stream: &Stream) -> Result<Frame, NvdecError> {
        if self.lent.fetch_add(1, Ordering::Relaxed) >= FRAMES_MAX {
            self.lent.fetch_sub(1, Ordering::Relaxed);
            return Err(NvdecError::AllLent);
        }
        let mapped = self.map_raw(surface, stream);
        let (pointer, pitch) = match mapped {
            Ok(mapped) => mapped,
            Err(error) => {
                self.lent.fetch_sub(1, Ordering::Relaxed);
                return Err(error);
            }
        };
        // From here on its drop gives it back.
        let frame = Frame::new(self.clone(), pointer, pitch);
        if self.is_damaged(surface)? { Err(NvdecError::Refused(Flaw::Damaged)) } else { Ok(frame) }
    }

    fn map_raw(&self, surface: c_int, stream: &Stream) -> Result<(u64, usize), NvdecError> {
        // SAFETY: the structure is numbers and unused pointers, for which zeros are right.
        let mut how: CUVIDPROCPARAMS = unsafe { std::mem::zeroed() };
        how.progressive_frame = 1;
        how.output_stream = stream.raw();
        let (mut pointer, mut pitch): (u64, c_uint) = (0, 0);
        Library::within(&self.context, || {
            let how = &raw mut how;
            // SAFETY: an address and a number are written to where there is room; decoder and stream live.
            unsafe {
                call!(
                    self.library,
                    self.context,
                    cuvidMapVideoFrame64(self.raw, surface, &raw mut pointer, &raw mut pitch, how)
                )
            }
        })?;
        Ok((pointer, pitch as usize))
    }

    /// Whether the decoder met an error in the picture. It tells of H.264 and HEVC only, and older ones not even of those.
    fn is_damaged(&self, surface: c_int) -> Result<bool, NvdecError> {
        // SAFETY: the structure is numbers and unused pointers, for which zeros are right.
        let mut status: CUVIDGETDECODESTATUS = unsafe { std::mem::zeroed() };
        let asked = Library::within(&self.context, || {
            let status = &raw mut status;
            // SAFETY: the structure is filled, and has the size that the driver knows.
            unsafe { call!(self.library, self.context, cuvidGetDecodeStatus(self.raw, surface, status)) }
        });
        match asked {
            Ok(()) => Ok(matches!(status.decodeStatus, STATUS_ERROR | STATUS_ERROR_CONCEALED)),
            Err(CudaError::Call { code, .. }) if code.value() == NOT_SUPPORTED => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives a mapped picture back, once nothing uses it.
    pub(crate) fn unmap(&self, pointer: u64) {
        self.lent.fetch_sub(1, Ordering::Relaxed);
        if !self.context.settle() {
            return;
        }
        let unmapped = Library::within(&self.context, || {
            // SAFETY: it was mapped by this decoder, once, and no stream uses it.
            unsafe { call!(self.library, self.context, cuvidUnmapVideoFrame64(self.raw, pointer)) }
        });
        // A device that is lost has nothing mapped.
        drop(unmapped);
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }
}

impl Drop for Hardware {
    fn drop(&mut self) {
        let destroyed = Library::within(&self.context, || {
            // SAFETY: it is destroyed once; every picture that it lent held it, and so is given back.
            unsafe { call!(self.library, self.context, cuvidDestroyDecoder(self.raw)) }
        });
        // A device that is lost has no decoder.
        drop(destroyed);
    }
}

fn describe(codec: Codec, format: Format) -> CUVIDDECODECREATEINFO {
    let (width, height) = format.sides();
    // Sides were checked to be within `SIDE_MAX`, so that each fits.
    let short = |side: c_int| c_short::try_from(side).unwrap_or(c_short::MAX);
    let Rectangle { left, top, right, bottom } = format.visible;
    CUVIDDECODECREATEINFO {
        ulWidth: format.coded.0.into(),
        ulHeight: format.coded.1.into(),
        ulNumDecodeSurfaces: format.surfaces.into(),
        CodecType: codec.number(),
        ChromaFormat: format.chroma.number(),
        ulCreationFlags: CREATE_PREFER_CUVID,
        bitDepthMinus8: format.depth.minus8().into(),
        ulIntraDecodeOnly: 0,
        ulMaxWidth: format.coded.0.into(),
        ulMaxHeight: format.coded.1.into(),
        Reserved1: 0,
        display_area: ShortRectangle {
            left: short(left),
            top: short(top),
            right: short(right),
            bottom: short(bottom),
        },
        OutputFormat: format.chroma.surface(format.depth),
        DeinterlaceMode: DEINTERLACE_WEAVE,
        ulTargetWidth: width.next_multiple_of(2).into(),
        ulTargetHeight: height.next_multiple_of(2).into(),
        ulNumOutputSurfaces: FRAMES_MAX.into(),
        vidLock: ptr::null_mut(),
        target_rect: ShortRectangle::default(),
        enableHistogram: 0,
        Reserved2: [0; 4],
    }
}

/// Sides fit a `short`.
const _: () = assert!(SIDE_MAX <= c_short::MAX as u32);

#[cfg(test)]
mod tests {
    use super::*;

    fn said() -> CUVIDEOFORMAT {
        CUVIDEOFORMAT {
            codec: 4,
            progressive_sequence: 1,
            min_num_decode_surfaces: 4,
            coded_width: 1920,
            coded_height: 1088,
            display_area: Rectangle { left: 0, top: 0, right: 1920, bottom: 1080 },
            chroma_format: 1,
            ..CUVIDEOFORMAT::default()
        }
    }

    #[test]
    fn a_sequence_for_screens_is_taken() {
        let format = Format::parse(&said()).unwrap();
        assert_eq!((format.sides(), format.depth, format.surfaces), ((1920, 1080), Depth::Eight, 5));
        let ten = CUVIDEOFORMAT { bit_depth_luma_minus8: 2, bit_depth_chroma_minus8: 2, ..said() };
        assert_eq!(Format::parse(&ten).unwrap().depth, Depth::Ten);
        let full = Format::parse(&CUVIDEOFORMAT { chroma_format: 3, ..ten }).unwrap();
        assert_eq!((full.depth, full.chroma), (Depth::Ten, Chroma::Full));
        let asked = describe(Codec::Hevc, full);
        assert_eq!(
            (asked.ChromaFormat, asked.OutputFormat),
            (CHROMA_444, 3),
            "cudaVideoSurfaceFormat_YUV444_16Bit"
        );
        let usual = describe(Codec::Hevc, format);
        assert_eq!((usual.ChromaFormat, usual.OutputFormat), (CHROMA_420, 0), "cudaVideoSurfaceFormat_NV12");
    }

    #[test]
    fn all_else_is_refused_by_its_flaw() {
        let area = |left, top, right, bottom| Rectangle { left, top, right, bottom };
        for (flaw, format) in [
            (Flaw::Interlaced, CUVIDEOFORMAT { progressive_sequence: 0, ..said() }),
            (Flaw::Chroma, CUVIDEOFORMAT { chroma_format: 0, ..said() }),
            (Flaw::Chroma, CUVIDEOFORMAT { chroma_format: 2, ..said() }),
            (Flaw::Depth, CUVIDEOFORMAT { bit_depth_luma_minus8: 4, ..said() }),
            (Flaw::Depth, CUVIDEOFORMAT { bit_depth_chroma_minus8: 2, ..said() }),
            (Flaw::Sides, CUVIDEOFORMAT { coded_width: 0, ..said() }),
            (Flaw::Sides, CUVIDEOFORMAT { coded_width: u32::MAX, ..said() }),
            (Flaw::Sides, CUVIDEOFORMAT { display_area: area(-1, 0, 1920, 1080), ..said() }),
            (Flaw::Sides, CUVIDEOFORMAT { display_area: area(0, 0, 1921, 1080), ..said() }),
            (Flaw::Sides, CUVIDEOFORMAT { display_area: area(0, 1080, 1920, 1080), ..said() }),
            (Flaw::Sides, CUVIDEOFORMAT { display_area: area(i32::MIN, 0, i32::MAX, 9), ..said() }),
            (Flaw::Surfaces, CUVIDEOFORMAT { min_num_decode_surfaces: 255, ..said() }),
        ] {
            assert_eq!(Format::parse(&format), Err(flaw));
        }
    }
}
