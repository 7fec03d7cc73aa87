//! Why a way gives no pictures, as far as the next step depends on it.
//!
//! Promises: a fault that waiting can mend is told from one that it cannot, and both from a person's no; each has a
//! short name for counters, and the words of whoever found it. Refuses nothing.

use punktfunk_capture::{CaptureError, Diagnosis};
use punktfunk_display::DisplayError;

use crate::error::HostError;

/// Why a way gives no pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// One word, for counters.
    pub reason: &'static str,
    /// The cause and what to do, for people.
    pub text: String,
    /// What may come of it.
    pub outlook: Outlook,
}

/// What may come of a way that gives no pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    /// The same way may be had again soon.
    Passing,
    /// The same, but what does not answer has been waited for already: all others come first.
    Silent,
    /// The same way is the best remedy: what it showed is gone, and it can show another.
    Other,
    /// It is the same the next time.
    Permanent,
    /// Somebody at the desktop said no to its screen's being shown, or stopped it: by none of its doors, then.
    Declined,
}

/// What a diagnosis says of the link that it names.
#[derive(Clone, Copy)]
enum Link {
    /// It does not answer.
    Silent,
    /// It is not there: whoever restarts it does so within a second.
    Absent,
    /// It was there and ended.
    Broken,
    /// A person's no.
    Declined,
    /// It is there and cannot be used.
    Unfit,
}

impl Fault {
    /// What opening a way came to.
    pub fn of(error: &HostError) -> Self {
        let (reason, outlook) = match error {
            HostError::Capture(error) => return Self::of_capture(error),
            HostError::Display(error) => ("not-started", of_display(error)),
            HostError::Late(_) => ("no-answer", Outlook::Silent),
            HostError::NoDesktop(_) | HostError::NoOutput(_) => ("not-there", Outlook::Permanent),
            HostError::NotBuilt { .. } => ("not-built", Outlook::Permanent),
            // The mode of a desktop is its person's to change.
            HostError::Codec(_) | HostError::Gpu(_) | HostError::NoEncoder { .. } => {
                ("unusable", Outlook::Passing)
            }
            // The machine and what was asked for: the same the next time.
            HostError::Usage(_)
            | HostError::Settings(_)
            | HostError::PortInUse { .. }
            | HostError::Net(_)
            | HostError::Control(_)
            | HostError::Identity(_)
            | HostError::Devices(_)
            | HostError::Meant(_)
            | HostError::Arm(_)
            | HostError::NoRunningHost { .. }
            | HostError::NoManagement { .. }
            | HostError::RunningHostRefused { .. }
            | HostError::NotPaired(_)
            | HostError::Manage(_)
            | HostError::Token(_)
            | HostError::NoWay { .. }
            | HostError::Compositor { .. }
            | HostError::Engine(_)
            | HostError::Full { .. }
            | HostError::Impossible(_)
            | HostError::Unagreed { .. }
            | HostError::Rate { .. }
            | HostError::Fault(_)
            | HostError::Broken { .. }
            | HostError::File { .. } => ("unusable", Outlook::Permanent),
        };
        Self { reason, text: error.to_string(), outlook }
    }

    /// What a source says, before its first picture or in mid-stream.
    pub fn of_capture(error: &CaptureError) -> Self {
        let declined = ("declined", Outlook::Declined);
        let (reason, outlook) = match error {
            CaptureError::NoFirstPicture { diagnosis, .. } => match link(diagnosis) {
                Link::Declined => declined,
                Link::Silent | Link::Absent | Link::Broken | Link::Unfit => ("no-picture", Outlook::Passing),
            },
            CaptureError::Ended { diagnosis: Diagnosis::OutputRemoved { .. } } => {
                ("output-removed", Outlook::Other)
            }
            CaptureError::Ended { diagnosis } => match link(diagnosis) {
                Link::Declined => declined,
                Link::Silent => ("no-answer", Outlook::Silent),
                Link::Absent | Link::Broken | Link::Unfit => ("ended", Outlook::Passing),
            },
            CaptureError::Unusable { diagnosis } => match link(diagnosis) {
                Link::Declined => declined,
                Link::Silent => ("no-answer", Outlook::Silent),
                Link::Absent => ("not-there", Outlook::Passing),
                Link::Broken => ("ended", Outlook::Passing),
                Link::Unfit => ("unusable", Outlook::Permanent),
            },
            // A mode that can change, or a thread or a pipe that the system refused just now.
            CaptureError::Mode(_) | CaptureError::CardTooSmall { .. } | CaptureError::Read { .. } => {
                ("unusable", Outlook::Passing)
            }
            CaptureError::Y4m { .. } | CaptureError::NoWayLeft { .. } => ("unusable", Outlook::Permanent),
        };
        Self { reason, text: error.to_string(), outlook }
    }
}

