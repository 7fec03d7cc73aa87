//! The encoder that pictures go through where no GPU's is taken: openh264, on the CPU.

use std::time::Duration;

use punktfunk_codec::h264::{Encoder, EncoderConfig};
use punktfunk_codec::{CodecError, I420Buffer};
use rustix::time::{ClockId, clock_gettime};

use crate::Verdict;
use crate::limits::PICTURES;

/// What is measured: a desktop of the usual size.
const CONFIG: EncoderConfig =
    EncoderConfig { width: 1920, height: 1080, refresh_mhz: 60_000, bitrate_kbps: 20_000, slices: 4 };

/// A picture's time at 60 Hz, less a fifth for all that is done beside the encoder.
const PICTURE_MAX: Duration = Duration::from_micros(13_333);

/// Measures it by its own CPU time, so that a busy machine does not count against it.
pub(crate) fn encoder() -> Verdict {
    match measure() {
        Ok(time) => judge(time),
        Err(error) => Verdict::broken(
            format!("openh264 (software) does not encode: {error}"),
            "that is a fault of this build: install it anew, and report it",
        ),
    }
}

fn judge(time: Duration) -> Verdict {
    let ms = time.as_secs_f64() * 1e3;
    let found = format!(
        "openh264 (software), which is there whatever the GPU is: 1920×1080 takes {ms:.1} ms of one core for each picture"
    );
    if time <= PICTURE_MAX {
        return Verdict::ok(found);
    }
    let rate = (1.0 / (time.as_secs_f64() * 1.25)).floor();
    Verdict::degraded(
        found,
        format!(
            "more than about {rate} pictures a second of that size cannot be had: ask for a smaller mode (--mode)"
        ),
    )
}

fn measure() -> Result<Duration, CodecError> {
    let mut encoder = Encoder::new(CONFIG)?;
    let mut picture = I420Buffer::new(CONFIG.width, CONFIG.height)?;
    let mut fastest = Duration::MAX;
    for index in 0..=PICTURES {
        paint(&mut picture, index);
        let began = cpu_time();
        encoder.encode(&picture.as_i420(), index as u64 * 16_667, false)?;
        // The first is an IDR.
        if index > 0 {
            fastest = fastest.min(cpu_time().saturating_sub(began));
        }
    }
    Ok(fastest)
}

/// Something of a desktop: plain fields, edges like those of letters, and a part that moves.
fn paint(picture: &mut I420Buffer, index: usize) {
    let width = CONFIG.width as usize;
    for (y, row) in picture.planes_mut().0.chunks_mut(width).enumerate() {
        for (x, pixel) in row.iter_mut().enumerate() {
            let x = if y > 540 { x + index * 8 } else { x };
            let is_ink = (x * 7 + y * 13) % 11 < 4 && (x / 8 + y / 16) % 3 != 0;
            *pixel = if is_ink { 40 } else { 200 - (x / 64 % 8 * 6) as u8 };
        }
    }
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use punktfunk_manage::model::CheckState;

    use super::*;

    #[test]
    fn a_slow_machine_is_told_the_rate_it_can_have() {
        let quick = judge(Duration::from_millis(10));
        assert_eq!(quick.state, CheckState::Ok);
        assert!(quick.found.contains("whatever the GPU is"), "{quick:?}");
        let slow = judge(Duration::from_millis(40));
        assert_eq!(slow.state, CheckState::Degraded);
        assert!(slow.remedy.contains("about 20 pictures"), "{slow:?}");
    }

    #[test]
    fn the_encoder_is_really_measured() {
        let time = measure().unwrap();
        assert!(time > Duration::from_micros(200) && time < Duration::from_secs(2), "{time:?}");
    }
}
