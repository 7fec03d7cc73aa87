//! Parsers: a stream of bytes in, callbacks out.

#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::sync::{Mutex, PoisonError};

use punktfunk_codec::annexb::{self, NalKind};
use punktfunk_nvdec::sys::{
    CODEC_H264, CUVIDEOFORMAT, CUVIDPARSERPARAMS, CUVIDPICPARAMS, CUVIDSOURCEDATAPACKET, CodecSpecific,
    PACKET_END_OF_PICTURE, PACKET_END_OF_STREAM, Rectangle,
};

use crate::entry::{
    Code, INVALID_HANDLE, INVALID_SOURCE, INVALID_VALUE, IS_PARSING, NOT_SUPPORTED, Result, breach, calls,
};
use crate::sps::{self, Sequence};

static PARSERS: Mutex<Parsers> = Mutex::new(Parsers { parsers: BTreeMap::new(), next: 0x7_0000_0000 });

struct Parsers {
    /// None while one is parsing.
    parsers: BTreeMap<usize, Option<Parser>>,
    next: usize,
}

struct Parser {
    params: CUVIDPARSERPARAMS,
    /// What has come and is no whole access unit yet.
    bytes: Vec<u8>,
    sequence: Option<Sequence>,
    surfaces: c_int,
    next_surface: c_int,
    is_over: bool,
}

// SAFETY: the pointers in it are the caller's, who answers for the thread that parses.
unsafe impl Send for Parser {}

impl Parser {
    fn parse(&mut self, call: &str, packet: &CUVIDSOURCEDATAPACKET) -> Result<()> {
        if self.is_over {
            return Err(breach(call, INVALID_VALUE, format_args!("after the stream's end")));
        }
        let length = packet.payload_size as usize;
        if packet.payload.is_null() && length > 0 {
            return Err(breach(call, INVALID_VALUE, format_args!("{length} bytes at no address")));
        }
        if length > 0 {
            // SAFETY: the caller has so many bytes there.
            self.bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(packet.payload, length) });
        }
        let is_end = packet.flags & (PACKET_END_OF_PICTURE | PACKET_END_OF_STREAM) != 0;
        self.is_over = packet.flags & PACKET_END_OF_STREAM != 0;
        let bytes = std::mem::take(&mut self.bytes);
        let mut units: Vec<&[u8]> = annexb::access_units(&bytes).collect();
        // The last one may go on, unless its end was said.
        let rest = if is_end { Some(&[][..]) } else { units.pop() };
        let told = units.into_iter().try_for_each(|unit| self.tell(unit));
        // Not even a start code has come: all of it may be the beginning of one.
        self.bytes = rest.unwrap_or(&bytes).to_vec();
        told
    }

    /// Calls back for one access unit.
    fn tell(&mut self, unit: &[u8]) -> Result<()> {
        let sets = annexb::nals(unit).filter(|nal| nal.kind == NalKind::Sps);
        for set in sets {
            let found = sps::parse(set.payload.get(1..).unwrap_or_default());
            // What cannot be read changes nothing.
            if let Some(found) = found.filter(|found| self.sequence != Some(*found)) {
                self.tell_sequence(found)?;
            }
        }
        let mut offsets = Vec::new();
        let begin = unit.as_ptr() as usize;
        for nal in annexb::nals(unit).filter(|nal| nal.kind.is_slice()) {
            offsets.push(u32::try_from(nal.bytes.as_ptr() as usize - begin).unwrap_or_default());
        }
        if offsets.is_empty() || self.sequence.is_none() {
            return Ok(());
        }
        let surface = self.next_surface % self.surfaces.max(1);
        self.next_surface = surface + 1;
        let mut picture = describe(unit, &offsets, surface, self.sequence);
        let decode = self.params.pfnDecodePicture.ok_or(INVALID_VALUE)?;
        // SAFETY: the caller's own function and pointer; the picture lives for the call.
        let answer = unsafe { decode(self.params.pUserData, &raw mut picture) };
        if answer == 0 { Err(INVALID_SOURCE) } else { Ok(()) }
    }

    fn tell_sequence(&mut self, found: Sequence) -> Result<()> {
        let [left, top, right, bottom] = found.visible;
        let mut format = CUVIDEOFORMAT {
            codec: CODEC_H264,
            progressive_sequence: u8::from(found.is_progressive),
            bit_depth_luma_minus8: found.bits_minus8.0,
            bit_depth_chroma_minus8: found.bits_minus8.1,
            min_num_decode_surfaces: found.references.saturating_add(2),
            coded_width: found.coded.0,
            coded_height: found.coded.1,
            display_area: Rectangle { left, top, right, bottom },
            chroma_format: found.chroma,
            ..CUVIDEOFORMAT::default()
        };
        let sequence = self.params.pfnSequenceCallback.ok_or(INVALID_VALUE)?;
        // SAFETY: the caller's own function and pointer; the format lives for the call.
        match unsafe { sequence(self.params.pUserData, &raw mut format) } {
            0 => return Err(INVALID_SOURCE),
            1 => self.surfaces = c_int::try_from(self.params.ulMaxNumDecodeSurfaces).unwrap_or(1),
            surfaces => self.surfaces = surfaces,
        }
        (self.sequence, self.next_surface) = (Some(found), 0);
        Ok(())
    }
}

