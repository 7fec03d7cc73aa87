//! Decodes streams of ours on this machine's card and holds each picture against the software decoder's.
//!
//! `cargo run --release -p punktfunk-nvdec --example card -- [--json]`. Promises: each line's figures are of this run; a
//! picture that differs in one sample is a failure, and so is a link that is here and does not work. Refuses: to call a
//! machine without a card broken: it says which link was not there, and ends with 0.

#![allow(clippy::print_stdout, reason = "a program's words to a person")]

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use punktfunk_codec::h264::{Decoder as Software, Encoder, EncoderConfig};
use punktfunk_codec::{I420, I420Buffer, annexb};
use punktfunk_cuda::{Breakage, Context, Cuda, CudaError};
use punktfunk_nvdec::{Codec, Decoder, Frame, Library, NvdecError, Plane};
use serde_json::{Value, json};

const SIZES: [(&str, u32, u32); 3] = [("720p", 1280, 720), ("1080p", 1920, 1080), ("4K", 3840, 2160)];

/// Pictures of each size.
const PICTURES: u32 = 60;

/// Slices of each.
const SLICES: u16 = 4;

fn main() -> ExitCode {
    let is_json = std::env::args().any(|word| word == "--json");
    let (context, library) = match links() {
        Ok(links) => links,
        Err(missing) => {
            let (key, words, why, code) = match missing {
                Missing::Absent(why) => ("not_run", "not run", why, ExitCode::SUCCESS),
                Missing::Broken(why) => ("broken", "FAILED", why, ExitCode::FAILURE),
            };
            match is_json {
                true => println!("{:#}", json!({ key: why })),
                false => println!("NVDEC: {words}: {why}"),
            }
            return code;
        }
    };
    let mut rows = Vec::new();
    for (name, width, height) in SIZES {
        match row(&context, &library, (name, width, height)) {
            Ok(row) => rows.push(row),
            Err(error) => {
                eprintln!("{name}: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    let device = context.device().name();
    match is_json {
        true => println!("{:#}", json!({ "device": device, "rows": rows })),
        false => rows.iter().for_each(|row| println!("{device}: {row}")),
    }
    let is_exact = rows.iter().all(|row| row["differ"] == json!(0));
    if is_exact { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Why nothing is decoded here.
enum Missing {
    /// A link is not here.
    Absent(String),
    /// It is, and does not work.
    Broken(String),
}

/// cuInit's answer where there is no card.
const NO_DEVICE: i32 = 100;

impl From<NvdecError> for Missing {
    fn from(error: NvdecError) -> Self {
        match &error {
            NvdecError::Absent | NvdecError::Cuda(CudaError::Absent) => Self::Absent(error.to_string()),
            NvdecError::Cuda(CudaError::Broken(Breakage::Init { code })) if code.value() == NO_DEVICE => {
                Self::Absent(error.to_string())
            }
            _ => Self::Broken(error.to_string()),
        }
    }
}

/// What there has to be, or which of it is not there.
fn links() -> Result<(Context, Library), Missing> {
    let devices = Cuda::load().and_then(|cuda| cuda.devices()).map_err(NvdecError::from)?;
    let Some(device) = devices.first() else {
        return Err(Missing::Absent("NVIDIA's driver sees no card".to_owned()));
    };
    let library = Library::load()?;
    let context = device.context().map_err(NvdecError::from)?;
    Ok((context, library))
}

/// One size: how long a picture took from its last slice on, and how many differ.
fn row(
    context: &Context,
    library: &Library,
    (name, width, height): (&str, u32, u32),
) -> Result<Value, Box<dyn Error>> {
    let config = EncoderConfig { width, height, refresh_mhz: 60_000, bitrate_kbps: 40_000, slices: SLICES };
    let mut encoder = Encoder::new(config)?;
    let (mut card, mut software) = (Decoder::new(library, context, Codec::H264)?, Software::new()?);
    let (mut times, mut differ) = (Vec::new(), 0);
    for number in 0..PICTURES {
        let drawn = draw(width, height, number)?;
        let encoded = encoder.encode(&drawn.as_i420(), 0, number == 0)?;
        if encoded.skipped() {
            continue;
        }
        let slices: Vec<&[u8]> = annexb::slices(encoded.bytes()).collect();
        let (last, first) = slices.split_last().ok_or("an access unit without slices")?;
        for slice in first {
            card.feed(slice)?;
        }
        let begun = Instant::now();
        let frame = card.finish(last)?;
        times.push(begun.elapsed());
        let expected = software.decode(encoded.bytes())?.ok_or("no picture in software")?;
        differ += u32::from(!is_same(&card, &frame, &expected.as_i420())?);
    }
    times.sort_unstable();
    let at =
        |share: usize| times.get(times.len() * share / 100).copied().unwrap_or(Duration::ZERO).as_micros();
    Ok(json!({ "size": name, "pictures": times.len(), "differ": differ, "p50_us": at(50), "p99_us": at(99) }))
}

/// A picture that moves, whose every row and column differs.
fn draw(width: u32, height: u32, number: u32) -> Result<I420Buffer, punktfunk_codec::CodecError> {
    let mut picture = I420Buffer::new(width, height)?;
    let (y, u, v) = picture.planes_mut();
    for (index, byte) in (0_u32..).zip(y.iter_mut()) {
        let (row, column) = (index / width, index % width);
        *byte = (16 + (row / 8 * 5 + column / 8 * 3 + number * 7) % 200) as u8;
    }
    u.fill((64 + number * 11 % 100) as u8);
    v.fill((90 + number * 5 % 100) as u8);
    Ok(picture)
}

fn is_same(card: &Decoder, frame: &Frame, expected: &I420<'_>) -> Result<bool, punktfunk_cuda::CudaError> {
    let read = |plane: Plane| {
        let mut bytes = vec![0; plane.extent.width_bytes * plane.extent.rows];
        card.stream()
            .read(frame, plane.rows, &mut bytes, plane.extent.width_bytes, plane.extent)
            .map(|()| bytes)
    };
    let (luma, chroma) = (read(frame.luma())?, read(frame.chroma())?);
    let (width, height) = (expected.width() as usize, expected.height() as usize);
    let is_luma = expected
        .y()
        .chunks(expected.stride_y())
        .zip(luma.chunks(width))
        .take(height)
        .all(|(a, b)| a[..width] == *b);
    let (u, v) = (expected.u().chunks(expected.stride_uv()), expected.v().chunks(expected.stride_uv()));
    let is_chroma = u.zip(v).zip(chroma.chunks(width)).take(height / 2).all(|((u, v), pairs)| {
        u.iter().zip(v).zip(pairs.chunks_exact(2)).all(|((u, v), pair)| [*u, *v] == *pair)
    });
    Ok(is_luma && is_chroma)
}
