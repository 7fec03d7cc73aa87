//! Real H.264 through parser, decoder and maps of the stand-in, beside the software decoder.

#![allow(clippy::unwrap_used)]

mod common;

use common::{bytes, bytes_of, context, decode, decoder, loaded, stream};
use punktfunk_codec::h264::Decoder as Software;
use punktfunk_cuda::DeviceBuffer;
use punktfunk_nvdec::{Codec, Decoder, Depth, Flaw, Library, NvdecError};

const SIDES: (u32, u32) = (320, 240);

#[test]
fn pictures_are_those_of_the_software_decoder() {
    let stand_in = loaded();
    {
        let context = context();
        let mut decoder = decoder(&context);
        let mut software = Software::new().unwrap();
        for parts in stream(SIDES, 4, 12) {
            assert!(parts.len() >= 4, "slices come one by one");
            let frame = decode(&mut decoder, &parts).unwrap();
            assert_eq!((frame.width(), frame.height(), frame.depth()), (320, 240, Depth::Eight));
            let au = parts.concat();
            let expected = software.decode(&au).unwrap().unwrap();
            assert!(bytes(&decoder, &frame) == bytes_of(&expected.as_i420()), "pixels differ");
        }
        assert_eq!(decoder.decoders_made(), 1);
    }
    assert_eq!(stand_in.breaches(), 0);
}

#[test]
fn bytes_may_be_cut_anywhere() {
    let stand_in = loaded();
    {
        let context = context();
        let (mut whole, mut cut) = (decoder(&context), decoder(&context));
        for parts in stream(SIDES, 2, 4) {
            let au = parts.concat();
            let pieces: Vec<Vec<u8>> = au.chunks(7).map(<[u8]>::to_vec).collect();
            let pictures = (decode(&mut whole, &[au]).unwrap(), decode(&mut cut, &pieces).unwrap());
            assert!(bytes(&whole, &pictures.0) == bytes(&cut, &pictures.1));
        }
    }
    assert_eq!(stand_in.breaches(), 0);
}

#[test]
fn another_size_makes_another_decoder() {
    let stand_in = loaded();
    {
        let context = context();
        let mut decoder = decoder(&context);
        let mut lent = Vec::new();
        for sides in [(320, 240), (642, 358), (320, 240)] {
            let frames: Vec<_> =
                stream(sides, 1, 2).iter().map(|parts| decode(&mut decoder, parts).unwrap()).collect();
            assert_eq!((frames[1].width(), frames[1].height()), sides);
            lent.extend(frames);
        }
        assert_eq!(decoder.decoders_made(), 3);
        drop(decoder);
        let last = lent.pop().unwrap();
        drop((lent, context));
        assert!(last.context().settle(), "a frame keeps its decoder and its context");
    }
    assert_eq!(stand_in.breaches(), 0);
}

#[test]
fn a_picture_that_is_given_up_is_not_decoded() {
    let stand_in = loaded();
    {
        let context = context();
        let mut decoder = decoder(&context);
        let access_units = stream(SIDES, 4, 3);
        drop(decode(&mut decoder, &access_units[0]).unwrap());
        decoder.feed(&access_units[1][0]).unwrap();
        decoder.feed(&access_units[1][1]).unwrap();
        decoder.abandon().unwrap();
        decoder.abandon().unwrap();
        // It refers to what was given up: not whole, whatever the decoder makes of it.
        let error = decode(&mut decoder, &access_units[2]).unwrap_err();
        assert!(error.is_refusal(), "{error}");
        let fresh = stream(SIDES, 4, 2);
        for parts in &fresh {
            drop(decode(&mut decoder, parts).unwrap());
        }
    }
    assert_eq!(stand_in.breaches(), 0);
}

#[test]
fn no_more_frames_are_lent_than_there_may_be() {
    let stand_in = loaded();
    {
        let context = context();
        let mut decoder = decoder(&context);
        let access_units = stream(SIDES, 1, 4);
        let first = decode(&mut decoder, &access_units[0]).unwrap();
        let second = decode(&mut decoder, &access_units[1]).unwrap();
        let error = decode(&mut decoder, &access_units[2]).unwrap_err();
        assert!(matches!(error, NvdecError::AllLent));
        drop(first);
        drop(decode(&mut decoder, &access_units[3]).unwrap());
        drop(second);
    }
    assert_eq!(stand_in.breaches(), 0, "the driver never saw a third");
}

