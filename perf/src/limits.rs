//! The limits of this crate, each with its reason.

use std::time::Duration;

/// The smallest duration a histogram tells from zero: a clock's own resolution.
pub const VALUE_MIN: Duration = Duration::from_nanos(1);

/// The longest duration kept as it is; a longer one is recorded as this. A stage that takes a minute
/// has failed, and how long it took to fail is the log's business.
pub const VALUE_MAX: Duration = Duration::from_secs(60);

/// Significant decimal digits of a histogram: 0.1 %, finer than any two runs agree.
pub const SIGNIFICANT_DIGITS: u8 = 3;

/// Samples a tap holds unless told otherwise. Sum: 240 pictures a second, 16 blocks each, 4 stages a
/// block on one thread is 15,360 a second; a collector that drains four times a second needs 3,840.
/// Twice that, as a power of two.
pub const TAP_SAMPLES_DEFAULT: usize = 8192;

/// The longest line that [`crate::parse_log`] reads. A full histogram of ours is 26,624 counts of at
/// most 9 bytes, 240 KB plain, 320 KB in base64 if nothing could be compressed.
pub const LINE_BYTES_MAX: usize = 512 * 1024;

/// The longest log that [`crate::parse_log`] reads: a day of intervals at 17 stages and about 500
/// bytes a line is 700 MB, an hour 30 MB; more than an hour is cut up by whoever reads it.
pub const LOG_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The most bytes a compressed histogram may inflate to: its header and every count at full length.
pub(crate) const INFLATED_BYTES_MAX: usize = 40 + 9 * COUNTS_MAX;

/// Count slots of the widest histogram read back: 3 digits are 2,048 sub-buckets, 64-bit values need 53
/// doublings of them, each of 1,024 new slots.
pub(crate) const COUNTS_MAX: usize = (53 + 2) * 1024;

/// The highest total count of one histogram read back: what fits a double exactly, so that sums and
/// means cannot overflow.
pub(crate) const TOTAL_COUNT_MAX: u64 = 1 << 53;

const _: () = assert!(VALUE_MIN.as_nanos() >= 1, "HdrHistogram's lowest value is 1");
const _: () = assert!(VALUE_MAX.as_nanos() >= 2 * VALUE_MIN.as_nanos(), "HdrHistogram: high >= 2 * low");
const _: () = assert!(VALUE_MAX.as_nanos() <= u64::MAX as u128 / 2, "nanoseconds fit its value type");
const _: () = assert!(SIGNIFICANT_DIGITS <= 5, "HdrHistogram takes 0 to 5 digits");
