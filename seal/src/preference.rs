//! Which cipher two ends agree on: AES-128-GCM where both have instructions for it, else ChaCha20-Poly1305.
//!
//! *What it is.* [`CipherPreference`]: what an end offers, best first, and why; and the agreement of two such lists.
//! Without AES instructions a library's AES-GCM is several times slower than ChaCha20-Poly1305, which any vector unit
//! does, so the end that lacks them decides for both.
//!
//! *What it promises.* The choice follows from the two lists alone; both are as strong, and neither end can be talked into
//! one that it did not offer. A person's wish ([`CIPHER_VARIABLE`]) is all that its end offers.
//!
//! *What it refuses.* To read the environment by itself, and to trade speed figures with the other end.

use crate::error::BackendError;
use crate::keys::Cipher;
use std::ffi::OsString;
use std::fmt;
use std::str::FromStr;

/// The environment variable by which a person picks the cipher: `aes` or `chacha`.
pub const CIPHER_VARIABLE: &str = "PUNKTFUNK_CIPHER";

/// What one end offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CipherPreference {
    has_aes: bool,
    asked: Option<Cipher>,
}

/// Why a cipher was taken, as the end sees it that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CipherReason {
    /// Both ends put AES first.
    BothHaveAes,
    /// This end has no AES instructions.
    WeLackAes,
    /// The other end puts ChaCha20-Poly1305 first: it has no AES instructions.
    TheyLackAes,
    /// A person picked it at this end.
    Asked,
    /// The other end offers no other: a person picked it there.
    OnlyOffer,
}

impl CipherPreference {
    /// This CPU's, unless a person `asked` for a cipher.
    #[must_use]
    pub fn of_this_cpu(asked: Option<Cipher>) -> Self {
        Self::new(cpu_has_aes(), asked)
    }

    /// That of a CPU with or without AES instructions.
    #[must_use]
    pub fn new(has_aes: bool, asked: Option<Cipher>) -> Self {
        Self { has_aes, asked }
    }

    /// What the value of [`CIPHER_VARIABLE`] asks for; nothing when it is unset.
    ///
    /// # Errors
    /// The value names no cipher.
    pub fn asked(variable: Option<OsString>) -> Result<Option<Cipher>, BackendError> {
        variable.map(|value| value.to_string_lossy().parse()).transpose()
    }

    /// What is offered, best first.
    #[must_use]
    pub fn ciphers(&self) -> &'static [Cipher] {
        match (self.asked, self.has_aes) {
            (Some(Cipher::Aes128Gcm), _) => &[Cipher::Aes128Gcm],
            (Some(Cipher::ChaCha20Poly1305), _) => &[Cipher::ChaCha20Poly1305],
            (None, true) => &[Cipher::Aes128Gcm, Cipher::ChaCha20Poly1305],
            (None, false) => &[Cipher::ChaCha20Poly1305, Cipher::Aes128Gcm],
        }
    }

    /// What this end and one that offers `theirs`, best first, agree on; none where they have none in common. Where both
    /// have both, ChaCha20-Poly1305 if either would rather: it is the one without AES instructions that would suffer.
    #[must_use]
    pub fn agree(&self, theirs: &[Cipher]) -> Option<Cipher> {
        let ours = self.ciphers();
        let both_have = |cipher: &Cipher| ours.contains(cipher) && theirs.contains(cipher);
        let chacha = Cipher::ChaCha20Poly1305;
        if both_have(&chacha) && (ours.first() == Some(&chacha) || theirs.first() == Some(&chacha)) {
            return Some(chacha);
        }
        ours.iter().copied().find(both_have)
    }

    /// Why `agreed` was taken; `None` if this end does not offer it. `theirs` is what the other end offers, where that is
    /// known.
    #[must_use]
    pub fn reason(&self, agreed: Cipher, theirs: Option<&[Cipher]>) -> Option<CipherReason> {
        if !self.ciphers().contains(&agreed) {
            return None;
        }
        Some(match (self.asked, agreed, self.has_aes, theirs) {
            (Some(_), ..) => CipherReason::Asked,
            (None, _, _, Some([_])) => CipherReason::OnlyOffer,
            (None, Cipher::ChaCha20Poly1305, false, _) => CipherReason::WeLackAes,
            (None, Cipher::ChaCha20Poly1305, true, _) => CipherReason::TheyLackAes,
            (None, Cipher::Aes128Gcm, true, _) => CipherReason::BothHaveAes,
            (None, Cipher::Aes128Gcm, false, _) => CipherReason::OnlyOffer,
        })
    }
}

