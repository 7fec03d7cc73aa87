//! Decoders: surfaces that H.264 is decoded into, and pictures mapped from them.

#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::{c_int, c_uint};
use std::sync::{Mutex, MutexGuard, PoisonError};

use punktfunk_codec::h264::Decoder as Openh264;
use punktfunk_codec::{CodecError, I420, I420Buffer};
use punktfunk_nvdec::sys::{
    CHROMA_420, CODEC_H264, CUVIDDECODECAPS, CUVIDDECODECREATEINFO, CUVIDGETDECODESTATUS, CUVIDPICPARAMS,
    CUVIDPROCPARAMS, STATUS_ERROR, STATUS_SUCCESS, SURFACE_NV12,
};

use crate::cuda;
use crate::entry::{
    Code, INVALID_HANDLE, INVALID_VALUE, IS_PARSING, NOT_SUPPORTED, OUT_OF_MEMORY, Result, breach, calls,
};

/// The most that the decoder stood in for takes.
const SIDES_MAX: (u32, u32) = (4096, 4096);
const SIDES_MIN: (u16, u16) = (48, 16);

static DECODERS: Mutex<Decoders> = Mutex::new(Decoders { decoders: BTreeMap::new(), next: 0x6_0000_0000 });

struct Decoders {
    decoders: BTreeMap<usize, Decoder>,
    next: usize,
}

struct Decoder {
    openh264: Openh264,
    /// A picture for each surface that one was decoded into; none where that failed.
    surfaces: Vec<Option<Option<I420Buffer>>>,
    target: (usize, usize),
    mapped: Vec<u64>,
    mapped_max: usize,
}

impl Decoders {
    fn lock() -> MutexGuard<'static, Decoders> {
        DECODERS.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at(&mut self, call: &str, decoder: usize) -> Result<&mut Decoder> {
        let none = || breach(call, INVALID_HANDLE, format_args!("the decoder is none, or gone"));
        self.decoders.get_mut(&decoder).ok_or_else(none)
    }
}

fn create(call: &str, info: &CUVIDDECODECREATEINFO) -> Result<Decoder> {
    let wrong = |what: &str| Err(breach(call, INVALID_VALUE, format_args!("{what}")));
    if info.CodecType != CODEC_H264 || info.ChromaFormat != CHROMA_420 || info.bitDepthMinus8 != 0 {
        return Err(NOT_SUPPORTED);
    }
    let area = info.display_area;
    let is_within = |from: i16, to: i16, side: u64| from >= 0 && from < to && to as u64 <= side;
    if info.ulWidth == 0 || info.ulWidth > SIDES_MAX.0.into() || info.ulHeight > SIDES_MAX.1.into() {
        return wrong("sides beyond the caps");
    }
    if !is_within(area.left, area.right, info.ulWidth) || !is_within(area.top, area.bottom, info.ulHeight) {
        return wrong("a visible part outside of the picture");
    }
    if (info.ulTargetWidth | info.ulTargetHeight) & 1 != 0 || info.ulTargetWidth == 0 {
        return wrong("a target of odd sides");
    }
    if info.ulNumDecodeSurfaces == 0 || info.ulNumDecodeSurfaces > 32 || info.ulNumOutputSurfaces == 0 {
        return wrong("no surfaces, or too many");
    }
    if info.OutputFormat != SURFACE_NV12 || info.Reserved1 != 0 || info.Reserved2 != [0; 4] {
        return wrong("another surface format, or reserved fields that are not zero");
    }
    let openh264 = Openh264::new().map_err(|_| OUT_OF_MEMORY)?;
    Ok(Decoder {
        openh264,
        surfaces: (0..info.ulNumDecodeSurfaces).map(|_| None).collect(),
        target: (info.ulTargetWidth as usize, info.ulTargetHeight as usize),
        mapped: Vec::new(),
        mapped_max: info.ulNumOutputSurfaces as usize,
    })
}

