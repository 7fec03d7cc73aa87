//! Every bound of this room, each with its reason.

use std::time::Duration;

/// A started sway must answer on both sockets within this. It takes 0.3 s on an idle two-core machine;
/// the rest is for a cold disk and a busy one.
pub const START_DEADLINE: Duration = Duration::from_secs(10);

/// The content's window must be mapped within this. foot takes 0.2 s with warm fonts and some seconds
/// when fontconfig builds its cache for the first time.
pub const CONTENT_DEADLINE: Duration = Duration::from_secs(10);

/// An output's mode is read back until it is what was asked for, or for this long.
pub const MODE_DEADLINE: Duration = Duration::from_secs(2);

/// One request over sway's IPC socket: reading and writing each may take this long. It is served from
/// the compositor's own loop, so this is also the longest that a compositor may hang unnoticed.
pub const IPC_DEADLINE: Duration = Duration::from_secs(2);

/// How long sway may take to leave after SIGTERM; then it is killed. `supervise.sh` keeps this time.
pub const TERM_GRACE: Duration = Duration::from_secs(2);

/// How long the whole clean-up may take before this process does the supervisor's work itself.
pub const STOP_DEADLINE: Duration = Duration::from_secs(4);

/// A `--version` must be printed within this. kwin_wayland loads Qt for it.
pub const VERSION_DEADLINE: Duration = Duration::from_secs(3);

/// As much of such an answer is listened to: a version is a line, and `--help` some screens of them.
pub const ANSWER_BYTES_MAX: usize = 65_536;

/// Between two looks at something that cannot be waited for (a socket file, a window, an exit).
pub const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// How long the reader of stderr may lag behind an end that was seen already.
pub const STDERR_LAG: Duration = Duration::from_millis(300);

/// Last lines of the compositor's stderr that are kept for error messages.
pub const STDERR_LINES_MAX: usize = 20;

/// A longer line of stderr is cut here, so that a compositor cannot make us hold its memory.
pub const STDERR_LINE_BYTES_MAX: usize = 400;

/// `sockaddr_un` holds 108 bytes with the closing zero; the longest name in the runtime folder is
/// `/sway-ipc.sock`.
pub const RUNTIME_DIR_BYTES_MAX: usize = 107 - "/sway-ipc.sock".len();

/// Widest and highest output: pixman's coordinates end at 32,767, and 16,384 already is 1 GiB a buffer.
pub const SIDE_PIXELS_MAX: u32 = 16_384;

/// Smallest side of an output: below it there is no picture to encode.
pub const SIDE_PIXELS_MIN: u32 = 16;

/// Refresh rates, 1 to 480 Hz, in millihertz.
pub const REFRESH_MHZ: std::ops::RangeInclusive<u32> = 1_000..=480_000;

const _: () =
    assert!(STOP_DEADLINE.as_millis() > TERM_GRACE.as_millis(), "the supervisor gets its turn first");
