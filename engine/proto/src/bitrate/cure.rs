//! A lower rate, tried against what it may or may not help: AUs that are lost, and a decoder that is too slow.
//!
//! Promises: one trial at a time; one that did not help ends with the rate that was there before, and is not begun again
//! for a while that doubles. Refuses to take a moment for a state: an IDR takes a decoder longer, and one burst loses AUs.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use crate::feedback::ClientLoad;

/// How long AUs that are lost are counted.
const LOSS_WINDOW: Duration = Duration::from_millis(500);
/// Lost AUs in that time that FEC and resends should have carried.
const LOST_AUS: u32 = 3;
/// What a rate is lowered to against them: SCReAM's answer to a loss (RFC 8298, section 4.1.2.1, BETA_LOSS).
const LOSS_PER_MILLE: u64 = 800;
/// AUs that must wait for the decoder: the one in its hands, and one more.
const WAITING: u16 = 2;
/// Pictures in a row, or times as long, that took the decoder too long.
const SLOW: u32 = 2;
/// What is aimed at: this share of the interval.
const DECODE_PER_MILLE: u64 = 900;
/// A trial lowers the rate to this share at least, and at most.
const TRIAL_PER_MILLE: RangeInclusive<u64> = 500..=900;
/// How long a trial runs before it is judged: the encoder follows within two pictures, and some must have come.
const SETTLE: Duration = Duration::from_millis(300);
/// And how long it is judged.
const JUDGE: Duration = Duration::from_millis(700);
/// What was tried in vain is left alone for so long, at first and at most.
const HOLD: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_mins(5);

/// What a lower rate may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ailment {
    Loss,
    Decode,
}

/// What follows from a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A lower rate is tried.
    Lower { ailment: Ailment, kbps: u32 },
    /// It did not help.
    Futile { before_kbps: u32 },
}

/// A trial that runs.
#[derive(Debug, Clone, Copy)]
struct Trial {
    ailment: Ailment,
    before_kbps: u32,
    /// What a session of the old rate had: AUs lost a second, or microseconds of decoding.
    before: u64,
    /// The share that was gone to, of each 1,000.
    per_mille: u64,
    begun_at: Instant,
    /// AUs lost in all when the judging began.
    lost_at: Option<u32>,
    /// Sum and count of decode times since.
    decode_us: u64,
    reports: u64,
}

/// What was tried in vain.
#[derive(Debug, Clone, Copy)]
struct Vain {
    hold: Duration,
    until: Option<Instant>,
}

impl Vain {
    const fn new() -> Self {
        Self { hold: *HOLD.start(), until: None }
    }
}

/// Watches the client and tries lower rates.
#[derive(Debug)]
pub(super) struct Cure {
    interval: Duration,
    /// Since when lost AUs are counted, and how many there were in all then.
    window: Option<(Instant, u32)>,
    /// The newest report's lost AUs, and reports of the window that told of more.
    lost: u32,
    lossy_reports: u32,
    overrun: u16,
    /// How often the decoder was too slow, in a row, and when that was last looked at.
    slow: u32,
    slow_at: Option<Instant>,
    /// Pictures take the decoder as long as they have bytes: a lower rate has helped.
    is_by_bytes: bool,
    decode_us: u32,
    trial: Option<Trial>,
    vain_loss: Vain,
    vain_decode: Vain,
}

impl Cure {
    pub(super) const fn new(interval: Duration) -> Self {
        Self {
            interval,
            window: None,
            lost: 0,
            lossy_reports: 0,
            overrun: 0,
            slow: 0,
            slow_at: None,
            is_by_bytes: false,
            decode_us: 0,
            trial: None,
            vain_loss: Vain::new(),
            vain_decode: Vain::new(),
        }
    }

    pub(super) const fn interval(&self) -> Duration {
        self.interval
    }

    /// Pictures are so far apart now, and may be of another size: what is known of the decoder is of those before.
    pub(super) fn set_interval(&mut self, interval: Duration) {
        (self.interval, self.slow, self.is_by_bytes) = (interval, 0, false);
        self.vain_decode = Vain::new();
        self.trial.take_if(|trial| trial.ailment == Ailment::Decode);
    }

    /// The rate moves for another reason: what a trial would show is not the trial's doing.
    pub(super) fn cancel(&mut self) {
        self.trial = None;
    }

    /// Whether a lower rate is being judged.
    pub(super) const fn is_on_trial(&self) -> bool {
        self.trial.is_some()
    }

    /// What a decoder that takes as long as pictures have bytes would bear, where `kbps` is what it has.
    pub(super) fn borne_kbps(&self, kbps: u32) -> u32 {
        if !self.is_by_bytes || self.decode_us == 0 {
            return u32::MAX;
        }
        let per_mille = self.interval.as_micros() as u64 * DECODE_PER_MILLE / u64::from(self.decode_us);
        super::share(kbps, per_mille)
    }

