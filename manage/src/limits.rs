//! Everything that is bounded, and why.

use std::time::Duration;

/// Connections at once: a console or two, some scripts.
pub const CONNECTIONS_MAX: usize = 32;

/// Connections at once from one address, of those that have not shown the token: two browsers' worth.
pub const STRANGERS_MAX: usize = 12;
const _: () =
    assert!(2 * STRANGERS_MAX < CONNECTIONS_MAX, "two crowded addresses must leave room for a third");

/// Streams of events at once; each holds one connection.
pub const STREAMS_MAX: usize = 8;
const _: () = assert!(STREAMS_MAX < CONNECTIONS_MAX, "streams must leave room for requests");

/// The longest body of a request: the longest is a setting's value.
pub const BODY_BYTES_MAX: usize = 16 * 1024;

/// What is buffered of a request's head: a line and a dozen headers.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// How long a TLS handshake may take.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(5);

/// How long a request's head may take to come.
pub const HEAD_MAX: Duration = Duration::from_secs(10);

/// How long the other end may read nothing of what it is sent.
pub const STILL_MAX: Duration = Duration::from_secs(15);

/// How long the host may take to answer an ask before the request fails: its loop turns each 20 ms, and a diagnosis
/// asks programs that may hang.
pub const ANSWER_MAX: Duration = Duration::from_secs(15);

/// Asks that wait for the host's loop.
pub const ASKS_MAX: usize = 32;

/// Wrong tokens from one address in [`WRONG_TOKENS_WINDOW`] before it is told so, and no more are logged, for the rest of
/// it.
pub const WRONG_TOKENS_MAX: u32 = 5;

/// How long a wrong token is remembered.
pub const WRONG_TOKENS_WINDOW: Duration = Duration::from_secs(60);

/// Addresses whose wrong tokens are remembered; beyond them strangers share one place.
pub const WRONG_ADDRESSES_MAX: usize = 256;

/// Lines of log that are kept.
pub const LOG_LINES_MAX: usize = 1_000;

/// The longest line of log that is kept; the rest is cut.
pub const LOG_LINE_BYTES_MAX: usize = 1_024;
