//! What the tests begin with: both stand-ins, a context, a stream of real H.264.

#![allow(dead_code, clippy::unwrap_used)]

use punktfunk_codec::h264::{Encoder, EncoderConfig};
use punktfunk_codec::{I420, I420Buffer, annexb};
use punktfunk_cuda::{Context, Cuda};
use punktfunk_nvdec::{Codec, Decoder, Frame, Library};
use stand_in_common::Loaded;

pub fn loaded() -> Loaded {
    Loaded::new(&["stand-in-cuda", "stand-in-nvdec"])
}

pub fn context() -> Context {
    let device = Cuda::load().unwrap().devices().unwrap().into_iter().next().unwrap();
    device.context().unwrap()
}

pub fn decoder(context: &Context) -> Decoder {
    Decoder::new(&Library::load().unwrap(), context, Codec::H264).unwrap()
}

/// An encoder of a picture of `sides` in `slices` slices.
pub fn encoder(sides: (u32, u32), slices: u16) -> Encoder {
    let (width, height) = sides;
    let config = EncoderConfig { width, height, refresh_mhz: 60_000, bitrate_kbps: 4000, slices };
    Encoder::new(config).unwrap()
}

/// A picture whose content goes by its number.
pub fn picture((width, height): (u32, u32), number: u32) -> I420Buffer {
    let mut picture = I420Buffer::new(width, height).unwrap();
    let (y, u, v) = picture.planes_mut();
    for (index, byte) in y.iter_mut().enumerate() {
        let (row, column) = (index as u32 / width, index as u32 % width);
        *byte = (16 + (row / 8 * 5 + column / 8 * 3 + number * 7) % 200) as u8;
    }
    u.fill((64 + number * 11 % 100) as u8);
    v.fill((90 + number * 5 % 100) as u8);
    picture
}

/// The access units of `count` pictures, the first an IDR, and each as its slices.
pub fn stream(sides: (u32, u32), slices: u16, count: u32) -> Vec<Vec<Vec<u8>>> {
    let mut encoder = encoder(sides, slices);
    let mut access_units = Vec::new();
    for number in 0..count {
        let picture = picture(sides, number);
        let encoded = encoder.encode(&picture.as_i420(), number.into(), number == 0).unwrap();
        access_units.push(annexb::slices(encoded.bytes()).map(<[u8]>::to_vec).collect());
    }
    access_units
}

/// Feeds all parts but the last, and finishes with that.
pub fn decode(decoder: &mut Decoder, parts: &[Vec<u8>]) -> Result<Frame, punktfunk_nvdec::NvdecError> {
    let (last, first) = parts.split_last().unwrap();
    for part in first {
        decoder.feed(part)?;
    }
    decoder.finish(last)
}

/// What a frame holds: luma, then Cb and Cr by turns.
pub fn bytes(decoder: &Decoder, frame: &Frame) -> (Vec<u8>, Vec<u8>) {
    let read = |plane: punktfunk_nvdec::Plane| {
        let mut bytes = vec![0; plane.extent.width_bytes * plane.extent.rows];
        let width = plane.extent.width_bytes;
        decoder.stream().read(frame, plane.rows, &mut bytes, width, plane.extent).unwrap();
        bytes
    };
    (read(frame.luma()), read(frame.chroma()))
}

/// The same of a picture in software.
pub fn bytes_of(picture: &I420<'_>) -> (Vec<u8>, Vec<u8>) {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let rows = |plane: &[u8], stride: usize, width: usize, height: usize| -> Vec<u8> {
        plane.chunks(stride).take(height).flat_map(|row| row[..width].to_vec()).collect()
    };
    let luma = rows(picture.y(), picture.stride_y(), width, height);
    let u = rows(picture.u(), picture.stride_uv(), width / 2, height / 2);
    let v = rows(picture.v(), picture.stride_uv(), width / 2, height / 2);
    (luma, u.iter().zip(&v).flat_map(|(u, v)| [*u, *v]).collect())
}
