//! What the host has to tell its program, bounded.
//!
//! Promises: order; a flood of strangers is counted beyond `REJECTIONS_MAX`. Refuses: nothing else;
//! sessions look at `is_full` and stop reading, so that QUIC holds their clients back.

use std::collections::VecDeque;
use std::net::SocketAddr;

use punktfunk_proto::FeedbackReport;

use crate::error::RejectReason;
use crate::event::{HostEvent, SessionId};
use crate::limits::{EVENTS_MAX, REJECTIONS_MAX};
use crate::messages::ClientStats;
use crate::stats::HostCounters;

#[derive(Debug, Default)]
pub(super) struct Tidings {
    events: VecDeque<HostEvent>,
    rejections_waiting: usize,
    held_back: bool,
    /// Whether the program will hear anyway that those that wait have changed.
    pending_changed_waits: bool,
    pub(super) counters: HostCounters,
}

impl Tidings {
    pub(super) fn tell(&mut self, event: HostEvent) {
        self.events.push_back(event);
    }

    pub(super) fn reject(&mut self, remote: SocketAddr, reason: RejectReason) {
        self.counters.rejected += 1;
        if self.rejections_waiting == REJECTIONS_MAX {
            self.counters.rejections_untold += 1;
            return;
        }
        self.rejections_waiting += 1;
        self.tell(HostEvent::Rejected { remote, reason });
    }

    /// Those that wait for somebody's word are others now; told once, however often it happens before it is heard.
    pub(super) fn tell_pending_changed(&mut self) {
        if !std::mem::replace(&mut self.pending_changed_waits, true) {
            self.tell(HostEvent::PendingChanged);
        }
    }

    pub(super) fn poll(&mut self) -> Option<HostEvent> {
        let event = self.events.pop_front()?;
        match event {
            HostEvent::Rejected { .. } => self.rejections_waiting -= 1,
            HostEvent::PendingChanged => self.pending_changed_waits = false,
            _ => {}
        }
        Some(event)
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// Tells of a report; when too much waits, it takes the place of the session's last one, whose
    /// state it repeats. `false` when a report was thrown away for that.
    #[must_use]
    pub(super) fn tell_report(&mut self, session: SessionId, report: FeedbackReport) -> bool {
        if self.events.len() < EVENTS_MAX {
            self.tell(HostEvent::Feedback { session, report });
            return true;
        }
        let last = self.events.iter_mut().rev().find_map(|event| match event {
            HostEvent::Feedback { session: of, report } if *of == session => Some(report),
            _ => None,
        });
        if let Some(last) = last {
            *last = report;
        }
        false
    }

    /// Tells of a client's figures; they take the place of the session's older ones that still wait.
    pub(super) fn tell_client_stats(&mut self, session: SessionId, stats: ClientStats) {
        let waiting = self.events.iter_mut().find_map(|event| match event {
            HostEvent::ClientStats { session: of, stats } if *of == session => Some(stats),
            _ => None,
        });
        match waiting {
            Some(older) => *older = stats,
            None => self.tell(HostEvent::ClientStats { session, stats }),
        }
    }

    /// Someone has stopped reading for want of room here.
    pub(super) fn hold_back(&mut self) {
        self.held_back = true;
    }

    /// Whether reading stopped and there is room again.
    pub(super) fn can_resume(&self) -> bool {
        self.held_back && self.events.len() <= EVENTS_MAX / 2
    }

    pub(super) fn take_resume(&mut self) -> bool {
        let resume = self.can_resume();
        self.held_back &= !resume;
        resume
    }
}
