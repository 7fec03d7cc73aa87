//! Which pictures an openh264 encoder still has to refer to, besides the newest: its long-term references.
//!
//! The library marks a picture now and then, keeps two of them, and marks the next only once it is told that the one
//! before has arrived. Which picture a mark is for stands in the slice headers (H.264 sections 7.3.3 and 7.3.3.3), and so
//! does whether a picture refers to one; both are read from there, not believed of the library.
//!
//! Promises: only a picture that was settled is offered, and a picture counts as a recovery point only where its header
//! says that it refers to that one alone. Refuses headers of other forms than its library writes: then nothing is offered.

use crate::annexb::{self, NalKind};

/// Pictures until a mark is taken for arrived: longer than a loss takes to be told, so that what is given up for a mark is
/// seldom what a loss would have needed. A loss that is told later costs an IDR, no more.
const SETTLED_AFTER: u64 = 30;

/// A picture that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kept {
    /// Counted from the encoder's first picture, the one whose header marks it: it and the marked one, itself or the one
    /// before, have to be there.
    marked_by: u64,
    /// Its `frame_num`.
    frame_num: u32,
}

/// What the library shall be told before the next picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word {
    /// `idr_pic_id` of the newest IDR.
    pub(super) idr_pic_id: u32,
    /// `frame_num` of the picture that was marked.
    pub(super) frame_num: u32,
    /// Whether it has arrived.
    pub(super) has_arrived: bool,
}

/// The long-term references of one encoder.
#[derive(Debug, Default)]
pub(super) struct LongTerms {
    /// Pictures that were encoded.
    count: u64,
    log2_frame_num: Option<u32>,
    idr_pic_id: u32,
    settled: Option<Kept>,
    pending: Option<Kept>,
}

impl LongTerms {
    /// What is to be told of the pending mark.
    pub(super) fn poll_word(&mut self) -> Option<Word> {
        let kept = self.pending.filter(|kept| self.count - kept.marked_by > SETTLED_AFTER)?;
        self.pending = None;
        self.settled = Some(kept);
        Some(Word { idr_pic_id: self.idr_pic_id, frame_num: kept.frame_num, has_arrived: true })
    }

    /// The newest so many pictures are not to be referred to. Whether there is another, and what is to be told of a mark
    /// that is among them.
    pub(super) fn leave_out(&mut self, newest: u64) -> (bool, Option<Word>) {
        let first = self.count.saturating_sub(newest);
        let failed = self.pending.take_if(|kept| kept.marked_by >= first);
        let word = failed.map(|kept| Word {
            idr_pic_id: self.idr_pic_id,
            frame_num: kept.frame_num,
            has_arrived: false,
        });
        (self.settled.is_some_and(|kept| kept.marked_by < first), word)
    }

    /// `idr_pic_id` of the newest IDR.
    pub(super) fn idr_pic_id(&self) -> u32 {
        self.idr_pic_id
    }

    /// Reads what an access unit marks; returns whether it refers to a long-term reference and to nothing else.
    pub(super) fn handle_au(&mut self, au: &[u8]) -> bool {
        let number = self.count;
        let Some(slice) = annexb::nals(au).find(|nal| nal.kind.is_slice()) else { return false };
        self.count += 1;
        let is_idr = slice.kind == NalKind::IdrSlice;
        if is_idr {
            let sps = annexb::nals(au).find(|nal| nal.kind == NalKind::Sps);
            self.log2_frame_num = sps.and_then(|sps| frame_num_bits(sps.payload));
            (self.settled, self.pending) = (None, None);
        }
        let header = self.log2_frame_num.and_then(|bits| Header::parse(slice.payload, is_idr, bits));
        let Some(header) = header else { return false };
        if is_idr {
            self.idr_pic_id = header.idr_pic_id;
            self.settled = Some(Kept { marked_by: number, frame_num: header.frame_num });
        }
        if let Some(back) = header.marks {
            let mask = self.log2_frame_num.map_or(u32::MAX, |bits| (1 << bits) - 1);
            let frame_num = header.frame_num.wrapping_sub(back) & mask;
            self.pending = Some(Kept { marked_by: number, frame_num });
        }
        header.is_long_term_only
    }
}

