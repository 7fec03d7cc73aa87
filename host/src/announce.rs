//! The host's announcement on the local network, so that nobody has to type an address.
//!
//! Promises: the host never waits for it and never ends by it; what becomes of it is said. Refuses to announce a host that
//! only its own machine reaches, which is said once.

use std::net::SocketAddr;

use punktfunk_control::{Fingerprint, PROTOCOL};
use punktfunk_discover::{About, Announcement, DiscoverError, News, Pairing, Place};

use crate::say::Say;

/// Announces the host until what is handed back is dropped; `None` where there is nothing to announce, or no way.
pub fn announce(
    name: &str,
    (address, fingerprint): (SocketAddr, &Fingerprint),
    is_open: bool,
    say: Say,
) -> Option<Announcement> {
    let Some(place) = Place::of(address.ip()) else {
        tracing::info!("not announced: {} is reached by this machine alone", address.ip());
        return None;
    };
    let pairing = if is_open { Pairing::Open } else { Pairing::Required };
    let about =
        About::new(PROTOCOL, &fingerprint.to_string(), pairing).expect("a fingerprint's own text is one");
    let started = Announcement::start((name, address.port()), &about, place, move |news| tell(say, &news));
    started.map_err(|error| not_announced(say, &error)).ok()
}

fn not_announced(say: Say, error: &DiscoverError) {
    say.unannounced(&error.to_string());
}

fn tell(say: Say, news: &News) {
    match news {
        News::Announced { name } => say.announced(name),
        News::Renamed { name } => {
            tracing::warn!(name, "another host has this name: announced under another one");
            say.announced(name);
        }
        News::Unheard { why } => say.unannounced(why),
        News::BegunAnew { why } => tracing::warn!(why, "announced anew; from now on this is counted only"),
    }
}
