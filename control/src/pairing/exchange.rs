//! SPAKE2+ (RFC 9383, P-256 and SHA-256) between a client that was told the PIN and the host that shows it.
//!
//! ```text
//! client                                      host
//! Asking ------------- share P --------------> Answering
//!        <------ share V, confirmation V ----- Answered
//! Convinced ------- confirmation P ----------> proven
//! ```
//! *What it is.* Each step is a type that the next step uses up: none can be left out, repeated or turned
//! round. Bytes in, bytes out.
//!
//! *What it promises.* One guess for each run, and none without one: whoever does not know the PIN learns from a
//! run whether its one guess was right, and nothing to try others with later. A run is bound to both
//! certificates, to who of the two is the host, and to the very TLS connection that it runs on, so that nobody
//! between the two can hand it on. The host proves first: a client that has met an impostor sends nothing more.
//!
//! *What it refuses.* A password hash that takes its time. It would protect a stored record, and there is none: the
//! host has the PIN itself, for two minutes, in memory.

use aws_lc_rs::hkdf;
use spake2plus::rand_core::{CryptoRng, Infallible, Rng, TryCryptoRng, TryRng};
use spake2plus::{
    ConfirmP, ConfirmV, Context, P256Sha256, Prover, ProverSecret, ShareP, ShareV, Suite, Verifier,
    VerifierConfirming, VerifierRecord,
};
use zeroize::Zeroizing;

use super::pin::Pin;
use crate::fingerprint::Fingerprint;

/// Bytes of a share: a point of P-256, uncompressed (SEC 1).
pub const SHARE_BYTES: usize = 65;

/// Bytes of a confirmation: HMAC-SHA256.
pub const CONFIRMATION_BYTES: usize = 32;

/// Bytes of the TLS exporter that a run is bound to.
pub(crate) const EXPORTER_BYTES: usize = 32;

/// The exporter's label (RFC 8446 section 7.5).
pub(crate) const EXPORTER_LABEL: &[u8] = b"EXPORTER-punktfunk pair 1";

/// What the context begins with: the protocol and its version.
const CONTEXT: &[u8] = b"punktfunk pair 1";

/// What the PIN is spread out with.
const PIN_SALT: &[u8] = b"punktfunk pair 1 pin";

/// Why a run came to nothing. Which of the two it was is for this end's log and tests; a peer is told the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// A share that no honest peer sends.
    #[error("a share that is no point of the group")]
    Share,
    /// The peer does not know the PIN, or somebody is in between.
    #[error("the peer's confirmation does not hold")]
    Confirmation,
}

/// What a run is bound to besides the PIN.
#[derive(Clone, Copy)]
pub(crate) struct Binding {
    /// The host's certificate.
    pub(crate) host: Fingerprint,
    /// The client's certificate.
    pub(crate) client: Fingerprint,
    /// Bytes that only the two ends of this TLS connection know.
    pub(crate) exporter: [u8; EXPORTER_BYTES],
}

impl Binding {
    /// The identities stand for the roles too: a host's share is no client's.
    fn as_context<'a>(&'a self, context: &'a [u8]) -> Context<'a> {
        Context { context, prover_id: self.client.as_bytes(), verifier_id: self.host.as_bytes() }
    }

    fn context(&self) -> [u8; CONTEXT.len() + 32 + 32 + EXPORTER_BYTES] {
        let mut bytes = [0; CONTEXT.len() + 32 + 32 + EXPORTER_BYTES];
        let parts = [CONTEXT, self.host.as_bytes(), self.client.as_bytes(), &self.exporter];
        let mut rest = &mut bytes[..];
        for part in parts {
            let (place, behind) = rest.split_at_mut(part.len());
            place.copy_from_slice(part);
            rest = behind;
        }
        bytes
    }
}

