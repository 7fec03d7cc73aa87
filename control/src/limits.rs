//! Every bound of the control session, each with its reason.
//!
//! Promises: what a peer sends can make this crate hold at most what is written here. Refuses: any
//! queue, list or text without a line in this file.

use std::net::SocketAddr;
use std::time::Duration;

/// The protocol's number, media's formats included; both ends must have the same one. 2: parity is made by the code of
/// `docs/fec.md`.
pub const PROTOCOL: u32 = 2;

/// What both ends ask of TLS: the protocol's name. Its number changes only where not even a refusal by [`PROTOCOL`]
/// could be understood.
pub const ALPN: &[u8] = b"punktfunk/1";

/// Longest control message body, in bytes: the largest Welcome and the largest HostStats fit (below).
pub const MESSAGE_BYTES_MAX: usize = 32 * 1024;

/// Longest free text in a message (an error's explanation, a source's description), in bytes.
pub const TEXT_BYTES_MAX: usize = 512;

/// Longest name in a message (a client, a compositor, a stage), in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Most entries in a list of a message: more stages, codecs or compositors than anyone has.
pub const LIST_LENGTH_MAX: usize = 32;

/// One list entry's fixed part in CBOR: at most eight fields of ten bytes.
const ENTRY_BYTES_MAX: usize = 80;

// The largest list is the compositors': a name, a version and a reason each.
const _: () = assert!(
    LIST_LENGTH_MAX * (2 * NAME_BYTES_MAX + TEXT_BYTES_MAX + ENTRY_BYTES_MAX) + 4 * TEXT_BYTES_MAX
        <= MESSAGE_BYTES_MAX
);

/// Bytes of messages that wait for the stream while the peer does not read. A peer that leaves this
/// much unread is not there any more.
pub const OUTBOX_BYTES_MAX: usize = 2 * (MESSAGE_BYTES_MAX + 4);

/// For how long a client may leave as much unread as fits, though QUIC says that it is there: a program that takes this
/// long to its next look at the stream has stopped looking.
pub const UNREAD_MAX: Duration = Duration::from_secs(5);

/// Bytes that a peer may have on its way to us on the control stream: two messages.
pub const STREAM_WINDOW_BYTES: u32 = 2 * (MESSAGE_BYTES_MAX as u32 + 4);

/// Events that wait for the program. At this many, the stream is no longer read (QUIC's flow control
/// then holds the peer back) and feedback reports are dropped and counted.
pub const EVENTS_MAX: usize = 256;

/// Events that log a refused handshake; a flood of strangers is counted, not kept.
pub const REJECTIONS_MAX: usize = 64;

/// Answers to strangers (version negotiation, stateless reset, refusal) that wait for `poll_transmit`.
pub const RESPONSES_MAX: usize = 32;

/// Largest payload of a real-time plane's datagram: fits QUIC's smallest path with its overhead.
pub const PLANE_PAYLOAD_BYTES_MAX: usize = 1_120;

/// Bytes of real-time datagrams inside QUIC's own queue: small, so that a report is never stale.
pub const DATAGRAM_QUEUE_BYTES: usize = 16 * 1024;

/// Real-time datagrams of one plane that wait here while QUIC's queue is full; the oldest goes first.
pub const PLANE_QUEUE_LENGTH: usize = 4;

/// Bytes in flight that control may always have: media's losses must not starve input and sound.
pub const IN_FLIGHT_BYTES_FLOOR: u64 = 64 * 1024;

/// Bytes in flight that control never needs more of: a few hundred messages.
pub const IN_FLIGHT_BYTES_MAX: u64 = 1024 * 1024;

/// How long a client's own address must be silent before QUIC may look at what names its session from elsewhere: by
/// more than this no copy overtakes its original on a LAN. A client that has moved waits for it twice.
pub const CLAIM_HOLD: Duration = Duration::from_millis(5);

/// For how long of a trial what is not authentic, in home's name, makes a claimant wait: some originals that came late,
/// and no flood. QUIC's own challenge waits three times a round trip and the 25 ms that an answer may take, at least.
pub const DOUBT_MAX: Duration = Duration::from_millis(20);

const _: () = assert!(CLAIM_HOLD.as_millis() < DOUBT_MAX.as_millis());
const _: () = assert!(2 * CLAIM_HOLD.as_millis() + DOUBT_MAX.as_millis() < 3 * 25);

/// Addresses that claim one session at a time: a client's next one, and some strangers.
pub const CLAIMS_MAX: usize = 4;

/// Datagrams of each that are kept meanwhile, in pieces of received memory of 8 KiB each; more are dropped.
pub const CLAIM_DATAGRAMS_MAX: usize = 8;

/// Bytes that a report has at least while no media comes, and a sign of life while nothing comes: of a client that has
/// moved, one such datagram makes a path challenge possible, which may be three times as long.
pub const SILENT_REPORT_BYTES_MIN: usize = 400;

