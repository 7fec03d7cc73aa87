//! What one picture is asked for with.

use punktfunk_nvenc::sys::*;

use crate::card::Codec;
use crate::check::{null, only, zero, zero_words};
use crate::config::Setup;
use crate::status::{Answer, Refused, require};

/// A picture to encode, or the end of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Picture(Wish),
    End,
}

/// One picture's parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) input: usize,
    pub(crate) output: usize,
    pub(crate) time_stamp: u64,
    pub(crate) duration: u64,
    pub(crate) frame_idx: u32,
    pub(crate) pitch: u32,
    pub(crate) format: NV_ENC_BUFFER_FORMAT,
    pub(crate) is_idr: bool,
    pub(crate) with_sets: bool,
    /// A wave of intra refresh of so many pictures begins.
    pub(crate) refresh: Option<u32>,
}

const KNOWN_FLAGS: u32 = NV_ENC_PIC_FLAG_FORCEIDR.0 | NV_ENC_PIC_FLAG_OUTPUT_SPSPPS.0 | NV_ENC_PIC_FLAG_EOS.0;

/// Judges what nvEncEncodePicture was given.
///
/// # Safety
/// What its arrays point to lives for the call.
pub(crate) unsafe fn read(params: &NV_ENC_PIC_PARAMS, setup: &Setup, api: Api) -> Answer<Asked> {
    let flags = params.encodePicFlags;
    require(flags & !KNOWN_FLAGS == 0, NV_ENC_ERR_UNSUPPORTED_PARAM, || {
        format!("encodePicFlags {flags:#x} ask for what is not played here")
    })?;
    null("completionEvent, which Linux has not,", &[params.completionEvent])?;
    zero_words("hints, QP maps, alpha, state and reserved fields", &params.rest)?;
    if flags & NV_ENC_PIC_FLAG_EOS.0 != 0 {
        null("inputBuffer and outputBitstream of an end", &[params.inputBuffer, params.outputBitstream])?;
        return Ok(Asked::End);
    }
    require(params.pictureStruct == NV_ENC_PIC_STRUCT_FRAME, NV_ENC_ERR_INVALID_PARAM, || {
        format!("pictureStruct is {:?}", params.pictureStruct)
    })?;
    let (width, height) = (params.inputWidth, params.inputHeight);
    require((width, height) == (setup.width, setup.height), NV_ENC_ERR_INVALID_PARAM, || {
        format!(
            "inputWidth and inputHeight are {width}x{height}, and the session is {}x{}",
            setup.width, setup.height
        )
    })?;
    let refresh = match setup.codec {
        // SAFETY: every bit pattern is a value of these plain structures, and the session says which of them it is.
        Codec::H264 => h264(unsafe { &params.codecPicParams.h264PicParams })?,
        // SAFETY: as above.
        Codec::Hevc => hevc(unsafe { &params.codecPicParams.hevcPicParams }, setup, api)?,
        // SAFETY: as above.
        Codec::Av1 => av1(unsafe { &params.codecPicParams.av1PicParams }, setup, api)?,
    };
    require(refresh == 0 || setup.part.refresh.is_some(), NV_ENC_ERR_INVALID_PARAM, || {
        "forceIntraRefreshWithFrameCnt without enableIntraRefresh".to_owned()
    })?;
    Ok(Asked::Picture(Wish {
        input: params.inputBuffer as usize,
        output: params.outputBitstream as usize,
        time_stamp: params.inputTimeStamp,
        duration: params.inputDuration,
        frame_idx: params.frameIdx,
        pitch: params.inputPitch,
        format: params.bufferFmt,
        is_idr: flags & NV_ENC_PIC_FLAG_FORCEIDR.0 != 0,
        with_sets: flags & NV_ENC_PIC_FLAG_OUTPUT_SPSPPS.0 != 0,
        refresh: (refresh > 0).then_some(refresh),
    }))
}

