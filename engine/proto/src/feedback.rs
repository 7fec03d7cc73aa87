//! The feedback report: what came and what is missing, receiver to sender, the whole state each time.
//!
//! Little endian; version 1:
//! ```text
//! 0  u8  version    1 u8 open AUs    2 u8 missing words    3 u8 bit 0: highest_au is set,
//!                                                                       bit 1: one_way_delay_us is,
//!                                                                       bit 2: unseen blocks follow,
//!                                                                       bits 3 and 4: one AU of arrivals each,
//!                                                                       bit 5: their times are, bit 6: load is
//! 4  u32 highest_au       8  u32 epoch_opened    12 u16 lost_per_mille   14 u16 burst_max
//! 16 u32 kernel_drops     20 i32 one_way_delay_us                        24 u32 receive_kbps
//! 28 open AUs, 8 bytes each:  u32 au, u16 blocks seen, u8 bit 0: end seen, u8 0
//! .. missing, 16 bytes each:  u32 au, u16 block, u16 word, u64 bits
//! .. unseen blocks, 8 bytes for each open AU, in their order:  u64 bits
//! .. arrivals, 20 bytes each: u32 au, u32 first, u32 reach, u32 datagrams, u32 span_us
//! .. times, 4 bytes for each AU of arrivals, in their order:  u32 newest_us
//! .. load, 12 bytes:          u32 aus_lost, u32 decode_us, u16 aus_waiting, u16 aus_overrun
//! ```
//!
//! Promises at most [`REPORT_BYTES_MAX`] bytes and a value without heap. Parsing skips what follows the parts it
//! knows, so that a part can be added behind them under a bit of its own; it refuses another version, counts over the
//! limits, and less bytes than the counts need.

use crate::arrivals::{ARRIVALS_MAX, AuArrivals};

/// Longest encoded report: fits a QUIC datagram at the smallest MTU.
pub const REPORT_BYTES_MAX: usize = 1_120;
/// AUs a report describes.
pub const OPEN_AUS_MAX: usize = 4;
/// 64-shard words of missing shards that a report lists.
pub const MISSING_MAX: usize = 60;

const VERSION: u8 = 1;
const FIXED_BYTES: usize = 28;
const OPEN_AU_BYTES: usize = 8;
const MISSING_BYTES: usize = 16;
const UNSEEN_BYTES: usize = 8;
const ARRIVALS_BYTES: usize = 20;
const TIME_BYTES: usize = 4;
const LOAD_BYTES: usize = 12;

const HIGHEST_AU_SET: u8 = 1;
const DELAY_SET: u8 = 2;
const UNSEEN_SET: u8 = 4;
/// One for each AU.
const ARRIVALS_SET: [u8; ARRIVALS_MAX] = [8, 16];
const TIMES_SET: u8 = 32;
const LOAD_SET: u8 = 64;

const _: () = assert!(
    FIXED_BYTES
        + OPEN_AUS_MAX * (OPEN_AU_BYTES + UNSEEN_BYTES)
        + MISSING_MAX * MISSING_BYTES
        + ARRIVALS_MAX * (ARRIVALS_BYTES + TIME_BYTES)
        + LOAD_BYTES
        <= REPORT_BYTES_MAX
);

/// Why bytes are no report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FeedbackError {
    /// Fewer bytes than the counts need.
    #[error("a feedback report needs {needed} bytes, got {got}")]
    TooShort {
        /// Bytes that the counts need.
        needed: usize,
        /// Bytes that came.
        got: usize,
    },
    /// Another version.
    #[error("feedback reports are of version {VERSION}, got {0}")]
    Version(u8),
    /// More entries than a report may have.
    #[error("a feedback report has at most {max} {what}, got {got}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// The most.
        max: usize,
        /// What came.
        got: usize,
    },
}

/// One AU that is neither delivered nor given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenAuReport {
    /// Access-unit number.
    pub au: u32,
    /// The highest block seen plus one; 0 when none was seen.
    pub blocks_seen: u16,
    /// Whether the last block is known.
    pub end_seen: bool,
    /// Bit i: nothing came of block i, though something came of a later one. Of the first 64 blocks.
    pub unseen: u64,
}

