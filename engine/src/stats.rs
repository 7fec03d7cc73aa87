//! Counters of each stage, and their snapshot by value.
//!
//! Promises: every counter has one writer, its stage's thread, and lives on cache lines of that stage
//! alone; a snapshot is a plain value. Refuses: locks, and counters that mix *lost* (never came), *late*
//! (came after it was no use) and *dropped* (thrown away here).

use std::sync::atomic::{AtomicU64, Ordering};

use punktfunk_proto::BitrateReason;

/// Adds to a counter that only the calling thread writes.
pub(crate) fn add(counter: &AtomicU64, count: u64) {
    // One writer: a plain load and store would do, and is what this costs on one core.
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
}

/// Replaces a counter that mirrors a total kept elsewhere.
pub(crate) fn set(counter: &AtomicU64, total: u64) {
    counter.store(total, Ordering::Relaxed);
}

macro_rules! counters {
    ($(#[$doc:meta])* $atomic:ident => $plain:ident { $($(#[$field_doc:meta])* $field:ident),* $(,)? }) => {
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub(crate) struct $atomic { $(pub(crate) $field: AtomicU64),* }

        $(#[$doc])*
        #[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
        pub struct $plain { $($(#[$field_doc])* pub $field: u64),* }

        impl $atomic {
            pub(crate) fn snapshot(&self) -> $plain {
                $plain { $($field: self.$field.load(Ordering::Relaxed)),* }
            }
        }
    };
}

counters! {
    /// What the encode stage did.
    EncodeCounters => EncodeStats {
        /// Pictures that the source gave, those that a newer one replaced before encode included.
        captured,
        /// Pictures that a newer one replaced before the encode stage took them.
        superseded,
        /// Pictures shed before encode because sending lags.
        shed,
        /// Pictures that came and could not be read, none of them among those given.
        spoiled,
        /// Pictures that were stamped when they came, because their producer gave no time on our clock.
        stamped_here,
        /// Pictures of which the encoder gave nothing out: its rate control skipped them, or it failed at them.
        skipped,
        /// Access units handed to the protect stage.
        encoded,
        /// Of these, the ones that the encoder failed at after some of their slices had been handed on: whole to the client only
        /// where the last one was.
        failed,
        /// Of those handed on, IDRs.
        idrs,
        /// IDRs made because the encoder had no reference left that a client had not reported missing.
        idrs_no_reference,
        /// Access units that heal a loss without being IDRs: they refer to nothing that the client misses.
        recovery_points,
        /// Access units that were put out of reference for these.
        references_invalidated,
        /// Bytes of encoded access units.
        bytes,
        /// Bytes of pictures that the CPU copied out of their producers' buffers.
        copied_capture,
        /// Bytes that the CPU wrote to make pictures the encoder's: converted ones, or uploads.
        copied_import,
        /// Bytes of slices that the CPU copied out of the encoder's memory.
        copied_slices,
        /// The newest access unit's number plus one.
        next_au,
    }
}

counters! {
    /// What the protect and send stage did.
    ProtectCounters => ProtectStats {
        /// Access units whose every datagram was handed to the kernel or counted as dropped: all that there is of one that its
        /// encoder failed at.
        sent,
        /// Of these, the ones whose first datagram left before their last slice could be read.
        sent_early,
        /// Access units cut short: too large for what was agreed, the key used up, or the send buffer full for too
        /// long.
        dropped_protect,
        /// Datagrams handed to the kernel.
        datagrams,
        /// Bytes of datagrams handed to the kernel: header, shard and tag.
        wire_bytes,
        /// Of these datagrams, the ones that carry parity, those sent again not counted.
        parity_datagrams,
        /// System calls that sending took.
        system_calls,
        /// Datagrams that the kernel would not take in time.
        packets_send_dropped,
        /// Times that a full send buffer was waited for.
        waits_full,
        /// Times that the send path fell back to a slower one.
        fallbacks,
        /// Access units that left within the microburst cap.
        immediate_aus,
        /// Access units whose overflow was spread.
        paced_aus,
        /// The link's rate as far as it is proven, in kbit/s; 0 where the pacer's is fixed.
        link_kbps,
        /// Access units that proved a higher rate.
        link_proven,
        /// Times that access units came too late for the link's rate, so that it was lowered or left as it was.
        link_late,
        /// Times that losses lowered it.
        link_lost,
        /// Times that losses made the burst smaller.
        burst_lost,
        /// The wire's rate that the encoder is asked for, in kbit/s.
        rate_kbps,
        /// Why it moved last, as [`punktfunk_proto::BitrateReason`] counts; see [`ProtectStats::bitrate_reason`].
        rate_reason,
        /// Times that it fell because datagrams queued on the way.
        rate_delay,
        /// Times that it fell because of losses.
        rate_loss,
        /// Times that it fell because the decoder was too slow.
        rate_decode,
        /// Its steps up.
        rate_climb,
        /// Times that a lower one did not help and was taken back.
        rate_futile,
        /// The longest shards of the next access unit, in bytes.
        shard_bytes,
        /// Times that the path carried no long datagrams any more, and shards were made short.
        path_shrunk,
        /// Times that media was sent another way.
        path_changed,
        /// Feedback reports that arrived.
        reports,
        /// Datagrams that reports asked for again, those under way left out.
        resend_asked,
        /// Datagrams sent again.
        datagrams_resent,
        /// Datagrams asked for again too late: their access unit was past its deadline or had ended.
        resend_late,
        /// Datagrams asked for again that the arena does not hold any more.
        resend_gone,
        /// Datagrams asked for a fourth time, or beyond what resends may take of the rate.
        resend_refused,
        /// FEC blocks that could not be sealed, because the key's sequences are used up and no report opens the next
        /// epoch. What is left of each one's access unit goes with it.
        dropped_key_exhausted,
        /// The epoch that datagrams are sealed in.
        epoch,
        /// Bytes of the arena that are leased.
        arena_leased_bytes,
        /// Datagrams of speed tests handed to the kernel, none of them among the others.
        filler_datagrams,
        /// Their bytes.
        filler_bytes,
        /// Those that the kernel would not take in time.
        filler_dropped,
    }
}

impl ProtectStats {
    /// Why the wire's rate moved last.
    pub fn bitrate_reason(&self) -> BitrateReason {
        BitrateReason::ALL.into_iter().find(|reason| *reason as u64 == self.rate_reason).unwrap_or_default()
    }
}

counters! {
    /// What the client's receive stage did.
    ReceiveCounters => ReceiveStats {
        /// Media datagrams that came, whatever became of them.
        datagrams,
        /// Bytes of these datagrams.
        wire_bytes,
        /// Datagrams opened straight into their place.
        placed,
        /// Datagrams opened into scratch first and then copied: the first of each FEC block.
        copied,
        /// Authenticated datagrams that were not needed any more.
        surplus,
        /// Datagrams that came twice, or from a replay.
        replayed,
        /// Datagrams whose access unit had been given up.
        late,
        /// Datagrams that are no media datagram of this protocol.
        malformed,
        /// Datagrams whose tag is wrong.
        bad_tag,
        /// Datagrams of an epoch that is not open.
        unknown_epoch,
        /// Datagrams beyond a negotiated bound, those whose header alone shows it included: a stranger's too.
        over_limit,
        /// Times that receiving did without what was wanted.
        fallbacks,
        /// Datagrams that the kernel dropped at this socket.
        kernel_drops,
        /// Shards computed from parity.
        recovered,
        /// Access units given up: shards of them never came.
        lost_aus,
        /// Access units that came whole after they were given up; not among the lost.
        late_aus,
        /// Access units given up because the span budget was spent.
        dropped_memory,
        /// Access units that were whole and that a newer one pushed out of the window.
        dropped_window,
        /// Access units thrown away because the decode queue was full.
        dropped_decode_queue,
        /// QUIC datagrams thrown away because the control thread lags.
        dropped_control_queue,
        /// QUIC datagrams thrown away because they are longer than any of ours: a stranger's.
        dropped_control_size,
        /// Datagrams of speed tests that were counted, none of them among the others.
        filler_datagrams,
        /// Those that were not: forged, come twice, or of a test before.
        filler_refused,
        /// Receive calls that brought something.
        batches,
        /// Spans that are out of the pool.
        spans_out,
        /// Bytes that the pool of spans holds, those that are out counted in.
        span_bytes,
    }
}

counters! {
    /// What the client's decode stage did.
    DecodeCounters => DecodeStats {
        /// Access units that came whole.
        whole,
        /// Bytes of these.
        bytes,
        /// Pictures that were decoded.
        decoded,
        /// Microseconds that the decoder was at work on these.
        decode_us,
        /// Access units thrown away because they refer to a picture that was lost.
        dropped_awaiting_idr,
        /// Access units that the decoder refused.
        dropped_decode_error,
        /// Pictures counted with no latency, because the clocks were not joined yet.
        without_clock,
        /// Times that a clean point was asked for.
        idr_requests,
        /// Losses that a recovery point healed, without an IDR.
        recovery_points,
    }
}

/// One snapshot of the host's pipeline.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct HostStats {
    /// The encode stage's.
    pub encode: EncodeStats,
    /// The protect and send stage's.
    pub protect: ProtectStats,
}

/// One snapshot of the client's pipeline.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct ClientStats {
    /// The receive stage's.
    pub receive: ReceiveStats,
    /// The decode stage's.
    pub decode: DecodeStats,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_a_value() {
        let counters = EncodeCounters::default();
        add(&counters.shed, 2);
        let before = counters.snapshot();
        add(&counters.shed, 3);
        set(&counters.captured, 9);
        assert_eq!((before.shed, before.captured), (2, 0));
        assert_eq!((counters.snapshot().shed, counters.snapshot().captured), (5, 9));
    }
}
