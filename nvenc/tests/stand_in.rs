//! Sessions on the stand-ins for CUDA and NVENC, which check the SDK's contract and encode real H.264.
#![allow(clippy::unwrap_used)] // clippy's leave for tests ends at the functions that they share

mod ground;

use std::sync::Arc;

use ground::{Ground, PATIENCE, config, encode, request};
use punktfunk_codec::h264::Decoder;
use punktfunk_nvenc::{
    Change, Chromaticity, Codec, Colour, Config, Format, Hdr, Lack, NvencError, PictureRequest, Rate,
    Recovery, Refresh, Step,
};

/// The grey of a decoded picture, which must be of one.
fn shade(decoder: &mut Decoder, au: &[u8]) -> Option<u8> {
    let decoded = decoder.decode(au).unwrap()?;
    let picture = decoded.as_i420();
    let first = picture.y()[0];
    for row in picture.y().chunks(picture.stride_y()) {
        assert!(row[..picture.width() as usize].iter().all(|sample| *sample == first), "not of one grey");
    }
    Some(first)
}

#[test]
fn pictures_come_out_as_they_went_in_slice_by_slice() {
    let ground = Ground::new();
    {
        let mut session = ground.open(config(Codec::H264)).unwrap();
        let pictures = ground.pictures(Format::Nv12, 320, 192);
        let input = pictures.input();
        let mut decoder = Decoder::new().unwrap();
        for number in 1..=20 {
            let grey = 20 + 10 * number as u8;
            ground.grey(&pictures, grey);
            let au = encode(&mut session, &input, &request(number)).unwrap();
            assert_eq!((au.encoded.slices, au.encoded.is_idr), (4, number == 1));
            assert_eq!(shade(&mut decoder, &au.bytes), Some(grey));
        }
        let counts = session.counts();
        assert_eq!((counts.pictures, counts.idrs, counts.inputs_registered), (20, 1, 1));
        assert_eq!((counts.rebuilds, counts.holds_back, counts.abandoned), (0, 0, 0));
    }
    assert_eq!(ground.loaded.breaches(), 0);
}

#[test]
fn what_the_client_misses_is_left_out_without_an_idr() {
    let ground = Ground::new();
    {
        let mut session = ground.open(config(Codec::H264)).unwrap();
        let pictures = ground.pictures(Format::Nv12, 320, 192);
        let input = pictures.input();
        let mut decoder = Decoder::new().unwrap();
        for number in 1..=30 {
            let grey = 20 + 7 * number as u8;
            ground.grey(&pictures, grey);
            if number % 6 == 0 {
                // The two before were lost, and the report comes now.
                let recovery = session.invalidate(number - 2).unwrap();
                assert_eq!(recovery, Recovery::Reference { picture: number - 3 });
            }
            let au = encode(&mut session, &input, &request(number)).unwrap();
            assert_eq!(au.encoded.is_idr, number == 1);
            if matches!(number % 6, 4 | 5) {
                continue;
            }
            assert_eq!(shade(&mut decoder, &au.bytes), Some(grey), "picture {number}");
        }
        assert_eq!((session.counts().recoveries, session.counts().idrs), (5, 1));
        assert!(matches!(session.invalidate(2).unwrap(), Recovery::Idr { .. }), "too long ago");
        let au = encode(&mut session, &input, &request(31)).unwrap();
        assert!(au.encoded.is_idr);
        assert!(shade(&mut Decoder::new().unwrap(), &au.bytes).is_some(), "with its parameter sets");
        assert!(au.bytes.starts_with(&session.parameter_sets().unwrap()));
    }
    assert_eq!(ground.loaded.breaches(), 0);
}

#[test]
fn bitrate_and_mode_change_in_a_running_session() {
    let ground = Ground::new();
    {
        let large = Config { width_max: 640, height_max: 384, ..config(Codec::H264) };
        let mut session = ground.open(large).unwrap();
        let pictures = ground.pictures(Format::Nv12, 320, 192);
        let input = pictures.input();
        let mut decoder = Decoder::new().unwrap();
        let mut bytes = Vec::new();
        for (number, kbps) in [(1, 200_000), (2, 200_000), (3, 5_000), (4, 5_000), (5, 200_000)] {
            session.reconfigure(&Change { bitrate_kbps: Some(kbps), ..Change::default() }).unwrap();
            ground.grey(&pictures, 40 * number as u8);
            let au = encode(&mut session, &input, &request(number)).unwrap();
            assert_eq!(au.encoded.is_idr, number == 1, "a bitrate costs no IDR");
            assert!(decoder.decode(&au.bytes).unwrap().is_some());
            bytes.push(au.bytes.len());
        }
        assert!(bytes[2] * 4 < bytes[1] && bytes[2] * 4 < bytes[4], "it follows the bitrate: {bytes:?}");
        let change = Change { size: Some((640, 384)), rate: Some(Rate::per_second(30)), ..Change::default() };
        session.reconfigure(&change).unwrap();
        let pictures = ground.pictures(Format::Nv12, 640, 384);
        ground.grey(&pictures, 77);
        let au = encode(&mut session, &pictures.input(), &request(6)).unwrap();
        assert!(au.encoded.is_idr);
        assert_eq!(shade(&mut Decoder::new().unwrap(), &au.bytes), Some(77));
        let beyond = session.reconfigure(&Change { size: Some((1280, 720)), ..Change::default() });
        assert!(matches!(beyond, Err(NvencError::Unable { what: Lack::Live(_), .. })), "{beyond:?}");
    }
    assert_eq!(ground.loaded.breaches(), 0);
}