/// Up to 64 data shards of one block that are asked for again: as many as the block still needs, of those that are
/// missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MissingShards {
    /// Access-unit number.
    pub au: u32,
    /// Number of the block in its AU.
    pub block: u16,
    /// Bit i stands for shard 64 × word + i.
    pub word: u16,
    /// The missing shards.
    pub bits: u64,
}

impl MissingShards {
    /// The missing shards' indices in their block.
    pub fn shards(self) -> impl Iterator<Item = u32> {
        let base = u32::from(self.word) * 64;
        (0..64).filter(move |bit| self.bits >> bit & 1 == 1).map(move |bit| base + bit)
    }
}

/// What becomes of access units at the receiver, once their datagrams have come or have not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientLoad {
    /// AUs that were given up, total: never whole, or too late. Wraps.
    pub aus_lost: u32,
    /// Mean time that the decoder was at work on a picture, of those since the last report that told of any, in
    /// microseconds; 0 before the first.
    pub decode_us: u32,
    /// AUs that are whole and wait for the decoder, the one in its hands counted in.
    pub aus_waiting: u16,
    /// AUs that were thrown away because too many waited, total. Wraps.
    pub aus_overrun: u16,
}

/// A feedback report, by value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedbackReport {
    /// The newest AU that anything came of.
    pub highest_au: Option<u32>,
    /// The newest key epoch that was opened.
    pub epoch_opened: u32,
    /// Datagrams lost of each 1,000, smoothed.
    pub lost_per_mille: u16,
    /// Longest run of lost datagrams since the last report.
    pub burst_max: u16,
    /// Datagrams that the receiver's socket dropped, total. The driver fills it in.
    pub kernel_drops: u32,
    /// Capture to whole at the receiver, in microseconds, of the newest AU; `None` before the clocks are joined. The
    /// driver fills it in; below 0 when the clocks' join is off by more than the delay.
    pub one_way_delay_us: Option<i32>,
    /// Authentic media received since the last report, in kbit/s of UDP payload.
    pub receive_kbps: u32,
    /// What becomes of the AUs. The driver fills it in.
    pub load: Option<ClientLoad>,
    /// Whether the arrivals have times.
    pub has_times: bool,
    pub(crate) open: [OpenAuReport; OPEN_AUS_MAX],
    pub(crate) open_count: u8,
    pub(crate) missing: [MissingShards; MISSING_MAX],
    pub(crate) missing_count: u8,
    pub(crate) arrivals: [AuArrivals; ARRIVALS_MAX],
    pub(crate) arrivals_count: u8,
}

impl Default for FeedbackReport {
    fn default() -> Self {
        Self {
            highest_au: None,
            epoch_opened: 0,
            lost_per_mille: 0,
            burst_max: 0,
            kernel_drops: 0,
            one_way_delay_us: None,
            receive_kbps: 0,
            load: None,
            has_times: false,
            open: [OpenAuReport::default(); OPEN_AUS_MAX],
            open_count: 0,
            missing: [MissingShards::default(); MISSING_MAX],
            missing_count: 0,
            arrivals: [AuArrivals::default(); ARRIVALS_MAX],
            arrivals_count: 0,
        }
    }
}

impl FeedbackReport {
    /// The oldest AUs that are open, at most [`OPEN_AUS_MAX`].
    pub fn open_aus(&self) -> &[OpenAuReport] {
        &self.open[..usize::from(self.open_count)]
    }

    /// The data shards that are asked for, oldest first, at most [`MISSING_MAX`] words of them.
    pub fn missing(&self) -> &[MissingShards] {
        &self.missing[..usize::from(self.missing_count)]
    }

    /// How the newest AUs came, the newest first, at most [`ARRIVALS_MAX`].
    pub fn arrivals(&self) -> &[AuArrivals] {
        &self.arrivals[..usize::from(self.arrivals_count)]
    }

    /// Adds how an AU came; false when the report is full.
    pub fn push_arrivals(&mut self, arrivals: AuArrivals) -> bool {
        let Some(place) = self.arrivals.get_mut(usize::from(self.arrivals_count)) else { return false };
        *place = arrivals;
        self.arrivals_count += 1;
        true
    }

