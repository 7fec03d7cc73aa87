//! What a sound driver is asked, and in which order.

use super::fake::{Driver, NEWEST, SLICE};
use super::*;
use crate::hdr::{SEI_LIGHT_LEVEL, SEI_MASTERING_DISPLAY};
use crate::limits::{INPUTS_MAX, OUTPUTS, REFERENCES};
use crate::sys::*;
use crate::{Change, Colour, Hdr, IdrReason, Lack, Readback, Recovery};

#[test]
fn slices_are_lent_while_the_rest_is_encoded() {
    let driver = Driver::new();
    let mut session = open(&driver, config()).expect("it opens");
    assert_eq!(session.plan().readback, Readback::SubFrame);
    let (encoded, slices) = encode(&mut session, 1, false).expect("encoded");
    // The first has the parameter sets; each look found one more.
    assert_eq!(slices, [120, 100, 100, 100]);
    assert_eq!(driver.state().calls["lock"], 4);
    assert_eq!((encoded.bytes, encoded.slices, encoded.early, encoded.qp), (420, 4, 3, 30));
    assert!(encoded.is_idr && encoded.reference.is_none(), "the first is one");
    let (encoded, _) = encode(&mut session, 2, false).expect("encoded");
    assert_eq!((encoded.is_idr, encoded.reference), (false, Some(1)));
    assert_eq!(driver.state().encoded[0].1, NV_ENC_PIC_FLAG_FORCEIDR.0);
    assert_eq!(driver.state().encoded[1].1, 0);
    assert_eq!(driver.state().stream, Some(0x57), "ordered behind the stream");
    drop(session);
    driver.assert_clean();
}

#[test]
fn a_lock_lasts_until_its_slices_are_home() {
    let driver = Driver::new();
    let mut session = open(&driver, config()).expect("it opens");
    let given = input(0);
    let mut picture = session.encode(&given, &request(7)).expect("handed in");
    let Step::Slice { slice, .. } = picture.next(PATIENCE).expect("a slice") else { panic!("none") };
    assert!(matches!(picture.next(Duration::from_millis(5)), Ok(Step::Lent)), "it is out");
    assert_eq!(driver.state().locked, 1);
    let sender = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        slice.as_ref()[0]
    });
    assert!(matches!(picture.next(PATIENCE), Ok(Step::Slice { .. })), "it waits for that");
    assert_eq!(sender.join().expect("it ends"), 7);
    let encoded = loop {
        match picture.next(PATIENCE).expect("encoded") {
            Step::Done(encoded) => break encoded,
            step => drop(step),
        }
    };
    assert!(encoded.locked >= Duration::from_millis(100), "{:?}", encoded.locked);
    drop(picture);
    let (encoded, _) = encode(&mut session, 8, false).expect("encoded");
    assert!(encoded.locked < Duration::from_millis(100), "{:?}: of this picture alone", encoded.locked);
}

#[test]
fn the_last_slices_may_be_out_while_the_next_picture_is_encoded() {
    let driver = Driver::new();
    let one = Config { slices: 1, ..config() };
    // One buffer's memory plays all of them: only one may be locked, so each is home when the next is looked at.
    let mut session = open(&driver, one).expect("it opens");
    let mut kept = None;
    for number in 1..=OUTPUTS as u64 + 2 {
        let mut picture = session.encode(&input(0), &request(number)).expect("handed in");
        drop(kept.take());
        let Step::Slice { slice, .. } = picture.next(PATIENCE).expect("a slice") else { panic!("none") };
        assert!(matches!(picture.next(PATIENCE), Ok(Step::Done(_))), "done with a slice out");
        kept = Some(slice);
        drop(picture);
        driver.state().locked = 0;
    }
    drop(kept);
    driver.state().locked = OUTPUTS as i64;
    drop(session);
}

#[test]
fn a_picture_allocates_nothing() {
    let driver = Driver::new();
    let mut session = open(&driver, config()).expect("it opens");
    driver.state().records = false;
    let inputs = [input(0), input(1)];
    let mut run = |numbers: std::ops::Range<u64>| {
        for number in numbers {
            let mut picture =
                session.encode(&inputs[number as usize % 2], &request(number)).expect("handed in");
            while !matches!(picture.next(PATIENCE).expect("encoded"), Step::Done(_)) {}
        }
    };
    run(1..5);
    let before = ALLOCATIONS.get();
    run(5..105);
    assert_eq!(ALLOCATIONS.get() - before, 0, "in a hundred pictures");
}

