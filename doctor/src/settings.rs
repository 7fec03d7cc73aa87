//! What the host is told: its file of settings, and the variables over it.
//!
//! Promises: the file is read as it is now, which is what the host's next start finds. Refuses to mend it.

use punktfunk_settings::{Config, Origin, Place, Resolved};

use crate::{Verdict, View};

/// Whether the host takes its settings.
pub(crate) fn settings(view: &View) -> Verdict {
    let Some(told) = &view.told else { return Verdict::ok("there are none") };
    match told.again() {
        Ok(resolved) if resolved.warnings().is_empty() => Verdict::ok(read(told, &resolved)),
        Ok(resolved) => {
            let unknown: Vec<_> = resolved.warnings().iter().map(ToString::to_string).collect();
            Verdict::degraded(
                format!("{}; {}", read(told, &resolved), unknown.join("; ")),
                "the host is not told what these were to say: give them their right names, or unset them",
            )
        }
        Err(faults) => {
            let (faults, more) = faults.0.split_at(faults.0.len().min(FAULTS_MAX));
            let mut said: Vec<_> = faults.iter().map(ToString::to_string).collect();
            if !more.is_empty() {
                said.push(format!("and {} more", more.len()));
            }
            let look = match faults.first().map(|fault| &fault.place) {
                Some(Place::File { path, .. }) => format!("punktfunk-host config check {}", path.display()),
                Some(Place::Variable(_) | Place::Flag(_) | Place::Default) | None => {
                    "punktfunk-host config".to_owned()
                }
            };
            Verdict::broken(
                said.join("; "),
                format!("the host does not start: mend that ({look} names all of it)"),
            )
        }
    }
}

/// As many faults are told here.
const FAULTS_MAX: usize = 3;

/// What was read, and how much it says.
fn read(told: &Config, resolved: &Resolved) -> String {
    let count = |origin| resolved.entries().iter().filter(|entry| entry.origin() == origin).count();
    let file = match (resolved.path(), told.path()) {
        (Some(path), _) => format!("{} by {}", count(Origin::File), path.display()),
        (None, Some(path)) => format!("no file {}", path.display()),
        (None, None) => "no file, since HOME names no folder".to_owned(),
    };
    format!("{file}, {} by variables", count(Origin::Environment))
}