/// The PIN as the curve takes it: 80 bytes, which two scalars are made of.
fn secret_of(pin: &Pin) -> ProverSecret<P256Sha256> {
    const BYTES: usize = P256Sha256::MIN_PBKDF_OUTPUT_LEN;
    struct Length;
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            BYTES
        }
    }
    let mut bytes = Zeroizing::new([0; BYTES]);
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, PIN_SALT).extract(pin.digits());
    prk.expand(&[], Length)
        .and_then(|okm| okm.fill(&mut bytes[..]))
        .expect("HKDF-SHA256 gives up to 255 times 32 bytes");
    ProverSecret::from_pbkdf_output(&bytes[..])
        .expect("the length is the suite's own, and a scalar is zero once in 2^256")
}

/// What the host holds against a client's run: made of a PIN once, used for each run of its window.
pub(crate) struct Record(VerifierRecord<P256Sha256>);

impl Record {
    pub(crate) fn of(pin: &Pin) -> Self {
        Self(secret_of(pin).verifier_record())
    }

    /// One that belongs to no PIN at all, so that no guess tells it from one that does.
    pub(crate) fn of_nobody() -> Self {
        let mut bytes = Zeroizing::new([0; P256Sha256::MIN_PBKDF_OUTPUT_LEN]);
        SystemRandom.fill_bytes(&mut bytes[..]);
        let secret = ProverSecret::from_pbkdf_output(&bytes[..]);
        Self(
            secret
                .expect("the length is the suite's own, and a scalar is zero once in 2^256")
                .verifier_record(),
        )
    }
}

/// The client has sent its share.
pub(crate) struct Asking(Prover<P256Sha256>);

impl Asking {
    /// Begins a run: the share is for the host.
    pub(crate) fn start(pin: &Pin, binding: &Binding, rng: &mut impl CryptoRng) -> (Self, [u8; SHARE_BYTES]) {
        let (prover, share) = Prover::start(&secret_of(pin), &binding.as_context(&binding.context()), rng);
        (Self(prover), *share.as_bytes())
    }

    /// Takes the host's proof. The confirmation is for the host, and only made for one that knows the PIN.
    pub(crate) fn handle_answer(
        self,
        share: &[u8; SHARE_BYTES],
        confirmation: &[u8; CONFIRMATION_BYTES],
    ) -> Result<[u8; CONFIRMATION_BYTES], ExchangeError> {
        let share = ShareV::from_bytes(share).map_err(|_| ExchangeError::Share)?;
        let confirming = self.0.receive(&share).map_err(|_| ExchangeError::Share)?;
        let theirs = ConfirmV::from_bytes(confirmation).map_err(|_| ExchangeError::Confirmation)?;
        let (ours, _) = confirming.finish(&theirs).map_err(|_| ExchangeError::Confirmation)?;
        Ok(*ours.as_bytes())
    }
}

/// The host's answer to a client's share.
pub(crate) struct Answer {
    pub(crate) share: [u8; SHARE_BYTES],
    pub(crate) confirmation: [u8; CONFIRMATION_BYTES],
}

/// The host has answered a client's share.
pub(crate) struct Answered(VerifierConfirming<P256Sha256>);

impl Answered {
    /// Answers a client's share by the record of the PIN that the host shows.
    pub(crate) fn start(
        record: &Record,
        binding: &Binding,
        share: &[u8; SHARE_BYTES],
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Answer), ExchangeError> {
        let theirs = ShareP::from_bytes(share).map_err(|_| ExchangeError::Share)?;
        let (verifier, ours) = Verifier::start(&record.0, &binding.as_context(&binding.context()), rng);
        let (confirming, confirmation) = verifier.receive(&theirs).map_err(|_| ExchangeError::Share)?;
        let answer = Answer { share: *ours.as_bytes(), confirmation: *confirmation.as_bytes() };
        Ok((Self(confirming), answer))
    }

    /// Whether the client knows the PIN.
    pub(crate) fn handle_confirmation(
        self,
        confirmation: &[u8; CONFIRMATION_BYTES],
    ) -> Result<(), ExchangeError> {
        let theirs = ConfirmP::from_bytes(confirmation).map_err(|_| ExchangeError::Confirmation)?;
        self.0.finish(&theirs).map(drop).map_err(|_| ExchangeError::Confirmation)
    }
}

/// The system's randomness, as the curve takes it.
pub(crate) struct SystemRandom;

