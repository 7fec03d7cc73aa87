//! What the protect stage does with the client's reports: datagrams sent again, and the redundancy that follows.
//!
//! The leases of blocks that have left stay with the ledger until a report shows their access unit whole, its deadline
//! passes, or a new block needs their room. Promises: what is sent again is the sealed datagram as it lies in the
//! arena, in trains, through the pacer, before new data; reports are looked at before each train. Refuses: to wait
//! for a full send buffer with what is sent again, and to evict anything while there is room.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use punktfunk_net::{Arena, Lease};
use punktfunk_proto::{
    BlockPlan, FeedbackReport, Negotiated, Redundancy, RedundancyControl, RedundancyPolicy, ResendLedger,
};

use super::{Command, Cut, ProtectStage};
use crate::limits::{LINGER_MAX, PACE_SLEEP_MAX, PICTURE_WAIT_TOGETHER};
use crate::stage::wait_until;
use crate::stats::{ProtectCounters, add, set};

/// A feedback report, and what the control thread knew when it came.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) report: FeedbackReport,
    /// The path's round trip, where control knows it.
    pub(crate) rtt: Option<Duration>,
    pub(crate) at: Instant,
}

/// What the stage keeps for it.
pub(crate) struct Resends {
    ledger: ResendLedger<Lease>,
    control: RedundancyControl,
}

impl Resends {
    pub(crate) fn new(negotiated: &Negotiated, policy: RedundancyPolicy) -> Self {
        let control = RedundancyControl::new(policy, negotiated);
        Self { ledger: ResendLedger::new(negotiated), control }
    }

    /// A new access unit begins; returns the rule for its parity.
    pub(super) fn begin_au(&mut self, au: u32, now: Instant) -> Redundancy {
        self.ledger.begin_au(au, now);
        self.control.redundancy(now)
    }

    /// The rule for parity now.
    pub(super) fn redundancy(&mut self, now: Instant) -> Redundancy {
        self.control.redundancy(now)
    }

    /// Access unit `au` was cut: it can never be whole.
    pub(super) fn end_au(&mut self, au: u32) {
        self.ledger.end_au(au);
    }

    /// A lease for a new block; the oldest that are held go where there is no room.
    pub(super) fn lease(&mut self, arena: &mut Arena, bytes: usize, now: Instant) -> Option<Lease> {
        loop {
            if let Some(lease) = arena.lease(bytes) {
                return Some(lease);
            }
            arena.release(self.ledger.evict(now)?);
        }
    }

    /// All datagrams of a block have left.
    pub(super) fn hold(&mut self, plan: &BlockPlan, lease: Lease, arena: &mut Arena, now: Instant) {
        self.ledger.hold(plan, lease, now);
        self.release(arena, now);
    }

    /// Gives back what is needed no more.
    pub(super) fn release(&mut self, arena: &mut Arena, now: Instant) {
        while let Some(lease) = self.ledger.poll_release(now) {
            arena.release(lease);
        }
    }

    /// Gives everything back.
    pub(super) fn release_all(&mut self, arena: &mut Arena, now: Instant) {
        while let Some(lease) = self.ledger.evict(now) {
            arena.release(lease);
        }
    }

    pub(super) fn publish(&self, to: &ProtectCounters) {
        let done = self.ledger.counters();
        set(&to.resend_asked, done.asked);
        set(&to.datagrams_resent, done.resent);
        set(&to.resend_late, done.late);
        set(&to.resend_gone, done.gone);
        set(&to.resend_refused, done.refused);
    }
}

impl<S: AsRef<[u8]>> ProtectStage<S> {
    /// Takes a report.
    pub(super) fn handle_told(&mut self, told: &Told) {
        let Told { report, rtt, at } = told;
        self.sealer.handle_epoch_opened(report.epoch_opened);
        // The report that was missing: the next epoch may begin.
        let opens = report.epoch_opened == self.sealer.epoch();
        if opens && self.progress.key_blocked.swap(false, Ordering::AcqRel) {
            self.progress.waker.wake();
        }
        let resends = &mut self.resends;
        resends.control.handle_report(report, *rtt, *at);
        resends.ledger.set_wire_rate(self.wishes.wire_kbps.load(Ordering::Relaxed));
        // With no round trip known, what is under way is taken to be slow.
        resends.ledger.handle_report(report, rtt.unwrap_or(PACE_SLEEP_MAX), *at);
        resends.release(&mut self.arena, Instant::now());
        add(&self.counters.reports, 1);
        self.measure(report, Instant::now());
    }

    /// Takes the reports that wait, and sends again what they ask for. Other commands keep their turn.
    pub(super) fn serve_reports(&mut self) -> Result<(), Cut> {
        for _ in 0..self.commands.slots() {
            let Ok(Command::Feedback(_)) = self.commands.peek() else { break };
            let Ok(command) = self.commands.pop() else { break };
            self.handle_command(&command);
        }
        self.resend()
    }

    /// Stays when nothing more comes, until a report shows the last access units whole or their deadlines have passed:
    /// what they lost on the way is still asked for.
    pub(crate) fn linger(&mut self) {
        let end = Instant::now() + LINGER_MAX;
        while !self.stop.is_requested() {
            self.handle_commands();
            // A stop is noticed above.
            let _ = self.resend();
            let now = Instant::now();
            self.resends.release(&mut self.arena, now);
            let Some(due) = self.resends.ledger.poll_timeout().filter(|_| now < end) else { return };
            let (commands, stop) = (&self.commands, &self.stop);
            // In short waits: where the stage has no thread of its own, nobody wakes it.
            let wait_end = due.min(end).min(now + PICTURE_WAIT_TOGETHER);
            wait_until(self.idle, wait_end, || !commands.is_empty() || stop.is_requested());
        }
    }

    /// Sends again what is asked for, as the pacer lets it.
    pub(super) fn resend(&mut self) -> Result<(), Cut> {
        let mut sent_any = false;
        while let Some(run) = self.resends.ledger.poll_resend(Instant::now()) {
            sent_any = true;
            let (bytes, stride) = (run.bytes(), run.stride);
            let departure = self.pacer.departure(bytes.len(), Instant::now());
            self.departures.wait_for(departure, &self.stop).ok_or(Cut::Stopped)?;
            let train = &self.arena.bytes(run.lease)[bytes];
            self.sender.send(self.destination, train, stride, Duration::ZERO);
            self.progress.trains.fetch_add(1, Ordering::Relaxed);
        }
        if sent_any {
            self.publish();
        }
        Ok(())
    }
}
