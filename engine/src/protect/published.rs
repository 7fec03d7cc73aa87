//! The stage's counters, told to the control thread after each access unit.
//!
//! Promises: single writer, plain stores; a speed test's filler is in none of video's.

use std::sync::atomic::Ordering;

use super::ProtectStage;
use crate::stats::set;

impl<S: AsRef<[u8]>> ProtectStage<S> {
    pub(super) fn publish(&self) {
        let (sent, filler) = (self.sender.counters(), self.filler.sent());
        set(&self.counters.datagrams, sent.datagrams - filler.datagrams);
        set(&self.counters.wire_bytes, sent.bytes - filler.wire_bytes);
        set(&self.counters.system_calls, sent.system_calls);
        set(&self.counters.packets_send_dropped, sent.packets_send_dropped - filler.dropped);
        set(&self.counters.waits_full, sent.waits_full);
        set(&self.counters.fallbacks, sent.fallbacks());
        let paced = self.pacer.counters();
        set(&self.counters.immediate_aus, paced.aus_immediate);
        set(&self.counters.paced_aus, paced.aus_paced);
        if let Some(link) = &self.link {
            let (pace, counters) = (link.pace(), link.counters());
            set(&self.counters.link_kbps, pace.rate_kbps.into());
            set(&self.counters.link_proven, counters.proven);
            set(&self.counters.link_late, counters.late);
            set(&self.counters.link_lost, counters.lost);
            set(&self.counters.burst_lost, counters.burst_lost);
        }
        set(&self.counters.rate_kbps, self.wishes.wire_kbps.load(Ordering::Relaxed).into());
        if let Some(bitrate) = &self.bitrate {
            let counters = bitrate.counters();
            set(&self.counters.rate_reason, bitrate.reason() as u64);
            set(&self.counters.rate_delay, counters.delay);
            set(&self.counters.rate_loss, counters.loss);
            set(&self.counters.rate_decode, counters.decode);
            set(&self.counters.rate_climb, counters.climb);
            set(&self.counters.rate_futile, counters.futile);
        }
        set(&self.counters.shard_bytes, self.packetizer.shard_bytes().into());
        set(&self.counters.epoch, u64::from(self.sealer.epoch()));
        set(&self.counters.arena_leased_bytes, self.arena.leased_bytes() as u64);
        self.resends.publish(&self.counters);
        self.filler.publish(&self.counters);
    }
}
