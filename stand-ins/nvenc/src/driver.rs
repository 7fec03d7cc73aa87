//! What the driver knows: the card, its sessions, and the names that it hands out.

use std::collections::BTreeMap;
use std::env;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use punktfunk_nvenc::sys::Api;

use crate::card::{self, Card, Partial};
use crate::session::Session;

/// What is fixed when the library is first asked.
#[derive(Debug)]
struct Settings {
    version: Api,
    card: Card,
    slice_time: Duration,
    partial: Partial,
}

static SETTINGS: OnceLock<Settings> = OnceLock::new();
static SESSIONS: Mutex<BTreeMap<usize, Arc<Session>>> = Mutex::new(BTreeMap::new());
static NAMES: AtomicUsize = AtomicUsize::new(0x5a00_0000);

fn settings() -> &'static Settings {
    SETTINGS.get_or_init(|| {
        let text = |name: &str| env::var(name).ok();
        let read = || {
            Ok::<_, String>(Settings {
                version: card::version(text("PUNKTFUNK_STANDIN_NVENC_VERSION").as_deref())?,
                card: Card::parse(text("PUNKTFUNK_STANDIN_CAPS").as_deref().unwrap_or_default())?,
                slice_time: card::slice_time(text("PUNKTFUNK_STANDIN_SLICE_US").as_deref())?,
                partial: Partial::parse(text("PUNKTFUNK_STANDIN_PARTIAL").as_deref())?,
            })
        };
        read().unwrap_or_else(|what| {
            eprintln!("libnvidia-encode stand-in: {what}");
            std::process::abort()
        })
    })
}

/// The newest interface that is spoken.
pub(crate) fn version() -> Api {
    settings().version
}

pub(crate) fn card() -> &'static Card {
    &settings().card
}

/// How long a slice takes.
pub(crate) fn slice_time() -> Duration {
    settings().slice_time
}

/// What is said of a picture that is not done.
pub(crate) fn partial() -> Partial {
    settings().partial
}

/// A name that was never given to anything: what a caller holds as a pointer, and what nobody follows.
pub(crate) fn name() -> usize {
    NAMES.fetch_add(64, Ordering::Relaxed)
}

pub(crate) fn session(handle: usize) -> Option<Arc<Session>> {
    SESSIONS.lock().unwrap_or_else(PoisonError::into_inner).get(&handle).cloned()
}

/// Takes a session in; false if there are as many as the card takes.
pub(crate) fn admit(session: Arc<Session>) -> bool {
    let mut sessions = SESSIONS.lock().unwrap_or_else(PoisonError::into_inner);
    let has_room = sessions.len() < card().sessions as usize;
    if has_room {
        sessions.insert(session.handle, session);
    }
    has_room
}

pub(crate) fn dismiss(handle: usize) {
    SESSIONS.lock().unwrap_or_else(PoisonError::into_inner).remove(&handle);
}
