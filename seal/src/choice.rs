//! What seals and what opens on this CPU: measured once, at a program's start.
//!
//! *What it is.* [`Backends::measure`] times the real verbs of all that this CPU can run in turn on the shards of a block,
//! which lie in L2, takes each one's best, and keeps for each cipher and verb the fastest. One to two milliseconds.
//!
//! *What it promises.* The value is the choice: nothing is kept anywhere else, and it prints itself with its figures in
//! a line. One that is only [`MARGIN_PERCENT`] faster does not displace an earlier of [`Backend::ALL`], so that noise does
//! not change the choice from start to start.
//!
//! *What it refuses.* To read a clock or the environment by itself: both are handed in.

use crate::backend::{BACKEND_VARIABLE, Backend, Key};
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

/// What an earlier one may be slower and still be taken.
const MARGIN_PERCENT: u32 = 2;

const _: () = assert!(SHARDS.is_multiple_of(CALLS));

/// What one call takes with each of [`Backend::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    ns: [Option<u32>; Backend::ALL.len()],
}

impl Figures {
    /// Nanoseconds of a call; none of what this CPU cannot run, or has not that cipher.
    #[must_use]
    pub fn ns(&self, backend: Backend) -> Option<u32> {
        Backend::ALL.into_iter().zip(self.ns).find(|(of, _)| *of == backend).and_then(|(_, ns)| ns)
    }

    fn measured(self) -> impl Iterator<Item = (Backend, u32)> {
        Backend::ALL.into_iter().zip(self.ns).filter_map(|(backend, ns)| Some((backend, ns?)))
    }

    fn fastest(self) -> Backend {
        let is_clearly_less =
            |ns: u32, than: u32| u64::from(ns) * u64::from(100 + MARGIN_PERCENT) < u64::from(than) * 100;
        let fastest =
            self.measured().reduce(|best, next| if is_clearly_less(next.1, best.1) { next } else { best });
        fastest.map_or(Backend::ALL[0], |(backend, _)| backend)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (backend, ns)) in self.measured().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{backend} {ns}")?;
        }
        f.write_str(" ns")
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
    /// Measures with `clock`. `asked` is what a person wants whatever the figures say, for the ciphers that it can do.
    #[must_use]
    pub fn measure(asked: Option<Backend>, mut clock: impl FnMut() -> Instant) -> Backends {
        let (aes_seal, aes_open) = measure(Cipher::Aes128Gcm, &mut clock);
        let (chacha_seal, chacha_open) = measure(Cipher::ChaCha20Poly1305, &mut clock);
        Backends { asked, aes_seal, aes_open, chacha_seal, chacha_open }
    }

    /// What to seal with.
    #[must_use]
    pub fn sealing(&self, cipher: Cipher) -> Backend {
        self.asked(cipher).unwrap_or_else(|| self.figures(cipher).0.fastest())
    }

    /// What to open with.
    #[must_use]
    pub fn opening(&self, cipher: Cipher) -> Backend {
        self.asked(cipher).unwrap_or_else(|| self.figures(cipher).1.fastest())
    }

    fn asked(&self, cipher: Cipher) -> Option<Backend> {
        self.asked.filter(|asked| asked.supports(cipher))
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
            let (sealing, opening) = (self.sealing(cipher), self.opening(cipher));
            write!(f, ", {name}: sealed by {sealing} ({seal}), opened by {opening} ({open})")?;
        }
        match self.asked {
            Some(asked) if Cipher::ALL.into_iter().all(|cipher| asked.supports(cipher)) => {
                write!(f, ", because {BACKEND_VARIABLE}={asked}")
            }
            Some(asked) => write!(f, ", AES-128-GCM because {BACKEND_VARIABLE}={asked}"),
            None => Ok(()),
        }
    }
}

/// One backend's key, and the best of its rounds.
struct Contestant {
    backend: Backend,
    key: Key,
    seal: Duration,
    open: Duration,
}

impl Contestant {
    fn new(backend: Backend, cipher: Cipher) -> Self {
        let key = Key::new(backend, cipher, &[0x5A; 32][..cipher.key_bytes()]);
        Contestant { backend, key, seal: Duration::MAX, open: Duration::MAX }
    }

    /// A round of sealing, and one of opening what was sealed half a block ago.
    fn play(&mut self, bench: &mut Bench, first: usize, clock: &mut impl FnMut() -> Instant) {
        let (nonce, aad) = ([3; NONCE_BYTES], [7; AAD_BYTES]);
        let start = clock();
        for (shard, (sealed, tag)) in bench.walk(first) {
            self.key.seal(nonce, &aad, shard, sealed, tag);
        }
        self.seal = self.seal.min(clock().saturating_duration_since(start));
        let start = clock();
        let mut opened = true;
        for (shard, (sealed, tag)) in bench.walk(first + SHARDS / 2) {
            opened &= self.key.open(nonce, &aad, sealed, tag, shard);
        }
        self.open = self.open.min(clock().saturating_duration_since(start));
        debug_assert!(opened, "what was sealed opens");
    }
}

/// What is sealed and opened, round and round. All leave the same bytes behind.
struct Bench {
    shards: Vec<[u8; SHARD_BYTES]>,
    slots: Vec<([u8; SHARD_BYTES], [u8; TAG_BYTES])>,
}

