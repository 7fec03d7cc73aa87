//! The header on the wire: its exact bytes, every field round trip, and hostile bytes.
#![allow(missing_docs, clippy::unwrap_used)]

use proptest::prelude::*;
use punktfunk_proto::{Flags, HEADER_BYTES, Header, WireError, is_media};
use punktfunk_seal::Plane;

fn header() -> impl Strategy<Value = (Header, usize)> {
    let shape = (1u16..2_000, 1u16..500, 1usize..140);
    (shape, any::<[u32; 3]>(), any::<[u16; 3]>(), 0u8..16, 0u8..4, any::<bool>()).prop_map(
        |((k, m, steps), [sequence, au, pts_us], [shard, block, tail], flags, epoch_low, probe)| {
            let shard_bytes = steps * 64;
            let header = Header {
                plane: if probe { Plane::Probe } else { Plane::Video },
                epoch_low,
                flags: Flags::from_bits(flags).unwrap(),
                shard: shard % (k + m),
                sequence,
                au,
                pts_us,
                k,
                m,
                block,
                tail: tail % shard_bytes as u16,
            };
            (header, shard_bytes)
        },
    )
}

fn datagram(header: &Header, shard_bytes: usize) -> Vec<u8> {
    let mut bytes = vec![0xAB; HEADER_BYTES + shard_bytes + 16];
    header.write(bytes.first_chunk_mut().unwrap());
    bytes
}

#[test]
fn the_bytes_are_the_ones_written_down() {
    let header = Header {
        plane: Plane::Probe,
        epoch_low: 2,
        flags: Flags::LAST_BLOCK.with(Flags::IDR),
        shard: 0x0102,
        sequence: 0x0304_0506,
        au: 0x0708_090A,
        pts_us: 0x0B0C_0D0E,
        k: 0x0F10,
        m: 0x1112,
        block: 0x1314,
        tail: 0x0516,
    };
    let mut bytes = [0; HEADER_BYTES];
    header.write(&mut bytes);
    let expected = [
        0b0001_1000,
        0b0101,
        0x02,
        0x01,
        0x06,
        0x05,
        0x04,
        0x03,
        0x0A,
        0x09,
        0x08,
        0x07,
        0x0E,
        0x0D,
        0x0C,
        0x0B,
        0x10,
        0x0F,
        0x12,
        0x11,
        0x14,
        0x13,
        0x16,
        0x05,
    ];
    assert_eq!(bytes, expected);
    assert!(is_media(bytes[0]));
}

#[test]
fn the_first_byte_tells_media_from_quic() {
    for byte in 0..=255u8 {
        assert_eq!(is_media(byte), byte < 0x40, "{byte:#x}");
    }
}

#[test]
fn what_is_inconsistent_is_refused_by_name() {
    let good = Header {
        plane: Plane::Video,
        epoch_low: 0,
        flags: Flags::NONE,
        shard: 0,
        sequence: 0,
        au: 0,
        pts_us: 0,
        k: 1,
        m: 1,
        block: 0,
        tail: 128,
    };
    assert_eq!(Header::parse(&datagram(&good, 128)), Ok(good));
    let refused = |header: Header| Header::parse(&datagram(&header, 128)).unwrap_err();
    assert!(matches!(refused(Header { shard: 2, ..good }), WireError::Shard { .. }));
    assert!(matches!(refused(Header { k: 0, ..good }), WireError::Shard { .. }));
    assert!(matches!(refused(Header { m: 0, ..good }), WireError::Shard { .. }));
    assert!(matches!(refused(Header { k: 65_535, m: 65_535, ..good }), WireError::Shard { .. }));
    assert!(matches!(refused(Header { tail: 129, ..good }), WireError::Tail { .. }));
    assert!(matches!(refused(Header { k: 2, ..good }), WireError::Tail { .. }));
    for length in [0, 23, 24, 40, 41, 103, 105] {
        assert_eq!(Header::parse(&vec![0; length]), Err(WireError::Length(length)));
    }
    for (at, bits) in [(0, 0x40), (0, 0x80), (0, 1), (0, 2), (0, 0x20), (0, 0x30), (1, 0x10), (1, 0x80)] {
        let mut bytes = datagram(&good, 128);
        bytes[at] |= bits;
        let refused = Header::parse(&bytes).unwrap_err();
        assert!(
            matches!(refused, WireError::Kind(_) | WireError::Plane(_) | WireError::Flags(_)),
            "{refused}"
        );
    }
}

