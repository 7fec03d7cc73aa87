//! What is agreed on, by cards that are made up: no driver is asked.

use punktfunk_nvenc::sys::Api;
use punktfunk_nvenc::{Caps, Format};

use super::*;
use crate::encode::Codings;
use crate::encode::coding::named;

/// A card of 2022: H.264 to 4096 a side, HEVC and AV1 to 8192 and of ten bits, HEVC in 4:4:4, two engines.
fn caps(codec: Codec) -> Caps {
    let is_h264 = codec == Codec::H264;
    let (side, level_max) = match codec {
        Codec::H264 => (4096, 62),
        Codec::Hevc => (8192, 186),
        Codec::Av1 | Codec::Pattern => (8192, 23),
    };
    let formats = match codec {
        Codec::H264 => vec![Format::Nv12, Format::Yuv444],
        Codec::Hevc => vec![Format::Nv12, Format::P010, Format::Yuv444, Format::Yuv444Ten],
        Codec::Av1 | Codec::Pattern => vec![Format::Nv12, Format::P010],
    };
    Caps {
        codec: named(codec).expect("pictures"),
        width_max: side,
        height_max: side,
        width_min: 145,
        height_min: 49,
        blocks_max: 0,
        level_max,
        engines: 2,
        ten_bits: !is_h264,
        full_chroma: codec != Codec::Av1,
        sub_frame: true,
        invalidation: true,
        many_references: true,
        intra_refresh: true,
        vbv: true,
        live_bitrate: true,
        live_size: true,
        constant_bitrate: true,
        lookahead: true,
        formats,
    }
}

/// The encoders of a host with such a card, of these codecs.
fn with_card(codecs: &[Codec]) -> Encoders {
    let caps = codecs.iter().map(|codec| (*codec, caps(*codec))).collect();
    let able = CardAble { name: "a card".to_owned(), api: Api::V13_0, caps };
    Encoders { able: Some(able), ..Encoders::default() }
}

fn wish(codecs: &[Codec], depth: Depth, chroma: Chroma) -> CodingWish {
    CodingWish { codecs: codecs.to_vec(), depth, chroma }
}

fn usual(codecs: &[Codec]) -> CodingWish {
    wish(codecs, Depth::Eight, Chroma::Yuv420)
}

fn wire(kbps: u32) -> WireRate {
    WireRate { kbps, redundancy_per_mille: 100, shard_bytes: 1152 }
}

fn mode(text: &str) -> Option<Mode> {
    Some(text.parse().expect("a mode"))
}

/// The refusal's code and words.
fn refused(agreed: Result<Coding, HostError>) -> (RefusalCode, String) {
    let error = agreed.expect_err("it cannot be had");
    let (code, said) = (error.refusal_code(), error.to_string());
    assert!(said.len() <= punktfunk_control::limits::TEXT_BYTES_MAX, "{} bytes: {said}", said.len());
    (code, said)
}

const ALL: [Codec; 3] = CODECS;

#[test]
fn the_first_codec_that_the_mode_and_the_rate_can_be_had_in_is_agreed_on() {
    let card = with_card(&ALL);
    let agreed = |codecs: &[Codec], at, kbps| card.agree(&usual(codecs), mode(at), wire(kbps)).unwrap().codec;
    assert_eq!(agreed(&ALL, "1920x1080@60", 20_000), Codec::H264, "what can go on in software comes first");
    assert_eq!(agreed(&[Codec::Av1, Codec::H264], "1920x1080@60", 20_000), Codec::Av1, "the client's order");
    assert_eq!(agreed(&ALL, "5120x2880@60", 50_000), Codec::Hevc);
    assert_eq!(agreed(&[Codec::H264, Codec::Av1], "5120x2880@60", 50_000), Codec::Av1);
    // More than HEVC's levels let through, and not more than H.264's.
    assert_eq!(agreed(&[Codec::Hevc, Codec::H264], "1920x1080@60", 980_000), Codec::H264);
    // openh264 would take so few macroblocks of that width, and the card does better.
    assert_eq!(agreed(&ALL, "5120x1440@60", 50_000), Codec::Hevc);
    assert_eq!(agreed(&[Codec::H264], "5120x1440@60", 50_000), Codec::H264, "in software, since it must");
    assert_eq!(agreed(&[Codec::H264], "64x48@60", 5_000), Codec::H264, "smaller than the card's least");
}

