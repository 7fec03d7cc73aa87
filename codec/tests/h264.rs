//! Encoder and decoder against each other: order, slices, IDRs, rate, sizes, losses.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // tests say what they saw

mod common;

use common::{luma_psnr, moving, noise};
use punktfunk_codec::h264::{Decoder, Encoder, EncoderConfig};
use punktfunk_codec::{CodecError, Flaw, I420Buffer, annexb};

fn config(width: u32, height: u32, slices: u16) -> EncoderConfig {
    EncoderConfig { width, height, refresh_mhz: 60_000, bitrate_kbps: 8_000, slices }
}

fn stream(config: EncoderConfig, pictures: u32, forced: &[u32]) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(config).unwrap();
    (0..pictures)
        .map(|number| {
            let picture = moving(config.width, config.height, number);
            let pts_us = u64::from(number) * 16_667;
            let au = encoder.encode(&picture.as_i420(), pts_us, forced.contains(&number)).unwrap();
            assert!(!au.skipped());
            au.bytes().to_vec()
        })
        .collect()
}

#[test]
fn every_picture_comes_back_at_once() {
    for (width, height, slices) in
        [(320, 180, 1), (640, 360, 4), (1280, 720, 4), (16, 16, 1), (1366, 768, 2), (50, 1000, 3)]
    {
        let mut encoder = Encoder::new(config(width, height, slices)).unwrap();
        let mut decoder = Decoder::new().unwrap();
        for number in 0..30 {
            let picture = moving(width, height, number);
            let au = encoder.encode(&picture.as_i420(), u64::from(number) * 16_667, false).unwrap();
            assert_eq!(au.is_idr(), number == 0, "{width}x{height} picture {number}");
            let decoded = decoder.decode(au.bytes()).unwrap().unwrap();
            assert_eq!((decoded.width(), decoded.height()), (width, height));
            let psnr = luma_psnr(&decoded.as_i420(), &picture.as_i420());
            assert!(psnr > 28.0, "{width}x{height} picture {number}: {psnr:.1} dB");
        }
    }
}

#[test]
fn slices_are_whole_nal_groups_and_the_first_carries_the_parameter_sets() {
    for wanted in [1, 2, 4, 8] {
        let mut encoder = Encoder::new(config(1280, 720, wanted)).unwrap();
        for number in 0..4 {
            let picture = moving(1280, 720, number);
            let au = encoder.encode(&picture.as_i420(), 0, number == 2).unwrap();
            let slices: Vec<&[u8]> = au.slices().collect();
            assert_eq!(slices.len(), usize::from(wanted));
            assert_eq!(slices.concat(), au.bytes());
            assert_eq!(annexb::slices(au.bytes()).collect::<Vec<_>>(), slices);
            assert_eq!(annexb::is_idr(au.bytes()), au.is_idr());
            assert_eq!(annexb::has_parameter_sets(slices[0]), au.is_idr());
            for slice in &slices {
                let vcl = annexb::nals(slice).filter(|nal| nal.kind.is_slice()).count();
                assert_eq!(vcl, 1);
            }
        }
    }
}

#[test]
fn an_idr_comes_when_forced_and_never_else() {
    // A cut to quite another picture is what scene-change detection would answer with an IDR.
    let mut encoder = Encoder::new(config(640, 360, 2)).unwrap();
    let mut parameter_sets: Option<Vec<u8>> = None;
    for number in 0..300 {
        let picture = if number % 50 < 25 { moving(640, 360, number) } else { noise(640, 360, number / 50) };
        let force = number == 100 || number == 101;
        let au = encoder.encode(&picture.as_i420(), u64::from(number) * 16_667, force).unwrap();
        assert_eq!(au.is_idr(), number == 0 || force, "picture {number}");
        if au.is_idr() {
            let sets: Vec<u8> = annexb::nals(au.bytes())
                .filter(|nal| !nal.kind.is_slice())
                .flat_map(|nal| nal.bytes.to_vec())
                .collect();
            assert_eq!(parameter_sets.get_or_insert(sets.clone()), &sets, "parameter sets stay the same");
        }
    }
}

