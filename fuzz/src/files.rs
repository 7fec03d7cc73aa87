//! Files that a person names: pictures to show, logs to read.

use std::io::Cursor;
use std::time::Instant;

use punktfunk_capture::Source;
use punktfunk_capture::file::Y4m;
use punktfunk_perf::parse_log;

use crate::trace::Trace;

/// A file that opens has pictures of the size that it announces.
pub(crate) fn y4m(input: &[u8]) {
    let Ok(mut file) = Y4m::new("input", Cursor::new(input), None, Instant::now()) else { return };
    assert!(file.pictures() > 0);
    let mode = file.mode();
    if let Ok(Some(picture)) = file.take_picture() {
        assert_eq!((picture.width, picture.height), (mode.width(), mode.height()));
    }
}

pub(crate) fn y4m_seeds() -> Vec<Vec<u8>> {
    let file = |header: &str, picture: usize| {
        let mut bytes = header.as_bytes().to_vec();
        for _ in 0..2 {
            bytes.extend(b"FRAME\n");
            bytes.extend(vec![0x55; picture]);
        }
        bytes
    };
    vec![
        file("YUV4MPEG2 W16 H16 F30:1 Ip A1:1 C420jpeg\n", 16 * 16 * 3 / 2),
        file("YUV4MPEG2 W18 H2 F60000:1001 C420 XNOTE\n", 18 * 2 * 3 / 2),
    ]
}

/// A log that parses adds up.
pub(crate) fn perf_log(input: &[u8]) {
    let Ok(log) = parse_log(input) else { return };
    for interval in &log.intervals {
        if let Some(tag) = &interval.tag {
            assert!(log.total(tag).is_some_and(|total| total.len() >= interval.histogram.len()));
        }
    }
}

pub(crate) fn perf_log_seeds() -> Vec<Vec<u8>> {
    vec![
        b"#[Histogram log format version 1.3]\n#[BaseTime: 1.5 (seconds since epoch)]\n\
          \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n\
          Tag=seal,0.0,1.0,2.5,HISTFAAAABx4nJNpmSzMwMDAxQABzFCaEUzOgwIXAAD9BQGC\n"
            .to_vec(),
        b"#counters 1.0 sent=1 lost=2\nTag=send,0.1,1,2,HISTFAAA\n".to_vec(),
    ]
}

/// A trace that parses is written and read back as itself.
pub(crate) fn trace(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(trace) = Trace::parse(text) else { return };
    assert_eq!(Trace::parse(&trace.to_string()), Ok(trace), "{text}");
}

pub(crate) fn trace_seeds() -> Vec<Vec<u8>> {
    [
        "120 pass\n3 lost # why\ncorrupt\ntwice\nlate 3ms\n@1.5s 40 lost\n",
        "@0s lost\n@60s 4294967295 late 1us\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
