//! NVIDIA's decoder by its stand-in: what is seen of it, and how it gives way. Promises: no test needs a GPU. Refuses nothing.

use punktfunk_codec::I420Buffer;
use punktfunk_codec::annexb;
use punktfunk_codec::h264::{Encoder, EncoderConfig};
use stand_in_common::Loaded;

use super::*;

const SIDES: (u32, u32) = (320, 240);

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
        let mut nvidias = Decoders::look(DecoderChoice::Auto).decoder(Codec::H264).unwrap();
        let mut software = Decoders::look(DecoderChoice::Openh264).decoder(Codec::H264).unwrap();
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
            let mut decoder = Decoders::look(DecoderChoice::Auto).decoder(Codec::H264).unwrap();
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
        let mut decoder = Decoders::look(DecoderChoice::Nvdec).decoder(Codec::H264).unwrap();
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
        assert_eq!(decoders.codecs(false), [Codec::H264], "nothing but what openh264 does is offered");
        let report = decoders.decoder(Codec::H264).unwrap().report();
        assert_eq!((report.fallbacks, report.used.as_str()), (fallbacks, "openh264"));
        let is_named = report.why.is_some_and(|why| why.contains("SYSTEM_DRIVER_MISMATCH"));
        assert_eq!(is_named, asked != DecoderChoice::Openh264);
        assert!(decoders.decoder(Codec::Hevc).is_err(), "was not offered");
    }
}

#[test]
fn what_only_the_device_decodes_is_offered_last_and_never_recorded() {
    let av1 = |codec| codec == Codec::Av1;
    assert_eq!(offered(|_| true, false), [Codec::H264, Codec::Hevc, Codec::Av1]);
    assert_eq!(offered(av1, false), [Codec::H264, Codec::Av1]);
    assert_eq!(offered(|_| true, true), [Codec::H264]);
}

#[test]
fn a_decoder_is_one_of_three_words() {
    for choice in [DecoderChoice::Auto, DecoderChoice::Nvdec, DecoderChoice::Openh264] {
        assert_eq!(choice.to_string().parse(), Ok(choice));
    }
    assert!("NVDEC".parse::<DecoderChoice>().is_err());
}
