//! What a session is asked for, and what of it this card does: pure, so that every choice can be tested without a card.
//!
//! Promises: what cannot be is refused before the driver is asked, by name; what is chosen is within the caps. A card that
//! lacks something that only costs latency or bits (sub-frame readback, invalidation, a VBV of one's own) is used without it,
//! and the plan says so.

use crate::caps::{Caps, Codec, Format};
use crate::error::{Lack, NvencError};
use crate::hdr::Hdr;
use crate::limits::{REFERENCES, SLICES_MAX, VBV_UNIT_BITS};
use crate::sys::{
    Api, NV_ENC_VUI_COLOR_PRIMARIES, NV_ENC_VUI_COLOR_PRIMARIES_BT709, NV_ENC_VUI_COLOR_PRIMARIES_BT2020,
    NV_ENC_VUI_MATRIX_COEFFS, NV_ENC_VUI_MATRIX_COEFFS_BT709, NV_ENC_VUI_MATRIX_COEFFS_BT2020_NCL,
    NV_ENC_VUI_TRANSFER_CHARACTERISTIC, NV_ENC_VUI_TRANSFER_CHARACTERISTIC_BT709,
    NV_ENC_VUI_TRANSFER_CHARACTERISTIC_SMPTE2084,
};

/// The bitrate that 32 bits of bits a second have room for.
pub const BITRATE_KBPS_MAX: u32 = 4_000_000;

/// From this size on one engine is slower than a display: 5K.
const SPLIT_PIXELS_MIN: u64 = 5120 * 2160;

/// From this rate on, too: 4K at 144 pictures a second.
const SPLIT_PIXELS_PER_SECOND_MIN: u64 = 3840 * 2160 * 144;

/// Pictures a second, as a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Pictures …
    pub pictures: u32,
    /// … in so many seconds.
    pub seconds: u32,
}

impl Rate {
    /// So many a second.
    #[must_use]
    pub const fn per_second(pictures: u32) -> Rate {
        Rate { pictures, seconds: 1 }
    }

    /// Rounded up.
    fn ceil(self) -> u32 {
        self.pictures.div_ceil(self.seconds.max(1))
    }
}

/// What the numbers of a picture mean, as the bitstream tells the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour {
    /// Primaries.
    pub primaries: NV_ENC_VUI_COLOR_PRIMARIES,
    /// Transfer characteristics.
    pub transfer: NV_ENC_VUI_TRANSFER_CHARACTERISTIC,
    /// Matrix.
    pub matrix: NV_ENC_VUI_MATRIX_COEFFS,
    /// Full range.
    pub is_full_range: bool,
}

impl Colour {
    /// BT.709, limited range.
    pub const BT709: Colour = Colour {
        primaries: NV_ENC_VUI_COLOR_PRIMARIES_BT709,
        transfer: NV_ENC_VUI_TRANSFER_CHARACTERISTIC_BT709,
        matrix: NV_ENC_VUI_MATRIX_COEFFS_BT709,
        is_full_range: false,
    };
    /// BT.2020 with the PQ curve, limited range: HDR10.
    pub const HDR10: Colour = Colour {
        primaries: NV_ENC_VUI_COLOR_PRIMARIES_BT2020,
        transfer: NV_ENC_VUI_TRANSFER_CHARACTERISTIC_SMPTE2084,
        matrix: NV_ENC_VUI_MATRIX_COEFFS_BT2020_NCL,
        is_full_range: false,
    };
}

/// Columns of intra blocks that wander through the pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refresh {
    /// Pictures from the begin of one to that of the next.
    pub period: u32,
    /// Pictures that one takes.
    pub length: u32,
}

/// What a session shall do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// The bitstream's kind.
    pub codec: Codec,
    /// The input's.
    pub format: Format,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// The widest that [`crate::Session::reconfigure`] may change to; `width` where it is less.
    pub width_max: u32,
    /// The highest.
    pub height_max: u32,
    /// How many pictures.
    pub rate: Rate,
    /// How many bits.
    pub bitrate_kbps: u32,
    /// Slices of each picture (tiles in AV1).
    pub slices: u32,
    /// Intra refresh all the time.
    pub refresh: Option<Refresh>,
    /// What the numbers mean.
    pub colour: Colour,
    /// The mastering display and the light levels; told with each IDR.
    pub hdr: Option<Hdr>,
}

