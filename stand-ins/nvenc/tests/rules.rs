//! Each rule of the contract, broken once: the call is refused with the SDK's code, in words, and the breach is counted.
#![allow(clippy::unwrap_used)] // clippy's leave for tests ends at the functions that they share

mod common;

use std::os::unix::process::ExitStatusExt;
use std::ptr;

use common::{Driver, HEIGHT, Input, Ready, WIDTH, assert_in_child, bytes_of, call, in_child, is_child};
use punktfunk_nvenc::sys::*;

/// What breaks a rule in a session that is ready, its answer, and a word of why.
type Rule = (fn(&mut Ready<'_>) -> NVENCSTATUS, NVENCSTATUS, &'static str);

/// Breaks each rule in a session of its own.
fn assert_refused(codec: GUID, rules: &[Rule]) {
    let driver = Driver::new(Api::V13_0);
    for (at, (break_rule, status, word)) in rules.iter().enumerate() {
        let before = driver.loaded.breaches();
        let mut ready = driver.ready(codec);
        let answer = break_rule(&mut ready);
        let words = ready.words();
        assert_eq!(answer, *status, "rule {at}, {word}: {words}");
        assert!(words.contains(word), "rule {at}: {word:?} is not in {words:?}");
        assert_eq!(driver.loaded.breaches(), before + 1, "rule {at}, {word}: counted once");
        // What is left over is a breach of its own, counted by another test.
        ready.destroy();
    }
}

#[test]
fn order_of_calls() {
    assert_refused(
        NV_ENC_CODEC_H264_GUID,
        &[
            (|r| r.lock(0, true).0, NV_ENC_ERR_INVALID_PARAM, "nothing was encoded"),
            (|r| r.lock(0, false).0, NV_ENC_ERR_INVALID_PARAM, "nothing was encoded"),
            (|r| r.unlock(0), NV_ENC_ERR_INVALID_CALL, "not locked"),
            (
                |r| (r.encode(0), r.lock(0, true).0, r.lock(0, true).0).2,
                NV_ENC_ERR_INVALID_CALL,
                "locked already",
            ),
            (
                |r| (r.encode(0), r.read(0), r.lock(0, true).0).2,
                NV_ENC_ERR_INVALID_PARAM,
                "nothing was encoded",
            ),
            (|r| (r.encode(0), r.read(0), r.unlock(0)).2, NV_ENC_ERR_INVALID_CALL, "not locked"),
            (|r| (r.encode(0), r.lock(0, true).0, r.encode(0)).2, NV_ENC_ERR_INVALID_CALL, "is locked"),
            (|r| (r.encode(0), r.encode(0)).1, NV_ENC_ERR_INVALID_CALL, "not read to its end"),
            (|r| (r.encode(0), r.encode(1), r.lock(1, true).0).2, NV_ENC_ERR_INVALID_CALL, "older picture"),
            (|r| (r.encode(0), r.unmap(0)).1, NV_ENC_ERR_INVALID_CALL, "still reads"),
            (|r| (r.encode(0), r.destroy_output(0)).1, NV_ENC_ERR_INVALID_CALL, "still writes"),
            (
                |r| (r.encode(0), r.lock(0, true).0, r.destroy_output(0)).2,
                NV_ENC_ERR_INVALID_CALL,
                "is locked",
            ),
            (|r| r.unregister(0), NV_ENC_ERR_INVALID_CALL, "unmap it first"),
            (|r| r.map(0), NV_ENC_ERR_MAP_FAILED, "mapped already"),
            (|r| r.register(0), NV_ENC_ERR_RESOURCE_REGISTER_FAILED, "registered already"),
            (|r| (r.unmap(0), r.unmap(0)).1, NV_ENC_ERR_RESOURCE_NOT_MAPPED, "not mapped"),
            (|r| (r.unmap(0), r.encode(0)).1, NV_ENC_ERR_RESOURCE_NOT_MAPPED, "not mapped"),
            (
                |r| (r.unmap(0), r.unregister(0), r.unregister(0)).2,
                NV_ENC_ERR_RESOURCE_NOT_REGISTERED,
                "not registered",
            ),
            (
                |r| (r.unmap(0), r.unregister(0), r.map(0)).2,
                NV_ENC_ERR_RESOURCE_NOT_REGISTERED,
                "not registered",
            ),
            (
                |r| (r.destroy_output(0), r.destroy_output(0)).1,
                NV_ENC_ERR_INVALID_PARAM,
                "no bitstream buffer",
            ),
            (|r| (r.destroy_output(0), r.encode(0)).1, NV_ENC_ERR_INVALID_PARAM, "no bitstream buffer"),
            (|r| (r.destroy_output(3), r.encode(0)).1, NV_ENC_ERR_INVALID_CALL, "at least four"),
            (|r| initialize_again(r), NV_ENC_ERR_INVALID_CALL, "initialized already"),
            (|r| (r.end(), r.encode(0)).1, NV_ENC_ERR_INVALID_CALL, "ended"),
        ],
    );
}

fn initialize_again(ready: &mut Ready<'_>) -> NVENCSTATUS {
    let encoder = ready.encoder;
    ready.setup.initialize(ready.driver, encoder)
}

#[test]
fn pictures() {
    let hevc: &[Rule] = &[
        (|r| r.encode_with(0, |p| p.version ^= 1 << 16), NV_ENC_ERR_INVALID_VERSION, "version word"),
        (|r| r.encode_with(0, |p| p.inputWidth += 2), NV_ENC_ERR_INVALID_PARAM, "inputWidth"),
        (|r| r.encode_with(0, |p| p.inputPitch = 12), NV_ENC_ERR_INVALID_PARAM, "inputPitch"),
        (
            |r| r.encode_with(0, |p| p.bufferFmt = NV_ENC_BUFFER_FORMAT_YUV444),
            NV_ENC_ERR_INVALID_PARAM,
            "bufferFmt",
        ),
        (|r| r.encode_with(0, |p| p.pictureStruct.0 = 2), NV_ENC_ERR_INVALID_PARAM, "pictureStruct"),
        (
            |r| r.encode_with(0, |p| p.completionEvent = ptr::dangling_mut::<u8>().cast()),
            NV_ENC_ERR_INVALID_PARAM,
            "completionEvent",
        ),
        (|r| r.encode_with(0, |p| p.encodePicFlags = 0x20), NV_ENC_ERR_UNSUPPORTED_PARAM, "encodePicFlags"),
        (
            |r| r.encode_with(0, |p| p.encodePicFlags = NV_ENC_PIC_FLAG_EOS.0),
            NV_ENC_ERR_INVALID_PARAM,
            "of an end",
        ),
        (|r| r.encode_with(0, |p| p.rest[100] = 1), NV_ENC_ERR_INVALID_PARAM, "must be zero"),
        (|r| r.encode_with(0, |p| hevc_part(p).reserved2[100] = 1), NV_ENC_ERR_INVALID_PARAM, "reserved"),
        (
            |r| (r.encode(0), r.read(0), r.encode_with(0, |p| p.inputTimeStamp = 0)).2,
            NV_ENC_ERR_INVALID_PARAM,
            "inputTimeStamp",
        ),
    ];
    assert_refused(NV_ENC_CODEC_H264_GUID, hevc);
    assert_refused(NV_ENC_CODEC_HEVC_GUID, hevc);
    assert_refused(
        NV_ENC_CODEC_HEVC_GUID,
        &[
            (
                |r| r.encode_with(0, |p| hevc_part(p).forceIntraRefreshWithFrameCnt = 3),
                NV_ENC_ERR_INVALID_PARAM,
                "enableIntraRefresh",
            ),
            (
                |r| r.encode_with(0, |p| hevc_part(p).pMaxCll = ptr::dangling_mut()),
                NV_ENC_ERR_INVALID_PARAM,
                "outputMaxCll",
            ),
            (
                |r| r.encode_with(0, |p| hevc_part(p).seiPayloadArrayCnt = 1),
                NV_ENC_ERR_INVALID_PTR,
                "null array",
            ),
            (|r| r.encode_with(0, |p| hevc_part(p).flags = 4), NV_ENC_ERR_UNSUPPORTED_PARAM, "0x4"),
            (|r| r.encode_with(0, |p| hevc_part(p).temporalId = 1), NV_ENC_ERR_INVALID_PARAM, "must be zero"),
        ],
    );
}

fn hevc_part(params: &mut NV_ENC_PIC_PARAMS) -> &mut NV_ENC_PIC_PARAMS_HEVC {
    // SAFETY: any bits are a value; the session encodes HEVC.
    unsafe { &mut params.codecPicParams.hevcPicParams }
}

#[test]
fn references() {
    assert_refused(
        NV_ENC_CODEC_H264_GUID,
        &[
            (|r| r.invalidate(0), NV_ENC_ERR_INVALID_PARAM, "time stamp 0"),
            (|r| (pictures_of(r, 8), r.invalidate(3)).1, NV_ENC_ERR_INVALID_PARAM, "time stamp 3"),
            (|r| (pictures_of(r, 8), r.invalidate(8)).1, NV_ENC_ERR_INVALID_PARAM, "time stamp 8"),
        ],
    );
    let driver = Driver::new(Api::V13_0);
    let mut ready = driver.ready(NV_ENC_CODEC_H264_GUID);
    pictures_of(&mut ready, 8);
    assert_eq!((ready.invalidate(4), ready.invalidate(7)), (NV_ENC_SUCCESS, NV_ENC_SUCCESS));
    ready.close();
    assert_eq!(driver.loaded.breaches(), 0);
}

fn pictures_of(ready: &mut Ready<'_>, count: u64) {
    for _ in 0..count {
        assert_eq!(ready.encode(0), NV_ENC_SUCCESS);
        ready.read(0);
    }
}

#[test]
fn changes() {
    const IDR: u32 = NV_ENC_RECONFIGURE_PARAMS::forceIDR.mask();
    let driver = Driver::new(Api::V12_1);
    let mut ready = driver.ready(NV_ENC_CODEC_H264_GUID);
    type Change = fn(&mut common::Setup);
    let changes: [(u32, Change, &str); 14] = [
        (0, |s| s.params.encodeWidth = WIDTH - 32, "forceIDR"),
        (IDR, |s| s.params.encodeWidth = 2 * WIDTH + 2, "maxEncodeWidth"),
        (IDR, |s| s.params.encodeHeight = 2 * HEIGHT + 2, "maxEncodeHeight"),
        (IDR, |s| s.params.maxEncodeWidth = 4 * WIDTH, "maxEncodeWidth"),
        (IDR, |s| s.params.encodeGUID = NV_ENC_CODEC_HEVC_GUID, "cannot change"),
        (IDR, |s| s.params.presetGUID = NV_ENC_PRESET_P4_GUID, "preset"),
        (IDR, |s| s.params.tuningInfo = NV_ENC_TUNING_INFO_LOW_LATENCY, "tuning"),
        (IDR, |s| s.params.enablePTD = 0, "enablePTD"),
        (IDR, |s| s.params.enableEncodeAsync = 1, "enableEncodeAsync"),
        (IDR, |s| s.params.flags = 0, "enableSubFrameWrite"),
        (IDR, |s| s.config.gopLength = 60, "gopLength"),
        (IDR, |s| s.h264().maxNumRefFrames = 5, "reference"),
        (IDR, |s| s.config.profileGUID = NV_ENC_H264_PROFILE_MAIN_GUID, "profile"),
        (IDR | 4, |_| {}, "0x4"),
    ];
    for (at, (flags, change, word)) in changes.into_iter().enumerate() {
        assert_ne!(ready.reconfigure(flags, change), NV_ENC_SUCCESS, "change {at}, {word}");
        assert!(ready.words().contains(word), "change {at}: {word:?} is not in {:?}", ready.words());
        assert_eq!(driver.loaded.breaches(), at as u64 + 1);
    }
    ready.close();
}

#[test]
fn set_up() {
    type Change = fn(&mut common::Setup);
    let changes: [(Change, NVENCSTATUS, &str); 33] = [
        (|s| s.params.version ^= 1, NV_ENC_ERR_INVALID_VERSION, "NV_ENC_INITIALIZE_PARAMS"),
        (|s| s.config.version = 0, NV_ENC_ERR_INVALID_VERSION, "NV_ENC_CONFIG"),
        (|s| s.config.rcParams.version = 0, NV_ENC_ERR_INVALID_VERSION, "NV_ENC_RC_PARAMS"),
        (|s| s.params.encodeGUID = GUID::default(), NV_ENC_ERR_INVALID_PARAM, "encodeGUID"),
        (|s| s.params.presetGUID = GUID::default(), NV_ENC_ERR_UNSUPPORTED_PARAM, "presetGUID"),
        (|s| s.params.tuningInfo.0 = 0, NV_ENC_ERR_INVALID_PARAM, "tuningInfo"),
        (|s| s.params.encodeWidth = 0, NV_ENC_ERR_INVALID_PARAM, "even sizes"),
        (|s| s.params.encodeWidth = 144, NV_ENC_ERR_INVALID_PARAM, "even sizes"),
        (|s| s.params.encodeWidth = 4_098, NV_ENC_ERR_INVALID_PARAM, "even sizes"),
        (|s| s.params.encodeHeight = HEIGHT + 1, NV_ENC_ERR_INVALID_PARAM, "even sizes"),
        (|s| s.params.maxEncodeHeight = HEIGHT - 2, NV_ENC_ERR_INVALID_PARAM, "beyond"),
        (|s| s.params.maxEncodeWidth = 8_000, NV_ENC_ERR_INVALID_PARAM, "the card's"),
        (|s| s.params.frameRateDen = 0, NV_ENC_ERR_INVALID_PARAM, "frame rate"),
        (|s| s.params.enableEncodeAsync = 1, NV_ENC_ERR_UNSUPPORTED_PARAM, "enableEncodeAsync"),
        (|s| s.params.enablePTD = 0, NV_ENC_ERR_UNSUPPORTED_PARAM, "enablePTD"),
        (|s| s.params.flags |= 1 << 20, NV_ENC_ERR_UNSUPPORTED_PARAM, "0x100000"),
        (|s| s.params.privDataSize = 1, NV_ENC_ERR_INVALID_PARAM, "privDataSize"),
        (|s| s.params.reserved1[283] = 1, NV_ENC_ERR_INVALID_PARAM, "reserved1"),
        (|s| s.params.rest[9] = 1, NV_ENC_ERR_INVALID_PARAM, "reserved2"),
        (
            |s| NV_ENC_INITIALIZE_PARAMS::splitEncodeMode.set(&mut s.params.flags, 2),
            NV_ENC_ERR_UNSUPPORTED_PARAM,
            "splitEncodeMode",
        ),
        (|s| s.config.gopLength = 30, NV_ENC_ERR_UNSUPPORTED_PARAM, "gopLength"),
        (|s| s.config.frameIntervalP = 2, NV_ENC_ERR_INVALID_PARAM, "frameIntervalP"),
        (|s| s.config.reserved[0] = 1, NV_ENC_ERR_INVALID_PARAM, "reserved"),
        (|s| s.config.profileGUID = NV_ENC_HEVC_PROFILE_MAIN_GUID, NV_ENC_ERR_INVALID_PARAM, "profileGUID"),
        (|s| s.config.rcParams.rateControlMode = NV_ENC_PARAMS_RC_VBR, NV_ENC_ERR_UNSUPPORTED_PARAM, "CBR"),
        (|s| s.config.rcParams.averageBitRate = 0, NV_ENC_ERR_INVALID_PARAM, "averageBitRate"),
        (|s| s.config.rcParams.vbvInitialDelay = 1 << 30, NV_ENC_ERR_INVALID_PARAM, "vbvInitialDelay"),
        (
            |s| s.config.rcParams.flags = NV_ENC_RC_PARAMS::enableLookahead.mask(),
            NV_ENC_ERR_UNSUPPORTED_PARAM,
            "lookahead",
        ),
        (|s| s.h264().sliceModeData = 33, NV_ENC_ERR_INVALID_PARAM, "sliceMode"),
        (|s| s.h264().maxNumRefFrames = 17, NV_ENC_ERR_INVALID_PARAM, "reference"),
        (|s| s.h264().level = 10, NV_ENC_ERR_INVALID_PARAM, "level 10"),
        (|s| s.h264().chromaFormatIDC = 0, NV_ENC_ERR_INVALID_PARAM, "chromaFormatIDC"),
        (|s| s.h264().inputBitDepth = NV_ENC_BIT_DEPTH_INVALID, NV_ENC_ERR_INVALID_PARAM, "inputBitDepth"),
    ];
    let driver = Driver::new(Api::V13_0);
    for (at, (change, status, word)) in changes.into_iter().enumerate() {
        let encoder = driver.opened();
        let mut setup = driver.setup(encoder, NV_ENC_CODEC_H264_GUID);
        change(&mut setup);
        assert_eq!(
            setup.initialize(&driver, encoder),
            status,
            "change {at}, {word}: {}",
            driver.words(encoder)
        );
        assert!(
            driver.words(encoder).contains(word),
            "change {at}: {word:?} is not in {:?}",
            driver.words(encoder)
        );
        assert_eq!(driver.loaded.breaches(), at as u64 + 1);
        assert_eq!(call!(driver.table, nvEncDestroyEncoder(encoder)), NV_ENC_SUCCESS);
    }
}

#[test]
fn a_picture_is_split_between_engines_that_there_are() {
    const TEST: &str = "a_picture_is_split_between_engines_that_there_are";
    if !is_child() {
        assert_in_child(TEST, &[("PUNKTFUNK_STANDIN_CAPS", "engines=3")]);
        return assert_in_child(TEST, &[("PUNKTFUNK_STANDIN_CAPS", "engines=4")]);
    }
    use NV_ENC_INITIALIZE_PARAMS as Params;
    let engines = if std::env::var("PUNKTFUNK_STANDIN_CAPS").unwrap().ends_with('4') { 4 } else { 3 };
    for (api, words) in [(Api::V12_1, 3), (Api::V13_0, 4)] {
        let driver = Driver::new(api);
        for mode in 2..=4 {
            let before = driver.loaded.breaches();
            let encoder = driver.opened();
            let mut setup = driver.setup(encoder, NV_ENC_CODEC_HEVC_GUID);
            setup.params.flags = 0;
            Params::splitEncodeMode.set(&mut setup.params.flags, mode);
            let is_taken = setup.initialize(&driver, encoder) == NV_ENC_SUCCESS;
            assert_eq!(is_taken, mode <= engines && mode <= words, "{mode} of {engines} in {api}");
            assert_eq!(driver.loaded.breaches(), before + u64::from(!is_taken));
            assert_eq!(call!(driver.table, nvEncDestroyEncoder(encoder)), NV_ENC_SUCCESS);
        }
        for (with, word) in [
            (Params::reportSliceOffsets, "reportSliceOffsets"),
            (Params::enableSubFrameWrite, "enableSubFrameWrite"),
        ] {
            let encoder = driver.opened();
            let mut setup = driver.setup(encoder, NV_ENC_CODEC_HEVC_GUID);
            setup.params.flags = with.mask();
            Params::splitEncodeMode.set(&mut setup.params.flags, 2);
            assert_eq!(setup.initialize(&driver, encoder), NV_ENC_ERR_UNSUPPORTED_PARAM);
            assert!(driver.words(encoder).contains(word), "{}", driver.words(encoder));
            assert_eq!(call!(driver.table, nvEncDestroyEncoder(encoder)), NV_ENC_SUCCESS);
        }
        let mut ready = driver.ready_with(NV_ENC_CODEC_HEVC_GUID, |setup| {
            setup.params.flags = 0;
            Params::splitEncodeMode.set(&mut setup.params.flags, 2);
        });
        let other = ready.reconfigure(0, |setup| Params::splitEncodeMode.set(&mut setup.params.flags, 3));
        assert_eq!(other, NV_ENC_ERR_INVALID_PARAM);
        assert!(ready.words().contains("splitEncodeMode cannot change"), "{}", ready.words());
        ready.close();
    }
}

#[test]
fn a_tier_bounds_the_bitrate_and_stays() {
    let driver = Driver::new(Api::V13_0);
    let begin = |codec: GUID, (tier, mbps): (u32, u32)| {
        let encoder = driver.opened();
        let mut setup = driver.setup(encoder, codec);
        setup.set_tier(codec, tier);
        setup.config.rcParams.averageBitRate = mbps * 1_000_000;
        let status = setup.initialize(&driver, encoder);
        let words = driver.words(encoder);
        assert_eq!(call!(driver.table, nvEncDestroyEncoder(encoder)), NV_ENC_SUCCESS);
        (status, words)
    };
    for (codec, main_mbps) in [(NV_ENC_CODEC_HEVC_GUID, 240), (NV_ENC_CODEC_AV1_GUID, 160)] {
        for taken in [(0, main_mbps), (1, main_mbps + 1), (1, 800)] {
            assert_eq!(begin(codec, taken).0, NV_ENC_SUCCESS, "{taken:?}");
        }
        for over in [(0, main_mbps + 1), (1, 801)] {
            let (status, words) = begin(codec, over);
            assert_eq!(status, NV_ENC_ERR_UNSUPPORTED_PARAM, "{over:?}");
            assert!(words.contains("no level of the tier"), "{words}");
        }
        assert_eq!(begin(codec, (2, 10)).0, NV_ENC_ERR_INVALID_PARAM);
        let mut ready = driver.ready(codec);
        assert_eq!(ready.reconfigure(0, |setup| setup.set_tier(codec, 1)), NV_ENC_ERR_INVALID_PARAM);
        assert!(ready.words().contains("the tier cannot change"), "{}", ready.words());
        ready.close();
    }
}

#[test]
fn nothing_but_questions_before_the_set_up() {
    let driver = Driver::new(Api::V13_0);
    let encoder = driver.opened();
    let setup = driver.setup(encoder, NV_ENC_CODEC_H264_GUID);
    let mut ready = Ready {
        driver: &driver,
        encoder,
        setup,
        inputs: vec![Input::new(WIDTH, HEIGHT)],
        outputs: vec![ptr::null_mut()],
        next: 0,
    };
    let mut stream = ptr::null_mut::<u8>();
    let stream = &raw mut stream;
    let answers = [
        ready.register(0),
        ready.map(0),
        ready.create_output(),
        ready.encode(0),
        ready.lock(0, true).0,
        ready.unlock(0),
        ready.invalidate(0),
        ready.reconfigure(0, |_| {}),
        call!(driver.table, nvEncSetIOCudaStreams(encoder, stream.cast(), stream.cast())),
    ];
    assert_eq!(answers, [NV_ENC_ERR_ENCODER_NOT_INITIALIZED; 9]);
    assert_eq!(driver.loaded.breaches(), 9);
    ready.destroy();
}

#[test]
fn what_is_left_behind_is_counted() {
    let driver = Driver::new(Api::V13_0);
    let mut ready = driver.ready(NV_ENC_CODEC_H264_GUID);
    assert_eq!(ready.unmap(0), NV_ENC_SUCCESS);
    let encoder = ready.encoder;
    assert_eq!(ready.destroy(), NV_ENC_SUCCESS);
    assert_eq!(driver.loaded.breaches(), 6, "an input that is mapped, one that is registered, four buffers");
    assert_eq!(call!(driver.table, nvEncDestroyEncoder(encoder)), NV_ENC_ERR_INVALID_ENCODERDEVICE, "twice");
    assert_eq!(driver.loaded.breaches(), 7);
}

#[test]
fn an_encoder_is_flushed_before_it_goes() {
    let driver = Driver::new(Api::V13_0);
    for (is_ended, breaches) in [(true, 0), (false, 1)] {
        let mut ready = driver.ready(NV_ENC_CODEC_H264_GUID);
        pictures_of(&mut ready, 1);
        if is_ended {
            assert_eq!(
                (ready.end(), ready.end()),
                (NV_ENC_SUCCESS, NV_ENC_SUCCESS),
                "once more does no harm"
            );
        }
        for at in 0..ready.inputs.len() {
            assert_eq!((ready.unmap(at), ready.unregister(at)), (NV_ENC_SUCCESS, NV_ENC_SUCCESS));
        }
        for at in 0..ready.outputs.len() {
            assert_eq!(ready.destroy_output(at), NV_ENC_SUCCESS);
        }
        assert_eq!(ready.destroy(), NV_ENC_SUCCESS);
        assert_eq!(driver.loaded.breaches(), breaches);
    }
}

#[test]
fn opening() {
    let driver = Driver::new(Api::V13_0);
    assert_eq!(driver.open(ptr::null_mut()).0, NV_ENC_ERR_INVALID_PTR);
    let mut params = Api::V13_0.fresh::<NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS>();
    params.device = ptr::dangling_mut::<u8>().cast();
    params.apiVersion = Api::V13_0.word();
    let mut encoder = ptr::null_mut();
    let mut open = |params: &mut NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS| {
        call!(driver.table, nvEncOpenEncodeSessionEx(params, &raw mut encoder))
    };
    assert_eq!(open(&mut params), NV_ENC_ERR_UNSUPPORTED_DEVICE, "no device type");
    params.deviceType = NV_ENC_DEVICE_TYPE_CUDA;
    params.reserved1[7] = 1;
    assert_eq!(open(&mut params), NV_ENC_ERR_INVALID_PARAM);
    params.reserved1[7] = 0;
    params.apiVersion = Api::V12_1.word();
    assert_eq!(open(&mut params), NV_ENC_ERR_INVALID_VERSION, "the word is the other version's");
    assert_eq!(driver.loaded.breaches(), 4);
    params.apiVersion = 14;
    assert_eq!(open(&mut params), NV_ENC_ERR_INVALID_VERSION, "newer than the driver");
    let unused: extern "C" fn() -> NVENCSTATUS =
        // SAFETY: the stand-in's functions that are not played take nothing and answer a status.
        unsafe { std::mem::transmute(driver.table.nvEncLookaheadPicture) };
    assert_eq!(unused(), NV_ENC_ERR_UNIMPLEMENTED);
    assert_eq!(driver.loaded.breaches(), 5, "a driver that is too old is no breach, an unknown call is");
}

#[test]
fn memory_that_is_read_after_its_unlocking_ends_the_process() {
    if !is_child() {
        let output = in_child("memory_that_is_read_after_its_unlocking_ends_the_process", &[]);
        return assert_eq!(output.status.signal(), Some(11), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let driver = Driver::new(Api::V13_0);
    let mut ready = driver.ready(NV_ENC_CODEC_H264_GUID);
    assert_eq!(ready.encode(0), NV_ENC_SUCCESS);
    let (_, facts, _) = ready.lock(0, true);
    let sum = || bytes_of(&facts).iter().map(|byte| u64::from(*byte)).sum::<u64>();
    assert!(sum() > 0);
    assert_eq!(ready.unlock(0), NV_ENC_SUCCESS);
    assert_eq!(sum(), 0, "nothing can be read");
}

#[test]
fn an_input_that_is_written_meanwhile_is_a_breach() {
    if !is_child() {
        let variables = [("PUNKTFUNK_STANDIN_SLICE_US", "50000")];
        return assert_in_child("an_input_that_is_written_meanwhile_is_a_breach", &variables);
    }
    let driver = Driver::new(Api::V13_0);
    let mut ready = driver.ready(NV_ENC_CODEC_H264_GUID);
    assert_eq!(ready.encode(0), NV_ENC_SUCCESS);
    // The first slice is there, so the picture has been looked at.
    while ready.lock(0, false).0 == NV_ENC_ERR_LOCK_BUSY {
        std::thread::yield_now();
    }
    ready.inputs[0].paint(77);
    assert_eq!(ready.unlock(0), NV_ENC_SUCCESS);
    ready.read(0);
    assert_eq!(driver.loaded.breaches(), 1);
    ready.close();
}

#[test]
fn a_strict_driver_ends_at_the_first_breach() {
    if !is_child() {
        let output =
            in_child("a_strict_driver_ends_at_the_first_breach", &[("PUNKTFUNK_STANDIN_STRICT", "1")]);
        assert_eq!(output.status.signal(), Some(6), "{}", String::from_utf8_lossy(&output.stderr));
        return assert!(String::from_utf8_lossy(&output.stderr).contains("not locked"));
    }
    let driver = Driver::new(Api::V13_0);
    driver.ready(NV_ENC_CODEC_H264_GUID).unlock(0);
}
