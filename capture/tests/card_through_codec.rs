//! The card's code survives the software codec: every picture read back, in order, at low rates and small sides.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // tests say what they saw

use punktfunk_capture::Mode;
use punktfunk_capture::card::{CardStamp, Painter, read};
use punktfunk_codec::I420;
use punktfunk_codec::h264::{Decoder, Encoder, EncoderConfig};

/// Codes `pictures` pictures of a card and reads each one back; returns the rate that came out in kbit/s.
fn code_and_read(mode: &str, bitrate_kbps: u32, slices: u16, pictures: u64) -> u64 {
    let mode: Mode = mode.parse().unwrap();
    let (width, height, refresh_mhz) = (mode.width(), mode.height(), mode.refresh_mhz());
    let mut painter = Painter::new(mode).unwrap();
    let mut encoder =
        Encoder::new(EncoderConfig { width, height, refresh_mhz, bitrate_kbps, slices }).unwrap();
    let mut decoder = Decoder::new().unwrap();
    let mut bytes = 0;
    for index in 0..pictures {
        let time_us = index * 1_000_000_000 / u64::from(refresh_mhz);
        // Numbers that turn many cells round at once, as well as those that turn one.
        let stamp = CardStamp {
            number: if index % 7 == 3 { index * 0x0101_0101 % (1 << 32) } else { index },
            time_us,
        };
        let drawn = painter.paint(stamp);
        let picture = I420::contiguous(width, height, width as usize, drawn).unwrap();
        let au = encoder.encode(&picture, time_us, index == pictures / 2).unwrap();
        assert!(!au.skipped());
        bytes += au.bytes().len() as u64;
        let decoded = decoder.decode(au.bytes()).unwrap().unwrap();
        let luma = decoded.as_i420();
        assert_eq!(read(luma.y(), luma.stride_y(), width, height), Some(stamp), "{mode} picture {index}");
    }
    let kbps = bytes * 8 * u64::from(refresh_mhz) / 1000 / pictures / 1000;
    println!("{mode} {slices} slices: {bitrate_kbps} kbit/s asked, {kbps} came");
    kbps
}

#[test]
fn at_720p60_from_2_to_20_mbit() {
    for (bitrate_kbps, slices) in [(2_000, 1), (2_000, 4), (20_000, 4)] {
        let kbps = code_and_read("1280x720@60", bitrate_kbps, slices, 240);
        assert!(kbps <= u64::from(bitrate_kbps) * 5 / 4, "{kbps}");
    }
}

#[test]
fn at_the_smallest_sides_and_rates() {
    code_and_read("320x180@60", 500, 1, 400);
    code_and_read("640x360@60", 1_000, 2, 200);
    code_and_read("720x1280@60", 2_000, 2, 60);
    code_and_read("1920x1080@60", 3_000, 4, 40);
}
