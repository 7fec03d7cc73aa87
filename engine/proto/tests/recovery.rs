//! Host and client over a link that loses, on simulated time: reports, resends and the redundancy that follows them.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use common::{Rng, keys, opener};
use punktfunk_fec::Encoder;
use punktfunk_proto::{
    BlockPlan, Delivery, FeedbackReport, Header, IdrRequester, Negotiated, Pacer, Packetizer, Reassembler,
    ReassemblerLimits, RedundancyControl, RedundancyPolicy, ResendCounters, ResendLedger, seal_data,
    seal_parity,
};
use punktfunk_seal::Sealer;

const MS: Duration = Duration::from_millis(1);
/// The link's: 0.5 ms there and back, a gigabit.
const ONE_WAY: Duration = Duration::from_micros(250);
const LINK_KBPS: u32 = 1_000_000;
/// As the engine's.
const REPORT_INTERVAL: Duration = Duration::from_millis(5);
const REPORT_SPACING: Duration = Duration::from_micros(500);

/// What is lost of what is sent.
struct Loss {
    rng: Rng,
    /// Of each million datagrams, how many begin a burst.
    begins_ppm: u64,
    burst: u32,
    left: u32,
    last: Option<Instant>,
}

impl Loss {
    fn new(seed: u64, share_ppm: u64, burst: u32) -> Self {
        Self { rng: Rng(seed), begins_ppm: share_ppm / u64::from(burst), burst, left: 0, last: None }
    }

    /// Bursts lie in datagrams that follow each other: what overflowed has room again after a millisecond.
    fn loses(&mut self, now: Instant) -> bool {
        if self.last.replace(now).is_some_and(|last| now > last + MS) {
            self.left = 0;
        }
        if self.left == 0 && self.rng.next() % 1_000_000 < self.begins_ppm {
            self.left = self.burst;
        }
        let loses = self.left > 0;
        self.left = self.left.saturating_sub(1);
        loses
    }
}

enum Event {
    /// The encoder has a picture.
    Picture,
    /// The host's turn: resends, then the next train.
    Send,
    Arrives(Vec<u8>),
    Reported(Box<FeedbackReport>),
    /// The client looks at its clock.
    Look,
}

/// A run of datagrams of one block, to be sent together.
struct Train {
    plan: BlockPlan,
    slots: Rc<Vec<u8>>,
    shards: std::ops::Range<usize>,
}

struct Host {
    packetizer: Packetizer,
    sealer: Sealer,
    encoder: Encoder,
    pacer: Pacer,
    control: RedundancyControl,
    ledger: ResendLedger<Rc<Vec<u8>>>,
    trains: VecDeque<Train>,
    next_au: u32,
    /// The newest sequences' datagrams as they were sent first.
    first: BTreeMap<u32, Vec<u8>>,
    deadlines: BTreeMap<u32, Instant>,
}

struct Client {
    reassembler: Reassembler,
    requester: IdrRequester,
    reported_at: Instant,
    loses_report: Loss,
    bytes: Vec<u8>,
    pictures: u64,
    lost: u64,
    idr_requests: u64,
    /// Capture to whole.
    delays: Vec<Duration>,
}

/// What a run comes to.
#[derive(Debug, Default)]
struct Outcome {
    pictures: u64,
    lost: u64,
    idr_requests: u64,
    data: u64,
    parity: u64,
    resent: u64,
    dropped: u64,
    resends: ResendCounters,
    delays: Vec<Duration>,
}

impl Outcome {
    /// Parity and resends for each data datagram, in percent.
    fn overhead(&self) -> f64 {
        (self.parity + self.resent) as f64 * 100.0 / self.data as f64
    }

    fn delay(&self, per_mille: usize) -> Duration {
        let mut delays = self.delays.clone();
        delays.sort_unstable();
        delays[(delays.len() - 1) * per_mille / 1_000]
    }
}

struct Plan {
    refresh_hz: u32,
    au_bytes: usize,
    pictures: u32,
    /// Of each million datagrams that many are lost, in runs of so many.
    loss_ppm: u64,
    burst: u32,
    /// Of each million reports.
    report_loss_ppm: u64,
    seed: u64,
    policy: RedundancyPolicy,
    resends: bool,
}

impl Plan {
    const USUAL: Self = Self {
        refresh_hz: 120,
        au_bytes: 500_000_000 / 8 / 120,
        pictures: 150,
        loss_ppm: 10_000,
        burst: 1,
        report_loss_ppm: 0,
        seed: 1,
        policy: RedundancyPolicy::Adaptive,
        resends: true,
    };

