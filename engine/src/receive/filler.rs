//! A speed test's filler at the receive stage: opened, counted, and told to the control thread when it has all come.
//!
//! Promises: filler never meets the reassembler, nor its counters; an answer comes once for each question, at the latest
//! [`FILLER_WAIT_MAX`] after it. Refuses: to wait, and to allocate for a datagram.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use punktfunk_net::ReceiveCounters as EdgeCounters;
use punktfunk_proto::{FillerMeter, FillerSeen};
use punktfunk_seal::Opener;

use crate::limits::{FILLER_QUIET, FILLER_WAIT_MAX};
use crate::stats::{ReceiveCounters, add};

/// The top two bits of a first byte say that it is media, the next two which plane; this is the probe's.
const PROBE_PLANE: u8 = 1;

/// Whether a media datagram that begins with this byte says that it is of the probe plane.
pub(super) fn is_filler(first_byte: u8) -> bool {
    first_byte >> 4 == PROBE_PLANE
}

/// Which test the control thread asks about.
#[derive(Debug, Default)]
pub(crate) struct FillerQuestion(AtomicU32);

impl FillerQuestion {
    /// Asks what came of test `test`.
    pub(crate) fn ask(&self, test: u16) {
        self.0.store(u32::from(test) + 1, Ordering::Release);
    }

    fn asked(&self) -> Option<u16> {
        u16::try_from(self.0.load(Ordering::Acquire).checked_sub(1)?).ok()
    }

    /// Takes the question back, unless another one has taken its place.
    fn answered(&self, test: u16) {
        let _ = self.0.compare_exchange(u32::from(test) + 1, 0, Ordering::AcqRel, Ordering::Acquire);
    }
}

/// Everything that the stage owns for it.
pub(crate) struct FillerCount {
    meter: FillerMeter,
    question: Arc<FillerQuestion>,
    answers: rtrb::Producer<FillerSeen>,
    /// What the socket had seen when the first datagram of the newest test came.
    since: Option<(u16, EdgeCounters)>,
    /// What the stage was asked, and since when it knows.
    asked: Option<(u16, Instant)>,
}

impl FillerCount {
    pub(crate) fn new(
        opener: Opener,
        shard_bytes_max: u16,
        question: Arc<FillerQuestion>,
        answers: rtrb::Producer<FillerSeen>,
        now: Instant,
    ) -> Self {
        let meter = FillerMeter::new(opener, shard_bytes_max, now);
        Self { meter, question, answers, since: None, asked: None }
    }

    /// Takes one datagram, before which the socket had seen `edge`.
    pub(super) fn handle_datagram(
        &mut self,
        datagram: &[u8],
        edge: &EdgeCounters,
        counters: &ReceiveCounters,
        now: Instant,
    ) {
        let is_counted = self.meter.handle_datagram(datagram, now);
        add(if is_counted { &counters.filler_datagrams } else { &counters.filler_refused }, 1);
        let test = self.meter.test();
        if self.since.map(|(since, _)| since) != test {
            self.since = test.map(|test| (test, *edge));
        }
    }

    /// Answers what was asked, once it is known; whether there is an answer. The socket has seen `edge` by now.
    pub(super) fn poll(&mut self, edge: &EdgeCounters, now: Instant) -> bool {
        let Some(test) = self.question.asked() else { return false };
        let since = match self.asked {
            Some((asked, since)) if asked == test => since,
            Some(_) | None => self.asked.insert((test, now)).1,
        };
        let is_known = self.meter.is_quiet(test, FILLER_QUIET, now)
            || now.saturating_duration_since(since) >= FILLER_WAIT_MAX;
        if !is_known {
            return false;
        }
        self.asked = None;
        self.question.answered(test);
        let client_drops = self.drops(test, edge);
        let seen = FillerSeen { client_drops, ..self.meter.seen(test) };
        self.answers.push(seen).is_ok()
    }

    /// Datagrams that the socket dropped during the test. The kernel counts what it queued, a coalesced batch as one: each
    /// is taken to be as large as those that came.
    fn drops(&self, test: u16, edge: &EdgeCounters) -> u64 {
        let Some((_, since)) = self.since.filter(|(since, _)| *since == test) else { return 0 };
        let dropped = edge.kernel_drops.saturating_sub(since.kernel_drops);
        let batches = edge.batches.saturating_sub(since.batches).max(1);
        dropped * edge.datagrams.saturating_sub(since.datagrams).max(batches) / batches
    }
}
