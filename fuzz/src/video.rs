//! Coded video: Annex B streams, sequence parameter sets, the verifiable bitstream.

use punktfunk_codec::annexb;
use punktfunk_codec::bitstream::Verifier;

use crate::bytes::Bytes;

#[path = "../../host/src/encode/sps.rs"]
#[allow(clippy::unreadable_literal, reason = "the host's file, which the host's lints judge")]
mod host_sps;

/// Whatever is cut, nothing is lost and nothing is found twice.
pub(crate) fn annex_b(input: &[u8]) {
    let whole: usize = annexb::nals(input).map(|nal| nal.bytes.len()).sum();
    assert!(whole <= input.len());
    let units: usize = annexb::access_units(input).map(<[u8]>::len).sum();
    assert_eq!(units, whole, "access units hold every NAL unit");
    for unit in annexb::access_units(input) {
        let slices: usize = annexb::slices(unit).map(<[u8]>::len).sum();
        assert_eq!(slices, unit.len(), "slices hold every byte of their access unit");
        let _ = (annexb::is_idr(unit), annexb::has_parameter_sets(unit));
    }
    let _ = annexb::has_bidirectional(input);
}

pub(crate) fn annex_b_seeds() -> Vec<Vec<u8>> {
    let stream: &[&[u8]] = &[
        &[0, 0, 0, 1, 0x67, 0x42, 0xC0, 0x1E, 0xDA, 0x02, 0x80, 0xF6, 0x80],
        &[0, 0, 0, 1, 0x68, 0xCE, 0x3C, 0x80],
        &[0, 0, 1, 0x65, 0x88, 0x84, 0x00, 0x33],
        &[0, 0, 1, 0x65, 0x10, 0x84, 0x00, 0x33, 0],
        &[0, 0, 1, 0x09, 0xF0],
        &[0, 0, 1, 0x41, 0x9A, 0x24, 0x6C],
        &[0, 0, 3, 1, 0, 0, 0],
    ];
    vec![stream.concat(), stream[2..5].concat(), vec![0; 9]]
}

/// A size that is announced is one that can be.
pub(crate) fn sps(input: &[u8]) {
    if let Some((width, height)) = host_sps::picture_sides(input) {
        assert!(width > 0 && height > 0);
    }
}

pub(crate) fn sps_seeds() -> Vec<Vec<u8>> {
    vec![
        // 640 × 480 in the baseline profile, and 1920 × 1080, cropped, in the high one.
        vec![0x67, 0x42, 0xC0, 0x1E, 0xDA, 0x02, 0x80, 0xF6, 0x80],
        vec![
            0x67, 0x64, 0x00, 0x28, 0xAC, 0xD9, 0x40, 0x78, 0x02, 0x27, 0xE5, 0xC0, 0x44, 0x00, 0x00, 0x03,
            0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xF0, 0x3C, 0x60, 0xC6, 0x58,
        ],
    ]
}

/// A slice in pieces is judged as it is in one.
pub(crate) fn bitstream(input: &[u8]) {
    let mut script = Bytes::new(input);
    let pieces = script.byte();
    let bytes = script.take(input.len());
    let (mut whole, mut cut) = (Verifier::new(), Verifier::new());
    let _ = whole.push(bytes);
    for piece in bytes.chunks(1 + usize::from(pieces)) {
        let _ = cut.push(piece);
    }
    assert_eq!(whole.finish(), cut.finish());
}

pub(crate) fn bitstream_seeds() -> Vec<Vec<u8>> {
    vec![vec![7; 100], (0..=255).collect()]
}