    fn negotiated(&self) -> Negotiated {
        let kbps = u32::try_from(self.au_bytes).unwrap() / 125 * self.refresh_hz * 11 / 10;
        let au_bytes_max = Negotiated::au_bytes_for(kbps, self.refresh_hz * 1_000);
        Negotiated::new(1408, kbps, self.refresh_hz * 1_000, 1, 200, au_bytes_max).unwrap()
    }

    fn run(&self) -> Outcome {
        eprintln!("seed {}", self.seed);
        let mut simulation = Simulation::new(self);
        simulation.run(self);
        let Simulation { client, host, mut outcome, .. } = simulation;
        outcome.pictures = client.pictures;
        outcome.lost = client.lost;
        outcome.idr_requests = client.idr_requests;
        outcome.resends = host.ledger.counters();
        outcome.delays = client.delays;
        eprintln!(
            "{} whole, {} lost; overhead {:.2} % (parity {}, resent {}); p50 {:?}, p99 {:?}, p99.9 {:?}; {:?}",
            outcome.pictures,
            outcome.lost,
            outcome.overhead(),
            outcome.parity,
            outcome.resent,
            outcome.delay(500),
            outcome.delay(990),
            outcome.delay(999),
            outcome.resends,
        );
        outcome
    }
}

struct Simulation {
    host: Host,
    client: Client,
    loss: Loss,
    events: BinaryHeap<Reverse<(Instant, u64)>>,
    what: HashMap<u64, Event>,
    next_event: u64,
    link_free_at: Instant,
    start: Instant,
    outcome: Outcome,
}

fn sequence(datagram: &[u8]) -> u32 {
    Header::parse(datagram).unwrap().sequence
}

/// The byte at `at` of access unit `au`.
fn byte(au: u32, at: usize) -> u8 {
    (au as usize * 31 + at * 7 + at / 251) as u8
}

impl Simulation {
    fn new(plan: &Plan) -> Self {
        let negotiated = plan.negotiated();
        let start = Instant::now();
        let limits = ReassemblerLimits::from(&negotiated);
        let mut packetizer = Packetizer::new(&negotiated);
        packetizer.set_shard_bytes(1408);
        let host = Host {
            packetizer,
            sealer: Sealer::new(keys(), start),
            encoder: Encoder::new(),
            pacer: Pacer::new(LINK_KBPS, 128 << 10),
            control: RedundancyControl::new(plan.policy, &negotiated),
            ledger: ResendLedger::new(&negotiated),
            trains: VecDeque::new(),
            next_au: 0,
            first: BTreeMap::new(),
            deadlines: BTreeMap::new(),
        };
        let client = Client {
            reassembler: Reassembler::new(limits, opener(&limits)),
            requester: IdrRequester::new(true),
            reported_at: start,
            loses_report: Loss::new(plan.seed + 1, plan.report_loss_ppm, 1),
            bytes: Vec::new(),
            pictures: 0,
            lost: 0,
            idr_requests: 0,
            delays: Vec::new(),
        };
        Self {
            host,
            client,
            loss: Loss::new(plan.seed, plan.loss_ppm, plan.burst),
            events: BinaryHeap::new(),
            what: HashMap::new(),
            next_event: 0,
            link_free_at: start,
            start,
            outcome: Outcome::default(),
        }
    }

    fn at(&mut self, at: Instant, event: Event) {
        self.events.push(Reverse((at, self.next_event)));
        self.what.insert(self.next_event, event);
        self.next_event += 1;
    }

    fn run(&mut self, plan: &Plan) {
        let interval = Duration::from_secs(1) / plan.refresh_hz;
        (0..plan.pictures).for_each(|picture| self.at(self.start + interval * picture, Event::Picture));
        let looks = (interval * plan.pictures + 500 * MS).as_micros() as u32 / 250;
        (0..looks).for_each(|look| self.at(self.start + look * MS / 4, Event::Look));
        while let Some(Reverse((now, number))) = self.events.pop() {
            match self.what.remove(&number).unwrap() {
                Event::Picture => self.encode(plan, now),
                Event::Send => self.send(now),
                Event::Arrives(datagram) => {
                    self.client.reassembler.handle_datagram(&datagram, now);
                    self.drain(plan, now);
                }
                Event::Reported(report) => {
                    let rtt = 2 * ONE_WAY;
                    self.host.control.handle_report(&report, Some(rtt), now);
                    if plan.resends {
                        self.host.ledger.handle_report(&report, rtt, now);
                    }
                    self.at(now, Event::Send);
                }
                Event::Look => {
                    if self.client.reassembler.poll_timeout().is_some_and(|due| due <= now) {
                        self.client.reassembler.handle_timeout(now);
                        self.drain(plan, now);
                    }
                    self.report(false, now);
                }
            }
        }
    }

