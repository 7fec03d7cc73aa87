//! The H.264 decoder: an access unit in, a picture lent out, or an honest error.

use openh264_sys2::{
    dsBitstreamError, dsDataErrorConcealed, dsDepLayerLost, dsErrorFree, dsFramePending, dsNoParamSets,
    dsRefListNullPtrs, dsRefLost,
};

use super::raw::RawDecoder;
use crate::limits::{AU_BYTES_MAX, PARAMETER_SETS_BYTES_MAX};
use crate::{CodecError, Flaw, I420, annexb};

/// An H.264 decoder: one access unit in, one picture out.
#[derive(Debug)]
pub struct Decoder {
    raw: RawDecoder,
    /// No whole picture to refer to: nothing but an IDR is decoded.
    wants_idr: bool,
    /// An error left the library's state in doubt: the next IDR begins with a fresh object, since remains of a broken
    /// picture can spoil even an IDR.
    in_doubt: bool,
    /// The last parameter sets, for a fresh object.
    parameter_sets: Vec<u8>,
}

impl Decoder {
    /// A decoder that waits for parameter sets and an IDR.
    ///
    /// # Errors
    /// [`CodecError::Library`].
    pub fn new() -> Result<Self, CodecError> {
        Ok(Self { raw: RawDecoder::new()?, wants_idr: true, in_doubt: false, parameter_sets: Vec::new() })
    }

    /// Whether only an IDR can be decoded next: at the start, and after an error.
    pub fn wants_idr(&self) -> bool {
        self.wants_idr
    }

    /// Decodes one whole access unit (Annex B) to its picture. `Ok(None)`: there was no picture in it, only parameter
    /// sets or SEI.
    ///
    /// A picture comes out only if every macroblock of it was decoded, from whole references: nothing is concealed.
    ///
    /// # Errors
    /// [`CodecError::Damaged`] when no whole picture came out; the decoder then wants an IDR and says
    /// [`Flaw::ReferenceLost`] until one comes. [`CodecError::AuTooLarge`], [`CodecError::Library`].
    pub fn decode(&mut self, au: &[u8]) -> Result<Option<DecodedPicture<'_>>, CodecError> {
        if au.len() > AU_BYTES_MAX {
            return Err(CodecError::AuTooLarge { bytes: au.len() });
        }
        let content = Content::of(au);
        if self.wants_idr && content.slices > 0 && !content.idr {
            return Err(CodecError::Damaged { flaw: Flaw::ReferenceLost });
        }
        if let Some(flaw) = content.flaw() {
            self.wants_idr = true;
            return Err(CodecError::Damaged { flaw });
        }
        if self.in_doubt && content.idr {
            self.start_anew(content)?;
        }
        if content.sps && content.pps {
            self.remember_parameter_sets(au);
        }
        let decoded = self.feed(au, content);
        self.in_doubt |= decoded.is_err();
        self.wants_idr = decoded.is_err() || self.wants_idr && content.slices == 0;
        decoded?;
        Ok(self.raw.picture()?.map(|picture| DecodedPicture { picture }))
    }

    fn start_anew(&mut self, content: Content) -> Result<(), CodecError> {
        self.raw = RawDecoder::new()?;
        self.in_doubt = false;
        if !(content.sps && content.pps || self.parameter_sets.is_empty()) {
            // Should they be damaged, the IDR's own error says so.
            self.raw.feed(Some(&self.parameter_sets))?;
            self.raw.feed(None)?;
        }
        Ok(())
    }

    fn remember_parameter_sets(&mut self, au: &[u8]) {
        self.parameter_sets.clear();
        for nal in annexb::nals(au) {
            let wanted = matches!(nal.kind, annexb::NalKind::Sps | annexb::NalKind::Pps);
            if wanted && self.parameter_sets.len() + nal.bytes.len() <= PARAMETER_SETS_BYTES_MAX {
                self.parameter_sets.extend_from_slice(nal.bytes);
            }
        }
    }

    /// Decodes; where there are slices, the raw decoder holds their picture afterwards.
    fn feed(&mut self, au: &[u8], content: Content) -> Result<(), CodecError> {
        check_state(self.raw.feed(Some(au))?)?;
        if self.raw.picture()?.is_some() {
            return Ok(());
        }
        // Without this the library would wait for the next access unit before it decodes this one.
        check_state(self.raw.feed(None)?)?;
        if self.raw.picture()?.is_some() || content.slices == 0 {
            return Ok(());
        }
        // Main and High profile pictures are held back in case B pictures come; without those the order is plain.
        check_state(self.raw.flush()?)?;
        match self.raw.picture()? {
            Some(_) => Ok(()),
            None => Err(CodecError::Damaged { flaw: Flaw::NoPicture }),
        }
    }
}

/// A decoded picture, lent by the decoder until its next verb.
#[derive(Debug, Clone, Copy)]
pub struct DecodedPicture<'a> {
    picture: I420<'a>,
}

impl<'a> DecodedPicture<'a> {
    /// The picture's planes.
    pub fn as_i420(&self) -> I420<'a> {
        self.picture
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.picture.width()
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.picture.height()
    }
}

/// What an access unit brings, found in one pass.
#[derive(Debug, Clone, Copy, Default)]
struct Content {
    nal_units: usize,
    /// Slices that begin a picture.
    pictures: usize,
    slices: usize,
    idr: bool,
    bidirectional: bool,
    sps: bool,
    pps: bool,
}

impl Content {
    fn of(au: &[u8]) -> Self {
        let mut content = Self::default();
        for nal in annexb::nals(au) {
            content.nal_units += 1;
            content.pictures += usize::from(nal.is_first_slice());
            content.slices += usize::from(nal.kind.is_slice());
            content.idr |= nal.kind == annexb::NalKind::IdrSlice;
            content.bidirectional |= nal.is_bidirectional();
            content.sps |= nal.kind == annexb::NalKind::Sps;
            content.pps |= nal.kind == annexb::NalKind::Pps;
        }
        content
    }

    /// Why there is no use in handing it to the library.
    fn flaw(&self) -> Option<Flaw> {
        if self.nal_units == 0 {
            Some(Flaw::NoNalUnits)
        } else if self.pictures > 1 {
            Some(Flaw::SeveralPictures)
        } else if self.bidirectional {
            Some(Flaw::Bidirectional)
        } else {
            None
        }
    }
}

/// Turns the library's state bits into the flaw that a person should hear of first.
fn check_state(state: i32) -> Result<(), CodecError> {
    let has = |bits: i32| state & bits != 0;
    let flaw = if state == dsErrorFree {
        return Ok(());
    } else if has(dsNoParamSets) {
        Flaw::ParameterSetsMissing
    } else if has(dsRefLost | dsRefListNullPtrs | dsDepLayerLost) {
        Flaw::ReferenceLost
    } else if has(dsDataErrorConcealed) {
        Flaw::Concealed
    } else if has(dsBitstreamError | dsFramePending) {
        Flaw::Bits
    } else {
        Flaw::Other { state }
    };
    Err(CodecError::Damaged { flaw })
}
