//! One run of a plan: host, two links and client on one virtual clock.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use punktfunk_proto::{Reassembler, ReassemblerLimits};
use punktfunk_seal::{Cipher, Direction, Opener, Plane, PlaneKeys, Sealer, Secret};

use crate::client::Client;
use crate::host::Host;
use crate::label::Label;
use crate::link::Link;
use crate::message::Message;
use crate::oracle::Oracle;
use crate::outcome::Outcome;
use crate::plan::{Plan, PlanError};
use crate::progress::Progress;
use crate::rng::{Purpose, Rng, Way};

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
    let mut world = World {
        host: Host::new(plan, &negotiated, sealer, start),
        down: Link::new(&plan.channel, plan.seed, Way::ToClient),
        client: Client::new(Reassembler::new(limits, opener), plan, start),
        up: Link::new(&plan.feedback, plan.seed, Way::ToHost),
        oracle: Oracle::new(&limits),
        payload_bytes: 0,
    };
    let mut now = Duration::ZERO;
    loop {
        world.step(now, progress)?;
        match world.next() {
            Some(next) => now = next.max(now),
            None => break,
        }
    }
    progress.finish();
    Ok(world.judge(plan))
}

/// Both ends and what lies between them.
struct World {
    host: Host,
    down: Link<Label>,
    client: Client,
    up: Link<()>,
    oracle: Oracle,
    payload_bytes: u64,
}

impl World {
    /// All that happens at `now`.
    fn step(&mut self, now: Duration, progress: &mut Progress) -> Result<(), PlanError> {
        self.host.handle_time(now)?;
        if let Some(begun) = self.host.poll_begun() {
            self.payload_bytes += begun.bytes as u64;
            self.client.expect(&begun);
            self.oracle.begin(begun.shapes.iter().copied());
            progress.step(begun.au as usize + 1);
        }
        while let Some((label, bytes)) = self.host.poll_transmit(now) {
            let fate = self.down.send(bytes, label, now);
            self.oracle.note_sent(label, fate);
        }
        while let Some(au) = self.host.poll_released() {
            self.oracle.release(au);
        }
        while let Some(arrival) = self.down.poll_arrival(now) {
            self.oracle.note_arrival(arrival.label, arrival.intact, arrival.at);
            self.client.handle_datagram(&arrival.bytes, arrival.at);
            self.down.give_back(arrival.bytes);
        }
        self.client.handle_time(now);
        while let Some(message) = self.client.poll_transmit(now) {
            self.up.send(&message.encode(), (), now);
        }
        while let Some(arrival) = self.up.poll_arrival(now) {
            // What was damaged on the way is dropped by QUIC.
            if let Some(message) = Message::parse(&arrival.bytes).filter(|_| arrival.intact) {
                self.host.handle_message(&message, now);
            }
            self.up.give_back(arrival.bytes);
        }
        Ok(())
    }

    /// When the next thing happens; `None` once nothing of the media is left.
    fn next(&self) -> Option<Duration> {
        let is_over = self.host.is_done() && self.down.poll_timeout().is_none() && !self.client.is_waiting();
        let due = [self.host.poll_timeout(), self.down.poll_timeout(), self.up.poll_timeout()];
        (!is_over).then(|| due.into_iter().flatten().fold(self.client.poll_timeout(), Duration::min))
    }

    fn judge(mut self, plan: &Plan) -> Outcome {
        while let Some(arrival) = self.up.poll_arrival(Duration::MAX) {
            self.up.give_back(arrival.bytes);
        }
        let verdicts = self.oracle.finish();
        let links = (self.down.counts(), self.up.counts());
        Outcome::new(plan, &verdicts, &self.client.finish(), links, self.host.counts(), self.payload_bytes)
    }
}

fn keys(seed: u64) -> PlaneKeys {
    let mut secret = [0; 32];
    Rng::new(seed, Purpose::Keys).fill(&mut secret);
    PlaneKeys::new(&Secret::new(secret), Cipher::Aes128Gcm, Direction::HostToClient, Plane::Video)
}