impl Config {
    /// A session of eight bits, 4:2:0, BT.709, four slices, whose size does not change.
    #[must_use]
    pub fn new(codec: Codec, width: u32, height: u32, rate: Rate, bitrate_kbps: u32) -> Config {
        Config {
            codec,
            format: Format::Nv12,
            width,
            height,
            width_max: width,
            height_max: height,
            rate,
            bitrate_kbps,
            slices: 4,
            refresh: None,
            colour: Colour::BT709,
            hdr: None,
        }
    }
}

/// How finished slices are got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readback {
    /// One by one, while the rest is encoded.
    SubFrame,
    /// All at once: the card cannot do otherwise, or is not believed to.
    Whole,
    /// All at once, since so many engines encode a part each: the picture is too large for one.
    Split {
        /// How many.
        engines: u32,
    },
}

/// What of a [`Config`] a card does, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// How slices are got.
    pub readback: Readback,
    /// Slices of each picture.
    pub slices: u32,
    /// The decoded picture buffer's depth.
    pub references: u32,
    /// Whether references can be invalidated, so that a loss takes no IDR.
    pub invalidates: bool,
    /// Bits; 0 where the driver chooses.
    pub vbv_bits: u32,
    /// Intra refresh.
    pub refresh: Option<Refresh>,
    /// The largest size of the session; none where it cannot change.
    pub size_max: Option<(u32, u32)>,
    /// How much a level lets the stream have.
    pub tier: Tier,
}

/// How much a level lets a stream have a second, as HEVC and AV1 count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// What there is in each level; AV1's tier 0. H.264 has no other.
    Main,
    /// Several times as much, from level 4 on; AV1's tier 1.
    High,
}

impl Tier {
    /// The most pixels of level 3.1, the last one without a high tier: MaxLumaPs of HEVC (Table A.8), MaxPicSize of AV1 (A.3).
    const HEVC_MAIN_PIXELS: u64 = 983_040;
    const AV1_MAIN_PIXELS: u64 = 1_065_024;
    /// And the most that it lets a stream have, in kbit/s: MaxBR of HEVC (Table A.9), MainMbps of AV1.
    const MAIN_ALONE_KBPS: u32 = 10_000;

    /// The tier of such a stream: the high one, wherever its size or its rate takes a level that has one.
    #[must_use]
    pub fn of(config: &Config) -> Tier {
        let pixels_max = match config.codec {
            Codec::H264 => return Tier::Main,
            Codec::Hevc => Self::HEVC_MAIN_PIXELS,
            Codec::Av1 => Self::AV1_MAIN_PIXELS,
        };
        let pixels = u64::from(config.width) * u64::from(config.height);
        let is_above = pixels > pixels_max || config.bitrate_kbps > Self::MAIN_ALONE_KBPS;
        if is_above { Tier::High } else { Tier::Main }
    }

    /// Whether the highest level of the main one holds so many bits: HEVC's 6.2 and AV1's 6.3. H.264's levels are not looked at
    /// here, nor is where the high tier ends.
    pub(crate) fn holds(self, codec: Codec, kbps: u32) -> bool {
        match (codec, self) {
            (Codec::H264, _) | (_, Tier::High) => true,
            (Codec::Hevc, Tier::Main) => kbps <= 240_000,
            (Codec::Av1, Tier::Main) => kbps <= 160_000,
        }
    }
}

/// Chooses.
///
/// # Errors
/// The card cannot do it, or nothing can.
pub fn plan(config: &Config, caps: &Caps, api: Api, device: &str) -> Result<Plan, NvencError> {
    check_request(config)?;
    let able = check_able(config, caps, api);
    let (codec, device) = (config.codec, device.to_owned());
    able.map_err(|what| NvencError::Unable { device, codec, what })?;
    let readback = readback(config, caps, api);
    let invalidates = caps.invalidation && caps.many_references;
    let size_max = (config.width_max.max(config.width), config.height_max.max(config.height));
    let fits = size_max.0 <= caps.width_max && size_max.1 <= caps.height_max;
    Ok(Plan {
        readback,
        slices: slices(config, readback),
        references: if invalidates { REFERENCES } else { 1 },
        invalidates,
        vbv_bits: if caps.vbv { vbv_bits(config.bitrate_kbps, config.rate) } else { 0 },
        refresh: config.refresh.filter(|_| caps.intra_refresh),
        size_max: (caps.live_size && fits).then_some(size_max),
        tier: Tier::of(config),
    })
}

