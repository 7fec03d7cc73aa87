//! The ways datagrams can leave, and how a person picks one.

use std::ffi::OsString;
use std::fmt;
use std::str::FromStr;

use crate::NetError;

/// The environment variable that overrides the probe's choice.
pub const BACKEND_VARIABLE: &str = "PUNKTFUNK_NET";

/// How a [`Sender`](crate::Sender) hands datagrams to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backend {
    /// Trains: the kernel or the device cuts one large send into datagrams (`UDP_SEGMENT`).
    Gso,
    /// Batches of single datagrams, one system call for up to 64.
    Sendmmsg,
    /// One system call a datagram.
    Scalar,
    /// Trains through io_uring, lent to the kernel where they lie in an attached [`Arena`](crate::Arena); receives
    /// that stay armed.
    Uring,
}

impl Backend {
    /// All backends, in the order in which one falls back to the next; io_uring, which falls back to the first,
    /// is last.
    pub const ALL: [Backend; 4] = [Backend::Gso, Backend::Sendmmsg, Backend::Scalar, Backend::Uring];

    /// What the value of [`BACKEND_VARIABLE`] asks for; nothing when it is unset.
    ///
    /// # Errors
    /// [`NetError::BackendUnknown`] for another value, one that is no text included.
    pub fn asked(variable: Option<OsString>) -> Result<Option<Backend>, NetError> {
        variable.map(|value| value.to_string_lossy().parse()).transpose()
    }

    /// The name that [`BACKEND_VARIABLE`] takes.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Gso => "gso",
            Backend::Sendmmsg => "sendmmsg",
            Backend::Scalar => "scalar",
            Backend::Uring => "uring",
        }
    }

    /// Whether it sends trains where the kernel cuts them.
    pub(crate) fn has_trains(self) -> bool {
        match self {
            Backend::Gso | Backend::Uring => true,
            Backend::Sendmmsg | Backend::Scalar => false,
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Backend {
    type Err = NetError;

    /// Case and surrounding blanks do not matter.
    fn from_str(text: &str) -> Result<Self, NetError> {
        let wanted = text.trim();
        Backend::ALL
            .into_iter()
            .find(|backend| backend.name().eq_ignore_ascii_case(wanted))
            .ok_or_else(|| NetError::BackendUnknown { came: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_to_itself() {
        for backend in Backend::ALL {
            assert_eq!(backend.name().parse::<Backend>().unwrap(), backend);
            assert_eq!(format!("  {}\n", backend.name().to_uppercase()).parse::<Backend>().unwrap(), backend);
        }
    }

    #[test]
    fn a_value_that_is_no_text_is_not_taken_for_none() {
        use std::os::unix::ffi::OsStringExt;
        assert_eq!(Backend::asked(None).unwrap(), None);
        assert_eq!(Backend::asked(Some("uring".into())).unwrap(), Some(Backend::Uring));
        for value in [vec![], vec![b'g', 0xFF]] {
            assert!(Backend::asked(Some(OsString::from_vec(value.clone()))).is_err(), "{value:?}");
        }
    }

    #[test]
    fn an_unknown_name_is_told_the_choices() {
        for wrong in ["", "gsoo", "io_uring", "gso,sendmmsg"] {
            let said = wrong.parse::<Backend>().unwrap_err().to_string();
            for part in
                [BACKEND_VARIABLE, &format!("{wrong:?}"), "gso", "sendmmsg", "scalar", "uring", "unset"]
            {
                assert!(said.contains(part), "{said:?} lacks {part:?}");
            }
        }
    }
}
