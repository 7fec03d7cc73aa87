//! A driver that fails or lies: survived where that can be, named where it cannot.

use super::fake::{Driver, LACKS_LOCK, NEWEST, load};
use super::*;
use crate::limits::{PICTURE_MAX, REBUILD_PICTURES};
use crate::sys::*;
use crate::{Nonsense, Readback, Recovery};

/// What a picture gives whose lock is tampered with.
fn tampered(tamper: impl Fn(&mut NV_ENC_LOCK_BITSTREAM, u32) + Send + 'static) -> NvencError {
    let driver = Driver::new();
    let mut session = open(&driver, config()).expect("it opens");
    driver.state().tamper = Some(Box::new(tamper));
    let error = encode(&mut session, 1, false).expect_err("a lie");
    driver.state().tamper = None;
    // The picture is lost, and the session goes on with an IDR.
    assert!(encode(&mut session, 2, false).expect("encoded").0.is_idr);
    assert_eq!(session.counts().abandoned, 1);
    drop(session);
    driver.assert_clean();
    error
}

#[test]
fn what_a_lock_cannot_say_is_refused_by_name() {
    let nonsense = |error| match error {
        NvencError::Hostile { call: "nvEncLockBitstream", what } => what,
        other => panic!("{other}"),
    };
    let outside = nonsense(tampered(|lock, _| {
        // SAFETY: it has room for more than one.
        unsafe { *lock.sliceOffsets = u32::MAX };
    }));
    assert!(matches!(outside, Nonsense::Offset { slice: 0, offset: u32::MAX, .. }));
    let many = nonsense(tampered(|lock, _| lock.numSlices = 100_000));
    assert!(matches!(many, Nonsense::Count { got: 100_000, .. }));
    let large = nonsense(tampered(|lock, _| lock.bitstreamSizeInBytes = u32::MAX));
    assert!(matches!(large, Nonsense::Size { got: u32::MAX, .. }));
    let null = nonsense(tampered(|lock, _| lock.bitstreamBufferPtr = std::ptr::null_mut()));
    assert_eq!(null, Nonsense::Null);
    let empty = nonsense(tampered(|lock, _| {
        (lock.numSlices, lock.bitstreamSizeInBytes, lock.hwEncodeStatus) = (0, 0, 2);
    }));
    assert_eq!(empty, Nonsense::Empty);
    let other = nonsense(tampered(|lock, _| {
        lock.outputTimeStamp = 99;
        lock.hwEncodeStatus = 2;
    }));
    assert_eq!(other, Nonsense::Picture { got: 99, expected: 1 });
}

#[test]
fn a_driver_that_lies_about_what_is_not_done_is_read_whole_from_then_on() {
    let lies: [fn(&mut NV_ENC_LOCK_BITSTREAM); 4] = [
        |lock| lock.numSlices = 100_000,
        |lock| lock.bitstreamSizeInBytes = u32::MAX,
        |lock| lock.bitstreamBufferPtr = std::ptr::null_mut(),
        // SAFETY: there is room for two.
        |lock| unsafe {
            lock.numSlices = 2;
            *lock.sliceOffsets.add(1) = 0;
        },
    ];
    for lie in lies {
        let driver = Driver::new();
        let mut session = open(&driver, config()).expect("it opens");
        driver.state().tamper = Some(Box::new(move |lock, _| {
            if lock.hwEncodeStatus != 2 {
                lie(lock);
            }
        }));
        encode(&mut session, 1, false).expect_err("a lie");
        let before = driver.state().calls["lock"];
        for number in 2..=5 {
            let (encoded, slices) =
                encode(&mut session, number, false).expect("whole pictures are told right");
            assert_eq!((encoded.is_idr, encoded.early), (number == 2, 0));
            assert_eq!(slices, [120, 100, 100, 100]);
        }
        assert_eq!(driver.state().calls["lock"] - before, 4, "once for each");
        let counts = session.counts();
        assert_eq!((counts.reads_whole, counts.holds_back, counts.rebuilds), (1, 0, 0));
        assert_eq!((session.plan().readback, session.plan().slices), (Readback::Whole, 4));
        assert_eq!(driver.state().calls["open"], 2, "the second without sub-frame readback");
        drop(session);
        driver.assert_clean();
    }
}

