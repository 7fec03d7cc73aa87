//! Our bindings against NVIDIA's headers: a C program prints what a compiler makes of these, and each figure is compared.
//!
//! `cargo xtask test` lays the headers below `target/nvidia-headers`: 12.1 as Debian packages it, 13.0 as a crate has it.

mod headers;

use headers::Header;
use punktfunk_nvenc::sys::*;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::mem::{align_of, offset_of, size_of};

/// What Rust makes of one structure.
struct Layout {
    name: &'static str,
    size: usize,
    align: usize,
    /// Name, offset and size.
    fields: Vec<(&'static str, usize, usize)>,
    /// Those that 12.1 does not name.
    since_13: &'static [&'static str],
    /// Name, offset of its word, mask in it.
    bits: Vec<(&'static str, usize, u32)>,
    /// The word that the header computes, for both versions.
    words: Option<(u32, u32)>,
}

fn size_behind<T, F>(_: impl Fn(&T) -> &F) -> usize {
    size_of::<F>()
}

/// A structure's layout, with the names of its fields and bits.
macro_rules! layout {
    (@words versioned $name:ident) => {
        Some((Api::V12_1.version_of::<$name>(), Api::V13_0.version_of::<$name>()))
    };
    (@words plain $name:ident) => { None };
    ($kind:ident $name:ident { $($field:ident),* } since 13.0 [$($new:ident),*] $(bits of flags [$($bit:ident),*])?) => {
        Layout {
            name: stringify!($name),
            size: size_of::<$name>(),
            align: align_of::<$name>(),
            fields: vec![
                $((stringify!($field), offset_of!($name, $field), size_behind(|it: &$name| &it.$field)),)*
                $((stringify!($new), offset_of!($name, $new), size_behind(|it: &$name| &it.$new)),)*
            ],
            since_13: &[$(stringify!($new)),*],
            bits: vec![$($((stringify!($bit), offset_of!($name, flags), $name::$bit.mask())),*)?],
            words: layout!(@words $kind $name),
        }
    };
}

/// What is longer in one version than in the other, and ends in zeroes: only where it begins is compared.
const SHORTER_IN_ONE: &[&str] = &["codecPicParams", "reInitEncodeParams", "timeCode"];

/// Bits that only one of the two versions has.
const BITS_OF_12_1: &[(&str, &str)] = &[
    ("NV_ENC_CONFIG_HEVC", "pixelBitDepthMinus8"),
    ("NV_ENC_CONFIG_AV1", "inputPixelBitDepthMinus8"),
    ("NV_ENC_CONFIG_AV1", "pixelBitDepthMinus8"),
];
const BITS_OF_13_0: &[&str] = &["outputMaxCll", "outputMasteringDisplay"];

/// Names of numbers and GUIDs that 12.1 does not have.
const NAMES_OF_13_0: &[&str] = &[
    "NV_ENC_PIC_TYPE_SWITCH",
    "NV_ENC_BUFFER_FORMAT_NV16",
    "NV_ENC_BUFFER_FORMAT_P210",
    "NV_ENC_CAPS_SUPPORT_TEMPORAL_FILTER",
    "NV_ENC_CAPS_SUPPORT_LOOKAHEAD_LEVEL",
    "NV_ENC_CAPS_SUPPORT_UNIDIRECTIONAL_B",
    "NV_ENC_CAPS_SUPPORT_MVHEVC_ENCODE",
    "NV_ENC_CAPS_SUPPORT_YUV422_ENCODE",
    "NV_ENC_TUNING_INFO_ULTRA_HIGH_QUALITY",
    "NV_ENC_SPLIT_FOUR_FORCED_MODE",
    "NV_ENC_BIT_DEPTH_INVALID",
    "NV_ENC_BIT_DEPTH_8",
    "NV_ENC_BIT_DEPTH_10",
    "NV_ENC_H264_PROFILE_HIGH_10_GUID",
];

fn configurations() -> Vec<Layout> {
    vec![
        layout!(versioned NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS { version, deviceType, device, reserved, apiVersion, reserved1, reserved2 } since 13.0 []),
        layout!(plain NV_ENC_QP { qpInterP, qpInterB, qpIntra } since 13.0 []),
        layout!(versioned NV_ENC_RC_PARAMS {
            version, rateControlMode, constQP, averageBitRate, maxBitRate, vbvBufferSize, vbvInitialDelay, minQP, maxQP,
            initialRCQP, temporallayerIdxMask, temporalLayerQP, targetQuality, targetQualityLSB, lookaheadDepth,
            lowDelayKeyFrameScale, yDcQPIndexOffset, uDcQPIndexOffset, vDcQPIndexOffset, qpMapMode, multiPass,
            alphaLayerBitrateRatio, cbQPIndexOffset, crQPIndexOffset, reserved2
        } since 13.0 [] bits of flags [
            enableMinQP, enableMaxQP, enableInitialRCQP, enableAQ, enableLookahead, disableIadapt, disableBadapt,
            enableTemporalAQ, zeroReorderDelay, enableNonRefP, strictGOPTarget, aqStrength
        ]),
        layout!(plain NV_ENC_CONFIG_H264_VUI_PARAMETERS {
            overscanInfoPresentFlag, overscanInfo, videoSignalTypePresentFlag, videoFormat, videoFullRangeFlag,
            colourDescriptionPresentFlag, colourPrimaries, transferCharacteristics, colourMatrix, chromaSampleLocationFlag,
            chromaSampleLocationTop, chromaSampleLocationBot, bitstreamRestrictionFlag, timingInfoPresentFlag,
            numUnitInTicks, timeScale, reserved
        } since 13.0 []),
        layout!(plain NV_ENC_CONFIG_H264 {
            level, idrPeriod, separateColourPlaneFlag, disableDeblockingFilterIDC, numTemporalLayers, spsId, ppsId,
            adaptiveTransformMode, fmoMode, bdirectMode, entropyCodingMode, stereoMode, intraRefreshPeriod, intraRefreshCnt,
            maxNumRefFrames, sliceMode, sliceModeData, h264VUIParameters, ltrNumFrames, ltrTrustMode, chromaFormatIDC,
            maxTemporalLayers, useBFramesAsRef, numRefL0, numRefL1, reserved2
        } since 13.0 [outputBitDepth, inputBitDepth] bits of flags [
            enableTemporalSVC, outputBufferingPeriodSEI, outputPictureTimingSEI, outputAUD, disableSPSPPS,
            outputRecoveryPointSEI, enableIntraRefresh, enableConstrainedEncoding, repeatSPSPPS, enableLTR,
            enableFillerDataInsertion, singleSliceIntraRefresh
        ]),
        layout!(plain NV_ENC_CONFIG_HEVC {
            level, tier, minCUSize, maxCUSize, idrPeriod, intraRefreshPeriod, intraRefreshCnt, maxNumRefFramesInDPB,
            ltrNumFrames, vpsId, spsId, ppsId, sliceMode, sliceModeData, maxTemporalLayersMinus1, hevcVUIParameters,
            ltrTrustMode, useBFramesAsRef, numRefL0, numRefL1, reserved2
        } since 13.0 [tfLevel, disableDeblockingFilterIDC, outputBitDepth, inputBitDepth] bits of flags [
            outputBufferingPeriodSEI, outputPictureTimingSEI, outputAUD, enableLTR, disableSPSPPS, repeatSPSPPS,
            enableIntraRefresh, chromaFormatIDC, pixelBitDepthMinus8, enableFillerDataInsertion, enableConstrainedEncoding,
            singleSliceIntraRefresh, outputRecoveryPointSEI, outputMaxCll, outputMasteringDisplay
        ]),
        layout!(plain NV_ENC_CONFIG_AV1 {
            level, tier, minPartSize, maxPartSize, idrPeriod, intraRefreshPeriod, intraRefreshCnt, maxNumRefFramesInDPB,
            numTileColumns, numTileRows, tileWidths, tileHeights, maxTemporalLayersMinus1, colorPrimaries,
            transferCharacteristics, matrixCoefficients, colorRange, chromaSamplePosition, useBFramesAsRef, filmGrainParams,
            numFwdRefs, numBwdRefs
        } since 13.0 [outputBitDepth, inputBitDepth] bits of flags [
            outputAnnexBFormat, disableSeqHdr, repeatSeqHdr, enableIntraRefresh, chromaFormatIDC, enableBitstreamPadding,
            enableCustomTileConfig, inputPixelBitDepthMinus8, pixelBitDepthMinus8, outputMaxCll, outputMasteringDisplay
        ]),
        layout!(versioned NV_ENC_CONFIG {
            version, profileGUID, gopLength, frameIntervalP, monoChromeEncoding, frameFieldMode, mvPrecision, rcParams,
            encodeCodecConfig, reserved, reserved2
        } since 13.0 []),
        layout!(versioned NV_ENC_PRESET_CONFIG { version, presetCfg, reserved2 } since 13.0 []),
        layout!(plain NVENC_EXTERNAL_ME_HINT_COUNTS_PER_BLOCKTYPE { reserved1 } since 13.0 []),
        layout!(versioned NV_ENC_INITIALIZE_PARAMS {
            version, encodeGUID, presetGUID, encodeWidth, encodeHeight, darWidth, darHeight, frameRateNum, frameRateDen,
            enableEncodeAsync, enablePTD, privDataSize, privData, encodeConfig, maxEncodeWidth, maxEncodeHeight,
            maxMEHintCountsPerBlock, tuningInfo, bufferFormat, numStateBuffers, outputStatsLevel
        } since 13.0 [] bits of flags [
            reportSliceOffsets, enableSubFrameWrite, enableExternalMEHints, enableMEOnlyMode, enableWeightedPrediction,
            splitEncodeMode, enableOutputInVidmem, enableReconFrameOutput, enableOutputStats
        ]),
        layout!(versioned NV_ENC_RECONFIGURE_PARAMS { version, reInitEncodeParams } since 13.0 []),
    ]
}

fn pictures() -> Vec<Layout> {
    vec![
        layout!(plain NV_ENC_SEI_PAYLOAD { payloadSize, payloadType, payload } since 13.0 []),
        layout!(plain NV_ENC_PIC_PARAMS_H264 {
            displayPOCSyntax, reserved3, refPicFlag, colourPlaneId, forceIntraRefreshWithFrameCnt, sliceTypeData,
            sliceTypeArrayCnt, seiPayloadArrayCnt, seiPayloadArray, sliceMode, sliceModeData, ltrMarkFrameIdx,
            ltrUseFrameBitmap, ltrUsageMode, forceIntraSliceCount, forceIntraSliceIdx, h264ExtPicParams, timeCode, reserved2
        } since 13.0 [] bits of flags [constrainedFrame, sliceModeDataUpdate, ltrMarkFrame, ltrUseFrames]),
        layout!(plain NV_ENC_PIC_PARAMS_HEVC {
            displayPOCSyntax, refPicFlag, temporalId, forceIntraRefreshWithFrameCnt, sliceTypeData, sliceTypeArrayCnt,
            sliceMode, sliceModeData, ltrMarkFrameIdx, ltrUseFrameBitmap, ltrUsageMode, seiPayloadArrayCnt, reserved,
            seiPayloadArray, timeCode
        } since 13.0 [numTemporalLayers, viewId, p3DReferenceDisplayInfo, pMaxCll, pMasteringDisplay]
            bits of flags [constrainedFrame, sliceModeDataUpdate, ltrMarkFrame, ltrUseFrames]),
        layout!(plain NV_ENC_PIC_PARAMS_AV1 {
            displayPOCSyntax, refPicFlag, temporalId, forceIntraRefreshWithFrameCnt, numTileColumns, numTileRows, tileWidths,
            tileHeights, obuPayloadArrayCnt, obuPayloadArray, filmGrainParams
        } since 13.0 [ltrMarkFrameIdx, ltrUseFrameBitmap, numTemporalLayers, pMaxCll, pMasteringDisplay]
            bits of flags [errorResilientModeFlag, tileConfigUpdate, enableCustomTileConfig]),
        layout!(versioned NV_ENC_PIC_PARAMS {
            version, inputWidth, inputHeight, inputPitch, encodePicFlags, frameIdx, inputTimeStamp, inputDuration,
            inputBuffer, outputBitstream, completionEvent, bufferFmt, pictureStruct, pictureType, codecPicParams
        } since 13.0 []),
        layout!(versioned NV_ENC_LOCK_BITSTREAM {
            version, outputBitstream, sliceOffsets, frameIdx, hwEncodeStatus, numSlices, bitstreamSizeInBytes,
            outputTimeStamp, outputDuration, bitstreamBufferPtr, pictureType, pictureStruct, frameAvgQP, frameSatd,
            ltrFrameIdx, ltrFrameBitmap, temporalId, intraMBCount, interMBCount, averageMVX, averageMVY,
            alphaLayerSizeInBytes, outputStatsPtrSize, outputStatsPtr, frameIdxDisplay
        } since 13.0 [] bits of flags [doNotWait, ltrFrame, getRCStats]),
        layout!(versioned NV_ENC_SEQUENCE_PARAM_PAYLOAD {
            version, inBufferSize, spsId, ppsId, spsppsBuffer, outSPSPPSPayloadSize, reserved, reserved2
        } since 13.0 []),
    ]
}

fn resources() -> Vec<Layout> {
    vec![
        layout!(versioned NV_ENC_CAPS_PARAM { version, capsToQuery, reserved } since 13.0 []),
        layout!(versioned NV_ENC_CREATE_BITSTREAM_BUFFER {
            version, size, memoryHeap, reserved, bitstreamBuffer, bitstreamBufferPtr, reserved1, reserved2
        } since 13.0 []),
        layout!(versioned NV_ENC_REGISTER_RESOURCE {
            version, resourceType, width, height, pitch, subResourceIndex, resourceToRegister, registeredResource,
            bufferFormat, bufferUsage, pInputFencePoint, reserved2
        } since 13.0 [chromaOffsetIn]),
        layout!(versioned NV_ENC_MAP_INPUT_RESOURCE {
            version, subResourceIndex, inputResource, registeredResource, mappedResource, mappedBufferFmt, reserved1,
            reserved2
        } since 13.0 []),
        layout!(versioned NV_ENCODE_API_FUNCTION_LIST {
            version, reserved, nvEncOpenEncodeSession, nvEncGetEncodeGUIDCount, nvEncGetEncodeProfileGUIDCount,
            nvEncGetEncodeProfileGUIDs, nvEncGetEncodeGUIDs, nvEncGetInputFormatCount, nvEncGetInputFormats,
            nvEncGetEncodeCaps, nvEncGetEncodePresetCount, nvEncGetEncodePresetGUIDs, nvEncGetEncodePresetConfig,
            nvEncInitializeEncoder, nvEncCreateInputBuffer, nvEncDestroyInputBuffer, nvEncCreateBitstreamBuffer,
            nvEncDestroyBitstreamBuffer, nvEncEncodePicture, nvEncLockBitstream, nvEncUnlockBitstream, nvEncLockInputBuffer,
            nvEncUnlockInputBuffer, nvEncGetEncodeStats, nvEncGetSequenceParams, nvEncRegisterAsyncEvent,
            nvEncUnregisterAsyncEvent, nvEncMapInputResource, nvEncUnmapInputResource, nvEncDestroyEncoder,
            nvEncInvalidateRefFrames, nvEncOpenEncodeSessionEx, nvEncRegisterResource, nvEncUnregisterResource,
            nvEncReconfigureEncoder, reserved1, nvEncCreateMVBuffer, nvEncDestroyMVBuffer, nvEncRunMotionEstimationOnly,
            nvEncGetLastErrorString, nvEncSetIOCudaStreams, nvEncGetEncodePresetConfigEx, nvEncGetSequenceParamEx,
            nvEncRestoreEncoderState, nvEncLookaheadPicture, reserved2
        } since 13.0 []),
    ]
}

/// Structures that only 13.0 has.
fn metadata() -> Vec<Layout> {
    vec![
        layout!(plain CHROMA_POINTS { x, y } since 13.0 []),
        layout!(plain MASTERING_DISPLAY_INFO { g, b, r, whitePoint, maxLuma, minLuma } since 13.0 []),
        layout!(plain CONTENT_LIGHT_LEVEL { maxContentLightLevel, maxPicAverageLightLevel } since 13.0 []),
    ]
}

const NUMBERS: &[&[(&str, u32)]] = &[
    NV_ENC_PARAMS_FRAME_FIELD_MODE::KNOWN,
    NV_ENC_PARAMS_RC_MODE::KNOWN,
    NV_ENC_MULTI_PASS::KNOWN,
    NV_ENC_PIC_STRUCT::KNOWN,
    NV_ENC_PIC_TYPE::KNOWN,
    NV_ENC_BUFFER_FORMAT::KNOWN,
    NVENCSTATUS::KNOWN,
    NV_ENC_PIC_FLAGS::KNOWN,
    NV_ENC_MEMORY_HEAP::KNOWN,
    NV_ENC_INPUT_RESOURCE_TYPE::KNOWN,
    NV_ENC_BUFFER_USAGE::KNOWN,
    NV_ENC_DEVICE_TYPE::KNOWN,
    NV_ENC_NUM_REF_FRAMES::KNOWN,
    NV_ENC_CAPS::KNOWN,
    NV_ENC_TUNING_INFO::KNOWN,
    NV_ENC_SPLIT_ENCODE_MODE::KNOWN,
    NV_ENC_BIT_DEPTH::KNOWN,
    NV_ENC_LEVEL::KNOWN,
    NV_ENC_H264_ENTROPY_CODING_MODE::KNOWN,
    NV_ENC_H264_ADAPTIVE_TRANSFORM_MODE::KNOWN,
    NV_ENC_VUI_VIDEO_FORMAT::KNOWN,
    NV_ENC_VUI_COLOR_PRIMARIES::KNOWN,
    NV_ENC_VUI_TRANSFER_CHARACTERISTIC::KNOWN,
    NV_ENC_VUI_MATRIX_COEFFS::KNOWN,
    &[("NVENC_INFINITE_GOPLENGTH", NVENC_INFINITE_GOPLENGTH), ("NV_MAX_SEQ_HDR_LEN", NV_MAX_SEQ_HDR_LEN)],
];

/// GUIDs by name.
macro_rules! guids {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), $name)),*] };
}

