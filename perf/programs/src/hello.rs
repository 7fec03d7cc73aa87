//! The words between the two ends beside media: where reports go, reports, and what is missed.
//!
//! In the product they ride QUIC; here they are plain datagrams between a sender and a receiver that share test keys.
//! Promises: whatever comes from the network is either one of these words to its last byte, or nothing. Refuses: to
//! believe more of a sender than where it listens.

use punktfunk_proto::feedback::REPORT_BYTES_MAX;
use punktfunk_proto::{FeedbackReport, Lost, is_media};

/// No media datagram begins so.
const HELLO: &[u8; 8] = b"\xf0pf-perf";
const REPORT: u8 = 1;
const MISSING: u8 = 2;

const _: () = assert!(!is_media(HELLO[0]));

/// The longest word.
pub const SAID_BYTES_MAX: usize = REPORT_BYTES_MAX + 1;

/// Where the sender listens for reports, at the address that this came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// The port.
    pub port: u16,
}

impl Hello {
    /// As it travels.
    pub fn encode(self) -> [u8; 10] {
        let mut out = [0; 10];
        out[..8].copy_from_slice(HELLO);
        out[8..].copy_from_slice(&self.port.to_le_bytes());
        out
    }

    /// `None` for anything else.
    pub fn parse(bytes: &[u8]) -> Option<Hello> {
        let port: [u8; 2] = bytes.strip_prefix(HELLO)?.try_into().ok()?;
        Some(Hello { port: u16::from_le_bytes(port) }).filter(|hello| hello.port != 0)
    }
}

/// What a receiver says to its sender.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "it lives on the stack for a moment, once each access unit")]
pub enum Said {
    /// A feedback report.
    Report(FeedbackReport),
    /// What is missing.
    Missing(Lost),
}

impl Said {
    /// Writes the word and returns its length.
    pub fn encode(&self, out: &mut [u8; SAID_BYTES_MAX]) -> usize {
        match self {
            Said::Report(report) => {
                out[0] = REPORT;
                1 + report.encode(&mut out[1..])
            }
            Said::Missing(lost) => {
                out[0] = MISSING;
                out[1..5].copy_from_slice(&lost.from_au.to_le_bytes());
                out[5..9].copy_from_slice(&lost.to_au.to_le_bytes());
                9
            }
        }
    }

    /// `None` for anything else.
    pub fn parse(bytes: &[u8]) -> Option<Said> {
        let (kind, rest) = bytes.split_first()?;
        match *kind {
            REPORT => FeedbackReport::parse(rest).ok().map(Said::Report),
            MISSING => {
                let (from_au, to_au) = rest.split_first_chunk::<4>()?;
                let to_au = u32::from_le_bytes(to_au.try_into().ok()?);
                Some(Said::Missing(Lost { from_au: u32::from_le_bytes(*from_au), to_au }))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn words_come_back(port in 1u16.., from_au: u32, to_au: u32, epoch: u32) {
            prop_assert_eq!(Hello::parse(&Hello { port }.encode()), Some(Hello { port }));
            let mut report = FeedbackReport::default();
            report.epoch_opened = epoch;
            let mut out = [0; SAID_BYTES_MAX];
            for said in [Said::Report(report), Said::Missing(Lost { from_au, to_au })] {
                let length = said.encode(&mut out);
                prop_assert_eq!(Said::parse(&out[..length]), Some(said));
            }
        }

        #[test]
        fn whatever_comes_is_a_word_or_nothing(bytes in prop::collection::vec(any::<u8>(), 0..1_500)) {
            let _ = Said::parse(&bytes);
            prop_assert_eq!(Hello::parse(&bytes), None);
        }
    }

    #[test]
    fn a_hello_cut_short_or_too_long_is_none() {
        let hello = Hello { port: 7 }.encode();
        assert_eq!(Hello::parse(&hello[..9]), None);
        assert_eq!(Hello::parse(&[&hello[..], &[0]].concat()), None);
        assert_eq!(Hello::parse(&Hello { port: 0 }.encode()), None);
    }
}