#[test]
fn every_codec_format_and_extra_is_configured_as_the_contract_wants() {
    let ground = Ground::new();
    {
        let point = Chromaticity { x: 15_635, y: 16_450 };
        let hdr = Hdr { white: point, luminance_max: 10_000_000, light_max: 1000, ..Hdr::default() };
        let ten =
            |codec| Config { format: Format::P010, colour: Colour::HDR10, hdr: Some(hdr), ..config(codec) };
        let refresh = Some(Refresh { period: 30, length: 10 });
        for given in [
            config(Codec::Hevc),
            config(Codec::Av1),
            ten(Codec::Hevc),
            ten(Codec::Av1),
            Config { format: Format::Yuv444, ..config(Codec::H264) },
            Config { format: Format::Yuv444, ..config(Codec::Hevc) },
            Config { format: Format::Yuv444Ten, ..config(Codec::Hevc) },
            Config { refresh, ..config(Codec::H264) },
            Config { refresh, ..config(Codec::Hevc) },
            Config { slices: 1, ..config(Codec::H264) },
        ] {
            let mut session = ground.open(given).unwrap_or_else(|error| panic!("{given:?}: {error}"));
            let input = ground.pictures(given.format, given.width, given.height).input();
            for number in 1..=4 {
                let idr = number == 3;
                let au = encode(&mut session, &input, &PictureRequest { number, idr, refresh: 0 })
                    .unwrap_or_else(|error| panic!("{given:?}: {error}"));
                assert_eq!(au.encoded.is_idr, number == 1 || number == 3);
            }
            session.invalidate(4).unwrap();
            let refresh = PictureRequest { number: 5, idr: false, refresh: 8 };
            let refreshed = encode(&mut session, &input, &refresh);
            match given.refresh {
                Some(_) => assert!(!refreshed.unwrap().encoded.is_idr),
                None => assert!(matches!(refreshed, Err(NvencError::Request { .. }))),
            }
        }
    }
    assert_eq!(ground.loaded.breaches(), 0);
}

#[test]
fn every_call_that_fails_is_survived_or_named() {
    let ground = Ground::new();
    {
        for call in [
            "nvEncOpenEncodeSessionEx",
            "nvEncGetEncodeGUIDCount",
            "nvEncGetEncodeGUIDs",
            "nvEncGetInputFormats",
            "nvEncGetEncodePresetConfigEx",
            "nvEncInitializeEncoder",
            "nvEncSetIOCudaStreams",
            "nvEncCreateBitstreamBuffer:2",
        ] {
            ground.loaded.fail(&format!("{call}=NV_ENC_ERR_OUT_OF_MEMORY"));
            let error = ground.open(config(Codec::H264)).expect_err(call);
            match (&error, call) {
                (NvencError::SessionLimit { .. }, "nvEncOpenEncodeSessionEx") => {}
                (NvencError::Call { call: named, .. }, _) => assert!(call.starts_with(named), "{error}"),
                other => panic!("{other:?}"),
            }
        }
        ground.loaded.fail("");
        let pictures = ground.pictures(Format::Nv12, 320, 192);
        let input = pictures.input();
        for (list, survives) in [
            ("nvEncEncodePicture:2=NV_ENC_ERR_ENCODER_BUSY", true),
            ("nvEncEncodePicture:2=NV_ENC_ERR_DEVICE_NOT_EXIST", true),
            ("nvEncEncodePicture:2=NV_ENC_ERR_GENERIC", true),
            ("nvEncEncodePicture:2=NV_ENC_ERR_NEED_MORE_INPUT", true),
            ("nvEncEncodePicture:2=NV_ENC_ERR_INVALID_PARAM", false),
            ("nvEncLockBitstream:1x3=NV_ENC_ERR_LOCK_BUSY", true),
            ("nvEncLockBitstream:3=NV_ENC_ERR_DEVICE_NOT_EXIST", false),
            ("nvEncMapInputResource:2=NV_ENC_ERR_MAP_FAILED", true),
            ("nvEncRegisterResource:1=NV_ENC_ERR_RESOURCE_REGISTER_FAILED", false),
        ] {
            let mut session = ground.open(config(Codec::H264)).unwrap();
            ground.loaded.fail(list);
            let mut decoder = Decoder::new().unwrap();
            let mut errors = 0;
            let mut last = None;
            for number in 1..=8 {
                let grey = 20 + 10 * number as u8;
                ground.grey(&pictures, grey);
                match encode(&mut session, &input, &request(number)) {
                    Ok(au) => last = shade(&mut decoder, &au.bytes).map(|shade| (shade, grey)),
                    Err(_) => errors += 1,
                }
            }
            let (got, due) = last.unwrap_or_else(|| panic!("{list}: nothing at the end"));
            assert_eq!(got, due, "{list}");
            assert_eq!(errors, u32::from(!survives), "{list}");
            ground.loaded.fail("");
        }
    }
    assert_eq!(ground.loaded.breaches(), 0);
}