fn describe(unit: &[u8], offsets: &[u32], surface: c_int, sequence: Option<Sequence>) -> CUVIDPICPARAMS {
    let (width, height) = sequence.map_or((0, 0), |sequence| sequence.coded);
    let in_macroblocks = |side: u32| c_int::try_from(side / 16).unwrap_or_default();
    CUVIDPICPARAMS {
        PicWidthInMbs: in_macroblocks(width),
        FrameHeightInMbs: in_macroblocks(height),
        CurrPicIdx: surface,
        field_pic_flag: 0,
        bottom_field_flag: 0,
        second_field: 0,
        nBitstreamDataLen: u32::try_from(unit.len()).unwrap_or(u32::MAX),
        pBitstreamData: unit.as_ptr(),
        nNumSlices: u32::try_from(offsets.len()).unwrap_or(u32::MAX),
        pSliceDataOffsets: offsets.as_ptr(),
        ref_pic_flag: 1,
        intra_pic_flag: c_int::from(annexb::is_idr(unit)),
        Reserved: [0; 30],
        CodecSpecific: CodecSpecific { CodecReserved: [0; 1024] },
    }
}

/// Takes a parser out while it parses, so that its callbacks may make calls.
fn take(call: &str, parser: usize) -> Result<Parser> {
    let mut all = PARSERS.lock().unwrap_or_else(PoisonError::into_inner);
    match all.parsers.get_mut(&parser) {
        None => Err(breach(call, INVALID_HANDLE, format_args!("the parser is none, or gone"))),
        Some(slot) => slot.take().ok_or_else(|| {
            breach(call, INVALID_VALUE, format_args!("the parser is in a call, on this or another thread"))
        }),
    }
}

fn put_back(parser: usize, whole: Option<Parser>) {
    let mut all = PARSERS.lock().unwrap_or_else(PoisonError::into_inner);
    match whole {
        Some(whole) => drop(all.parsers.insert(parser, Some(whole))),
        None => drop(all.parsers.remove(&parser)),
    }
}

calls! {
    /// `cuvidCreateVideoParser`
    fn cuvidCreateVideoParser[call](parser: *mut usize, params: *mut CUVIDPARSERPARAMS) {
        // SAFETY: the caller gives a description, or null, and room for a handle.
        let params = *unsafe { params.as_ref() }.ok_or(INVALID_VALUE)?;
        if params.CodecType != CODEC_H264 {
            return Err(NOT_SUPPORTED);
        }
        let has_callbacks = params.pfnSequenceCallback.is_some() && params.pfnDecodePicture.is_some();
        let is_zero = params.uReserved1 == [0; 4] && params.pvReserved2.iter().all(|it| it.is_null());
        if !has_callbacks || !is_zero || params.ulMaxNumDecodeSurfaces == 0 || params.ulErrorThreshold > 100 {
            let what = format_args!("callbacks, surfaces or a threshold that are none, or reserved fields");
            return Err(breach(call, INVALID_VALUE, what));
        }
        let made = Parser {
            params, bytes: Vec::new(), sequence: None, surfaces: 0, next_surface: 0, is_over: false,
        };
        let mut all = PARSERS.lock().unwrap_or_else(PoisonError::into_inner);
        all.next += 16;
        let handle = all.next;
        all.parsers.insert(handle, Some(made));
        // SAFETY: as above.
        unsafe { parser.write(handle) };
        Ok::<(), Code>(())
    }

    /// `cuvidParseVideoData`
    fn cuvidParseVideoData[call](parser: usize, packet: *mut CUVIDSOURCEDATAPACKET) {
        // SAFETY: the caller gives a packet, or null.
        let packet = *unsafe { packet.as_ref() }.ok_or(INVALID_VALUE)?;
        let mut taken = take(call, parser)?;
        let was = IS_PARSING.replace(true);
        let parsed = taken.parse(call, &packet);
        IS_PARSING.set(was);
        put_back(parser, Some(taken));
        parsed
    }

    /// `cuvidDestroyVideoParser`
    fn cuvidDestroyVideoParser[call](parser: usize) {
        take(call, parser)?;
        put_back(parser, None);
        Ok(())
    }
}