impl Decoder {
    fn decode(&mut self, call: &str, picture: &CUVIDPICPARAMS) -> Result<()> {
        let surface = usize::try_from(picture.CurrPicIdx).ok();
        let Some(surface) = surface.and_then(|surface| self.surfaces.get_mut(surface)) else {
            return Err(breach(call, INVALID_VALUE, format_args!("surface {}", picture.CurrPicIdx)));
        };
        if picture.pBitstreamData.is_null() || picture.nNumSlices == 0 {
            return Err(breach(call, INVALID_VALUE, format_args!("a picture without slices")));
        }
        // SAFETY: the description is the parser's, whose bytes stand for as long as its callback runs.
        let au =
            unsafe { std::slice::from_raw_parts(picture.pBitstreamData, picture.nBitstreamDataLen as usize) };
        // Damage is told by the picture's status, as NVIDIA's does.
        *surface = Some(match self.openh264.decode(au) {
            Ok(Some(picture)) => Some(copy(&picture.as_i420()).map_err(|_| OUT_OF_MEMORY)?),
            Ok(None) | Err(_) => None,
        });
        Ok(())
    }

    fn map(&mut self, call: &str, surface: c_int) -> Result<(u64, usize)> {
        let found = usize::try_from(surface).ok().and_then(|surface| self.surfaces.get(surface));
        let Some(Some(picture)) = found else {
            return Err(breach(
                call,
                INVALID_VALUE,
                format_args!("nothing was decoded into surface {surface}"),
            ));
        };
        if self.mapped.len() >= self.mapped_max {
            return Err(breach(
                call,
                INVALID_VALUE,
                format_args!("{} are mapped already", self.mapped.len()),
            ));
        }
        let (width, height) = self.target;
        let (pointer, pitch) = cuda::allocate(width, height + height / 2)?;
        if let Some(picture) = picture {
            let bytes = pitch * (height + height / 2);
            // SAFETY: a pointer of CUDA's stand-in is an address, and so many bytes were allotted there just now.
            let memory = unsafe { std::slice::from_raw_parts_mut(pointer as *mut u8, bytes) };
            write_nv12(&picture.as_i420(), memory, pitch, height);
        }
        self.mapped.push(pointer);
        Ok((pointer, pitch))
    }
}

fn copy(picture: &I420<'_>) -> std::result::Result<I420Buffer, CodecError> {
    let mut buffer = I420Buffer::new(picture.width(), picture.height())?;
    let width = picture.width() as usize;
    let (y, u, v) = buffer.planes_mut();
    let planes = [
        (y, picture.y(), picture.stride_y(), width),
        (u, picture.u(), picture.stride_uv(), width / 2),
        (v, picture.v(), picture.stride_uv(), width / 2),
    ];
    for (to, from, stride, width) in planes {
        for (to, from) in to.chunks_exact_mut(width).zip(from.chunks(stride)) {
            to.copy_from_slice(&from[..width]);
        }
    }
    Ok(buffer)
}

fn write_nv12(picture: &I420<'_>, memory: &mut [u8], pitch: usize, rows: usize) {
    let (luma, chroma) = memory.split_at_mut(pitch * rows);
    let width = picture.width() as usize;
    for (to, from) in luma.chunks_exact_mut(pitch).zip(picture.y().chunks(picture.stride_y())) {
        to[..width].copy_from_slice(&from[..width]);
    }
    let rows = picture.u().chunks(picture.stride_uv()).zip(picture.v().chunks(picture.stride_uv()));
    for (to, (u, v)) in chroma.chunks_exact_mut(pitch).zip(rows) {
        for (to, (u, v)) in to.chunks_exact_mut(2).zip(u.iter().zip(v)).take(width / 2) {
            to.copy_from_slice(&[*u, *v]);
        }
    }
}

/// Fails what must not be called from within a callback.
fn check_outside(call: &str) -> Result<()> {
    if IS_PARSING.get() {
        return Err(breach(call, INVALID_VALUE, format_args!("called from within a parser's callback")));
    }
    Ok(())
}

