//! Each rule of NVDECODE's contract is broken once: the call fails, and the breach is counted.

#![allow(unsafe_code, clippy::unwrap_used)]

use std::ffi::{c_int, c_uint, c_void};
use std::ptr;

use punktfunk_codec::I420Buffer;
use punktfunk_codec::h264::{Encoder, EncoderConfig};
use punktfunk_cuda::{Context, Cuda, Priority, Stream};
use punktfunk_nvdec::sys::*;
use stand_in_common::Loaded;

/// Calls a function of the stand-in's by its name.
macro_rules! raw {
    ($it:expr, $name:ident($($argument:expr => $type:ty),*)) => {{
        type Function = unsafe extern "C" fn($($type),*) -> i32;
        // SAFETY: the types are those of NVIDIA's function, and the pointers are good for the call.
        unsafe { $it.loaded.libraries()[1].get::<Function>(stringify!($name)).unwrap()($($argument),*) }
    }};
}

/// What callbacks leave, and what the sequence's one answers.
#[derive(Default)]
struct Told {
    sequences: u32,
    pictures: Vec<(c_int, c_uint)>,
    answer: c_int,
    /// What the decode callback does that it must not.
    inside: Option<Box<dyn FnMut()>>,
}

unsafe extern "C" fn on_sequence(told: *mut c_void, _format: *mut CUVIDEOFORMAT) -> c_int {
    // SAFETY: the test gave its own address, and does nothing else meanwhile.
    let told = unsafe { &mut *told.cast::<Told>() };
    told.sequences += 1;
    told.answer
}

unsafe extern "C" fn on_decode(told: *mut c_void, picture: *mut CUVIDPICPARAMS) -> c_int {
    // SAFETY: as above; the picture lives for the call.
    let (told, picture) = unsafe { (&mut *told.cast::<Told>(), &*picture) };
    told.pictures.push((picture.CurrPicIdx, picture.nNumSlices));
    if let Some(inside) = &mut told.inside {
        inside();
    }
    1
}

struct Begun {
    context: Context,
    stream: Stream,
    loaded: Loaded,
}

impl Begun {
    fn new() -> Self {
        let loaded = Loaded::new(&["stand-in-cuda", "stand-in-nvdec"]);
        let context = Cuda::load().unwrap().devices().unwrap().remove(0).context().unwrap();
        let stream = Stream::new(&context, Priority::Usual).unwrap();
        Self { context, stream, loaded }
    }

    fn parser(&self, told: *mut Told) -> usize {
        let mut params = CUVIDPARSERPARAMS {
            CodecType: CODEC_H264,
            ulMaxNumDecodeSurfaces: 1,
            ulClockRate: 0,
            ulErrorThreshold: 0,
            ulMaxDisplayDelay: 0,
            bAnnexb: 0,
            uReserved1: [0; 4],
            pUserData: told.cast(),
            pfnSequenceCallback: Some(on_sequence),
            pfnDecodePicture: Some(on_decode),
            pfnDisplayPicture: None,
            pfnGetOperatingPoint: ptr::null(),
            pfnGetSEIMsg: ptr::null(),
            pvReserved2: [ptr::null_mut(); 5],
            pExtVideoInfo: ptr::null_mut(),
        };
        let mut parser = 0;
        let made = raw!(self, cuvidCreateVideoParser(
            &raw mut parser => *mut usize, &raw mut params => *mut CUVIDPARSERPARAMS));
        assert_eq!(made, 0);
        parser
    }

    fn parse(&self, parser: usize, bytes: &[u8], flags: u64) -> i32 {
        let (payload, payload_size) = (bytes.as_ptr(), bytes.len() as u64);
        let mut packet = CUVIDSOURCEDATAPACKET { flags, payload_size, payload, timestamp: 0 };
        raw!(self, cuvidParseVideoData(parser => usize, &raw mut packet => *mut CUVIDSOURCEDATAPACKET))
    }

    fn end(&self, parser: usize) -> i32 {
        raw!(self, cuvidDestroyVideoParser(parser => usize))
    }