#[test]
fn a_card_that_has_no_session_for_whole_pictures_is_asked_once_more() {
    let driver = Driver::new();
    let mut session = open(&driver, config()).expect("it opens");
    driver.state().tamper =
        Some(Box::new(|lock, _| lock.numSlices |= u32::from(lock.hwEncodeStatus != 2) << 31));
    driver.state().fails.push(("open", 2, NV_ENC_ERR_OUT_OF_MEMORY));
    encode(&mut session, 1, false).expect_err("a lie");
    let error = encode(&mut session, 2, false).expect_err("no session left");
    assert!(matches!(&error, NvencError::SessionLimit { .. }), "{error}");
    let (encoded, slices) = encode(&mut session, 3, false).expect("there is one again");
    assert_eq!((encoded.is_idr, slices), (true, vec![120, 100, 100, 100]));
    assert_eq!((session.counts().reads_whole, session.counts().rebuilds), (1, 1));
    drop(session);
    driver.assert_clean();
}

#[test]
fn a_driver_that_moves_what_it_called_finished_is_not_trusted_again() {
    let driver = Driver::new();
    let mut session = open(&driver, config()).expect("it opens");
    // The first look calls 110 bytes finished; the second says that the second slice begins at 120.
    driver.state().tamper = Some(Box::new(|lock, look| {
        if look == 1 && lock.hwEncodeStatus != 2 {
            lock.bitstreamSizeInBytes = 110;
        }
    }));
    let error = encode(&mut session, 1, false).expect_err("it moved");
    assert!(
        matches!(error, NvencError::Hostile { what: Nonsense::Moved { was: 110, now: 120 }, .. }),
        "{error}"
    );
    let counts = session.counts();
    assert_eq!((counts.reads_whole, counts.holds_back), (1, 0));
    let (encoded, slices) = encode(&mut session, 2, false).expect("the same driver, asked for less");
    assert!(encoded.is_idr);
    assert_eq!(slices, [120, 100, 100, 100]);
}

#[test]
fn a_driver_that_makes_fewer_slices_than_it_is_told_is_read_with_more_care() {
    let driver = Driver::new();
    let mut session = open(&driver, config()).expect("it opens");
    // Three slices: the third is called finished, and then the picture.
    driver.state().tamper = Some(Box::new(|lock, look| {
        lock.numSlices = lock.numSlices.min(3);
        lock.bitstreamSizeInBytes = lock.bitstreamSizeInBytes.min(320);
        lock.hwEncodeStatus = if look == 4 { 2 } else { 1 };
    }));
    let error = encode(&mut session, 1, false).expect_err("none was called the last");
    assert!(
        matches!(error, NvencError::Hostile { what: Nonsense::Slices { got: 3, expected: 4 }, .. }),
        "{error}"
    );
    let counts = session.counts();
    assert_eq!((counts.reads_whole, counts.holds_back), (0, 1), "all that was not done was right");
    let (encoded, slices) = encode(&mut session, 2, false).expect("read with more care");
    assert_eq!((encoded.is_idr, slices), (true, vec![120, 100, 100]));
}

/// Has the second slice begin before the first.
fn wrong_offset(lock: &mut NV_ENC_LOCK_BITSTREAM) {
    // SAFETY: there is room for two.
    unsafe { *lock.sliceOffsets.add(1) = 0 };
}