/// Mean kbit/s over the second second of a stream.
fn rate_kbps(encoder: &mut Encoder, from: u32, refresh_hz: u32) -> u32 {
    let (width, height) = (encoder.config().width, encoder.config().height);
    let mut bytes = 0;
    for number in 0..refresh_hz * 2 {
        // Half of the picture is fresh noise: enough for any rate here to be reached.
        let mut picture = moving(width, height, from + number);
        let rough = noise(width, height, from + number);
        let half = (width * height / 2) as usize;
        picture.planes_mut().0[half..].copy_from_slice(&rough.as_i420().y()[half..]);
        let pts_us = u64::from(from + number) * 1_000_000 / u64::from(refresh_hz);
        let au = encoder.encode(&picture.as_i420(), pts_us, false).unwrap();
        assert!(!au.skipped(), "rate control skipped picture {number}");
        if number >= refresh_hz {
            bytes += u32::try_from(au.bytes().len()).unwrap();
        }
    }
    bytes * 8 / 1000
}

#[test]
fn the_bitrate_follows_live_without_an_idr_and_without_skips() {
    for refresh_hz in [60, 120] {
        let refresh_mhz = refresh_hz * 1000;
        let mut encoder =
            Encoder::new(EncoderConfig { refresh_mhz, bitrate_kbps: 6_000, ..config(320, 180, 1) }).unwrap();
        let first = rate_kbps(&mut encoder, 0, refresh_hz);
        encoder.set_bitrate(12_000).unwrap();
        let second = rate_kbps(&mut encoder, 1_000, refresh_hz);
        encoder.set_bitrate(6_000).unwrap();
        let third = rate_kbps(&mut encoder, 2_000, refresh_hz);
        println!("{refresh_hz} Hz: 6000 -> {first}, 12000 -> {second}, 6000 -> {third} kbit/s");
        assert!((4_500..7_500).contains(&first), "{first}");
        assert!((9_000..15_000).contains(&second), "{second}");
        assert!((4_500..7_500).contains(&third), "{third}");
    }
}

#[test]
fn settings_out_of_range_are_named() {
    let refused = |config: EncoderConfig| Encoder::new(config).unwrap_err();
    let good = config(1280, 720, 1);
    assert!(matches!(refused(EncoderConfig { width: 1281, ..good }), CodecError::Size { width: 1281, .. }));
    assert!(matches!(refused(EncoderConfig { width: 0, ..good }), CodecError::Size { .. }));
    assert!(matches!(refused(EncoderConfig { height: 14, ..good }), CodecError::Size { .. }));
    let large = refused(EncoderConfig { width: 5120, height: 2880, ..good });
    assert!(matches!(large, CodecError::TooLarge { macroblocks: 57_600, .. }));
    assert!(large.to_string().contains("5120x2880") && large.to_string().contains("36864"), "{large}");
    assert!(matches!(
        refused(EncoderConfig { width: 8704, height: 16, ..good }),
        CodecError::TooLarge { .. }
    ));
    let setting = |config| match refused(config) {
        CodecError::Setting { name, .. } => name,
        other => panic!("{other}"),
    };
    assert_eq!(setting(EncoderConfig { slices: 0, ..good }), "slices");
    assert_eq!(setting(EncoderConfig { slices: 36, ..good }), "slices");
    assert_eq!(setting(EncoderConfig { bitrate_kbps: 99, ..good }), "bitrate_kbps");
    assert_eq!(setting(EncoderConfig { bitrate_kbps: 240_001, ..good }), "bitrate_kbps");
    assert_eq!(setting(EncoderConfig { refresh_mhz: 0, ..good }), "refresh_mhz");
    let mut encoder = Encoder::new(good).unwrap();
    assert!(matches!(encoder.set_bitrate(encoder.bitrate_kbps_max() + 1), Err(CodecError::Setting { .. })));
    let other = moving(640, 360, 0);
    assert!(matches!(encoder.encode(&other.as_i420(), 0, false), Err(CodecError::SizeChanged { .. })));
}

