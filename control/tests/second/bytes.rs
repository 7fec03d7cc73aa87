//! Bytes that mean something, bent: control messages, feedback reports; and numbers: bounds, times, rounds of clocks.

use crate::bench::{hex, limits_of, round_of};
use crate::chance::Chance;
use crate::sessions::unhex;
use crate::twin::Twin;
use punktfunk_control::messages::{LENGTH_BYTES, Message};
use punktfunk_proto::feedback::{FeedbackError, REPORT_BYTES_MAX};
use punktfunk_proto::{FeedbackReport, Negotiated, unwrap_pts};
use serde_json::{Value, json};

/// The file's entries of these lists, by the field that holds their bytes.
fn from_file(name: &str, lists: &[(&str, &str, usize)]) -> Vec<Vec<u8>> {
    let path = format!("{}/../docs/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut all = Vec::new();
    for (list, field, skip) in lists {
        for entry in file[*list].as_array().unwrap() {
            all.push(unhex(entry[*field].as_str().unwrap())[*skip..].to_vec());
        }
    }
    assert!(all.len() >= 10);
    all
}

/// One to three changes: a byte, a bit, bytes more or less, a piece of another one.
fn bent(from: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = from[chance.index(from.len())].clone();
    for _ in 0..chance.within(1..=3) {
        let at = chance.index(bytes.len() + 1);
        match chance.within(0..=5) {
            0 if at < bytes.len() => bytes[at] = chance.bits() as u8,
            1 if at < bytes.len() => bytes[at] ^= 1 << chance.within(0..=7),
            // Heads of CBOR's items.
            2 if at < bytes.len() => {
                bytes[at] = chance
                    .one_of(&[0x18, 0x1b, 0x60, 0x7f, 0x80, 0x9f, 0xa0, 0xbf, 0xc0, 0xf4, 0xf6, 0xf7, 0xff]);
            }
            3 => bytes.truncate(at),
            4 => {
                let length = chance.within(1..=4) as usize;
                bytes.splice(at..at, chance.bytes(length));
            }
            _ => {
                let other = &from[chance.index(from.len())];
                let (start, length) = (chance.index(other.len() + 1), chance.within(0..=12) as usize);
                let piece = other[start..(start + length).min(other.len())].to_vec();
                let end = (at + chance.within(0..=4) as usize).min(bytes.len());
                bytes.splice(at..end, piece);
            }
        }
    }
    bytes
}

/// Asks about all of them at once.
fn asked(twin: &mut Twin, verb: &str, bytes: &[Vec<u8>]) -> Vec<Value> {
    let all: Vec<String> = bytes.iter().map(|one| hex(one)).collect();
    let answer = twin.ask(&json!({ "do": verb, "all": all }));
    let answers = answer["answers"].as_array().unwrap().clone();
    assert_eq!(answers.len(), bytes.len());
    answers
}

/// Every body is read by both or refused by both, and what is read says the same.
pub(crate) fn messages(twin: &mut Twin, chance: &mut Chance) {
    let lists = [("messages", "message", LENGTH_BYTES), ("tolerated", "body", 0), ("refused", "body", 0)];
    let known = from_file("control.json", &lists);
    let bodies: Vec<Vec<u8>> = (0..6_000).map(|_| bent(&known, chance)).collect();
    let here: Vec<_> = bodies.iter().map(|body| Message::parse(body)).collect();
    // What was read here is written in its plain form, which Python then reads.
    let plain = |message: &Message| {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        bytes[LENGTH_BYTES..].to_vec()
    };
    let written: Vec<Vec<u8>> =
        here.iter().filter_map(|came| came.as_ref().ok()?.as_ref().map(plain)).collect();
    let mut expected = asked(twin, "message", &written).into_iter();
    let mut counts = [0; 3];
    let mut differ = Vec::new();
    for ((body, here), there) in bodies.iter().zip(&here).zip(asked(twin, "message", &bodies)) {
        let (kind, agrees) = match here {
            Ok(Some(_)) => {
                let skipped = |why: &str| why.starts_with("in what is skipped");
                let plain = expected.next().unwrap();
                // Whether what nobody reads is well-formed inside is not looked at here as closely as there.
                (0, there == plain || there["refused"].as_str().is_some_and(skipped))
            }
            Ok(None) => (1, there["reads_as"].is_null() && there.get("refused").is_none()),
            Err(_) => (2, there.get("refused").is_some()),
        };
        counts[kind] += 1;
        if !agrees {
            differ.push(format!("{}: here {here:?}, there {there}", hex(body)));
        }
    }
    eprintln!("{counts:?} read, skipped, refused");
    assert!(counts.iter().all(|count| *count >= 20), "{counts:?}: all of these must be met");
    assert!(differ.is_empty(), "{} of {}:\n{}", differ.len(), bodies.len(), differ.join("\n"));
}

/// Every report is read by both or refused by both for the same reason, and what is read says the same.
pub(crate) fn reports(twin: &mut Twin, chance: &mut Chance) {
    let known = from_file("feedback.json", &[("reports", "report", 0)]);
    let reports: Vec<Vec<u8>> = (0..4_000).map(|_| bent(&known, chance)).collect();
    let here: Vec<_> = reports.iter().map(|report| FeedbackReport::parse(report)).collect();
    let plain = |report: &FeedbackReport| {
        let mut bytes = vec![0; REPORT_BYTES_MAX];
        let length = report.encode(&mut bytes);
        bytes.truncate(length);
        bytes
    };
    let written: Vec<Vec<u8>> = here.iter().filter_map(|came| came.as_ref().ok().map(plain)).collect();
    let mut expected = asked(twin, "report", &written).into_iter();
    let mut counts = [0; 2];
    for ((report, here), there) in reports.iter().zip(&here).zip(asked(twin, "report", &reports)) {
        let should = match here {
            Ok(_) => expected.next().unwrap(),
            Err(FeedbackError::Version(_)) => json!({ "refused": "version" }),
            Err(FeedbackError::TooShort { .. }) => json!({ "refused": "too_short" }),
            Err(FeedbackError::TooMany { .. }) => json!({ "refused": "too_many" }),
        };
        counts[usize::from(here.is_err())] += 1;
        assert_eq!(there, should, "{}", hex(report));
    }
    assert!(counts.iter().all(|count| *count >= 20), "{counts:?}: both must be met");
}

/// Six numbers in range and out of it, and times near and far from the wrap.
pub(crate) fn bounds_and_times(twin: &mut Twin, chance: &mut Chance) {
    let mut met = [0; 2];
    for _ in 0..2_000 {
        let mut numbers = [
            64 * chance.within(4..=139),
            chance.within(500..=8_000_000),
            chance.within(1_000..=480_000),
            chance.within(1..=64),
            chance.within(0..=1_000),
            chance.within(65_536..=67_108_864),
        ];
        if chance.percent(30) {
            let place = chance.index(6);
            numbers[place] = chance.within(0..=[9_000, 9_000_000, 600_000, 70, 1_100, 70_000_000][place]);
        }
        let [shard, bitrate, refresh, slices, redundancy, au] = numbers;
        let agreed = Negotiated::new(
            shard as u16,
            bitrate as u32,
            refresh as u32,
            slices as u16,
            redundancy as u16,
            au as u32,
        );
        let there = twin.ask(&json!({ "do": "bounds", "agreed": numbers }));
        met[usize::from(agreed.is_err())] += 1;
        match agreed {
            Ok(agreed) => assert_eq!(limits_of(&agreed)["derived"], there, "{numbers:?}"),
            Err(error) => assert!(there.get("refused").is_some(), "{numbers:?}: here {error}, there {there}"),
        }
    }
    assert!(met.iter().all(|count| *count >= 20), "{met:?}: both must be met");
    let pairs: Vec<(u32, u64)> = (0..4_000)
        .map(|_| {
            let now = chance.within(0..=5) * (1 << 31) + chance.within(0..=4);
            let near = (now as u32).wrapping_add(chance.within(0..=3) as u32 * (1 << 30));
            (near.wrapping_add(chance.within(0..=4) as u32).wrapping_sub(2), now)
        })
        .collect();
    let here: Vec<u64> = pairs.iter().map(|(pts, now)| unwrap_pts(*pts, *now)).collect();
    assert_eq!(twin.ask(&json!({ "do": "pts", "pairs": pairs }))["session_us"], json!(here));
}

/// Rounds of two clocks as they are, and times that cannot be.
pub(crate) fn rounds(twin: &mut Twin, chance: &mut Chance) {
    let rounds: Vec<[u64; 4]> = (0..4_000)
        .map(|_| {
            let lead = chance.bits() as i64 >> chance.within(0..=63);
            let sent = chance.bits() >> chance.within(1..=63);
            let there = [chance.within(0..=9), chance.within(0..=50_000)][chance.index(2)];
            let received = sent.wrapping_add_signed(lead).wrapping_add(there);
            let held = chance.within(0..=5);
            let back = (there + held + chance.within(0..=9)).saturating_sub(chance.within(0..=8));
            [sent, received, received.wrapping_add(held), sent.wrapping_add(back)]
        })
        .collect();
    let here: Vec<Value> = rounds.iter().map(|times| round_of(*times)).collect();
    let there = twin.ask(&json!({ "do": "rounds", "all": rounds }));
    for ((times, here), there) in rounds.iter().zip(&here).zip(there["rounds"].as_array().unwrap()) {
        assert_eq!(here, there, "{times:?}");
    }
    let refused = here.iter().filter(|said| said.is_null()).count();
    let negative = here.iter().filter(|said| said["offset_us"].as_i64().is_some_and(|us| us < 0)).count();
    assert!(refused >= 20 && negative >= 20, "{refused} refused, {negative} below zero: both must be met");
}
