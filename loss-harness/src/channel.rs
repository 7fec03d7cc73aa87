//! A network emulator on a virtual clock: what happens to datagrams between two ends, from a seed.
//!
//! A datagram meets, in this order: a rate limit with a tail-drop queue; independent loss; bursts of loss, by the model
//! of Gilbert (1960) in which all is lost in the bad state; duplication; and for each copy corruption of one bit, the
//! one-way delay, and being held back.
//!
//! Promises that the same seed and the same sends give the same arrivals, tells every datagram's fate as it is sent, and
//! counts them: it holds no more than what is on its way. It knows nothing of what the datagrams mean.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::plan::ChannelPlan;
use crate::rng::{Purpose, Rng};

/// What became of one datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fate {
    /// Copies that arrive as they were sent.
    pub intact: u8,
    /// Copies that arrive with a bit flipped.
    pub corrupted: u8,
    /// What ended it, if nothing arrives.
    pub gone: Option<Gone>,
}

/// What ends a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// The queue before the narrow link was full.
    Queue,
    /// Independent loss.
    Loss,
    /// A burst of loss.
    Burst,
}

/// Fates, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FateCounts {
    /// Datagrams sent.
    pub datagrams: u64,
    /// Of which independent loss took.
    pub lost: u64,
    /// Of which a burst took.
    pub lost_in_bursts: u64,
    /// Of which the full queue took.
    pub dropped_by_queue: u64,
    /// Copies with a bit flipped.
    pub corrupted: u64,
    /// Second copies.
    pub duplicated: u64,
}

impl FateCounts {
    fn add(&mut self, fate: Fate) {
        self.datagrams += 1;
        self.corrupted += u64::from(fate.corrupted);
        self.duplicated += u64::from(fate.intact + fate.corrupted == 2);
        match fate.gone {
            Some(Gone::Loss) => self.lost += 1,
            Some(Gone::Burst) => self.lost_in_bursts += 1,
            Some(Gone::Queue) => self.dropped_by_queue += 1,
            None => {}
        }
    }
}

/// One copy at the far end.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrival {
    /// When.
    pub at: Duration,
    /// Ties go in the order of sending.
    order: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The channel between two ends.
#[derive(Debug)]
pub struct Channel {
    plan: ChannelPlan,
    rng: Rng,
    in_burst: bool,
    /// When the narrow link has sent all that waits.
    link_free: Duration,
    order: u64,
    flying: BinaryHeap<Reverse<Arrival>>,
    counts: FateCounts,
}

impl Channel {
    /// A channel that does what `plan` says.
    pub fn new(plan: &ChannelPlan, seed: u64) -> Channel {
        Channel {
            plan: plan.clone(),
            rng: Rng::new(seed, Purpose::Channel),
            in_burst: false,
            link_free: Duration::ZERO,
            order: 0,
            flying: BinaryHeap::new(),
            counts: FateCounts::default(),
        }
    }

    /// Takes a datagram at `now`, which never goes back; returns what becomes of it.
    pub fn send(&mut self, bytes: &[u8], now: Duration) -> Fate {
        let fate = match self.pass(bytes.len(), now) {
            Err(gone) => Fate { gone: Some(gone), ..Fate::default() },
            Ok(sent) => self.copies(bytes, sent),
        };
        self.counts.add(fate);
        fate
    }

    /// The next copy that arrives at `until` or before.
    pub fn poll_arrival(&mut self, until: Duration) -> Option<Arrival> {
        self.flying.peek().filter(|Reverse(arrival)| arrival.at <= until)?;
        self.flying.pop().map(|Reverse(arrival)| arrival)
    }

    /// All fates until now.
    pub fn counts(&self) -> FateCounts {
        self.counts
    }

