//! The size of the pictures that an H.264 sequence parameter set announces (ITU-T H.264, 7.3.2.1.1 and 7.4.2.1.1).
//!
//! Promises: the sides in pixels after cropping; never a panic, whatever the bytes; no memory, and time linear in
//! them. Refuses a set that ends too early or whose sides cannot be.

/// Profiles whose sets say how chroma is sampled; in all others it is 4:2:0.
const PROFILES_WITH_CHROMA: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// Pictures between two reorderings of order counts (7.4.2.1.1).
const ORDER_CYCLE_MAX: u32 = 255;

/// How chroma is sampled (table 6-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chroma {
    /// None, or three planes that are coded each by itself.
    Separate,
    /// Half the width and half the height.
    Yuv420,
    /// Half the width.
    Yuv422,
    /// As many as there is luma.
    Yuv444,
}

impl Chroma {
    /// Luma columns and rows that cropping counts in.
    fn crop_unit(self) -> (u32, u32) {
        match self {
            Self::Separate | Self::Yuv444 => (1, 1),
            Self::Yuv422 => (2, 1),
            Self::Yuv420 => (2, 2),
        }
    }
}

/// Width and height in pixels, from a set's NAL unit without its start code.
pub fn picture_sides(nal: &[u8]) -> Option<(u32, u32)> {
    let mut bits = Rbsp::new(nal.get(1..)?);
    let profile = bits.fixed(8)?;
    // Constraint flags and the level.
    bits.fixed(16)?;
    bits.code()?;
    let chroma = if PROFILES_WITH_CHROMA.contains(&profile) { chroma(&mut bits)? } else { Chroma::Yuv420 };
    // log2_max_frame_num_minus4
    bits.code()?;
    skip_order_count(&mut bits)?;
    // max_num_ref_frames, gaps_in_frame_num_value_allowed_flag
    bits.code()?;
    bits.bit()?;
    let (columns, rows) = (bits.code()?.checked_add(1)?, bits.code()?.checked_add(1)?);
    let is_progressive = bits.bit()? == 1;
    if !is_progressive {
        // mb_adaptive_frame_field_flag
        bits.bit()?;
    }
    // direct_8x8_inference_flag
    bits.bit()?;
    // A map unit is a pair of macroblocks where there are fields, and so is a cropped row.
    let fields = if is_progressive { 1 } else { 2 };
    let (mut width, mut height) = (columns.checked_mul(16)?, rows.checked_mul(16 * fields)?);
    if bits.bit()? == 1 {
        let (unit_x, unit_y) = chroma.crop_unit();
        let [left, right, top, bottom] = [bits.code()?, bits.code()?, bits.code()?, bits.code()?];
        width = width.checked_sub(left.checked_add(right)?.checked_mul(unit_x)?)?;
        height = height.checked_sub(top.checked_add(bottom)?.checked_mul(unit_y * fields)?)?;
    }
    (width > 0 && height > 0).then_some((width, height))
}

