//! Whole sessions against the stand-ins of CUDA and NVENC, which complain of whatever their contracts do not allow.
#![allow(clippy::unwrap_used)] // clippy's leave for tests ends at the functions that they share

mod ground;

use std::time::Duration;

use ground::{AccessUnit, Ground, config, encode, is_apart, request};
use punktfunk_codec::{annexb, h264::Decoder};
use punktfunk_cuda::{Extent, Rows};
use punktfunk_nvenc::sys::Api;
use punktfunk_nvenc::{
    Change, Codec, Config, Format, IdrReason, Library, NvencError, PictureRequest, Readback, Recovery,
    Refresh, Step,
};

const WIDTH: u32 = 320;
const HEIGHT: u32 = 192;

/// H.264 of so many bits.
fn at(bitrate_kbps: u32) -> Config {
    Config { bitrate_kbps, ..config(Codec::H264) }
}

/// Two pictures' memory by turns, each painted with its number.
fn assert_comes_out_as_it_went_in(api: Api) {
    let ground = Ground::new();
    assert_eq!(ground.library.api(), api);
    {
        let mut session = ground.open(config(Codec::H264)).unwrap();
        let pictures =
            [ground.pictures(Format::Nv12, WIDTH, HEIGHT), ground.pictures(Format::Nv12, WIDTH, HEIGHT)];
        let mut decoder = Decoder::new().unwrap();
        for number in 0..24u64 {
            let picture = &pictures[number as usize % 2];
            let noise = ground.noise(picture, number);
            let idr = number == 10;
            let request = PictureRequest { number, idr, refresh: 0 };
            let AccessUnit { bytes: au, encoded, .. } =
                encode(&mut session, &picture.input(), &request).unwrap();
            let is_idr = idr || number == 0;
            assert_eq!((encoded.number, encoded.is_idr), (number, is_idr));
            assert_eq!(encoded.reference, (!is_idr).then(|| number - 1));
            assert_eq!((encoded.bytes as usize, encoded.slices), (au.len(), 4));
            assert_eq!((annexb::has_parameter_sets(&au), annexb::slices(&au).count()), (is_idr, 4));
            noise.assert_decoded(&mut decoder, &au, &format!("{api}, picture {number}"));
        }
        let counts = session.counts();
        assert_eq!((counts.pictures, counts.idrs, counts.rebuilds), (24, 2, 0));
        assert_eq!((counts.inputs_registered, counts.inputs_found), (2, 22), "registered once each");
        assert!(!session.parameter_sets().unwrap().is_empty());
    }
    ground.close();
}

#[test]
fn pictures_come_out_as_they_went_in() {
    assert_comes_out_as_it_went_in(Api::V13_0);
}

#[test]
fn pictures_come_out_as_they_went_in_of_an_older_driver() {
    let variables = [("PUNKTFUNK_STANDIN_NVENC_VERSION", "12.1")];
    if is_apart("pictures_come_out_as_they_went_in_of_an_older_driver", &variables) {
        assert_comes_out_as_it_went_in(Api::V12_1);
    }
}

#[test]
fn a_driver_that_is_too_old_is_named() {
    if is_apart("a_driver_that_is_too_old_is_named", &[("PUNKTFUNK_STANDIN_NVENC_VERSION", "11.1")]) {
        let _stand_ins = stand_in_common::Loaded::new(&["stand-in-cuda", "stand-in-nvenc"]);
        let error = Library::load().unwrap_err();
        assert!(matches!(error, NvencError::TooOld { has: Api { major: 11, minor: 1 }, .. }), "{error}");
        assert!(error.to_string().contains("535.54.03"), "{error}");
    }
}