#[test]
fn the_configuration_is_the_one_of_low_latency() {
    let driver = Driver::new();
    drop(open(&driver, config()).expect("it opens"));
    let (params, chosen) = driver.state().initialized[0];
    assert_eq!(params.presetGUID, NV_ENC_PRESET_P1_GUID);
    assert_eq!(params.tuningInfo, NV_ENC_TUNING_INFO_ULTRA_LOW_LATENCY);
    assert_eq!((params.enablePTD, params.enableEncodeAsync), (1, 0));
    assert_eq!(NV_ENC_INITIALIZE_PARAMS::enableSubFrameWrite.of(params.flags), 1);
    assert_eq!(NV_ENC_INITIALIZE_PARAMS::reportSliceOffsets.of(params.flags), 1);
    assert_eq!((chosen.gopLength, chosen.frameIntervalP), (NVENC_INFINITE_GOPLENGTH, 1));
    assert_eq!(chosen.rcParams.rateControlMode, NV_ENC_PARAMS_RC_CBR);
    assert_eq!(chosen.rcParams.averageBitRate, 5_000_000);
    assert_eq!(chosen.rcParams.vbvBufferSize, 83_344, "a picture's share, in units of 16");
    assert_eq!(chosen.version, Api::V13_0.version_of::<NV_ENC_CONFIG>());
    // SAFETY: it is H.264's.
    let part = unsafe { chosen.encodeCodecConfig.h264Config };
    assert_eq!((part.sliceMode, part.sliceModeData, part.maxNumRefFrames), (3, 4, REFERENCES));
    assert_eq!(NV_ENC_CONFIG_H264::repeatSPSPPS.of(part.flags), 1);
    assert_eq!((part.outputBitDepth, part.inputBitDepth), (NV_ENC_BIT_DEPTH_8, NV_ENC_BIT_DEPTH_8));
}

#[test]
fn ten_bits_are_said_in_each_versions_own_place() {
    for (api, minus_8, field) in
        [(Api::V12_1, 2, NV_ENC_BIT_DEPTH_INVALID), (Api::V13_0, 0, NV_ENC_BIT_DEPTH_10)]
    {
        NEWEST.set(api);
        let driver = Driver::new();
        let ten = Config {
            format: Format::P010,
            colour: Colour::HDR10,
            hdr: Some(Hdr::default()),
            ..Config::new(Codec::Hevc, 640, 480, Rate::per_second(60), 5_000)
        };
        let session = open(&driver, ten).expect("it opens");
        assert_eq!(session.api(), api);
        let (_, chosen) = driver.state().initialized[0];
        assert_eq!(chosen.version, api.version_of::<NV_ENC_CONFIG>());
        assert_eq!(chosen.profileGUID, NV_ENC_HEVC_PROFILE_MAIN10_GUID);
        // SAFETY: it is HEVC's.
        let part = unsafe { chosen.encodeCodecConfig.hevcConfig };
        assert_eq!(NV_ENC_CONFIG_HEVC::pixelBitDepthMinus8.of(part.flags), minus_8, "{api}");
        assert_eq!((part.outputBitDepth, part.inputBitDepth), (field, field), "{api}");
        assert_eq!(part.hevcVUIParameters.transferCharacteristics, Colour::HDR10.transfer);
    }
    NEWEST.set(Api::V13_0);
}

#[test]
fn hdr_is_told_with_each_idr_and_with_nothing_else() {
    let driver = Driver::new();
    driver.state().caps.insert(NV_ENC_CAPS_SUPPORT_10BIT_ENCODE.0, 1);
    let hdr = Some(Hdr::default());
    let mut session = open(&driver, Config { format: Format::P010, hdr, ..config() }).expect("it opens");
    let ten = Input::at(Place { pointer: 1, pitch: 1280, format: Format::P010, width: 640, height: 480 });
    for (number, idr) in [(1, true), (2, false), (3, true)] {
        let mut picture =
            session.encode(&ten, &PictureRequest { number, idr, refresh: 0 }).expect("handed in");
        while !matches!(picture.next(PATIENCE).expect("encoded"), Step::Done(_)) {}
    }
    let told: Vec<Vec<u32>> = driver.state().encoded.iter().map(|picture| picture.2.clone()).collect();
    let both = vec![SEI_MASTERING_DISPLAY, SEI_LIGHT_LEVEL];
    assert_eq!(told, [both.clone(), vec![], both]);
}

