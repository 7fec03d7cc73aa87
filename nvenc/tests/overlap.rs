//! Slices that are there before their picture is: one test, since the stand-in's pace is its process'.
#![allow(clippy::unwrap_used)] // clippy's leave for tests ends at the functions that they share

mod ground;

use std::time::Duration;

use ground::{Ground, config, encode, request};
use punktfunk_nvenc::{Codec, Format};

/// What the stand-in takes for a slice.
const SLICE: Duration = Duration::from_millis(5);

#[test]
fn finished_slices_are_read_while_the_rest_is_encoded() {
    // SAFETY: no other thread runs yet that reads it: this program has one test.
    unsafe { std::env::set_var("PUNKTFUNK_STANDIN_SLICE_US", SLICE.as_micros().to_string()) };
    let ground = Ground::new();
    {
        let mut session = ground.open(config(Codec::H264)).unwrap();
        let pictures = ground.pictures(Format::Nv12, 320, 192);
        let input = pictures.input();
        let mut early = Vec::new();
        for number in 1..=6 {
            ground.grey(&pictures, 30 * number as u8);
            let au = encode(&mut session, &input, &request(number)).unwrap();
            assert_eq!(au.parts.len(), 4);
            early.push(au.done.saturating_sub(au.parts[0]));
        }
        // Three slices' time, of which a busy machine may take one away, once or twice.
        let in_time = early.iter().filter(|early| **early > 2 * SLICE).count();
        assert!(in_time >= 4, "how long before the last the first was there: {early:?}");
    }
    assert_eq!(ground.loaded.breaches(), 0);
}
