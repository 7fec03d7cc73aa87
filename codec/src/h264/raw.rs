//! openh264's C interface behind safe types: the only unsafe code of this crate.
//!
//! Promised: pointers go in with lengths that were checked, and come out as slices that live no longer than the
//! library keeps them (until the next call on the same object, which `&mut` enforces).
//! Refused: any call on an object whose creation or set-up failed (such an object does not exist).
//!
//! openh264's objects have no affinity to a thread; they are `Send`, and not `Sync`.

#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::fmt;
use std::ptr::NonNull;

use openh264_sys2::{
    API, DECODER_OPTION_ERROR_CON_IDC, DECODER_OPTION_TRACE_LEVEL, DynamicAPI, ENCODER_LTR_MARKING_FEEDBACK,
    ENCODER_LTR_RECOVERY_REQUEST, ENCODER_OPTION_BITRATE, ENCODER_OPTION_TRACE_LEVEL, ERROR_CON_DISABLE,
    ISVCDecoder, ISVCDecoderVtbl, ISVCEncoder, ISVCEncoderVtbl, LTR_MARKING_FAILED, LTR_MARKING_SUCCESS,
    LTR_RECOVERY_REQUEST, SBitrateInfo, SBufferInfo, SDecodingParam, SEncParamExt, SFrameBSInfo,
    SLTRMarkingFeedback, SLTRRecoverRequest, SPATIAL_LAYER_ALL, SSourcePicture, VIDEO_BITSTREAM_AVC,
    VIDEO_CODING_LAYER, WELS_LOG_QUIET, videoFormatI420, videoFrameTypeIDR,
};

use super::references::Word;
use crate::{CodecError, I420};

#[cfg(target_arch = "x86_64")]
mod assembly {
    //! Makes linking fail where openh264 was once built without nasm: its build script does not run again when nasm
    //! is installed later. An undefined `WelsSampleSad16x16_sse2` means `cargo clean -p openh264-sys2`.

    unsafe extern "C" {
        fn WelsSampleSad16x16_sse2(a: *const u8, stride_a: i32, b: *const u8, stride_b: i32) -> i32;
    }

    #[used]
    static LINKED: unsafe extern "C" fn(*const u8, i32, *const u8, i32) -> i32 = WelsSampleSad16x16_sse2;
}

/// One openh264 encoder, set up.
pub(super) struct RawEncoder {
    object: NonNull<ISVCEncoder>,
    api: DynamicAPI,
    au: Box<SFrameBSInfo>,
}

// SAFETY: the object is plain heap memory without thread-local state and with one worker thread set none of its own;
// it is reached only through `&mut self`.
unsafe impl Send for RawEncoder {}

impl RawEncoder {
    /// Creates an encoder; `configure` changes the library's defaults.
    pub(super) fn new(configure: impl FnOnce(&mut SEncParamExt)) -> Result<Self, CodecError> {
        let api = DynamicAPI::from_source();
        let mut object: *mut ISVCEncoder = std::ptr::null_mut();
        // SAFETY: the out-pointer is valid for the call.
        let code = unsafe { api.WelsCreateSVCEncoder(&raw mut object) };
        let object = NonNull::new(object).ok_or_else(|| refused("create an encoder", code))?;
        let mut raw = Self { object, api, au: Box::default() };
        raw.set_option(ENCODER_OPTION_TRACE_LEVEL, &mut { WELS_LOG_QUIET }, "be quiet")?;
        let mut params = SEncParamExt::default();
        let vtable = raw.vtable();
        let defaults = vtable.GetDefaultParams.ok_or_else(|| refused("offer defaults", 0))?;
        let initialize = vtable.InitializeExt.ok_or_else(|| refused("offer its set-up", 0))?;
        // SAFETY: `object` is a live encoder of this vtable and `params` a valid out-pointer.
        check("give defaults", unsafe { defaults(raw.object.as_ptr(), &raw mut params) })?;
        configure(&mut params);
        // SAFETY: as above; the library copies the parameters.
        check("take this configuration", unsafe { initialize(raw.object.as_ptr(), &raw const params) })?;
        Ok(raw)
    }