const _: () = assert!(SILENT_REPORT_BYTES_MIN * 3 >= UDP_PAYLOAD_BYTES_MIN as usize);
const _: () = assert!(SILENT_REPORT_BYTES_MIN <= PLANE_PAYLOAD_BYTES_MAX);

/// The first byte of a payload of the feedback plane that is no report, whose version is 1 or more: it comes from a
/// client that hears nothing.
pub(crate) const SIGN_OF_LIFE_VERSION: u8 = 0;

/// QUIC datagrams in one GSO send of control.
pub const TRANSMIT_SEGMENTS_MAX: usize = 8;

/// Largest UDP payload that either end takes: media's, whose shards follow QUIC's search.
pub const UDP_PAYLOAD_BYTES_MAX: u16 = punktfunk_proto::limits::UDP_PAYLOAD_BYTES_MAX;

/// Largest UDP payload that the path search tries unless a program knows that its devices carry more: 1500 less
/// IPv6 and UDP, where almost every LAN ends. Every step up to it then succeeds at once; a search up to jumbo frames
/// loses its first probes on such a LAN, which takes more than half a second.
pub const UDP_PAYLOAD_BYTES_SEARCHED: u16 = 1_452;

/// How long after a search of the path the next one begins: a path may grow, and a search up to what an end's own
/// devices carry costs a few probes.
pub const MTU_SEARCH_INTERVAL: Duration = Duration::from_secs(30);

/// How long after QUIC itself has seen a path shrink.
pub const MTU_SEARCH_AFTER_LOSS: Duration = Duration::from_secs(5);

/// The path search ends when it is this close: 1448, a shard of 1408, must not be missed by a hair.
pub const MTU_STEP_BYTES: u16 = 4;

/// QUIC's smallest UDP payload, where every path starts.
pub const UDP_PAYLOAD_BYTES_MIN: u16 = 1_200;

/// The first guess of a round trip. QUIC's 333 ms is for the open sea; this is a LAN, and a lost
/// handshake datagram is resent after three of these.
pub const RTT_INITIAL: Duration = Duration::from_millis(50);

/// How often a silent end says that it is still there.
pub const KEEP_ALIVE: Duration = Duration::from_millis(500);

/// Silence after which the peer is gone. QUIC restarts this clock with the first packet sent after
/// the last one received, so a killed peer is noticed within this and one keep-alive.
pub const IDLE_MAX: Duration = Duration::from_millis(2_000);

/// What the two together must not pass: the client notices a killed host within three seconds.
pub const GONE_NOTICED_MAX: Duration = Duration::from_secs(3);

/// What a busy machine may add to a promise in seconds: a timer that fires late, a program that starts and
/// ends around it.
const PROMISE_MARGIN: Duration = Duration::from_millis(500);

const _: () = assert!(
    IDLE_MAX.as_millis() + KEEP_ALIVE.as_millis() + PROMISE_MARGIN.as_millis()
        <= GONE_NOTICED_MAX.as_millis()
);

/// A client that has heard nothing of the host for this long says so: within three seconds of its start.
pub const CONNECT_MAX: Duration = Duration::from_millis(2_500);

const _: () = assert!(CONNECT_MAX.as_millis() + PROMISE_MARGIN.as_millis() <= 3_000);

/// From a handshake's first datagram to the Hello, at the host: a stranger cannot hold a place longer.
pub const HELLO_MAX: Duration = Duration::from_secs(5);

/// From Hello to Welcome: the host starts a compositor and an encoder in between.
pub const WELCOME_MAX: Duration = Duration::from_secs(30);

/// From Welcome to Start, at the host: a client that stays away frees its place.
pub const START_MAX: Duration = Duration::from_secs(10);

/// From the client's Bye to the host program's own Bye with the final statistics.
pub const FAREWELL_MAX: Duration = Duration::from_millis(1_000);

/// How long the last messages (final statistics, Bye, a refusal) may take to be acknowledged.
pub const LINGER_MAX: Duration = Duration::from_millis(500);

/// How long a client that has said Bye waits for the host's final word.
pub const GOODBYE_MAX: Duration = Duration::from_millis(1_800);

const _: () = assert!(FAREWELL_MAX.as_millis() + LINGER_MAX.as_millis() < GOODBYE_MAX.as_millis());

/// For how long a PIN may be guessed at most.
pub const PAIR_WINDOW_MAX: Duration = Duration::from_secs(120);

/// Wrong guesses that close a window: three of a million.
pub const PAIR_FAILURES_MAX: u32 = 3;

/// How long after the first window that failures have closed the next one can be opened; each further one in a row
/// doubles it.
pub const PAIR_BACK_OFF_FIRST: Duration = Duration::from_secs(5);

/// The longest such wait: a day of windows that failures close is 500 guesses of a million.
pub const PAIR_BACK_OFF_MAX: Duration = Duration::from_secs(600);

/// Failures are forgotten when none has come for this long.
pub const PAIR_FAILURES_FORGOTTEN: Duration = Duration::from_secs(1_800);

const _: () = assert!(PAIR_BACK_OFF_MAX.as_millis() < PAIR_FAILURES_FORGOTTEN.as_millis());