const GUIDS: &[(&str, GUID)] = guids![
    NV_ENC_CODEC_H264_GUID,
    NV_ENC_CODEC_HEVC_GUID,
    NV_ENC_CODEC_AV1_GUID,
    NV_ENC_CODEC_PROFILE_AUTOSELECT_GUID,
    NV_ENC_H264_PROFILE_BASELINE_GUID,
    NV_ENC_H264_PROFILE_MAIN_GUID,
    NV_ENC_H264_PROFILE_HIGH_GUID,
    NV_ENC_H264_PROFILE_HIGH_10_GUID,
    NV_ENC_H264_PROFILE_HIGH_444_GUID,
    NV_ENC_H264_PROFILE_PROGRESSIVE_HIGH_GUID,
    NV_ENC_H264_PROFILE_CONSTRAINED_HIGH_GUID,
    NV_ENC_HEVC_PROFILE_MAIN_GUID,
    NV_ENC_HEVC_PROFILE_MAIN10_GUID,
    NV_ENC_HEVC_PROFILE_FREXT_GUID,
    NV_ENC_AV1_PROFILE_MAIN_GUID,
    NV_ENC_PRESET_P1_GUID,
    NV_ENC_PRESET_P2_GUID,
    NV_ENC_PRESET_P3_GUID,
    NV_ENC_PRESET_P4_GUID,
    NV_ENC_PRESET_P5_GUID,
    NV_ENC_PRESET_P6_GUID,
    NV_ENC_PRESET_P7_GUID,
];

