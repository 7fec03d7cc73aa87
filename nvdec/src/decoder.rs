//! A stream's decoder: bytes in as they come, a picture out at each access unit's end.

use std::ffi::c_ulong;

use punktfunk_cuda::{Context, Priority, Stream};

use crate::caps::{Chroma, Codec, Depth};
use crate::error::{Flaw, NvdecError};
use crate::frame::Frame;
use crate::library::Library;
use crate::limits::AU_BYTES_MAX;
use crate::parser::Parser;
use crate::sys::PACKET_END_OF_PICTURE;

/// What became of bytes that were fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fed {
    /// They are with the parser.
    Taken,
    /// The access unit is refused already; the rest of it is passed over.
    Passed,
}

/// A decoder of one codec's stream.
#[derive(Debug)]
pub struct Decoder {
    parser: Parser,
    stream: Stream,
    codec: Codec,
    /// Bytes of the access unit that is open.
    au_bytes: usize,
    /// What the open access unit is refused for.
    refused: Option<NvdecError>,
}

impl Decoder {
    /// A decoder that waits for parameter sets and a picture to begin with.
    ///
    /// # Errors
    /// The device does not decode the codec, or a call failed.
    pub fn new(library: &Library, context: &Context, codec: Codec) -> Result<Self, NvdecError> {
        if library.caps(context, codec, Depth::Eight)?.is_none() {
            let device = context.device().name().to_owned();
            let (depth, chroma) = (Depth::Eight, Chroma::Half);
            return Err(NvdecError::Unsupported { device, codec, depth, chroma });
        }
        let stream = Stream::new(context, Priority::Highest)?;
        let parser = Parser::new(library, context, codec)?;
        Ok(Self { parser, stream, codec, au_bytes: 0, refused: None })
    }

    /// Takes a part of an access unit that is not its last, in order.
    ///
    /// # Errors
    /// The decoder cannot go on. What the stream does wrong is said by [`Decoder::finish`].
    pub fn feed(&mut self, part: &[u8]) -> Result<Fed, NvdecError> {
        self.parse(part, 0)
    }

    /// Takes the last part of an access unit, and gives its picture, once it is decoded.
    ///
    /// # Errors
    /// [`NvdecError::is_refusal`]: there is no picture, and the next access unit may come. Else: the decoder cannot go on.
    pub fn finish(&mut self, part: &[u8]) -> Result<Frame, NvdecError> {
        // What ends without further bytes is ended by a delimiter: no bytes at all say nothing to a parser.
        let part = if part.is_empty() { self.codec.delimiter() } else { part };
        let fed = self.parse(part, PACKET_END_OF_PICTURE)?;
        self.au_bytes = 0;
        if fed == Fed::Passed {
            self.discard()?;
        }
        if let Some(refused) = self.refused.take() {
            return Err(refused);
        }
        let ready = self.parser.state_mut().ready.take();
        let (hardware, surface) = ready.ok_or(NvdecError::Refused(Flaw::NoPicture))?;
        hardware.map(surface, &self.stream)
    }

    /// Gives up the access unit that is open: what came of it is not decoded, and the next begins anew.
    ///
    /// # Errors
    /// The decoder cannot go on.
    pub fn abandon(&mut self) -> Result<(), NvdecError> {
        let was_open = self.au_bytes > 0;
        self.au_bytes = 0;
        self.refused = None;
        if was_open { self.discard() } else { Ok(()) }
    }

    /// The stream that pictures are mapped by: what is queued on it comes after.
    #[must_use]
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Decoders of NVIDIA's that were made so far: one for each size and depth in turn.
    pub fn decoders_made(&mut self) -> u64 {
        self.parser.state_mut().made
    }

    fn parse(&mut self, part: &[u8], flags: c_ulong) -> Result<Fed, NvdecError> {
        self.au_bytes = self.au_bytes.saturating_add(part.len());
        if self.au_bytes > AU_BYTES_MAX {
            self.refused.get_or_insert(NvdecError::Refused(Flaw::TooLong));
        }
        if self.refused.is_some() {
            return Ok(Fed::Passed);
        }
        let parsed = self.parser.parse(part, flags);
        match self.parser.state_mut().fault.take() {
            Some(refusal) if refusal.is_refusal() => self.refused = Some(refusal),
            Some(fault) => return Err(fault),
            // A parser that fails without a word of ours has met a stream that it cannot read, or a lost device.
            None => parsed?,
        }
        Ok(Fed::Taken)
    }

    /// Has the parser end the picture that it has a part of, without decoding it.
    fn discard(&mut self) -> Result<(), NvdecError> {
        self.parser.state_mut().is_discarding = true;
        let parsed = self.parser.parse(self.codec.delimiter(), PACKET_END_OF_PICTURE);
        let state = self.parser.state_mut();
        state.is_discarding = false;
        state.ready = None;
        match state.fault.take() {
            Some(fault) if !fault.is_refusal() => Err(fault),
            Some(_) => Ok(()),
            None => Ok(parsed?),
        }
    }
}
