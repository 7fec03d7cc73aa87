//! A slice: header and macroblocks (H.264 clauses 7.3.3 to 7.3.5).
//!
//! Promises: a slice is whole macroblock rows and stands by itself. A P slice names its reference in so many words, so that a
//! decoder that has not got it says so, and never takes another for it. Deblocking is off: what is written is what comes out.

use std::ops::Range;

use crate::bits::Bits;
use crate::sets::FRAME_NUM_BITS;
use crate::source::Chroma;

/// How a macroblock is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// P_Skip: the reference's, at the same place. Neighbours move nowhere, so neither does this.
    Skip,
    /// I_PCM: its samples.
    Whole,
    /// I_16x16 without residual: the left neighbour's last column, else the upper one's last row, else grey.
    Spread,
}

/// What all slices of a picture share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(crate) frame_num: u32,
    /// Of an IDR.
    pub(crate) idr_pic_id: Option<u32>,
    /// The reference's frame_num, of a picture that has one.
    pub(crate) reference: Option<u32>,
}

/// What the samples of a macroblock that spreads come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spread {
    Left,
    Above,
    Grey,
}

impl Spread {
    /// `at` in a slice that begins with macroblock `first`, in a picture `columns` wide.
    pub(crate) fn of(at: usize, first: usize, columns: usize) -> Self {
        if !at.is_multiple_of(columns) {
            Self::Left
        } else if at >= first + columns {
            Self::Above
        } else {
            Self::Grey
        }
    }

    /// mb_type in an I slice.
    fn mb_type(self) -> u32 {
        match self {
            Self::Above => 1,
            Self::Left => 2,
            Self::Grey => 3,
        }
    }

    fn intra_chroma_pred_mode(self) -> u32 {
        match self {
            Self::Grey => 0,
            Self::Left => 1,
            Self::Above => 2,
        }
    }
}

/// slice_layer_without_partitioning_rbsp() of the macroblocks `range`.
pub(crate) fn write(
    bits: &mut Bits,
    header: Header,
    range: Range<usize>,
    columns: usize,
    chroma: Chroma,
    codings: &[Coding],
    samples: &[u8],
) {
    bits.clear();
    write_header(bits, header, range.start);
    let bytes = chroma.macroblock_bytes();
    let is_predicted = header.reference.is_some();
    let mut skipped = 0;
    for at in range.clone() {
        match codings[at] {
            Coding::Skip => {
                skipped += 1;
                continue;
            }
            Coding::Whole => {
                if is_predicted {
                    bits.ue(skipped);
                }
                bits.ue(if is_predicted { 5 + 25 } else { 25 });
                bits.align();
                bits.append(&samples[at * bytes..(at + 1) * bytes]);
            }
            Coding::Spread => write_spread(bits, at, range.start, columns, chroma, codings),
        }
        skipped = 0;
    }
    if skipped > 0 {
        bits.ue(skipped);
    }
    bits.trail();
}

/// slice_header().
fn write_header(bits: &mut Bits, header: Header, first: usize) {
    bits.ue(first as u32);
    bits.ue(if header.reference.is_some() { 5 } else { 7 });
    bits.ue(0);
    bits.put(FRAME_NUM_BITS, header.frame_num);
    if let Some(id) = header.idr_pic_id {
        bits.ue(id);
    }
    if let Some(reference) = header.reference {
        bits.flag(false); // num_ref_idx_active_override_flag
        bits.flag(true); // ref_pic_list_modification_flag_l0
        bits.ue(0);
        let back = header.frame_num.wrapping_sub(reference) & ((1 << FRAME_NUM_BITS) - 1);
        bits.ue(back - 1); // abs_diff_pic_num_minus1
        bits.ue(3);
    }
    if header.idr_pic_id.is_some() {
        bits.flag(false); // no_output_of_prior_pics_flag
        bits.flag(false); // long_term_reference_flag
    } else {
        bits.flag(false); // adaptive_ref_pic_marking_mode_flag: the window slides
    }
    bits.se(0); // slice_qp_delta
    bits.ue(1); // disable_deblocking_filter_idc
}

fn write_spread(
    bits: &mut Bits,
    at: usize,
    first: usize,
    columns: usize,
    chroma: Chroma,
    codings: &[Coding],
) {
    let spread = Spread::of(at, first, columns);
    bits.ue(spread.mb_type());
    if chroma == Chroma::Yuv420 {
        bits.ue(spread.intra_chroma_pred_mode());
    }
    bits.se(0); // mb_qp_delta
    // coeff_token of no coefficients, whose code goes by the neighbours': 16 in an I_PCM macroblock, else none.
    let is_whole = |neighbour: usize| codings[neighbour] == Coding::Whole;
    let left_is_whole = !at.is_multiple_of(columns) && is_whole(at - 1);
    let upper_is_whole = at >= first + columns && is_whole(at - columns);
    let planes = if chroma == Chroma::Yuv444 { 3 } else { 1 };
    for _ in 0..planes {
        if left_is_whole || upper_is_whole { bits.put(6, 3) } else { bits.put(1, 1) }
    }
}

/// Makes of the macroblock `at` what a decoder makes of one that spreads.
pub(crate) fn spread(samples: &mut [u8], at: usize, first: usize, columns: usize, chroma: Chroma) {
    let bytes = chroma.macroblock_bytes();
    let (before, here) = samples.split_at_mut(at * bytes);
    let here = &mut here[..bytes];
    let from = Spread::of(at, first, columns);
    let neighbour = match from {
        Spread::Left => &before[(at - 1) * bytes..],
        Spread::Above => &before[(at - columns) * bytes..],
        Spread::Grey => return here.fill(128),
    };
    let side = chroma.side();
    for (start, side) in [(0, 16), (256, side), (256 + side * side, side)] {
        for row in 0..side {
            let to = start + row * side;
            if from == Spread::Left {
                here[to..to + side].fill(neighbour[to + side - 1]);
            } else {
                let last = start + (side - 1) * side;
                here[to..to + side].copy_from_slice(&neighbour[last..last + side]);
            }
        }
    }
}
