//! Every bound of this crate, with its reason.

use std::time::Duration;

/// Segments of one train: below the kernel's 64 (`UDP_MAX_SEGMENTS` before Linux 6.9), and 44 datagrams of
/// 1448 bytes are the most that fit [`TRAIN_BYTES_MAX`] anyway.
pub const TRAIN_SEGMENTS_MAX: usize = 44;

/// Payload bytes of one train: the largest UDP payload over IPv4, 65,535 − 20 (IP) − 8 (UDP).
pub const TRAIN_BYTES_MAX: usize = 65_507;

/// Trains handed to the kernel in one `sendmmsg`: more than eight gain nothing measurable and would let one
/// call hold the thread for longer than half a millisecond.
pub const TRAINS_PER_CALL_MAX: usize = 8;

/// Datagrams of one `sendmmsg` without GSO.
pub const DATAGRAMS_PER_CALL_MAX: usize = 64;

/// Bytes of one receive buffer: a GRO batch is at most one IP packet's length.
pub const RECEIVE_BUFFER_BYTES: usize = 65_536;

/// Receive buffers of the default ring: eight GRO batches are 512 KiB, which stay in L2 until they are opened.
pub const RECEIVE_BUFFERS: usize = 8;

/// The most receive buffers one ring may have: the headers of one `recvmmsg` live on the stack.
pub const RECEIVE_BUFFERS_MAX: usize = 32;

/// Socket buffers asked from the kernel for a media socket, each direction: 4 MB lose nothing up to
/// 20 Gbit/s, and an IDR of several megabytes has to fit beside the kernel's bookkeeping.
pub const SOCKET_BUFFER_BYTES: usize = 32 << 20;

/// Leases an [`Arena`](crate::Arena) can have out: FEC blocks of all access units held for resends.
pub const LEASES_MAX: usize = 4096;

/// Leases start at multiples of this: a cache line, so that two leases never share one.
pub const LEASE_ALIGN_BYTES: usize = 64;

/// Bytes of one arena: far above what is useful (a cold arena sends at half the speed), far below what
/// would hurt a desktop.
pub const ARENA_BYTES_MAX: usize = 1 << 30;

/// How often a send is tried again when the kernel hands out an error of an *earlier* datagram (ICMP).
pub const SOFT_RETRIES_MAX: u32 = 3;

/// Errors of other datagrams that one receive takes away before it gives the caller its turn.
pub const SOFT_ERRORS_PER_CALL_MAX: u32 = 16;

/// How long a standing receive may take to end; what is not over then keeps its memory for good.
pub const CANCEL_WAIT: Duration = Duration::from_secs(1);

/// Errors read from the socket's error queue in one go.
pub const ERRORS_PER_DRAIN_MAX: usize = 64;

/// Messages that the kernel may hold on loan at once: a device's queue is rarely longer, and what is above goes by
/// copy.
pub const LOANS_MAX: u32 = 512;

/// The shortest message that is lent: below, pinning and the notification cost more than the copy.
pub const LOAN_BYTES_MIN: usize = 8 << 10;

/// Loans refused in a row after which none is tried any more.
pub const LOAN_REFUSALS_MAX: u32 = 3;

/// Calls of each kind that a trial of the ring measures: two or three access units' worth.
pub const TRIAL_CALLS: usize = 16;

/// Trials of a ring by one sender, one for each change of destination: a session has one or two, and each trial makes a
/// ring.
pub const TRIALS_MAX: u32 = 8;

/// How long a ring that ends or breaks is waited for to tell of what it lent: a device's queue is rarely longer, and for
/// what is not back then the arena, if it is leased from again, takes other memory. A train with a departure time stays
/// lent until then, up to [`DEPARTURE_AHEAD_MAX`] in fq: a ring that goes meanwhile leaves it behind in any case, since
/// whoever sends must not stand still for that long.
pub const LOANS_WAIT: Duration = Duration::from_millis(20);

/// Leases at most that go by before an arena asks again for memory that it was refused: asking may map and copy all of
/// it, and some hundred leases are a second's.
pub const RENEWAL_PAUSE_MAX: u32 = 512;

/// Bytes of one part of the kernel's answer about routes, devices and qdiscs: its own parts are no longer.
pub const ROUTE_ANSWER_BYTES: usize = 32 << 10;

/// Parts of one answer that are read: a hundred devices of a hundred queues fit.
pub const QUEUE_ANSWERS_MAX: usize = 256;

/// How long it is believed that a route keeps departure times, or does not: asking costs some ten microseconds,
/// and a person may change the qdisc.
pub const ROUTE_BELIEVED: Duration = Duration::from_secs(5);

/// The farthest departure that is asked of the kernel: far below fq's horizon of 10 s, beyond which it drops.
pub const DEPARTURE_AHEAD_MAX: Duration = Duration::from_secs(1);

const _: () = assert!(TRAIN_SEGMENTS_MAX <= 64);
const _: () = assert!(RECEIVE_BUFFERS <= RECEIVE_BUFFERS_MAX);
const _: () = assert!(TRAINS_PER_CALL_MAX <= DATAGRAMS_PER_CALL_MAX);
const _: () = assert!(LEASE_ALIGN_BYTES.is_power_of_two());