/// What is read of a slice's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    frame_num: u32,
    /// Of an IDR.
    idr_pic_id: u32,
    /// How many pictures before this one the one that it marks is; 0 for itself.
    marks: Option<u32>,
    is_long_term_only: bool,
}

impl Header {
    /// Reads the header of a baseline picture of frames, whose order is that of decoding (`pic_order_cnt_type` 2).
    fn parse(payload: &[u8], is_idr: bool, frame_num_bits: u32) -> Option<Self> {
        let mut bits = Bits::new(payload.get(1..)?);
        let (_first_mb, slice_type, _parameter_set) = (bits.ue()?, bits.ue()?, bits.ue()?);
        let frame_num = bits.take(frame_num_bits)?;
        if is_idr {
            let idr_pic_id = bits.ue()?;
            return Some(Self { frame_num, idr_pic_id, marks: None, is_long_term_only: false });
        }
        // P slices only, by either of their numbers.
        (slice_type % 5 == 0).then_some(())?;
        // num_ref_idx_active_override_flag, and the count where it is set; the library's parameter sets say 1.
        let count = if bits.take(1)? == 1 { bits.ue()? } else { 0 };
        let mut first = None;
        if bits.take(1)? == 1 {
            // modification_of_pic_nums_idc until 3, each with its number.
            loop {
                match bits.ue()? {
                    3 => break,
                    kind @ 0..=2 => {
                        bits.ue()?;
                        first.get_or_insert(kind);
                    }
                    _ => return None,
                }
            }
        }
        let mut marks = None;
        // adaptive_ref_pic_marking_mode_flag, and operations until 0.
        if bits.take(1)? == 1 {
            loop {
                match bits.ue()? {
                    0 => break,
                    1 | 2 | 4 => drop(bits.ue()?),
                    3 => {
                        // difference_of_pic_nums_minus1, and the place.
                        marks = Some(bits.ue()? + 1);
                        bits.ue()?;
                    }
                    5 => {}
                    6 => {
                        marks = Some(0);
                        bits.ue()?;
                    }
                    _ => return None,
                }
            }
        }
        Some(Self { frame_num, idr_pic_id: 0, marks, is_long_term_only: count == 0 && first == Some(2) })
    }
}

/// log2_max_frame_num of a baseline SPS whose pictures come in the order of decoding; none for another.
fn frame_num_bits(sps: &[u8]) -> Option<u32> {
    (*sps.get(1)? == 66).then_some(())?;
    let mut bits = Bits::new(sps.get(4..)?);
    let (_id, log2, order) = (bits.ue()?, bits.ue()? + 4, bits.ue()?);
    (order == 2 && log2 <= 16).then_some(log2)
}

/// The bits of a NAL unit, without the bytes that keep start codes out of it (H.264 section 7.4.1).
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    bit: u32,
    zeros: u32,
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, bit: 0, zeros: 0 }
    }

    fn next(&mut self) -> Option<u32> {
        if self.bit == 0 && self.zeros >= 2 && self.bytes.get(self.at) == Some(&3) {
            self.at += 1;
            self.zeros = 0;
        }
        let byte = *self.bytes.get(self.at)?;
        let bit = byte >> (7 - self.bit) & 1;
        self.bit = (self.bit + 1) % 8;
        if self.bit == 0 {
            self.at += 1;
            self.zeros = if byte == 0 { self.zeros + 1 } else { 0 };
        }
        Some(bit.into())
    }

    fn take(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0_u32, |value, _| Some(value << 1 | self.next()?))
    }

    /// An Exp-Golomb code of at most 16 zeros: all that a header here has.
    fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.next()? == 0 {
            zeros += 1;
            (zeros <= 16).then_some(())?;
        }
        Some((1 << zeros | self.take(zeros)?) - 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bits_leave_out_what_keeps_start_codes_out() {
        let mut bits = Bits::new(&[0, 0, 3, 1, 0x80]);
        assert_eq!(bits.take(24), Some(1));
        assert_eq!((bits.ue(), bits.take(8)), (Some(0), None));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_not(bytes: Vec<u8>, is_idr: bool, frame_num_bits in 4_u32..17) {
            let _ = Header::parse(&bytes, is_idr, frame_num_bits);
            let _ = super::frame_num_bits(&bytes);
            let _ = LongTerms::default().handle_au(&bytes);
        }
    }
}
