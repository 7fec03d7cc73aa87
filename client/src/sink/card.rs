//! The test card read back: are the picture numbers in order, and is none missing?

use punktfunk_capture::card;
use punktfunk_codec::I420;

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
}

impl CardReport {
    /// Reads one decoded picture.
    pub fn read(&mut self, picture: &I420<'_>) {
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
            None => self.first = Some(number),
        }
        self.newest = Some(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