    fn decoder(&self, change: impl FnOnce(&mut CUVIDDECODECREATEINFO)) -> (i32, usize) {
        let mut info = CUVIDDECODECREATEINFO {
            ulWidth: 64,
            ulHeight: 48,
            ulNumDecodeSurfaces: 4,
            CodecType: CODEC_H264,
            ChromaFormat: CHROMA_420,
            ulCreationFlags: CREATE_PREFER_CUVID,
            bitDepthMinus8: 0,
            ulIntraDecodeOnly: 0,
            ulMaxWidth: 64,
            ulMaxHeight: 48,
            Reserved1: 0,
            display_area: ShortRectangle { left: 0, top: 0, right: 64, bottom: 48 },
            OutputFormat: SURFACE_NV12,
            DeinterlaceMode: DEINTERLACE_WEAVE,
            ulTargetWidth: 64,
            ulTargetHeight: 48,
            ulNumOutputSurfaces: 1,
            vidLock: ptr::null_mut(),
            target_rect: ShortRectangle::default(),
            enableHistogram: 0,
            Reserved2: [0; 4],
        };
        change(&mut info);
        let mut decoder = 0;
        let made = raw!(self, cuvidCreateDecoder(
            &raw mut decoder => *mut usize, &raw mut info => *mut CUVIDDECODECREATEINFO));
        (made, decoder)
    }

    fn decode(&self, decoder: usize, surface: c_int, au: &[u8]) -> i32 {
        let offsets = [0];
        let mut picture = CUVIDPICPARAMS {
            PicWidthInMbs: 4,
            FrameHeightInMbs: 3,
            CurrPicIdx: surface,
            field_pic_flag: 0,
            bottom_field_flag: 0,
            second_field: 0,
            nBitstreamDataLen: u32::try_from(au.len()).unwrap(),
            pBitstreamData: au.as_ptr(),
            nNumSlices: u32::from(!au.is_empty()),
            pSliceDataOffsets: offsets.as_ptr(),
            ref_pic_flag: 1,
            intra_pic_flag: 1,
            Reserved: [0; 30],
            CodecSpecific: CodecSpecific { CodecReserved: [0; 1024] },
        };
        raw!(self, cuvidDecodePicture(decoder => usize, &raw mut picture => *mut CUVIDPICPARAMS))
    }

    fn map(&self, decoder: usize, surface: c_int, is_progressive: bool) -> (i32, u64) {
        // SAFETY: zeros are right for numbers and unused pointers.
        let mut how: CUVIDPROCPARAMS = unsafe { std::mem::zeroed() };
        how.progressive_frame = c_int::from(is_progressive);
        how.output_stream = self.stream.raw();
        let (mut pointer, mut pitch) = (0_u64, 0_u32);
        let mapped = raw!(self, cuvidMapVideoFrame64(
            decoder => usize, surface => c_int, &raw mut pointer => *mut u64, &raw mut pitch => *mut c_uint,
            &raw mut how => *mut CUVIDPROCPARAMS));
        (mapped, pointer)
    }

    fn unmap(&self, decoder: usize, pointer: u64) -> i32 {
        raw!(self, cuvidUnmapVideoFrame64(decoder => usize, pointer => u64))
    }

    fn destroy(&self, decoder: usize) -> i32 {
        raw!(self, cuvidDestroyDecoder(decoder => usize))
    }
}

/// An IDR of 64 × 48 pixels, and a picture that refers to it.
fn access_units() -> [Vec<u8>; 2] {
    let config = EncoderConfig { width: 64, height: 48, refresh_mhz: 60_000, bitrate_kbps: 500, slices: 2 };
    let mut encoder = Encoder::new(config).unwrap();
    let picture = I420Buffer::new(64, 48).unwrap();
    [true, false].map(|idr| encoder.encode(&picture.as_i420(), 0, idr).unwrap().bytes().to_vec())
}

#[test]
fn a_picture_comes_with_its_end_or_with_the_next_one() {
    let it = Begun::new();
    let _current = it.context.enter().unwrap();
    let [idr, next] = access_units();
    let mut told = Told { answer: 4, ..Told::default() };
    let parser = it.parser(&raw mut told);
    assert_eq!(it.parse(parser, &idr, 0), 0);
    assert_eq!((told.sequences, told.pictures.len()), (0, 0), "it may go on");
    assert_eq!(it.parse(parser, &next, 0), 0);
    assert_eq!((told.sequences, told.pictures.len()), (1, 1), "the next has begun");
    assert_eq!(it.parse(parser, &[], PACKET_END_OF_PICTURE), 0);
    let surfaces: Vec<c_int> = told.pictures.iter().map(|(surface, _)| *surface).collect();
    assert_eq!(surfaces, [0, 1], "its end was said");
    assert!(told.pictures.iter().all(|(_, slices)| *slices > 0));
    assert_eq!(it.parse(parser, &idr, PACKET_END_OF_STREAM), 0);
    assert_eq!(told.sequences, 1, "the same sequence is told once");
    assert_eq!(it.loaded.breaches(), 0);
    assert_ne!(it.parse(parser, &idr, 0), 0, "after the end");
    assert_eq!(it.end(parser), 0);
    assert_ne!(it.end(parser), 0, "twice");
    assert_ne!(it.parse(parser, &idr, 0), 0, "gone");
    assert_eq!(it.loaded.breaches(), 3);
}

