//! Which library seals and which opens on this CPU: measured once, at a program's start.
//!
//! *What it is.* [`Backends::measure`] times the real verbs of both libraries in turn on the shards of a block, which
//! lie in L2 as an access unit's do, takes each one's best, and keeps for each cipher and verb the faster. About a
//! millisecond.
//!
//! *What it promises.* The value is the choice: nothing is kept anywhere else, and it prints itself with its figures in
//! a line. A library that is only [`MARGIN_PERCENT`] faster does not displace the first of [`Backend::ALL`], so that
//! noise does not change the choice from start to start.
//!
//! *What it refuses.* To read a clock or the environment by itself: both are handed in.

use crate::backend::{Aead, AwsLc, BACKEND_VARIABLE, Backend, Ring};
use crate::keys::Cipher;
use crate::limits::{NONCE_BYTES, TAG_BYTES};
use std::fmt;
use std::time::{Duration, Instant};

/// Bytes of the shard that is measured: what fits an Ethernet MTU.
const SHARD_BYTES: usize = 1408;

/// Bytes of a datagram's header.
const AAD_BYTES: usize = 24;

/// Shards that are walked through: with their slots more than L1 holds, and less than L2.
const SHARDS: usize = 64;

/// Calls a round: long enough for the clock, short enough to run without an interruption.
const CALLS: usize = 16;

/// Rounds of which the best counts.
const ROUNDS: usize = 12;

/// What the first library may be slower and still be taken.
const MARGIN_PERCENT: u32 = 2;

const _: () = assert!(SHARDS.is_multiple_of(CALLS));

/// What one call takes with each library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// With aws-lc-rs, in nanoseconds.
    pub aws_lc_ns: u32,
    /// With ring, in nanoseconds.
    pub ring_ns: u32,
}

impl Figures {
    fn faster(self) -> Backend {
        let bound = u64::from(self.ring_ns) * u64::from(100 + MARGIN_PERCENT);
        if u64::from(self.aws_lc_ns) * 100 <= bound { Backend::AwsLc } else { Backend::Ring }
    }
}

/// The measured choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backends {
    asked: Option<Backend>,
    aes_seal: Figures,
    aes_open: Figures,
    chacha_seal: Figures,
    chacha_open: Figures,
}

impl Backends {
    /// Measures both libraries with `clock`. `asked` is what a person wants whatever the figures say.
    #[must_use]
    pub fn measure(asked: Option<Backend>, mut clock: impl FnMut() -> Instant) -> Backends {
        let (aes_seal, aes_open) = measure(Cipher::Aes128Gcm, &mut clock);
        let (chacha_seal, chacha_open) = measure(Cipher::ChaCha20Poly1305, &mut clock);
        Backends { asked, aes_seal, aes_open, chacha_seal, chacha_open }
    }

    /// The library to seal with.
    #[must_use]
    pub fn sealing(&self, cipher: Cipher) -> Backend {
        self.asked.unwrap_or_else(|| self.figures(cipher).0.faster())
    }

    /// The library to open with.
    #[must_use]
    pub fn opening(&self, cipher: Cipher) -> Backend {
        self.asked.unwrap_or_else(|| self.figures(cipher).1.faster())
    }

    /// What sealing and opening one shard take.
    #[must_use]
    pub fn figures(&self, cipher: Cipher) -> (Figures, Figures) {
        match cipher {
            Cipher::Aes128Gcm => (self.aes_seal, self.aes_open),
            Cipher::ChaCha20Poly1305 => (self.chacha_seal, self.chacha_open),
        }
    }
}

impl fmt::Display for Backends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seal: a shard of {SHARD_BYTES} bytes")?;
        for (name, cipher) in
            [("AES-128-GCM", Cipher::Aes128Gcm), ("ChaCha20-Poly1305", Cipher::ChaCha20Poly1305)]
        {
            let (seal, open) = self.figures(cipher);
            write!(
                f,
                ", {name}: sealed by {} (aws-lc {}, ring {} ns), opened by {} (aws-lc {}, ring {} ns)",
                self.sealing(cipher),
                seal.aws_lc_ns,
                seal.ring_ns,
                self.opening(cipher),
                open.aws_lc_ns,
                open.ring_ns,
            )?;
        }
        match self.asked {
            Some(asked) => write!(f, ", because {BACKEND_VARIABLE}={asked}"),
            None => Ok(()),
        }
    }
}

/// One library's key, and the best of its rounds.
struct Contestant<A> {
    aead: A,
    seal: Duration,
    open: Duration,
}

impl<A: Aead> Contestant<A> {
    fn new(cipher: Cipher) -> Self {
        let aead = A::new(cipher, &[0x5A; 32][..cipher.key_bytes()]);
        Contestant { aead, seal: Duration::MAX, open: Duration::MAX }
    }

    /// A round of sealing, and one of opening what was sealed half a block ago.
    fn play(&mut self, bench: &mut Bench, first: usize, clock: &mut impl FnMut() -> Instant) {
        let (nonce, aad) = ([3; NONCE_BYTES], [7; AAD_BYTES]);
        let start = clock();
        for (shard, (sealed, tag)) in bench.walk(first) {
            self.aead.seal(nonce, &aad, shard, sealed, tag);
        }
        self.seal = self.seal.min(clock().saturating_duration_since(start));
        let start = clock();
        let mut opened = true;
        for (shard, (sealed, tag)) in bench.walk(first + SHARDS / 2) {
            opened &= self.aead.open(nonce, &aad, sealed, tag, shard);
        }
        self.open = self.open.min(clock().saturating_duration_since(start));
        debug_assert!(opened, "what was sealed opens");
    }
}

