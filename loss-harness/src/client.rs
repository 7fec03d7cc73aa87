//! The receiving end, with every delivered byte held against what was sent.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use punktfunk_proto::{
    DeliveredBlock, Delivery, FeedbackReport, LostAu, Reassembler, ReassemblyCounters, feedback,
};

use crate::host::contents;
use crate::rng::mix;

/// An AU that was sent and has not come to an end here. Without its bytes, because there may be very many of which
/// nothing arrives.
struct Sent {
    au: u32,
    bytes: usize,
}

/// The AU that is being delivered.
struct Coming {
    au: u32,
    bytes: Vec<u8>,
    delivered_bytes: usize,
}

/// A reassembler and its judge.
pub struct Client {
    reassembler: Reassembler,
    /// What the access units' contents are made from.
    seed: u64,
    open: VecDeque<Sent>,
    coming: Option<Coming>,
    delivered: Vec<bool>,
    lost: u32,
    wrong_blocks: u32,
    digest: u64,
    start: Instant,
}

/// What a client came to.
#[derive(Debug, Clone)]
pub struct Received {
    /// For each AU, whether it was delivered to its end, all bytes right.
    pub delivered: Vec<bool>,
    /// AUs reported lost.
    pub lost: u32,
    /// Blocks with a wrong byte, or out of order.
    pub wrong_blocks: u32,
    /// A digest of all deliveries, in order, and of the counters.
    pub digest: u64,
    /// The reassembler's own figures.
    pub counters: ReassemblyCounters,
    /// Spans that did not come home.
    pub spans_astray: usize,
}

impl Client {
    /// A client that has nothing yet, of access units made from `seed`.
    pub fn new(reassembler: Reassembler, seed: u64, start: Instant) -> Client {
        Client {
            reassembler,
            seed,
            open: VecDeque::new(),
            coming: None,
            delivered: Vec::new(),
            lost: 0,
            wrong_blocks: 0,
            digest: 0,
            start,
        }
    }

    /// Says how long AU `au`, the next in order, is.
    pub fn expect(&mut self, au: u32, bytes: usize) {
        self.open.push_back(Sent { au, bytes });
        self.delivered.push(false);
    }

    /// Takes a datagram at `now`; deadlines that passed before it count first.
    pub fn handle_datagram(&mut self, datagram: &[u8], now: Duration) {
        self.handle_time(now);
        self.reassembler.handle_datagram(datagram, self.start + now);
        self.drain(now);
    }

    /// Lets deadlines up to `now` pass, each at its own time.
    pub fn handle_time(&mut self, now: Duration) {
        while let Some(deadline) = self.reassembler.poll_timeout().filter(|due| *due <= self.start + now) {
            self.reassembler.handle_timeout(deadline);
            self.drain(deadline - self.start);
        }
    }

    /// A feedback report, as it comes out of its bytes at the other end.
    pub fn feedback(&mut self, now: Duration) -> FeedbackReport {
        let report = self.reassembler.feedback(self.start + now);
        let mut bytes = [0; feedback::REPORT_BYTES_MAX];
        let length = report.encode(&mut bytes);
        let parsed = FeedbackReport::parse(&bytes[..length]).expect("what this side encoded");
        assert_eq!(parsed, report, "a report survives its bytes");
        parsed
    }

    /// All that came of it. AUs at the end that nothing came of are neither delivered nor reported lost.
    pub fn finish(self) -> Received {
        let counters = self.reassembler.counters();
        let spans_astray = self.reassembler.spans_out() + self.reassembler.spans_filling();
        let tail = [counters.datagrams, counters.shards_recovered, counters.authentic_bytes];
        Received {
            digest: tail.into_iter().fold(self.digest, |digest, word| mix(digest ^ word)),
            delivered: self.delivered,
            lost: self.lost,
            wrong_blocks: self.wrong_blocks,
            counters,
            spans_astray,
        }
    }

    fn drain(&mut self, now: Duration) {
        while let Some(delivery) = self.reassembler.poll_delivery(self.start + now) {
            match delivery {
                Delivery::Block(block) => self.handle_block(block),
                Delivery::Lost(lost) => self.handle_lost(&lost),
            }
        }
    }

    fn handle_block(&mut self, block: DeliveredBlock) {
        let bytes = block.span.as_ref();
        self.note([u64::from(block.au), u64::from(block.block), bytes.len() as u64]);
        self.digest = bytes.chunks(8).fold(self.digest, |digest, chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            mix(digest ^ u64::from_le_bytes(word))
        });
        self.begin(block.au);
        match self.coming.as_mut() {
            Some(coming) => {
                let end = coming.delivered_bytes + bytes.len();
                let right = coming.bytes.get(coming.delivered_bytes..end) == Some(bytes);
                coming.delivered_bytes = end;
                self.wrong_blocks += u32::from(!right);
                if block.flags.last_block() {
                    self.delivered[block.au as usize] = right && end == coming.bytes.len();
                    self.open.pop_front();
                }
            }
            None => self.wrong_blocks += 1,
        }
        self.reassembler.give_back(block.span);
    }

    /// Turns to `au`: its contents are made again with its first block; none if it is not the one that may come.
    fn begin(&mut self, au: u32) {
        let Some(sent) = self.open.front().filter(|sent| sent.au == au) else {
            self.coming = None;
            return;
        };
        if self.coming.as_ref().is_none_or(|coming| coming.au != au) {
            let bytes = contents(self.seed, au, sent.bytes);
            self.coming = Some(Coming { au, bytes, delivered_bytes: 0 });
        }
    }

    fn handle_lost(&mut self, lost: &LostAu) {
        self.note([u64::from(lost.au), u64::from(lost.count), 1 << 63 | u64::from(lost.blocks_delivered)]);
        self.lost += lost.count;
        while self.open.front().is_some_and(|sent| sent.au <= lost.last()) {
            self.open.pop_front();
        }
    }

    fn note(&mut self, words: [u64; 3]) {
        self.digest = words.into_iter().fold(self.digest, |digest, word| mix(digest ^ word));
    }
}
