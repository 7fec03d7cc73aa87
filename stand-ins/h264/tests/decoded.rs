//! What is written, decoded by two decoders that know nothing of it: openh264 and ffmpeg.
#![allow(clippy::unwrap_used)] // clippy's leave for tests ends at the functions that they share

use std::fs;
use std::process::Command;

use proptest::prelude::*;
use punktfunk_codec::h264::Decoder;
use stand_in_h264::{Chroma, Coded, Config, Kind, Part, Planes, Profile, Refusal, Request, Source, Writer};

fn config(width: u32, height: u32) -> Config {
    Config {
        width,
        height,
        chroma: Chroma::Yuv420,
        profile: Profile::High,
        level: None,
        references: 4,
        slices: 4,
        rate: (60, 1),
        colour: None,
    }
}

/// A picture whose every sample is noise, but for zeros and ones here and there; `number` changes the rows `changed`.
fn picture(config: &Config, number: u64, changed: std::ops::Range<usize>) -> (usize, Vec<u8>) {
    let pitch = config.width as usize + 32;
    let rows = config.height as usize;
    let lines = match config.chroma {
        Chroma::Yuv420 => rows + rows / 2,
        Chroma::Yuv444 => rows * 3,
    };
    let mut bytes = vec![0; pitch * lines];
    for (line, samples) in bytes.chunks_exact_mut(pitch).enumerate() {
        let number = if changed.contains(&line) { number } else { 0 };
        let mut state = number << 32 | line as u64 | 1 << 20;
        for sample in samples {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let noise = (state >> 56) as u8;
            *sample = if noise < 96 { noise & 1 } else { noise };
        }
    }
    (pitch, bytes)
}

