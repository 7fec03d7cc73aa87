//! Each call of the driver's fails, with each code that it can have: the session goes on, or names what failed, and does nothing
//! that the contract does not allow.
#![allow(clippy::unwrap_used)] // clippy's leave for tests ends at the functions that they share

mod ground;

use std::time::{Duration, Instant};

use ground::{Ground, Pictures, config, encode, request};
use punktfunk_codec::h264::Decoder;
use punktfunk_nvenc::{Change, Codec, Config, Format, NvencError, Session, Step};

const WIDTH: u32 = 320;
const HEIGHT: u32 = 192;

/// What can fail before there is a session.
const OPENING: &[&str] = &[
    "nvEncOpenEncodeSessionEx",
    "nvEncGetEncodeGUIDCount",
    "nvEncGetEncodeGUIDs",
    "nvEncGetInputFormatCount",
    "nvEncGetInputFormats",
    "nvEncGetEncodeCaps",
    "nvEncGetEncodePresetConfigEx",
    "nvEncInitializeEncoder",
    "nvEncSetIOCudaStreams",
    "nvEncCreateBitstreamBuffer",
];

/// What can fail with every picture.
const PICTURES: &[&str] = &[
    "nvEncRegisterResource",
    "nvEncMapInputResource",
    "nvEncEncodePicture",
    "nvEncLockBitstream",
    "nvEncUnlockBitstream",
    "nvEncUnmapInputResource",
    "nvEncInvalidateRefFrames",
    "nvEncReconfigureEncoder",
];

const CODES: &[&str] = &[
    "NV_ENC_ERR_OUT_OF_MEMORY",
    "NV_ENC_ERR_ENCODER_BUSY",
    "NV_ENC_ERR_LOCK_BUSY",
    "NV_ENC_ERR_NEED_MORE_INPUT",
    "NV_ENC_ERR_DEVICE_NOT_EXIST",
    "NV_ENC_ERR_INVALID_PARAM",
    "NV_ENC_ERR_GENERIC",
];

/// An error says which call failed, or what the machine lacks; and it is no novel.
fn assert_named(error: &NvencError, call: &str) {
    let words = error.to_string();
    let says_call = words.contains(call);
    let says_lack = matches!(
        error,
        NvencError::SessionLimit { .. } | NvencError::Unable { .. } | NvencError::NoEncoder { .. }
    );
    assert!(says_call || says_lack, "{call}: {words}");
    assert!(words.len() < 400, "{words}");
}

#[test]
fn a_session_that_cannot_be_opened_says_why_and_leaves_nothing() {
    let ground = Ground::new();
    for call in OPENING {
        for code in CODES {
            ground.loaded.fail(&format!("{call}:1={code}"));
            match ground.open(config(Codec::H264)) {
                Ok(session) => drop(session),
                Err(error) => assert_named(&error, call),
            }
            ground.loaded.fail("");
            let session = ground.open(config(Codec::H264));
            assert!(session.is_ok(), "after {call} with {code}: {session:?}");
        }
    }
    ground.close();
}

/// A session and its pictures, one of which fails.
struct Played<'a> {
    ground: &'a Ground,
    session: Session,
    picture: Pictures,
    decoder: Decoder,
    number: u64,
}

impl Played<'_> {
    /// Encodes the next picture, and decodes it.
    fn next(&mut self) -> Result<bool, NvencError> {
        self.number += 1;
        let noise = self.ground.noise(&self.picture, self.number);
        let au = encode(&mut self.session, &self.picture.input(), &request(self.number))?;
        noise.assert_decoded(&mut self.decoder, &au.bytes, &format!("picture {}", self.number));
        Ok(au.encoded.is_idr)
    }
}

/// One failure in the midst of a session: what came of it.
fn played(ground: &Ground, call: &str, code: &str) -> Result<(), NvencError> {
    let most = Config { width_max: 2 * WIDTH, height_max: 2 * HEIGHT, ..config(Codec::H264) };
    let session = ground.open(most).unwrap();
    let picture = ground.pictures(Format::Nv12, WIDTH, HEIGHT);
    let mut played = Played { ground, session, picture, decoder: Decoder::new().unwrap(), number: 0 };
    if call != "nvEncRegisterResource" {
        for _ in 0..3 {
            played.next().unwrap();
        }
    }
    ground.loaded.fail(&format!("{call}:1={code}"));
    let invalidated = played.session.invalidate(played.number).map(drop);
    let changed = played.session.reconfigure(&Change { bitrate_kbps: Some(100_000), ..Change::default() });
    let encoded = played.next().map(drop);
    ground.loaded.fail("");
    // Whatever it was, the session encodes on; a picture that was lost on the way is not referred to.
    for _ in 0..3 {
        let next = played.next();
        assert!(next.is_ok(), "{call} with {code}, afterwards: {next:?}");
    }
    invalidated.and(changed).and(encoded)
}