impl fmt::Display for CipherReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CipherReason::BothHaveAes => f.write_str("both ends have AES instructions"),
            CipherReason::WeLackAes => f.write_str("this end has no AES instructions"),
            CipherReason::TheyLackAes => {
                f.write_str("the other end has no AES instructions, or was told to use it")
            }
            CipherReason::Asked => write!(f, "{CIPHER_VARIABLE} asks for it here"),
            CipherReason::OnlyOffer => f.write_str("the other end offers no other"),
        }
    }
}

impl fmt::Display for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cipher::Aes128Gcm => "AES-128-GCM",
            Cipher::ChaCha20Poly1305 => "ChaCha20-Poly1305",
        })
    }
}

impl FromStr for Cipher {
    type Err = BackendError;

    /// A short name or the whole one. Case and surrounding blanks do not matter.
    fn from_str(text: &str) -> Result<Self, BackendError> {
        match text.trim().to_ascii_lowercase().as_str() {
            "aes" | "aes-128-gcm" => Ok(Cipher::Aes128Gcm),
            "chacha" | "chacha20-poly1305" => Ok(Cipher::ChaCha20Poly1305),
            _ => Err(BackendError::CipherUnknown { came: text.to_owned() }),
        }
    }
}

/// Whether AES and the carry-less product of GCM are instructions here.
fn cpu_has_aes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes")
        && std::arch::is_aarch64_feature_detected!("pmull");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

#[cfg(test)]
mod tests {
    use super::*;

    const AES: Cipher = Cipher::Aes128Gcm;
    const CHACHA: Cipher = Cipher::ChaCha20Poly1305;

    #[test]
    fn the_end_without_aes_decides_and_a_person_before_it() {
        let ends: Vec<CipherPreference> =
            [(true, None), (false, None), (true, Some(AES)), (true, Some(CHACHA))]
                .into_iter()
                .map(|(has_aes, asked)| CipherPreference::new(has_aes, asked))
                .collect();
        let agreed = [
            [Some(AES), Some(CHACHA), Some(AES), Some(CHACHA)],
            [Some(CHACHA), Some(CHACHA), Some(AES), Some(CHACHA)],
            [Some(AES), Some(AES), Some(AES), None],
            [Some(CHACHA), Some(CHACHA), None, Some(CHACHA)],
        ];
        for (ours, row) in ends.iter().zip(agreed) {
            for (theirs, wanted) in ends.iter().zip(row) {
                let found = ours.agree(theirs.ciphers());
                assert_eq!(found, wanted, "{ours:?} {theirs:?}");
                // Whoever asks, and both say why.
                assert_eq!(theirs.agree(ours.ciphers()), wanted);
                if let Some(cipher) = found {
                    assert!(ours.reason(cipher, Some(theirs.ciphers())).is_some());
                    assert!(theirs.reason(cipher, None).is_some());
                }
            }
        }
        assert_eq!(ends[0].agree(&[]), None);
    }

    #[test]
    fn every_reason_is_the_ends_own() {
        let reason = |has_aes, asked, agreed, theirs: Option<&[Cipher]>| {
            CipherPreference::new(has_aes, asked).reason(agreed, theirs)
        };
        assert_eq!(reason(true, None, AES, None), Some(CipherReason::BothHaveAes));
        assert_eq!(reason(true, None, CHACHA, Some(&[CHACHA, AES])), Some(CipherReason::TheyLackAes));
        assert_eq!(reason(false, None, CHACHA, Some(&[AES, CHACHA])), Some(CipherReason::WeLackAes));
        assert_eq!(reason(true, None, CHACHA, Some(&[CHACHA])), Some(CipherReason::OnlyOffer));
        assert_eq!(reason(false, None, AES, None), Some(CipherReason::OnlyOffer));
        assert_eq!(reason(true, Some(CHACHA), CHACHA, None), Some(CipherReason::Asked));
        assert_eq!(reason(true, Some(CHACHA), AES, None), None, "it was not offered");
    }

    #[test]
    fn names_are_read_as_people_write_them() {
        assert_eq!(CipherPreference::asked(None), Ok(None));
        for (text, cipher) in
            [("aes", AES), (" ChaCha\n", CHACHA), ("AES-128-GCM", AES), ("chacha20-poly1305", CHACHA)]
        {
            assert_eq!(CipherPreference::asked(Some(text.into())), Ok(Some(cipher)));
            assert_eq!(cipher.to_string().parse(), Ok(cipher));
        }
        for wrong in ["", "rc4", "aes chacha"] {
            let said = CipherPreference::asked(Some(wrong.into())).unwrap_err().to_string();
            assert!(
                said.contains(CIPHER_VARIABLE) && said.contains("aes") && said.contains("chacha"),
                "{said}"
            );
        }
    }
}
