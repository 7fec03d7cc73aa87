//! NVIDIA's decoder by its stand-in: what is seen of it, and how it gives way. Promises: no test needs a GPU. Refuses nothing.

use punktfunk_codec::I420Buffer;
use punktfunk_codec::annexb;
use punktfunk_codec::h264::{Encoder, EncoderConfig};
use punktfunk_control::{Chroma, Depth};
use punktfunk_nvdec::Caps;
use stand_in_common::Loaded;

use super::*;

const SIDES: (u32, u32) = (320, 240);
const H264: StreamKind = StreamKind::usual(Codec::H264);

fn loaded() -> Loaded {
    Loaded::new(&["stand-in-cuda", "stand-in-nvdec"])
}

/// Access units as slices; IDRs where `is_idr` says so.
fn stream(count: u8, is_idr: impl Fn(u8) -> bool) -> Vec<Vec<Vec<u8>>> {
    let (width, height) = SIDES;
    let config = EncoderConfig { width, height, refresh_mhz: 60_000, bitrate_kbps: 4000, slices: 2 };
    let mut encoder = Encoder::new(config).unwrap();
    let mut access_units = Vec::new();
    for number in 0..count {
        let mut picture = I420Buffer::new(width, height).unwrap();
        picture.planes_mut().0.fill(20 + number * 9);
        let encoded = encoder.encode(&picture.as_i420(), number.into(), is_idr(number)).unwrap();
        access_units.push(annexb::slices(encoded.bytes()).map(<[u8]>::to_vec).collect());
    }
    access_units
}

/// What becomes of an access unit: the luma of its first pixel, or why there is none.
fn decode(decoder: &mut Decoder, parts: &[Vec<u8>], is_idr: bool) -> Result<Option<u8>, String> {
    let (last, first) = parts.split_last().unwrap();
    for part in first {
        decoder.feed(part).unwrap();
    }
    let whole = parts.concat();
    match decoder.finish(&Last { part: last, whole: &whole, is_idr, is_looked_at: true }).unwrap() {
        Decoded::Picture { sides, seen } => {
            assert_eq!(sides, SIDES);
            Ok(seen.map(|picture| picture.y()[0]))
        }
        Decoded::Refused(why) => Err(why),
    }
}

#[test]
fn both_decoders_see_the_same() {
    let stand_in = loaded();
    {
        let mut nvidias = Decoders::look(DecoderChoice::Auto).decoder(H264, SIDES).unwrap();
        let mut software = Decoders::look(DecoderChoice::Openh264).decoder(H264, SIDES).unwrap();
        assert!(!nvidias.gathers() && software.gathers());
        for (number, parts) in stream(4, |number| number == 0).iter().enumerate() {
            let seen = decode(&mut nvidias, parts, number == 0).unwrap();
            assert!(seen.is_some());
            assert_eq!(seen, decode(&mut software, parts, number == 0).unwrap());
        }
        let report = nvidias.report().json();
        assert_eq!(report["used"], "NVDEC on Stand-in GPU 0");
        assert_eq!((&report["fallbacks"], &report["copied_from_device"]), (&json!(0), &json!(4)));
        assert_eq!(software.report().json()["used"], "openh264");
    }
    assert_eq!(stand_in.breaches(), 0);
}