    /// Encodes one picture. After an error the object can only be dropped.
    pub(super) fn encode(
        &mut self,
        picture: &I420<'_>,
        pts_ms: i64,
        force_idr: bool,
    ) -> Result<(), CodecError> {
        let vtable = self.vtable();
        let force = vtable.ForceIntraFrame.ok_or_else(|| refused("offer IDRs", 0))?;
        let encode = vtable.EncodeFrame.ok_or_else(|| refused("offer encoding", 0))?;
        if force_idr {
            // SAFETY: `object` is a live, initialised encoder.
            check("force an IDR", unsafe { force(self.object.as_ptr(), true) })?;
        }
        let strides = [picture.stride_y(), picture.stride_uv(), picture.stride_uv(), 0];
        let source = SSourcePicture {
            iColorFormat: videoFormatI420,
            iStride: strides.map(clamped_int),
            pData: [
                picture.y().as_ptr().cast_mut(),
                picture.u().as_ptr().cast_mut(),
                picture.v().as_ptr().cast_mut(),
                std::ptr::null_mut(),
            ],
            iPicWidth: clamped_int(picture.width() as usize),
            iPicHeight: clamped_int(picture.height() as usize),
            uiTimeStamp: pts_ms,
            bPsnrY: false,
            bPsnrU: false,
            bPsnrV: false,
        };
        // SAFETY: an `I420` has planes that reach from their first pixel to the last one of its sides at its strides,
        // and the library only copies out of them (`WelsMoveMemoryWrapper`), never past the sides nor into them.
        let code = unsafe { encode(self.object.as_ptr(), &raw const source, &raw mut *self.au) };
        check("encode a picture", code)
    }

    /// The last access unit, and through `nal` each of its NAL units in order: bytes, and whether it is a slice.
    /// Empty when the library made nothing of the picture.
    pub(super) fn au(&self, mut nal: impl FnMut(usize, bool)) -> Result<&[u8], CodecError> {
        let layers = usize::try_from(self.au.iLayerNum).unwrap_or(0).min(self.au.sLayerInfo.len());
        let layers = &self.au.sLayerInfo[..layers];
        let Some(first) = layers.iter().find(|layer| layer.iNalCount > 0) else { return Ok(&[]) };
        let mut bytes = 0;
        for layer in layers {
            if layer.iNalCount <= 0 {
                continue;
            }
            // The layers of one access unit are written back to back into the encoder's one frame buffer.
            if layer.pBsBuf.addr() != first.pBsBuf.addr() + bytes || layer.pNalLengthInByte.is_null() {
                return Err(refused("lay out its access unit in one piece", 0));
            }
            let count = usize::try_from(layer.iNalCount).unwrap_or(0);
            // SAFETY: the library set `iNalCount` lengths at this pointer, which stays valid until its next call.
            let lengths = unsafe { std::slice::from_raw_parts(layer.pNalLengthInByte, count) };
            for &length in lengths {
                let length =
                    usize::try_from(length).map_err(|_| refused("give NAL lengths", i64::from(length)))?;
                nal(length, c_int::from(layer.uiLayerType) == VIDEO_CODING_LAYER);
                bytes += length;
            }
        }
        // SAFETY: all layers lie back to back (checked above) in the encoder's frame buffer, one allocation that is
        // neither moved nor written before the next call, which needs `&mut self`.
        Ok(unsafe { std::slice::from_raw_parts(first.pBsBuf, bytes) })
    }

    /// Whether the last access unit is an IDR.
    pub(super) fn is_idr(&self) -> bool {
        let layers = usize::try_from(self.au.iLayerNum).unwrap_or(0).min(self.au.sLayerInfo.len());
        self.au.sLayerInfo[..layers].iter().any(|layer| {
            c_int::from(layer.uiLayerType) == VIDEO_CODING_LAYER && layer.eFrameType == videoFrameTypeIDR
        })
    }

    /// Tells what became of a marked picture.
    pub(super) fn tell(&mut self, word: Word) -> Result<(), CodecError> {
        let kind = if word.has_arrived { LTR_MARKING_SUCCESS } else { LTR_MARKING_FAILED };
        let mut value = SLTRMarkingFeedback {
            uiFeedbackType: kind.cast_unsigned(),
            uiIDRPicId: word.idr_pic_id,
            // At most 16 bits.
            iLTRFrameNum: word.frame_num as c_int,
            iLayerId: 0,
        };
        self.set_option(ENCODER_LTR_MARKING_FEEDBACK, &mut value, "take word of a marked picture")
    }

