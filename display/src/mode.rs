//! A display mode: how many pixels, how often.
//!
//! Promises that a value is within [`crate::limits`]; refuses everything else by name.

use std::fmt;

use crate::{
    DisplayError,
    limits::{REFRESH_MHZ, SIDE_PIXELS_MAX, SIDE_PIXELS_MIN},
};

/// Size and refresh rate of an output. Displays as `1280x720@60Hz`, with three decimals only where the
/// rate needs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mode {
    width: u32,
    height: u32,
    refresh_mhz: u32,
}

impl Mode {
    /// A mode of `width` x `height` pixels at `refresh_mhz` millihertz.
    ///
    /// # Errors
    /// [`DisplayError::ModeImpossible`] outside of [`crate::limits`].
    pub fn new(width: u32, height: u32, refresh_mhz: u32) -> Result<Self, DisplayError> {
        let sides = SIDE_PIXELS_MIN..=SIDE_PIXELS_MAX;
        let why = if !sides.contains(&width) || !sides.contains(&height) {
            format!("each side must be {SIDE_PIXELS_MIN} to {SIDE_PIXELS_MAX} pixels")
        } else if !REFRESH_MHZ.contains(&refresh_mhz) {
            format!("the refresh rate must be {} to {} mHz", REFRESH_MHZ.start(), REFRESH_MHZ.end())
        } else {
            return Ok(Self { width, height, refresh_mhz });
        };
        Err(DisplayError::ModeImpossible { width, height, refresh_mhz, why })
    }

    /// Pixels in a row.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Pictures a second, times 1000.
    pub fn refresh_mhz(&self) -> u32 {
        self.refresh_mhz
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}@{}", self.width, self.height, self.refresh_mhz / 1000)?;
        match self.refresh_mhz % 1000 {
            0 => {}
            rest => write!(f, ".{rest:03}")?,
        }
        f.write_str("Hz")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displays_as_sway_reads_it() {
        assert_eq!(Mode::new(1280, 720, 60_000).unwrap().to_string(), "1280x720@60Hz");
        assert_eq!(Mode::new(2560, 1440, 59_940).unwrap().to_string(), "2560x1440@59.940Hz");
        assert_eq!(Mode::new(16, 16, 1_001).unwrap().to_string(), "16x16@1.001Hz");
    }

    #[test]
    fn refuses_what_no_output_can_be() {
        for (width, height, refresh_mhz) in
            [(0, 720, 60_000), (1280, 16_385, 60_000), (1280, 720, 0), (1280, 720, 480_001), (u32::MAX, 1, 1)]
        {
            let error = Mode::new(width, height, refresh_mhz).unwrap_err();
            assert!(error.to_string().contains("must be"), "{error}");
        }
    }
}