#[test]
fn a_decoder_that_fails_gives_way_at_the_next_idr() {
    for call in [
        "cuvidParseVideoData:4=999",
        "cuvidDecodePicture:2=700",
        "cuvidMapVideoFrame64:2=2",
        "cuMemcpy2DAsync_v2:3=719",
    ] {
        let stand_in = loaded();
        {
            let mut decoder = Decoders::look(DecoderChoice::Auto).decoder(H264, SIDES).unwrap();
            let access_units = stream(4, |number| number == 0 || number == 3);
            stand_in.fail(call);
            assert!(decode(&mut decoder, &access_units[0], true).is_ok(), "{call}");
            assert!(decode(&mut decoder, &access_units[1], false).is_err(), "{call}");
            stand_in.fail("");
            let why = decode(&mut decoder, &access_units[2], false).unwrap_err();
            assert!(why.contains("reference"), "the software decoder waits for an IDR: {why}");
            assert!(decode(&mut decoder, &access_units[3], true).unwrap().is_some(), "{call}");
            let report = decoder.report();
            assert_eq!((report.fallbacks, report.used.as_str()), (1, "openh264"), "{call}");
            assert!(report.text().starts_with("decoded by openh264; NVDEC: cu"), "{}", report.text());
            let name = call.split(':').next().unwrap();
            assert!(report.why.is_some_and(|why| why.contains(name)), "{call}");
        }
        assert_eq!(stand_in.breaches(), 0, "{call}");
    }
}

#[test]
fn an_access_unit_that_is_given_up_harms_no_other() {
    let stand_in = loaded();
    {
        let mut decoder = Decoders::look(DecoderChoice::Nvdec).decoder(H264, SIDES).unwrap();
        let access_units = stream(3, |number| number != 1);
        assert!(decode(&mut decoder, &access_units[0], true).is_ok());
        decoder.feed(&access_units[1][0]).unwrap();
        decoder.abandon();
        assert!(decode(&mut decoder, &access_units[2], true).is_ok());
        assert_eq!(decoder.report().fallbacks, 0);
    }
    assert_eq!(stand_in.breaches(), 0);
}

#[test]
fn what_was_asked_for_and_is_not_there_is_counted() {
    let stand_in = loaded();
    stand_in.fail("cuInit=803");
    for (asked, fallbacks) in
        [(DecoderChoice::Nvdec, 1), (DecoderChoice::Auto, 0), (DecoderChoice::Openh264, 0)]
    {
        let decoders = Decoders::look(asked);
        let offer = decoders.offer(StreamWish::default(), SIDES, false).unwrap();
        assert_eq!(offer, [Codec::H264], "nothing but what openh264 does is offered");
        let report = decoders.decoder(H264, SIDES).unwrap().report();
        assert_eq!((report.fallbacks, report.used.as_str()), (fallbacks, "openh264"));
        let is_named = report.why.is_some_and(|why| why.contains("SYSTEM_DRIVER_MISMATCH"));
        assert_eq!(is_named, asked != DecoderChoice::Openh264);
        assert!(decoders.decoder(StreamKind::usual(Codec::Hevc), SIDES).is_err(), "was not offered");
        assert!(
            decoders.decoder(StreamKind { depth: Depth::Ten, ..H264 }, SIDES).is_err(),
            "was not offered"
        );
    }
}

/// What a device of 2022 decodes, with an older one's HEVC, which ends where its H.264 does.
fn device() -> Vec<Able> {
    let is_there = |kind: &StreamKind| match kind.codec {
        Codec::H264 => kind.is_usual(),
        Codec::Hevc => true,
        Codec::Av1 | Codec::Pattern => kind.chroma == Chroma::Yuv420,
    };
    let caps = |least, most: u32| Caps {
        engines: 1,
        sides_max: (most, most),
        sides_min: least,
        macroblocks_max: most * most / 256,
    };
    let able = |kind: StreamKind| {
        let caps = match kind.codec {
            Codec::H264 => caps((48, 16), 4096),
            Codec::Hevc => caps((144, 144), 4096),
            Codec::Av1 | Codec::Pattern => caps((128, 128), 8192),
        };
        Able { kind, caps }
    };
    StreamKind::all().filter(is_there).map(able).collect()
}

#[test]
fn what_only_the_device_decodes_is_offered_last_and_never_recorded() {
    let (auto, all) = (StreamWish::default(), device());
    let av1: Vec<Able> = all.iter().copied().filter(|able| able.kind.codec == Codec::Av1).collect();
    let offered = |ables, is_recorded| offered(ables, auto, Some(SIDES), is_recorded);
    assert_eq!(offered(&all[..], false), [Codec::H264, Codec::Hevc, Codec::Av1]);
    assert_eq!(offered(&av1, false), [Codec::H264, Codec::Av1]);
    assert_eq!(offered(&all, true), [Codec::H264]);
    assert_eq!(offered(&[], false), [Codec::H264]);
}