#[test]
fn a_codec_that_the_device_lacks_is_named() {
    let _stand_in = loaded();
    let (library, context) = (Library::load().unwrap(), context());
    assert!(library.caps(&context, Codec::Hevc, Depth::Ten).unwrap().is_none());
    let caps = library.caps(&context, Codec::H264, Depth::Eight).unwrap().unwrap();
    assert!(caps.has_sides(4096, 4096) && !caps.has_sides(4098, 16) && !caps.has_sides(32, 240));
    let error = Decoder::new(&library, &context, Codec::Av1).unwrap_err();
    assert_eq!(error.to_string(), "Stand-in GPU 0 decodes no AV1 of 8 bits in 4:2:0");
}

#[test]
fn a_stream_beyond_the_device_is_named() {
    let stand_in = loaded();
    {
        let context = context();
        let mut decoder = decoder(&context);
        let error = decode(&mut decoder, &stream((4112, 64), 1, 1)[0]).unwrap_err();
        assert!(matches!(error, NvdecError::Size { width: 4112, height: 64, .. }), "{error}");
        assert!(!error.is_refusal(), "another decoder may do better");
    }
    assert_eq!(stand_in.breaches(), 0);
}

#[test]
fn each_call_that_fails_is_named() {
    let stand_in = loaded();
    for (call, fails_at) in [
        ("cuvidGetDecoderCaps", "caps"),
        ("cuvidCreateVideoParser", "parser"),
        ("cuvidCreateDecoder", "first"),
        ("cuvidDecodePicture", "first"),
        ("cuvidParseVideoData", "first"),
        ("cuvidMapVideoFrame64", "first"),
        ("cuvidGetDecodeStatus", "first"),
    ] {
        let context = context();
        stand_in.fail(&format!("{call}:1=702"));
        let made = Decoder::new(&Library::load().unwrap(), &context, Codec::H264);
        let error = match made {
            Err(error) => error,
            Ok(mut decoder) => decode(&mut decoder, &stream(SIDES, 1, 1)[0]).unwrap_err(),
        };
        stand_in.fail("");
        assert_eq!(
            error.to_string(),
            format!("{call} failed: CUDA_ERROR_LAUNCH_TIMEOUT (702)"),
            "{fails_at}"
        );
        assert!(matches!(error, NvdecError::Cuda(cuda) if cuda.is_device_lost()));
    }
    for call in ["cuvidUnmapVideoFrame64", "cuvidDestroyDecoder", "cuvidDestroyVideoParser"] {
        stand_in.fail(&format!("{call}:1=999"));
        let context = context();
        drop(decode(&mut decoder(&context), &stream(SIDES, 1, 1)[0]).unwrap());
        stand_in.fail("");
    }
}

#[test]
fn a_decoder_that_tells_of_no_errors_is_believed() {
    let stand_in = loaded();
    {
        let context = context();
        let mut decoder = decoder(&context);
        stand_in.fail("cuvidGetDecodeStatus=801");
        drop(decode(&mut decoder, &stream(SIDES, 1, 1)[0]).unwrap());
    }
    assert_eq!(stand_in.breaches(), 0);
}

#[test]
fn too_many_bytes_are_refused_and_the_next_picture_comes() {
    let stand_in = loaded();
    {
        let context = context();
        let mut decoder = decoder(&context);
        let half = vec![0x55; punktfunk_nvdec::limits::AU_BYTES_MAX / 2];
        decoder.feed(&half).unwrap();
        decoder.feed(&half).unwrap();
        let error = decoder.finish(&half).unwrap_err();
        assert!(matches!(error, NvdecError::Refused(Flaw::TooLong)), "{error}");
        drop(decode(&mut decoder, &stream(SIDES, 1, 1)[0]).unwrap());
    }
    assert_eq!(stand_in.breaches(), 0);
}
