//! Annex B byte streams (ITU-T H.264, Annex B): NAL units, access units, slices.
//!
//! Promised: never a panic, whatever the input, and no byte lost: the pieces that an iterator gives, put together, are
//! its input from the first start code on. Time is linear in the input. Refused: nothing; where there is no start
//! code there are no NAL units.

/// What a NAL unit is (H.264 table 7-1), as far as streaming asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NalKind {
    /// A slice of a picture that is no IDR, or a data partition of it (types 1 to 4).
    Slice,
    /// A slice of an IDR picture (type 5).
    IdrSlice,
    /// Supplemental enhancement information (type 6).
    Sei,
    /// A sequence parameter set (type 7).
    Sps,
    /// A picture parameter set (type 8).
    Pps,
    /// An access unit delimiter (type 9).
    Delimiter,
    /// Everything else: its type.
    Other(u8),
}

impl NalKind {
    fn of(header: Option<u8>) -> Self {
        match header.unwrap_or(0) & 0x1f {
            1..=4 => Self::Slice,
            5 => Self::IdrSlice,
            6 => Self::Sei,
            7 => Self::Sps,
            8 => Self::Pps,
            9 => Self::Delimiter,
            other => Self::Other(other),
        }
    }

    /// Whether the unit is a part of a coded picture.
    pub fn is_slice(self) -> bool {
        matches!(self, Self::Slice | Self::IdrSlice)
    }

    /// Whether the unit, coming after a slice, begins the next access unit (H.264 section 7.4.1.2.3).
    fn begins_au(self) -> bool {
        match self {
            Self::Sei | Self::Sps | Self::Pps | Self::Delimiter => true,
            Self::Other(kind) => (14..=18).contains(&kind),
            Self::Slice | Self::IdrSlice => false,
        }
    }
}

/// One NAL unit of an Annex B stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nal<'a> {
    /// The unit with its start code and the zero bytes around it.
    pub bytes: &'a [u8],
    /// The unit without start code: NAL header byte first.
    pub payload: &'a [u8],
    /// What it is.
    pub kind: NalKind,
}

impl Nal<'_> {
    /// Whether the unit is a slice that begins a picture: its first macroblock is number 0.
    pub(crate) fn is_first_slice(&self) -> bool {
        // `first_mb_in_slice` is an Exp-Golomb code, in which 0 is the single bit 1.
        self.kind.is_slice() && self.payload.get(1).is_some_and(|byte| byte & 0x80 != 0)
    }

    /// Whether the unit is a B slice (H.264 table 7-6).
    pub(crate) fn is_bidirectional(&self) -> bool {
        let mut bits = Bits { bytes: self.payload.get(1..).unwrap_or(&[]), at: 0 };
        let slice_type = bits.exp_golomb().and_then(|_first_mb| bits.exp_golomb());
        self.kind.is_slice() && matches!(slice_type, Some(1 | 6))
    }
}

/// The NAL units of `stream` in order; what comes before the first start code is passed over.
pub fn nals(stream: &[u8]) -> Nals<'_> {
    match find_start_code(stream, 0) {
        Some(code) => Nals { rest: &stream[code.begin..] },
        None => Nals { rest: &[] },
    }
}

/// See [`nals`].
#[derive(Debug, Clone)]
pub struct Nals<'a> {
    /// Empty, or begins with a start code.
    rest: &'a [u8],
}

impl<'a> Iterator for Nals<'a> {
    type Item = Nal<'a>;

    fn next(&mut self) -> Option<Nal<'a>> {
        let code = find_start_code(self.rest, 0)?;
        let end = find_start_code(self.rest, code.end).map_or(self.rest.len(), |next| next.begin);
        let (bytes, rest) = self.rest.split_at(end);
        self.rest = rest;
        let payload = &bytes[code.end..];
        Some(Nal { bytes, payload, kind: NalKind::of(payload.first().copied()) })
    }
}

/// The access units of `stream` in order, each with its parameter sets and SEI (H.264 section 7.4.1.2.3). A picture
/// begins with a slice whose first macroblock is number 0, so redundant pictures and arbitrary slice order are
/// not told apart.
pub fn access_units(stream: &[u8]) -> AccessUnits<'_> {
    AccessUnits { rest: nals(stream).rest }
}

/// See [`access_units`].
#[derive(Debug, Clone)]
pub struct AccessUnits<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for AccessUnits<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let (mut end, mut has_slice) = (0, false);
        for nal in nals(self.rest) {
            if has_slice && (nal.kind.begins_au() || nal.is_first_slice()) {
                break;
            }
            has_slice |= nal.kind.is_slice();
            end += nal.bytes.len();
        }
        let (au, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(au)
    }
}

/// The slices of one access unit in order; what is no slice goes with the slice that follows it, or at the end with
/// the last.
pub fn slices(au: &[u8]) -> SliceGroups<'_> {
    SliceGroups { rest: nals(au).rest }
}

/// See [`slices`].
#[derive(Debug, Clone)]
pub struct SliceGroups<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for SliceGroups<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let (mut end, mut slice_end) = (0, None);
        for nal in nals(self.rest) {
            if nal.kind.is_slice() && slice_end.is_some() {
                break;
            }
            end += nal.bytes.len();
            if nal.kind.is_slice() {
                slice_end = Some(end);
            }
        }
        // Units between two slices belong to the second; after the last slice there is none to belong to.
        let cut = if end == self.rest.len() { end } else { slice_end.unwrap_or(end) };
        let (group, rest) = self.rest.split_at(cut);
        self.rest = rest;
        Some(group)
    }
}

/// Whether a slice of an IDR picture is in `au`.
pub fn is_idr(au: &[u8]) -> bool {
    nals(au).any(|nal| nal.kind == NalKind::IdrSlice)
}

/// Whether both a sequence and a picture parameter set are in `au`.
pub fn has_parameter_sets(au: &[u8]) -> bool {
    let (mut sps, mut pps) = (false, false);
    for nal in nals(au) {
        sps |= nal.kind == NalKind::Sps;
        pps |= nal.kind == NalKind::Pps;
    }
    sps && pps
}

/// Whether a B slice is in `stream`: its pictures come in another order than they are shown, which costs latency.
pub fn has_bidirectional(stream: &[u8]) -> bool {
    nals(stream).any(|nal| nal.is_bidirectional())
}

/// Where a start code lies: `00 00 01`, and one zero byte before it where there is one.
struct StartCode {
    begin: usize,
    end: usize,
}

/// The first start code that begins at or after `from`.
fn find_start_code(stream: &[u8], from: usize) -> Option<StartCode> {
    let mut at = from;
    while let Some(window) = stream.get(at..at + 3) {
        match window {
            [0, 0, 1] => {
                let begin = if at > from && stream[at - 1] == 0 { at - 1 } else { at };
                return Some(StartCode { begin, end: at + 3 });
            }
            [_, _, last] if *last > 1 => at += 3,
            [_, middle, _] if *middle > 0 => at += 2,
            _ => at += 1,
        }
    }
    None
}

/// Reads single bits; ends where the bytes end.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> Option<u32> {
        let byte = *self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(u32::from(bit))
    }

    /// An unsigned Exp-Golomb code (H.264 section 9.1) below 2^20, enough for any macroblock number.
    fn exp_golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            if zeros > 19 {
                return None;
            }
        }
        let mut value = 1;
        for _ in 0..zeros {
            value = value << 1 | self.bit()?;
        }
        Some(value - 1)
    }
}