#[test]
fn what_is_not_decoded_in_that_size_is_not_offered() {
    let all = device();
    let at = |ables: &[Able], sides| offered(ables, StreamWish::default(), Some(sides), false);
    let (h264, hevc, av1) = (Codec::H264, Codec::Hevc, Codec::Av1);
    assert_eq!(at(&all, (3840, 2160)), [h264, hevc, av1]);
    assert_eq!(at(&all, (5120, 2880)), [av1]);
    assert_eq!(at(&all, (8194, 2160)), []);
    // By openh264, which takes fewer macroblocks and longer sides.
    assert_eq!(at(&all, (5120, 1440)), [h264, av1]);
    assert_eq!(at(&[], (5120, 1440)), [h264]);
    assert_eq!(at(&[], (4096, 2304)), [h264]);
    assert_eq!(at(&[], (4096, 2306)), []);
    // By NVIDIA's alone.
    assert_eq!(at(&all, (4096, 4096)), [h264, hevc, av1]);
    // By openh264 alone, and by whole blocks.
    assert_eq!(at(&all, (32, 16)), [h264]);
    assert_eq!(at(&all, (130, 138)), [h264, av1]);
    assert_eq!(at(&all, (138, 142)), [h264, hevc, av1]);
    let recorded = offered(&all, StreamWish::default(), Some((5120, 2880)), true);
    assert_eq!(recorded, [], "a recording is made of H.264 alone");
}

#[test]
fn why_no_such_size_is_decoded_names_the_limit_and_the_way_out() {
    let all = device();
    let hevc = StreamWish { codec: CodecChoice::Only(Codec::Hevc), ..StreamWish::default() };
    let large = limits(Some(("NVDEC on X", &all[..])), hevc, (5120, 2880), false);
    assert_eq!(
        large,
        "HEVC, 8 bits, 4:2:0, 5120x2880: NVDEC on X decodes HEVC, 8 bits, 4:2:0 of 144x144 to 4096x4096, \
         65536 macroblocks at most; ask for a smaller mode"
    );
    let small = limits(Some(("NVDEC on X", &all[..])), hevc, (64, 480), false);
    assert!(small.contains("64x480: ") && small.ends_with("ask for a larger mode"), "{small}");
    let recorded = limits(Some(("NVDEC on X", &all[..])), StreamWish::default(), (5120, 2880), true);
    assert!(recorded.contains("recorded") && !recorded.contains("AV1"), "{recorded}");
    assert!(recorded.contains("4096x4096") && recorded.contains("36864 macroblocks"), "{recorded}");
}

#[test]
fn a_size_that_only_openh264_decodes_is_decoded_by_it_and_said() {
    let stand_in = loaded();
    {
        // The stand-in's ends at 4096 a side.
        let decoders = Decoders::look(DecoderChoice::Auto);
        let wide = (5120, 1440);
        assert_eq!(decoders.offer(StreamWish::default(), wide, false).unwrap(), [Codec::H264]);
        let decoder = decoders.decoder(H264, wide).unwrap();
        assert!(decoder.gathers());
        let report = decoder.report();
        assert_eq!((report.fallbacks, report.used.as_str()), (1, "openh264"));
        assert!(report.why.is_some_and(|why| why.contains("decodes no H.264 of 5120x1440")));
        // Both, and neither.
        assert!(!decoders.decoder(H264, (4096, 4096)).unwrap().gathers(), "by NVIDIA's");
        let Err(refused) = decoders.decoder(H264, (5120, 2880)) else { panic!("nobody decodes that") };
        assert!(refused.to_string().contains("decodes no H.264 of 5120x2880"), "{refused}");
        let refused = decoders.offer(StreamWish::default(), (5120, 2880), false).unwrap_err();
        assert_eq!(refused.exit_code(), 5);
        let refused = refused.to_string();
        for part in ["5120x2880", "NVDEC on Stand-in GPU 0", "4096x4096", "36864 macroblocks", "smaller mode"]
        {
            assert!(refused.contains(part), "{part}: {refused}");
        }
    }
    {
        let decoders = Decoders::look(DecoderChoice::Openh264);
        let refused = decoders.offer(StreamWish::default(), (8192, 8192), false).unwrap_err();
        assert_eq!(refused.exit_code(), 5);
        assert!(refused.to_string().contains("8192x8192: openh264 decodes H.264"), "{refused}");
    }
    assert_eq!(stand_in.breaches(), 0);
}

