//! The harness's only source of chance: SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number
//! Generators", 2014), seeded, and split by purpose so that one purpose's draws never shift another's.

/// A stream of random words.
#[derive(Debug, Clone)]
pub struct Rng(u64);

/// What a stream is for.
#[derive(Debug, Clone, Copy)]
pub enum Purpose {
    /// AU sizes.
    Sizes,
    /// The bytes of AU n.
    Bytes(u32),
    /// What a link does by way of one harm.
    Link(Way, Harm),
    /// One cell of a grid.
    Cell(u64),
    /// Session keys.
    Keys,
}

/// Which way a link leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Media.
    ToClient,
    /// Feedback.
    ToHost,
}

/// What a link may do to a datagram by chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// Independent loss.
    Loss,
    /// Bursts of loss.
    Burst,
    /// A second copy.
    Duplicate,
    /// A flipped bit.
    Corrupt,
    /// A wandering delay.
    Jitter,
    /// Being held back.
    Reorder,
}

impl Rng {
    /// The stream of `seed` for `purpose`.
    pub fn new(seed: u64, purpose: Purpose) -> Rng {
        let tag = match purpose {
            Purpose::Sizes => 1,
            Purpose::Keys => 3,
            Purpose::Link(way, harm) => 1 << 16 | (way as u64) << 8 | harm as u64,
            Purpose::Bytes(au) => 1 << 32 | u64::from(au),
            Purpose::Cell(index) => 2 << 32 ^ mix(index),
        };
        Rng(mix(seed ^ mix(tag)))
    }

    /// 64 random bits.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with this probability. Draws once, whatever the probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.word() % end
    }

    /// Random bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.word().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// SplitMix64's output function: every bit of the input changes half of the output's.
pub fn mix(word: u64) -> u64 {
    let z = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_have_streams_of_their_own() {
        let link = |way, harm| Purpose::Link(way, harm);
        let mut words: Vec<u64> = [
            Purpose::Sizes,
            Purpose::Keys,
            link(Way::ToClient, Harm::Loss),
            link(Way::ToClient, Harm::Burst),
            link(Way::ToHost, Harm::Loss),
            Purpose::Bytes(1),
            Purpose::Bytes(2),
            Purpose::Cell(1),
            Purpose::Cell(2),
        ]
        .into_iter()
        .map(|purpose| Rng::new(7, purpose).word())
        .collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), 9);
        assert_eq!(Rng::new(7, Purpose::Sizes).word(), Rng::new(7, Purpose::Sizes).word());
        let mut rng = Rng::new(7, Purpose::Keys);
        assert!((0..10_000).all(|_| !rng.chance(0.0)));
    }
}