impl Bench {
    /// Every shard sealed once.
    fn new(key: &Key) -> Self {
        let mut slots = vec![([0; SHARD_BYTES], [0; TAG_BYTES]); SHARDS];
        let shards = vec![[0xC3; SHARD_BYTES]; SHARDS];
        for (shard, (sealed, tag)) in shards.iter().zip(&mut slots) {
            key.seal([3; NONCE_BYTES], &[7; AAD_BYTES], shard, sealed, tag);
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
    let able = Backend::ALL.into_iter().filter(|backend| backend.supports(cipher));
    let mut contestants: Vec<_> = able.map(|backend| Contestant::new(backend, cipher)).collect();
    let mut bench = Bench::new(&Key::new(Backend::ALL[0], cipher, &[0x5A; 32][..cipher.key_bytes()]));
    for round in 0..ROUNDS {
        for contestant in &mut contestants {
            contestant.play(&mut bench, round * CALLS, clock);
        }
    }
    let figures = |verb: fn(&Contestant) -> Duration| Figures {
        ns: Backend::ALL.map(|backend| {
            let contestant = contestants.iter().find(|contestant| contestant.backend == backend)?;
            Some(per_call(verb(contestant)))
        }),
    };
    (figures(|contestant| contestant.seal), figures(|contestant| contestant.open))
}

fn per_call(round: Duration) -> u32 {
    u32::try_from(round.as_nanos() / CALLS as u128).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock by which each of [`Backend::ALL`] takes these times for a call, seal and open alike.
    fn scripted(ns: [u64; Backend::ALL.len()]) -> impl FnMut() -> Instant {
        let turns = |cipher| {
            let able = Backend::ALL.into_iter().zip(ns).filter(move |(backend, _)| backend.supports(cipher));
            std::iter::repeat_n(able.map(|(_, ns)| ns).collect::<Vec<_>>(), ROUNDS).flatten()
        };
        // Two verbs a turn, two looks a verb, of which the second ends it.
        let turns = Cipher::ALL.into_iter().flat_map(turns);
        let mut looks: Vec<u64> = turns.flat_map(|ns| [0, ns, 0, ns]).rev().collect();
        let mut now = Instant::now();
        move || {
            now += Duration::from_nanos(looks.pop().expect("as many looks as were scripted") * CALLS as u64);
            now
        }
    }

    #[test]
    fn the_fastest_is_taken_and_a_hair_is_not_enough() {
        for (ns, library, aes) in [
            ([150, 200, 300, 300], Backend::AwsLc, Backend::AwsLc),
            ([390, 235, 300, 300], Backend::Ring, Backend::Ring),
            ([204, 200, 200, 300], Backend::AwsLc, Backend::AwsLc),
            ([205, 200, 300, 300], Backend::Ring, Backend::Ring),
            ([250, 240, 160, 300], Backend::Ring, Backend::Vaes512),
            ([240, 250, 160, 300], Backend::AwsLc, Backend::Vaes512),
        ] {
            let backends = Backends::measure(None, scripted(ns));
            for cipher in Cipher::ALL {
                let taken = if Backend::Vaes512.supports(cipher) { aes } else { library };
                assert_eq!((backends.sealing(cipher), backends.opening(cipher)), (taken, taken), "{ns:?}");
                let (seal, open) = backends.figures(cipher);
                for (backend, ns) in Backend::ALL.into_iter().zip(ns) {
                    let expected = backend.supports(cipher).then_some(ns as u32);
                    assert_eq!((seal.ns(backend), open.ns(backend)), (expected, expected));
                }
            }
            let said = backends.to_string();
            let chacha = format!("sealed by {library} (aws-lc {}, ring {} ns)", ns[0], ns[1]);
            assert!(said.contains(&chacha) && !said.contains(BACKEND_VARIABLE), "{said}");
        }
    }

    #[test]
    fn what_is_asked_for_is_taken_whatever_it_costs() {
        let backends = Backends::measure(Some(Backend::AwsLc), scripted([500, 100, 100, 100]));
        assert_eq!(backends.sealing(Cipher::Aes128Gcm), Backend::AwsLc);
        assert_eq!(backends.opening(Cipher::ChaCha20Poly1305), Backend::AwsLc);
        let said = backends.to_string();
        assert!(said.contains("ring 100") && said.ends_with("because PUNKTFUNK_SEAL=aws-lc"), "{said}");
    }

    #[test]
    fn a_cipher_that_what_was_asked_for_has_not_goes_to_the_fastest() {
        let backends = Backends::measure(Some(Backend::Vaes512), scripted([100, 300, 500, 500]));
        assert_eq!(backends.sealing(Cipher::ChaCha20Poly1305), Backend::AwsLc);
        if Backend::Vaes512.supports(Cipher::Aes128Gcm) {
            assert_eq!(backends.sealing(Cipher::Aes128Gcm), Backend::Vaes512);
        }
    }

    #[test]
    fn the_real_clock_gives_figures() {
        let start = Instant::now();
        let backends = Backends::measure(None, Instant::now);
        eprintln!("{backends}; measured in {:?}", start.elapsed());
        for cipher in Cipher::ALL {
            let (seal, open) = backends.figures(cipher);
            for backend in Backend::ALL.into_iter().filter(|backend| backend.supports(cipher)) {
                for ns in [seal.ns(backend), open.ns(backend)] {
                    assert!(ns.is_some_and(|ns| ns > 0 && ns < 1_000_000), "{backends}");
                }
            }
        }
    }
}
