//! What a host says about itself in its TXT record: `proto`, `fp`, `pair` and `id` (docs/wire.md, "Discovery").
//!
//! Promises: what is read is whole or is refused with the word that is wrong; keys that are not known are passed over.
//! Refuses: text that is no UTF-8, numbers with signs, fingerprints of another length.

use std::fmt;
use std::str::FromStr;

use crate::limits::ID_BYTES_MAX;

/// Digits of a SHA-256 in hexadecimal.
const FINGERPRINT_DIGITS: usize = 64;

/// How many of them are a host's `id`.
const ID_DIGITS: usize = 16;

/// How a stranger comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairing {
    /// By pairing only.
    Required,
    /// The host lets everyone in.
    Open,
}

impl Pairing {
    /// Its word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Pairing::Required => "required",
            Pairing::Open => "open",
        }
    }
}

impl fmt::Display for Pairing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Pairing {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Pairing::Required, Pairing::Open].into_iter().find(|pairing| pairing.word() == text).ok_or(())
    }
}

/// What a host says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    proto: u32,
    fingerprint: String,
    pairing: Pairing,
    id: String,
}

/// Which word of a TXT record is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AboutError {
    /// It is not there, or has no value.
    #[error("its record lacks {0}")]
    Missing(&'static str),
    /// It is there, and cannot be what it has to be.
    #[error("its record's {key} is not {expected}")]
    Wrong {
        /// Which one.
        key: &'static str,
        /// What it would have to be.
        expected: &'static str,
    },
}

impl About {
    /// What a host of this control protocol and certificate (64 lower-case hexadecimal digits) says; its `id` is the
    /// beginning of the fingerprint, which names one host over all of its names and addresses, and nobody else.
    ///
    /// # Errors
    /// The fingerprint is none.
    pub fn new(proto: u32, fingerprint: &str, pairing: Pairing) -> Result<Self, AboutError> {
        let fingerprint = read_fingerprint(fingerprint)?;
        let id = fingerprint[..ID_DIGITS].to_owned();
        Ok(Self { proto, fingerprint, pairing, id })
    }

    /// The control protocol that it speaks.
    pub fn proto(&self) -> u32 {
        self.proto
    }

    /// Its certificate's SHA-256 as it claims, 64 lower-case hexadecimal digits.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// How a stranger comes in.
    pub fn pairing(&self) -> Pairing {
        self.pairing
    }

    /// What tells it from every other host.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Keys and values of the record.
    pub fn txt(&self) -> [(&'static str, String); 4] {
        [
            ("proto", self.proto.to_string()),
            ("fp", self.fingerprint.clone()),
            ("pair", self.pairing.word().to_owned()),
            ("id", self.id.clone()),
        ]
    }

    /// Reads a record whose values `value_of` gives by key.
    ///
    /// # Errors
    /// The first word that is missing or wrong.
    pub fn read<'a>(value_of: impl Fn(&'static str) -> Option<&'a [u8]>) -> Result<Self, AboutError> {
        let text = |key| {
            let bytes = value_of(key).ok_or(AboutError::Missing(key))?;
            std::str::from_utf8(bytes).map_err(|_| AboutError::Wrong { key, expected: "text" })
        };
        let proto = text("proto")?;
        // `parse` would take a plus sign.
        let proto = if proto.bytes().all(|byte| byte.is_ascii_digit()) { proto.parse().ok() } else { None };
        let proto = proto.ok_or(AboutError::Wrong { key: "proto", expected: "a number" })?;
        let fingerprint = read_fingerprint(text("fp")?)?;
        let pairing = text("pair")?.parse();
        let pairing =
            pairing.map_err(|()| AboutError::Wrong { key: "pair", expected: "required or open" })?;
        let id = text("id")?;
        let is_id = (1..=ID_BYTES_MAX).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !is_id {
            return Err(AboutError::Wrong { key: "id", expected: "1 to 32 letters, digits and hyphens" });
        }
        Ok(Self { proto, fingerprint, pairing, id: id.to_owned() })
    }
}

fn read_fingerprint(text: &str) -> Result<String, AboutError> {
    let is_one = text.len() == FINGERPRINT_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let wrong = AboutError::Wrong { key: "fp", expected: "64 hexadecimal digits" };
    if is_one { Ok(text.to_ascii_lowercase()) } else { Err(wrong) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fingerprint() -> String {
        "0123456789abcdef".repeat(4)
    }

    /// Reads the record in which `key` has `value`, or is not there.
    fn with(key: &str, value: Option<&[u8]>) -> Result<About, AboutError> {
        let txt = About::new(2, &fingerprint(), Pairing::Required).unwrap().txt();
        About::read(|wanted| {
            let known = txt.iter().find(|(known, _)| *known == wanted).map(|(_, text)| text.as_bytes());
            if wanted == key { value } else { known }
        })
    }

    #[test]
    fn what_is_said_is_what_is_read() {
        let about = About::new(7, &fingerprint().to_uppercase(), Pairing::Open).unwrap();
        let txt = about.txt();
        assert_eq!((txt[0].1.as_str(), txt[2].1.as_str()), ("7", "open"));
        assert_eq!((txt[1].1.as_str(), txt[3].1.as_str()), (&*fingerprint(), "0123456789abcdef"));
        let read = About::read(|key| txt.iter().find(|(known, _)| *known == key).map(|(_, v)| v.as_bytes()));
        assert_eq!(read, Ok(about));
    }

    #[test]
    fn each_word_that_is_missing_or_wrong_is_named() {
        assert!(with("other", Some(b"x")).is_ok());
        for key in ["proto", "fp", "pair", "id"] {
            assert_eq!(with(key, None), Err(AboutError::Missing(key)));
            for wrong in [&b"\xff\xfe"[..], b"", b"\x1b[31m", b" 1", &[b'a'; 255], b"a\0b"] {
                let refused = with(key, Some(wrong)).unwrap_err();
                assert!(refused.to_string().contains(key), "{key} {wrong:?}: {refused}");
                assert!(refused.to_string().bytes().all(|byte| (0x20..0x7f).contains(&byte)));
            }
        }
        for wrong in ["+2", "-2", "2 ", "4294967296", "0x2", "2.0"] {
            assert!(with("proto", Some(wrong.as_bytes())).is_err(), "{wrong}");
        }
        for wrong in [&fingerprint()[1..], &("g".to_owned() + &fingerprint()[1..])] {
            assert!(with("fp", Some(wrong.as_bytes())).is_err(), "{wrong}");
        }
        assert!(with("pair", Some(b"Required")).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_come_through_unread(key in 0..4_usize, value in prop::collection::vec(any::<u8>(), 0..300)) {
            let key = ["proto", "fp", "pair", "id"][key];
            if let Ok(about) = with(key, Some(&value)) {
                prop_assert!(about.id().len() <= ID_BYTES_MAX);
                prop_assert!(about.fingerprint().len() == 64);
                let back = About::read(|wanted| {
                    let txt = about.txt();
                    let at = ["proto", "fp", "pair", "id"].iter().position(|known| *known == wanted)?;
                    Some(txt[at].1.clone().leak().as_bytes())
                });
                prop_assert_eq!(back, Ok(about));
            }
        }
    }
}