#[test]
fn what_is_lent_holds_the_next_slice_back_and_no_longer() {
    let ground = Ground::new();
    {
        let mut session = ground.open(config(Codec::H264)).unwrap();
        let pictures =
            [ground.pictures(Format::Nv12, WIDTH, HEIGHT), ground.pictures(Format::Nv12, WIDTH, HEIGHT)];
        let mut decoder = Decoder::new().unwrap();
        let mut lent = Vec::new();
        let mut out_at_the_end = 0;
        for number in 0..6u64 {
            let picture = &pictures[number as usize % 2];
            let noise = ground.noise(picture, number);
            let request = request(number);
            let before = std::mem::take(&mut lent);
            let mut flight = session.encode(&picture.input(), &request).unwrap();
            drop(before);
            let mut au = Vec::new();
            loop {
                match flight.next(Duration::from_millis(20)).unwrap() {
                    Step::Slice { slice, .. } => {
                        au.extend_from_slice(slice.as_ref());
                        lent.push(slice);
                    }
                    Step::Lent => lent.clear(),
                    Step::Nothing => {}
                    Step::Done(encoded) => break assert_eq!(encoded.slices, 4),
                }
            }
            // The last slices may be out while the next picture is encoded, unless the driver called the picture done a moment
            // after its last slice.
            out_at_the_end += u32::from(!lent.is_empty());
            noise.assert_decoded(&mut decoder, &au, &format!("picture {number}"));
        }
        assert!(out_at_the_end > 0);
        drop(lent);
    }
    ground.close();
}

#[test]
fn a_loss_is_answered_by_a_picture_that_the_client_has() {
    let ground = Ground::new();
    {
        let mut session = ground.open(config(Codec::H264)).unwrap();
        let picture = ground.pictures(Format::Nv12, WIDTH, HEIGHT);
        let mut decoder = Decoder::new().unwrap();
        for number in 0..40u64 {
            // Of ten pictures the seventh and what follows it are lost, and the host hears of it two later.
            let hears = number % 10 == 8;
            if hears {
                let from = number - 2;
                assert_eq!(session.invalidate(from).unwrap(), Recovery::Reference { picture: from - 1 });
            }
            let noise = ground.noise(&picture, number);
            let AccessUnit { bytes: au, encoded, .. } =
                encode(&mut session, &picture.input(), &request(number)).unwrap();
            assert_eq!(encoded.is_idr, number == 0);
            assert_eq!(encoded.reference, number.checked_sub(if hears { 3 } else { 1 }));
            if !(6..8).contains(&(number % 10)) {
                noise.assert_decoded(&mut decoder, &au, &format!("picture {number}"));
            }
        }
        let counts = session.counts();
        assert_eq!((counts.idrs, counts.recoveries, counts.recoveries_by_idr), (1, 4, 0));
        // A loss that is older than all that the encoder holds.
        assert_eq!(session.invalidate(20).unwrap(), Recovery::Idr { reason: IdrReason::NothingLeft });
        let noise = ground.noise(&picture, 40);
        let AccessUnit { bytes: au, encoded, .. } =
            encode(&mut session, &picture.input(), &request(40)).unwrap();
        assert!(encoded.is_idr);
        noise.assert_decoded(&mut Decoder::new().unwrap(), &au, "the IDR");
    }
    ground.close();
}

#[test]
fn without_invalidation_a_loss_takes_an_idr() {
    let variables = [("PUNKTFUNK_STANDIN_CAPS", "rfi=0,subframe=0")];
    if !is_apart("without_invalidation_a_loss_takes_an_idr", &variables) {
        return;
    }
    let ground = Ground::new();
    {
        let mut session = ground.open(config(Codec::H264)).unwrap();
        assert_eq!(session.plan().readback, Readback::Whole);
        let picture = ground.pictures(Format::Nv12, WIDTH, HEIGHT);
        let mut decoder = Decoder::new().unwrap();
        for number in 0..4 {
            let noise = ground.noise(&picture, number);
            if number == 3 {
                assert_eq!(session.invalidate(2).unwrap(), Recovery::Idr { reason: IdrReason::Unable });
            }
            let AccessUnit { bytes: au, encoded, .. } =
                encode(&mut session, &picture.input(), &request(number)).unwrap();
            assert_eq!(encoded.is_idr, number % 3 == 0);
            noise.assert_decoded(&mut decoder, &au, "a picture at once");
        }
    }
    ground.close();
}