/// From `chroma_format_idc` to the scaling lists.
fn chroma(bits: &mut Rbsp<'_>) -> Option<Chroma> {
    let format = bits.code()?;
    let sampled = match format {
        0 => Chroma::Separate,
        1 => Chroma::Yuv420,
        2 => Chroma::Yuv422,
        3 if bits.bit()? == 1 => Chroma::Separate,
        3 => Chroma::Yuv444,
        _ => return None,
    };
    // bit_depth_luma_minus8, bit_depth_chroma_minus8, qpprime_y_zero_transform_bypass_flag
    bits.code()?;
    bits.code()?;
    bits.bit()?;
    if bits.bit()? == 1 {
        for list in 0..if format == 3 { 12 } else { 8 } {
            if bits.bit()? == 1 {
                skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some(sampled)
}

/// One list of `length` factors (7.3.2.1.1.1).
fn skip_scaling_list(bits: &mut Rbsp<'_>, length: u32) -> Option<()> {
    let mut scale = 8;
    for _ in 0..length {
        let delta = bits.signed_code()?;
        if !(-128..=127).contains(&delta) {
            return None;
        }
        // A next scale of 0 leaves all that follow as they are, and no more deltas come.
        scale = (scale + delta).rem_euclid(256);
        if scale == 0 {
            break;
        }
    }
    Some(())
}

/// From `pic_order_cnt_type` to the offsets that it asks for.
fn skip_order_count(bits: &mut Rbsp<'_>) -> Option<()> {
    match bits.code()? {
        0 => {
            bits.code()?;
        }
        1 => {
            bits.bit()?;
            bits.code()?;
            bits.code()?;
            let cycle = bits.code()?;
            if cycle > ORDER_CYCLE_MAX {
                return None;
            }
            for _ in 0..cycle {
                bits.code()?;
            }
        }
        2 => {}
        _ => return None,
    }
    Some(())
}

/// A NAL unit's bits, without the bytes that keep start codes out of it (7.4.1.1).
struct Rbsp<'a> {
    bytes: std::slice::Iter<'a, u8>,
    zeros: u8,
    byte: u8,
    bits_left: u8,
}

impl<'a> Rbsp<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes: bytes.iter(), zeros: 0, byte: 0, bits_left: 0 }
    }

    fn bit(&mut self) -> Option<u32> {
        if self.bits_left == 0 {
            let mut byte = *self.bytes.next()?;
            if self.zeros >= 2 && byte == 3 {
                self.zeros = 0;
                byte = *self.bytes.next()?;
            }
            self.zeros = if byte == 0 { self.zeros.saturating_add(1) } else { 0 };
            (self.byte, self.bits_left) = (byte, 8);
        }
        self.bits_left -= 1;
        Some(u32::from(self.byte >> self.bits_left & 1))
    }

    /// As many bits, at most 32, the highest first.
    fn fixed(&mut self, bits: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..bits {
            value = value << 1 | self.bit()?;
        }
        Some(value)
    }

    /// An unsigned Exp-Golomb code (9.1) of at most 31 bits behind its zeros.
    fn code(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let rest = self.fixed(zeros)?;
        ((1_u32 << zeros) - 1).checked_add(rest)
    }

    /// A signed one (9.1.1).
    fn signed_code(&mut self) -> Option<i64> {
        let code = i64::from(self.code()?);
        Some(if code % 2 == 0 { -(code / 2) } else { code / 2 + 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seeded, and said.
    struct Random(u64);

    impl Random {
        fn announced() -> Self {
            let seed =
                std::env::var("PUNKTFUNK_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
            eprintln!("PUNKTFUNK_TEST_SEED={seed}");
            Self(seed)
        }

        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        }

        fn below(&mut self, bound: u32) -> u32 {
            (self.next() % u64::from(bound)) as u32
        }
    }

    /// Writes what the parser reads.
    #[derive(Default)]
    struct Writer {
        bits: Vec<u8>,
    }

    impl Writer {
        fn fixed(&mut self, value: u64, bits: u32) {
            self.bits.extend((0..bits).rev().map(|bit| (value >> bit & 1) as u8));
        }

        fn code(&mut self, value: u32) {
            let coded = u64::from(value) + 1;
            let bits = 64 - coded.leading_zeros();
            self.fixed(0, bits - 1);
            self.fixed(coded, bits);
        }

        fn signed_code(&mut self, value: i32) {
            let code = if value > 0 { 2 * value - 1 } else { -2 * value };
            self.code(code as u32);
        }

        /// The NAL unit, with its stop bit and the bytes that keep start codes out.
        fn nal(mut self) -> Vec<u8> {
            self.bits.push(1);
            self.bits.resize(self.bits.len().next_multiple_of(8), 0);
            let (mut nal, mut zeros) = (vec![0x67], 0);
            for eight in self.bits.chunks(8) {
                let byte = eight.iter().fold(0, |byte, bit| byte << 1 | bit);
                if zeros == 2 && byte <= 3 {
                    nal.push(3);
                    zeros = 0;
                }
                zeros = if byte == 0 { zeros + 1 } else { 0 };
                nal.push(byte);
            }
            nal
        }
    }

    fn write_chroma(writer: &mut Writer, random: &mut Random) -> (u32, u32) {
        let format = random.below(4);
        writer.code(format);
        let is_separate = format == 3 && random.below(2) == 1;
        if format == 3 {
            writer.fixed(is_separate.into(), 1);
        }
        writer.code(random.below(7));
        writer.code(random.below(7));
        writer.fixed(0, 1);
        let has_lists = random.below(2);
        writer.fixed(has_lists.into(), 1);
        for list in 0..if format == 3 { 12 } else { 8 } * has_lists {
            let has_list = random.below(2);
            writer.fixed(has_list.into(), 1);
            let (mut last, mut length) = (8_i32, if list < 6 { 16 } else { 64 } * has_list);
            while length > 0 {
                let next = if random.below(20) == 0 { 0 } else { 1 + random.below(255) as i32 };
                let delta = (next - last + 128).rem_euclid(256) - 128;
                writer.signed_code(delta);
                (last, length) = (next, if next == 0 { 0 } else { length - 1 });
            }
        }
        match (format, is_separate) {
            (1, _) => (2, 2),
            (2, _) => (2, 1),
            _ => (1, 1),
        }
    }

    fn write_order_count(writer: &mut Writer, random: &mut Random) {
        let kind = random.below(3);
        writer.code(kind);
        match kind {
            0 => writer.code(random.below(13)),
            1 => {
                writer.fixed(1, 1);
                writer.signed_code(-4);
                writer.signed_code(1 << 20);
                let cycle = random.below(256);
                writer.code(cycle);
                (0..cycle).for_each(|_| writer.signed_code(random.below(1000) as i32 - 500));
            }
            _ => {}
        }
    }

    /// A set with fields of every kind, and the sides that it announces.
    fn any_set(random: &mut Random) -> (Vec<u8>, (u32, u32)) {
        let mut writer = Writer::default();
        let has_chroma = random.below(2) == 1;
        writer.fixed(if has_chroma { 244 } else { 66 }, 8);
        writer.fixed(0, 16);
        writer.code(random.below(32));
        let (unit_x, unit_y) = if has_chroma { write_chroma(&mut writer, random) } else { (2, 2) };
        writer.code(random.below(13));
        write_order_count(&mut writer, random);
        writer.code(random.below(17));
        writer.fixed(0, 1);
        let (columns, rows, fields) =
            (1 + random.below(1 << 10), 1 + random.below(1 << 9), 1 + random.below(2));
        writer.code(columns - 1);
        writer.code(rows - 1);
        writer.fixed((fields == 1).into(), 1);
        if fields == 2 {
            writer.fixed(0, 1);
        }
        writer.fixed(1, 1);
        let has_cropping = random.below(2);
        writer.fixed(has_cropping.into(), 1);
        let cropped = [(); 4].map(|()| has_cropping * random.below(4));
        if has_cropping == 1 {
            cropped.iter().for_each(|&count| writer.code(count));
        }
        let [left, right, top, bottom] = cropped;
        let sides =
            (columns * 16 - (left + right) * unit_x, rows * 16 * fields - (top + bottom) * unit_y * fields);
        // What is behind it, the VUI among it, does not matter.
        writer.fixed(random.next(), 64);
        (writer.nal(), sides)
    }

    #[test]
    fn what_x264_writes_is_read() {
        // Profiles, interlacing, sampling and cropping differ; the sides are what ffprobe reads.
        for (set, sides) in [
            ("6742c028d900780227e5c044000003000400000300f03c60c920", (1920, 1080)),
            ("6764001facb200a00b760220000003002000000781e30649", (1280, 720)),
            ("6764001face402d0936022000003000200000300783e2c5c90", (720, 576)),
            ("67640028ace401e0113f780880000003008000001e0f8b1724", (1920, 1080)),
            ("67f4001f919640360f78bbc044000003000400000300f03c60c920", (854, 478)),
            ("677a001fbcb201b07bcde022000003000200000300781e306490", (854, 480)),
            ("6764001ff2c806c1ef17e02d90000003001000000303c0f1832480", (854, 480)),
            ("67f4001f919640360f78dbc044000003000400000300f03c60c920", (852, 478)),
        ] {
            let nal: Vec<u8> = (0..set.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&set[at..at + 2], 16).unwrap())
                .collect();
            assert_eq!(picture_sides(&nal), Some(sides), "{set}");
        }
    }

    #[test]
    fn every_kind_of_set_is_read_and_a_cut_one_refused() {
        let mut random = Random::announced();
        for round in 0..2_000 {
            let (nal, sides) = any_set(&mut random);
            assert_eq!(picture_sides(&nal), Some(sides), "round {round}: {nal:02x?}");
            // A set that is cut announces nothing, or is cut behind what it announces.
            let read: Vec<_> = (0..nal.len()).map(|kept| picture_sides(&nal[..kept])).collect();
            let whole = read.iter().position(Option::is_some).unwrap_or(read.len());
            assert!(whole > 5, "round {round}: {whole} bytes are no set");
            assert!(read[whole..].iter().all(|&read| read == Some(sides)), "round {round}: {nal:02x?}");
        }
    }

    #[test]
    fn hostile_bytes_are_refused_or_read_and_never_more() {
        let mut random = Random::announced();
        for round in 0..50_000_u32 {
            let mut nal = if round % 2 == 0 {
                any_set(&mut random).0
            } else {
                (0..random.below(64)).map(|_| random.next() as u8 & random.next() as u8).collect()
            };
            for _ in 0..random.below(4) {
                if let Some(count) = u32::try_from(nal.len()).ok().filter(|&count| count > 0) {
                    nal[random.below(count) as usize] ^= 1 << random.below(8);
                }
            }
            if let Some((width, height)) = picture_sides(&nal) {
                assert!(width > 0 && height > 0);
            }
        }
        for nal in [&[][..], &[0x67], &[0; 100], &[0xff; 100], &[0, 0, 3, 0, 0, 3]] {
            let _ = picture_sides(nal);
        }
    }

    #[test]
    fn sides_that_cannot_be_are_refused() {
        let set = |columns: u32, right: u32| {
            let mut writer = Writer::default();
            writer.fixed(66, 8);
            writer.fixed(0, 16);
            [0, 0, 2, 1].into_iter().for_each(|value| writer.code(value));
            writer.fixed(0, 1);
            writer.code(columns - 1);
            writer.code(0);
            writer.fixed(0b111, 3);
            [0, right, 0, 0].into_iter().for_each(|value| writer.code(value));
            picture_sides(&writer.nal())
        };
        assert_eq!(set(1, 7), Some((2, 16)));
        for (columns, right) in [(1, 8), (1, 9), (u32::MAX, 0), (1 << 28, 0), (1, u32::MAX - 1)] {
            assert_eq!(set(columns, right), None, "{columns} columns less {right}");
        }
    }
}
