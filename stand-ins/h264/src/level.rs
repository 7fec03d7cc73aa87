//! Levels (H.264 table A-1): which sizes, rates and numbers of pictures each one holds.

use crate::Refusal;

/// level_idc, macroblocks a second, macroblocks a picture, macroblocks of the decoded picture buffer.
const LEVELS: &[(u8, u32, u32, u32)] = &[
    (10, 1_485, 99, 396),
    (11, 3_000, 396, 900),
    (12, 6_000, 396, 2_376),
    (13, 11_880, 396, 2_376),
    (20, 11_880, 396, 2_376),
    (21, 19_800, 792, 4_752),
    (22, 20_250, 1_620, 8_100),
    (30, 40_500, 1_620, 8_100),
    (31, 108_000, 3_600, 18_000),
    (32, 216_000, 5_120, 20_480),
    (40, 245_760, 8_192, 32_768),
    (41, 245_760, 8_192, 32_768),
    (42, 522_240, 8_704, 34_816),
    (50, 589_824, 22_080, 110_400),
    (51, 983_040, 36_864, 184_320),
    (52, 2_073_600, 36_864, 184_320),
    (60, 4_177_920, 139_264, 696_320),
    (61, 8_355_840, 139_264, 696_320),
    (62, 16_711_680, 139_264, 696_320),
];

/// Pictures that the decoded picture buffer of any level holds at most.
pub(crate) const REFERENCES_MAX: u32 = 16;

/// What a stream asks of its level.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) columns: u32,
    pub(crate) rows: u32,
    /// Pictures a second, rounded up.
    pub(crate) rate: u32,
    pub(crate) references: u32,
}

impl Load {
    fn fits(self, level: &(u8, u32, u32, u32)) -> bool {
        let (_, per_second, per_picture, buffer) = *level;
        let picture = self.columns * self.rows;
        // No side is longer than the square root of eight times the area (A.3.1 h).
        let side = self.columns.max(self.rows);
        picture <= per_picture
            && u64::from(side) * u64::from(side) <= u64::from(per_picture) * 8
            && u64::from(picture) * u64::from(self.rate) <= u64::from(per_second)
            && self.references <= (buffer / picture).min(REFERENCES_MAX)
    }
}

/// The lowest level that holds `load`, or `asked` if that does.
pub(crate) fn choose(load: Load, asked: Option<u8>) -> Result<u8, Refusal> {
    let found =
        LEVELS.iter().find(|level| level.0 >= asked.unwrap_or(0) && load.fits(level)).map(|level| level.0);
    match (found, asked) {
        (Some(found), None) => Ok(found),
        (Some(found), Some(asked)) if found == asked => Ok(found),
        (_, Some(level)) => Err(Refusal::Level { level }),
        (None, None) if load.references > 1 => Err(Refusal::References { references: load.references }),
        (None, None) => Err(Refusal::Size { width: load.columns * 16, height: load.rows * 16 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_those_that_everybody_knows() {
        let load = |width: u32, height: u32, rate, references| Load {
            columns: width.div_ceil(16),
            rows: height.div_ceil(16),
            rate,
            references,
        };
        for (width, height, rate, references, level) in [
            (176, 144, 15, 4, 10),
            (1280, 720, 30, 5, 31),
            (1920, 1080, 30, 4, 40),
            (1920, 1080, 60, 4, 42),
            (1920, 1080, 60, 5, 50),
            (3840, 2160, 60, 5, 52),
            (5120, 2880, 60, 5, 60),
        ] {
            assert_eq!(
                choose(load(width, height, rate, references), None),
                Ok(level),
                "{width}x{height}@{rate}"
            );
        }
        assert_eq!(choose(load(1280, 720, 30, 5), Some(40)), Ok(40));
        assert_eq!(choose(load(1280, 720, 30, 5), Some(30)), Err(Refusal::Level { level: 30 }));
        assert_eq!(choose(load(1280, 720, 30, 17), None), Err(Refusal::References { references: 17 }));
        assert!(matches!(choose(load(16_384, 16_384, 30, 1), None), Err(Refusal::Size { .. })));
    }
}
