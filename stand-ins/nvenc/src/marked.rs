//! HEVC and AV1: not a picture, but units of the right framing that say so.
//!
//! Promises: start codes and NAL headers (HEVC) or OBU headers with sizes (AV1) as a parser of the framing expects them:
//! parameter sets, or a temporal delimiter and a sequence header, before an IDR; then a unit for each slice or tile. Each holds text:
//! `punktfunk stand-in, no picture: id=… kind=… reference=… slice=…/… sum=…;`, and `x` up to what the budget allows. `sum` is
//! of the picture's bytes, so that a test sees which picture was read, and when.
//!
//! Refuses: to be decoded.

use std::fmt::Write as _;

use crate::references::Kind;

/// Whose framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Hevc,
    Av1,
}

/// A picture to mark.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    pub(crate) reference: Option<u64>,
    pub(crate) sum: u64,
    pub(crate) slices: u32,
    /// For all slices together.
    pub(crate) bytes: usize,
    pub(crate) parameter_sets: bool,
}

/// An OBU's or a NAL unit's text, reused.
#[derive(Debug)]
pub(crate) struct Marked {
    framing: Framing,
    text: String,
    out: Vec<u8>,
}

impl Marked {
    pub(crate) fn new(framing: Framing) -> Self {
        Self { framing, text: String::new(), out: Vec::new() }
    }

    /// What precedes a picture that decoding can start at.
    pub(crate) fn parameter_sets(&mut self) -> &[u8] {
        self.out.clear();
        self.text.clear();
        self.text.push_str("punktfunk stand-in, no parameter set;");
        match self.framing {
            Framing::Hevc => {
                for kind in [32, 33, 34] {
                    nal(&mut self.out, kind, 0x40, &self.text);
                }
            }
            Framing::Av1 => obu(&mut self.out, 1, &self.text),
        }
        &self.out
    }

    /// Writes a picture; `sink` is lent each part, its slice said where it is one.
    pub(crate) fn write(&mut self, mark: &Mark, sink: &mut dyn FnMut(Option<u32>, &[u8])) {
        if self.framing == Framing::Av1 {
            sink(None, &[2 << 3 | 2, 0]);
        }
        if mark.parameter_sets {
            self.parameter_sets();
            sink(None, &self.out);
        }
        for slice in 0..mark.slices {
            self.text.clear();
            let Mark { id, kind, sum, slices, .. } = *mark;
            let reference = mark.reference.map_or_else(|| "none".to_owned(), |id| id.to_string());
            let _ = write!(
                self.text,
                "punktfunk stand-in, no picture: id={id} kind={kind:?} reference={reference} \
                 slice={slice}/{slices} sum={sum:016x};"
            );
            let wanted = mark.bytes / mark.slices.max(1) as usize;
            self.text.extend(std::iter::repeat_n('x', wanted.saturating_sub(self.text.len() + 16)));
            self.out.clear();
            // A slice's first bit says whether it is the picture's first.
            let first = if slice == 0 { 0xc0 } else { 0x40 };
            match (self.framing, kind) {
                (Framing::Hevc, Kind::Idr) => nal(&mut self.out, 19, first, &self.text),
                (Framing::Hevc, _) => nal(&mut self.out, 1, first, &self.text),
                (Framing::Av1, _) => obu(&mut self.out, if slice == 0 { 6 } else { 4 }, &self.text),
            }
            sink(Some(slice), &self.out);
        }
    }
}

/// An HEVC NAL unit of layer 0. Text has no zeros, so nothing has to be kept out.
fn nal(out: &mut Vec<u8>, kind: u8, first: u8, text: &str) {
    out.extend_from_slice(&[0, 0, 0, 1, kind << 1, 1, first]);
    out.extend_from_slice(text.as_bytes());
    out.push(0x80);
}

/// An OBU with its size.
fn obu(out: &mut Vec<u8>, kind: u8, text: &str) {
    out.push(kind << 3 | 2);
    let mut size = text.len();
    while size >= 128 {
        out.push(size as u8 | 0x80);
        size >>= 7;
    }
    out.push(size as u8);
    out.extend_from_slice(text.as_bytes());
}

/// A sum that changes with every byte of the rows.
pub(crate) fn sum<'a>(rows: impl Iterator<Item = &'a [u8]>) -> u64 {
    let step = |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    rows.fold(0xcbf2_9ce4_8422_2325, |sum, row| {
        let words = row.chunks_exact(8);
        let rest = words.remainder().iter().fold(1, |rest: u64, byte| rest << 8 | u64::from(*byte));
        let sum =
            words.fold(sum, |sum, word| step(sum, word.iter().fold(0, |w, byte| w << 8 | u64::from(*byte))));
        step(sum, rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: Mark = Mark {
        id: 7,
        kind: Kind::Idr,
        reference: None,
        sum: 9,
        slices: 2,
        bytes: 1_000,
        parameter_sets: true,
    };

    fn written(framing: Framing, mark: &Mark) -> Vec<(Option<u32>, Vec<u8>)> {
        let mut parts = Vec::new();
        Marked::new(framing).write(mark, &mut |slice, bytes| parts.push((slice, bytes.to_vec())));
        parts
    }

    #[test]
    fn hevc_has_nal_units() {
        let parts = written(Framing::Hevc, &MARK);
        assert_eq!(parts.iter().map(|part| part.0).collect::<Vec<_>>(), [None, Some(0), Some(1)]);
        let kinds = |bytes: &[u8]| {
            bytes.windows(5).filter(|w| w[..4] == [0, 0, 0, 1]).map(|w| w[4] >> 1).collect::<Vec<_>>()
        };
        assert_eq!(kinds(&parts[0].1), [32, 33, 34]);
        assert_eq!((kinds(&parts[1].1), parts[1].1[6] >> 7), (vec![19], 1));
        assert_eq!((kinds(&parts[2].1), parts[2].1[6] >> 7), (vec![19], 0));
        let bytes: usize = parts[1..].iter().map(|part| part.1.len()).sum();
        assert!((900..=1_000).contains(&bytes), "{bytes}");
        assert!(String::from_utf8_lossy(&parts[2].1).contains("id=7 kind=Idr reference=none slice=1/2 sum="));
    }

    #[test]
    fn av1_has_obus_that_add_up() {
        let stream: Vec<u8> = written(Framing::Av1, &MARK).into_iter().flat_map(|part| part.1).collect();
        let (mut at, mut kinds) = (0, Vec::new());
        while at < stream.len() {
            kinds.push(stream[at] >> 3);
            assert_eq!(stream[at] & 2, 2, "has a size");
            let (mut size, mut shift) = (0usize, 0);
            loop {
                at += 1;
                size |= usize::from(stream[at] & 0x7f) << shift;
                shift += 7;
                if stream[at] < 0x80 {
                    break;
                }
            }
            at += 1 + size;
        }
        assert_eq!((at, kinds), (stream.len(), vec![2, 1, 6, 4]));
    }

    #[test]
    fn a_sum_is_of_every_byte() {
        let bytes: Vec<u8> = (0..21).collect();
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 0x80;
            assert_ne!(sum([&bytes[..]].into_iter()), sum([&other[..]].into_iter()), "byte {at}");
        }
        assert_ne!(sum([&[1, 2][..], &[3]].into_iter()), sum([&[1, 2][..], &[4]].into_iter()));
    }
}