fn is_odd(side: u32) -> bool {
    side & 1 == 1
}

/// What no card can follow.
pub(crate) fn check_request(config: &Config) -> Result<(), NvencError> {
    let wrong = if config.width == 0 || config.height == 0 {
        "a picture without pixels"
    } else if !config.format.is_full_chroma() && (is_odd(config.width) || is_odd(config.height)) {
        "an odd width or height with half the chroma"
    } else if config.rate.pictures == 0 || config.rate.seconds == 0 {
        "a picture rate of nothing"
    } else if config.bitrate_kbps == 0 || config.bitrate_kbps > BITRATE_KBPS_MAX {
        "a bitrate outside 1 to 4,000,000 kbit/s"
    } else if config.slices == 0 || config.slices > SLICES_MAX {
        "a number of slices outside 1 to 32"
    } else if config.refresh.is_some_and(|refresh| refresh.length == 0 || refresh.length >= refresh.period) {
        "an intra refresh that is not shorter than its period"
    } else if config.hdr.is_some() && !config.format.is_ten_bits() {
        "HDR metadata for eight bits"
    } else {
        return Ok(());
    };
    Err(NvencError::Request { what: wrong })
}

/// What this card cannot.
fn check_able(config: &Config, caps: &Caps, api: Api) -> Result<(), Lack> {
    let &Config { codec, width, height, .. } = config;
    let (width_max, height_max) = (caps.width_max, caps.height_max);
    let too_large = Lack::TooLarge { width, height, width_max, height_max, codec };
    let blocks = u64::from(width.div_ceil(16)) * u64::from(height.div_ceil(16));
    let many_blocks = caps.blocks_max != 0 && blocks > u64::from(caps.blocks_max);
    if width > width_max || height > height_max || many_blocks {
        return Err(too_large);
    }
    if width < caps.width_min || height < caps.height_min {
        let (width_min, height_min) = (caps.width_min, caps.height_min);
        return Err(Lack::TooSmall { width, height, width_min, height_min });
    }
    let rate = config.rate.ceil();
    let level_max = if caps.level_max == 0 { u32::MAX } else { caps.level_max };
    if codec == Codec::H264 && h264_level(width, height, rate).is_none_or(|level| level > level_max) {
        return Err(Lack::Level { width, height, rate, level_max: caps.level_max });
    }
    // High 10 came with 13.0, and 12.1 has no word for it.
    let ten_bits = caps.ten_bits && (codec != Codec::H264 || api >= Api::V13_0);
    if config.format.is_ten_bits() && !ten_bits {
        return Err(Lack::TenBits);
    }
    if config.format.is_full_chroma() && (!caps.full_chroma || codec == Codec::Av1) {
        return Err(Lack::FullChroma);
    }
    if !caps.formats.contains(&config.format) {
        return Err(Lack::Format(config.format.name()));
    }
    if caps.constant_bitrate { Ok(()) } else { Err(Lack::ConstantBitrate) }
}

/// Several engines where one is too slow for the size, and slices on the way where one is enough: a card does not do both.
///
/// AV1 is read whole: tiles are no units of their own. Where a card writes all of them into one OBU, its size, and theirs, stand
/// before bytes that were sent already; whether one does, NVIDIA does not say.
fn readback(config: &Config, caps: &Caps, api: Api) -> Readback {
    let pixels = u64::from(config.width) * u64::from(config.height);
    let is_large =
        pixels >= SPLIT_PIXELS_MIN || pixels * u64::from(config.rate.ceil()) >= SPLIT_PIXELS_PER_SECOND_MIN;
    let engines = caps.engines.min(if api >= Api::V13_0 { 4 } else { 3 });
    if is_large && engines > 1 && config.codec != Codec::H264 {
        Readback::Split { engines }
    } else if caps.sub_frame && config.codec != Codec::Av1 {
        Readback::SubFrame
    } else {
        Readback::Whole
    }
}