    /// Makes the next picture refer to a marked one that has arrived.
    pub(super) fn recover(&mut self, idr_pic_id: u32) -> Result<(), CodecError> {
        let mut value = SLTRRecoverRequest {
            uiFeedbackType: LTR_RECOVERY_REQUEST.cast_unsigned(),
            uiIDRPicId: idr_pic_id,
            iLastCorrectFrameNum: 0,
            // Not known, with which the library asks no more.
            iCurrentFrameNum: -1,
            iLayerId: 0,
        };
        self.set_option(ENCODER_LTR_RECOVERY_REQUEST, &mut value, "recover from a loss")
    }

    /// Sets the target rate in bit/s.
    pub(super) fn set_bitrate(&mut self, bps: i32) -> Result<(), CodecError> {
        let mut value = SBitrateInfo { iLayer: SPATIAL_LAYER_ALL, iBitrate: bps };
        self.set_option(ENCODER_OPTION_BITRATE, &mut value, "take this bitrate")
    }

    /// `value` must be of the type that the option's documentation names.
    fn set_option<T>(&mut self, option: c_int, value: &mut T, step: &'static str) -> Result<(), CodecError> {
        let set = self.vtable().SetOption.ok_or_else(|| refused("offer options", 0))?;
        // SAFETY: `object` is a live encoder; every caller passes the type that the option reads.
        check(step, unsafe { set(self.object.as_ptr(), option, (&raw mut *value).cast::<c_void>()) })
    }

    fn vtable(&self) -> ISVCEncoderVtbl {
        // SAFETY: a live openh264 object begins with a pointer to its static table of functions.
        unsafe { **self.object.as_ptr() }
    }
}

impl Drop for RawEncoder {
    fn drop(&mut self) {
        // SAFETY: the object was made by `WelsCreateSVCEncoder` and is destroyed once.
        unsafe { self.api.WelsDestroySVCEncoder(self.object.as_ptr()) };
    }
}

impl fmt::Debug for RawEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawEncoder").finish_non_exhaustive()
    }
}

/// One openh264 decoder, set up, with error concealment off.
pub(super) struct RawDecoder {
    object: NonNull<ISVCDecoder>,
    api: DynamicAPI,
    /// What the last call gave out, whose planes live until the next.
    given: SBufferInfo,
}

// SAFETY: as for `RawEncoder`; no decoding threads are asked for.
unsafe impl Send for RawDecoder {}

impl RawDecoder {
    pub(super) fn new() -> Result<Self, CodecError> {
        let api = DynamicAPI::from_source();
        let mut object: *mut ISVCDecoder = std::ptr::null_mut();
        // SAFETY: the out-pointer is valid for the call.
        let code = unsafe { api.WelsCreateDecoder(&raw mut object) };
        let object = NonNull::new(object).ok_or_else(|| refused("create a decoder", code))?;
        let mut raw = Self { object, api, given: SBufferInfo::default() };
        raw.set_option(DECODER_OPTION_TRACE_LEVEL, WELS_LOG_QUIET, "be quiet")?;
        let mut params = SDecodingParam { eEcActiveIdc: ERROR_CON_DISABLE, ..SDecodingParam::default() };
        params.sVideoProperty.eVideoBsType = VIDEO_BITSTREAM_AVC;
        let initialize = raw.vtable().Initialize.ok_or_else(|| refused("offer its set-up", 0))?;
        // SAFETY: `object` is a live decoder of this vtable; the library copies the parameters.
        check("set up a decoder", unsafe { initialize(raw.object.as_ptr(), &raw const params) })?;
        raw.set_option(DECODER_OPTION_ERROR_CON_IDC, ERROR_CON_DISABLE, "switch error concealment off")?;
        Ok(raw)
    }

    /// Feeds bytes, or with `None` tells the decoder that the access unit is over. Returns openh264's
    /// `DECODING_STATE` bits; 0 is free of errors.
    pub(super) fn feed(&mut self, bytes: Option<&[u8]>) -> Result<i32, CodecError> {
        let decode = self.vtable().DecodeFrame2.ok_or_else(|| refused("offer decoding", 0))?;
        let (source, length) = match bytes {
            Some(bytes) => (bytes.as_ptr(), clamped_int(bytes.len())),
            None => (std::ptr::null(), 0),
        };
        Ok(self.call(|object, planes, info| {
            // SAFETY: `object` is a live, initialised decoder; `source` is valid for `length` bytes, which the library
            // copies before it writes to them; the out-pointers are valid for the call.
            unsafe { decode(object, source, length, planes, info) }
        }))
    }

