//! What comes in media datagrams and in reports about them.

use punktfunk_proto::feedback::REPORT_BYTES_MAX;
use punktfunk_proto::{
    AuArrivals, ClientLoad, FeedbackReport, Flags, HEADER_BYTES, Header, MissingShards, OpenAuReport,
    is_media,
};
use punktfunk_seal::Plane;

/// A header that parses is written as the same bytes, and holds together with the datagram's length.
pub(crate) fn header(input: &[u8]) {
    let Ok(header) = Header::parse(input) else { return };
    let mut again = [0; HEADER_BYTES];
    header.write(&mut again);
    assert_eq!(&again[..], &input[..HEADER_BYTES]);
    assert!(is_media(input[0]));
    let shard_bytes = input.len() - HEADER_BYTES - 16;
    assert!(shard_bytes > 0 && shard_bytes.is_multiple_of(64));
    assert!(header.k > 0 && header.m > 0);
    assert!(u32::from(header.shard) < u32::from(header.k) + u32::from(header.m));
    assert!(usize::from(header.k) * shard_bytes >= usize::from(header.tail));
}

pub(crate) fn header_seeds() -> Vec<Vec<u8>> {
    let header = Header {
        plane: Plane::Video,
        epoch_low: 2,
        flags: Flags::LAST_BLOCK.with(Flags::SLICE_END),
        shard: 3,
        sequence: 77,
        au: 12,
        pts_us: 200_000,
        k: 8,
        m: 2,
        block: 1,
        tail: 9,
    };
    [64, 256, 1408]
        .map(|shard_bytes| {
            let mut datagram = vec![0xAB; HEADER_BYTES + shard_bytes + 16];
            header.write(datagram.first_chunk_mut().expect("a datagram is longer than a header"));
            datagram
        })
        .to_vec()
}

/// A report that parses is written and read back as itself.
pub(crate) fn feedback(input: &[u8]) {
    let Ok(report) = FeedbackReport::parse(input) else { return };
    let mut written = [0; REPORT_BYTES_MAX];
    let bytes = report.encode(&mut written);
    assert_eq!(FeedbackReport::parse(&written[..bytes]), Ok(report));
    for missing in report.missing() {
        assert_eq!(missing.shards().count(), missing.bits.count_ones() as usize);
    }
}

pub(crate) fn feedback_seeds() -> Vec<Vec<u8>> {
    let mut full = FeedbackReport::default();
    (full.highest_au, full.one_way_delay_us, full.lost_per_mille) = (Some(9), Some(-5), 10);
    while full.push_open(OpenAuReport { au: 8, blocks_seen: 2, end_seen: true, unseen: 1 }) {}
    for word in 0..3 {
        full.push_missing(MissingShards { au: 8, block: 1, word, bits: 0b1011 });
    }
    full.push_arrivals(AuArrivals { au: 9, first: 2, reach: 5, datagrams: 4, span_us: 90, newest_us: 1_000 });
    full.has_times = true;
    full.load = Some(ClientLoad { aus_lost: 1, decode_us: 9_000, aus_waiting: 2, aus_overrun: 3 });
    [FeedbackReport::default(), full]
        .map(|report| {
            let mut written = [0; REPORT_BYTES_MAX];
            let bytes = report.encode(&mut written);
            written[..bytes].to_vec()
        })
        .to_vec()
}
