//! How one AU left: when each train was sent, and when a link of the pacer's rate would be done with it.
//!
//! That link is a virtual queue: it takes trains as they are sent and serves them at the rate of the moment. A real
//! link that is at least as fast is done with every datagram no later than the virtual one, so what comes later than
//! that shows a slower link, whatever the encoder's pauses and the pacer's bursts were.
//!
//! Fixed memory: trains of an AU that has more than there are places are taken together by twos.

use std::time::{Duration, Instant};

use super::nanos_of;

/// Places for trains.
const MARKS_MAX: usize = 128;

/// Trains in a row, and all before them, in nanoseconds since the AU's first.
#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    datagrams: u32,
    bytes: u64,
    /// When the first of these trains was sent, and the last.
    first_sent_ns: u64,
    sent_ns: u64,
    clear_ns: u64,
}

/// What a link did with an AU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Nanoseconds by which the newest datagram came later than a link of the pacer's rate would have had it.
    pub(super) excess_ns: i64,
    /// What that link would have taken from the first batch to the newest datagram.
    pub(super) model_ns: u64,
    /// What the link carries, if the newest datagram waited for nothing but it, in kbit/s; else it carries more.
    pub(super) through_kbps: u64,
    /// What it has carried for certain, however late the times are told.
    pub(super) carried_kbps: u64,
}

/// One AU's way to the kernel.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) au: u32,
    /// The rate that it began at.
    pub(super) rate_kbps: u32,
    /// It was sent above the proven rate, in full.
    pub(super) is_trial: bool,
    /// The AU before it was late, when it began.
    pub(super) is_after_late: bool,
    /// All of it was handed to the kernel.
    pub(super) is_whole: bool,
    pub(super) is_delay_judged: bool,
    pub(super) is_loss_judged: bool,
    /// The verdict that was found, if it was late.
    pub(super) late: Option<Verdict>,
    /// The proven rate before this one was.
    pub(super) proven_before_kbps: Option<u32>,
    first_at: Option<Instant>,
    marks: Vec<Mark>,
    /// What was sent so far.
    last: Mark,
}

impl Course {
    pub(super) fn new() -> Self {
        Self {
            au: 0,
            rate_kbps: 1,
            is_trial: false,
            is_after_late: false,
            is_whole: false,
            is_delay_judged: true,
            is_loss_judged: true,
            late: None,
            proven_before_kbps: None,
            first_at: None,
            marks: Vec::with_capacity(MARKS_MAX),
            last: Mark::default(),
        }
    }

    /// Forgets what was there: AU `au` begins.
    pub(super) fn begin(&mut self, au: u32, rate_kbps: u32, is_trial: bool, is_after_late: bool) {
        self.marks.clear();
        *self = Self {
            au,
            rate_kbps,
            is_trial,
            is_after_late,
            is_whole: false,
            is_delay_judged: false,
            is_loss_judged: false,
            late: None,
            proven_before_kbps: None,
            first_at: None,
            marks: std::mem::take(&mut self.marks),
            last: Mark::default(),
        };
    }

    /// Forgets what was there, and is judged by nobody.
    pub(super) fn forget(&mut self) {
        self.begin(self.au, self.rate_kbps, false, false);
        (self.is_delay_judged, self.is_loss_judged) = (true, true);
    }

    /// A train was handed to the kernel, paced by `rate_kbps`.
    pub(super) fn handle_train(&mut self, datagrams: u32, bytes: usize, rate_kbps: u32, at: Instant) {
        let first_at = *self.first_at.get_or_insert(at);
        let sent_ns = nanos(at.saturating_duration_since(first_at));
        let before = self.last;
        self.last = Mark {
            datagrams: before.datagrams.saturating_add(datagrams),
            bytes: before.bytes + bytes as u64,
            first_sent_ns: sent_ns,
            sent_ns,
            clear_ns: before.clear_ns.max(sent_ns) + nanos_of(bytes as u64, rate_kbps),
        };
        if self.marks.len() == MARKS_MAX {
            for pair in 0..MARKS_MAX / 2 {
                let (first, second) = (self.marks[2 * pair], self.marks[2 * pair + 1]);
                self.marks[pair] = Mark { first_sent_ns: first.first_sent_ns, ..second };
            }
            self.marks.truncate(MARKS_MAX / 2);
        }
        self.marks.push(self.last);
    }

