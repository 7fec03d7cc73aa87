//! The moving test card: a source of pictures that people can judge and programs can read.
//!
//! Promised: every picture carries its number and time, as digits and as a machine-readable code that survives
//! low-bitrate H.264 ([`read`] gives it back from the decoded luma, or nothing); pictures are paced by an absolute
//! schedule, the newest wins; drawing touches only what changes (well below 1 ms at 1280 × 720).
//! Refused: modes smaller than 320 × 180, where the code has no room.

mod canvas;
mod code;
mod glyphs;
mod painter;
mod scene;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use code::{CardStamp, read};
pub use painter::Painter;

use crate::schedule::Pace;
use crate::{CaptureError, Counters, Mode, Picture, PixelFormat, Pixels, Source};

/// A source of test pictures, drawn as I420 and paced at its mode's refresh.
#[derive(Debug)]
pub struct Card {
    mode: Mode,
    pace: Pace,
    painter: Painter,
    wanted: CardModes,
}

/// Changes a card's mode while its pictures are taken elsewhere, as a screen's is changed.
#[derive(Debug, Clone, Default)]
pub struct CardModes(Arc<Mutex<Option<(Mode, Painter)>>>);

impl CardModes {
    /// The card has this mode from its next picture on.
    ///
    /// # Errors
    /// [`CaptureError::CardTooSmall`].
    pub fn set(&self, mode: Mode) -> Result<(), CaptureError> {
        let painter = Painter::new(mode)?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((mode, painter));
        Ok(())
    }

    fn take(&self) -> Option<(Mode, Painter)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Card {
    /// A card whose picture 0 is due, and whose time code is 0, at `started`.
    ///
    /// # Errors
    /// [`CaptureError::CardTooSmall`].
    pub fn new(mode: Mode, started: Instant) -> Result<Self, CaptureError> {
        Ok(Self {
            mode,
            pace: Pace::new(mode.refresh_mhz(), started),
            painter: Painter::new(mode)?,
            wanted: CardModes::default(),
        })
    }

    /// What changes its mode.
    pub fn modes(&self) -> CardModes {
        self.wanted.clone()
    }
}

impl Source for Card {
    fn describe(&self) -> String {
        format!("test card {}", self.mode)
    }

    fn mode(&self) -> Mode {
        self.mode
    }

    fn restart(&mut self, started: Instant) {
        self.pace.restart(started);
    }

    fn wait_picture(&mut self, timeout: Duration) -> Result<bool, CaptureError> {
        let is_due = self.pace.schedule().wait(timeout);
        if let Some((mode, painter)) = self.wanted.take() {
            // Numbers go on: it is the same card.
            self.pace.set_refresh(mode.refresh_mhz());
            (self.mode, self.painter) = (mode, painter);
        }
        Ok(is_due)
    }

    fn take_picture(&mut self) -> Result<Option<Picture<'_>>, CaptureError> {
        let captured_at = Instant::now();
        let Some(number) = self.pace.claim(captured_at) else { return Ok(None) };
        let elapsed = captured_at.duration_since(self.pace.schedule().started());
        let time_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let bytes = self.painter.paint(CardStamp { number, time_us });
        Ok(Some(Picture {
            pixels: Pixels::Memory { format: PixelFormat::I420, stride: self.mode.width() as usize, bytes },
            width: self.mode.width(),
            height: self.mode.height(),
            captured_at,
            number,
        }))
    }

    fn skip(&mut self) {
        self.pace.skip(Instant::now());
    }

    fn counters(&self) -> Counters {
        self.pace.counters()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_come_at_their_pace_and_every_one_is_accounted_for() {
        let mode: Mode = "320x180@240".parse().unwrap();
        let started = Instant::now();
        let mut card = Card::new(mode, started).unwrap();
        let (mut taken, mut last) = (0, None);
        for turn in 0..60 {
            if turn == 20 {
                std::thread::sleep(Duration::from_millis(30));
            }
            if turn == 40 && card.wait_picture(Duration::from_secs(1)).unwrap() {
                card.skip();
            }
            let picture = card.next_picture(Duration::from_secs(1)).unwrap().expect("a card never ends");
            let (_, stride, bytes) = picture.memory().unwrap();
            let stamp = read(bytes, stride, 320, 180).unwrap();
            assert_eq!(stamp.number, picture.number);
            assert!(last < Some(stamp.number));
            let due_us = stamp.number * 1_000_000 / 240;
            assert!(stamp.time_us >= due_us, "picture {} at {} µs", stamp.number, stamp.time_us);
            assert_eq!(u128::from(stamp.time_us), picture.captured_at.duration_since(started).as_micros());
            (taken, last) = (taken + 1, Some(stamp.number));
        }
        let Counters { captured, superseded, skipped, .. } = card.counters();
        assert_eq!(captured, last.unwrap() + 1);
        assert_eq!(captured, taken + superseded + skipped);
        assert!(superseded >= 5 && skipped == 1, "{superseded} superseded, {skipped} skipped");
    }

    #[test]
    fn another_mode_begins_with_the_next_picture_and_numbers_go_on() {
        let mut card = Card::new("320x180@240".parse().unwrap(), Instant::now()).unwrap();
        let modes = card.modes();
        assert!(matches!(modes.set("64x64@60".parse().unwrap()), Err(CaptureError::CardTooSmall { .. })));
        let mut last = None;
        for (mode, width, height) in [("640x360@120", 640, 360), ("480x270@200", 480, 270)] {
            modes.set(mode.parse().unwrap()).unwrap();
            for _ in 0..3 {
                let picture = card.next_picture(Duration::from_secs(1)).unwrap().expect("a card never ends");
                assert_eq!((picture.width, picture.height), (width, height));
                let (_, stride, bytes) = picture.memory().unwrap();
                let stamp = read(bytes, stride, width, height).unwrap();
                assert!(last < Some(stamp.number) && stamp.number == picture.number);
                last = Some(stamp.number);
            }
            assert_eq!(card.mode(), mode.parse().unwrap());
        }
    }

    #[test]
    fn nothing_comes_before_its_time() {
        let mode: Mode = "320x180@1".parse().unwrap();
        let mut card = Card::new(mode, Instant::now() + Duration::from_secs(60)).unwrap();
        assert!(card.next_picture(Duration::from_millis(5)).unwrap().is_none());
        assert!(card.take_picture().unwrap().is_none());
        card.skip();
        assert_eq!(card.counters(), Counters::default());
    }

    #[test]
    fn a_card_that_begins_anew_has_missed_nothing() {
        let mode: Mode = "320x180@240".parse().unwrap();
        let mut card = Card::new(mode, Instant::now()).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        assert!(card.take_picture().unwrap().expect("some are due").number > 5);
        let started = Instant::now();
        card.restart(started + Duration::from_millis(20));
        assert!(card.take_picture().unwrap().is_none());
        assert_eq!(card.counters(), Counters::default());
        card.restart(started);
        let number = card.next_picture(Duration::from_secs(1)).unwrap().expect("a card never ends").number;
        assert_eq!(card.counters().superseded, number);
    }

    #[test]
    fn too_small_a_mode_is_named() {
        for text in ["318x180@60", "320x178@60", "16x16@60"] {
            let refused = Card::new(text.parse().unwrap(), Instant::now()).unwrap_err();
            assert!(matches!(refused, CaptureError::CardTooSmall { min_width: 320, min_height: 180, .. }));
            assert!(refused.to_string().contains("at least 320x180"), "{refused}");
        }
    }
}