#[test]
fn why_none_can_be_had_is_said_codec_by_codec_with_what_to_do() {
    let card = with_card(&ALL);
    let (code, said) = refused(card.agree(&usual(&[Codec::H264]), mode("5120x2880@60"), wire(50_000)));
    assert_eq!(code, RefusalCode::Mode);
    for part in ["5120x2880@60", "H.264", "4096×4096", "36864 macroblocks", "HEVC, AV1 would do", "--codec"]
    {
        assert!(said.contains(part), "no {part} in {said}");
    }
    let (code, said) = refused(card.agree(&usual(&ALL), mode("16384x16384@60"), wire(50_000)));
    assert_eq!(code, RefusalCode::Mode);
    for part in ["H.264: ", "HEVC: ", "AV1: ", "8192×8192", "smaller mode"] {
        assert!(said.contains(part), "no {part} in {said}");
    }
    let (code, said) =
        refused(card.agree(&usual(&[Codec::Hevc, Codec::Av1]), mode("1920x1080@60"), wire(980_000)));
    assert_eq!(code, RefusalCode::Bitrate);
    for part in ["HEVC: its levels end at 800000", "AV1: its levels end at 800000", "H.264 would do"] {
        assert!(said.contains(part), "no {part} in {said}");
    }
    let (code, said) = refused(with_card(&[Codec::H264]).agree(&usual(&[Codec::Av1]), None, wire(20_000)));
    assert_eq!(code, RefusalCode::Codec);
    assert!(said.contains("the client decodes AV1"), "{said}");
}

#[test]
fn depth_and_chroma_are_had_as_they_are_asked_for_or_not_at_all() {
    let card = with_card(&ALL);
    let agree = |codecs: &[Codec], depth, chroma| {
        card.agree(&wish(codecs, depth, chroma), mode("1920x1080@60"), wire(20_000))
    };
    let of = |codec, depth, chroma| Coding { codec, depth, chroma };
    assert_eq!(
        agree(&ALL, Depth::Ten, Chroma::Yuv420).unwrap(),
        of(Codec::Hevc, Depth::Ten, Chroma::Yuv420),
        "H.264 is passed over"
    );
    assert_eq!(
        agree(&ALL, Depth::Eight, Chroma::Yuv444).unwrap(),
        of(Codec::H264, Depth::Eight, Chroma::Yuv444)
    );
    assert_eq!(agree(&ALL, Depth::Ten, Chroma::Yuv444).unwrap(), of(Codec::Hevc, Depth::Ten, Chroma::Yuv444));
    let (code, said) = refused(agree(&[Codec::H264], Depth::Ten, Chroma::Yuv420));
    assert_eq!(code, RefusalCode::Codec);
    assert!(
        said.contains("H.264: it does not encode ten bits") && said.contains("HEVC, AV1 would do"),
        "{said}"
    );
    let (_, said) = refused(agree(&[Codec::Av1], Depth::Eight, Chroma::Yuv444));
    assert!(
        said.contains("AV1: it does not encode 4:4:4") && said.contains("H.264, HEVC would do"),
        "{said}"
    );
    // Where no codec has it, what each of the client's has.
    let old = with_card(&[Codec::H264]);
    let asked = wish(&ALL, Depth::Ten, Chroma::Yuv420);
    let (_, said) = refused(old.agree(&asked, mode("1920x1080@60"), wire(20_000)));
    assert!(said.contains("to be had: H.264, 8 bits, 4:2:0; H.264, 8 bits, 4:4:4"), "{said}");
    // Before there is a source, too.
    assert!(old.agree(&asked, None, wire(20_000)).is_err());
}