#[test]
fn the_largest_pictures_are_coded() {
    for (width, height) in [(4096, 2304), (8688, 1040), (1040, 8688)] {
        let wide = EncoderConfig { bitrate_kbps: 240_000, refresh_mhz: 480_000, ..config(width, height, 4) };
        let mut encoder = Encoder::new(wide).unwrap();
        let mut decoder = Decoder::new().unwrap();
        for number in 0..2 {
            let picture = moving(width, height, number);
            let au = encoder.encode(&picture.as_i420(), 0, false).unwrap();
            let decoded = decoder.decode(au.bytes()).unwrap().unwrap();
            assert!(luma_psnr(&decoded.as_i420(), &picture.as_i420()) > 28.0, "{width}x{height}");
        }
    }
}

#[test]
fn noise_at_the_highest_rate_fits_the_encoders_buffer() {
    let mut encoder =
        Encoder::new(EncoderConfig { bitrate_kbps: 240_000, refresh_mhz: 1_000, ..config(640, 360, 4) })
            .unwrap();
    let mut decoder = Decoder::new().unwrap();
    for number in 0..20 {
        let picture = noise(640, 360, number);
        let au = encoder.encode(&picture.as_i420(), u64::from(number) * 1_000_000, number % 5 == 0).unwrap();
        assert!(decoder.decode(au.bytes()).unwrap().is_some());
    }
}

#[test]
fn the_decoder_follows_a_change_of_size() {
    let mut decoder = Decoder::new().unwrap();
    for (width, height) in [(640, 360), (1280, 720), (320, 180), (640, 360)] {
        for au in stream(config(width, height, 2), 5, &[]) {
            let decoded = decoder.decode(&au).unwrap().unwrap();
            assert_eq!((decoded.width(), decoded.height()), (width, height));
        }
    }
}

#[test]
fn a_lost_access_unit_is_an_error_until_the_next_idr() {
    let aus = stream(config(640, 360, 2), 40, &[20]);
    let mut decoder = Decoder::new().unwrap();
    for (number, au) in aus.iter().enumerate() {
        let decoded = decoder.decode(if number == 7 { continue } else { au });
        match number {
            8 => assert!(matches!(decoded, Err(CodecError::Damaged { .. })), "{number}: {decoded:?}"),
            9..20 => {
                let flaw = Flaw::ReferenceLost;
                assert_eq!(decoded.unwrap_err(), CodecError::Damaged { flaw }, "{number}");
            }
            _ => assert!(decoded.unwrap().is_some(), "{number}"),
        }
        assert_eq!(decoder.wants_idr(), (8..20).contains(&number), "{number}");
    }
}

#[test]
fn a_lost_slice_is_an_error_and_never_a_picture() {
    let aus = stream(config(1280, 720, 4), 12, &[6]);
    for lost in 0..4 {
        for damaged in [0, 3, 6] {
            let mut decoder = Decoder::new().unwrap();
            for (number, au) in aus.iter().enumerate() {
                let mut bytes = au.clone();
                if number == damaged {
                    let slices = annexb::slices(au).enumerate().filter(|(index, _)| *index != lost);
                    bytes = slices.flat_map(|(_, slice)| slice.to_vec()).collect();
                }
                let good = match damaged {
                    0 => number >= 6,
                    3 => !(3..6).contains(&number),
                    _ => number < 6,
                };
                let decoded = decoder.decode(&bytes);
                assert_eq!(matches!(decoded, Ok(Some(_))), good, "slice {lost} of {damaged}, at {number}");
                assert_eq!(decoded.is_err(), !good);
            }
        }
    }
}

