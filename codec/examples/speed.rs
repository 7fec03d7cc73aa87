//! How fast this machine codes, converts, fills and verifies on one core:
//! `cargo run --release -p punktfunk-codec --example speed`
#![allow(clippy::print_stdout, clippy::unwrap_used)] // its output is its purpose

use std::time::{Duration, Instant};

use punktfunk_codec::bitstream::{BitstreamSpec, Generator, Verifier};
use punktfunk_codec::h264::{Decoder, Encoder, EncoderConfig};
use punktfunk_codec::{I420Buffer, convert};

const WIDTH: u32 = 1280;
const HEIGHT: u32 = 720;

fn main() {
    bitstream();
    conversion();
    for (name, content) in [("calm", calm as fn(u32) -> I420Buffer), ("noise", noise)] {
        let pictures: Vec<I420Buffer> = (0..60).map(content).collect();
        for slices in [1, 4] {
            for bitrate_kbps in [5_000, 20_000] {
                code(name, &pictures, slices, bitrate_kbps);
            }
        }
    }
}

fn code(name: &str, pictures: &[I420Buffer], slices: u16, bitrate_kbps: u32) {
    let config = EncoderConfig { width: WIDTH, height: HEIGHT, refresh_mhz: 60_000, bitrate_kbps, slices };
    let mut encoder = Encoder::new(config).unwrap();
    let mut decoder = Decoder::new().unwrap();
    let (mut encode, mut decode, mut bytes) = (Vec::new(), Vec::new(), 0);
    for number in 0..240_u32 {
        // There and back again, so that no cut comes up.
        let place = number as usize % (2 * pictures.len() - 2);
        let picture = &pictures[place.min(2 * pictures.len() - 2 - place)];
        let started = Instant::now();
        let au = encoder.encode(&picture.as_i420(), u64::from(number) * 16_667, false).unwrap();
        encode.push(started.elapsed());
        bytes += au.bytes().len();
        let started = Instant::now();
        decoder.decode(au.bytes()).unwrap().unwrap();
        decode.push(started.elapsed());
    }
    let kbps = bytes * 8 * 60 / 240 / 1000;
    println!(
        "{WIDTH}x{HEIGHT} {name:5} {slices} slices {bitrate_kbps:6} kbit/s (got {kbps:6}): encode {} decode {}",
        quantiles(&mut encode),
        quantiles(&mut decode)
    );
}

fn bitstream() {
    let mut generator = Generator::new(BitstreamSpec::parse("rate=1500M,fps=120,slices=4").unwrap());
    let mut out = vec![0; generator.spec().au_bytes_max()];
    let mut verifier = Verifier::new();
    let (mut filling, mut verifying, mut bytes) = (Duration::ZERO, Duration::ZERO, 0);
    for _ in 0..600 {
        let plan = generator.next_au();
        for slice in 0..plan.slices() {
            let out = &mut out[..plan.slice_bytes(slice)];
            let started = Instant::now();
            plan.fill(slice, out);
            filling += started.elapsed();
            let started = Instant::now();
            verifier.check(plan.number(), slice, out).unwrap();
            verifying += started.elapsed();
        }
        bytes += plan.bytes();
    }
    let rate = |time: Duration| bytes as f64 / time.as_secs_f64() / 1e9;
    println!("bitstream: fill {:.1} GB/s, verify {:.1} GB/s", rate(filling), rate(verifying));
}

fn conversion() {
    let stride = WIDTH as usize * 4;
    let src: Vec<u8> = (0..stride * HEIGHT as usize).map(|index| (index * 7 / 3) as u8).collect();
    let mut out = I420Buffer::new(WIDTH, HEIGHT).unwrap();
    let mut times = Vec::new();
    for _ in 0..300 {
        let started = Instant::now();
        convert::bgrx_to_i420(&src, stride, WIDTH, HEIGHT, &mut out).unwrap();
        times.push(started.elapsed());
    }
    println!("convert: bgrx_to_i420 {WIDTH}x{HEIGHT} {}", quantiles(&mut times));
}

fn quantiles(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let ms = |share: f64| times[(share * (times.len() - 1) as f64) as usize].as_secs_f64() * 1e3;
    let mean = times.iter().sum::<Duration>().as_secs_f64() * 1e3 / times.len() as f64;
    format!("mean {mean:5.2} p50 {:5.2} p99 {:5.2} ms", ms(0.5), ms(0.99))
}

/// A gradient with a bar that moves.
fn calm(number: u32) -> I420Buffer {
    let mut picture = I420Buffer::new(WIDTH, HEIGHT).unwrap();
    let bar = number as usize * 8;
    for (row, line) in picture.planes_mut().0.chunks_exact_mut(WIDTH as usize).enumerate() {
        for (column, byte) in line.iter_mut().enumerate() {
            let inside = (bar..bar + 32).contains(&column);
            *byte = if inside { 220 } else { (16 + (row * 3 + column) * 180 / 3440) as u8 };
        }
    }
    picture
}

/// Other noise on every pixel of every picture.
fn noise(number: u32) -> I420Buffer {
    let mut picture = I420Buffer::new(WIDTH, HEIGHT).unwrap();
    let mut state = u64::from(number) + 1;
    for byte in picture.planes_mut().0 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *byte = 16 + (state >> 33) as u8 % 200;
    }
    picture
}