    /// When the datagram has left the narrow link, unless something ended it.
    fn pass(&mut self, bytes: usize, now: Duration) -> Result<Duration, Gone> {
        let sent = self.through_queue(bytes, now)?;
        // Both draws are made for every datagram, so that one setting never shifts the other's chances.
        let lost = self.rng.chance(self.plan.loss.share());
        let turn = self.rng.unit();
        if let Some(burst) = self.plan.burst {
            let flips = if self.in_burst { 1.0 / burst.datagrams } else { burst.begin.share() };
            self.in_burst ^= turn < flips;
        }
        match (self.in_burst, lost) {
            (true, _) => Err(Gone::Burst),
            (false, true) => Err(Gone::Loss),
            (false, false) => Ok(sent),
        }
    }

    fn through_queue(&mut self, bytes: usize, now: Duration) -> Result<Duration, Gone> {
        let Some(rate) = self.plan.rate_limit else { return Ok(now) };
        let time_of =
            |bytes: u64| Duration::from_nanos(bytes.saturating_mul(8_000_000) / u64::from(rate.kbps));
        let done = self.link_free.max(now) + time_of(bytes as u64);
        if done - now > time_of(self.plan.queue.0) {
            return Err(Gone::Queue);
        }
        self.link_free = done;
        Ok(done)
    }

    fn copies(&mut self, bytes: &[u8], sent: Duration) -> Fate {
        let mut fate = Fate::default();
        let copies = 1 + usize::from(self.rng.chance(self.plan.duplicate.share()));
        for _ in 0..copies {
            let mut copy = bytes.to_vec();
            if self.rng.chance(self.plan.corrupt.share()) && !copy.is_empty() {
                let bit = self.rng.below(copy.len() as u64 * 8) as usize;
                copy[bit / 8] ^= 1 << (bit % 8);
                fate.corrupted += 1;
            } else {
                fate.intact += 1;
            }
            let held = self.held_back();
            let at = sent + self.plan.delay.0 + held;
            self.flying.push(Reverse(Arrival { at, order: self.order, bytes: copy }));
            self.order += 1;
        }
        fate
    }