#[test]
fn a_truncated_access_unit_is_an_error() {
    let aus = stream(config(320, 180, 1), 4, &[3]);
    for (number, au) in aus.iter().enumerate().take(3) {
        for keep in (0..au.len() - 1).step_by(au.len() / 60 + 1) {
            let mut decoder = Decoder::new().unwrap();
            for au in &aus[..number] {
                decoder.decode(au).unwrap().unwrap();
            }
            // A cut between two NAL units leaves parameter sets alone, which are no error and no picture.
            let whole_sets = annexb::nals(&au[..keep]).all(|nal| !nal.kind.is_slice()) && keep > 4;
            let decoded = decoder.decode(&au[..keep]);
            assert!(!matches!(decoded, Ok(Some(_))), "{keep} of {} bytes of {number}", au.len());
            assert!(decoded.is_err() || whole_sets, "{keep} of {} bytes of {number}", au.len());
            assert!(decoder.decode(&aus[3]).unwrap().is_some(), "the next IDR starts anew");
        }
    }
}

#[test]
fn parameter_sets_alone_are_no_picture_and_no_error() {
    let aus = stream(config(320, 180, 1), 2, &[]);
    let sets: Vec<u8> =
        annexb::nals(&aus[0]).filter(|nal| !nal.kind.is_slice()).flat_map(|nal| nal.bytes.to_vec()).collect();
    let idr: Vec<u8> =
        annexb::nals(&aus[0]).filter(|nal| nal.kind.is_slice()).flat_map(|nal| nal.bytes.to_vec()).collect();
    let mut decoder = Decoder::new().unwrap();
    assert!(decoder.decode(&idr).is_err(), "no parameter sets yet");
    assert!(decoder.decode(&sets).unwrap().is_none());
    assert!(decoder.wants_idr());
    assert!(decoder.decode(&idr).unwrap().is_some());
    assert!(decoder.decode(&sets).unwrap().is_none(), "late parameter sets stay valid");
    assert!(decoder.decode(&aus[1]).unwrap().is_some());
}

#[test]
fn late_parameter_sets_serve_a_fresh_start() {
    // An IDR without parameter sets, after an error: those that came before are still good.
    let aus = stream(config(320, 180, 1), 5, &[3]);
    let bare: Vec<u8> =
        annexb::nals(&aus[3]).filter(|nal| nal.kind.is_slice()).flat_map(|nal| nal.bytes.to_vec()).collect();
    let mut decoder = Decoder::new().unwrap();
    decoder.decode(&aus[0]).unwrap().unwrap();
    decoder.decode(&aus[2]).unwrap_err();
    assert!(decoder.decode(&bare).unwrap().is_some());
    assert!(decoder.decode(&aus[4]).unwrap().is_some());
}

#[test]
fn two_access_units_at_once_are_refused() {
    let aus = stream(config(320, 180, 1), 2, &[]);
    let mut decoder = Decoder::new().unwrap();
    let flaw = Flaw::SeveralPictures;
    assert_eq!(decoder.decode(&aus.concat()).unwrap_err(), CodecError::Damaged { flaw });
    assert!(decoder.decode(&aus[0]).unwrap().is_some());
}

#[test]
fn no_annex_b_is_an_error() {
    let mut decoder = Decoder::new().unwrap();
    let flaw = Flaw::NoNalUnits;
    assert_eq!(decoder.decode(&[]).unwrap_err(), CodecError::Damaged { flaw });
    assert_eq!(decoder.decode(&[7; 1000]).unwrap_err(), CodecError::Damaged { flaw });
    let huge = vec![0; (32 << 20) + 1];
    assert_eq!(decoder.decode(&huge).unwrap_err(), CodecError::AuTooLarge { bytes: huge.len() });
}

#[test]
fn encoder_and_decoder_move_between_threads() {
    let mut encoder = Encoder::new(config(320, 180, 1)).unwrap();
    let mut decoder = Decoder::new().unwrap();
    let picture = I420Buffer::new(320, 180).unwrap();
    let decoded = std::thread::spawn(move || {
        let au = encoder.encode(&picture.as_i420(), 0, false).unwrap().bytes().to_vec();
        decoder.decode(&au).unwrap().is_some()
    });
    assert!(decoded.join().unwrap());
}