#[test]
fn the_bitrate_is_followed_without_a_new_session() {
    let ground = Ground::new();
    {
        let mut session = ground.open(at(8_000)).unwrap();
        let picture = ground.pictures(Format::Nv12, WIDTH, HEIGHT);
        let mut number = 0;
        let mut next = |session: &mut punktfunk_nvenc::Session| {
            ground.noise(&picture, number);
            number += 1;
            encode(session, &picture.input(), &request(number)).unwrap().encoded
        };
        next(&mut session);
        for kbps in [8_000, 24_000, 4_000] {
            session.reconfigure(&Change { bitrate_kbps: Some(kbps), ..Change::default() }).unwrap();
            let bytes: u32 = (0..60)
                .map(|_| {
                    let encoded = next(&mut session);
                    assert!(!encoded.is_idr, "a bitrate is no reason for an IDR");
                    encoded.bytes
                })
                .sum();
            assert!((kbps * 80..=kbps * 105).contains(&(bytes * 8 / 10)), "{kbps}: {bytes} bytes a second");
        }
        assert_eq!((session.counts().changes, session.counts().rebuilds, session.counts().idrs), (3, 0, 1));
    }
    ground.close();
}

#[test]
fn the_size_changes_without_a_new_session() {
    let ground = Ground::new();
    {
        let most = Config { width_max: 2 * WIDTH, height_max: 2 * HEIGHT, ..config(Codec::H264) };
        let mut session = ground.open(most).unwrap();
        let mut decoder = Decoder::new().unwrap();
        let mut number = 0;
        for (width, height) in [(WIDTH, HEIGHT), (2 * WIDTH, 2 * HEIGHT), (258, 130)] {
            session.reconfigure(&Change { size: Some((width, height)), ..Change::default() }).unwrap();
            let picture = ground.pictures(Format::Nv12, width, height);
            for round in 0..4 {
                number += 1;
                let noise = ground.noise(&picture, number);
                let AccessUnit { bytes: au, encoded, .. } =
                    encode(&mut session, &picture.input(), &request(number)).unwrap();
                assert_eq!(encoded.is_idr, round == 0, "{width}x{height}");
                noise.assert_decoded(&mut decoder, &au, &format!("{width}x{height}, picture {round}"));
            }
        }
        let beyond = session.reconfigure(&Change { size: Some((4 * WIDTH, HEIGHT)), ..Change::default() });
        assert!(matches!(beyond, Err(NvencError::Unable { .. })), "{beyond:?}");
        assert_eq!(session.counts().rebuilds, 0);
    }
    ground.close();
}

#[test]
fn a_picture_is_read_in_its_streams_order() {
    let ground = Ground::new();
    {
        let mut session = ground.open(config(Codec::H264)).unwrap();
        let picture = ground.pictures(Format::Nv12, WIDTH, HEIGHT);
        let mut decoder = Decoder::new().unwrap();
        let place = Rows { offset: 0, pitch: picture.memory.pitch() };
        let extent = Extent { width_bytes: WIDTH as usize, rows: HEIGHT as usize * 3 / 2 };
        for number in 0..8u64 {
            let shade = 20 + number as u8;
            ground.stream.on_reached(|| std::thread::sleep(Duration::from_millis(5))).unwrap();
            ground.stream.fill(&*picture.memory, place, extent, shade).unwrap();
            let request = request(number);
            let mut flight = session.encode(&picture.input(), &request).unwrap();
            // Nobody waits: the next picture's pixels are queued already.
            ground.stream.fill(&*picture.memory, place, extent, 200).unwrap();
            let au = ground::drain(&mut flight).unwrap().bytes;
            let decoded = decoder.decode(&au).unwrap().unwrap();
            assert!(decoded.as_i420().y()[..WIDTH as usize].iter().all(|sample| *sample == shade));
        }
        ground.stream.wait().unwrap();
    }
    ground.close();
}