#[test]
fn a_session_survives_what_fails_once() {
    let ground = Ground::new();
    let mut named = 0;
    for call in PICTURES {
        for code in CODES {
            let began = Instant::now();
            if let Err(error) = played(&ground, call, code) {
                assert_named(&error, call);
                named += 1;
            }
            assert!(began.elapsed() < Duration::from_secs(5), "{call} with {code}: {:?}", began.elapsed());
            assert_eq!(ground.loaded.breaches(), 0, "{call} with {code}");
        }
    }
    assert!(named > 0, "some cannot be gone around");
    ground.close();
}

#[test]
fn a_lost_device_is_made_anew_once_and_then_reported() {
    let ground = Ground::new();
    {
        let session = ground.open(config(Codec::H264)).unwrap();
        let picture = ground.pictures(Format::Nv12, WIDTH, HEIGHT);
        let mut played =
            Played { ground: &ground, session, picture, decoder: Decoder::new().unwrap(), number: 0 };
        assert!(played.next().unwrap());
        assert!(!played.next().unwrap());
        ground.loaded.fail("nvEncEncodePicture:1=NV_ENC_ERR_DEVICE_NOT_EXIST");
        assert!(played.next().unwrap(), "an IDR of the new session, in the same call");
        assert_eq!(played.session.counts().rebuilds, 1);
        assert!(!played.next().unwrap());
        ground.loaded.fail("nvEncEncodePicture:1=NV_ENC_ERR_DEVICE_NOT_EXIST");
        let error = played.next().unwrap_err();
        assert!(matches!(error, NvencError::Died { rebuilt: true, .. }), "{error}");
        assert!(error.to_string().contains("nvEncEncodePicture"), "{error}");
        assert_eq!(played.session.counts().rebuilds, 1);
    }
    ground.close();
}

#[test]
fn slices_that_are_out_hold_nobody_whose_session_dies() {
    let ground = Ground::new();
    {
        let mut session = ground.open(Config { slices: 1, ..config(Codec::H264) }).unwrap();
        let picture = ground.pictures(Format::Nv12, WIDTH, HEIGHT);
        let given = picture.input();
        ground.grey(&picture, 90);
        // A lock that comes while the picture is encoded wants its slice home before the next one.
        let done_at_once = |number| {
            let mut in_flight = session.encode(&given, &request(number)).unwrap();
            std::thread::sleep(Duration::from_millis(20));
            let Step::Slice { slice, .. } = in_flight.next(ground::PATIENCE).unwrap() else { panic!("none") };
            if matches!(in_flight.next(Duration::ZERO).unwrap(), Step::Done(_)) {
                assert!(in_flight.has_lent());
                return Some(slice);
            }
            drop(slice);
            while !matches!(in_flight.next(ground::PATIENCE).unwrap(), Step::Done(_)) {}
            None
        };
        let slice = (1..50).find_map(done_at_once).expect("a picture that was done when it was looked at");
        let before = slice.as_ref().to_vec();
        ground.loaded.fail("nvEncEncodePicture:1=NV_ENC_ERR_GENERIC");
        let began = Instant::now();
        assert!(encode(&mut session, &given, &request(50)).unwrap().encoded.is_idr);
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        assert!(session.counts().rebuilds == 1 && *slice.as_ref() == before, "it is still there");
        drop(slice);
        encode(&mut session, &given, &request(51)).unwrap();
    }
    // The session that died is closed, too.
    ground.close();
}

#[test]
fn a_busy_encoder_is_waited_for() {
    let ground = Ground::new();
    {
        let session = ground.open(config(Codec::H264)).unwrap();
        let picture = ground.pictures(Format::Nv12, WIDTH, HEIGHT);
        let mut played =
            Played { ground: &ground, session, picture, decoder: Decoder::new().unwrap(), number: 0 };
        ground.loaded.fail(
            "nvEncEncodePicture:2x3=NV_ENC_ERR_ENCODER_BUSY,nvEncLockBitstream:5x20=NV_ENC_ERR_LOCK_BUSY",
        );
        for _ in 0..6 {
            played.next().unwrap();
        }
        assert_eq!((played.session.counts().busy, played.session.counts().rebuilds), (3, 0));
    }
    ground.close();
}
