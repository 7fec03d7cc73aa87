//! How long the doctor may take, and how much it reads.

use std::time::Duration;

/// All links together: a console waits 15 s for its answer.
pub const TOTAL_MAX: Duration = Duration::from_millis(9_500);
const _: () = assert!(TOTAL_MAX.as_millis() < punktfunk_manage::limits::ANSWER_MAX.as_millis());

/// One link, unless it has a time of its own: files of the kernel's and sockets on loopback answer at once, and a busy
/// machine takes its time.
pub(crate) const LOOK_MAX: Duration = Duration::from_secs(2);

/// A compositor, PipeWire or a portal: they answer from their own loops within milliseconds.
pub(crate) const ANSWER_MAX: Duration = Duration::from_millis(800);

/// A look that waits for such an answer: the answer's time, and some to be told of its lack.
pub(crate) const ASKING_MAX: Duration = Duration::from_millis(1_200);

/// The versions of all compositors, which are asked side by side.
pub(crate) const COMPOSITORS_MAX: Duration =
    punktfunk_display::limits::VERSION_DEADLINE.saturating_add(Duration::from_millis(300));

/// A library of the GPU's driver: it is read from a disk that may be cold.
pub(crate) const LIBRARY_MAX: Duration = Duration::from_secs(2);

/// How long a datagram over loopback may take before it is believed to be filtered away.
pub(crate) const LOOPBACK_MAX: Duration = Duration::from_millis(300);

/// How long `nft` may take to list its rules.
pub(crate) const RULES_MAX: Duration = Duration::from_millis(600);

/// As much of a file in `/proc` or `/sys` is read: a list of sockets is the longest.
pub(crate) const FILE_BYTES_MAX: u64 = 1 << 20;

/// As much of what a program says is read: rules of a router that has thousands.
pub(crate) const PROGRAM_BYTES_MAX: u64 = 8 << 20;

/// As much of what PipeWire says is read before it has named its version, which it does first.
pub(crate) const PIPEWIRE_BYTES_MAX: usize = 64 * 1024;

/// Pictures that the encoder is measured by, after a first one, which is an IDR.
pub(crate) const PICTURES: usize = 3;

/// As much is said of one link: three or four lines of a console.
pub(crate) const TEXT_CHARS_MAX: usize = 600;