    /// Adds an open AU; false when the report is full.
    pub fn push_open(&mut self, au: OpenAuReport) -> bool {
        let Some(place) = self.open.get_mut(usize::from(self.open_count)) else { return false };
        *place = au;
        self.open_count += 1;
        true
    }

    /// Adds missing shards; false when the report is full.
    pub fn push_missing(&mut self, shards: MissingShards) -> bool {
        let Some(place) = self.missing.get_mut(usize::from(self.missing_count)) else { return false };
        *place = shards;
        self.missing_count += 1;
        true
    }

    fn times(&self) -> bool {
        self.has_times && self.arrivals_count > 0
    }

    fn unseen_blocks(&self) -> bool {
        self.open_aus().iter().any(|open| open.unseen != 0)
    }

    /// Writes the report and returns its length, at most [`REPORT_BYTES_MAX`].
    ///
    /// # Panics
    /// When `out` is shorter than the report: hand in [`REPORT_BYTES_MAX`] bytes.
    pub fn encode(&self, out: &mut [u8]) -> usize {
        let mut writer = Writer { out, at: 0 };
        let bit = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        let set = bit(self.highest_au.is_some(), HIGHEST_AU_SET)
            | bit(self.one_way_delay_us.is_some(), DELAY_SET)
            | bit(self.unseen_blocks(), UNSEEN_SET)
            | bit(self.arrivals_count > 0, ARRIVALS_SET[0])
            | bit(self.arrivals_count > 1, ARRIVALS_SET[1])
            | bit(self.times(), TIMES_SET)
            | bit(self.load.is_some(), LOAD_SET);
        writer.put(&[VERSION, self.open_count, self.missing_count, set]);
        writer.put(&self.highest_au.unwrap_or(0).to_le_bytes());
        writer.put(&self.epoch_opened.to_le_bytes());
        writer.put(&self.lost_per_mille.to_le_bytes());
        writer.put(&self.burst_max.to_le_bytes());
        writer.put(&self.kernel_drops.to_le_bytes());
        writer.put(&self.one_way_delay_us.unwrap_or(0).to_le_bytes());
        writer.put(&self.receive_kbps.to_le_bytes());
        for open in self.open_aus() {
            writer.put(&open.au.to_le_bytes());
            writer.put(&open.blocks_seen.to_le_bytes());
            writer.put(&[u8::from(open.end_seen), 0]);
        }
        for missing in self.missing() {
            writer.put(&missing.au.to_le_bytes());
            writer.put(&missing.block.to_le_bytes());
            writer.put(&missing.word.to_le_bytes());
            writer.put(&missing.bits.to_le_bytes());
        }
        if self.unseen_blocks() {
            self.open_aus().iter().for_each(|open| writer.put(&open.unseen.to_le_bytes()));
        }
        for arrivals in self.arrivals() {
            let AuArrivals { au, first, reach, datagrams, span_us, newest_us: _ } = *arrivals;
            [au, first, reach, datagrams, span_us].iter().for_each(|word| writer.put(&word.to_le_bytes()));
        }
        if self.times() {
            self.arrivals().iter().for_each(|arrivals| writer.put(&arrivals.newest_us.to_le_bytes()));
        }
        if let Some(ClientLoad { aus_lost, decode_us, aus_waiting, aus_overrun }) = self.load {
            [aus_lost, decode_us].iter().for_each(|word| writer.put(&word.to_le_bytes()));
            [aus_waiting, aus_overrun].iter().for_each(|word| writer.put(&word.to_le_bytes()));
        }
        writer.at
    }

