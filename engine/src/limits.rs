//! Bounds of the engine, each with its reason.

use std::time::Duration;

/// Access units between encode and the wire, the one being sent included. Three let an IDR several
/// times the usual size be spread over the following intervals; more would only be latency.
pub(crate) const AUS_IN_FLIGHT_MAX: u64 = 3;

/// How long the encode stage waits for a picture before it looks for a request to stop.
pub(crate) const PICTURE_WAIT: Duration = Duration::from_millis(20);

/// The same where the protect stage has its turns in between: a client's request for what it misses must not wait for
/// the next picture.
pub(crate) const PICTURE_WAIT_TOGETHER: Duration = Duration::from_millis(2);

/// How long the encode stage waits for room before it looks again. The protect stage wakes it; this is for a
/// request to stop.
pub(crate) const LAG_WAIT: Duration = Duration::from_millis(5);

/// How long a stage waits for work before it looks for a request to stop.
pub(crate) const STAGE_WAIT: Duration = Duration::from_millis(20);

/// How long shutdown waits for lent slices and spans to come home, and a source that came to its end for the next
/// train of its last pictures. Far above any stage's slice of the latency; a stage that needs longer is stuck, and is
/// reported.
pub(crate) const SHUTDOWN_WAIT: Duration = Duration::from_secs(2);

/// How long a host whose source has ended stays for what its last access unit lost on the way: several times what the
/// client waits for it, and less than a shutdown does.
pub(crate) const LINGER_MAX: Duration = Duration::from_secs(1);

const _: () = assert!(LINGER_MAX.as_millis() < SHUTDOWN_WAIT.as_millis());

/// A feedback report leaves at least this often while media flows.
pub(crate) const FEEDBACK_INTERVAL: Duration = Duration::from_millis(5);

/// Reports that leave early, because shards shall be sent again, are this far apart: a round trip of a LAN.
pub(crate) const FEEDBACK_SPACING: Duration = Duration::from_micros(500);

/// And at least this often while nothing flows: a report may be what opens the next key's epoch.
pub(crate) const FEEDBACK_INTERVAL_IDLE: Duration = Duration::from_millis(100);

/// What may wait for the decoder, as time: three access units at 30 Hz. A decoder that stalls for longer costs
/// pictures; one that stalls for less catches up, because dropping a reference costs an IDR.
pub(crate) const DECODE_BACKLOG: Duration = Duration::from_millis(100);

/// The least of it, in access units.
pub(crate) const DECODE_BACKLOG_AUS_MIN: u64 = 3;

/// What one call hands to the kernel: two trains, so that they are still in the second-level cache when they are read.
pub(crate) const CALL_BYTES_MAX: usize = 128 << 10;

/// The longest stretch of a pacing sleep after which a request to stop is looked for.
pub(crate) const PACE_SLEEP_MAX: Duration = Duration::from_millis(5);

/// Feedback reports that wait for the control thread. State is repeated in each, so a full ring loses
/// nothing that the next does not bring.
pub(crate) const FEEDBACK_RING: usize = 8;

/// Commands that wait for a stage: path, shard size and feedback, at most a few an access unit.
pub(crate) const COMMAND_RING: usize = 64;

/// Outcomes of speed tests that wait for the control thread: one, and one of a test that nobody waits for any more.
pub(crate) const FILLER_RING: usize = 2;

/// A speed test's filler has come to its end when nothing came for so long: far above a round trip on a path that is
/// worth a test, a queue that empties included.
pub(crate) const FILLER_QUIET: Duration = Duration::from_millis(100);

/// And at the latest so long after the host has said that all of it has left.
pub(crate) const FILLER_WAIT_MAX: Duration = Duration::from_secs(1);

/// Sequences that the probe plane's replay window remembers: 60 ms of them at 10 Gbit/s in short datagrams.
pub(crate) const FILLER_WINDOW: usize = 65_536;

/// QUIC datagrams that wait for the client's control thread: a flight of its largest window (64 KiB in
/// flight at 1,200 bytes).
pub(crate) const CONTROL_RING: usize = 64;

/// The largest QUIC datagram taken over: QUIC's own search is bounded by jumbo frames less IPv6 and UDP.
pub(crate) const CONTROL_DATAGRAM_BYTES_MAX: usize = punktfunk_proto::limits::UDP_PAYLOAD_BYTES_MAX as usize;

/// Intervals of the source that are noted with one encoded picture at most: half a second at 480 Hz. What is longer than
/// that is a stall of the whole host, and must not fill a ring of samples.
pub(crate) const CAPTURE_INTERVALS_MAX: u32 = 240;

/// Samples of stage times between two drains: a second at 480 Hz with 16 samples an access unit.
pub(crate) const TAP_SAMPLES: usize = 8192;

const _: () = assert!((CAPTURE_INTERVALS_MAX as usize) < TAP_SAMPLES / 8);
