//! What the levels of each codec let a stream have a second.
//!
//! A stream may say a level above what its pictures need, and an encoder that chooses the level takes one that holds the
//! rate. So what bounds a rate is the highest level that there is, whatever the mode.
//!
//! Promises: no more than the standards allow, in kbit/s, in the tier that `nvenc` asks for at such rates: the high one, which
//! there is from level 4 on. Refuses to guess at levels without a rate of their own.

use punktfunk_control::Codec;

/// What is asked of an encoder whose driver does not say how far its levels go.
const UNSAID: u32 = 0;

/// level_idc and MaxBR of H.264 (Table A-1), in units of [`H264_FACTOR`] bits/s.
const H264: [(u32, u32); 19] = [
    (10, 64),
    (11, 192),
    (12, 384),
    (13, 768),
    (20, 2_000),
    (21, 4_000),
    (22, 4_000),
    (30, 10_000),
    (31, 14_000),
    (32, 20_000),
    (40, 20_000),
    (41, 50_000),
    (42, 50_000),
    (50, 135_000),
    (51, 240_000),
    (52, 240_000),
    (60, 240_000),
    (61, 480_000),
    (62, 800_000),
];

/// cpbBrVclFactor of High profile (H.264 Table A-2); High 4:4:4 Predictive has more.
const H264_FACTOR: u64 = 1_250;

/// general_level_idc (30 times the level) and MaxBR of HEVC (A.4.2), from level 4 on that of the high tier, in units of BrVclFactor
/// bits/s, which is 1,000 for Main and Main 10; the 4:4:4 profiles have more.
const HEVC: [(u32, u32); 13] = [
    (30, 128),
    (60, 1_500),
    (63, 3_000),
    (90, 6_000),
    (93, 10_000),
    (120, 30_000),
    (123, 50_000),
    (150, 100_000),
    (153, 160_000),
    (156, 240_000),
    (180, 240_000),
    (183, 480_000),
    (186, 800_000),
];

/// seq_level_idx and MainMbps of AV1 (A.3), from level 4.0 on HighMbps, in kbit/s: its Main profile's factor is 1. Levels that are
/// not there are not defined.
const AV1: [(u32, u32); 14] = [
    (0, 1_500),
    (1, 3_000),
    (4, 6_000),
    (5, 10_000),
    (8, 30_000),
    (9, 50_000),
    (12, 100_000),
    (13, 160_000),
    (14, 240_000),
    (15, 240_000),
    (16, 240_000),
    (17, 480_000),
    (18, 800_000),
    (19, 800_000),
];

/// The most that levels up to `level_max` let a stream have, in kbit/s; `level_max` in the codec's own count, 0 where it
/// is not said. Nothing of what is no coding of pictures.
pub fn kbps_max(codec: Codec, level_max: u32) -> u32 {
    let (levels, factor) = match codec {
        Codec::H264 => (&H264[..], H264_FACTOR),
        Codec::Hevc => (&HEVC[..], 1_000),
        Codec::Av1 => (&AV1[..], 1_000),
        Codec::Pattern => (&[][..], 0),
    };
    let is_there = |level: &&(u32, u32)| level_max == UNSAID || level.0 <= level_max;
    let most = levels.iter().filter(is_there).map(|level| u64::from(level.1)).max().unwrap_or(0);
    u32::try_from(most * factor / 1_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_level_that_there_is_bounds_the_rate() {
        assert_eq!(kbps_max(Codec::H264, 62), 1_000_000);
        assert_eq!(kbps_max(Codec::H264, 51), 300_000);
        assert_eq!((kbps_max(Codec::Hevc, 186), kbps_max(Codec::Hevc, 153)), (800_000, 160_000));
        // 7.3 has no rate of its own: 6.3 is the last that has.
        assert_eq!((kbps_max(Codec::Av1, 23), kbps_max(Codec::Av1, 13)), (800_000, 160_000));
        assert_eq!(kbps_max(Codec::H264, 0), kbps_max(Codec::H264, 62), "a driver that does not say");
        assert_eq!(kbps_max(Codec::Pattern, 0), 0);
    }

    #[test]
    fn levels_rise_and_their_rates_do_not_fall() {
        for levels in [&H264[..], &HEVC[..], &AV1[..]] {
            assert!(levels.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{levels:?}");
        }
    }
}
