//! Slices that are there before their picture is: one test, since the stand-in's pace is its process'.
#![allow(clippy::unwrap_used)] // clippy's leave for tests ends at the functions that they share

mod ground;

use ground::{Ground, config, encode, request};
use punktfunk_nvenc::{Codec, Format};

/// What the stand-in takes for a slice, in microseconds: so long that even a busy machine looks in between.
const SLICE_US: &str = "20000";

#[test]
fn finished_slices_are_read_while_the_rest_is_encoded() {
    // SAFETY: no other thread runs yet that reads it: this program has one test.
    unsafe { std::env::set_var("PUNKTFUNK_STANDIN_SLICE_US", SLICE_US) };
    let ground = Ground::new();
    {
        let mut session = ground.open(config(Codec::H264)).unwrap();
        let pictures = ground.pictures(Format::Nv12, 320, 192);
        let input = pictures.input();
        let mut early = 0;
        for number in 1..=5 {
            ground.grey(&pictures, 30 * number as u8);
            let au = encode(&mut session, &input, &request(number)).unwrap();
            assert_eq!(au.parts, 4);
            early += au.encoded.early;
        }
        assert!(early >= 5, "{early} of 15 were there before the last");
    }
    assert_eq!(ground.loaded.breaches(), 0);
}
