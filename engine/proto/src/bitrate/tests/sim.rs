//! A session on a simulated way: an encoder that follows the rate, the pacer at the link's, a hop with a tail-drop queue
//! whose rate changes, and a client that looks at its socket in batches and reports as the product's does.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::arrivals::ArrivalMeter;
use crate::bitrate::{BitrateControl, BitratePolicy};
use crate::feedback::{ClientLoad, FeedbackReport};
use crate::link_rate::{LinkRate, Pace};
use crate::pacer::Pacer;

const DATAGRAM: usize = 1_192;
const MS: u64 = 1_000_000;
/// What a device or a wake puts together.
const BATCH_NS: u64 = 40_000;
/// An AU of which a larger share is lost is beyond FEC and resends, of each 1,000.
const MENDED_PER_MILLE: u64 = 150;

/// The way and the client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) link_kbps: u32,
    pub(super) queue_bytes: u64,
    /// One way, without a queue.
    pub(super) delay_ms: u64,
    /// A look at the socket is up to so much late.
    pub(super) jitter_us: u64,
    /// Datagrams of each 1,000 that the air loses.
    pub(super) air_per_mille: u64,
    /// One AU in so many meets a receiver that stands still for 5 to 25 ms.
    pub(super) stall_one_in: u64,
    /// What another flow sends over the same hop.
    pub(super) other_kbps: u32,
    /// What the decoder takes for a picture: so much always, and so much for each kilobyte of it.
    pub(super) decode_us: u64,
    pub(super) decode_us_per_kb: u64,
}

/// A gigabit, with a port of a quarter of a megabyte.
pub(super) const LAN: Way = Way {
    link_kbps: 1_000_000,
    queue_bytes: 256 << 10,
    delay_ms: 0,
    jitter_us: 100,
    air_per_mille: 0,
    stall_one_in: u64::MAX,
    other_kbps: 0,
    decode_us: 2_000,
    decode_us_per_kb: 0,
};

/// What was the case at one AU.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) ms: u64,
    pub(super) kbps: u32,
    /// How long its last datagram waited at the hop.
    pub(super) queue_us: u64,
    pub(super) is_lost: bool,
}

pub(super) struct Sim {
    pub(super) way: Way,
    pub(super) control: BitrateControl,
    pub(super) samples: Vec<Sample>,
    link: LinkRate,
    pacer: Pacer,
    policy: BitratePolicy,
    refresh: u64,
    start: Instant,
    /// Nanoseconds: the host's time, and when the hop is free.
    now: u64,
    hop_free: u64,
    random: u64,
    au: u32,
    sequence: u32,
    /// The rate that the encoder has, one picture late.
    encoder_kbps: u32,
    client: Client,
    /// Reports on their way, and when they come.
    reports: VecDeque<(u64, FeedbackReport)>,
}

#[derive(Default)]
struct Client {
    meter: ArrivalMeter,
    /// When a datagram came, of which AU and with which sequence, and whether it is the AU's last.
    arrivals: VecDeque<(u64, u32, u32, bool)>,
    /// Until when it stands still.
    stands_until: u64,
    looked_at: u64,
    reported_at: u64,
    load: ClientLoad,
    decoder_free: u64,
    /// When the pictures that wait will be done.
    waiting: VecDeque<u64>,
}

impl Sim {
    pub(super) fn new(way: Way, asked_kbps: u32, policy: BitratePolicy) -> Self {
        let link = LinkRate::new(asked_kbps, 128 << 10);
        let (refresh, pace) = (60, link.pace());
        Self {
            way,
            control: BitrateControl::new(asked_kbps, Duration::from_nanos(1_000_000_000 / refresh)),
            samples: Vec::new(),
            link,
            pacer: Pacer::new(pace.rate_kbps, pace.burst_bytes),
            policy,
            refresh,
            start: Instant::now(),
            now: 0,
            hop_free: 0,
            random: 7,
            au: 0,
            sequence: 0,
            encoder_kbps: asked_kbps,
            client: Client::default(),
            reports: VecDeque::new(),
        }
    }

    /// Another mode, of which the host's end hears.
    pub(super) fn set_refresh(&mut self, refresh: u64) {
        self.refresh = refresh;
        self.control.set_interval(Duration::from_nanos(1_000_000_000 / refresh));
    }

    pub(super) fn run(&mut self, ms: u64) {
        let (begun, interval) = (self.now, 1_000_000_000 / self.refresh);
        while self.now < begun + ms * MS {
            // A picture each interval; those that came while the pacer was busy are shed.
            self.now = (self.now / interval + 1) * interval;
            self.picture();
        }
    }

