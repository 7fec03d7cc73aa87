//! A case of the files: what arrives when, and what becomes of it.

use crate::bench::{Block, Receiver, Sender, hex, limits_of, video_keys};
use crate::keys::cipher_name;
use crate::secret;
use punktfunk_proto::{BlockPlan, HEADER_BYTES, Negotiated};
use punktfunk_seal::Cipher;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// What all cases have agreed on: the shortest shards but one, so that the vectors stay short.
pub(crate) fn negotiated() -> Negotiated {
    Negotiated::new(320, 20_000, 60_000, 4, 100, 65_536).unwrap()
}

/// What was agreed, and what follows from it, as both files say it.
pub(crate) fn agreed() -> Value {
    limits_of(&negotiated())
}

/// A byte pattern that differs from AU to AU and from place to place.
pub(crate) fn payload(seed: usize, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| ((i * i + 7 * i) / 3 + seed * 31).to_le_bytes()[0]).collect()
}

/// A case: what arrives when, and what becomes of it.
pub(crate) struct Case {
    name: &'static str,
    about: &'static str,
    cipher: Cipher,
    steps: Vec<Value>,
    pub(crate) sender: Sender,
    receiver: Receiver,
    start: Instant,
}

impl Case {
    pub(crate) fn new(name: &'static str, cipher: Cipher, about: &'static str) -> Self {
        let (start, keys) = (Instant::now(), || video_keys(secret(), cipher));
        let sender = Sender::new(keys(), start);
        let receiver = Receiver::new(&negotiated(), keys());
        Self { name, about, cipher, steps: Vec::new(), sender, receiver, start }
    }

    fn at(&self, at_us: u64) -> Instant {
        self.start + Duration::from_micros(at_us)
    }

    /// The k + m datagrams of a block, sealed in order.
    pub(crate) fn block(&mut self, at_us: u64, block: Block, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.sender.block(block, bytes, self.at(at_us))
    }

    /// One authentic datagram of zeros whose 24 header bytes `bend` may change before they are sealed.
    pub(crate) fn authentic(
        &mut self,
        at_us: u64,
        plan: BlockPlan,
        shard: u16,
        bend: impl FnOnce(&mut [u8; HEADER_BYTES]),
    ) -> Vec<u8> {
        self.sender.authentic(plan, shard, bend, self.at(at_us))
    }

    /// A datagram arrives, and this is what has to become of it.
    pub(crate) fn arrive(&mut self, at_us: u64, datagram: &[u8], outcome: &str, what: &str) {
        let came = self.receiver.step(Some(datagram), self.at(at_us));
        assert_eq!(came, Some(outcome), "{}: {what}", self.name);
        let step = json!({ "at_us": at_us, "datagram": hex(datagram), "outcome": outcome, "what": what });
        self.end_step(at_us, step);
    }

    /// All of them arrive and are accepted.
    pub(crate) fn all_arrive(&mut self, at_us: u64, datagrams: &[Vec<u8>], what: &str) {
        for (index, datagram) in datagrams.iter().enumerate() {
            self.arrive(at_us, datagram, "accepted", &format!("{what}, shard {index}"));
        }
    }

    /// Time goes by.
    pub(crate) fn wait(&mut self, at_us: u64, what: &str) {
        self.receiver.step(None, self.at(at_us));
        self.end_step(at_us, json!({ "at_us": at_us, "what": what }));
    }

    fn end_step(&mut self, at_us: u64, mut step: Value) {
        let delivered = self.receiver.deliveries(self.at(at_us));
        if !delivered.is_empty() {
            step["delivered"] = delivered.into();
        }
        self.steps.push(step);
    }

    /// The case as it stands in the file.
    pub(crate) fn end(mut self) -> Value {
        let epoch_opened = self.receiver.feedback(self.start).epoch_opened;
        json!({
            "name": self.name, "about": self.about, "cipher": cipher_name(self.cipher),
            "secret": hex(&secret()), "epoch_opened": epoch_opened, "steps": self.steps,
        })
    }
}
