//! The test card read back: are the picture numbers in order, and is none missing?
//!
//! Promises: pictures are read while they are a card's, from the access unit that the host names; where a card begins anew
//! its numbers may, too. Refuses nothing: a picture without a readable number is counted.

use std::sync::atomic::{AtomicU64, Ordering};

use punktfunk_capture::card;
use punktfunk_codec::I420;

/// Whether a source, in a host's words, is the card.
fn is_card(source: &str) -> bool {
    source.starts_with("test card")
}

/// Since when pictures are a card's, or are none: told by the control thread, read by the decode stage.
///
/// One word: twice the access unit that it holds from, and one more where they are.
#[derive(Debug, Default)]
pub struct CardTimes(AtomicU64);

impl CardTimes {
    /// Of a session that begins with this source.
    pub fn new(source: &str) -> Self {
        let times = Self::default();
        times.tell(source, 0);
        times
    }

    /// From `from_au` on, or a little later, pictures come from `source`.
    pub fn tell(&self, source: &str, from_au: u32) {
        self.0.store(u64::from(from_au) << 1 | u64::from(is_card(source)), Ordering::Relaxed);
    }

    /// Whether `au` is a card's picture.
    pub fn is_card(&self, au: u32) -> bool {
        self.since(au).is_some()
    }

    /// Since which access unit `au` has been a card's picture, if it is one.
    fn since(&self, au: u32) -> Option<u32> {
        let word = self.0.load(Ordering::Relaxed);
        let from_au = u32::try_from(word >> 1).unwrap_or(u32::MAX);
        (word & 1 == 1 && au >= from_au).then_some(from_au)
    }
}

/// What the card's numbers said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CardReport {
    /// Pictures whose number could be read.
    pub read: u64,
    /// Pictures without a readable number.
    pub unreadable: u64,
    /// Pictures whose number was not above the one before.
    pub out_of_order: u64,
    /// Numbers that were passed over between two pictures: superseded, shed or lost ones.
    pub passed_over: u64,
    /// The first number.
    pub first: Option<u64>,
    /// The newest number.
    pub newest: Option<u64>,
    /// Where the card that is read began.
    began: Option<u32>,
}

impl CardReport {
    /// Reads one decoded picture into `report` if it is a card's.
    pub fn read_if_card(report: &mut Option<Self>, times: &CardTimes, au: u32, picture: &I420<'_>) {
        if let Some(since) = times.since(au) {
            let report = report.get_or_insert_default();
            report.begin(since);
            report.read(picture);
        }
    }

    /// The card is the one that began with this access unit: another one's numbers say nothing of its own.
    fn begin(&mut self, since: u32) {
        if self.began.replace(since).is_some_and(|before| before != since) {
            self.newest = None;
        }
    }

    fn read(&mut self, picture: &I420<'_>) {
        let Some(stamp) = card::read(picture.y(), picture.stride_y(), picture.width(), picture.height())
        else {
            self.unreadable += 1;
            return;
        };
        self.note(stamp.number);
    }

    fn note(&mut self, number: u64) {
        self.read += 1;
        match self.newest {
            Some(before) if number <= before => self.out_of_order += 1,
            Some(before) => self.passed_over += number - before - 1,
            None => self.first = self.first.or(Some(number)),
        }
        self.newest = Some(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_card_is_told_by_source_and_access_unit() {
        let times = CardTimes::new("test card 320x180@60");
        assert_eq!((times.since(0), times.since(u32::MAX)), (Some(0), Some(0)));
        times.tell("sway 1.7, headless", 100);
        assert_eq!((times.since(99), times.since(100)), (None, None));
        times.tell("test card 320x180@60", u32::MAX);
        assert_eq!((times.since(u32::MAX - 1), times.since(u32::MAX)), (None, Some(u32::MAX)));
        assert_eq!(CardTimes::new("a file named test card").since(7), None);
    }

    #[test]
    fn another_card_begins_anew() {
        let mut report = CardReport::default();
        for (since, number) in [(0, 5), (0, 6), (40, 0), (40, 2)] {
            report.begin(since);
            report.note(number);
        }
        assert_eq!((report.read, report.out_of_order, report.passed_over), (4, 0, 1));
        assert_eq!((report.first, report.newest), (Some(5), Some(2)));
    }

    #[test]
    fn gaps_and_disorder_are_told_apart() {
        let mut report = CardReport::default();
        for number in [5, 6, 9, 8, 9] {
            report.note(number);
        }
        let expected = CardReport {
            read: 5,
            out_of_order: 1,
            passed_over: 2,
            first: Some(5),
            newest: Some(9),
            ..CardReport::default()
        };
        assert_eq!(report, expected);
    }
}