#[test]
fn openh264_makes_eight_bits_in_420_alone_and_says_so() {
    let software = Encoders::default();
    for (depth, chroma) in [(Depth::Ten, Chroma::Yuv420), (Depth::Eight, Chroma::Yuv444)] {
        for at in [None, mode("1280x720@60")] {
            let (code, said) = refused(software.agree(&wish(&ALL, depth, chroma), at, wire(20_000)));
            assert_eq!(code, RefusalCode::Codec);
            assert!(said.contains("8 bits in 4:2:0") && said.contains(&depth.to_string()), "{said}");
        }
    }
    let (code, said) = refused(software.agree(&usual(&[Codec::Hevc]), None, wire(20_000)));
    assert_eq!(code, RefusalCode::Codec);
    assert!(said.contains("the client decodes HEVC") && said.contains("openh264"), "{said}");
}

#[test]
fn rates_that_the_encoder_cannot_fill_are_named() {
    let encoders = Encoders::default();
    let agree = |kbps| encoders.agree(&usual(&ALL), None, wire(kbps));
    // 240 Mbit/s for the encoder, a tenth of parity, 40 bytes a datagram of 1192: by hand.
    assert!(agree(273_166).is_ok());
    let error = agree(280_000).unwrap_err();
    assert!(matches!(error, HostError::Rate { asked_kbps: 280_000, most_kbps: 273_166 }), "{error:?}");
}

#[test]
fn modes_that_the_encoder_cannot_do_are_named() {
    let encoders = Encoders::default();
    let agree = |at| encoders.agree(&usual(&ALL), mode(at), wire(20_000));
    assert!(agree("1280x720@60").is_ok());
    let error = agree("8192x8192@60").unwrap_err().to_string();
    assert!(error.contains("8192x8192"), "{error}");
}

#[test]
fn what_bounds_a_session_is_the_codecs_levels_and_openh264s_once_the_card_has_fallen() {
    let card = with_card(&ALL);
    let most = |codec, has_fallen| card.wire_kbps_max(codec, wire(20_000), has_fallen);
    assert_eq!(most(Codec::H264, true), 273_166);
    assert_eq!(most(Codec::H264, false), wire(1).carrying(1_000_000));
    assert!(most(Codec::Hevc, false) < most(Codec::H264, false));
    assert_eq!(Encoders::default().wire_kbps_max(Codec::H264, wire(20_000), false), 273_166);
}

#[test]
fn once_the_card_has_fallen_openh264s_no_comes_first() {
    let codings = Codings::new(Arc::new(with_card(&ALL)), usual(&[Codec::H264]), wire(500_000));
    let larger = mode("4096x2560@60").unwrap();
    codings.check_mode(larger).expect("the card takes it");
    let fallen = codings.in_software();
    let error = fallen.check_mode(larger).unwrap_err().to_string();
    assert!(error.contains("4096x2560"), "{error}");
    // Whatever the rate was before: it is held.
    fallen.check_mode(mode("1920x1080@60").unwrap()).expect("openh264 takes it");
    assert_eq!(fallen.wire_kbps_max(true), codings.wire_kbps_max(true));
}

#[test]
fn a_session_says_its_coding_and_by_how_many_engines() {
    let card = with_card(&ALL);
    let five_k = Coding { codec: Codec::Hevc, depth: Depth::Ten, chroma: Chroma::Yuv420 };
    let said = card.describe_session(five_k, "5120x2880@60".parse().unwrap(), 4);
    assert_eq!(said, "NVENC on a card: HEVC, 10 bits, 4:2:0, each picture by 2 engines");
    let said = card.describe_session(Coding::usual(Codec::H264), "1920x1080@60".parse().unwrap(), 4);
    assert_eq!(said, "NVENC on a card: H.264, 8 bits, 4:2:0");
}

#[test]
fn what_was_asked_for_by_name_is_not_had_in_software() {
    let named = Encoders { is_named: true, ..with_card(&ALL) };
    let (_, said) = refused(named.agree(&usual(&[Codec::H264]), mode("64x48@60"), wire(5_000)));
    assert!(said.contains("145×49"), "{said}");
    let error = named
        .in_its_place(
            "640x360@60".parse().unwrap(),
            5_000,
            &PicturesConfig {
                wire_kbps: 5_000,
                redundancy_per_mille: 0,
                shard_bytes: 1152,
                slices: 1,
                coding: Coding::usual(Codec::Hevc),
            },
        )
        .err()
        .expect("openh264 makes no HEVC");
    assert!(error.to_string().contains("openh264 makes no HEVC"), "{error}");
}