#[test]
fn a_loss_is_answered_by_a_reference_or_by_an_idr_with_the_reason() {
    let driver = Driver::new();
    let mut session = open(&driver, config()).expect("it opens");
    assert_eq!(session.invalidate(1), Ok(Recovery::Idr { reason: IdrReason::Due }), "nothing was sent");
    for number in 1..=8 {
        encode(&mut session, number, false).expect("encoded");
    }
    assert_eq!(session.invalidate(7), Ok(Recovery::Reference { picture: 6 }));
    assert_eq!(driver.state().invalidated, [7, 8]);
    let (encoded, _) = encode(&mut session, 9, false).expect("encoded");
    assert_eq!((encoded.is_idr, encoded.reference), (false, Some(6)));
    assert_eq!(session.invalidate(4), Ok(Recovery::Idr { reason: IdrReason::NothingLeft }));
    assert!(encode(&mut session, 10, false).expect("encoded").0.is_idr);
    driver.state().fails.push(("invalidate", 0, NV_ENC_ERR_INVALID_PARAM));
    encode(&mut session, 11, false).expect("encoded");
    assert_eq!(session.invalidate(11), Ok(Recovery::Idr { reason: IdrReason::Refused }));
    let counts = session.counts();
    assert_eq!((counts.recoveries, counts.recoveries_by_idr, counts.idrs), (1, 3, 2));
}

#[test]
fn a_card_without_invalidation_takes_an_idr() {
    let driver = Driver::new();
    driver.state().caps.insert(NV_ENC_CAPS_SUPPORT_REF_PIC_INVALIDATION.0, 0);
    let mut session = open(&driver, config()).expect("it opens");
    encode(&mut session, 1, false).expect("encoded");
    assert_eq!(session.invalidate(1), Ok(Recovery::Idr { reason: IdrReason::Unable }));
    assert!(driver.state().invalidated.is_empty());
}

#[test]
fn bitrate_rate_and_size_change_within_a_session() {
    let driver = Driver::new();
    let mut session =
        open(&driver, Config { width_max: 1280, height_max: 720, ..config() }).expect("it opens");
    encode(&mut session, 1, false).expect("encoded");
    session.reconfigure(&Change { bitrate_kbps: Some(10_000), ..Change::default() }).expect("changed");
    let rate = Some(Rate::per_second(30));
    session.reconfigure(&Change { rate, ..Change::default() }).expect("changed");
    let (params, chosen, flags) = driver.state().changed[1];
    assert_eq!((chosen.rcParams.averageBitRate, params.frameRateNum, flags), (10_000_000, 30, 0));
    assert_eq!(chosen.rcParams.vbvBufferSize, 333_344);
    assert!(!encode(&mut session, 2, false).expect("encoded").0.is_idr, "the bitrate alone costs none");
    assert_eq!(driver.state().registered, 2);
    session.reconfigure(&Change { size: Some((1280, 720)), ..Change::default() }).expect("changed");
    let (params, _, flags) = driver.state().changed[2];
    assert_eq!((params.encodeWidth, params.maxEncodeWidth, flags), (1280, 1280, 3), "reset and IDR");
    assert_eq!(
        (driver.state().registered, session.counts().inputs_evicted),
        (0, 2),
        "the old size's memory is let go"
    );
    let large = Input::at(Place { pointer: 9, pitch: 1280, format: Format::Nv12, width: 1280, height: 720 });
    assert!(matches!(session.encode(&input(0), &request(3)), Err(NvencError::Request { .. })));
    assert!(session.encode(&large, &request(3)).expect("handed in").is_idr());
    let beyond = session.reconfigure(&Change { size: Some((1920, 1080)), ..Change::default() });
    assert!(matches!(beyond, Err(NvencError::Unable { what: Lack::Live(_), .. })), "{beyond:?}");
    assert_eq!((session.config().width, session.counts().changes), (1280, 3), "and nothing has changed");
}

