//! What the host measures, for the client's log and overlay.
//!
//! Promises: a value, bounded, extensible. Refuses: more stages than the list limit.

use minicbor::{Decode, Encode};

use super::bounded;

/// One stage's latency over the time that the statistics cover.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct StageSummary {
    /// The stage's name.
    #[cbor(n(0), with = "bounded::name")]
    pub name: String,
    /// How many samples.
    #[n(1)]
    pub count: u64,
    /// Median, in microseconds.
    #[n(2)]
    pub p50_us: u64,
    /// 99th percentile, in microseconds.
    #[n(3)]
    pub p99_us: u64,
    /// 99.9th percentile, in microseconds.
    #[n(4)]
    pub p999_us: u64,
    /// Largest, in microseconds.
    #[n(5)]
    pub max_us: u64,
}

/// How often one way to pictures took another's place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct FallCount {
    /// The way that gave no pictures.
    #[cbor(n(0), with = "bounded::name")]
    pub from: String,
    /// The way in its place.
    #[cbor(n(1), with = "bounded::name")]
    pub to: String,
    /// Why, in a word.
    #[cbor(n(2), with = "bounded::name")]
    pub reason: String,
    /// How many times.
    #[n(3)]
    pub count: u64,
}

/// The host's counters since the session's start. Absent fields read as zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct HostStats {
    /// The session clock when these were taken, in microseconds.
    #[cbor(n(0), default)]
    pub session_us: u64,
    /// Whether these are the session's last.
    #[cbor(n(1), default)]
    pub last: bool,
    /// Pictures that the source gave.
    #[cbor(n(2), default)]
    pub pictures_captured: u64,
    /// Pictures that a newer one replaced before encode.
    #[cbor(n(3), default)]
    pub pictures_superseded: u64,
    /// Pictures shed before encode because send lagged.
    #[cbor(n(4), default)]
    pub pictures_shed: u64,
    /// Access units sent whole.
    #[cbor(n(5), default)]
    pub aus_sent: u64,
    /// IDRs among those sent.
    #[cbor(n(7), default)]
    pub idrs_sent: u64,
    /// Media datagrams handed to the kernel.
    #[cbor(n(8), default)]
    pub datagrams_sent: u64,
    /// UDP payload bytes of these.
    #[cbor(n(9), default)]
    pub wire_bytes: u64,
    /// Encoded bytes, without FEC and headers.
    #[cbor(n(10), default)]
    pub payload_bytes: u64,
    /// Datagrams that a full send buffer dropped.
    #[cbor(n(11), default)]
    pub packets_send_dropped: u64,
    /// Access units that left at once.
    #[cbor(n(12), default)]
    pub aus_immediate: u64,
    /// Access units that were spread by the pacer.
    #[cbor(n(13), default)]
    pub aus_paced: u64,
    /// Processor time of the host process, in microseconds.
    #[cbor(n(14), default)]
    pub cpu_us: u64,
    /// System calls of the sender.
    #[cbor(n(15), default)]
    pub system_calls: u64,
    /// Each stage's latency.
    #[cbor(n(16), with = "bounded::list", default)]
    pub stages: Vec<StageSummary>,
    /// Access units cut short at the host, because the arena or the key could not take them.
    #[cbor(n(17), default)]
    pub aus_dropped: u64,
    /// FEC blocks dropped at the host, because the key's sequences were used up and no report opened the next epoch.
    #[cbor(n(18), default)]
    pub blocks_dropped_key: u64,
    /// Pictures that came to the host and could not be read, none of them among those that the source gave.
    #[cbor(n(19), default)]
    pub pictures_spoiled: u64,
    /// Pictures that were stamped when they came to the host, because their producer gave no time on its clock.
    #[cbor(n(20), default)]
    pub pictures_stamped_here: u64,
    /// Of the media datagrams, those that carry parity.
    #[cbor(n(30), default)]
    pub parity_datagrams: u64,
    /// Of the media datagrams, those that were sent again.
    #[cbor(n(31), default)]
    pub datagrams_resent: u64,
    /// Datagrams that reports asked for again.
    #[cbor(n(32), default)]
    pub resend_asked: u64,
    /// Of these, those whose access unit was past its deadline or had ended.
    #[cbor(n(33), default)]
    pub resend_late: u64,
    /// Of these, those that were not held any more.
    #[cbor(n(34), default)]
    pub resend_gone: u64,
    /// Of these, those asked for a fourth time, or beyond what resends may take of the rate.
    #[cbor(n(35), default)]
    pub resend_refused: u64,
    /// The link's rate as far as it is proven, in kbit/s; 0 where the pacer's is fixed.
    #[cbor(n(40), default)]
    pub link_kbps: u64,
    /// Access units that proved a higher rate.
    #[cbor(n(41), default)]
    pub link_proven: u64,
    /// Times that access units came too late for the link's rate.
    #[cbor(n(42), default)]
    pub link_late: u64,
    /// Times that losses lowered it.
    #[cbor(n(43), default)]
    pub link_lost: u64,
    /// Times that losses made the burst smaller.
    #[cbor(n(44), default)]
    pub burst_lost: u64,
    /// The longest shards of the next access unit, in bytes.
    #[cbor(n(45), default)]
    pub shard_bytes: u64,
    /// Times that the path carried no long datagrams any more.
    #[cbor(n(46), default)]
    pub path_shrunk: u64,
    /// Times that media followed the client to another address.
    #[cbor(n(47), default)]
    pub path_changed: u64,
    /// Times that another address was tried and not proven.
    #[cbor(n(48), default)]
    pub path_refused: u64,
    /// The wire's rate that the encoder is asked for, in kbit/s: what was agreed on, or less where the way or the client
    /// bear no more.
    #[cbor(n(60), default)]
    pub rate_kbps: u64,
    /// Why it moved last, in a word: asked, delay, loss, decode, climb or futile; empty before the first figures.
    #[cbor(n(61), with = "bounded::name", default)]
    pub rate_reason: String,
    /// Times that it fell because datagrams queued on the way.
    #[cbor(n(62), default)]
    pub rate_delay: u64,
    /// Times that it fell because of losses.
    #[cbor(n(63), default)]
    pub rate_loss: u64,
    /// Times that it fell because the decoder was too slow.
    #[cbor(n(64), default)]
    pub rate_decode: u64,
    /// Its steps up.
    #[cbor(n(65), default)]
    pub rate_climb: u64,
    /// Times that a lower one did not help and was taken back.
    #[cbor(n(66), default)]
    pub rate_futile: u64,
    /// Access units that healed a loss without being IDRs.
    #[cbor(n(70), default)]
    pub recovery_points: u64,
    /// Access units that were put out of reference for these.
    #[cbor(n(71), default)]
    pub references_invalidated: u64,
    /// Of the IDRs, those that were made because no reference was left.
    #[cbor(n(72), default)]
    pub idrs_no_reference: u64,
    /// Of the access units sent whole, those whose first datagram left before their last slice could be read.
    #[cbor(n(73), default)]
    pub aus_sent_early: u64,
    /// Bytes of pictures that the host's CPU copied out of their producer's buffers.
    #[cbor(n(80), default)]
    pub copied_capture_bytes: u64,
    /// Bytes that it wrote to make pictures the encoder's.
    #[cbor(n(81), default)]
    pub copied_import_bytes: u64,
    /// Bytes that it copied out of the encoder's memory.
    #[cbor(n(82), default)]
    pub copied_slice_bytes: u64,
    /// Each way to pictures that another one took the place of.
    #[cbor(n(50), with = "bounded::list", default)]
    pub falls: Vec<FallCount>,
}
