//! One run of a plan: host, channel and client on one virtual clock, and the verdict.

use std::time::{Duration, Instant};

use punktfunk_proto::{Reassembler, ReassemblerLimits, ReassemblyCounters};
use punktfunk_seal::{Cipher, Direction, Opener, Plane, PlaneKeys, Sealer, Secret};

use crate::channel::{Channel, FateCounts};
use crate::client::Client;
use crate::host::Host;
use crate::oracle::Ledger;
use crate::plan::{Plan, PlanError};
use crate::report::Progress;
use crate::rng::{Purpose, Rng};

/// After this long no deadline is left open.
const ALL_DEADLINES: Duration = Duration::from_secs(10);

/// What a run came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// AUs sent.
    pub sent: u32,
    /// AUs that the bound allows.
    pub allowed: u32,
    /// AUs delivered whole, every byte right.
    pub delivered: u32,
    /// AUs that the client reported lost.
    pub lost: u32,
    /// AUs delivered against the bound, or allowed and not delivered: the first few.
    pub astray: Vec<u32>,
    /// Blocks with a wrong byte or out of order.
    pub wrong_blocks: u32,
    /// Spans that did not come home.
    pub spans_astray: usize,
    /// Payload bytes sent.
    pub payload_bytes: u64,
    /// What the channel did.
    pub fates: FateCounts,
    /// The reassembler's own figures.
    pub counters: ReassemblyCounters,
    /// Equal for equal plans and seeds.
    pub digest: u64,
}

impl Outcome {
    /// True when exactly what the bound allows was delivered and no byte was wrong.
    pub fn is_right(&self) -> bool {
        self.astray.is_empty()
            && self.delivered == self.allowed
            && self.wrong_blocks == 0
            && self.spans_astray == 0
    }

    /// AUs delivered, of those sent.
    pub fn delivered_share(&self) -> f64 {
        f64::from(self.delivered) / f64::from(self.sent)
    }

    /// AUs that the bound allows, of those sent.
    pub fn allowed_share(&self) -> f64 {
        f64::from(self.allowed) / f64::from(self.sent)
    }
}

/// Runs a plan that was checked.
///
/// # Errors
/// [`PlanError::KeyExhausted`] when the channel passes nothing of a whole key epoch: a session ends there, too.
pub fn run(plan: &Plan, progress: &mut Progress) -> Result<Outcome, PlanError> {
    // The protocol's times are instants; which one stands for 0 changes nothing.
    let start = Instant::now();
    run_from(plan, Sealer::new(keys(plan.seed), start), start, progress)
}

fn run_from(
    plan: &Plan,
    sealer: Sealer,
    start: Instant,
    progress: &mut Progress,
) -> Result<Outcome, PlanError> {
    let negotiated = plan.negotiated()?;
    let limits = ReassemblerLimits::from(&negotiated);
    let opener = Opener::new(keys(plan.seed), limits.replay_window);
    let mut host = Host::new(plan, &negotiated, sealer, start);
    let mut client = Client::new(Reassembler::new(limits, opener), plan.seed, start);
    let mut channel = Channel::new(&plan.channel, plan.seed);
    let mut ledger = Ledger::default();
    let interval = Duration::from_secs(1) / plan.refresh_hz;
    let mut now = Duration::ZERO;
    let mut payload_bytes = 0;
    for au in 0..plan.aus {
        now = now.max(interval * au);
        let bytes = host.make(au);
        payload_bytes += bytes.len() as u64;
        now = host
            .send(au, &bytes, &mut channel, &mut ledger, now)
            .map_err(|source| PlanError::KeyExhausted { au, source })?;
        client.expect(au, bytes.len());
        deliver(&mut channel, &mut client, now);
        host.handle_feedback(&client.feedback(now));
        progress.step(au + 1);
    }
    deliver(&mut channel, &mut client, Duration::MAX);
    client.handle_time(now + ALL_DEADLINES);
    progress.finish();
    Ok(judge(plan, &channel, ledger, client, payload_bytes))
}

fn deliver(channel: &mut Channel, client: &mut Client, until: Duration) {
    while let Some(arrival) = channel.poll_arrival(until) {
        client.handle_datagram(&arrival.bytes, arrival.at);
    }
}

fn judge(plan: &Plan, channel: &Channel, ledger: Ledger, client: Client, payload_bytes: u64) -> Outcome {
    let received = client.finish();
    let allowed = ledger.allowed();
    let differ = allowed.iter().zip(&received.delivered).enumerate().filter(|(_, (can, has))| can != has);
    let astray = differ.map(|(au, _)| au as u32).take(10).collect();
    let count = |aus: &[bool]| aus.iter().filter(|au| **au).count() as u32;
    Outcome {
        sent: plan.aus,
        allowed: count(&allowed),
        delivered: count(&received.delivered),
        lost: received.lost,
        astray,
        wrong_blocks: received.wrong_blocks,
        spans_astray: received.spans_astray,
        payload_bytes,
        fates: channel.counts(),
        counters: received.counters,
        digest: received.digest,
    }
}

fn keys(seed: u64) -> PlaneKeys {
    let mut secret = [0; 32];
    Rng::new(seed, Purpose::Keys).fill(&mut secret);
    PlaneKeys::new(&Secret::new(secret), Cipher::Aes128Gcm, Direction::HostToClient, Plane::Video)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Percent;
    use punktfunk_seal::SEQUENCES_PER_EPOCH_MAX;

    #[test]
    fn a_verdict_falls_for_each_fault() {
        let plan = Plan { aus: 3, ..Plan::default() };
        let right = run(&plan, &mut Progress::new(3)).unwrap();
        assert!(right.is_right() && right.delivered == 3);
        let faults: [fn(&mut Outcome); 4] = [
            |outcome| outcome.astray.push(1),
            |outcome| outcome.delivered -= 1,
            |outcome| outcome.wrong_blocks += 1,
            |outcome| outcome.spans_astray += 1,
        ];
        for fault in faults {
            let mut outcome = right.clone();
            fault(&mut outcome);
            assert!(!outcome.is_right());
        }
    }
    #[test]
    fn a_channel_that_passes_nothing_of_an_epoch_is_an_error_and_no_panic() {
        let mut plan = Plan { aus: 3, ..Plan::default() };
        plan.channel.loss = Percent::of(100.0);
        plan.check().unwrap();
        let start = Instant::now();
        // All but the last datagrams of epochs 0 and 1. The first needs no report: any receiver can follow to 1.
        let mut sealer = Sealer::new(keys(plan.seed), start);
        sealer.handle_epoch_opened(0);
        for _ in 0..2 * SEQUENCES_PER_EPOCH_MAX - 10 {
            let _ = sealer.reserve(start).unwrap();
        }
        let error = run_from(&plan, sealer, start, &mut Progress::new(3)).unwrap_err();
        assert!(matches!(error, PlanError::KeyExhausted { au: 0, .. }), "{error}");
        let said = error.to_string();
        assert!(
            ["access unit 0", "key epoch 1", "lose less"].iter().all(|part| said.contains(part)),
            "{said}"
        );
        // Within the epochs nothing is delivered, and the bound allows nothing.
        let outcome = run(&plan, &mut Progress::new(3)).unwrap();
        assert!(outcome.is_right() && outcome.delivered == 0, "{outcome:?}");
    }
}