    /// What the client says, at a rate of `kbps`.
    pub(super) fn handle(&mut self, load: &ClientLoad, kbps: u32, now: Instant) -> Option<Outcome> {
        let lost = self.count_lost(load, now);
        let is_slow = self.is_slow(load, now);
        self.decode_us = load.decode_us;
        if let Some(trial) = self.trial {
            return self.judge(trial, load, now);
        }
        if is_slow && self.vain_decode.until.is_none_or(|until| now >= until) {
            let interval_us = self.interval.as_micros() as u64;
            let wanted = interval_us * DECODE_PER_MILLE / u64::from(load.decode_us).max(1);
            return self.begin(Ailment::Decode, kbps, load.decode_us.into(), wanted, now);
        }
        if let Some(a_second) = lost
            && self.vain_loss.until.is_none_or(|until| now >= until)
        {
            return self.begin(Ailment::Loss, kbps, a_second, LOSS_PER_MILLE, now);
        }
        None
    }

    /// Lost AUs a second, where a window had too many.
    fn count_lost(&mut self, load: &ClientLoad, now: Instant) -> Option<u64> {
        let (since, before) = *self.window.get_or_insert((now, load.aus_lost));
        if load.aus_lost != self.lost {
            self.lossy_reports += 1;
            self.lost = load.aus_lost;
        }
        let elapsed = now.saturating_duration_since(since);
        if elapsed < LOSS_WINDOW {
            return None;
        }
        let lost = load.aus_lost.wrapping_sub(before);
        let reports = std::mem::take(&mut self.lossy_reports);
        self.window = Some((now, load.aus_lost));
        // All in one report are one burst.
        (lost >= LOST_AUS && reports >= 2).then(|| a_second(lost, elapsed))
    }

    fn is_slow(&mut self, load: &ClientLoad, now: Instant) -> bool {
        let overrun = std::mem::replace(&mut self.overrun, load.aus_overrun) != load.aus_overrun;
        let is_late = Duration::from_micros(load.decode_us.into()) > self.interval;
        if !(is_late && (load.aus_waiting >= WAITING || overrun)) {
            self.slow = 0;
            return false;
        }
        if self.slow_at.is_none_or(|at| now.saturating_duration_since(at) >= self.interval) {
            self.slow_at = Some(now);
            self.slow += 1;
        }
        self.slow >= SLOW
    }

    fn begin(
        &mut self,
        ailment: Ailment,
        kbps: u32,
        before: u64,
        per_mille: u64,
        now: Instant,
    ) -> Option<Outcome> {
        let per_mille = per_mille.clamp(*TRIAL_PER_MILLE.start(), *TRIAL_PER_MILLE.end());
        self.trial = Some(Trial {
            ailment,
            before_kbps: kbps,
            before,
            per_mille,
            begun_at: now,
            lost_at: None,
            decode_us: 0,
            reports: 0,
        });
        self.slow = 0;
        Some(Outcome::Lower { ailment, kbps: super::share(kbps, per_mille) })
    }

    fn judge(&mut self, mut trial: Trial, load: &ClientLoad, now: Instant) -> Option<Outcome> {
        let elapsed = now.saturating_duration_since(trial.begun_at);
        if elapsed < SETTLE {
            return None;
        }
        let lost_at = *trial.lost_at.get_or_insert(load.aus_lost);
        trial.decode_us += u64::from(load.decode_us);
        trial.reports += 1;
        self.trial = Some(trial);
        if elapsed < SETTLE + JUDGE {
            return None;
        }
        self.trial = None;
        let has_helped = match trial.ailment {
            Ailment::Loss => a_second(load.aus_lost.wrapping_sub(lost_at), JUDGE) * 2 <= trial.before,
            // A quarter of what a decoder would save whose time is the bytes'.
            Ailment::Decode => {
                let saved = trial.before.saturating_sub(trial.decode_us / trial.reports);
                saved * 4_000 >= trial.before * (1_000 - trial.per_mille)
            }
        };
        let vain = match trial.ailment {
            Ailment::Loss => &mut self.vain_loss,
            Ailment::Decode => &mut self.vain_decode,
        };
        if trial.ailment == Ailment::Decode {
            self.is_by_bytes = has_helped;
        }
        if has_helped {
            *vain = Vain::new();
            return None;
        }
        vain.until = Some(now + vain.hold);
        vain.hold = (vain.hold * 2).min(*HOLD.end());
        Some(Outcome::Futile { before_kbps: trial.before_kbps })
    }
}

fn a_second(lost: u32, time: Duration) -> u64 {
    u64::from(lost) * 1_000_000 / (time.as_micros() as u64).max(1)
}