fn link(diagnosis: &Diagnosis) -> Link {
    match diagnosis {
        Diagnosis::NoAnswer { .. } | Diagnosis::PipeWireHangs | Diagnosis::PortalTimedOut { .. } => {
            Link::Silent
        }
        Diagnosis::SocketMissing { .. }
        | Diagnosis::SocketRefused { .. }
        | Diagnosis::OutputNotFound { .. }
        | Diagnosis::NoOutput
        | Diagnosis::NoSessionBus { .. }
        | Diagnosis::SessionBusGone
        | Diagnosis::PortalMissing { .. }
        | Diagnosis::PortalGone { .. }
        | Diagnosis::MutterMissing { .. }
        | Diagnosis::PipeWireMissing { .. }
        | Diagnosis::PipeWireGone { .. }
        | Diagnosis::NodeMissing { .. }
        | Diagnosis::NotLinked { .. }
        | Diagnosis::NotStarted { .. } => Link::Absent,
        Diagnosis::NoDamage { .. }
        | Diagnosis::CopyFailed { .. }
        | Diagnosis::OutputRemoved { .. }
        | Diagnosis::PortalRefused { .. }
        | Diagnosis::NodeRemoved { .. }
        | Diagnosis::StreamEnded { .. }
        | Diagnosis::NotChanged { .. }
        | Diagnosis::PictureUnreadable { .. }
        | Diagnosis::ThreadEnded { .. }
        | Diagnosis::Stopped { .. }
        | Diagnosis::Disconnected { .. } => Link::Broken,
        // Whoever stopped it and what it showed being gone are told alike: a person's stop has to hold.
        Diagnosis::PortalCancelled { .. } | Diagnosis::ScreenCastEnded { .. } => Link::Declined,
        Diagnosis::NoDisplay
        | Diagnosis::GlobalMissing { .. }
        | Diagnosis::BufferRefused { .. }
        | Diagnosis::PortalUnreadable { .. }
        | Diagnosis::FormatRefused { .. } => Link::Unfit,
    }
}

/// A machine without the program or the right to start it has them no sooner for waiting; a busy one is less so soon.
fn of_display(error: &DisplayError) -> Outlook {
    match error {
        DisplayError::NotInstalled { .. }
        | DisplayError::RootRefused { .. }
        | DisplayError::RunAsRefused { .. }
        | DisplayError::RuntimeDirTooLong { .. } => Outlook::Permanent,
        DisplayError::RuntimeDir { .. }
        | DisplayError::Spawn { .. }
        | DisplayError::Ended { .. }
        | DisplayError::NotReady { .. }
        | DisplayError::Ipc { .. }
        | DisplayError::Refused { .. }
        | DisplayError::ModeImpossible { .. }
        | DisplayError::ModeNotTaken { .. }
        | DisplayError::NoOutput { .. }
        | DisplayError::OutputUnknown { .. }
        | DisplayError::NoContent { .. }
        | DisplayError::ContentEnded { .. }
        | DisplayError::Killed { .. } => Outlook::Passing,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn permanent_faults_are_told_from_passing_ones() {
        let unusable = |diagnosis| HostError::from(CaptureError::Unusable { diagnosis });
        let stderr = String::new;
        let late = Duration::from_secs(10);
        let not_ready = DisplayError::NotReady { waited: late, missing: "a socket".into(), stderr: stderr() };
        let not_installed = DisplayError::NotInstalled { program: "sway".into(), package: "sway" };
        let no_damage = Diagnosis::NoDamage { output: "DP-1".into() };
        for (error, reason, outlook) in [
            (unusable(Diagnosis::GlobalMissing { missing: "wl_shm" }), "unusable", Outlook::Permanent),
            (unusable(Diagnosis::PipeWireGone { words: stderr() }), "not-there", Outlook::Passing),
            (unusable(Diagnosis::NoSessionBus { words: stderr() }), "not-there", Outlook::Passing),
            (unusable(Diagnosis::NoAnswer { request: "wl_display.sync" }), "no-answer", Outlook::Silent),
            (HostError::Late("in time".into()), "no-answer", Outlook::Silent),
            (HostError::NotBuilt { what: "PipeWire" }, "not-built", Outlook::Permanent),
            (HostError::NoDesktop("it serves no Wayland".into()), "not-there", Outlook::Permanent),
            (not_ready.into(), "not-started", Outlook::Passing),
            (not_installed.into(), "not-started", Outlook::Permanent),
            (
                CaptureError::NoFirstPicture { waited: late, diagnosis: no_damage }.into(),
                "no-picture",
                Outlook::Passing,
            ),
        ] {
            let fault = Fault::of(&error);
            assert_eq!((fault.reason, fault.outlook), (reason, outlook), "{error}");
            assert_eq!(fault.text, error.to_string());
        }
        let removed = CaptureError::Ended { diagnosis: Diagnosis::OutputRemoved { output: "DP-1".into() } };
        assert_eq!(Fault::of_capture(&removed).outlook, Outlook::Other);
    }

    #[test]
    fn a_persons_no_is_told_from_a_portal_or_a_bus_that_went() {
        let by = "the desktop portal";
        for (diagnosis, outlook) in [
            (Diagnosis::PortalCancelled { by }, Outlook::Declined),
            (Diagnosis::ScreenCastEnded { by }, Outlook::Declined),
            (Diagnosis::PortalGone { by }, Outlook::Passing),
            (Diagnosis::SessionBusGone, Outlook::Passing),
        ] {
            let ended = Fault::of_capture(&CaptureError::Ended { diagnosis: diagnosis.clone() });
            assert_eq!(ended.outlook, outlook, "{diagnosis}");
            let unusable = Fault::of_capture(&CaptureError::Unusable { diagnosis: diagnosis.clone() });
            assert_eq!(unusable.outlook, outlook, "{diagnosis}");
        }
    }
}