calls! {
    /// `cuvidGetDecoderCaps`
    fn cuvidGetDecoderCaps[_call](caps: *mut CUVIDDECODECAPS) {
        // SAFETY: the caller gives a structure, or null.
        let caps = unsafe { caps.as_mut() }.ok_or(INVALID_VALUE)?;
        let is_there = caps.eCodecType == CODEC_H264 && caps.eChromaFormat == CHROMA_420;
        caps.bIsSupported = u8::from(is_there && caps.nBitDepthMinus8 == 0);
        caps.nNumNVDECs = caps.bIsSupported;
        caps.nOutputFormatMask = u16::from(caps.bIsSupported);
        (caps.nMaxWidth, caps.nMaxHeight) = SIDES_MAX;
        caps.nMaxMBCount = SIDES_MAX.0 * SIDES_MAX.1 / 256;
        (caps.nMinWidth, caps.nMinHeight) = SIDES_MIN;
        Ok(())
    }

    /// `cuvidCreateDecoder`
    fn cuvidCreateDecoder[call](decoder: *mut usize, info: *mut CUVIDDECODECREATEINFO) {
        // SAFETY: the caller gives a description, or null, and room for a handle.
        let info = unsafe { info.as_ref() }.ok_or(INVALID_VALUE)?;
        let made = create(call, info)?;
        let mut all = Decoders::lock();
        all.next += 16;
        let handle = all.next;
        all.decoders.insert(handle, made);
        // SAFETY: as above.
        unsafe { decoder.write(handle) };
        Ok(())
    }

    /// `cuvidDestroyDecoder`
    fn cuvidDestroyDecoder[call](decoder: usize) {
        let mut all = Decoders::lock();
        let mapped = all.at(call, decoder)?.mapped.len();
        if mapped > 0 {
            return Err(breach(call, INVALID_VALUE, format_args!("{mapped} pictures are still mapped")));
        }
        all.decoders.remove(&decoder).map(|_| ()).ok_or(INVALID_HANDLE)
    }

    /// `cuvidDecodePicture`
    fn cuvidDecodePicture[call](decoder: usize, picture: *mut CUVIDPICPARAMS) {
        // SAFETY: the caller gives a description, or null.
        let picture = unsafe { picture.as_ref() }.ok_or(INVALID_VALUE)?;
        Decoders::lock().at(call, decoder)?.decode(call, picture)
    }

    /// `cuvidGetDecodeStatus`
    fn cuvidGetDecodeStatus[call](decoder: usize, surface: c_int, status: *mut CUVIDGETDECODESTATUS) {
        let mut all = Decoders::lock();
        let surfaces = &all.at(call, decoder)?.surfaces;
        let found = usize::try_from(surface).ok().and_then(|surface| surfaces.get(surface)?.as_ref());
        let answer = match found {
            Some(Some(_)) => STATUS_SUCCESS,
            Some(None) => STATUS_ERROR,
            None => 0,
        };
        // SAFETY: the caller gives a structure, or null.
        unsafe { status.as_mut() }.ok_or(INVALID_VALUE)?.decodeStatus = answer;
        Ok(())
    }

    /// `cuvidMapVideoFrame64`
    fn cuvidMapVideoFrame64[call](
        decoder: usize, surface: c_int, pointer: *mut u64, pitch: *mut c_uint, how: *mut CUVIDPROCPARAMS,
    ) {
        check_outside(call)?;
        // SAFETY: the caller gives a structure, or null.
        let how = unsafe { how.as_ref() }.ok_or(INVALID_VALUE)?;
        if how.progressive_frame != 1 || how.Reserved != [0; 46] {
            return Err(breach(call, INVALID_VALUE, format_args!("fields, or reserved ones that are not zero")));
        }
        cuda::wait(how.output_stream as usize)?;
        let (address, apart) = Decoders::lock().at(call, decoder)?.map(call, surface)?;
        // SAFETY: the caller gives room for both.
        unsafe {
            pointer.write(address);
            pitch.write(c_uint::try_from(apart).map_err(|_| INVALID_VALUE)?);
        }
        Ok(())
    }

    /// `cuvidUnmapVideoFrame64`
    fn cuvidUnmapVideoFrame64[call](decoder: usize, pointer: u64) {
        let mut all = Decoders::lock();
        let mapped = &mut all.at(call, decoder)?.mapped;
        let Some(index) = mapped.iter().position(|mapped| *mapped == pointer) else {
            return Err(breach(call, INVALID_VALUE, format_args!("it is not mapped, or not any more")));
        };
        mapped.remove(index);
        drop(all);
        cuda::free(pointer)
    }

    /// Not of NVIDIA's: 0 when no decoder is left.
    fn punktfunk_standin_nvdec_held[_call](count: *mut c_int) {
        let held = Decoders::lock().decoders.len();
        // SAFETY: the caller gives room for a number, or null.
        *unsafe { count.as_mut() }.ok_or(INVALID_VALUE)? = c_int::try_from(held).unwrap_or(c_int::MAX);
        Ok::<(), Code>(())
    }
}