/// Shares of strangers that are answered each second: some persons' tries, and a fortieth of the control thread's time.
/// As many knocks are told to whoever may decide.
pub const PAIR_ANSWERS_PER_SECOND: usize = 24;

/// Those of one address: the three guesses that close a window, and one more.
pub const PAIR_ANSWERS_PER_ADDRESS: usize = 4;

const _: () = assert!(PAIR_ANSWERS_PER_ADDRESS > PAIR_FAILURES_MAX as usize);

/// From a stranger's first message to its last, and from the host's answer to the client's: nobody types in between.
pub const PAIR_STEP_MAX: Duration = Duration::from_secs(5);

/// Devices that wait for somebody's word at a time.
pub const PENDING_MAX: usize = 8;

/// Devices among them that knock from one address.
pub const PENDING_PER_ADDRESS_MAX: usize = 2;

/// Devices that are remembered because somebody has said No to them.
pub const DENIED_MAX: usize = 64;

/// Devices of one address that somebody has said No to, until that holds for all of it: a mistake, and the word itself.
pub const DENIED_PER_ADDRESS_MAX: usize = 2;

/// How long one waits, and for how long one that was denied is kept out.
pub const PENDING_WAIT_MAX: Duration = Duration::from_secs(120);

/// Devices that one end trusts.
pub const DEVICES_MAX: usize = 256;

/// The longest list of them in a file: an entry is 600 bytes where its name is all escapes, and people write comments.
pub const DEVICES_BYTES_MAX: u64 = 1_024 * DEVICES_MAX as u64;

/// Rounds of one skew handshake.
pub const SKEW_ROUNDS: u32 = 8;

/// How far apart two quartz clocks may drift, in microseconds a second: each ±50 ppm.
pub const CLOCK_DRIFT_PPM: u64 = 100;

/// Connections for each session that there may be: itself, the one before it that has its last words on the way, and
/// one that shakes hands to take its place.
const CONNECTIONS_PER_SESSION: usize = 3;

/// Unfinished handshakes and strangers: those of a few crowded addresses, and enough more that one which shakes hands at
/// once, in some milliseconds, is not the oldest before it is known.
const UNKNOWN_MAX: usize = 32;

/// Those from one address: the clients of a household behind one, and a few tries.
const UNKNOWN_PER_ADDRESS_MAX: usize = 8;

const _: () = assert!(2 * UNKNOWN_PER_ADDRESS_MAX < UNKNOWN_MAX);

/// Handshakes with addresses that have not been proven.
const UNPROVEN_HANDSHAKES_MAX: usize = 4;

const _: () = assert!(UNPROVEN_HANDSHAKES_MAX < UNKNOWN_PER_ADDRESS_MAX);

/// Newcomers a second that get another one's place: each is a signature and some packets to seal, all of them together a
/// fraction of the control thread's time.
pub(crate) const NEWCOMERS_PER_SECOND: usize = 500;

/// Those of one address among them: its share of places, twice over.
pub(crate) const NEWCOMERS_PER_ADDRESS: usize = 2 * UNKNOWN_PER_ADDRESS_MAX;

/// Known clients that are told that there is no place for them, at a time.
const CONNECTIONS_REFUSED_MAX: usize = 12;

/// What the host takes on. The defaults suit one streaming session and a few that are refused.
#[derive(Clone, Debug)]
pub struct HostLimits {
    /// Connections at a time, greeted or not; one more is refused before any work is done for it.
    pub connections_max: usize,
    /// Connections among them behind which nobody is known: unfinished handshakes, and strangers that try a PIN or come
    /// in vain. The rest is for clients that are known and devices that wait for somebody's word.
    pub unknown_max: usize,
    /// Those from one address. More than `unproven_handshakes_max`, so that whoever only
    /// pretends to be at an address cannot take all that it has.
    pub unknown_per_address_max: usize,
    /// Half-open handshakes above which a new address must first prove itself by a QUIC Retry.
    pub unproven_handshakes_max: usize,
    /// Largest UDP payload, in bytes, that the path search to a client tries: what this machine's route to it
    /// carries, where that is known.
    pub udp_payload_bytes_to: fn(SocketAddr) -> u16,
}

impl HostLimits {
    /// What suits a host of this many sessions at a time.
    pub fn for_sessions(sessions_max: usize) -> Self {
        let known = CONNECTIONS_PER_SESSION * sessions_max + CONNECTIONS_REFUSED_MAX;
        Self {
            connections_max: UNKNOWN_MAX + PENDING_MAX + known,
            unknown_max: UNKNOWN_MAX,
            unknown_per_address_max: UNKNOWN_PER_ADDRESS_MAX,
            unproven_handshakes_max: UNPROVEN_HANDSHAKES_MAX,
            udp_payload_bytes_to: |_| UDP_PAYLOAD_BYTES_SEARCHED,
        }
    }
}

impl Default for HostLimits {
    fn default() -> Self {
        Self::for_sessions(1)
    }
}