/// Takes and writes one picture; its access unit.
fn written(writer: &mut Writer, (pitch, bytes): &(usize, Vec<u8>), request: &Request) -> (Coded, Vec<u8>) {
    let config = *writer.config();
    let source = Source::new(config.chroma, config.width, config.height, *pitch, bytes).unwrap();
    writer.take(&source).unwrap();
    let mut au = Vec::new();
    let coded = writer.write(request, &mut |part: Part<'_>| au.extend_from_slice(part.bytes));
    (coded, au)
}

fn assert_decodes(decoder: &mut Decoder, au: &[u8], expected: &Planes, what: &str) {
    let picture = decoder.decode(au).unwrap_or_else(|error| panic!("{what}: {error}")).expect(what);
    let picture = picture.as_i420();
    assert_eq!(
        (picture.width() as usize, picture.height() as usize),
        (expected.width, expected.height),
        "{what}"
    );
    let planes = [
        (picture.y(), picture.stride_y(), &expected.y, expected.width),
        (picture.u(), picture.stride_uv(), &expected.u, expected.width / 2),
        (picture.v(), picture.stride_uv(), &expected.v, expected.width / 2),
    ];
    for (plane, (rows, stride, expected, width)) in planes.into_iter().enumerate() {
        for (row, expected) in expected.chunks_exact(width).enumerate() {
            assert_eq!(
                &rows[row * stride..row * stride + width],
                expected,
                "{what}: plane {plane}, row {row}"
            );
        }
    }
}

/// The source as the planes that a lossless decoder shows.
fn planes_of(config: &Config, (pitch, bytes): &(usize, Vec<u8>)) -> Planes {
    let (width, height) = (config.width as usize, config.height as usize);
    let rows = |first: usize, count: usize| {
        (first..first + count)
            .flat_map(|row| bytes[row * pitch..row * pitch + width].to_vec())
            .collect::<Vec<u8>>()
    };
    let (u, v) = match config.chroma {
        Chroma::Yuv420 => {
            let pairs = rows(height, height / 2);
            (pairs.iter().copied().step_by(2).collect(), pairs.iter().copied().skip(1).step_by(2).collect())
        }
        Chroma::Yuv444 => (rows(height, height), rows(2 * height, height)),
    };
    Planes { width, height, y: rows(0, height), u, v }
}

#[test]
fn every_size_profile_and_number_of_slices_is_exact() {
    for (width, height, slices, profile) in [
        (16, 16, 1, Profile::Baseline),
        (640, 360, 1, Profile::Main),
        (638, 362, 5, Profile::High),
        (130, 66, 99, Profile::High),
        (18, 34, 2, Profile::Baseline),
    ] {
        let config = Config { slices, profile, ..config(width, height) };
        let mut writer = Writer::new(config).unwrap();
        let mut decoder = Decoder::new().unwrap();
        for number in 0..12 {
            let picture = picture(&config, number, 8..40);
            let request =
                Request { id: number, delimiter: number % 2 == 0, idr: number == 7, ..Request::default() };
            let (coded, au) = written(&mut writer, &picture, &request);
            let what = format!("{width}x{height} in {slices}, picture {number}");
            let kind = if number == 0 || number == 7 { Kind::Idr } else { Kind::Predicted };
            assert_eq!((coded.kind, coded.stale), (kind, 0), "{what}");
            assert_eq!(coded.reference, (kind == Kind::Predicted).then(|| number - 1), "{what}");
            assert_eq!(writer.reconstruction(), Some(planes_of(&config, &picture)), "{what}");
            assert_decodes(&mut decoder, &au, &writer.reconstruction().unwrap(), &what);
            assert_eq!(
                punktfunk_codec::annexb::slices(&au).count() as u32,
                slices.clamp(1, height.div_ceil(16))
            );
        }
    }
}

#[test]
fn a_budget_is_kept_and_what_is_oldest_comes_first() {
    let config = config(320, 192);
    let mut writer = Writer::new(config).unwrap();
    let mut decoder = Decoder::new().unwrap();
    let (_, au) = written(&mut writer, &picture(&config, 0, 0..0), &Request::default());
    assert_decodes(&mut decoder, &au, &writer.reconstruction().unwrap(), "the start");
    let macroblocks = 20 * 12;
    let last = picture(&config, 1, 0..999);
    let budget_bits = 40 * (384 * 8 + 24);
    for round in 1..=6 {
        let request = Request { id: round, budget_bits: Some(budget_bits), ..Request::default() };
        let (coded, au) = written(&mut writer, &last, &request);
        assert_eq!((coded.whole, coded.stale), (40, macroblocks - 40 * round as u32));
        assert!((au.len() as u64) < budget_bits / 8 * 5 / 4, "{} bytes", au.len());
        assert_decodes(&mut decoder, &au, &writer.reconstruction().unwrap(), "a part");
    }
    assert_eq!(writer.reconstruction(), Some(planes_of(&config, &last)), "all has come in six parts");
    // An IDR that must be small shows something of everything.
    let request = Request { id: 9, idr: true, budget_bits: Some(budget_bits), ..Request::default() };
    let (coded, au) = written(&mut writer, &last, &request);
    assert_eq!((coded.kind, coded.whole, coded.stale), (Kind::Idr, 40, macroblocks - 40));
    assert!((au.len() as u64) < budget_bits / 8 * 5 / 4, "{} bytes", au.len());
    assert_decodes(&mut decoder, &au, &writer.reconstruction().unwrap(), "a small IDR");
    // And one of which nothing can be told.
    let request = Request { id: 10, idr: true, budget_bits: Some(0), ..Request::default() };
    let (_, au) = written(&mut writer, &last, &request);
    assert_decodes(&mut decoder, &au, &writer.reconstruction().unwrap(), "a grey IDR");
}

#[test]
fn lost_pictures_are_gone_around_without_an_idr() {
    let config = config(320, 192);
    let mut writer = Writer::new(config).unwrap();
    let mut decoder = Decoder::new().unwrap();
    for number in 0..60u64 {
        // Three of ten are lost, and the writer hears of the first while it writes the next but two.
        let is_lost = number % 10 >= 4 && number % 10 < 7 && number > 10;
        let hears = number % 10 == 7 && number > 10;
        if hears {
            assert!(writer.invalidate(number - 3), "{number}");
            assert_eq!(
                writer.valid().collect::<Vec<_>>(),
                [number - 4],
                "all that was built on it is gone too"
            );
        }
        let (coded, au) = written(
            &mut writer,
            &picture(&config, number, 0..999),
            &Request { id: number, ..Request::default() },
        );
        let back = if hears { 4 } else { 1 };
        assert_eq!(coded.kind, if number == 0 { Kind::Idr } else { Kind::Predicted });
        assert_eq!(coded.reference, number.checked_sub(back));
        if !is_lost {
            assert_decodes(
                &mut decoder,
                &au,
                &writer.reconstruction().unwrap(),
                &format!("picture {number}"),
            );
        }
    }
}

#[test]
fn a_picture_whose_reference_is_lost_is_refused_and_never_guessed() {
    let config = config(320, 192);
    let mut writer = Writer::new(config).unwrap();
    let mut decoder = Decoder::new().unwrap();
    let mut request = Request::default();
    for number in 0..3u64 {
        request.id = number;
        let (_, au) = written(&mut writer, &picture(&config, number, 0..50), &request);
        match number {
            0 => assert_decodes(&mut decoder, &au, &writer.reconstruction().unwrap(), "the start"),
            1 => {}
            _ => assert!(decoder.decode(&au).is_err(), "its reference never came"),
        }
    }
}

#[test]
fn a_buffer_of_which_nothing_is_valid_is_followed_by_an_intra_picture() {
    let config = config(320, 192);
    let mut writer = Writer::new(config).unwrap();
    let mut decoder = Decoder::new().unwrap();
    for number in 0..8u64 {
        if number == 6 {
            assert!(!writer.invalidate(1), "it has slid out");
            assert!(writer.invalidate(2) && writer.valid().next().is_none());
        }
        let (coded, au) = written(
            &mut writer,
            &picture(&config, number, 0..50),
            &Request { id: number, ..Request::default() },
        );
        match number {
            6 => assert_eq!((coded.kind, coded.reference), (Kind::Intra, None)),
            7 => assert_eq!((coded.kind, coded.reference), (Kind::Predicted, Some(6))),
            _ => {}
        }
        if !(2..6).contains(&number) {
            assert_decodes(
                &mut decoder,
                &au,
                &writer.reconstruction().unwrap(),
                &format!("picture {number}"),
            );
        }
    }
}

#[test]
fn frame_numbers_wrap_around() {
    let config = Config { slices: 1, ..config(16, 16) };
    let mut writer = Writer::new(config).unwrap();
    let mut decoder = Decoder::new().unwrap();
    for number in 0..66_000u64 {
        if number == 65_538 {
            assert!(writer.invalidate(65_535));
        }
        let is_lost = (65_535..65_538).contains(&number);
        let (coded, au) = written(
            &mut writer,
            &picture(&config, number, 0..1),
            &Request { id: number, ..Request::default() },
        );
        if number == 65_538 {
            assert_eq!(coded.reference, Some(65_534));
        }
        if !is_lost {
            assert_decodes(
                &mut decoder,
                &au,
                &writer.reconstruction().unwrap(),
                &format!("picture {number}"),
            );
        }
    }
}

/// What happens to one picture.
#[derive(Debug, Clone)]
struct Fate {
    idr: bool,
    arrives: bool,
    budget: Option<u64>,
    slices: u32,
    refresh: std::ops::Range<u32>,
    /// Rows that change.
    changed: std::ops::Range<usize>,
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let budget = proptest::option::of(0u64..60_000);
    let rows = (0usize..200, 0usize..200).prop_map(|(from, rows)| from..from + rows);
    let refresh = (0u32..6, 0u32..3).prop_map(|(from, rows)| from..from + rows);
    let fate = (0u32..12, 0u32..5, budget, 1u32..6, refresh, rows);
    let fate = fate.prop_map(|(idr, arrives, budget, slices, refresh, changed)| Fate {
        idr: idr == 0,
        arrives: arrives > 0,
        budget,
        slices,
        refresh,
        changed,
    });
    proptest::collection::vec(fate, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is lost, changed, cut short or refreshed: what can be decoded is what the writer says, and a loss that is told of
    /// late is gone around.
    #[test]
    fn every_picture_that_can_be_decoded_is_exact(
        fates in fates(), delay in 1usize..4, columns in 1u32..7, rows in 1u32..12,
    ) {
        let config = Config { references: 5, ..config(columns * 18, rows * 10) };
        let mut writer = Writer::new(config).unwrap();
        let mut decoder = Decoder::new().unwrap();
        let mut decodable: Vec<u64> = Vec::new();
        let mut told = Vec::new();
        for (number, fate) in fates.iter().enumerate() {
            let id = number as u64;
            // What could not be decoded so long ago is told of now.
            if let Some(lost) = number.checked_sub(delay).map(|number| number as u64)
                && !decodable.contains(&lost)
                && writer.holds(lost)
            {
                told.push(lost);
                prop_assert!(writer.invalidate(lost));
            }
            writer.set_slices(fate.slices);
            // Nothing is left that was not lost, an IDR perhaps with it: its numbers mean others to a decoder without it.
            let is_lost = number > 0 && writer.valid().next().is_none();
            let request = Request {
                id,
                idr: fate.idr || is_lost,
                budget_bits: fate.budget,
                refresh_rows: fate.refresh.clone(),
                ..Request::default()
            };
            let (coded, au) = written(&mut writer, &picture(&config, id, fate.changed.clone()), &request);
            prop_assert!(!coded.reference.is_some_and(|reference| told.contains(&reference)));
            let is_whole = coded.reference.is_none_or(|reference| decodable.contains(&reference));
            // The very first must arrive, or nothing ever does.
            if is_whole && (fate.arrives || number == 0) {
                decodable.push(id);
                assert_decodes(&mut decoder, &au, &writer.reconstruction().unwrap(), &format!("picture {id}"));
            }
        }
    }
}

/// A second opinion, on what openh264 does not know too: 4:4:4.
#[test]
fn ffmpeg_sees_the_same_pictures() {
    if Command::new("ffmpeg").arg("-version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "ffmpeg is missing");
        return eprintln!("ffmpeg is missing: no second opinion");
    }
    for (chroma, profile, format) in
        [(Chroma::Yuv420, Profile::High, "yuv420p"), (Chroma::Yuv444, Profile::High444, "yuv444p")]
    {
        let config = Config { chroma, profile, ..config(322, 190) };
        let mut writer = Writer::new(config).unwrap();
        let (mut stream, mut expected) = (Vec::new(), Vec::new());
        for number in 0..40u64 {
            let budget_bits = (number % 5 > 1).then_some(60_000);
            let hears = number % 10 == 7;
            if hears {
                assert!(writer.invalidate(number - 2));
            }
            let request = Request {
                id: number,
                idr: number == 20,
                budget_bits,
                delimiter: true,
                parameter_sets: number == 20,
                recovery_point: hears.then_some(0),
                ..Request::default()
            };
            let (_, au) = written(&mut writer, &picture(&config, number, 8..160), &request);
            if !(5..7).contains(&(number % 10)) {
                stream.extend_from_slice(&au);
                let planes = writer.reconstruction().unwrap();
                expected.extend([planes.y, planes.u, planes.v].concat());
            }
        }
        assert_eq!(by_ffmpeg(&stream, format), expected, "{format}");
    }
}

/// A decoder that comes in the middle has a whole picture once a wave of intra refresh has passed.
#[test]
fn a_wave_of_intra_refresh_makes_a_picture_whole() {
    if Command::new("ffmpeg").arg("-version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "ffmpeg is missing");
        return eprintln!("ffmpeg is missing: nobody to come in the middle");
    }
    let config = config(320, 192);
    let mut writer = Writer::new(config).unwrap();
    let mut stream = Vec::new();
    for number in 0..10u32 {
        let rows = number.saturating_sub(3) * 2;
        let request = Request {
            id: number.into(),
            parameter_sets: number == 4,
            recovery_point: (number == 4).then_some(5),
            budget_bits: (number > 0).then_some(0),
            refresh_rows: if number < 4 { 0..0 } else { rows - 2..rows },
            ..Request::default()
        };
        let (coded, au) = written(&mut writer, &picture(&config, number.into(), 8..12), &request);
        if number >= 4 {
            assert_eq!((coded.kind, coded.whole), (Kind::Predicted, 2 * 20));
            stream.extend(au);
        }
    }
    let planes = writer.reconstruction().unwrap();
    let picture = [planes.y, planes.u, planes.v].concat();
    assert_eq!(by_ffmpeg(&stream, "yuv420p").chunks_exact(picture.len()).next_back(), Some(&picture[..]));
}

fn by_ffmpeg(stream: &[u8], format: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("in.h264"), folder.path().join("out.yuv"));
    fs::write(&from, stream).unwrap();
    let run = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "h264", "-i"])
        .arg(&from)
        .args(["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", format])
        .arg(&to)
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    fs::read(to).unwrap()
}

