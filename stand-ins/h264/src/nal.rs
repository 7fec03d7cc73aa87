//! NAL units in Annex B's byte stream: start code, header, and the bytes that keep start codes out of the payload.

/// nal_unit_type of a slice of another picture than an IDR.
pub(crate) const SLICE: u8 = 1;
/// … of a slice of an IDR picture.
pub(crate) const IDR_SLICE: u8 = 5;
/// … of supplemental enhancement information.
pub(crate) const SEI: u8 = 6;
/// … of a sequence parameter set.
pub(crate) const SPS: u8 = 7;
/// … of a picture parameter set.
pub(crate) const PPS: u8 = 8;
/// … of an access unit delimiter.
pub(crate) const DELIMITER: u8 = 9;

/// Appends one NAL unit: `reference` is its nal_ref_idc, `rbsp` its payload.
pub(crate) fn append(out: &mut Vec<u8>, kind: u8, reference: u8, rbsp: &[u8]) {
    out.reserve(rbsp.len() + rbsp.len() / 64 + 16);
    out.extend_from_slice(&[0, 0, 0, 1, reference << 5 | kind]);
    let mut zeros = 0;
    let mut from = 0;
    for (at, byte) in rbsp.iter().enumerate() {
        if zeros >= 2 && *byte <= 3 {
            out.extend_from_slice(&rbsp[from..at]);
            out.push(3);
            from = at;
            zeros = 0;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
    }
    out.extend_from_slice(&rbsp[from..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a decoder reads: a three after two zeros is taken out, and counts as no zero.
    fn unescaped(payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut zeros = 0;
        for byte in payload {
            if zeros == 2 && *byte == 3 {
                zeros = 0;
                continue;
            }
            zeros = if *byte == 0 { zeros + 1 } else { 0 };
            out.push(*byte);
        }
        out
    }

    #[test]
    fn what_looks_like_a_start_code_is_broken_up() {
        let mut out = Vec::new();
        append(&mut out, SPS, 3, &[0, 0, 1, 0, 0, 0, 0, 0, 3, 9, 0, 0, 4]);
        assert_eq!(out, [0, 0, 0, 1, 0x67, 0, 0, 3, 1, 0, 0, 3, 0, 0, 3, 0, 3, 9, 0, 0, 4]);
    }

    proptest! {
        #[test]
        fn no_start_code_is_inside_and_nothing_is_lost(rbsp in proptest::collection::vec(0u8..5, 0..200)) {
            let mut out = Vec::new();
            append(&mut out, SLICE, 2, &rbsp);
            let payload = &out[5..];
            let forbidden = payload.windows(3).any(|three| three[0] == 0 && three[1] == 0 && three[2] < 3);
            prop_assert!(!forbidden);
            prop_assert_eq!(unescaped(payload), rbsp);
        }
    }
}
