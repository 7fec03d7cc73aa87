//! What bounds this room, each with its reason.

/// The largest file: every setting with a page of comments each is far below it.
pub const FILE_BYTES_MAX: u64 = 64 * 1024;

/// How many faults are told of at once: what a person reads before mending the first.
pub const FAULTS_SHOWN_MAX: usize = 25;

/// How many characters of a wrong word are repeated.
pub const QUOTED_CHARS_MAX: usize = 60;

/// How long the lines of an example are.
pub const LINE_CHARS_MAX: usize = 118;