#[test]
fn another_rate_makes_no_other_number_of_slices() {
    let driver = Driver::new();
    driver.state().caps.insert(NV_ENC_CAPS_NUM_ENCODER_ENGINES.0, 3);
    let four_k = Config::new(Codec::Hevc, 3840, 2160, Rate::per_second(60), 50_000);
    let mut session = open(&driver, four_k).expect("it opens");
    assert_eq!((session.plan().readback, session.plan().slices), (Readback::SubFrame, 4));
    // A session that begins at this rate is split, with as many slices for each engine.
    let rate = Some(Rate::per_second(144));
    session.reconfigure(&Change { rate, ..Change::default() }).expect("changed");
    assert_eq!((session.plan().readback, session.plan().slices), (Readback::SubFrame, 4));
    let (_, chosen, _) = driver.state().changed[0];
    // SAFETY: it is HEVC's.
    assert_eq!(unsafe { chosen.encodeCodecConfig.hevcConfig }.sliceModeData, 4);
}

#[test]
fn inputs_are_registered_once_and_the_oldest_goes() {
    let driver = Driver::new();
    let mut session = open(&driver, config()).expect("it opens");
    for number in 1..=9 {
        encode(&mut session, number, false).expect("encoded");
    }
    let counts = session.counts();
    assert_eq!((counts.inputs_registered, counts.inputs_found, counts.inputs_evicted), (3, 6, 0));
    for at in 0..INPUTS_MAX as u64 + 2 {
        session.register(&input(at)).expect("registered");
    }
    assert_eq!(driver.state().registered, INPUTS_MAX as i64);
    assert_eq!(session.counts().inputs_evicted, 2);
    drop(session);
    driver.assert_clean();
}

#[test]
fn a_card_without_sub_frame_readback_is_read_at_once() {
    let driver = Driver::new();
    driver.state().caps.insert(NV_ENC_CAPS_SUPPORT_SUBFRAME_READBACK.0, 0);
    let mut session = open(&driver, config()).expect("it opens");
    assert_eq!(session.plan().readback, Readback::Whole);
    let (_, slices) = encode(&mut session, 1, false).expect("encoded");
    assert_eq!((slices, driver.state().calls["lock"]), (vec![120, 100, 100, 100], 1));
}

#[test]
fn a_picture_that_is_dropped_in_its_midst_is_drained_and_an_idr_follows() {
    let driver = Driver::new();
    let mut session = open(&driver, config()).expect("it opens");
    encode(&mut session, 1, false).expect("encoded");
    let mut picture = session.encode(&input(0), &request(2)).expect("handed in");
    let slice = picture.next(PATIENCE).expect("a slice");
    drop(slice);
    drop(picture);
    let left = driver.left();
    assert_eq!((left[1], left[2]), (0, 0), "locked, mapped");
    assert_eq!(session.counts().abandoned, 1);
    assert!(encode(&mut session, 3, false).expect("encoded").0.is_idr);
    drop(session);
    driver.assert_clean();
}

#[test]
fn a_picture_that_is_forgotten_in_its_midst_is_given_up_before_the_next() {
    let driver = Driver::new();
    let mut session = open(&driver, config()).expect("it opens");
    encode(&mut session, 1, false).expect("encoded");
    let given = input(0);
    for number in 2..=4 {
        std::mem::forget(session.encode(&given, &request(number)).expect("handed in"));
        assert_eq!(driver.state().mapped, 1, "the encoder reads it");
    }
    session.register(&input(5)).expect("registered");
    assert_eq!(driver.left()[1..3], [0, 0], "locked, mapped");
    assert!(encode(&mut session, 5, false).expect("encoded").0.is_idr);
    assert_eq!(session.counts().abandoned, 3);
    drop(session);
    driver.assert_clean();
}

#[test]
fn parameter_sets_are_the_drivers() {
    let driver = Driver::new();
    let session = open(&driver, config()).expect("it opens");
    assert_eq!(session.parameter_sets().expect("read").len(), 20);
    assert_eq!(SLICE, 100);
}
