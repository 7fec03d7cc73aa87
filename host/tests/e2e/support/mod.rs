//! What the end-to-end tests stand on: programs under control, and eyes for what they leave behind.
//!
//! Promises: no wait without an end, no process that outlives its test. Refuses nothing; a broken promise of
//! a program is a panic with what the program said.

mod api;
mod between;
mod importer;
mod namespace;
mod outside;
mod place;
mod program;
mod random;
mod session;

pub(crate) use api::{Api, free_address};
pub(crate) use between::{Between, Meddler};
pub(crate) use importer::{ImporterCounts, LOG as IMPORTER_LOG};
pub(crate) use namespace::{Namespace, not_run, wire};
pub(crate) use outside::{Recording, probe_recording, slow_sway, stubborn_sway, sway_turn};
pub(crate) use place::{Place, processes_of};
pub(crate) use program::{Ended, Program};
pub(crate) use random::Random;
pub(crate) use session::{
    Client, ClientStart, Host, HostStart, arm, arm_as, devices, discover, discover_for_people,
    identity_fingerprint, operate, pair, pair_as, token,
};

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

/// For what takes no time worth speaking of on an idle machine, and must come on a busy one too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What a busy machine may add to a time that is promised.
pub(crate) const MARGIN: Duration = Duration::from_secs(2);

/// Between two looks at a file or a process.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// One session at a time: two would take each other's cores. Tests may run as threads or as processes.
pub(crate) fn session_turn() -> File {
    let lock = File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("sessions.lock")).unwrap();
    lock.lock().unwrap();
    lock
}

/// Looks until `seen` gives something; `None` when it does not in time.
pub(crate) fn look_for<T>(patience: Duration, mut seen: impl FnMut() -> Option<T>) -> Option<T> {
    let started = Instant::now();
    loop {
        let found = seen();
        if found.is_some() || started.elapsed() >= patience {
            return found;
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
}

/// Looks until `seen` gives something; panics with `what` when it does not in time.
pub(crate) fn look<T>(what: &str, patience: Duration, seen: impl FnMut() -> Option<T>) -> T {
    look_for(patience, seen).unwrap_or_else(|| panic!("not within {patience:?}: {what}"))
}

/// The whole number at a JSON pointer.
pub(crate) fn count(summary: &Value, pointer: &str) -> u64 {
    let value = summary.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {summary:#}"));
    value.as_u64().unwrap_or_else(|| panic!("{pointer} is {value}, expected a whole number"))
}

/// Every picture that was sent came, was decoded, and none of them late, if the machine kept up; if not, that is said,
/// and each is accounted for. Returns whether it kept up. A datagram may get lost: parity repairs it.
pub(crate) fn assert_all_came(summary: &Value) -> bool {
    let of = |pointer: &str| count(summary, pointer);
    assert_adds_up(summary);
    assert!(of("/pictures/sent") > 0 && of("/pictures/decoded") > 0, "{summary:#}");
    let kept_up = machine_kept_up(summary, "that every picture came");
    if kept_up {
        let (lost, late, dropped) = (of("/pictures/lost"), of("/pictures/late"), dropped(summary));
        assert_eq!((lost, late, dropped), (0, 0, 0), "lost, late, dropped in {summary:#}");
        assert_eq!(of("/pictures/sent"), of("/pictures/decoded"), "{summary:#}");
    }
    kept_up
}

/// Whether the client's machine took what came: its receive buffer and its decoder's queue never overflowed. Where
/// they did, as with a stock buffer or a thread that stood still, it says `what` cannot be asserted.
pub(crate) fn machine_kept_up(summary: &Value, what: &str) -> bool {
    let datagrams = count(summary, "/datagrams/kernel_drops");
    let pictures = count(summary, "/pictures/dropped/decode_queue");
    let kept_up = datagrams + pictures == 0;
    if !kept_up {
        eprintln!(
            "not asserted: {what}; the kernel dropped {datagrams} datagrams, and {pictures} pictures came too \
             fast for the decoder"
        );
    }
    kept_up
}

/// What was sent came, was lost, or was dropped at a named place.
pub(crate) fn assert_adds_up(summary: &Value) {
    let of = |pointer: &str| count(summary, pointer);
    let ended = of("/pictures/decoded") + of("/pictures/lost") + of("/pictures/late") + dropped(summary);
    assert_eq!(summary["pictures"]["sent_is_final"], true, "{summary:#}");
    assert_eq!(of("/pictures/sent"), ended, "{summary:#}");
}

/// Pictures that the client threw away, wherever.
pub(crate) fn dropped(summary: &Value) -> u64 {
    let places = ["receive_memory", "receive_window", "decode_queue", "awaiting_idr", "decode_error"];
    places.iter().map(|place| count(summary, &format!("/pictures/dropped/{place}"))).sum()
}
