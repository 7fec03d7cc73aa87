//! Feedback reports: what each byte means, and bytes that are none.

use crate::bench::hex;
use punktfunk_proto::feedback::{FeedbackError, REPORT_BYTES_MAX};
use punktfunk_proto::{AuArrivals, ClientLoad, FeedbackReport, MissingShards, OpenAuReport};
use serde_json::{Value, json};

fn encoded(report: &FeedbackReport) -> Vec<u8> {
    let mut bytes = vec![0; REPORT_BYTES_MAX];
    let length = report.encode(&mut bytes);
    bytes.truncate(length);
    bytes
}

fn fields(report: &FeedbackReport) -> Value {
    let open: Vec<Value> = report
        .open_aus()
        .iter()
        .map(|open| {
            json!({
                "au": open.au, "blocks_seen": open.blocks_seen, "end_seen": open.end_seen,
                "unseen_blocks": (0..64).filter(|bit| open.unseen >> bit & 1 == 1).collect::<Vec<u32>>(),
            })
        })
        .collect();
    let missing: Vec<Value> = report
        .missing()
        .iter()
        .map(|word| {
            let shards: Vec<u32> = word.shards().collect();
            json!({ "au": word.au, "block": word.block, "word": word.word, "shards": shards })
        })
        .collect();
    let arrivals: Vec<Value> = report
        .arrivals()
        .iter()
        .map(|came| {
            json!({
                "au": came.au, "first": came.first, "reach": came.reach, "datagrams": came.datagrams,
                "span_us": came.span_us, "newest_us": report.has_times.then_some(came.newest_us),
            })
        })
        .collect();
    let load = report.load.map(|load| {
        json!({
            "aus_lost": load.aus_lost, "decode_us": load.decode_us, "aus_waiting": load.aus_waiting,
            "aus_overrun": load.aus_overrun,
        })
    });
    json!({
        "highest_au": report.highest_au, "epoch_opened": report.epoch_opened,
        "lost_per_mille": report.lost_per_mille, "burst_max": report.burst_max,
        "kernel_drops": report.kernel_drops, "one_way_delay_us": report.one_way_delay_us,
        "receive_kbps": report.receive_kbps, "open_aus": open, "missing": missing, "arrivals": arrivals,
        "load": load,
    })
}

#[allow(clippy::field_reassign_with_default, reason = "its other fields are private")]
fn rich() -> FeedbackReport {
    let mut report = FeedbackReport::default();
    report.highest_au = Some(7_000);
    report.epoch_opened = 3;
    report.lost_per_mille = 12;
    report.burst_max = 4;
    report.kernel_drops = 65_537;
    report.one_way_delay_us = Some(-250);
    report.receive_kbps = 19_876;
    report.push_open(OpenAuReport { au: 6_998, blocks_seen: 3, end_seen: true, unseen: 0 });
    report.push_open(OpenAuReport { au: 7_000, blocks_seen: 9, end_seen: false, unseen: 1 << 7 | 0b101 });
    report.push_missing(MissingShards { au: 6_998, block: 2, word: 0, bits: 1 << 63 | 1 });
    report.push_missing(MissingShards { au: 6_998, block: 2, word: 1, bits: 0b110 });
    let newest = AuArrivals { au: 7_000, first: 16, reach: 40, datagrams: 38, span_us: 900, newest_us: 0 };
    report.push_arrivals(newest);
    report.push_arrivals(AuArrivals {
        au: 6_998,
        first: 1,
        reach: 1,
        datagrams: 1,
        span_us: 0,
        newest_us: 0,
    });
    report
}

fn refused(name: &str, bytes: &[u8]) -> Value {
    let why = match FeedbackReport::parse(bytes).unwrap_err() {
        FeedbackError::TooShort { .. } => "too_short",
        FeedbackError::Version(_) => "version",
        FeedbackError::TooMany { .. } => "too_many",
    };
    json!({ "name": name, "report": hex(bytes), "refused": why })
}

/// The parts that stand behind the arrivals.
fn with_times_and_load() -> FeedbackReport {
    let mut report = FeedbackReport::default();
    report.highest_au = Some(91);
    let newest = AuArrivals { au: 91, first: 4, reach: 9, datagrams: 9, span_us: 310, newest_us: 1_000_310 };
    report.push_arrivals(newest);
    let before = AuArrivals { au: 90, first: 9, reach: 9, datagrams: 9, span_us: 0, newest_us: 983_333 };
    report.push_arrivals(before);
    report.has_times = true;
    report.load = Some(ClientLoad { aus_lost: 3, decode_us: 25_125, aus_waiting: 5, aus_overrun: 1 });
    report
}

pub(crate) fn vectors() -> Value {
    let first = FeedbackReport::default();
    let mut still = first;
    still.highest_au = Some(0);
    still.one_way_delay_us = Some(850);
    let mut idle = first;
    idle.load = Some(ClientLoad::default());
    let named = [
        ("before anything came", first),
        ("one AU came whole", still),
        ("all parts", rich()),
        ("times and load", with_times_and_load()),
        ("load without arrivals", idle),
    ];
    let mut reports: Vec<Value> = named
        .iter()
        .map(|(name, report)| {
            let bytes = encoded(report);
            assert_eq!(FeedbackReport::parse(&bytes), Ok(*report));
            json!({ "name": name, "report": hex(&bytes), "fields": fields(report) })
        })
        .collect();
    // A part of a later version stands behind the known ones under a bit of its own.
    let mut later = encoded(&rich());
    later[3] |= 0x80;
    later.extend([1, 2, 3, 4]);
    let read = FeedbackReport::parse(&later).unwrap();
    reports
        .push(json!({ "name": "a part that is not known", "report": hex(&later), "fields": fields(&read) }));
    let good = encoded(&rich());
    let with = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        bytes
    };
    reports.extend([
        refused("no byte", &[]),
        refused("three bytes", &good[..3]),
        refused("one byte short", &good[..good.len() - 1]),
        refused("version 2", &with(0, 2)),
        refused("five open AUs", &with(1, 5)),
        refused("61 words of missing shards", &with(2, 61)),
        refused("no times where they are set", &with(3, good[3] | 0x20)),
        refused("no load where it is set", &with(3, good[3] | 0x40)),
        refused("a word of missing shards more than there is", &with(2, 3)),
    ]);
    json!({
        "about": "Feedback reports as they follow the plane's first byte 0xD0 in a QUIC datagram. A field that is null is \
                  not set. See docs/wire.md, The feedback report.",
        "reports": reports,
    })
}