#[test]
fn what_is_asked_for_by_name_is_offered_alone_or_not_at_all() {
    let all = device();
    let offered = |ables, wish, is_recorded| offered(ables, wish, Some(SIDES), is_recorded);
    let wish = |codec, depth, chroma| StreamWish { codec, depth, chroma };
    let only = CodecChoice::Only;
    let (auto, eight, ten) = (CodecChoice::Auto, Depth::Eight, Depth::Ten);
    let (usual, full) = (Chroma::Yuv420, Chroma::Yuv444);
    assert_eq!(offered(&all[..], wish(only(Codec::Hevc), eight, usual), false), [Codec::Hevc]);
    assert_eq!(offered(&all, wish(auto, ten, usual), false), [Codec::Hevc, Codec::Av1]);
    assert_eq!(offered(&all, wish(auto, ten, full), false), [Codec::Hevc]);
    for nothing in [
        (&all[..], wish(only(Codec::H264), ten, usual), false),
        (&all, wish(only(Codec::Av1), eight, full), false),
        (&all, wish(only(Codec::Hevc), eight, usual), true),
        (&all, wish(auto, ten, usual), true),
        (&[], wish(only(Codec::Hevc), eight, usual), false),
        (&[], wish(auto, eight, full), false),
    ] {
        assert_eq!(offered(nothing.0, nothing.1, nothing.2), [], "{}", nothing.1);
    }
}

#[test]
fn why_nothing_can_be_offered_is_said_before_a_host_is_asked() {
    let stand_in = loaded();
    {
        let hevc = StreamWish { codec: CodecChoice::Only(Codec::Hevc), ..StreamWish::default() };
        let ten = StreamWish { depth: Depth::Ten, ..StreamWish::default() };
        let said = |choice, wish, is_recorded| {
            let refused = Decoders::look(choice).offer(wish, SIDES, is_recorded).unwrap_err();
            assert_eq!(refused.exit_code(), 5);
            refused.to_string()
        };
        // The stand-in's decodes H.264 of eight bits in 4:2:0.
        let device = said(DecoderChoice::Auto, hevc, false);
        assert!(
            device.contains("HEVC, 8 bits, 4:2:0: NVDEC on Stand-in GPU 0 decodes H.264, 8 bits"),
            "{device}"
        );
        let software = said(DecoderChoice::Openh264, ten, false);
        assert!(software.contains("10 bits, 4:2:0: openh264, which --decoder asks for"), "{software}");
        stand_in.fail("cuInit=803");
        let broken = said(DecoderChoice::Auto, ten, true);
        assert!(broken.contains("alone, and NVDEC: ") && broken.contains("DRIVER_MISMATCH"), "{broken}");
        assert_eq!(
            Decoders::look(DecoderChoice::Auto).offer(StreamWish::default(), SIDES, true).unwrap(),
            [Codec::H264]
        );
    }
    assert_eq!(stand_in.breaches(), 0);
}

#[test]
fn a_decoder_is_one_of_three_words() {
    for choice in [DecoderChoice::Auto, DecoderChoice::Nvdec, DecoderChoice::Openh264] {
        assert_eq!(choice.to_string().parse(), Ok(choice));
    }
    assert!("NVDEC".parse::<DecoderChoice>().is_err());
}
