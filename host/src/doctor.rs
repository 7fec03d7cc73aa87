//! `punktfunk-host doctor`, and the same asked of a running host by its console.
//!
//! Promises: the host's loop never waits for it; one diagnosis at a time. Refuses a second one meanwhile.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use punktfunk_control::Identity;
use punktfunk_doctor::{Announced, Doctor, View, page};
use punktfunk_manage::model::{CheckState, Diagnosis};
use punktfunk_manage::{Refused, Reply, Why};
use punktfunk_settings::{Config, Failure, Value};

use crate::ask::{self, RunningHost};
use crate::cli::DoctorArgs;
use crate::error::HostError;
use crate::manage::ManageAt;

/// Looks or has a running host look, prints, and says by its outcome whether anything is broken.
#[expect(clippy::print_stdout, reason = "this command's output is its result")]
pub fn run(args: &DoctorArgs, folder: &Path, told: &Config) -> Result<(), Failure<HostError>> {
    let diagnosis = if args.running {
        ask_running(folder, ask::place(args.manage, told)?)?
    } else {
        let manage = match args.manage {
            ManageAt::Off => None,
            ManageAt::Address(address) => Some(address),
        };
        Doctor::new(view((folder, told), args.listen, manage, None)).diagnose()
    };
    let json = serde_json::json!(diagnosis);
    if !args.json {
        print!("{}", page(&diagnosis));
    }
    let broken = diagnosis.checks.into_iter().filter(|check| check.state == CheckState::Broken);
    let links: Vec<_> = broken.map(|check| check.name).collect();
    if !links.is_empty() {
        return Err(Failure::beside(json, HostError::Broken { links }));
    }
    if args.json {
        println!("{json}");
    }
    Ok(())
}

/// What a running host finds, in its own environment and with its own rights.
fn ask_running(folder: &Path, address: SocketAddr) -> Result<Diagnosis, HostError> {
    let none = |cause: &str| HostError::NoRunningHost { address, cause: cause.to_owned() };
    let identity = Identity::load(folder)?.ok_or_else(|| none("it has no identity yet"))?;
    let answer = RunningHost::of(folder, identity, address)?.ask("POST", "/api/v1/doctor", None)?;
    serde_json::from_value(answer).map_err(|_| none("its answer is no diagnosis"))
}

/// As a running host sees it, which has an announcement, or as a command does.
fn view(
    (folder, told): (&Path, &Config),
    listen: SocketAddr,
    manage: Option<SocketAddr>,
    host: Option<Announced>,
) -> View {
    let unicode = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    let mut environment: HashMap<_, _> = std::env::vars_os().filter_map(unicode).collect();
    // What the file says is what a host would find in the variable.
    environment.extend(told.resolved().entries().iter().filter_map(|entry| {
        let variable = entry.setting.variable;
        Some((variable.to_owned(), told.variable(variable)?))
    }));
    View {
        root: "/".into(),
        environment,
        told: Some(told.clone()),
        folder: folder.to_owned(),
        listen,
        manage,
        is_host: host.is_some(),
        announced: host.unwrap_or_else(|| expected(told)),
        has_pipewire: cfg!(feature = "pipewire"),
    }
}

/// What would become of a host's announcement, as far as its settings tell.
fn expected(told: &Config) -> Announced {
    let announced = Announced::default();
    let entry = told.resolved().entry("network.announce");
    if let Some(entry) = entry.filter(|entry| entry.value == Some(Value::Switch(false))) {
        announced.not_wished(&entry.place.to_string());
    }
    announced
}

/// The running host's doctor.
pub struct Practice {
    doctor: Arc<Doctor>,
    is_busy: Arc<AtomicBool>,
}

/// Ends with its diagnosis, however that ends.
struct Turn(Arc<AtomicBool>);

impl Turn {
    /// `None` while another has it.
    fn take(is_busy: &Arc<AtomicBool>) -> Option<Self> {
        (!is_busy.swap(true, Ordering::Acquire)).then(|| Self(Arc::clone(is_busy)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Practice {
    /// For a host that holds these ports, and is announced so.
    pub fn new(
        place: (&Path, &Config),
        listen: SocketAddr,
        manage: SocketAddr,
        announced: Announced,
    ) -> Self {
        let doctor = Arc::new(Doctor::new(view(place, listen, Some(manage), Some(announced))));
        Self { doctor, is_busy: Arc::default() }
    }

    /// Looks on a thread of its own, and answers from there.
    pub fn answer(&self, reply: Reply<Diagnosis>) {
        let Some(turn) = Turn::take(&self.is_busy) else {
            reply.answer(Err(Refused::new(
                Why::TooSoon,
                "the links are being looked at already",
                "try again in some seconds",
            )));
            return;
        };
        let doctor = Arc::clone(&self.doctor);
        let work = move || {
            let diagnosis = doctor.diagnose();
            // Before the answer, so that whoever has it may ask again.
            drop(turn);
            reply.answer(Ok(diagnosis));
        };
        // Without a thread turn and reply are dropped, which its asker is told.
        if let Err(error) = thread::Builder::new().name("diagnosis".into()).spawn(work) {
            tracing::warn!(%error, "no thread for a diagnosis");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnosis_that_fails_leaves_its_turn_to_the_next() {
        let is_busy = Arc::default();
        let turn = Turn::take(&is_busy).expect("nobody has it");
        assert!(Turn::take(&is_busy).is_none(), "one at a time");
        let failed = thread::spawn(move || {
            let _turn = turn;
            panic!("this is part of the test");
        });
        assert!(failed.join().is_err());
        assert!(Turn::take(&is_busy).is_some());
    }
}