/// The rules of a header in one line each, on bytes.
fn is_consistent(bytes: &[u8]) -> bool {
    let u16_at = |at: usize| usize::from(bytes[at]) | usize::from(bytes[at + 1]) << 8;
    let (shard, k, m, tail) = (u16_at(2), u16_at(16), u16_at(18), u16_at(22));
    let shard_bytes = bytes.len() - 40;
    bytes[0] & 0b1100_0011 == 0
        && matches!(bytes[0] >> 4, 0 | 1)
        && bytes[1] < 16
        && k > 0
        && m > 0
        && k + m <= 65_535
        && shard < k + m
        && (tail < shard_bytes || k == 1 && tail == shard_bytes)
}

/// Parses exactly what is consistent, and writes what it parsed.
fn check(bytes: &[u8]) {
    match Header::parse(bytes) {
        Ok(header) => {
            assert!(is_consistent(bytes), "{header:?}");
            let mut again = [0; HEADER_BYTES];
            header.write(&mut again);
            assert_eq!(&again[..], &bytes[..HEADER_BYTES]);
        }
        Err(error) => assert!(!is_consistent(bytes), "{error}: {:?}", &bytes[..HEADER_BYTES]),
    }
}

/// Every value of each 16-bit field, the first two bytes together among them, about four shapes.
#[test]
fn every_value_of_every_field() {
    for (k, m, shard, tail) in
        [(1_u16, 1_u16, 0_u16, 64_u16), (3, 2, 4, 63), (1, 1, 1, 0), (4_096, 61_439, 65_534, 1)]
    {
        let mut bytes = [0; 40 + 64];
        for (at, value) in [(2, shard), (16, k), (18, m), (22, tail)] {
            bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
        }
        for at in (0..HEADER_BYTES).step_by(2) {
            let before = [bytes[at], bytes[at + 1]];
            for value in 0..=u16::MAX {
                bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
                check(&bytes);
            }
            bytes[at..at + 2].copy_from_slice(&before);
        }
    }
}

/// Every small block: all of k, m, shard and the tails at the edges, in shards of one step and of two.
#[test]
fn every_small_block() {
    for shard_bytes in [64_u16, 128] {
        let mut bytes = vec![0; 40 + usize::from(shard_bytes)];
        for number in 0..7 * 7 * 14_u16 {
            let (k, m, shard) = (number % 7, number / 7 % 7, number / 49);
            for tail in [0, 1, shard_bytes - 1, shard_bytes, shard_bytes + 1, u16::MAX] {
                for (at, value) in [(2, shard), (16, k), (18, m), (22, tail)] {
                    bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
                }
                check(&bytes);
            }
        }
    }
}

#[test]
fn every_length() {
    let mut bytes = vec![0; 9_100];
    for at in [16, 18] {
        bytes[at] = 1;
    }
    for length in 0..=bytes.len() {
        let is_whole = length > 40 && (length - 40).is_multiple_of(64);
        assert_eq!(Header::parse(&bytes[..length]).is_ok(), is_whole, "{length}");
    }
}

proptest! {
    #[test]
    fn every_header_survives_the_wire((header, shard_bytes) in header()) {
        prop_assert_eq!(Header::parse(&datagram(&header, shard_bytes)), Ok(header));
    }

    #[test]
    fn what_parses_writes_the_same_bytes(bytes in proptest::collection::vec(any::<u8>(), 24..24 + 16 + 200), len in 1usize..4) {
        let mut bytes = bytes;
        bytes.resize(40 + 64 * len, 0);
        bytes[0] &= 0x3F;
        if let Ok(header) = Header::parse(&bytes) {
            let mut again = [0; HEADER_BYTES];
            header.write(&mut again);
            prop_assert_eq!(&again[..], &bytes[..HEADER_BYTES]);
            prop_assert!(header.shard < header.k + header.m);
            prop_assert!(usize::from(header.tail) <= 64 * len);
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let _ = Header::parse(&bytes);
    }
}