    fn encode(&mut self, plan: &Plan, now: Instant) {
        let host = &mut self.host;
        let au = host.next_au;
        host.next_au += 1;
        host.ledger.begin_au(au, now);
        if let Some(before) = au.checked_sub(1) {
            host.deadlines.insert(before, now + ReassemblerLimits::from(&plan.negotiated()).au_deadline);
        }
        host.packetizer.set_redundancy(host.control.redundancy(now));
        host.packetizer.begin(au, (now - self.start).as_micros() as u32, au == 0, false);
        let slice: Vec<u8> = (0..plan.au_bytes).map(|at| byte(au, at)).collect();
        for block in host.packetizer.plan_slice(slice.len(), true).unwrap() {
            let mut slots = vec![0; block.slots_bytes()];
            seal_data(&block, 0..usize::from(block.k), &slice, &mut slots, &mut host.sealer, now).unwrap();
            let parity = host.encoder.encode(block.fec_shape().unwrap(), &slice[block.range()]).unwrap();
            seal_parity(&block, &parity, &mut slots, &mut host.sealer, now).unwrap();
            self.outcome.data += u64::from(block.k);
            self.outcome.parity += u64::from(block.m);
            let slots = Rc::new(slots);
            for first in (0..block.shards()).step_by(44) {
                let shards = first..block.shards().min(first + 44);
                host.trains.push_back(Train { plan: block, slots: Rc::clone(&slots), shards });
            }
        }
        self.at(now, Event::Send);
    }

    /// What is to be sent again goes first; then one train of what is new, when the pacer lets it.
    fn send(&mut self, now: Instant) {
        while let Some(run) = self.host.ledger.poll_resend(now) {
            let datagrams: Vec<Vec<u8>> =
                run.lease[run.bytes()].chunks(run.stride).map(<[u8]>::to_vec).collect();
            let (au, bytes) = (run.au, run.bytes().len());
            for datagram in &datagrams {
                assert_eq!(
                    self.host.first.get(&sequence(datagram)),
                    Some(datagram),
                    "bit for bit the first one"
                );
            }
            assert!(self.host.deadlines.get(&au).is_none_or(|deadline| now < *deadline), "in time");
            self.outcome.resent += datagrams.len() as u64;
            let departure = self.host.pacer.departure(bytes, now);
            datagrams.into_iter().for_each(|datagram| self.transmit(datagram, departure));
        }
        while self.host.ledger.poll_release(now).is_some() {}
        let Some(train) = self.host.trains.pop_front() else { return };
        let stride = train.plan.stride();
        let departure = self.host.pacer.departure(train.shards.len() * stride, now);
        for shard in train.shards.clone() {
            let datagram = train.slots[shard * stride..(shard + 1) * stride].to_vec();
            self.host.first.insert(sequence(&datagram), datagram.clone());
            if self.host.first.len() > 5_000 {
                self.host.first.pop_first();
            }
            self.transmit(datagram, departure);
        }
        if train.shards.end == train.plan.shards() {
            self.host.ledger.hold(&train.plan, train.slots, departure);
            while self.host.ledger.poll_release(now).is_some() {}
        }
        self.at(departure, Event::Send);
    }

    fn transmit(&mut self, datagram: Vec<u8>, departure: Instant) {
        let takes = Duration::from_nanos(datagram.len() as u64 * 8_000_000 / u64::from(LINK_KBPS));
        self.link_free_at = self.link_free_at.max(departure) + takes;
        if self.loss.loses(self.link_free_at) {
            self.outcome.dropped += 1;
            return;
        }
        self.at(self.link_free_at + ONE_WAY, Event::Arrives(datagram));
    }