    /// Reads a report.
    ///
    /// # Errors
    /// [`FeedbackError`] for another version, too many entries, or too few bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, FeedbackError> {
        let &[version, open_count, missing_count, set, ..] = bytes else {
            return Err(FeedbackError::TooShort { needed: FIXED_BYTES, got: bytes.len() });
        };
        if version != VERSION {
            return Err(FeedbackError::Version(version));
        }
        at_most("open access units", OPEN_AUS_MAX, open_count.into())?;
        at_most("words of missing shards", MISSING_MAX, missing_count.into())?;
        let arrivals_count = ARRIVALS_SET.iter().filter(|bit| set & **bit != 0).count();
        let open_bytes = OPEN_AU_BYTES + if set & UNSEEN_SET == 0 { 0 } else { UNSEEN_BYTES };
        let arrival_bytes = ARRIVALS_BYTES + if set & TIMES_SET == 0 { 0 } else { TIME_BYTES };
        let needed = FIXED_BYTES
            + usize::from(open_count) * open_bytes
            + usize::from(missing_count) * MISSING_BYTES
            + arrivals_count * arrival_bytes
            + if set & LOAD_SET == 0 { 0 } else { LOAD_BYTES };
        if bytes.len() < needed {
            return Err(FeedbackError::TooShort { needed, got: bytes.len() });
        }
        let mut reader = Reader { bytes: &bytes[4..needed] };
        let highest_au = u32::from_le_bytes(reader.take());
        let mut report = Self {
            highest_au: (set & HIGHEST_AU_SET != 0).then_some(highest_au),
            epoch_opened: u32::from_le_bytes(reader.take()),
            lost_per_mille: u16::from_le_bytes(reader.take()),
            burst_max: u16::from_le_bytes(reader.take()),
            kernel_drops: u32::from_le_bytes(reader.take()),
            one_way_delay_us: Some(i32::from_le_bytes(reader.take())).filter(|_| set & DELAY_SET != 0),
            receive_kbps: u32::from_le_bytes(reader.take()),
            has_times: set & TIMES_SET != 0 && arrivals_count > 0,
            ..Self::default()
        };
        for _ in 0..open_count {
            let au = u32::from_le_bytes(reader.take());
            let blocks_seen = u16::from_le_bytes(reader.take());
            let [flags, _] = reader.take();
            report.push_open(OpenAuReport { au, blocks_seen, end_seen: flags & 1 == 1, unseen: 0 });
        }
        for _ in 0..missing_count {
            report.push_missing(MissingShards {
                au: u32::from_le_bytes(reader.take()),
                block: u16::from_le_bytes(reader.take()),
                word: u16::from_le_bytes(reader.take()),
                bits: u64::from_le_bytes(reader.take()),
            });
        }
        if set & UNSEEN_SET != 0 {
            for open in &mut report.open[..usize::from(open_count)] {
                open.unseen = u64::from_le_bytes(reader.take());
            }
        }
        report.take_arrivals(arrivals_count, &mut reader);
        report.load = (set & LOAD_SET != 0).then(|| ClientLoad::take(&mut reader));
        Ok(report)
    }

    fn take_arrivals(&mut self, count: usize, reader: &mut Reader<'_>) {
        for _ in 0..count {
            self.push_arrivals(AuArrivals {
                au: u32::from_le_bytes(reader.take()),
                first: u32::from_le_bytes(reader.take()),
                reach: u32::from_le_bytes(reader.take()),
                datagrams: u32::from_le_bytes(reader.take()),
                span_us: u32::from_le_bytes(reader.take()),
                newest_us: 0,
            });
        }
        if self.has_times {
            for arrivals in &mut self.arrivals[..count] {
                arrivals.newest_us = u32::from_le_bytes(reader.take());
            }
        }
    }
}

impl ClientLoad {
    fn take(reader: &mut Reader<'_>) -> Self {
        Self {
            aus_lost: u32::from_le_bytes(reader.take()),
            decode_us: u32::from_le_bytes(reader.take()),
            aus_waiting: u16::from_le_bytes(reader.take()),
            aus_overrun: u16::from_le_bytes(reader.take()),
        }
    }
}

fn at_most(what: &'static str, max: usize, got: usize) -> Result<(), FeedbackError> {
    if got > max { Err(FeedbackError::TooMany { what, max, got }) } else { Ok(()) }
}

struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.out[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.bytes.split_first_chunk().expect("the length was checked against the counts");
        self.bytes = rest;
        *head
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn report() -> impl Strategy<Value = FeedbackReport> {
        let open = proptest::collection::vec(
            (any::<u32>(), any::<u16>(), any::<bool>(), prop_oneof![Just(0), any::<u64>()]),
            0..=OPEN_AUS_MAX,
        );
        let missing = proptest::collection::vec(
            (any::<u32>(), any::<u16>(), any::<u16>(), any::<u64>()),
            0..=MISSING_MAX,
        );
        let fixed =
            (any::<Option<u32>>(), any::<[u32; 3]>(), any::<u16>(), any::<u16>(), any::<Option<i32>>());
        let arrivals = proptest::collection::vec(any::<[u32; 6]>(), 0..=ARRIVALS_MAX);
        let load = proptest::option::of((any::<[u32; 2]>(), any::<[u16; 2]>()));
        let rest = (arrivals, any::<bool>(), load);
        (fixed, open, missing, rest).prop_map(|(fixed, open, missing, (arrivals, has_times, load))| {
            let (highest_au, words, lost, burst, delay) = fixed;
            let mut report = FeedbackReport {
                highest_au,
                epoch_opened: words[0],
                lost_per_mille: lost,
                burst_max: burst,
                kernel_drops: words[1],
                one_way_delay_us: delay,
                receive_kbps: words[2],
                has_times: has_times && !arrivals.is_empty(),
                load: load.map(|([aus_lost, decode_us], [aus_waiting, aus_overrun])| ClientLoad {
                    aus_lost,
                    decode_us,
                    aus_waiting,
                    aus_overrun,
                }),
                ..FeedbackReport::default()
            };
            for (au, blocks_seen, end_seen, unseen) in open {
                assert!(report.push_open(OpenAuReport { au, blocks_seen, end_seen, unseen }));
            }
            for (au, block, word, bits) in missing {
                assert!(report.push_missing(MissingShards { au, block, word, bits }));
            }
            for [au, first, reach, datagrams, span_us, newest_us] in arrivals {
                let newest_us = if has_times { newest_us } else { 0 };
                let arrivals = AuArrivals { au, first, reach, datagrams, span_us, newest_us };
                assert!(report.push_arrivals(arrivals));
            }
            report
        })
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_parsed(report in report(), tail in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut bytes = [0; REPORT_BYTES_MAX];
            let length = report.encode(&mut bytes);
            prop_assert_eq!(FeedbackReport::parse(&bytes[..length]), Ok(report));
            for cut in 0..length {
                prop_assert!(FeedbackReport::parse(&bytes[..cut]).is_err());
            }
            let longer = [&bytes[..length], &tail].concat();
            prop_assert_eq!(FeedbackReport::parse(&longer), Ok(report));
        }

        #[test]
        fn hostile_bytes_parse_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..1500)) {
            if let Ok(report) = FeedbackReport::parse(&bytes) {
                prop_assert!(report.missing().len() <= MISSING_MAX);
            }
        }

        #[test]
        fn mutated_reports_never_panic(report in report(), at in 0usize..1120, to in any::<u8>()) {
            let mut bytes = [0; REPORT_BYTES_MAX];
            let length = report.encode(&mut bytes);
            bytes[at % length] = to;
            let _ = FeedbackReport::parse(&bytes[..length]);
        }
    }

    #[test]
    fn a_full_report_takes_no_more() {
        let mut report = FeedbackReport::default();
        assert_eq!((0..10).filter(|_| report.push_open(OpenAuReport::default())).count(), OPEN_AUS_MAX);
        assert_eq!((0..99).filter(|_| report.push_missing(MissingShards::default())).count(), MISSING_MAX);
        assert_eq!((0..9).filter(|_| report.push_arrivals(AuArrivals::default())).count(), ARRIVALS_MAX);
        report.has_times = true;
        report.load = Some(ClientLoad::default());
        assert!(report.encode(&mut [0; REPORT_BYTES_MAX]) <= REPORT_BYTES_MAX);
    }

    #[test]
    fn missing_shards_are_numbered_from_their_word() {
        let missing = MissingShards { au: 1, block: 2, word: 3, bits: 0b101 | 1 << 63 };
        assert_eq!(missing.shards().collect::<Vec<_>>(), [192, 194, 255]);
    }
}