/// The access units of a session with losses that were recovery points, and those that were IDRs.
struct Course {
    points: Vec<u64>,
    idrs: Vec<u64>,
}

/// Encodes and decodes, with losses that are told so many pictures later: what a client drops is not decoded, and each
/// decoded picture is the one that was encoded.
fn lose(slices: u16, pictures: u64, told: u64, is_lost: impl Fn(u64) -> bool) -> Course {
    let mut encoder = Encoder::recovering(config(320, 180, slices)).unwrap();
    let mut decoder = Decoder::new().unwrap();
    let mut course = Course { points: Vec::new(), idrs: Vec::new() };
    let (mut missing, mut newest_lost) = (None, 0);
    for number in 0..pictures {
        let mut force = false;
        if let Some(from) = missing.filter(|_| number == newest_lost + told) {
            force = !encoder.leave_out(number - from).unwrap();
        }
        let picture = moving(320, 180, number as u32);
        let au = encoder.encode(&picture.as_i420(), 0, force).unwrap();
        assert!(!(au.is_recovery_point() && au.is_idr()));
        course.points.extend(au.is_recovery_point().then_some(number));
        course.idrs.extend(au.is_idr().then_some(number));
        if is_lost(number) {
            missing.get_or_insert(number);
            newest_lost = number;
            continue;
        }
        if missing.is_some() && !(au.is_recovery_point() || au.is_idr()) {
            continue;
        }
        missing = None;
        let decoded = decoder.decode(au.bytes()).unwrap().unwrap();
        let psnr = luma_psnr(&decoded.as_i420(), &picture.as_i420());
        assert!(psnr > 28.0, "picture {number}: {psnr:.1} dB");
    }
    assert_eq!(missing, None, "it heals: {:?} {:?}", course.points, course.idrs);
    course
}

#[test]
fn a_loss_is_healed_by_a_picture_that_was_kept() {
    for slices in [1, 4] {
        // The second is told of 4 pictures later, and is itself followed by a lost answer.
        let course = lose(slices, 300, 4, |number| [20, 150, 154, 250].contains(&number));
        assert_eq!(course.idrs, [0], "{slices} slices");
        assert_eq!(course.points, [24, 154, 158, 254], "{slices} slices");
    }
}

#[test]
fn losses_of_every_distance_heal_and_each_picture_is_the_right_one() {
    for seed in 0..8 {
        let mut random = common::Random(seed);
        let lost: Vec<u64> = (0..10).map(|_| 1 + random.below(150) as u64).collect();
        let told = 1 + random.below(12) as u64;
        let Course { points, idrs } = lose(2, 200, told, |number| lost.contains(&number));
        println!("seed {seed}, told after {told}: recovery points {points:?}, IDRs {idrs:?}");
        assert!(points.len() > idrs.len(), "seed {seed}: {points:?} {idrs:?}");
    }
}

#[test]
fn without_a_picture_that_is_old_enough_an_idr_is_to_be_made() {
    let mut encoder = Encoder::recovering(config(320, 180, 1)).unwrap();
    assert!(!encoder.leave_out(0).unwrap(), "nothing was encoded");
    for number in 0..5 {
        let picture = moving(320, 180, number);
        encoder.encode(&picture.as_i420(), 0, false).unwrap();
    }
    assert!(!encoder.leave_out(5).unwrap(), "the IDR itself is missing");
    assert!(!encoder.leave_out(9).unwrap());
    assert!(encoder.leave_out(4).unwrap(), "the IDR is there");
    let mut plain = Encoder::new(config(320, 180, 1)).unwrap();
    plain.encode(&moving(320, 180, 0).as_i420(), 0, false).unwrap();
    assert!(!plain.leave_out(0).unwrap(), "it keeps none");
}