    /// Gives out a picture that waits for its turn in display order, if there is one. Returns as `feed`.
    pub(super) fn flush(&mut self) -> Result<i32, CodecError> {
        let flush = self.vtable().FlushFrame.ok_or_else(|| refused("offer flushing", 0))?;
        // SAFETY: as in `feed`.
        Ok(self.call(|object, planes, info| unsafe { flush(object, planes, info) }))
    }

    fn call(&mut self, verb: impl FnOnce(*mut ISVCDecoder, *mut *mut u8, *mut SBufferInfo) -> i32) -> i32 {
        // Before the call: from now on what was given out may be overwritten.
        self.given = SBufferInfo::default();
        let mut info = SBufferInfo::default();
        let mut planes = [std::ptr::null_mut(); 3];
        let state = verb(self.object.as_ptr(), planes.as_mut_ptr(), &raw mut info);
        info.pDst = planes;
        self.given = info;
        state
    }

    /// The planes of the picture that the last call gave out, if it did.
    pub(super) fn picture(&self) -> Result<Option<I420<'_>>, CodecError> {
        let info = &self.given;
        if info.iBufferStatus != 1 || info.pDst.iter().any(|plane| plane.is_null()) {
            return Ok(None);
        }
        // SAFETY: the union has one member.
        let buffer = unsafe { info.UsrData.sSystemBuffer };
        let sides = (u32::try_from(buffer.iWidth), u32::try_from(buffer.iHeight));
        let strides = (usize::try_from(buffer.iStride[0]), usize::try_from(buffer.iStride[1]));
        let ((Ok(width), Ok(height)), (Ok(stride_y), Ok(stride_uv))) = (sides, strides) else {
            return Err(refused("give a picture's sides", i64::from(buffer.iWidth)));
        };
        if width == 0 || height == 0 {
            return Err(CodecError::Size { width, height });
        }
        let [y, u, v] = info.pDst;
        let plane = |pixels: *mut u8, stride: usize, width: u32, height: u32| {
            // SAFETY: the library gives planes of `height` rows, `stride` bytes apart, of `width` pixels each, in a
            // buffer that it keeps until its next call, which needs `&mut self`.
            unsafe { std::slice::from_raw_parts(pixels, stride * (height as usize - 1) + width as usize) }
        };
        let y = plane(y, stride_y, width, height);
        let (width_uv, height_uv) = (width.div_ceil(2), height.div_ceil(2));
        let (u, v) = (plane(u, stride_uv, width_uv, height_uv), plane(v, stride_uv, width_uv, height_uv));
        I420::new((width, height), (y, stride_y), (u, v, stride_uv)).map(Some)
    }

    fn set_option(&mut self, option: c_int, mut value: c_int, step: &'static str) -> Result<(), CodecError> {
        let set = self.vtable().SetOption.ok_or_else(|| refused("offer options", 0))?;
        // SAFETY: `object` is a live decoder; both options that are set read an int.
        check(step, unsafe { set(self.object.as_ptr(), option, (&raw mut value).cast::<c_void>()) })
    }

    fn vtable(&self) -> ISVCDecoderVtbl {
        // SAFETY: a live openh264 object begins with a pointer to its static table of functions.
        unsafe { **self.object.as_ptr() }
    }
}

impl Drop for RawDecoder {
    fn drop(&mut self) {
        // SAFETY: the object was made by `WelsCreateDecoder` and is destroyed once; its destructor undoes its set-up.
        unsafe { self.api.WelsDestroyDecoder(self.object.as_ptr()) };
    }
}

impl fmt::Debug for RawDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawDecoder").finish_non_exhaustive()
    }
}

fn refused(step: &'static str, code: impl Into<i64>) -> CodecError {
    CodecError::Library { step, code: code.into() }
}

fn check(step: &'static str, code: impl Into<i64>) -> Result<(), CodecError> {
    match code.into() {
        0 => Ok(()),
        code => Err(refused(step, code)),
    }
}

/// Sizes are bounded far below `c_int::MAX` before they get here; a clamp keeps the conversion total.
fn clamped_int(value: usize) -> c_int {
    c_int::try_from(value).unwrap_or(c_int::MAX)
}
