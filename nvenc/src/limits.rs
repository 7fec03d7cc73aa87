//! The bounds of this crate, each with its reason.

use std::time::Duration;

use crate::sys::Api;

/// The oldest interface that is spoken: it brought split-frame encoding, and drivers of two long-term branches speak it.
pub const API_MIN: Api = Api::V12_1;

/// The driver to install: the first of the 535 series, with the CUDA 12.2 that pictures are read by. [`API_MIN`] itself came
/// with 530.41.03, as NVIDIA's release notes say.
pub const DRIVER_MIN: &str = "535.54.03";

/// A picture's slices at most: H.264 level 5.2 has no more rows of macroblocks than NVENC's own limit of 32 slices a
/// picture needs, and each slice costs a header and its share of prediction.
pub const SLICES_MAX: u32 = 32;

/// Pictures that may have slices out at once: one that is encoded, one whose last slices are being sealed, and two to spare,
/// since the header wants four buffers more than there are B pictures in a row.
pub const OUTPUTS: usize = 4;

/// Registered inputs at most: a converter's outputs (four), those of the mode before, and room for a source that gives its
/// buffers directly. Each holds a mapping in the driver.
pub const INPUTS_MAX: usize = 16;

/// The decoded picture buffer that reference invalidation works with: what a round trip of 50 ms takes at 60 pictures a
/// second, and more than that would cost a decoder more memory than the loss is worth.
pub const REFERENCES: u32 = 5;

/// An access unit at most, as a multiple of the picture's own bytes: worse than raw is a driver's lie. The buffer that the
/// driver makes is smaller; this bounds what is believed of it.
pub const OUTPUT_PER_INPUT: u64 = 2;

/// How often an encoder that is at work is looked at. Slices take some hundred microseconds each; a look costs two.
pub const POLL: Duration = Duration::from_micros(50);

/// How long a picture may take in all before the encoder counts as stuck, however it is read. A 5K picture takes 15 ms on one engine; a GPU
/// that is shared with a game at full load has been seen to take ten times as long.
pub const PICTURE_MAX: Duration = Duration::from_millis(1500);

/// How long a session that goes waits for a picture that is still in it. It is gone already for whoever wanted it; ten times
/// what a picture takes without a game beside it.
pub const FLUSH_MAX: Duration = Duration::from_millis(150);

/// How long a busy encoder is asked again: its queue is full, which passes within some pictures' time.
pub const BUSY_MAX: Duration = Duration::from_millis(200);

/// Between two askings of a busy encoder; the SDK says "a few milliseconds".
pub const BUSY_PAUSE: Duration = Duration::from_millis(1);

/// How long slices that were lent may stay out before whoever wants their memory back gives up: they are sealed within
/// milliseconds, so this is a fault of ours.
pub const HOME_MAX: Duration = Duration::from_secs(2);

/// Pictures after which a session that was rebuilt may be rebuilt again: ten seconds at 60 a second. Sooner it is not cured.
pub const REBUILD_PICTURES: u64 = 600;

/// GUIDs or formats that a driver may list: none has a tenth of that, and a count that lies must not become an allocation.
pub const LIST_MAX: u32 = 256;

/// Bits that a VBV's size is a multiple of: the smallest unit of cpb_size (H.264 E.2.2, HEVC E.3.3).
pub const VBV_UNIT_BITS: u32 = 16;

/// Engines of one card at most that a driver is believed to have.
pub const ENGINES_MAX: u32 = 16;

const _: () = assert!(OUTPUTS >= 4, "as the header wants; two are needed");
const _: () = assert!(INPUTS_MAX >= 2 * OUTPUTS);
const _: () = assert!(POLL.as_micros() < PICTURE_MAX.as_micros());