/// As many as were asked for, and as there are rows of blocks.
pub(crate) fn slices(config: &Config, readback: Readback) -> u32 {
    let row = match config.codec {
        Codec::H264 => 16,
        // As large as a card makes its coding trees.
        Codec::Hevc | Codec::Av1 => 64,
    };
    let rows = config.height.div_ceil(row);
    let most = config.slices.clamp(1, SLICES_MAX).min(rows);
    // Slices of so many whole rows: twelve rows are no eight slices, but six.
    let most = rows.div_ceil(rows.div_ceil(most));
    match (config.codec, readback) {
        // Rows of tiles halve the picture, and halve it again: as often as whole rows of blocks allow (AV1 5.9.15).
        (Codec::Av1, _) => {
            let halved = (0..=most.ilog2()).rev().map(|times| 1 << times);
            halved.clone().find(|tiles| rows.div_ceil(rows.div_ceil(*tiles)) == *tiles).unwrap_or(1)
        }
        // An engine's part ends where a slice ends.
        (_, Readback::Split { engines }) => {
            most.next_multiple_of(engines).min(SLICES_MAX / engines * engines)
        }
        _ => most,
    }
}

/// One picture's share of the bitrate, so that none takes longer to send than it is shown.
#[must_use]
pub fn vbv_bits(bitrate_kbps: u32, rate: Rate) -> u32 {
    let bits = u64::from(bitrate_kbps) * 1000 * u64::from(rate.seconds);
    let bits = bits.div_ceil(u64::from(rate.pictures.max(1)));
    let unit = u64::from(VBV_UNIT_BITS);
    let most = u64::from(u32::MAX) / unit * unit;
    u32::try_from(bits.next_multiple_of(unit).clamp(unit, most)).unwrap_or(u32::MAX)
}