    /// When a link of the pacer's rate has nothing left of it.
    pub(super) fn clear_at(&self) -> Option<Instant> {
        self.first_at.map(|first_at| first_at + Duration::from_nanos(self.last.clear_ns))
    }

    /// When datagram `count` (from one) was handed to the kernel; none that was not.
    pub(super) fn sent_at(&self, count: u32) -> Option<Instant> {
        let mark = (count > 0).then(|| self.at(count)).flatten()?;
        self.first_at.map(|first_at| first_at + Duration::from_nanos(mark.sent_ns))
    }

    pub(super) fn bytes(&self) -> u64 {
        self.last.bytes
    }

    pub(super) fn datagrams(&self) -> u32 {
        self.last.datagrams
    }

    /// What the link did, by what came: the datagrams up to `first` in one batch, and `span` later those up to
    /// `reach`. `None` where that says nothing: more than was sent, or less time than sending took.
    pub(super) fn judge(&self, first: u32, reach: u32, span: Duration, noise_ns: u64) -> Option<Verdict> {
        if first == 0 || reach < first || reach > self.last.datagrams {
            return None;
        }
        // All in one batch came as fast as a batch is told from the next.
        let from = if first == reach { Mark::default() } else { self.at(first)? };
        let to = self.at(reach)?;
        let span_ns = nanos(span);
        if span_ns + noise_ns < to.sent_ns.saturating_sub(from.sent_ns) {
            return None;
        }
        let model_ns = to.clear_ns.saturating_sub(from.clear_ns);
        let signed = |ns| i64::try_from(ns).unwrap_or(i64::MAX);
        let excess_ns = signed(span_ns).saturating_sub(signed(model_ns));
        let through_kbps = self.through_kbps(&from, &to, span_ns, 1, |ns| ns.max(noise_ns));
        // Half of the AU at least: a shaper lets a train or two pass as if there were none.
        let half = (to.bytes - from.bytes) / 2;
        let carried_kbps = self.through_kbps(&from, &to, span_ns, half, |ns| ns.saturating_add(noise_ns));
        Some(Verdict { excess_ns, model_ns, through_kbps, carried_kbps })
    }

    /// A link of rate C is done with `to` at the latest of: each train's time, and all bytes from there on at C. So C
    /// is the most that any train and what followed it make, of those that make `bytes_min`, in the time that `allow`
    /// makes of the one measured.
    fn through_kbps(
        &self,
        from: &Mark,
        to: &Mark,
        span_ns: u64,
        bytes_min: u64,
        allow: impl Fn(u64) -> u64,
    ) -> u64 {
        let rate = |bytes: u64, ns: u64| {
            let kbps = u128::from(bytes) * 8_000_000 / u128::from(allow(ns).max(1));
            u64::try_from(kbps).unwrap_or(u64::MAX)
        };
        let came_ns = from.clear_ns.saturating_add(span_ns);
        let later = self.marks.windows(2).map(|pair| (&pair[0], &pair[1]));
        let later = later.filter(|(before, mark)| {
            before.bytes >= from.bytes && mark.bytes <= to.bytes && to.bytes - before.bytes >= bytes_min
        });
        let later = later
            .map(|(before, mark)| rate(to.bytes - before.bytes, came_ns.saturating_sub(mark.first_sent_ns)));
        later.fold(rate(to.bytes - from.bytes, span_ns), u64::max)
    }

    /// The state when datagram `count` (from one) was through, all of a train's taken as equally long.
    fn at(&self, count: u32) -> Option<Mark> {
        let index = self.marks.partition_point(|mark| mark.datagrams < count);
        let mark = *self.marks.get(index)?;
        let before = index.checked_sub(1).map(|index| self.marks[index]).unwrap_or_default();
        let (datagrams, bytes) =
            (u64::from(mark.datagrams - before.datagrams).max(1), mark.bytes - before.bytes);
        let behind = u64::from(mark.datagrams - count);
        let bytes_behind = bytes * behind / datagrams;
        let busy_ns = mark.clear_ns.saturating_sub(before.clear_ns.max(mark.first_sent_ns));
        Some(Mark {
            datagrams: count,
            bytes: mark.bytes - bytes_behind,
            clear_ns: mark.clear_ns - busy_ns * behind / datagrams,
            ..mark
        })
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