/// What is expected of one header: a line of C that prints a figure, and the figure.
#[derive(Default)]
struct Sheet {
    body: String,
    expected: BTreeMap<String, String>,
}

impl Sheet {
    fn ask(&mut self, key: &str, c: &str, expected: u64) {
        writeln!(self.body, r#"  printf("{key} %llu\n", (unsigned long long)({c}));"#)
            .expect("into a string");
        self.expected.insert(key.to_owned(), expected.to_string());
    }

    fn structure(&mut self, layout: &Layout, api: Api) {
        let name = layout.name;
        self.ask(&format!("align {name}"), &format!("_Alignof({name})"), layout.align as u64);
        for &(field, offset, size) in &layout.fields {
            if api >= Api::V13_0 || !layout.since_13.contains(&field) {
                self.ask(
                    &format!("offset {name}.{field}"),
                    &format!("offsetof({name}, {field})"),
                    offset as u64,
                );
                if !SHORTER_IN_ONE.contains(&field) {
                    let c = format!("sizeof((({name}*)0)->{field})");
                    self.ask(&format!("size {name}.{field}"), &c, size as u64);
                }
            }
        }
        for &(bit, offset, mask) in &layout.bits {
            let has = if BITS_OF_12_1.contains(&(name, bit)) {
                api < Api::V13_0
            } else {
                api >= Api::V13_0 || !BITS_OF_13_0.contains(&bit)
            };
            if has {
                self.bits(name, bit, offset, mask);
            }
        }
        if let Some((old, new)) = layout.words {
            let word = if api < Api::V13_0 { old } else { new };
            self.ask(
                &format!("word {name}"),
                &format!("(uint32_t){name}_VER").replace("SESSIONEX", "SESSION_EX"),
                u64::from(word),
            );
        }
    }

    /// Which bits of the word at `offset` a bit field is.
    fn bits(&mut self, name: &str, bit: &str, offset: usize, mask: u32) {
        let c = format!(
            "({{ {name} it; memset(&it, 0, sizeof it); it.{bit} = ~0; uint32_t word; \
             memcpy(&word, (char*)&it + {offset}, 4); word; }})"
        );
        self.ask(&format!("bits {name}.{bit}"), &c, u64::from(mask));
    }

    /// The flags that lie behind a part whose length differs.
    fn flags_of_a_change(&mut self, api: Api) {
        for (bit, mask) in [
            ("resetEncoder", NV_ENC_RECONFIGURE_PARAMS::resetEncoder.mask()),
            ("forceIDR", NV_ENC_RECONFIGURE_PARAMS::forceIDR.mask()),
        ] {
            let mut it = zeroed::<NV_ENC_RECONFIGURE_PARAMS>();
            it.set_flags(api, mask);
            assert_eq!(it.flags(api), mask);
            // SAFETY: it was all zeroes, padding too, and has no reference in it.
            let words = unsafe {
                let first = std::ptr::from_ref(&*it).cast::<u32>();
                std::slice::from_raw_parts(first, size_of::<NV_ENC_RECONFIGURE_PARAMS>() / 4)
            };
            let place = words.iter().position(|word| *word != 0).expect("it was set");
            self.bits("NV_ENC_RECONFIGURE_PARAMS", bit, place * 4, mask);
        }
    }

    fn guid(&mut self, name: &str, guid: GUID) {
        // SAFETY: a GUID is sixteen bytes without padding.
        let bytes: [u8; 16] = unsafe { std::mem::transmute(guid) };
        for (half, bytes) in bytes.chunks(8).enumerate() {
            let number = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
            let c = format!("({{ uint64_t half; memcpy(&half, (char*)&{name} + {}, 8); half; }})", half * 8);
            self.ask(&format!("guid {name} {half}"), &c, number);
        }
    }

    fn program(&self) -> String {
        format!(
            "#include <stdio.h>\n#include <stddef.h>\n#include <string.h>\n#include \"nvEncodeAPI.h\"\nint main(void) {{\n{}}}\n",
            self.body
        )
    }
}

/// Everything that `api` has.
fn sheet(api: Api) -> (Sheet, Vec<Layout>) {
    let mut layouts: Vec<Layout> =
        configurations().into_iter().chain(pictures()).chain(resources()).collect();
    if api >= Api::V13_0 {
        layouts.extend(metadata());
    }
    let mut sheet = Sheet::default();
    let has = |name: &str| api >= Api::V13_0 || !NAMES_OF_13_0.contains(&name);
    for layout in &layouts {
        sheet.structure(layout, api);
    }
    sheet.flags_of_a_change(api);
    sheet.ask("word of the interface", "NVENCAPI_VERSION", u64::from(api.word()));
    for (name, value) in NUMBERS.iter().flat_map(|names| names.iter()).filter(|(name, _)| has(name)) {
        sheet.ask(&format!("number {name}"), &format!("(uint32_t){name}"), u64::from(*value));
    }
    for (name, guid) in GUIDS.iter().filter(|(name, _)| has(name)) {
        sheet.guid(name, *guid);
    }
    (sheet, layouts)
}

/// Compiles, runs, compares. Gives each structure's size in C.
fn compare(header: &Header, api: Api) -> BTreeMap<&'static str, usize> {
    let (mut sheet, layouts) = sheet(api);
    for layout in &layouts {
        writeln!(sheet.body, r#"  printf("size {0} %zu\n", sizeof({0}));"#, layout.name)
            .expect("into a string");
    }
    let printed = header.run(&sheet.program());
    let mut figures: BTreeMap<&str, &str> =
        printed.lines().filter_map(|line| line.rsplit_once(' ')).collect();
    let wrong: Vec<String> = sheet
        .expected
        .iter()
        .filter(|(key, expected)| figures.get(key.as_str()) != Some(&expected.as_str()))
        .map(|(key, ours)| format!("{key}: ours {ours}, the header's {:?}", figures.get(key.as_str())))
        .collect();
    assert!(wrong.is_empty(), "against {api}:\n{}", wrong.join("\n"));
    assert!(sheet.expected.len() > 700, "only {} figures were compared", sheet.expected.len());
    let mut size_of =
        |name| figures.remove(format!("size {name}").as_str()).and_then(|size| size.parse().ok());
    layouts
        .iter()
        .map(|layout| (layout.name, size_of(layout.name).expect("every size was printed")))
        .collect()
}

#[test]
fn every_field_lies_where_both_headers_have_it() {
    let layouts = || configurations().into_iter().chain(pictures()).chain(resources());
    let old = Header::find("12.1").map(|header| compare(&header, Api::V12_1));
    let new = Header::find("13.0").map(|header| compare(&header, Api::V13_0));
    for layout in layouts() {
        let sizes = [&old, &new].map(|sizes| sizes.as_ref().map(|sizes| sizes[layout.name]));
        for size in sizes.into_iter().flatten() {
            assert!(layout.size >= size, "{}: {} bytes, too few for {size}", layout.name, layout.size);
        }
        if let [Some(old), Some(new)] = sizes {
            assert_eq!(layout.size, old.max(new), "{}: as long as the longer of both", layout.name);
        }
    }
    if let Some(new) = new {
        for layout in metadata() {
            assert_eq!(layout.size, new[layout.name], "{}", layout.name);
        }
    }
}
