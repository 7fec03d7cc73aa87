//! Streams of another encoder, as `file:` may pass through: x264's High profile, with and without B pictures.
//! Made by ffmpeg 5.1: `-f lavfi -i testsrc=size=96x64:rate=30:duration=0.8 -c:v libx264 -profile:v high -bf 0
//! -x264-params slices=3:aud=1` and the same with `-bf 2` alone.
#![allow(clippy::unwrap_used)]

use punktfunk_codec::h264::Decoder;
use punktfunk_codec::{CodecError, Flaw, annexb};

const PICTURES: usize = 24;
const HIGH: &[u8] = include_bytes!("data/high.h264");
const HIGH_B: &[u8] = include_bytes!("data/high_b.h264");

#[test]
fn access_units_and_slices_are_found() {
    for (stream, slices, bidirectional) in [(HIGH, 3, false), (HIGH_B, 1, true)] {
        let aus: Vec<&[u8]> = annexb::access_units(stream).collect();
        assert_eq!(aus.len(), PICTURES);
        assert_eq!(aus.concat(), stream);
        assert!(annexb::is_idr(aus[0]) && annexb::has_parameter_sets(aus[0]));
        assert!(aus[1..].iter().all(|au| !annexb::is_idr(au)));
        assert!(aus.iter().all(|au| annexb::slices(au).count() == slices));
        assert_eq!(annexb::has_bidirectional(stream), bidirectional);
    }
}

#[test]
fn without_b_pictures_each_comes_at_once() {
    let mut decoder = Decoder::new().unwrap();
    let mut last = Vec::new();
    for au in annexb::access_units(HIGH) {
        let picture = decoder.decode(au).unwrap().unwrap().as_i420();
        assert_eq!((picture.width(), picture.height()), (96, 64));
        // A picture that came late would be the last one again; the test source moves with every picture.
        assert_ne!(picture.y(), last);
        last = picture.y().to_vec();
    }
}

#[test]
fn b_pictures_are_refused_by_name() {
    let mut decoder = Decoder::new().unwrap();
    let first = annexb::access_units(HIGH_B).find_map(|au| decoder.decode(au).err()).unwrap();
    assert_eq!(first, CodecError::Damaged { flaw: Flaw::Bidirectional });
    assert!(first.to_string().contains("B slices"), "{first}");
}