/// What is sealed and opened, round and round. Both libraries leave the same bytes behind.
struct Bench {
    shards: Vec<[u8; SHARD_BYTES]>,
    slots: Vec<([u8; SHARD_BYTES], [u8; TAG_BYTES])>,
}

impl Bench {
    /// Every shard sealed once.
    fn new(aead: &impl Aead) -> Self {
        let mut slots = vec![([0; SHARD_BYTES], [0; TAG_BYTES]); SHARDS];
        let shards = vec![[0xC3; SHARD_BYTES]; SHARDS];
        for (shard, (sealed, tag)) in shards.iter().zip(&mut slots) {
            aead.seal([3; NONCE_BYTES], &[7; AAD_BYTES], shard, sealed, tag);
        }
        Bench { shards, slots }
    }

    /// A round's shards and slots, from `first` on.
    fn walk(
        &mut self,
        first: usize,
    ) -> impl Iterator<Item = (&mut [u8; SHARD_BYTES], &mut ([u8; SHARD_BYTES], [u8; TAG_BYTES]))> {
        let round = first % SHARDS..first % SHARDS + CALLS;
        self.shards[round.clone()].iter_mut().zip(&mut self.slots[round])
    }
}

/// What sealing and opening take.
fn measure(cipher: Cipher, clock: &mut impl FnMut() -> Instant) -> (Figures, Figures) {
    let (mut aws_lc, mut ring) = (Contestant::<AwsLc>::new(cipher), Contestant::<Ring>::new(cipher));
    let mut bench = Bench::new(&aws_lc.aead);
    for round in 0..ROUNDS {
        aws_lc.play(&mut bench, round * CALLS, clock);
        ring.play(&mut bench, round * CALLS, clock);
    }
    let figures = |aws_lc, ring| Figures { aws_lc_ns: per_call(aws_lc), ring_ns: per_call(ring) };
    (figures(aws_lc.seal, ring.seal), figures(aws_lc.open, ring.open))
}

fn per_call(round: Duration) -> u32 {
    u32::try_from(round.as_nanos() / CALLS as u128).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock by which the two libraries take these times for a call, seal and open alike.
    fn scripted(aws_lc_ns: u64, ring_ns: u64) -> impl FnMut() -> Instant {
        let (mut now, mut looks) = (Instant::now(), 0_u64);
        move || {
            // Two looks a verb, two verbs a library.
            let of_ring = looks % 8 >= 4;
            if looks % 2 == 1 {
                let each = if of_ring { ring_ns } else { aws_lc_ns };
                now += Duration::from_nanos(each * CALLS as u64);
            }
            looks += 1;
            now
        }
    }

    #[test]
    fn the_faster_is_taken_and_a_hair_is_not_enough() {
        for (aws_lc_ns, ring_ns, taken) in [
            (150, 200, Backend::AwsLc),
            (390, 235, Backend::Ring),
            (204, 200, Backend::AwsLc),
            (205, 200, Backend::Ring),
        ] {
            let backends = Backends::measure(None, scripted(aws_lc_ns, ring_ns));
            for cipher in [Cipher::Aes128Gcm, Cipher::ChaCha20Poly1305] {
                assert_eq!((backends.sealing(cipher), backends.opening(cipher)), (taken, taken));
                let figures = Figures { aws_lc_ns: aws_lc_ns as u32, ring_ns: ring_ns as u32 };
                assert_eq!(backends.figures(cipher), (figures, figures));
            }
            let said = backends.to_string();
            assert!(said.contains(&format!("sealed by {taken} (aws-lc {aws_lc_ns}, ring {ring_ns} ns)")));
            assert!(!said.contains(BACKEND_VARIABLE), "{said}");
        }
    }

    #[test]
    fn what_is_asked_for_is_taken_whatever_it_costs() {
        let backends = Backends::measure(Some(Backend::AwsLc), scripted(500, 100));
        assert_eq!(backends.sealing(Cipher::Aes128Gcm), Backend::AwsLc);
        assert_eq!(backends.opening(Cipher::ChaCha20Poly1305), Backend::AwsLc);
        let said = backends.to_string();
        assert!(said.contains("ring 100 ns") && said.ends_with("because PUNKTFUNK_SEAL=aws-lc"), "{said}");
    }

    #[test]
    fn the_real_clock_gives_figures() {
        let start = Instant::now();
        let backends = Backends::measure(None, Instant::now);
        eprintln!("{backends}; measured in {:?}", start.elapsed());
        for cipher in [Cipher::Aes128Gcm, Cipher::ChaCha20Poly1305] {
            let (seal, open) = backends.figures(cipher);
            for figures in [seal, open] {
                assert!(figures.aws_lc_ns > 0 && figures.ring_ns > 0, "{backends}");
                assert!(figures.aws_lc_ns < 1_000_000 && figures.ring_ns < 1_000_000, "{backends}");
            }
        }
    }
}
