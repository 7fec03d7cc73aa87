//! What a driver may mean by a picture that is not done, which NVIDIA does not write down: each reading that it could have is
//! got on with, or costs a picture and then no more than the slices on the way.
#![allow(clippy::unwrap_used)] // clippy's leave for tests ends at the functions that they share

mod ground;

use ground::{Ground, config, encode, is_apart, request};
use punktfunk_codec::h264::Decoder;
use punktfunk_nvenc::{Codec, Counts, Format, NvencError, Readback};

/// What the stand-in takes for a slice, in microseconds: so long that even a busy machine looks in between.
const SLICE_US: &str = "30000";

/// What came of eight pictures.
struct Played {
    counts: Counts,
    readback: Readback,
    /// Slices that were there before their picture was done.
    early: u32,
    /// Pictures that were lost, by number.
    lost: Vec<u64>,
}

/// Eight pictures of a driver that reads it so; each that is not lost must be decoded to the last bit.
fn played(test: &str, partial: &str) -> Option<Played> {
    if !is_apart(test, &[("PUNKTFUNK_STANDIN_SLICE_US", SLICE_US), ("PUNKTFUNK_STANDIN_PARTIAL", partial)]) {
        return None;
    }
    let ground = Ground::new();
    let played = {
        let mut session = ground.open(config(Codec::H264)).unwrap();
        let picture = ground.pictures(Format::Nv12, 320, 192);
        let mut decoder = Decoder::new().unwrap();
        let (mut early, mut lost) = (0, Vec::new());
        for number in 1..=8 {
            let noise = ground.noise(&picture, number);
            match encode(&mut session, &picture.input(), &request(number)) {
                Ok(au) => {
                    early += au.encoded.early;
                    noise.assert_decoded(&mut decoder, &au.bytes, &format!("{partial}, picture {number}"));
                }
                Err(NvencError::Hostile { .. }) => lost.push(number),
                Err(other) => panic!("{partial}, picture {number}: {other}"),
            }
        }
        Played { counts: session.counts(), readback: session.plan().readback, early, lost }
    };
    ground.close();
    Some(played)
}

#[test]
fn slices_that_are_told_of_before_they_are_there_cost_nothing() {
    let test = "slices_that_are_told_of_before_they_are_there_cost_nothing";
    let Some(Played { counts, readback, early, lost }) = played(test, "begins") else { return };
    assert_eq!((counts.reads_whole, counts.holds_back, counts.idrs), (0, 0, 1));
    assert_eq!((readback, lost), (Readback::SubFrame, vec![]));
    assert!(early >= 8, "{early} of 24 were there before the last");
}

#[test]
fn a_pointer_to_nothing_costs_nothing() {
    let Some(Played { counts, readback, early, lost }) =
        played("a_pointer_to_nothing_costs_nothing", "pointer")
    else {
        return;
    };
    assert_eq!((counts.reads_whole, counts.holds_back, counts.idrs), (0, 0, 1));
    assert_eq!((readback, lost), (Readback::SubFrame, vec![]));
    assert!(early >= 8, "{early} of 24 were there before the last");
}

#[test]
fn bytes_that_are_not_finished_cost_a_picture_and_the_slices_on_the_way() {
    let test = "bytes_that_are_not_finished_cost_a_picture_and_the_slices_on_the_way";
    let Some(Played { counts, readback, early, lost }) = played(test, "grows") else { return };
    assert_eq!(lost, [1], "the first, and none after it");
    assert_eq!((counts.reads_whole, counts.abandoned, counts.rebuilds), (1, 1, 0));
    assert_eq!((readback, early), (Readback::Whole, 0));
}