#[test]
fn a_finished_picture_whose_slices_are_told_wrong_is_given_in_one_piece() {
    let lies: [fn(&mut NV_ENC_LOCK_BITSTREAM); 3] = [
        wrong_offset,
        |lock| lock.numSlices = 100_000,
        // SAFETY: there is room for it.
        |lock| unsafe { *lock.sliceOffsets = u32::MAX },
    ];
    for lie in lies {
        let driver = Driver::new();
        driver.state().caps.insert(NV_ENC_CAPS_SUPPORT_SUBFRAME_READBACK.0, 0);
        let mut session = open(&driver, config()).expect("it opens");
        for number in 1..=3 {
            driver.state().tamper = (number > 1).then(|| Box::new(move |lock: &mut _, _| lie(lock)) as _);
            let (encoded, slices) = encode(&mut session, number, false).expect("all of it is there");
            let expected: &[usize] = if number > 1 { &[420] } else { &[120, 100, 100, 100] };
            assert_eq!((encoded.is_idr, slices.as_slice()), (number == 1, expected));
        }
        let counts = session.counts();
        assert_eq!((counts.uncut, counts.abandoned, counts.reads_whole), (2, 0, 0));
        drop(session);
        driver.assert_clean();
    }
}

#[test]
fn slices_that_turn_out_wrong_in_the_end_cost_one_picture() {
    let driver = Driver::new();
    let mut session = open(&driver, config()).expect("it opens");
    driver.state().tamper = Some(Box::new(|lock, _| {
        if lock.hwEncodeStatus == 2 {
            wrong_offset(lock);
        }
    }));
    let error = encode(&mut session, 1, false).expect_err("three were given by other offsets");
    assert!(matches!(error, NvencError::Hostile { what: Nonsense::Offset { slice: 1, .. }, .. }), "{error}");
    for number in 2..=4 {
        let (encoded, slices) = encode(&mut session, number, false).expect("there is a way down");
        assert_eq!((encoded.is_idr, slices), (number == 2, vec![420]));
    }
    let counts = session.counts();
    assert_eq!((counts.abandoned, counts.reads_whole, counts.uncut, counts.rebuilds), (1, 1, 3, 0));
    drop(session);
    driver.assert_clean();
}

#[test]
fn a_session_that_dies_is_made_anew_once_and_then_reported() {
    let driver = Driver::new();
    let mut session = open(&driver, config()).expect("it opens");
    encode(&mut session, 1, false).expect("encoded");
    driver.state().fails.push(("encode", 2, NV_ENC_ERR_DEVICE_NOT_EXIST));
    let (encoded, _) = encode(&mut session, 2, false).expect("on a new session");
    assert!(encoded.is_idr);
    assert_eq!((session.counts().rebuilds, driver.state().open), (1, 1));
    driver.state().fails.push(("lock", 10, NV_ENC_ERR_GENERIC));
    let died = encode(&mut session, 3, false).expect_err("in its midst");
    assert!(matches!(&died, NvencError::Died { rebuilt: false, .. }), "{died}");
    assert!(died.to_string().contains("said by the driver"), "{died}");
    let reported = encode(&mut session, 4, false).expect_err("too soon after the last time");
    assert!(matches!(&reported, NvencError::Died { rebuilt: true, .. }), "{reported}");
    assert!(reported.to_string().contains("Xid"), "{reported}");
    drop(session);
    driver.assert_clean();
}

#[test]
fn a_session_that_has_run_for_long_may_be_made_anew_again() {
    let driver = Driver::new();
    let mut session = open(&driver, Config { slices: 1, ..config() }).expect("it opens");
    driver.state().fails.push(("encode", 1, NV_ENC_ERR_NEED_MORE_INPUT));
    for number in 1..=REBUILD_PICTURES {
        encode(&mut session, number, false).expect("encoded");
    }
    let next = driver.state().calls["encode"] + 1;
    driver.state().fails.push(("encode", next, NV_ENC_ERR_GENERIC));
    assert!(encode(&mut session, REBUILD_PICTURES + 1, false).expect("made anew").0.is_idr);
    assert_eq!(session.counts().rebuilds, 2);
    assert_eq!(
        session.invalidate(REBUILD_PICTURES),
        Ok(Recovery::Idr { reason: crate::IdrReason::NothingLeft })
    );
}

