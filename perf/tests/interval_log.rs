//! A log as a reader finds it: by the library's own iterator, by ours, and after damage.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail by panic")]

use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use proptest::prelude::*;
use punktfunk_perf::{
    HistogramLog, LogFault, LogHeader, LogReader, ParsedLog, PerfError, Recorder, Stage, TimeAxis, channel,
    parse_log,
};

/// Two intervals of 1.5 s; `Encode` in both, `Seal` in the second alone.
fn sample_log() -> Vec<u8> {
    let (mut tap, collector) = channel(64);
    let mut recorder = Recorder::new();
    recorder.attach(collector);
    let now = Instant::now();
    let wall = SystemTime::UNIX_EPOCH + Duration::from_millis(1_800_000_000_250);
    let comments = ["program punktfunk-host 0.1.0\nmachine: test".to_owned()];
    let header = LogHeader { axis: TimeAxis::host(now, wall, now), comments: &comments };
    let mut log = HistogramLog::new(Vec::new(), &header).unwrap();

    for nanoseconds in [1_000, 2_000, 70_000_000_000] {
        tap.record(Stage::Encode, Duration::from_nanos(nanoseconds));
    }
    assert_eq!(recorder.drain(), 3);
    log.write_interval(&mut recorder, [("lost", 0), ("late", 0)], Duration::from_millis(1500)).unwrap();
    tap.record(Stage::Encode, Duration::from_micros(3));
    tap.record(Stage::Seal, Duration::ZERO);
    recorder.drain();
    assert_eq!(recorder.interval(Stage::Encode).unwrap().count, 1);
    assert_eq!(recorder.summary(Stage::Encode).unwrap().count, 4);
    assert_eq!(recorder.clamped(), 1);
    log.finish(&mut recorder, [("lost", 0), ("late", 4)], Duration::from_secs(3)).unwrap()
}

#[test]
fn the_librarys_own_reader_reads_it() {
    let bytes = sample_log();
    let (mut start, mut base, mut rows) = (None, None, Vec::new());
    for entry in IntervalLogIterator::new(&bytes) {
        match entry.expect("every line is known to the library") {
            LogEntry::StartTime(at) => start = Some(at),
            LogEntry::BaseTime(at) => base = Some(at),
            LogEntry::Interval(line) => {
                let histogram =
                    base64::engine::general_purpose::STANDARD.decode(line.encoded_histogram()).unwrap();
                let histogram: hdrhistogram::Histogram<u64> =
                    Deserializer::new().deserialize(&mut histogram.as_slice()).unwrap();
                let tag = line.tag().unwrap().as_str().to_owned();
                rows.push((tag, line.start_timestamp(), line.duration(), histogram.len(), line.max()));
            }
        }
    }
    let epoch = Some(Duration::from_millis(1_800_000_000_250));
    assert_eq!((start, base), (epoch, epoch));
    let half = Duration::from_millis(1500);
    assert_eq!(rows.len(), 3);
    assert_eq!((rows[0].0.as_str(), rows[0].1, rows[0].2, rows[0].3), ("encode", Duration::ZERO, half, 3));
    assert_eq!((rows[1].0.as_str(), rows[1].1, rows[1].2, rows[1].3), ("encode", half, half, 1));
    assert_eq!((rows[2].0.as_str(), rows[2].1, rows[2].2, rows[2].3), ("seal", half, half, 1));
    assert!((rows[0].4 - 60_000.0).abs() < 60.0, "clamped to 60 s, in milliseconds: {}", rows[0].4);
}

#[test]
fn ours_reads_it_back_with_counters_and_summary() {
    let log = parse_log(sample_log().as_slice()).unwrap();
    assert!(!log.cut_off);
    assert_eq!(log.base_time_s, Some(1_800_000_000.25));
    assert_eq!(log.start_time_s, log.base_time_s);
    assert_eq!(log.intervals.len(), 3);
    let total = log.total("encode").unwrap();
    assert_eq!(total.len(), 4);
    assert!(total.equivalent(total.value_at_quantile(0.5), 2_000));
    assert!(log.total("decode").is_none());
    let at_the_end = log.counters.last().unwrap();
    assert_eq!(log.counters.len(), 2);
    assert_eq!(at_the_end.at, Duration::from_secs(3));
    assert_eq!(at_the_end.values, [("lost".to_owned(), 0), ("late".to_owned(), 4)]);
    assert!(log.comments.iter().any(|line| line.starts_with("[Total encode: count=4 p50_us=2 ")));
    assert!(log.comments.iter().any(|line| line == "[Recorder: overflowed=0 clamped=1]"));
    assert!(log.comments.iter().any(|line| line == "machine: test"));
}