    /// The samples from one time to another, in milliseconds.
    pub(super) fn between(&self, from_ms: u64, to_ms: u64) -> impl Iterator<Item = Sample> + '_ {
        self.samples.iter().copied().filter(move |sample| (from_ms..to_ms).contains(&sample.ms))
    }

    pub(super) fn mean_kbps(&self, from_ms: u64, to_ms: u64) -> u32 {
        let (mut sum, mut count) = (0, 0);
        for sample in self.between(from_ms, to_ms) {
            (sum, count) = (sum + u64::from(sample.kbps), count + 1);
        }
        u32::try_from(sum / u64::max(count, 1)).unwrap()
    }

    pub(super) fn queue_p99_us(&self, from_ms: u64, to_ms: u64) -> u64 {
        let mut queues: Vec<u64> = self.between(from_ms, to_ms).map(|sample| sample.queue_us).collect();
        queues.sort_unstable();
        queues[queues.len() * 99 / 100]
    }

    pub(super) fn lost(&self, from_ms: u64, to_ms: u64) -> usize {
        self.between(from_ms, to_ms).filter(|sample| sample.is_lost).count()
    }

    pub(super) fn link_counters(&self) -> impl std::fmt::Debug {
        (self.link.counters(), self.link.proven_kbps(), self.link.pace())
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % limit.max(1)
    }

    fn at(&self, ns: u64) -> Instant {
        self.start + Duration::from_nanos(ns)
    }

    fn picture(&mut self) {
        let kbps = std::mem::replace(&mut self.encoder_kbps, self.control.kbps());
        let bytes = u64::from(kbps) * 125 / self.refresh * (90 + self.below(20)) / 100;
        let pace = self.link.begin_au(self.au, false, self.at(self.now));
        self.set(pace);
        self.pacer.begin_au(self.at(self.now));
        let total = bytes.div_ceil(DATAGRAM as u64).max(1);
        let stall = if self.below(self.way.stall_one_in) == 0 { (5 + self.below(20)) * MS } else { 0 };
        let (mut left, mut lost, mut queue_ns) = (total, 0, 0);
        while left > 0 {
            self.take_reports();
            let train = (self.pacer.train_segments_max(DATAGRAM).min(44) as u64).min(left);
            let departure = self.pacer.departure(train as usize * DATAGRAM, self.at(self.now));
            self.now = (departure - self.start).as_nanos() as u64 + self.below(5_000);
            for _ in 0..train {
                left -= 1;
                match self.datagram() {
                    Some((came, waited)) => {
                        queue_ns = waited;
                        if stall > 0 && left == total / 2 {
                            self.client.stands_until = came + stall;
                        }
                        // A look that is late finds everything that came meanwhile.
                        let came = came.max(self.client.stands_until);
                        self.client.arrivals.push_back((came, self.au, self.sequence, left == 0));
                    }
                    None => lost += 1,
                }
                self.sequence += 1;
            }
            let bytes = train as usize * DATAGRAM;
            let pace = self.link.handle_train(train as usize, bytes, self.at(self.now));
            self.set(pace);
        }
        self.link.end_au(true, false);
        let is_lost = lost * 1_000 > total * MENDED_PER_MILLE;
        self.client.load.aus_lost += u32::from(is_lost);
        let (ms, queue_us) = (self.now / MS, queue_ns / 1_000);
        self.samples.push(Sample { ms, kbps: self.control.kbps(), queue_us, is_lost });
        self.decode(bytes);
        self.au += 1;
        self.take_reports();
    }

    fn set(&mut self, pace: Pace) {
        self.pacer.set_rate(pace.rate_kbps);
        self.pacer.set_burst(pace.burst_bytes);
    }

    /// When a datagram that is sent now comes, if it does, and how long it waited at the hop.
    fn datagram(&mut self) -> Option<(u64, u64)> {
        let nanos = |bytes: u64, kbps: u32| bytes * 8_000_000 / u64::from(kbps.max(1));
        let is_lost_in_air = self.below(1_000) < self.way.air_per_mille;
        let left_kbps = self.way.link_kbps - self.way.other_kbps.min(self.way.link_kbps * 9 / 10);
        let waited = self.hop_free.saturating_sub(self.now);
        if waited * u64::from(left_kbps) / 8_000_000 + DATAGRAM as u64 > self.way.queue_bytes {
            return None;
        }
        self.hop_free = self.hop_free.max(self.now) + nanos(DATAGRAM as u64, left_kbps);
        (!is_lost_in_air).then_some((self.hop_free + self.way.delay_ms * MS, waited))
    }

    fn decode(&mut self, bytes: u64) {
        let time = (self.way.decode_us + self.way.decode_us_per_kb * bytes / 1_000) * 1_000;
        let client = &mut self.client;
        client.waiting.retain(|done| *done > self.now);
        if client.waiting.len() >= 6 {
            client.load.aus_overrun = client.load.aus_overrun.wrapping_add(1);
            return;
        }
        client.decoder_free = client.decoder_free.max(self.now) + time;
        client.waiting.push_back(client.decoder_free);
        client.load.decode_us = (time / 1_000) as u32;
        client.load.aus_waiting = client.waiting.len() as u16;
    }

    /// The client looks at what has come until now, and the host at the reports that have.
    fn take_reports(&mut self) {
        while let Some((came, ..)) =
            self.client.arrivals.front().copied().filter(|(came, ..)| *came <= self.now)
        {
            // A batch: what came while the last look, or the wake, took its time.
            let look = came.max(self.client.looked_at) + BATCH_NS + self.below(self.way.jitter_us * 1_000);
            self.client.looked_at = look;
            let mut is_whole = false;
            let at = self.at(look);
            while let Some((_, au, sequence, last)) =
                self.client.arrivals.pop_front_if(|(came, ..)| *came <= look)
            {
                self.client.meter.handle(au, 0, sequence, false, at);
                is_whole |= last;
            }
            if is_whole || look >= self.client.reported_at + 5 * MS {
                self.client.reported_at = look;
                let mut report =
                    FeedbackReport { has_times: true, load: Some(self.client.load), ..Default::default() };
                self.client.meter.report().for_each(|arrivals| {
                    report.push_arrivals(arrivals);
                });
                report.highest_au = report.arrivals().first().map(|arrivals| arrivals.au);
                self.reports.push_back((look + self.way.delay_ms * MS + 100_000, report));
            }
        }
        while let Some((at, report)) = self.reports.pop_front_if(|(at, _)| *at <= self.now) {
            let at = self.at(at);
            self.link.handle_report(&report, at);
            if self.policy == BitratePolicy::Adaptive {
                self.control.handle_report(&report, &mut self.link, at);
            }
        }
    }
}
