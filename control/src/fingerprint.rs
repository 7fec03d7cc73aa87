//! A peer's name: the SHA-256 of its certificate.
//!
//! Promises: one text form (64 lower-case hex digits) that it reads back, also with colons and in
//! upper case, as other tools print it. Refuses: anything else, saying what is wrong.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;

/// The SHA-256 of a certificate's DER bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

/// Why a text is no fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FingerprintError {
    /// Not 32 bytes of hex.
    #[error("a fingerprint is 64 hex digits (colons are allowed), but this has {digits}")]
    Length {
        /// How many digits there are.
        digits: usize,
    },
    /// A character that is neither a hex digit nor a colon.
    #[error("a fingerprint is hex digits and colons, but character {at} is {found:?}")]
    Character {
        /// The character's place, counted from 1.
        at: usize,
        /// The character.
        found: char,
    },
}

impl Fingerprint {
    /// The fingerprint of a certificate in DER.
    pub fn of_certificate(der: &[u8]) -> Self {
        let digest = digest::digest(&digest::SHA256, der);
        Self(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Fingerprint {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0u8; 32];
        let mut digits = 0;
        for (index, found) in text.trim().chars().enumerate() {
            if found == ':' {
                continue;
            }
            let Some(digit) = found.to_digit(16) else {
                return Err(FingerprintError::Character { at: index + 1, found });
            };
            if let Some(byte) = bytes.get_mut(digits / 2) {
                *byte = *byte << 4 | digit as u8;
            }
            digits += 1;
        }
        if digits == 64 { Ok(Self(bytes)) } else { Err(FingerprintError::Length { digits }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let fingerprint = Fingerprint::of_certificate(b"abc");
        let text = fingerprint.to_string();
        assert_eq!(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(text.parse(), Ok(fingerprint));
        let colons: Vec<_> = text.as_bytes().chunks(2).map(|c| String::from_utf8_lossy(c)).collect();
        assert_eq!(format!(" {}\n", colons.join(":").to_uppercase()).parse(), Ok(fingerprint));
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!("".parse::<Fingerprint>(), Err(FingerprintError::Length { digits: 0 }));
        assert_eq!("ab".repeat(33).parse::<Fingerprint>(), Err(FingerprintError::Length { digits: 66 }));
        assert_eq!("ab:xy".parse::<Fingerprint>(), Err(FingerprintError::Character { at: 4, found: 'x' }));
        assert!("é".repeat(32).parse::<Fingerprint>().is_err());
    }
}