fn h264(h264: &NV_ENC_PIC_PARAMS_H264) -> Answer<u32> {
    use NV_ENC_PIC_PARAMS_H264 as H264;
    only("NV_ENC_PIC_PARAMS_H264", h264.flags, &[H264::constrainedFrame])?;
    zero(
        "long-term references and forced slices",
        &[
            h264.colourPlaneId,
            h264.sliceTypeArrayCnt,
            h264.ltrMarkFrameIdx,
            h264.ltrUseFrameBitmap,
            h264.ltrUsageMode,
            h264.forceIntraSliceCount,
            h264.reserved3,
        ],
    )?;
    zero("NV_ENC_PIC_PARAMS_H264::reserved", &h264.reserved)?;
    null("NV_ENC_PIC_PARAMS_H264::reserved2", &h264.reserved2)?;
    messages(h264.seiPayloadArrayCnt, h264.seiPayloadArray)?;
    Ok(h264.forceIntraRefreshWithFrameCnt)
}

fn hevc(hevc: &NV_ENC_PIC_PARAMS_HEVC, setup: &Setup, api: Api) -> Answer<u32> {
    use NV_ENC_PIC_PARAMS_HEVC as Hevc;
    only("NV_ENC_PIC_PARAMS_HEVC", hevc.flags, &[Hevc::constrainedFrame])?;
    zero(
        "layers, views, long-term references and forced slices",
        &[
            hevc.temporalId,
            hevc.sliceTypeArrayCnt,
            hevc.ltrMarkFrameIdx,
            hevc.ltrUseFrameBitmap,
            hevc.ltrUsageMode,
            hevc.numTemporalLayers,
            hevc.viewId,
            hevc.reserved1,
            hevc.reserved,
        ],
    )?;
    zero("NV_ENC_PIC_PARAMS_HEVC::reserved2", &hevc.reserved2)?;
    null("NV_ENC_PIC_PARAMS_HEVC::reserved3", &hevc.reserved3)?;
    null("p3DReferenceDisplayInfo", &[hevc.p3DReferenceDisplayInfo])?;
    light(&[hevc.pMaxCll.cast(), hevc.pMasteringDisplay.cast()], setup, api)?;
    messages(hevc.seiPayloadArrayCnt, hevc.seiPayloadArray)?;
    Ok(hevc.forceIntraRefreshWithFrameCnt)
}

fn av1(av1: &NV_ENC_PIC_PARAMS_AV1, setup: &Setup, api: Api) -> Answer<u32> {
    only("NV_ENC_PIC_PARAMS_AV1", av1.flags, &[NV_ENC_PIC_PARAMS_AV1::errorResilientModeFlag])?;
    zero(
        "layers, tiles and long-term references",
        &[
            av1.temporalId,
            av1.ltrMarkFrameIdx,
            av1.ltrUseFrameBitmap,
            av1.numTemporalLayers,
            av1.reserved,
            av1.reserved1,
            av1.reserved4,
        ],
    )?;
    zero("NV_ENC_PIC_PARAMS_AV1::reserved2", &av1.reserved2)?;
    null("NV_ENC_PIC_PARAMS_AV1::reserved3", &av1.reserved3)?;
    null(
        "tileWidths, tileHeights and filmGrainParams",
        &[av1.tileWidths.cast(), av1.tileHeights.cast(), av1.filmGrainParams],
    )?;
    light(&[av1.pMaxCll.cast(), av1.pMasteringDisplay.cast()], setup, api)?;
    messages(av1.obuPayloadArrayCnt, av1.obuPayloadArray)?;
    Ok(av1.forceIntraRefreshWithFrameCnt)
}

/// Light levels come only where the session was set up for them.
fn light(pointers: &[*mut std::ffi::c_void], setup: &Setup, api: Api) -> Answer {
    if api >= Api::V13_0 && setup.part.hdr {
        return Ok(());
    }
    null("pMaxCll and pMasteringDisplay without outputMaxCll and outputMasteringDisplay", pointers)
}

/// Messages that go before the picture.
fn messages(count: u32, payloads: *mut NV_ENC_SEI_PAYLOAD) -> Answer {
    require(count <= 16, NV_ENC_ERR_INVALID_PARAM, || format!("{count} messages before one picture"))?;
    require(count == 0 || !payloads.is_null(), NV_ENC_ERR_INVALID_PTR, || {
        "a null array of messages".to_owned()
    })?;
    for at in 0..count as usize {
        // SAFETY: the caller says that so many are there.
        let payload = unsafe { &*payloads.add(at) };
        if payload.payload.is_null() || payload.payloadSize == 0 {
            return Refused::breach(NV_ENC_ERR_INVALID_PTR, format!("message {at} is empty"));
        }
    }
    Ok(())
}
