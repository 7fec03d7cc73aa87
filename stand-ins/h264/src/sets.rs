//! Parameter sets, delimiter and recovery point (H.264 clauses 7.3.2.1, 7.3.2.2, 7.3.2.4, D.1.8, E.1).
//!
//! Promises: pictures come out in the order they went in, at once: POC type 2, no reordering. Gaps in frame_num are
//! allowed, so that a decoder goes on past pictures that it never saw, and a sliding window drops the same ones on both
//! sides.

use crate::bits::Bits;
use crate::source::Chroma;

/// What tools a decoder needs. Nothing beyond the baseline is used but 4:4:4; the word is the stream's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// Constrained Baseline.
    Baseline,
    /// Main.
    Main,
    /// High.
    #[default]
    High,
    /// High 4:4:4 Predictive.
    High444,
}

impl Profile {
    fn idc(self) -> u32 {
        match self {
            Self::Baseline => 66,
            Self::Main => 77,
            Self::High => 100,
            Self::High444 => 244,
        }
    }

    /// Whether the parameter set says its chroma format.
    fn says_chroma(self) -> bool {
        matches!(self, Self::High | Self::High444)
    }
}

/// What the samples mean: numbers of H.273, which are those of table E-3 to E-5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour {
    /// colour_primaries.
    pub primaries: u8,
    /// transfer_characteristics.
    pub transfer: u8,
    /// matrix_coefficients.
    pub matrix: u8,
    /// video_full_range_flag.
    pub full_range: bool,
}

/// bits of frame_num: as many as there can be, so that no two pictures of the buffer ever share a number.
pub(crate) const FRAME_NUM_BITS: u32 = 16;

/// What the sequence parameter set says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sequence {
    pub(crate) profile: Profile,
    pub(crate) level: u8,
    pub(crate) chroma: Chroma,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) references: u32,
    pub(crate) rate: (u32, u32),
    pub(crate) colour: Option<Colour>,
}

/// seq_parameter_set_rbsp().
pub(crate) fn sequence(bits: &mut Bits, sequence: &Sequence) {
    bits.clear();
    bits.put(8, sequence.profile.idc());
    // constraint_set0_flag and 1: Constrained Baseline is both Baseline and Main.
    bits.put(8, if sequence.profile == Profile::Baseline { 0xc0 } else { 0 });
    bits.put(8, u32::from(sequence.level));
    bits.ue(0);
    if sequence.profile.says_chroma() {
        match sequence.chroma {
            Chroma::Yuv420 => bits.ue(1),
            Chroma::Yuv444 => {
                bits.ue(3);
                bits.flag(false); // separate_colour_plane_flag
            }
        }
        bits.ue(0); // bit_depth_luma_minus8
        bits.ue(0); // bit_depth_chroma_minus8
        bits.flag(false); // qpprime_y_zero_transform_bypass_flag
        bits.flag(false); // seq_scaling_matrix_present_flag
    }
    bits.ue(FRAME_NUM_BITS - 4);
    bits.ue(2); // pic_order_cnt_type
    bits.ue(sequence.references);
    bits.flag(true); // gaps_in_frame_num_value_allowed_flag
    let (columns, rows) = (sequence.width.div_ceil(16), sequence.height.div_ceil(16));
    bits.ue(columns - 1);
    bits.ue(rows - 1);
    bits.flag(true); // frame_mbs_only_flag
    bits.flag(true); // direct_8x8_inference_flag
    let unit = sequence.chroma.crop_unit();
    let (right, bottom) = (columns * 16 - sequence.width, rows * 16 - sequence.height);
    bits.flag(right > 0 || bottom > 0);
    if right > 0 || bottom > 0 {
        bits.ue(0);
        bits.ue(right / unit);
        bits.ue(0);
        bits.ue(bottom / unit);
    }
    bits.flag(true); // vui_parameters_present_flag
    usability(bits, sequence);
    bits.trail();
}

/// vui_parameters().
fn usability(bits: &mut Bits, sequence: &Sequence) {
    bits.flag(false); // aspect_ratio_info_present_flag
    bits.flag(false); // overscan_info_present_flag
    bits.flag(sequence.colour.is_some());
    if let Some(colour) = sequence.colour {
        bits.put(3, 5); // video_format: not said
        bits.flag(colour.full_range);
        bits.flag(true);
        bits.put(8, u32::from(colour.primaries));
        bits.put(8, u32::from(colour.transfer));
        bits.put(8, u32::from(colour.matrix));
    }
    bits.flag(false); // chroma_loc_info_present_flag
    bits.flag(true); // timing_info_present_flag: a tick is a field
    bits.put(32, sequence.rate.1);
    bits.put(32, sequence.rate.0.saturating_mul(2));
    bits.flag(false); // fixed_frame_rate_flag
    bits.flag(false); // nal_hrd_parameters_present_flag
    bits.flag(false); // vcl_hrd_parameters_present_flag
    bits.flag(false); // pic_struct_present_flag
    bits.flag(true); // bitstream_restriction_flag
    bits.flag(true); // motion_vectors_over_pic_boundaries_flag
    bits.ue(0); // max_bytes_per_pic_denom
    bits.ue(0); // max_bits_per_mb_denom
    bits.ue(10); // log2_max_mv_length_horizontal
    bits.ue(10); // log2_max_mv_length_vertical
    bits.ue(0); // max_num_reorder_frames
    bits.ue(sequence.references); // max_dec_frame_buffering
}

/// pic_parameter_set_rbsp().
pub(crate) fn picture(bits: &mut Bits) {
    bits.clear();
    bits.ue(0);
    bits.ue(0);
    bits.flag(false); // entropy_coding_mode_flag: CAVLC
    bits.flag(false); // bottom_field_pic_order_in_frame_present_flag
    bits.ue(0); // num_slice_groups_minus1
    bits.ue(0); // num_ref_idx_l0_default_active_minus1: one reference
    bits.ue(0);
    bits.flag(false); // weighted_pred_flag
    bits.put(2, 0);
    bits.se(0); // pic_init_qp_minus26
    bits.se(0);
    bits.se(0); // chroma_qp_index_offset
    bits.flag(true); // deblocking_filter_control_present_flag
    bits.flag(false); // constrained_intra_pred_flag
    bits.flag(false); // redundant_pic_cnt_present_flag
    bits.trail();
}

/// access_unit_delimiter_rbsp(): `intra` when there are I slices only.
pub(crate) fn delimiter(bits: &mut Bits, intra: bool) {
    bits.clear();
    bits.put(3, u32::from(!intra));
    bits.trail();
}

/// sei_rbsp() with recovery_point(): the picture is whole after `pictures` more, exactly.
pub(crate) fn recovery_point(bits: &mut Bits, payload: &mut Bits, pictures: u32) {
    payload.clear();
    payload.ue(pictures);
    payload.flag(true); // exact_match_flag
    payload.flag(false); // broken_link_flag
    payload.put(2, 0); // changing_slice_group_idc
    if !payload.is_aligned() {
        // sei_payload() ends like an RBSP, but only where it must.
        payload.trail();
    }
    bits.clear();
    bits.put(8, 6); // payloadType
    bits.put(8, payload.bytes().len() as u32);
    bits.append(payload.bytes());
    bits.trail();
}