#[test]
fn a_rebuild_that_fails_says_why() {
    let driver = Driver::new();
    let mut session = open(&driver, config()).expect("it opens");
    driver.state().fails.extend([("encode", 1, NV_ENC_ERR_GENERIC), ("open", 2, NV_ENC_ERR_OUT_OF_MEMORY)]);
    let error = encode(&mut session, 1, false).expect_err("no session left");
    assert!(matches!(&error, NvencError::SessionLimit { .. }), "{error}");
    let again = encode(&mut session, 2, false).expect_err("it was tried");
    assert!(again.is_session_lost(), "{again}");
    drop(session);
    driver.assert_clean();
}

#[test]
fn what_is_busy_is_asked_again() {
    let driver = Driver::new();
    let mut session = open(&driver, config()).expect("it opens");
    driver.state().fails.extend([
        ("encode", 1, NV_ENC_ERR_ENCODER_BUSY),
        ("encode", 2, NV_ENC_ERR_ENCODER_BUSY),
        ("lock", 1, NV_ENC_ERR_LOCK_BUSY),
    ]);
    encode(&mut session, 1, false).expect("encoded");
    assert_eq!(session.counts().busy, 2);
}

#[test]
fn an_encoder_that_gives_nothing_is_stuck_however_it_is_read() {
    for sub_frame in [1, 0] {
        assert_is_stuck(sub_frame);
    }
}

fn assert_is_stuck(sub_frame: i32) {
    let driver = Driver::new();
    driver.state().caps.insert(NV_ENC_CAPS_SUPPORT_SUBFRAME_READBACK.0, sub_frame);
    let mut session = open(&driver, config()).expect("it opens");
    driver.state().fails.push(("lock", 0, NV_ENC_ERR_LOCK_BUSY));
    let given = input(0);
    let mut picture = session.encode(&given, &request(1)).expect("handed in");
    assert!(matches!(picture.next(Duration::from_millis(5)), Ok(Step::Nothing)));
    assert_eq!(picture.next(PATIENCE).expect_err("nothing comes"), NvencError::Stuck);
    drop(picture);
    driver.state().fails.clear();
    assert!(encode(&mut session, 2, false).expect("on a new session").0.is_idr);
}

#[test]
fn an_encoder_that_hangs_holds_nobody_who_gives_its_picture_up() {
    let driver = Driver::new();
    let mut session = open(&driver, config()).expect("it opens");
    driver.state().fails.push(("lock", 0, NV_ENC_ERR_LOCK_BUSY));
    let began = std::time::Instant::now();
    drop(session.encode(&input(0), &request(1)).expect("handed in"));
    assert!(began.elapsed() < 2 * PICTURE_MAX, "{:?}", began.elapsed());
    driver.state().fails.clear();
    assert!(encode(&mut session, 2, false).expect("on a new session").0.is_idr);
    assert_eq!((session.counts().abandoned, session.counts().rebuilds), (1, 1));
    drop(session);
    driver.assert_clean();
}

#[test]
fn a_driver_that_does_not_say_when_a_whole_picture_is_done_is_waited_for() {
    let driver = Driver::new();
    driver.state().caps.insert(NV_ENC_CAPS_SUPPORT_SUBFRAME_READBACK.0, 0);
    let mut session = open(&driver, config()).expect("it opens");
    driver.state().tamper = Some(Box::new(|lock, _| lock.hwEncodeStatus = 0));
    for number in 1..=3 {
        let (encoded, slices) = encode(&mut session, number, false).expect("encoded");
        assert_eq!((encoded.is_idr, slices), (number == 1, vec![120, 100, 100, 100]));
    }
    assert_eq!((session.counts().waits, driver.state().calls["lock"]), (1, 4), "asked twice, once");
    drop(session);
    driver.assert_clean();
}

