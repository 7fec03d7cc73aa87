//! A client that is there and stands still: QUIC answers, and nothing becomes of the media.
//!
//! Promises: a client that does not report, or whose decoder does nothing with what waits for it, is told of within
//! [`STILL_MAX`]. Refuses to call a slow one still: one picture in that time is enough.

use std::time::{Duration, Instant};

use punktfunk_proto::ClientLoad;

/// For how long a session may stand still. Reports come each 5 to 100 ms and a client's own figures each second, so
/// that this is no hiccup: a person would have left.
pub(super) const STILL_MAX: Duration = Duration::from_secs(5);

/// Figures that are older say nothing of the decoder.
const FIGURES_MAX: Duration = Duration::from_secs(3);

/// What is known of a session's progress at its client.
#[derive(Debug)]
pub(super) struct Watch {
    reported: Instant,
    /// When the decoder last did something, or had nothing to do.
    decoded: Instant,
    pictures: u64,
    figures: Option<Instant>,
}

impl Watch {
    /// Media flows from now on.
    pub(super) fn new(now: Instant) -> Self {
        Self { reported: now, decoded: now, pictures: 0, figures: None }
    }

    /// A report has come.
    pub(super) fn handle_report(&mut self, load: Option<ClientLoad>, now: Instant) {
        self.reported = now;
        if load.is_none_or(|load| load.aus_waiting == 0) {
            self.decoded = now;
        }
    }

    /// The client's own figures have come.
    pub(super) fn handle_figures(&mut self, pictures_decoded: u64, now: Instant) {
        self.figures = Some(now);
        if self.pictures != pictures_decoded {
            (self.pictures, self.decoded) = (pictures_decoded, now);
        }
    }

    /// Why it stands still, if it does.
    pub(super) fn still(&self, now: Instant) -> Option<String> {
        let is_over = |since: Instant| now.saturating_duration_since(since) >= STILL_MAX;
        let knows = self.figures.is_some_and(|at| now.saturating_duration_since(at) < FIGURES_MAX);
        let seconds = STILL_MAX.as_secs();
        if is_over(self.reported) {
            return Some(format!("the client has reported nothing for {seconds} s, though it is there"));
        }
        (knows && is_over(self.decoded)).then(|| format!("the client has decoded nothing for {seconds} s"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(100);

    fn waiting(aus_waiting: u16) -> Option<ClientLoad> {
        Some(ClientLoad { aus_lost: 0, decode_us: 900, aus_waiting, aus_overrun: 0 })
    }

    /// When it is called still, of a client that reports this and decodes so many pictures until the nth tick.
    fn still_after(load: Option<ClientLoad>, pictures: impl Fn(u32) -> Option<u64>) -> Option<(u32, String)> {
        let began = Instant::now();
        let mut watch = Watch::new(began);
        (0..600).find_map(|tick| {
            let now = began + TICK * tick;
            watch.handle_report(load, now);
            if let Some(pictures) = pictures(tick).filter(|_| tick % 10 == 0) {
                watch.handle_figures(pictures, now);
            }
            watch.still(now).map(|why| (tick, why))
        })
    }

    #[test]
    fn a_client_that_does_not_report_is_still_and_one_that_does_is_not() {
        let began = Instant::now();
        let mut watch = Watch::new(began);
        assert_eq!(watch.still(began + STILL_MAX - TICK), None);
        assert!(watch.still(began + STILL_MAX).unwrap().contains("reported nothing"));
        watch.handle_report(None, began + STILL_MAX);
        assert_eq!(watch.still(began + STILL_MAX * 2 - TICK), None);
    }

    #[test]
    fn a_decoder_that_hangs_is_still_and_one_that_is_slow_or_idle_or_unknown_is_not() {
        let (tick, why) = still_after(waiting(6), |tick| Some(tick.min(40).into())).unwrap();
        assert!((90..=100).contains(&tick) && why.contains("decoded nothing"), "{tick}: {why}");
        assert_eq!(still_after(waiting(6), |tick| Some(u64::from(tick / 40))), None, "slow");
        assert_eq!(still_after(waiting(0), |_| Some(7)), None, "nothing waits for it");
        assert_eq!(still_after(waiting(6), |_| None), None, "no figures");
        assert_eq!(still_after(None, |_| Some(7)), None, "an older client");
    }
}