#[test]
fn a_picture_that_is_dropped_in_its_midst_breaks_no_contract() {
    let ground = Ground::new();
    {
        let mut session = ground.open(config(Codec::H264)).unwrap();
        let pictures = ground.pictures(Format::Nv12, 320, 192);
        let input = pictures.input();
        for number in 1..=6 {
            ground.grey(&pictures, 10 * number as u8);
            let mut picture = session.encode(&input, &request(number)).unwrap();
            assert!(picture.is_idr());
            for _ in 0..number % 3 {
                assert!(matches!(picture.next(PATIENCE).unwrap(), Step::Slice { .. }));
            }
        }
        assert_eq!(session.counts().abandoned, 6);
        ground.grey(&pictures, 99);
        let au = encode(&mut session, &input, &request(7)).unwrap();
        assert_eq!(shade(&mut Decoder::new().unwrap(), &au.bytes), Some(99));
        // And one that is in the midst when the session ends.
        let picture = session.encode(&input, &request(8)).unwrap();
        drop(picture);
    }
    assert_eq!(ground.loaded.breaches(), 0);
}

#[test]
fn slices_that_never_come_home_keep_the_inputs_of_their_session() {
    let ground = Ground::new();
    let mut session = ground.open(config(Codec::H264)).unwrap();
    let pictures = ground.pictures(Format::Nv12, 320, 192);
    let memory = Arc::downgrade(&pictures.memory);
    ground.grey(&pictures, 50);
    let mut picture = session.encode(&pictures.input(), &request(1)).unwrap();
    let Step::Slice { slice, .. } = picture.next(PATIENCE).unwrap() else { panic!("no slice") };
    drop(picture);
    drop((session, pictures));
    assert!(memory.upgrade().is_some(), "a session that lives on has it registered");
    assert!(slice.as_ref().starts_with(&[0, 0, 0, 1]));
    assert_eq!(ground.loaded.breaches(), 0);
}

#[test]
fn slices_are_sent_by_another_thread() {
    let ground = Ground::new();
    {
        let mut session = ground.open(config(Codec::H264)).unwrap();
        let pictures = ground.pictures(Format::Nv12, 320, 192);
        let input = pictures.input();
        let (send, sent) = std::sync::mpsc::channel::<(punktfunk_nvenc::Slice, bool)>();
        let sender = std::thread::spawn(move || {
            let mut decoder = Decoder::new().unwrap();
            let (mut au, mut shades) = (Vec::new(), Vec::new());
            for (slice, is_last) in sent {
                au.extend_from_slice(slice.as_ref());
                drop(slice);
                if is_last {
                    shades.extend(shade(&mut decoder, &au));
                    au.clear();
                }
            }
            shades
        });
        for number in 1..=12 {
            ground.grey(&pictures, 20 * number as u8);
            let mut picture = session.encode(&input, &request(number)).unwrap();
            loop {
                match picture.next(PATIENCE).unwrap() {
                    Step::Slice { slice, is_last } => send.send((slice, is_last)).unwrap(),
                    Step::Done(_) => break,
                    Step::Nothing | Step::Lent => panic!("the sender keeps them"),
                }
            }
        }
        drop(send);
        let expected: Vec<u8> = (1..=12).map(|number| 20 * number).collect();
        assert_eq!(sender.join().unwrap(), expected);
    }
    assert_eq!(ground.loaded.breaches(), 0);
}
