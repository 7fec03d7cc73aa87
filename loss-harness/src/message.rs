//! What the client sends back: feedback reports, and requests for an IDR.
//!
//! On the wire both ride QUIC, which drops what was damaged; so does whoever carries these. Reports pass through the
//! protocol's own encoding; a request is its numbers behind a byte of its own, and is repeated by who asks until it has
//! helped, which stands in for the stream that would carry it.

use punktfunk_proto::{FeedbackReport, Lost, feedback};

const REPORT: u8 = 0xD0;
const IDR_REQUEST: u8 = 0x01;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// What came and what is missing.
    Report(Box<FeedbackReport>),
    /// This is missing.
    IdrRequest(Lost),
}

impl Message {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Message::Report(report) => {
                let mut bytes = vec![0; 1 + feedback::REPORT_BYTES_MAX];
                bytes[0] = REPORT;
                let length = report.encode(&mut bytes[1..]);
                bytes.truncate(1 + length);
                bytes
            }
            Message::IdrRequest(Lost { from_au, to_au }) => {
                [&[IDR_REQUEST][..], &from_au.to_le_bytes(), &to_au.to_le_bytes()].concat()
            }
        }
    }

    /// Reads a message; `None` for anything else.
    pub fn parse(bytes: &[u8]) -> Option<Message> {
        match bytes {
            [REPORT, report @ ..] => {
                FeedbackReport::parse(report).ok().map(|report| Message::Report(Box::new(report)))
            }
            [IDR_REQUEST, numbers @ ..] => {
                let (from_au, to_au) = numbers.split_first_chunk::<4>()?;
                let to_au = u32::from_le_bytes(to_au.try_into().ok()?);
                Some(Message::IdrRequest(Lost { from_au: u32::from_le_bytes(*from_au), to_au }))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_sent_is_read_and_the_rest_is_refused(
            from_au in any::<u32>(), to_au in any::<u32>(), epoch_opened in any::<u32>(), noise in any::<Vec<u8>>()
        ) {
            let mut report = FeedbackReport::default();
            report.epoch_opened = epoch_opened;
            for message in [Message::IdrRequest(Lost { from_au, to_au }), Message::Report(Box::new(report))] {
                prop_assert_eq!(Message::parse(&message.encode()), Some(message));
            }
            let _ = Message::parse(&noise);
        }
    }
}
