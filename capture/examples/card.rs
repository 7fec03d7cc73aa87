//! Draws a card: says how long it takes, and writes a picture as PPM where asked to:
//! `cargo run --release -p punktfunk-capture --example card -- 1280x720@60 [card.ppm]`
#![allow(clippy::print_stdout, clippy::unwrap_used)] // its output is its purpose

use std::io::Write;
use std::time::{Duration, Instant};

use punktfunk_capture::Mode;
use punktfunk_capture::card::{CardStamp, Painter};
use punktfunk_codec::h264::{Decoder, Encoder, EncoderConfig};
use punktfunk_codec::{I420, convert};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mode: Mode = arguments.next().as_deref().unwrap_or("1280x720@60").parse().unwrap();
    let started = Instant::now();
    let mut painter = Painter::new(mode).unwrap();
    println!("{mode}: scene {:.2} ms", started.elapsed().as_secs_f64() * 1e3);
    let mut times: Vec<Duration> = (0..600_u64)
        .map(|number| {
            let started = Instant::now();
            painter
                .paint(CardStamp { number, time_us: number * 1_000_000_000 / u64::from(mode.refresh_mhz()) });
            started.elapsed()
        })
        .collect();
    times.sort_unstable();
    println!("{mode}: draw p50 {:?} p99 {:?} max {:?}", times[300], times[594], times[599]);
    for slices in [1, 4] {
        code(mode, &mut painter, slices);
    }
    if let Some(path) = arguments.next() {
        let drawn = painter.paint(CardStamp { number: 12_345_678, time_us: 4_321_987_000 });
        let picture = I420::contiguous(mode.width(), mode.height(), mode.width() as usize, drawn).unwrap();
        let mut rgb = Vec::new();
        convert::i420_to_rgb(&picture, &mut rgb);
        let mut file = std::fs::File::create(path).unwrap();
        writeln!(file, "P6 {} {} 255", mode.width(), mode.height()).unwrap();
        file.write_all(&rgb).unwrap();
    }
}

/// Times encode and decode of ten seconds of card, and writes the stream to `card.h264` in the temporary folder.
fn code(mode: Mode, painter: &mut Painter, slices: u16) {
    let (width, height, refresh_mhz) = (mode.width(), mode.height(), mode.refresh_mhz());
    let config = EncoderConfig { width, height, refresh_mhz, bitrate_kbps: 10_000, slices };
    let mut encoder = Encoder::new(config).unwrap();
    let mut decoder = Decoder::new().unwrap();
    let mut stream = std::fs::File::create(std::env::temp_dir().join("card.h264")).unwrap();
    let (mut encode, mut decode, mut bytes, mut idr_bytes) = (Vec::new(), Vec::new(), 0, 0);
    for number in 0..600_u64 {
        let time_us = number * 1_000_000_000 / u64::from(refresh_mhz);
        let drawn = painter.paint(CardStamp { number, time_us });
        let picture = I420::contiguous(width, height, width as usize, drawn).unwrap();
        let started = Instant::now();
        let au = encoder.encode(&picture, time_us, false).unwrap();
        encode.push(started.elapsed());
        bytes += au.bytes().len();
        if au.is_idr() {
            idr_bytes = au.bytes().len();
        }
        stream.write_all(au.bytes()).unwrap();
        let started = Instant::now();
        decoder.decode(au.bytes()).unwrap().unwrap();
        decode.push(started.elapsed());
    }
    for (verb, times) in [("encode", &mut encode), ("decode", &mut decode)] {
        times.sort_unstable();
        println!(
            "{mode}: {slices} slices {verb} p50 {:.2?} p99 {:.2?} max {:.2?}",
            times[300], times[594], times[599]
        );
    }
    let kbps = bytes as u64 * 8 * u64::from(refresh_mhz) / 600 / 1_000_000;
    println!("{mode}: {slices} slices {kbps} kbit/s, IDR {idr_bytes} bytes");
}