impl TryRng for SystemRandom {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_ne_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        aws_lc_rs::rand::fill(bytes).expect("the system's generator of random numbers works");
        Ok(())
    }
}

impl TryCryptoRng for SystemRandom {}

#[cfg(test)]
mod tests {
    use super::super::replay::Replay;
    use super::*;

    fn unhex(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    /// A scalar behind so many zeros that a reduction leaves it as it is.
    fn wide(hex: &str, bytes: usize) -> Vec<u8> {
        let scalar = unhex(hex);
        [vec![0; bytes - scalar.len()], scalar].concat()
    }

    fn replay(scalar: &str) -> Replay {
        Replay::of(unhex(scalar).try_into().unwrap())
    }

    /// RFC 9383, appendix C: P256-SHA256-HKDF-SHA256-HMAC-SHA256, both roles, every value that travels.
    #[test]
    fn the_rfcs_vectors_hold() {
        const CONTEXT: &[u8] = b"SPAKE2+-P256-SHA256-HKDF-SHA256-HMAC-SHA256 Test Vectors";
        const W0: &str = "bb8e1bbcf3c48f62c08db243652ae55d3e5586053fca77102994f23ad95491b3";
        const W1: &str = "7e945f34d78785b8a3ef44d0df5a1a97d6b3b460409a345ca7830387a74b1dba";
        const L: &str = "04eb7c9db3d9a9eb1f8adab81b5794c1f13ae3e225efbe91ea487425854c7fc00f\
                         00bfedcbd09b2400142d40a14f2064ef31dfaa903b91d1faea7093d835966efd";
        const X: &str = "d1232c8e8693d02368976c174e2088851b8365d0d79a9eee709c6a05a2fad539";
        const Y: &str = "717a72348a182085109c8d3917d6c43d59b224dc6a7fc4f0483232fa6516d8b3";
        const SHARE_P: &str = "04ef3bd051bf78a2234ec0df197f7828060fe9856503579bb1733009042c15c0c1\
                               de127727f418b5966afadfdd95a6e4591d171056b333dab97a79c7193e341727";
        const SHARE_V: &str = "04c0f65da0d11927bdf5d560c69e1d7d939a05b0e88291887d679fcadea75810fb\
                               5cc1ca7494db39e82ff2f50665255d76173e09986ab46742c798a9a68437b048";
        const CONFIRM_P: &str = "926cc713504b9b4d76c9162ded04b5493e89109f6d89462cd33adc46fda27527";
        const CONFIRM_V: &str = "9747bcc4f8fe9f63defee53ac9b07876d907d55047e6ff2def2e7529089d3e68";
        const SHARED: &str = "0c5f8ccd1413423a54f6c1fb26ff01534a87f893779c6e68666d772bfd91f3e7";

        let secret = ProverSecret::<P256Sha256>::from_pbkdf_output(&[wide(W0, 40), wide(W1, 40)].concat());
        let (secret, context) =
            (secret.unwrap(), Context { context: CONTEXT, prover_id: b"client", verifier_id: b"server" });
        let record = secret.verifier_record();
        assert_eq!(record.to_bytes().to_vec(), [unhex(W0), unhex(L)].concat());
        let (prover, share_p) = Prover::start(&secret, &context, &mut replay(X));
        let (verifier, share_v) = Verifier::start(&record, &context, &mut replay(Y));
        assert_eq!((share_p.as_ref(), share_v.as_ref()), (&unhex(SHARE_P)[..], &unhex(SHARE_V)[..]));
        let (verifier, confirm_v) = verifier.receive(&share_p).unwrap();
        let (confirm_p, client) = prover.receive(&share_v).unwrap().finish(&confirm_v).unwrap();
        let host = verifier.finish(&confirm_p).unwrap();
        assert_eq!((confirm_p.as_ref(), confirm_v.as_ref()), (&unhex(CONFIRM_P)[..], &unhex(CONFIRM_V)[..]));
        assert_eq!((client.as_bytes().to_vec(), host.as_bytes().to_vec()), (unhex(SHARED), unhex(SHARED)));
    }

    fn binding() -> Binding {
        Binding {
            host: Fingerprint::of_certificate(b"host"),
            client: Fingerprint::of_certificate(b"client"),
            exporter: [7; EXPORTER_BYTES],
        }
    }

    fn pin(text: &str) -> Pin {
        text.parse().unwrap()
    }

    /// One run between ends that may disagree.
    fn run(pins: [&str; 2], client: &Binding, host: &Binding) -> Result<(), ExchangeError> {
        let (asking, share) = Asking::start(&pin(pins[0]), client, &mut SystemRandom);
        let record = Record::of(&pin(pins[1]));
        let (answered, answer) = Answered::start(&record, host, &share, &mut SystemRandom)?;
        let confirmation = asking.handle_answer(&answer.share, &answer.confirmation)?;
        answered.handle_confirmation(&confirmation)
    }

    #[test]
    fn the_right_pin_proves_both_ends() {
        assert_eq!(run(["012345", "012 345"], &binding(), &binding()), Ok(()));
    }

    #[test]
    fn a_wrong_pin_proves_nothing() {
        for wrong in ["012346", "112345", "000000"] {
            let outcome = run([wrong, "012345"], &binding(), &binding());
            assert_eq!(outcome, Err(ExchangeError::Confirmation), "{wrong}");
        }
    }

    /// Somebody between the two has another certificate towards one of them, or two TLS connections.
    #[test]
    fn a_run_belongs_to_both_certificates_the_roles_and_the_connection() {
        let there = binding();
        let other = Fingerprint::of_certificate(b"somebody in between");
        for here in [
            Binding { host: other, ..there },
            Binding { client: other, ..there },
            Binding { exporter: [8; EXPORTER_BYTES], ..there },
            Binding { host: there.client, client: there.host, ..there },
        ] {
            let pins = ["012345", "012345"];
            assert_eq!(run(pins, &here, &there), Err(ExchangeError::Confirmation));
            assert_eq!(run(pins, &there, &here), Err(ExchangeError::Confirmation));
        }
    }

    /// What one run said is worth nothing in the next.
    #[test]
    fn an_answer_of_another_run_is_refused() {
        let (record, pin) = (Record::of(&pin("012345")), pin("012345"));
        let begin = || Asking::start(&pin, &binding(), &mut SystemRandom);
        let answer = |share: &[u8; SHARE_BYTES]| {
            Answered::start(&record, &binding(), share, &mut SystemRandom).unwrap()
        };
        let ((first, share), (second, _)) = (begin(), begin());
        let (answered, old) = answer(&share);
        let (again, _) = answer(&share);
        let wrong = second.handle_answer(&old.share, &old.confirmation);
        assert_eq!(wrong, Err(ExchangeError::Confirmation));
        let confirmation = first.handle_answer(&old.share, &old.confirmation).unwrap();
        assert_eq!(again.handle_confirmation(&confirmation), Err(ExchangeError::Confirmation));
        assert_eq!(answered.handle_confirmation(&confirmation), Ok(()));
    }

    /// No share at all, its own reflection, and points that would take the PIN out of the run.
    #[test]
    fn shares_that_no_honest_peer_sends_are_refused() {
        let record = Record::of(&pin("012345"));
        let (_, honest) = Asking::start(&pin("012345"), &binding(), &mut SystemRandom);
        let mut off_curve = honest;
        off_curve[64] ^= 1;
        for hostile in [[0; SHARE_BYTES], [4; SHARE_BYTES], [0xff; SHARE_BYTES], off_curve] {
            let host = Answered::start(&record, &binding(), &hostile, &mut SystemRandom);
            assert_eq!(host.map(drop), Err(ExchangeError::Share));
            let (asking, _) = Asking::start(&pin("012345"), &binding(), &mut SystemRandom);
            assert_eq!(asking.handle_answer(&hostile, &[0; 32]), Err(ExchangeError::Share));
        }
        let (asking, share) = Asking::start(&pin("012345"), &binding(), &mut SystemRandom);
        assert_eq!(asking.handle_answer(&share, &[0; 32]), Err(ExchangeError::Confirmation));
    }
}
