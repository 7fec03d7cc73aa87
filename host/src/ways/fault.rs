//! Why a way gives no pictures, as far as the next step depends on it.
//!
//! Promises: a fault that waiting can mend is told from one that it cannot; each has a short name for counters, and
//! the words of whoever found it. Refuses nothing.

use punktfunk_capture::{CaptureError, Diagnosis};

use crate::error::HostError;

/// Why a way gives no pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// One word, for counters.
    pub reason: &'static str,
    /// The cause and what to do, for people.
    pub text: String,
    /// Whether the same way may be had again soon.
    pub is_passing: bool,
    /// Whether the same way is the best remedy: what it showed is gone, and it can show another.
    pub has_other: bool,
}

impl Fault {
    /// A way that was not open in time.
    pub fn too_late(text: String) -> Self {
        Self { reason: "no-answer", text, is_passing: true, has_other: false }
    }

    /// What opening a way came to.
    pub fn of(error: &HostError) -> Self {
        let (reason, is_passing) = match error {
            HostError::Capture(error) => return Self::of_capture(error),
            HostError::Display(_) => ("not-started", false),
            HostError::NoDesktop(_) | HostError::NoOutput(_) => ("not-there", false),
            HostError::NotBuilt { .. } => ("not-built", false),
            // The mode, the encoder, the machine: the same the next time.
            HostError::Usage(_)
            | HostError::PortInUse { .. }
            | HostError::Net(_)
            | HostError::Control(_)
            | HostError::Identity(_)
            | HostError::Devices(_)
            | HostError::Meant(_)
            | HostError::Arm(_)
            | HostError::NoWay { .. }
            | HostError::Compositor { .. }
            | HostError::Codec(_)
            | HostError::Engine(_)
            | HostError::Impossible(_)
            | HostError::Unagreed { .. }
            | HostError::Rate { .. }
            | HostError::Fault(_)
            | HostError::File { .. } => ("unusable", false),
        };
        Self { reason, text: error.to_string(), is_passing, has_other: false }
    }

    /// What a source says, before its first picture or in mid-stream.
    pub fn of_capture(error: &CaptureError) -> Self {
        let (reason, is_passing, has_other) = match error {
            CaptureError::NoFirstPicture { .. } => ("no-picture", true, false),
            CaptureError::Ended { diagnosis } => match diagnosis {
                Diagnosis::OutputRemoved { .. } => ("output-removed", true, true),
                Diagnosis::NoAnswer { .. } | Diagnosis::PipeWireHangs => ("no-answer", true, false),
                _ => ("ended", true, false),
            },
            CaptureError::Unusable { diagnosis } => match diagnosis {
                Diagnosis::NoAnswer { .. } | Diagnosis::PipeWireHangs | Diagnosis::PortalTimedOut { .. } => {
                    ("no-answer", true, false)
                }
                // Whoever restarts them does so within a second.
                Diagnosis::SocketMissing { .. }
                | Diagnosis::SocketRefused { .. }
                | Diagnosis::PipeWireMissing { .. }
                | Diagnosis::PipeWireGone { .. }
                | Diagnosis::PortalMissing { .. }
                | Diagnosis::PortalGone { .. }
                | Diagnosis::MutterMissing { .. }
                | Diagnosis::NoOutput
                | Diagnosis::NodeMissing { .. }
                | Diagnosis::NotLinked { .. }
                | Diagnosis::NotStarted { .. } => ("not-there", true, false),
                _ => ("unusable", false, false),
            },
            _ => ("unusable", false, false),
        };
        Self { reason, text: error.to_string(), is_passing, has_other }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn permanent_faults_are_told_from_passing_ones() {
        let unusable = |diagnosis| HostError::from(CaptureError::Unusable { diagnosis });
        for (error, reason, is_passing) in [
            (unusable(Diagnosis::GlobalMissing { missing: "wl_shm" }), "unusable", false),
            (unusable(Diagnosis::PipeWireGone { words: String::new() }), "not-there", true),
            (unusable(Diagnosis::NoAnswer { request: "wl_display.sync" }), "no-answer", true),
            (HostError::NotBuilt { what: "PipeWire" }, "not-built", false),
            (HostError::NoDesktop("apt install sway".into()), "not-there", false),
            (
                CaptureError::NoFirstPicture {
                    waited: Duration::from_secs(10),
                    diagnosis: Diagnosis::NoDamage { output: "DP-1".into() },
                }
                .into(),
                "no-picture",
                true,
            ),
        ] {
            let fault = Fault::of(&error);
            assert_eq!((fault.reason, fault.is_passing), (reason, is_passing), "{error}");
            assert_eq!(fault.text, error.to_string());
        }
        let removed = CaptureError::Ended { diagnosis: Diagnosis::OutputRemoved { output: "DP-1".into() } };
        assert!(Fault::of_capture(&removed).has_other);
    }
}