#[test]
fn what_cannot_be_written_is_refused() {
    let refusal = |config| Writer::new(config).map(|_| ()).unwrap_err();
    assert!(matches!(refusal(config(641, 360)), Refusal::Size { width: 641, .. }));
    assert!(matches!(refusal(config(640, 0)), Refusal::Size { .. }));
    assert_eq!(refusal(Config { chroma: Chroma::Yuv444, ..config(640, 360) }), Refusal::Chroma);
    assert_eq!(refusal(Config { level: Some(10), ..config(640, 360) }), Refusal::Level { level: 10 });
    assert_eq!(
        refusal(Config { references: 17, ..config(640, 360) }),
        Refusal::References { references: 17 }
    );
    let bytes = vec![0; 64 * 48];
    let source = |width, height, pitch| Source::new(Chroma::Yuv420, width, height, pitch, &bytes).map(|_| ());
    assert_eq!(source(64, 32, 64), Ok(()));
    assert_eq!(source(64, 32, 63), Err(Refusal::Pitch { width: 64, pitch: 63 }));
    assert_eq!(source(64, 34, 64), Err(Refusal::Memory { bytes: 64 * 48, needed: 64 * 51 }));
    assert!(matches!(source(63, 32, 64), Err(Refusal::Size { .. })));
    let mut writer = Writer::new(config(320, 192)).unwrap();
    let other = Source::new(Chroma::Yuv420, 64, 32, 64, &bytes).unwrap();
    assert!(matches!(writer.take(&other), Err(Refusal::Size { width: 320, height: 192 })));
}