    fn held_back(&mut self) -> Duration {
        let (share, how_long) = (self.rng.unit(), self.rng.unit());
        match self.plan.reorder {
            Some(reorder) if share < reorder.share.share() => reorder.hold.0.mul_f64(how_long),
            Some(_) | None => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOREVER: Duration = Duration::MAX;

    fn plan(change: impl FnOnce(&mut ChannelPlan)) -> ChannelPlan {
        let mut plan = ChannelPlan::default();
        change(&mut plan);
        plan
    }

    /// 100,000 datagrams of 100 bytes, one a microsecond, and the fate of each.
    fn sent_through(plan: &ChannelPlan) -> (Channel, Vec<Fate>) {
        let mut channel = Channel::new(plan, 5);
        let send = |index: u64| channel.send(&[index as u8; 100], Duration::from_micros(index));
        let fates = (0..100_000).map(send).collect();
        (channel, fates)
    }

    fn count(fates: &[Fate], which: impl Fn(&Fate) -> bool) -> usize {
        fates.iter().filter(|fate| which(fate)).count()
    }

    #[test]
    fn a_clear_channel_only_delays() {
        let mut channel = Channel::new(&ChannelPlan::default(), 1);
        for bytes in [b"one", b"two"] {
            let fate = channel.send(bytes, Duration::ZERO);
            assert_eq!(fate, Fate { intact: 1, corrupted: 0, gone: None });
        }
        assert_eq!(channel.poll_arrival(Duration::from_micros(199)), None);
        for bytes in [b"one", b"two"] {
            let arrival = channel.poll_arrival(Duration::from_micros(200)).unwrap();
            assert_eq!((&arrival.bytes[..], arrival.at), (&bytes[..], Duration::from_micros(200)));
        }
        assert_eq!(channel.counts(), FateCounts { datagrams: 2, ..FateCounts::default() });
    }

    #[test]
    fn each_kind_of_harm_has_its_share_and_is_on_record() {
        let (channel, fates) = sent_through(&plan(|plan| plan.loss = "5%".parse().unwrap()));
        let loss = count(&fates, |fate| fate.gone == Some(Gone::Loss));
        assert!((4_700..5_300).contains(&loss), "{loss}");
        let counts = FateCounts { datagrams: 100_000, ..FateCounts::default() };
        assert_eq!(channel.counts(), FateCounts { lost: loss as u64, ..counts });
        let (channel, fates) = sent_through(&plan(|plan| plan.duplicate = "5%".parse().unwrap()));
        let twice = count(&fates, |fate| fate.intact == 2);
        assert!((4_700..5_300).contains(&twice), "{twice}");
        assert_eq!(channel.counts(), FateCounts { duplicated: twice as u64, ..counts });
        let (channel, fates) = sent_through(&plan(|plan| plan.corrupt = "5%".parse().unwrap()));
        let bad = count(&fates, |fate| fate.corrupted == 1 && fate.intact == 0);
        assert!((4_700..5_300).contains(&bad), "{bad}");
        assert_eq!(channel.counts(), FateCounts { corrupted: bad as u64, ..counts });
    }

    #[test]
    fn bursts_have_their_mean_length() {
        let (channel, fates) = sent_through(&plan(|plan| plan.burst = Some("0.1%x20".parse().unwrap())));
        let lost = count(&fates, |fate| fate.gone == Some(Gone::Burst));
        assert_eq!(channel.counts().lost_in_bursts, lost as u64);
        let begun = fates.windows(2).filter(|pair| pair[0].gone.is_none() && pair[1].gone.is_some()).count();
        assert!((1_400..2_600).contains(&lost), "{lost}");
        assert!((15..26).contains(&(lost / begun)), "{lost} in {begun}");
    }

    #[test]
    fn what_is_held_back_is_overtaken() {
        let (mut channel, _) = sent_through(&plan(|plan| plan.reorder = Some("2%x1ms".parse().unwrap())));
        let (mut overtaken, mut newest, mut last) = (0, 0, Duration::ZERO);
        while let Some(arrival) = channel.poll_arrival(FOREVER) {
            assert!(arrival.at >= last);
            last = arrival.at;
            overtaken += usize::from(arrival.order < newest);
            newest = newest.max(arrival.order);
        }
        assert!((1_700..2_300).contains(&overtaken), "{overtaken}");
    }

    #[test]
    fn a_narrow_link_passes_its_rate_and_its_queue() {
        // 100 bytes a microsecond are 800 Mbit/s.
        let (mut channel, fates) = sent_through(&plan(|plan| {
            plan.rate_limit = Some("400Mbit/s".parse().unwrap());
            plan.queue = "10KB".parse().unwrap();
        }));
        let dropped = count(&fates, |fate| fate.gone == Some(Gone::Queue));
        assert_eq!(channel.counts().dropped_by_queue, dropped as u64);
        assert!((49_800..50_000).contains(&dropped), "{dropped}");
        let mut last = Duration::ZERO;
        while let Some(arrival) = channel.poll_arrival(FOREVER) {
            last = arrival.at;
        }
        let longest = Duration::from_micros(99_999 + 200) + Duration::from_micros(200);
        assert!(last <= longest, "{last:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_arrivals() {
        let plan = plan(|plan| {
            plan.loss = "5%".parse().unwrap();
            plan.burst = Some("0.1%x5".parse().unwrap());
            plan.reorder = Some("2%x1ms".parse().unwrap());
            plan.duplicate = "3%".parse().unwrap();
            plan.corrupt = "3%".parse().unwrap();
        });
        let ((mut one, fates), (mut two, again)) = (sent_through(&plan), sent_through(&plan));
        assert_eq!(fates, again);
        loop {
            let arrival = one.poll_arrival(FOREVER);
            assert_eq!(arrival, two.poll_arrival(FOREVER));
            if arrival.is_none() {
                break;
            }
        }
    }
}
