//! The receiving end, with every delivered byte held against what was sent.
//!
//! Driven as the engine drives the same parts: a report each whole access unit, every 5 ms while one is open, when
//! there is something new to ask for, and ten a second otherwise.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use punktfunk_proto::{
    Admission, DeliveredBlock, Delivery, IdrRequester, LostAu, Reassembler, ReassemblyCounters,
};

use crate::host::{BegunAu, contents};
use crate::message::Message;
use crate::plan::Plan;
use crate::rng::mix;

/// Reports while an AU is open.
const REPORT_INTERVAL: Duration = Duration::from_millis(5);
/// The least time between reports that only ask for something new.
const REPORT_SPACING: Duration = Duration::from_micros(500);
/// Reports while nothing flows.
const REPORT_INTERVAL_IDLE: Duration = Duration::from_millis(100);

/// An AU that was sent and has not come to an end here. Without its bytes, because there may be very many of which
/// nothing arrives.
struct Sent {
    au: u32,
    bytes: usize,
    captured_at: Duration,
}

/// The AU that is being delivered.
struct Coming {
    au: u32,
    bytes: Vec<u8>,
    delivered_bytes: usize,
    /// No block of it was dropped for want of a reference.
    is_usable: bool,
}

/// What became of an AU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ending {
    /// Delivered to its end, all bytes right.
    pub is_delivered: bool,
    /// And all that it refers to was there.
    pub is_usable: bool,
    /// From its capture to its last byte, if it was delivered.
    pub took: Option<Duration>,
}

/// A reassembler and its judge.
pub struct Client {
    reassembler: Reassembler,
    requester: IdrRequester,
    /// What the access units' contents are made from.
    seed: u64,
    open: VecDeque<Sent>,
    coming: Option<Coming>,
    endings: Vec<Ending>,
    lost: u32,
    wrong_blocks: u32,
    digest: u64,
    /// An AU has become whole since the last report.
    is_news: bool,
    last_report: Duration,
    start: Instant,
}

/// What a client came to.
#[derive(Debug, Clone)]
pub struct Received {
    /// What became of each AU.
    pub endings: Vec<Ending>,
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
    /// A client that has nothing yet, of the plan's access units.
    pub fn new(reassembler: Reassembler, plan: &Plan, start: Instant) -> Client {
        Client {
            reassembler,
            requester: IdrRequester::new(plan.references),
            seed: plan.seed,
            open: VecDeque::new(),
            coming: None,
            endings: Vec::new(),
            lost: 0,
            wrong_blocks: 0,
            digest: 0,
            is_news: false,
            last_report: Duration::ZERO,
            start,
        }
    }

    /// Says what the next AU in order is.
    pub fn expect(&mut self, begun: &BegunAu) {
        self.open.push_back(Sent { au: begun.au, bytes: begun.bytes, captured_at: begun.captured_at });
        self.endings.push(Ending::default());
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

    /// When a deadline passes or a report is due.
    pub fn poll_timeout(&self) -> Duration {
        let deadline = self.reassembler.poll_timeout().map(|deadline| deadline - self.start);
        deadline.into_iter().chain([self.report_due()]).min().unwrap_or_default()
    }

    /// True while an access unit is open.
    pub fn is_waiting(&self) -> bool {
        self.reassembler.poll_timeout().is_some()
    }

    /// The next message that leaves at `now`.
    pub fn poll_transmit(&mut self, now: Duration) -> Option<Message> {
        if let Some(lost) = self.requester.poll_request(self.start + now) {
            return Some(Message::IdrRequest(lost));
        }
        if !self.is_news && now < self.report_due() {
            return None;
        }
        self.is_news = false;
        self.last_report = now;
        Some(Message::Report(Box::new(self.reassembler.feedback(self.start + now))))
    }

    /// All that came of it. AUs at the end that nothing came of are neither delivered nor reported lost.
    pub fn finish(self) -> Received {
        let counters = self.reassembler.counters();
        let spans_astray = self.reassembler.spans_out() + self.reassembler.spans_filling();
        let tail = [counters.datagrams, counters.shards_recovered, counters.authentic_bytes];
        Received {
            digest: tail.into_iter().fold(self.digest, |digest, word| mix(digest ^ word)),
            endings: self.endings,
            lost: self.lost,
            wrong_blocks: self.wrong_blocks,
            counters,
            spans_astray,
        }
    }

    fn report_due(&self) -> Duration {
        let asks = self.reassembler.poll_report().map(|due| due.saturating_duration_since(self.start));
        let asks = asks.map(|due| due.max(self.last_report + REPORT_SPACING));
        let interval = if self.is_waiting() { REPORT_INTERVAL } else { REPORT_INTERVAL_IDLE };
        let usual = self.last_report + interval;
        asks.map_or(usual, |asks| asks.min(usual))
    }

    fn drain(&mut self, now: Duration) {
        while let Some(delivery) = self.reassembler.poll_delivery(self.start + now) {
            match delivery {
                Delivery::Block(block) => self.handle_block(block, now),
                Delivery::Lost(lost) => self.handle_lost(&lost, now),
            }
        }
    }

    fn handle_block(&mut self, block: DeliveredBlock, now: Duration) {
        let bytes = block.span.as_ref();
        self.note([u64::from(block.au), u64::from(block.block), bytes.len() as u64]);
        self.digest = bytes.chunks(8).fold(self.digest, |digest, chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            mix(digest ^ u64::from_le_bytes(word))
        });
        let admission = self.requester.admit(block.au, block.flags, self.start + now);
        self.begin(block.au);
        match self.coming.as_mut() {
            Some(coming) => {
                let end = coming.delivered_bytes + bytes.len();
                let right = coming.bytes.get(coming.delivered_bytes..end) == Some(bytes);
                coming.delivered_bytes = end;
                coming.is_usable &= admission == Admission::Decode;
                self.wrong_blocks += u32::from(!right);
                if block.flags.last_block() {
                    let is_delivered = right && end == coming.bytes.len();
                    let is_usable = is_delivered && coming.is_usable;
                    self.end(is_delivered, is_usable, now);
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
            self.coming = Some(Coming { au, bytes, delivered_bytes: 0, is_usable: true });
        }
    }

    /// The AU that was coming has all its blocks.
    fn end(&mut self, is_delivered: bool, is_usable: bool, now: Duration) {
        self.is_news = true;
        if let Some(sent) = self.open.pop_front() {
            let took = is_delivered.then(|| now.saturating_sub(sent.captured_at));
            self.endings[sent.au as usize] = Ending { is_delivered, is_usable, took };
        }
    }

    fn handle_lost(&mut self, lost: &LostAu, now: Duration) {
        self.note([u64::from(lost.au), u64::from(lost.count), 1 << 63 | u64::from(lost.blocks_delivered)]);
        self.requester.handle_lost(lost, self.start + now);
        self.lost += lost.count;
        while self.open.front().is_some_and(|sent| sent.au <= lost.last()) {
            self.open.pop_front();
        }
    }

    fn note(&mut self, words: [u64; 3]) {
        self.digest = words.into_iter().fold(self.digest, |digest, word| mix(digest ^ word));
    }
}