#[test]
fn every_codec_reads_each_picture_once() {
    for codec in [Codec::Hevc, Codec::Av1] {
        let ground = Ground::new();
        {
            let mut session = ground.open(config(codec)).unwrap();
            let picture = ground.pictures(Format::Nv12, WIDTH, HEIGHT);
            let mut sums = Vec::new();
            for number in 0..6u64 {
                ground.noise(&picture, number);
                if number == 4 {
                    assert_eq!(session.invalidate(2).unwrap(), Recovery::Reference { picture: 1 });
                }
                let AccessUnit { bytes: au, encoded, .. } =
                    encode(&mut session, &picture.input(), &request(number)).unwrap();
                let text = String::from_utf8_lossy(&au).into_owned();
                let reference = if number == 4 { Some(1) } else { number.checked_sub(1) };
                let words = reference.map_or("none".to_owned(), |number| number.to_string());
                assert!(text.contains(&format!(" reference={words} ")), "{codec:?}, {number}: {text:.200}");
                assert_eq!(encoded.reference, reference);
                sums.push(text.split("sum=").nth(1).unwrap()[..16].to_owned());
            }
            sums.dedup();
            assert_eq!(sums.len(), 6);
        }
        ground.close();
    }
}

/// The driver's stand-in refuses what no level of the tier holds, and another tier in the same session.
#[test]
fn a_rate_that_only_the_high_tier_holds_is_had() {
    for codec in [Codec::Hevc, Codec::Av1] {
        let ground = Ground::new();
        {
            let of = |width, height, bitrate_kbps| Config { width, height, bitrate_kbps, ..config(codec) };
            let rate = |kbps| Change { bitrate_kbps: Some(kbps), ..Change::default() };
            let size = |width, height| Change { size: Some((width, height)), ..Change::default() };
            let mut session = ground.open(of(1280, 720, 700_000)).unwrap();
            session.reconfigure(&rate(800_000)).unwrap();
            // It began with the high tier, and keeps it.
            session.reconfigure(&rate(5_000)).unwrap();
            drop(session);
            let mut session = ground.open(of(1280, 720, 5_000)).unwrap();
            session.reconfigure(&rate(160_000)).unwrap();
            let picture = ground.pictures(Format::Nv12, 1280, 720);
            assert!(encode(&mut session, &picture.input(), &request(1)).unwrap().encoded.is_idr);
            // The main tier ends there: the driver's session is another one, with an IDR.
            session.reconfigure(&rate(300_000)).unwrap();
            assert!(encode(&mut session, &picture.input(), &request(2)).unwrap().encoded.is_idr);
            assert!(!encode(&mut session, &picture.input(), &request(3)).unwrap().encoded.is_idr);
            assert_eq!((session.counts().changes, session.counts().rebuilds), (2, 0));
            drop(session);
            let of_four_k = Config { width_max: 3840, height_max: 2160, ..of(1280, 720, 5_000) };
            let mut session = ground.open(of_four_k).unwrap();
            session.reconfigure(&size(1920, 1080)).unwrap();
        }
        ground.close();
    }
}

#[test]
fn intra_refresh_goes_on_by_itself_and_on_request() {
    let ground = Ground::new();
    {
        let refresh = Some(Refresh { period: 10, length: 3 });
        let mut session = ground.open(Config { refresh, ..config(Codec::H264) }).unwrap();
        let picture = ground.pictures(Format::Nv12, WIDTH, HEIGHT);
        ground.noise(&picture, 1);
        for number in 0..20u64 {
            let refresh = if number == 15 { 2 } else { 0 };
            let request = PictureRequest { number, idr: false, refresh };
            let au = encode(&mut session, &picture.input(), &request).unwrap().bytes;
            // The picture stays the same: what is written is refreshed.
            let is_written = number == 0 || (10..13).contains(&number) || (15..17).contains(&number);
            assert_eq!(au.len() > 10_000, is_written, "picture {number}: {} bytes", au.len());
        }
    }
    ground.close();
}
