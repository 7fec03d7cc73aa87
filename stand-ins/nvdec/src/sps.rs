//! What an H.264 sequence parameter set says of sizes (ITU-T H.264 7.3.2.1.1).

/// Sides, crop and references of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sequence {
    /// Coded pixels.
    pub(crate) coded: (u32, u32),
    /// Left, top, right, bottom.
    pub(crate) visible: [i32; 4],
    pub(crate) references: u8,
    pub(crate) is_progressive: bool,
    pub(crate) chroma: i32,
    pub(crate) bits_minus8: (u8, u8),
}

/// Profiles whose sets say more of chroma and depth.
const HIGH: &[u32] = &[100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// Reads the payload of an SPS, behind its header byte.
pub(crate) fn parse(payload: &[u8]) -> Option<Sequence> {
    let bytes = without_escapes(payload);
    let mut bits = Bits { bytes: &bytes, at: 0 };
    let profile = bits.take(8)?;
    bits.take(16)?;
    bits.ue()?;
    let (mut chroma, mut bits_minus8) = (1, (0, 0));
    if HIGH.contains(&profile) {
        chroma = bits.ue()?;
        if chroma == 3 {
            bits.take(1)?;
        }
        bits_minus8 = (u8::try_from(bits.ue()?).ok()?, u8::try_from(bits.ue()?).ok()?);
        bits.take(1)?;
        // Scaling lists: none of ours writes them.
        if bits.take(1)? == 1 {
            return None;
        }
    }
    bits.ue()?;
    match bits.ue()? {
        0 => drop(bits.ue()?),
        1 => return None,
        _ => {}
    }
    let references = bits.ue()?;
    bits.take(1)?;
    let width = bits.ue()?.checked_add(1)?.checked_mul(16)?;
    let map_height = bits.ue()?.checked_add(1)?.checked_mul(16)?;
    let is_progressive = bits.take(1)? == 1;
    let height = if is_progressive { map_height } else { bits.take(1).and(map_height.checked_mul(2))? };
    bits.take(1)?;
    let mut crop = [0_u32; 4];
    if bits.take(1)? == 1 {
        for side in &mut crop {
            *side = bits.ue()?.checked_mul(2)?;
        }
    }
    let [left, right, top, bottom] = crop;
    let edge = |value: u32| i32::try_from(value).ok();
    let visible = [
        edge(left)?,
        edge(top)?,
        edge(width)?.checked_sub(edge(right)?)?,
        edge(height)?.checked_sub(edge(bottom)?)?,
    ];
    let (references, chroma) = (u8::try_from(references).ok()?, i32::try_from(chroma).ok()?);
    Some(Sequence { coded: (width, height), visible, references, is_progressive, chroma, bits_minus8 })
}

/// Takes the bytes out that keep start codes from payloads.
fn without_escapes(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(payload.len());
    let mut zeros = 0;
    for byte in payload {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        bytes.push(*byte);
    }
    bytes
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = *self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    /// An unsigned number in Exp-Golomb code.
    fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.take(1)? == 0 {
            zeros += 1;
        }
        if zeros > 31 {
            return None;
        }
        let rest = self.take(zeros)?;
        ((1_u32 << zeros) - 1).checked_add(rest)
    }
}

#[cfg(test)]
mod tests {
    use punktfunk_codec::I420Buffer;
    use punktfunk_codec::annexb::{NalKind, nals};
    use punktfunk_codec::h264::{Encoder, EncoderConfig};

    use super::*;

    #[test]
    fn openh264s_own_sets_are_read() {
        for (width, height, coded) in
            [(320, 240, (320, 240)), (130, 98, (144, 112)), (1920, 1080, (1920, 1088))]
        {
            let config = EncoderConfig { width, height, refresh_mhz: 60_000, bitrate_kbps: 1000, slices: 1 };
            let mut encoder = Encoder::new(config).unwrap();
            let picture = I420Buffer::new(width, height).unwrap();
            let encoded = encoder.encode(&picture.as_i420(), 0, true).unwrap();
            let au = encoded.bytes().to_vec();
            let sps = nals(&au).find(|nal| nal.kind == NalKind::Sps).unwrap();
            let sequence = parse(&sps.payload[1..]).unwrap();
            assert_eq!(sequence.coded, coded);
            let expected = [0, 0, i32::try_from(width).unwrap(), i32::try_from(height).unwrap()];
            assert_eq!(sequence.visible, expected);
            assert!(sequence.is_progressive && sequence.chroma == 1);
        }
    }

    #[test]
    fn what_is_cut_off_is_none() {
        for length in 0..4 {
            assert_eq!(parse(&[66, 0, 40, 0x80][..length]), None);
        }
        assert_eq!(parse(&[0; 64]), None, "a number of too many zeros");
    }
}