    fn drain(&mut self, plan: &Plan, now: Instant) {
        let mut whole = false;
        while let Some(delivery) = self.client.reassembler.poll_delivery(now) {
            match delivery {
                Delivery::Block(block) => {
                    self.client.requester.admit(block.au, block.flags, now);
                    let before = self.client.bytes.len();
                    self.client.bytes.extend_from_slice(block.span.as_ref());
                    let came = self.client.bytes[before..].iter().enumerate();
                    assert!(came.into_iter().all(|(at, came)| *came == byte(block.au, before + at)));
                    if block.flags.last_block() {
                        assert_eq!(self.client.bytes.len(), plan.au_bytes);
                        self.client.bytes.clear();
                        self.client.pictures += 1;
                        let captured = self.start + Duration::from_micros(block.pts_us.into());
                        self.client.delays.push(now - captured);
                        whole = true;
                    }
                    self.client.reassembler.give_back(block.span);
                }
                Delivery::Lost(lost) => {
                    self.client.bytes.clear();
                    self.client.lost += u64::from(lost.count);
                    self.client.requester.handle_lost(&lost, now);
                }
            }
        }
        self.client.idr_requests += u64::from(self.client.requester.poll_request(now).is_some());
        self.report(whole, now);
    }

    /// As the receive stage does.
    fn report(&mut self, whole: bool, now: Instant) {
        let client = &mut self.client;
        let interval = if client.reassembler.poll_timeout().is_some() { REPORT_INTERVAL } else { 100 * MS };
        let asks = client.reassembler.poll_report().is_some_and(|due| due <= now);
        let is_spaced = now >= client.reported_at + REPORT_SPACING;
        if !whole && now < client.reported_at + interval && !(asks && is_spaced) {
            return;
        }
        client.reported_at = now;
        let report = client.reassembler.feedback(now);
        if !client.loses_report.loses(now) {
            self.at(now + ONE_WAY, Event::Reported(Box::new(report)));
        }
    }
}

#[test]
fn at_one_percent_loss_every_picture_is_whole_at_three_percent_overhead() {
    for (megabits, refresh_hz, burst) in [(500, 120, 1), (500, 120, 8), (800, 144, 8)] {
        let au_bytes = megabits * 125_000 / refresh_hz as usize;
        let plan = Plan { au_bytes, refresh_hz, burst, ..Plan::USUAL };
        let outcome = plan.run();
        let shown = format!("{megabits} Mbit/s at {refresh_hz} Hz, bursts of {burst}");
        assert_eq!((outcome.pictures, outcome.lost, outcome.idr_requests), (150, 0, 0), "{shown}");
        assert!(outcome.overhead() <= 3.0, "{shown}: {:.2} %", outcome.overhead());
        let sent = outcome.data + outcome.parity + outcome.resent;
        assert!(outcome.dropped * 1_000 > sent * 6, "{shown}: {} of {sent} lost", outcome.dropped);
        assert!(outcome.resent > 0, "{shown}");
    }
}

#[test]
fn a_small_picture_has_one_parity_shard_and_resends() {
    for burst in [1, 8] {
        let outcome =
            Plan { refresh_hz: 60, au_bytes: 20_000_000 / 8 / 60, pictures: 1_200, burst, ..Plan::USUAL }
                .run();
        assert_eq!(
            (outcome.pictures, outcome.lost, outcome.idr_requests),
            (1_200, 0, 0),
            "bursts of {burst}"
        );
        // The IDR, and what came before the first report, have more.
        assert!(outcome.parity <= 1_200 + 16, "{} parity shards", outcome.parity);
        assert!(outcome.resent > 30, "{}", outcome.resent);
    }
}

#[test]
fn a_lost_report_costs_nothing_but_time() {
    let outcome = Plan { report_loss_ppm: 200_000, burst: 8, ..Plan::USUAL }.run();
    assert_eq!((outcome.pictures, outcome.lost), (150, 0));
    assert!(outcome.overhead() <= 3.0, "{:.2} %", outcome.overhead());
}

#[test]
fn without_resends_the_same_loss_costs_pictures() {
    let outcome = Plan { burst: 8, resends: false, ..Plan::USUAL }.run();
    assert!(outcome.lost > 0, "{}", outcome.lost);
}

#[test]
fn a_clean_link_pays_for_one_parity_shard() {
    let outcome = Plan { loss_ppm: 0, pictures: 360, ..Plan::USUAL }.run();
    assert_eq!((outcome.pictures, outcome.resent, outcome.resends.asked), (360, 0, 0));
    // It begins at 2 %, and falls over seconds.
    assert!(outcome.overhead() < 1.5, "{:.2} %", outcome.overhead());
}