#[test]
fn a_killed_writers_log_reads_up_to_there() {
    let bytes = sample_log();
    let whole = parse_log(bytes.as_slice()).unwrap();
    let second = bytes.windows(9).position(|window| window == b"Tag=seal,").unwrap();
    let log = parse_log(&bytes[..second + 30]).unwrap();
    assert!(log.cut_off);
    assert_eq!(log.intervals.len(), whole.intervals.len() - 1);
}

#[test]
fn a_reader_goes_on_behind_a_line_that_is_none() {
    let long = "#".repeat(punktfunk_perf::LINE_BYTES_MAX + 1);
    let bytes =
        [b"Tag=encode,0,1,2,x\n".as_slice(), long.as_bytes(), b"\n", &sample_log(), b"Tag=se"].concat();
    let mut reader = LogReader::new(bytes.as_slice());
    let (entries, faults): (Vec<_>, Vec<_>) = reader.by_ref().partition(Result::is_ok);
    let lines: Vec<usize> = faults
        .iter()
        .map(|fault| match fault {
            Err(PerfError::Parse { line, .. }) => *line,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(lines, [1, 2]);
    let intervals =
        entries.iter().filter(|entry| matches!(entry, Ok(punktfunk_perf::LogEntry::Interval(_)))).count();
    assert_eq!((intervals, reader.is_cut_off()), (3, true));
    assert!(reader.next().is_none());
}

#[test]
fn a_counters_name_cannot_break_a_line() {
    let now = Instant::now();
    let axis = TimeAxis::host(now, SystemTime::now(), now);
    let mut log = HistogramLog::new(Vec::new(), &LogHeader { axis, comments: &[] }).unwrap();
    let mut recorder = Recorder::new();
    log.write_interval(&mut recorder, [("a\nTag=b c]", 1)], Duration::from_secs(1)).unwrap();
    let log = parse_log(log.finish(&mut recorder, [], Duration::from_secs(1)).unwrap().as_slice()).unwrap();
    assert_eq!(log.counters[0].values, [("a_Tag_b_c_".to_owned(), 1)]);
    assert!(log.intervals.is_empty());
}

/// The fault and the line's number of a log that must be refused.
fn fault(log: &[u8]) -> (usize, LogFault) {
    match parse_log(log) {
        Err(PerfError::Parse { line, fault }) => (line, fault),
        other => panic!("expected a parse error, got {other:?}"),
    }
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    assert_eq!(fault(b"#x\nhello\n"), (2, LogFault::Fields { fields: 1 }));
    assert_eq!(fault(b"Tag=a,1,2\n"), (1, LogFault::Fields { fields: 2 }));
    assert_eq!(fault(b"\xff\xfe\n"), (1, LogFault::NotText));
    for bad in ["-1", "nan", "inf", "1e300", "x", ""] {
        let (line, fault) = fault(format!("\nTag=a,{bad},1.0,1.0,AAAA\n").as_bytes());
        assert!(matches!(fault, LogFault::Number { field: "StartTimestamp", .. }), "{bad}: {fault}");
        assert_eq!(line, 2);
    }
    for bad in ["", "AAAA", "!", "HISTFAAAAAA="] {
        let (_, fault) = fault(format!("0.0,1.0,1.0,{bad}\n").as_bytes());
        assert!(matches!(fault, LogFault::Histogram(_)), "{bad}: {fault}");
    }
    let long = vec![b'#'; punktfunk_perf::LINE_BYTES_MAX + 1];
    let (_, fault) = fault(&[long.as_slice(), b"\n"].concat());
    assert!(matches!(fault, LogFault::LineTooLong { .. }), "{fault}");
}

/// A V2 deflate histogram with that header and those count bytes, in a log of one line.
fn forged(digits: u32, low: u64, high: u64, counts: &[u8], claimed: Option<u32>) -> Vec<u8> {
    let length = claimed.unwrap_or_else(|| u32::try_from(counts.len()).unwrap());
    let mut plain = Vec::new();
    plain.extend(0x1c84_9313_u32.to_be_bytes());
    plain.extend(length.to_be_bytes());
    plain.extend(0_u32.to_be_bytes());
    plain.extend(digits.to_be_bytes());
    plain.extend(low.to_be_bytes());
    plain.extend(high.to_be_bytes());
    plain.extend(1.0_f64.to_be_bytes());
    plain.extend(counts);
    let mut deflated = flate2::read::ZlibEncoder::new(plain.as_slice(), flate2::Compression::fast());
    let mut body = Vec::new();
    std::io::Read::read_to_end(&mut deflated, &mut body).unwrap();
    let mut bytes = 0x1c84_9314_u32.to_be_bytes().to_vec();
    bytes.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
    bytes.extend(body);
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    format!("Tag=x,0.000,1.000,1.000,{text}\n").into_bytes()
}

#[test]
fn forged_histograms_are_refused_before_they_are_believed() {
    let high = 60_000_000_000;
    assert!(parse_log(forged(3, 1, high, &[2], None).as_slice()).is_ok(), "the forge works");
    let i64_min = [0xff; 9];
    let minus_a_million = [0xff, 0x84, 0x7a];
    let huge = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    for (what, log) in [
        ("payload of 4 GB", forged(3, 1, high, &[2], Some(u32::MAX))),
        ("200 significant digits", forged(200, 1, high, &[2], None)),
        ("low above high", forged(3, high, 1, &[2], None)),
        ("low of zero", forged(3, 0, high, &[2], None)),
        ("zeros of i64::MIN", forged(3, 1, high, &i64_min, None)),
        ("zeros past the end", forged(3, 1, high, &minus_a_million, None)),
        ("a count of 2^62", forged(3, 1, high, &huge, None)),
        ("a count cut off", forged(3, 1, high, &[0x80], None)),
        ("more counts than slots", forged(0, 1, 2, &[2; 4096], None)),
        ("a deflate bomb", forged(3, 1, high, &vec![0; 64 << 20], None)),
    ] {
        let (line, fault) = fault(&log);
        assert!(matches!(fault, LogFault::Histogram(_)), "{what}: {fault}");
        assert_eq!(line, 1);
    }
}

fn assert_bounded(log: &ParsedLog) {
    for interval in &log.intervals {
        assert!(interval.histogram.len() <= 1 << 53);
        let _ = interval.histogram.value_at_quantile(0.99);
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        if let Ok(log) = parse_log(bytes.as_slice()) {
            assert_bounded(&log);
        }
    }

    #[test]
    fn mutated_logs_never_panic(edits in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..8)) {
        let mut bytes = sample_log();
        for (place, byte) in edits {
            let place = place % bytes.len();
            bytes[place] = byte;
        }
        if let Ok(log) = parse_log(bytes.as_slice()) {
            assert_bounded(&log);
        }
    }

    #[test]
    fn forged_counts_never_panic(
        digits in 0_u32..7,
        low in any::<u64>(),
        high in any::<u64>(),
        counts in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        for (low, high) in [(low, high), (1, 60_000_000_000)] {
            if let Ok(log) = parse_log(forged(digits, low, high, &counts, None).as_slice()) {
                assert_bounded(&log);
            }
        }
    }

    #[test]
    fn every_sample_comes_back_within_a_thousandth(
        values in proptest::collection::vec(0_u64..60_000_000_000, 1..200),
    ) {
        let mut recorder = Recorder::new();
        let now = Instant::now();
        let axis = TimeAxis::host(now, SystemTime::now(), now);
        let log = HistogramLog::new(Vec::new(), &LogHeader { axis, comments: &[] }).unwrap();
        for value in &values {
            recorder.record(Stage::Decode, Duration::from_nanos(*value));
        }
        let bytes = log.finish(&mut recorder, [], Duration::from_secs(1)).unwrap();
        let total = parse_log(bytes.as_slice()).unwrap().total("decode").unwrap();
        prop_assert_eq!(total.len(), values.len() as u64);
        // The oracle: the sorted samples themselves.
        let mut sorted = values.clone();
        sorted.sort_unstable();
        for quantile in [0.5_f64, 0.99, 1.0] {
            let rank = ((quantile * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len());
            let (exact, got) = (sorted[rank - 1], total.value_at_quantile(quantile));
            prop_assert!(got.abs_diff(exact) <= exact / 1000 + 1, "p{}: {} for {}", quantile, got, exact);
        }
    }
}
