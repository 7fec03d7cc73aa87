//! The ways datagrams can leave, and how a person picks one.

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
}

impl Backend {
    /// All backends, the fastest first.
    pub const ALL: [Backend; 3] = [Backend::Gso, Backend::Sendmmsg, Backend::Scalar];

    /// The name that [`BACKEND_VARIABLE`] takes.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Gso => "gso",
            Backend::Sendmmsg => "sendmmsg",
            Backend::Scalar => "scalar",
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
    fn an_unknown_name_is_told_the_choices() {
        for wrong in ["", "gsoo", "io_uring", "gso,sendmmsg"] {
            let said = wrong.parse::<Backend>().unwrap_err().to_string();
            for part in [BACKEND_VARIABLE, &format!("{wrong:?}"), "gso", "sendmmsg", "scalar", "unset"] {
                assert!(said.contains(part), "{said:?} lacks {part:?}");
            }
        }
    }
}
