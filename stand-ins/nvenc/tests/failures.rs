//! Failures on request: each call, each code; and what a session is worth afterwards.
#![allow(clippy::unwrap_used)] // clippy's leave for tests ends at the functions that they share

mod common;

use std::ptr;

use common::{Driver, Ready, call, create, newest};
use punktfunk_nvenc::sys::*;

/// A call that any session can make at any time without harm, if it is refused.
type Call = fn(&Driver, &mut Ready<'_>) -> NVENCSTATUS;

/// Every call of a session, with arguments that would do.
const CALLS: &[(&str, Call)] = &[
    ("nvEncGetEncodeGUIDCount", |d, r| call!(d.table, nvEncGetEncodeGUIDCount(r.encoder, &mut 0))),
    ("nvEncGetEncodeGUIDs", |d, r| {
        let mut guids = [GUID::default(); 16];
        call!(d.table, nvEncGetEncodeGUIDs(r.encoder, guids.as_mut_ptr(), 16, &mut 0))
    }),
    ("nvEncGetEncodeProfileGUIDCount", |d, r| {
        call!(d.table, nvEncGetEncodeProfileGUIDCount(r.encoder, NV_ENC_CODEC_AV1_GUID, &mut 0))
    }),
    ("nvEncGetEncodeProfileGUIDs", |d, r| {
        let mut guids = [GUID::default(); 16];
        let guids = guids.as_mut_ptr();
        call!(d.table, nvEncGetEncodeProfileGUIDs(r.encoder, NV_ENC_CODEC_AV1_GUID, guids, 16, &mut 0))
    }),
    ("nvEncGetInputFormatCount", |d, r| {
        call!(d.table, nvEncGetInputFormatCount(r.encoder, NV_ENC_CODEC_AV1_GUID, &mut 0))
    }),
    ("nvEncGetInputFormats", |d, r| {
        let mut formats = [NV_ENC_BUFFER_FORMAT_UNDEFINED; 16];
        let formats = formats.as_mut_ptr();
        call!(d.table, nvEncGetInputFormats(r.encoder, NV_ENC_CODEC_AV1_GUID, formats, 16, &mut 0))
    }),
    ("nvEncGetEncodeCaps", |d, r| {
        let mut params = d.api.fresh::<NV_ENC_CAPS_PARAM>();
        let mut value = 0;
        call!(
            d.table,
            nvEncGetEncodeCaps(r.encoder, NV_ENC_CODEC_H264_GUID, &raw mut *params, &raw mut value)
        )
    }),
    ("nvEncGetEncodePresetCount", |d, r| {
        call!(d.table, nvEncGetEncodePresetCount(r.encoder, NV_ENC_CODEC_AV1_GUID, &mut 0))
    }),
    ("nvEncGetEncodePresetGUIDs", |d, r| {
        let mut guids = [GUID::default(); 16];
        let guids = guids.as_mut_ptr();
        call!(d.table, nvEncGetEncodePresetGUIDs(r.encoder, NV_ENC_CODEC_AV1_GUID, guids, 16, &mut 0))
    }),
    ("nvEncGetEncodePresetConfigEx", |d, r| {
        let mut config = d.api.fresh::<NV_ENC_PRESET_CONFIG>();
        config.presetCfg.version = d.api.version_of::<NV_ENC_CONFIG>();
        let (codec, preset, tuning) =
            (NV_ENC_CODEC_AV1_GUID, NV_ENC_PRESET_P1_GUID, NV_ENC_TUNING_INFO_LOW_LATENCY);
        call!(d.table, nvEncGetEncodePresetConfigEx(r.encoder, codec, preset, tuning, &raw mut *config))
    }),
    ("nvEncSetIOCudaStreams", |d, r| {
        let mut stream = 0usize;
        let stream = &raw mut stream;
        call!(d.table, nvEncSetIOCudaStreams(r.encoder, stream.cast(), stream.cast()))
    }),
    ("nvEncGetSequenceParams", |d, r| {
        let mut bytes = [0u8; 512];
        let mut params = d.api.fresh::<NV_ENC_SEQUENCE_PARAM_PAYLOAD>();
        params.inBufferSize = 512;
        params.spsppsBuffer = bytes.as_mut_ptr().cast();
        let mut size = 0;
        params.outSPSPPSPayloadSize = &raw mut size;
        call!(d.table, nvEncGetSequenceParams(r.encoder, &raw mut *params))
    }),
    ("nvEncReconfigureEncoder", |_, r| r.reconfigure(0, |_| {})),
    ("nvEncEncodePicture", |_, r| r.encode(0)),
    ("nvEncLockBitstream", |_, r| r.lock(0, true).0),
    ("nvEncUnlockBitstream", |_, r| r.unlock(0)),
    ("nvEncInvalidateRefFrames", |_, r| r.invalidate(r.next - 1)),
    ("nvEncUnmapInputResource", |_, r| r.unmap(0)),
    ("nvEncMapInputResource", |_, r| r.map(0)),
    ("nvEncUnmapInputResource", |_, r| r.unmap(0)),
    ("nvEncUnregisterResource", |_, r| r.unregister(0)),
    ("nvEncRegisterResource", |_, r| r.register(0)),
    ("nvEncMapInputResource", |_, r| r.map(0)),
    ("nvEncDestroyBitstreamBuffer", |_, r| {
        let status = r.destroy_output(0);
        if status == NV_ENC_SUCCESS {
            r.outputs.remove(0);
        }
        status
    }),
    ("nvEncCreateBitstreamBuffer", |_, r| r.create_output()),
];

#[test]
fn each_call_fails_with_each_code_and_works_after_it() {
    let driver = Driver::new(Api::V13_0);
    let mut ready = driver.ready(NV_ENC_CODEC_H264_GUID);
    for (name, call) in CALLS {
        for (code, number) in NVENCSTATUS::KNOWN.iter().filter(|(_, code)| *code > 0) {
            let status = NVENCSTATUS(*number);
            // A device that is lost stays so, and what needs more input has been taken: tests of their own.
            let is_apart = status == NV_ENC_ERR_DEVICE_NOT_EXIST
                || status == NV_ENC_ERR_NEED_MORE_INPUT && *name == "nvEncEncodePicture";
            if is_apart {
                continue;
            }
            driver.loaded.fail(&format!("{name}:1={code}"));
            assert_eq!(call(&driver, &mut ready), status, "{name}");
            assert!(ready.words().contains(code), "{name}: {:?}", ready.words());
            // What was to be given back is, whatever the answer.
            match *name {
                "nvEncUnlockBitstream" => {
                    assert_eq!(ready.encode(0), NV_ENC_SUCCESS, "{}", ready.words());
                    assert_eq!(ready.lock(0, true).0, NV_ENC_SUCCESS, "{}", ready.words());
                }
                "nvEncUnmapInputResource" => assert_eq!(ready.map(0), NV_ENC_SUCCESS, "{}", ready.words()),
                "nvEncUnregisterResource" => {
                    assert_eq!(ready.register(0), NV_ENC_SUCCESS, "{}", ready.words());
                }
                "nvEncDestroyBitstreamBuffer" => {
                    ready.outputs.remove(0);
                    assert_eq!(ready.create_output(), NV_ENC_SUCCESS);
                }
                _ => {}
            }
        }
        assert_eq!(call(&driver, &mut ready), NV_ENC_SUCCESS, "{name}: {}", ready.words());
    }
    ready.close();
    assert_eq!(driver.loaded.breaches(), 0, "what the world does is no breach");
}

#[test]
fn what_has_no_session_fails_too() {
    let driver = Driver::new(Api::V13_0);
    driver.loaded.fail(
        "NvEncodeAPIGetMaxSupportedVersion:1=20,NvEncodeAPICreateInstance:1=NV_ENC_ERR_INVALID_VERSION",
    );
    assert_eq!(newest(&driver.loaded).0, NV_ENC_ERR_GENERIC);
    assert_eq!(newest(&driver.loaded), (NV_ENC_SUCCESS, 13 << 4));
    let mut table = Api::V13_0.fresh::<NV_ENCODE_API_FUNCTION_LIST>();
    assert_eq!(create(&driver.loaded, &mut table), NV_ENC_ERR_INVALID_VERSION);
    assert_eq!(create(&driver.loaded, &mut table), NV_ENC_SUCCESS);
    driver.loaded.fail("nvEncOpenEncodeSessionEx:1=NV_ENC_ERR_OUT_OF_MEMORY,nvEncInitializeEncoder:1x2=10");
    let device = ptr::dangling_mut::<u8>().cast();
    assert_eq!(driver.open(device), (NV_ENC_ERR_OUT_OF_MEMORY, ptr::null_mut()));
    let encoder = driver.opened();
    let mut setup = driver.setup(encoder, NV_ENC_CODEC_H264_GUID);
    assert_eq!(setup.initialize(&driver, encoder), NV_ENC_ERR_OUT_OF_MEMORY);
    assert_eq!(setup.initialize(&driver, encoder), NV_ENC_ERR_OUT_OF_MEMORY);
    assert_eq!(setup.initialize(&driver, encoder), NV_ENC_SUCCESS);
    driver.loaded.fail("nvEncDestroyEncoder:1=NV_ENC_ERR_GENERIC");
    assert_eq!(
        call!(driver.table, nvEncDestroyEncoder(encoder)),
        NV_ENC_ERR_GENERIC,
        "it is ended all the same"
    );
    assert_eq!(driver.loaded.breaches(), 0);
}

#[test]
fn a_device_that_is_lost_stays_lost_for_its_session_only() {
    let driver = Driver::new(Api::V12_1);
    for (lost_at, call) in CALLS {
        let mut ready = driver.ready(NV_ENC_CODEC_H264_GUID);
        assert_eq!(ready.encode(0), NV_ENC_SUCCESS);
        driver.loaded.fail(&format!("{lost_at}:1=NV_ENC_ERR_DEVICE_NOT_EXIST"));
        assert_eq!(call(&driver, &mut ready), NV_ENC_ERR_DEVICE_NOT_EXIST, "{lost_at}");
        assert_eq!(ready.encode(1), NV_ENC_ERR_DEVICE_NOT_EXIST);
        assert_eq!(
            ready.lock(0, true).0,
            NV_ENC_ERR_DEVICE_NOT_EXIST,
            "nobody waits for a card that is gone"
        );
        assert!(ready.words().contains("lost"), "{}", ready.words());
        for at in 0..ready.inputs.len() {
            assert_eq!(ready.unmap(at), NV_ENC_ERR_DEVICE_NOT_EXIST);
            assert_eq!(ready.unregister(at), NV_ENC_ERR_DEVICE_NOT_EXIST);
        }
        assert_eq!(ready.destroy(), NV_ENC_SUCCESS);
        driver.loaded.fail("");
        let mut next = driver.ready(NV_ENC_CODEC_H264_GUID);
        assert_eq!(next.encode(0), NV_ENC_SUCCESS, "another session has another device");
        next.read(0);
        next.close();
    }
    assert_eq!(driver.loaded.breaches(), 0);
}

#[test]
fn a_wait_ends_when_the_device_is_lost() {
    let driver = Driver::new(Api::V13_0);
    let mut ready = driver.ready(NV_ENC_CODEC_H264_GUID);
    driver.loaded.fail("nvEncEncodePicture:1=NV_ENC_ERR_NEED_MORE_INPUT,nvEncEncodePicture:3=5");
    assert_eq!(ready.encode(0), NV_ENC_ERR_NEED_MORE_INPUT);
    assert_eq!(ready.encode(1), NV_ENC_SUCCESS);
    assert_eq!(ready.encode(1), NV_ENC_ERR_DEVICE_NOT_EXIST);
    assert_eq!(ready.lock(0, true).0, NV_ENC_ERR_DEVICE_NOT_EXIST);
    assert_eq!(ready.destroy(), NV_ENC_SUCCESS);
    assert_eq!(driver.loaded.breaches(), 0);
}

#[test]
fn what_needs_more_input_cannot_be_locked() {
    let driver = Driver::new(Api::V13_0);
    let mut ready = driver.ready(NV_ENC_CODEC_H264_GUID);
    driver.loaded.fail("nvEncEncodePicture:1=NV_ENC_ERR_NEED_MORE_INPUT");
    assert_eq!(ready.encode(0), NV_ENC_ERR_NEED_MORE_INPUT);
    assert_eq!(ready.lock(0, true).0, NV_ENC_ERR_INVALID_CALL);
    assert_eq!(driver.loaded.breaches(), 1);
    assert_eq!(ready.encode(1), NV_ENC_SUCCESS);
    ready.read(0);
    ready.read(1);
    ready.close();
    assert_eq!(driver.loaded.breaches(), 1);
}

#[test]
fn a_picture_that_waits_for_more_is_given_up_with_its_input() {
    let driver = Driver::new(Api::V13_0);
    let mut ready = driver.ready(NV_ENC_CODEC_H264_GUID);
    driver.loaded.fail("nvEncEncodePicture:1=NV_ENC_ERR_NEED_MORE_INPUT");
    assert_eq!(ready.encode(0), NV_ENC_ERR_NEED_MORE_INPUT);
    assert_eq!((ready.unmap(0), ready.map(0)), (NV_ENC_SUCCESS, NV_ENC_SUCCESS), "{}", ready.words());
    assert_eq!(ready.encode(0), NV_ENC_SUCCESS, "{}", ready.words());
    let (_, facts) = ready.read(0);
    assert_eq!((facts.outputTimeStamp, facts.pictureType), (1, NV_ENC_PIC_TYPE_IDR));
    ready.close();
    assert_eq!(driver.loaded.breaches(), 0);
}