/// The lowest level of H.264 (as level_idc) that holds such pictures: Table A-1's frame size and macroblock rate, and A.3.1's
/// limit on each side.
#[must_use]
pub fn h264_level(width: u32, height: u32, rate: u32) -> Option<u32> {
    /// level_idc, MaxMBPS, MaxFS.
    const LEVELS: [(u32, u64, u64); 19] = [
        (10, 1_485, 99),
        (11, 3_000, 396),
        (12, 6_000, 396),
        (13, 11_880, 396),
        (20, 11_880, 396),
        (21, 19_800, 792),
        (22, 20_250, 1_620),
        (30, 40_500, 1_620),
        (31, 108_000, 3_600),
        (32, 216_000, 5_120),
        (40, 245_760, 8_192),
        (41, 245_760, 8_192),
        (42, 522_240, 8_704),
        (50, 589_824, 22_080),
        (51, 983_040, 36_864),
        (52, 2_073_600, 36_864),
        (60, 4_177_920, 139_264),
        (61, 8_355_840, 139_264),
        (62, 16_711_680, 139_264),
    ];
    let (columns, rows) = (u64::from(width.div_ceil(16)), u64::from(height.div_ceil(16)));
    let blocks = columns * rows;
    let fits = |&&(_, per_second, frame): &&(u32, u64, u64)| {
        blocks <= frame
            && blocks * u64::from(rate) <= per_second
            && columns * columns <= 8 * frame
            && rows * rows <= 8 * frame
    };
    LEVELS.iter().find(fits).map(|level| level.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caps::tests::common;
    use proptest::prelude::*;

    fn config(codec: Codec, width: u32, height: u32, rate: u32) -> Config {
        Config::new(codec, width, height, Rate::per_second(rate), 20_000)
    }

    fn chosen(config: &Config, caps: &Caps) -> Plan {
        plan(config, caps, Api::V13_0, "a card").expect("it can be done")
    }

    fn lack(config: &Config, caps: &Caps, api: Api) -> Lack {
        match plan(config, caps, api, "a card") {
            Err(NvencError::Unable { what, .. }) => what,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_common_mode_gets_slices_on_the_way() {
        let plan = chosen(&config(Codec::H264, 1920, 1080, 60), &common(Codec::H264));
        assert_eq!(plan.readback, Readback::SubFrame);
        assert_eq!((plan.slices, plan.references, plan.invalidates), (4, REFERENCES, true));
        assert_eq!(plan.vbv_bits, 333_344, "a sixtieth of 20 Mbit/s, in units of 16 bits");
        assert_eq!(plan.size_max, Some((1920, 1080)));
    }

    #[test]
    fn five_k_is_split_where_there_are_engines_for_it() {
        let mut caps = common(Codec::Hevc);
        let five_k = config(Codec::Hevc, 5120, 2880, 60);
        assert_eq!(chosen(&five_k, &caps).readback, Readback::Split { engines: 2 });
        caps.engines = 1;
        assert_eq!(chosen(&five_k, &caps).readback, Readback::SubFrame);
        caps.engines = 8;
        assert_eq!(chosen(&five_k, &caps).readback, Readback::Split { engines: 4 });
        let old = plan(&five_k, &caps, Api::V12_1, "a card").expect("it can be done");
        assert_eq!(old.readback, Readback::Split { engines: 3 }, "12.1 has no word for four");
        assert_eq!(old.slices, 6, "as many for each engine");
        assert_eq!(chosen(&config(Codec::Hevc, 3840, 2160, 60), &caps).readback, Readback::SubFrame);
        caps.sub_frame = false;
        assert_eq!(chosen(&config(Codec::Hevc, 1920, 1080, 60), &caps).readback, Readback::Whole);
    }

    #[test]
    fn tiles_are_not_taken_before_the_last() {
        let plan = chosen(&config(Codec::Av1, 1920, 1080, 60), &common(Codec::Av1));
        assert_eq!((plan.readback, plan.slices), (Readback::Whole, 4));
    }

    #[test]
    fn what_a_card_lacks_is_said_by_name() {
        let caps = common(Codec::H264);
        let five_k = lack(&config(Codec::H264, 5120, 2880, 60), &caps, Api::V13_0);
        assert!(five_k.to_string().contains("HEVC"), "{five_k}");
        assert!(matches!(lack(&config(Codec::H264, 64, 64, 60), &caps, Api::V13_0), Lack::TooSmall { .. }));
        let old = Caps { level_max: 51, ..common(Codec::H264) };
        assert!(matches!(lack(&config(Codec::H264, 3840, 2160, 120), &old, Api::V13_0), Lack::Level { .. }));
        let ten = Config { format: Format::P010, ..config(Codec::H264, 1920, 1080, 60) };
        assert_eq!(lack(&ten, &caps, Api::V13_0), Lack::TenBits);
        let blackwell = Caps { ten_bits: true, ..common(Codec::H264) };
        assert!(plan(&ten, &blackwell, Api::V13_0, "a card").is_ok());
        assert_eq!(lack(&ten, &blackwell, Api::V12_1), Lack::TenBits, "12.1 has no profile for it");
        let full = Config { format: Format::Yuv444, ..config(Codec::Av1, 1920, 1080, 60) };
        assert_eq!(lack(&full, &common(Codec::Av1), Api::V13_0), Lack::FullChroma);
        let bare = Caps { formats: vec![], ..common(Codec::H264) };
        assert_eq!(lack(&config(Codec::H264, 1920, 1080, 60), &bare, Api::V13_0), Lack::Format("NV12"));
    }

    #[test]
    fn what_only_costs_is_done_without() {
        let caps = Caps {
            many_references: false,
            vbv: false,
            intra_refresh: false,
            live_size: false,
            ..common(Codec::H264)
        };
        let refresh = Some(Refresh { period: 60, length: 30 });
        let plan = chosen(&Config { refresh, ..config(Codec::H264, 1280, 720, 60) }, &caps);
        assert_eq!((plan.invalidates, plan.references, plan.vbv_bits), (false, 1, 0));
        assert_eq!((plan.refresh, plan.size_max), (None, None));
    }

    #[test]
    fn a_request_that_cannot_be_is_refused() {
        let good = config(Codec::Hevc, 1280, 720, 60);
        let hdr = Some(Hdr::default());
        for (wrong, word) in [
            (Config { width: 0, ..good }, "pixels"),
            (Config { height: 721, ..good }, "odd"),
            (Config { rate: Rate { pictures: 0, seconds: 1 }, ..good }, "rate"),
            (Config { bitrate_kbps: BITRATE_KBPS_MAX + 1, ..good }, "bitrate"),
            (Config { slices: 33, ..good }, "slices"),
            (Config { refresh: Some(Refresh { period: 5, length: 5 }), ..good }, "refresh"),
            (Config { hdr, ..good }, "HDR"),
        ] {
            let error = check_request(&wrong).expect_err(word);
            assert!(error.to_string().contains(word), "{error}");
        }
    }

    /// By hand from the tables: 720p at 10 Mbit/s is had in level 3.1, which has no high tier.
    #[test]
    fn the_tier_is_high_wherever_the_stream_takes_a_level_that_has_one() {
        let of = |codec, (width, height), kbps| {
            Tier::of(&Config::new(codec, width, height, Rate::per_second(60), kbps))
        };
        for codec in [Codec::Hevc, Codec::Av1] {
            assert_eq!(of(codec, (1280, 720), 10_000), Tier::Main);
            assert_eq!(of(codec, (1280, 720), 10_001), Tier::High);
            assert_eq!(of(codec, (1920, 1080), 1_000), Tier::High);
            assert_eq!(of(codec, (8192, 4320), 800_000), Tier::High);
            assert!(Tier::Main.holds(codec, 160_000) && !Tier::Main.holds(codec, 240_001));
        }
        assert_eq!(of(Codec::Hevc, (960, 1024), 1_000), Tier::Main);
        assert_eq!(of(Codec::Hevc, (960, 1025), 1_000), Tier::High);
        assert_eq!(of(Codec::Av1, (960, 1025), 1_000), Tier::Main);
        assert_eq!(of(Codec::H264, (4096, 4096), 900_000), Tier::Main);
    }

    #[test]
    fn levels_are_those_of_the_table() {
        assert_eq!(h264_level(1920, 1080, 60), Some(42));
        assert_eq!(h264_level(1920, 1080, 30), Some(40));
        assert_eq!(h264_level(3840, 2160, 60), Some(52));
        assert_eq!(h264_level(3840, 2160, 120), Some(60));
        assert_eq!(h264_level(176, 144, 15), Some(10));
        assert_eq!(h264_level(8192, 4352, 60), Some(61));
        assert_eq!(h264_level(16384, 8192, 60), None);
    }

    #[test]
    fn slices_are_of_whole_rows() {
        let of = |height, slices| slices_of(Codec::H264, height, slices);
        assert_eq!(of(192, 8), 6, "twelve rows, two each");
        assert_eq!((of(1080, 4), of(1080, 8), of(2160, 16)), (4, 8, 15));
        assert_eq!((of(64, 32), of(16, 4)), (4, 1));
        assert_eq!((slices_of(Codec::Hevc, 1080, 4), slices_of(Codec::Av1, 1080, 6)), (4, 4));
        assert_eq!(
            slices_of(Codec::Av1, 2160, 8),
            4,
            "eight would be five rows of blocks each, of 34: seven"
        );
    }

    fn slices_of(codec: Codec, height: u32, slices: u32) -> u32 {
        super::slices(&Config { slices, ..config(codec, 1920, height, 60) }, Readback::SubFrame)
    }

    proptest! {
        #[test]
        fn every_plan_is_within_its_bounds(
            width in 73u32..4096, height in 25u32..4096, slices in 1u32..=32, engines in 1u32..8, codec in 0usize..3,
            kbps in 1u32..=BITRATE_KBPS_MAX, rate in 1u32..1000,
        ) {
            let codec = Codec::ALL[codec];
            let caps = Caps { engines, ..common(codec) };
            let mut config = config(codec, 2 * width, 2 * height, rate);
            (config.slices, config.bitrate_kbps) = (slices, kbps);
            if let Ok(plan) = plan(&config, &caps, Api::V13_0, "a card") {
                prop_assert!((1..=SLICES_MAX).contains(&plan.slices));
                prop_assert!(plan.slices.is_power_of_two() || codec != Codec::Av1);
                prop_assert!(plan.vbv_bits >= VBV_UNIT_BITS && plan.vbv_bits % VBV_UNIT_BITS == 0);
                let share = u64::from(kbps) * 1000 / u64::from(rate);
                prop_assert!(u64::from(plan.vbv_bits) + u64::from(VBV_UNIT_BITS) >= share);
                if let Readback::Split { engines } = plan.readback {
                    prop_assert!(codec != Codec::H264 && engines <= 4);
                }
            }
        }
    }
}