#[test]
fn each_step_of_opening_fails_cleanly() {
    for call in ["guid_count", "guids", "formats", "caps", "preset", "initialize", "streams", "create_output"]
    {
        let driver = Driver::new();
        driver.state().fails.push((call, 1, NV_ENC_ERR_OUT_OF_MEMORY));
        let error = open(&driver, config()).expect_err(call);
        assert!(matches!(&error, NvencError::Call { .. }), "{call}: {error}");
        driver.assert_clean();
    }
    let driver = Driver::new();
    driver.state().fails.push(("create_output", 3, NV_ENC_ERR_OUT_OF_MEMORY));
    open(&driver, config()).expect_err("the third buffer");
    driver.assert_clean();
}

#[test]
fn each_step_of_a_picture_fails_cleanly() {
    for call in ["register", "map", "encode", "lock", "unlock", "unmap"] {
        let driver = Driver::new();
        let mut session = open(&driver, config()).expect("it opens");
        driver.state().fails.push((call, 1, NV_ENC_ERR_INVALID_PARAM));
        let error = encode(&mut session, 1, false).expect_err(call);
        assert!(matches!(&error, NvencError::Call { .. }), "{call}: {error}");
        assert!(call == "unlock" || driver.state().locked == 0, "{call}: nothing stays locked");
        driver.state().fails.clear();
        if call == "unlock" {
            // The played driver counts what it refused.
            driver.state().locked = 0;
        }
        assert!(encode(&mut session, 2, false).expect("the next").0.is_idr, "{call}");
    }
}

#[test]
fn lists_and_handles_that_lie_are_refused() {
    let driver = Driver::new();
    driver.state().count_lies = 7;
    let error = open(&driver, config()).expect_err("more than asked");
    assert!(matches!(error, NvencError::Hostile { what: Nonsense::Count { got: 10, most: 3 }, .. }));
    driver.state().count_lies = 0;
    driver.state().null_output = true;
    let error = open(&driver, config()).expect_err("no handle");
    assert!(matches!(error, NvencError::Hostile { what: Nonsense::Null, .. }), "{error}");
    driver.state().null_output = false;
    driver.state().set_bytes = 4000;
    driver.state().outputs = 0;
    let session = open(&driver, config()).expect("it opens");
    let error = session.parameter_sets().expect_err("longer than its room");
    assert!(matches!(error, NvencError::Hostile { what: Nonsense::Size { got: 4000, most: 512 }, .. }));
}

#[test]
fn a_driver_that_is_too_old_or_lacks_a_function_is_named() {
    NEWEST.set(Api { major: 12, minor: 0 });
    let error = load().expect_err("too old");
    assert!(matches!(&error, NvencError::TooOld { has: Api { major: 12, minor: 0 }, .. }), "{error}");
    assert!(error.to_string().contains("535.54.03"), "{error}");
    NEWEST.set(Api::V13_0);
    LACKS_LOCK.set(true);
    let error = load().expect_err("a hole in the table");
    assert_eq!(error, NvencError::EntryMissing { name: "nvEncLockBitstream" });
    LACKS_LOCK.set(false);
    assert_eq!(load().expect("sound").api(), Api::V13_0);
}

#[test]
fn slices_that_never_come_home_are_left_with_their_memory() {
    let driver = Driver::new();
    let mut session = open(&driver, config()).expect("it opens");
    let given = input(0);
    let mut picture = session.encode(&given, &request(5)).expect("handed in");
    let Step::Slice { slice, .. } = picture.next(PATIENCE).expect("a slice") else { panic!("none") };
    drop(picture);
    drop(session);
    assert_eq!(slice.as_ref()[0], 5, "still readable");
    assert_eq!(driver.left()[..2], [1, 1], "so it was neither unlocked nor closed");
}

#[test]
fn numbers_rise_and_inputs_fit() {
    let driver = Driver::new();
    let mut session = open(&driver, config()).expect("it opens");
    encode(&mut session, 5, false).expect("encoded");
    for number in [5, 4] {
        assert!(matches!(encode(&mut session, number, false), Err(NvencError::Request { .. })));
    }
    assert!(!encode(&mut session, 9, false).expect("a gap is allowed").0.is_idr);
}