#[test]
fn a_callback_that_refuses_ends_the_call() {
    let it = Begun::new();
    let _current = it.context.enter().unwrap();
    let mut told = Told::default();
    let parser = it.parser(&raw mut told);
    assert_ne!(it.parse(parser, &access_units()[0], PACKET_END_OF_PICTURE), 0);
    assert_eq!((told.sequences, told.pictures.len()), (1, 0), "no picture of a sequence that was refused");
    assert_eq!(it.end(parser), 0);
    assert_eq!(it.loaded.breaches(), 0);
}

#[test]
fn nothing_is_mapped_from_within_a_callback() {
    let it = Begun::new();
    let _current = it.context.enter().unwrap();
    let (made, decoder) = it.decoder(|_| ());
    assert_eq!((made, it.decode(decoder, 0, &access_units()[0])), (0, 0));
    let within: *const Begun = &raw const it;
    // SAFETY: the parser calls back while `it` is there.
    let inside = move || assert_ne!(unsafe { &*within }.map(decoder, 0, true).0, 0);
    let mut told = Told { answer: 4, inside: Some(Box::new(inside)), ..Told::default() };
    let parser = it.parser(&raw mut told);
    assert_eq!(it.parse(parser, &access_units()[0], PACKET_END_OF_PICTURE), 0);
    assert_eq!((told.pictures.len(), it.loaded.breaches()), (1, 1));
    assert_eq!((it.end(parser), it.destroy(decoder)), (0, 0));
}

#[test]
fn a_decoder_is_described_as_it_can_be() {
    let it = Begun::new();
    let _current = it.context.enter().unwrap();
    let changes: [fn(&mut CUVIDDECODECREATEINFO); 7] = [
        |info| info.ulWidth = 0,
        |info| info.ulWidth = 4112,
        |info| info.display_area.right = 65,
        |info| info.ulTargetHeight = 47,
        |info| info.ulNumDecodeSurfaces = 0,
        |info| info.OutputFormat = SURFACE_P016,
        |info| info.Reserved2[3] = 1,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        assert_ne!(it.decoder(change).0, 0, "change {number}");
        assert_eq!(it.loaded.breaches(), number as u64 + 1);
    }
    assert_ne!(it.decoder(|info| info.CodecType = CODEC_HEVC).0, 0);
    assert_eq!(it.loaded.breaches(), 7, "what the device lacks is no breach");
}

#[test]
fn surfaces_and_maps_are_those_that_there_are() {
    let it = Begun::new();
    let current = it.context.enter().unwrap();
    let [idr, _] = access_units();
    let (made, decoder) = it.decoder(|_| ());
    assert_eq!(made, 0);
    assert_ne!(it.decode(decoder, 4, &idr), 0, "one surface too far");
    assert_ne!(it.decode(decoder, 0, &[]), 0, "no slices");
    assert_ne!(it.map(decoder, 0, true).0, 0, "nothing was decoded there");
    assert_eq!(it.decode(decoder, 0, &idr), 0);
    assert_ne!(it.map(decoder, 0, false).0, 0, "fields");
    let (mapped, pointer) = it.map(decoder, 0, true);
    assert_eq!(mapped, 0);
    assert_ne!(it.map(decoder, 0, true).0, 0, "more than was asked for");
    assert_ne!(it.destroy(decoder), 0, "one is mapped");
    assert_ne!(it.unmap(decoder, pointer + 1), 0);
    assert_eq!(it.unmap(decoder, pointer), 0);
    assert_ne!(it.unmap(decoder, pointer), 0, "twice");
    assert_eq!(it.destroy(decoder), 0);
    assert_ne!(it.destroy(decoder), 0, "twice");
    assert_eq!(it.loaded.breaches(), 9);
    drop(current);
    assert_ne!(it.decoder(|_| ()).0, 0, "no context is current");
    assert_eq!(it.loaded.breaches(), 10);
}
