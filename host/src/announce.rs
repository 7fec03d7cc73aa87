//! The host's announcement on the local network, so that nobody has to type an address.
//!
//! Promises: the host never waits for it and never ends by it; what becomes of it is said. Refuses to announce a host that
//! only its own machine reaches, which is said once.

use std::net::SocketAddr;

use punktfunk_control::{Fingerprint, PROTOCOL};
use punktfunk_discover::{About, Announcement, DiscoverError, News, Pairing, Place};
use punktfunk_doctor::Announced;
use punktfunk_settings::Config;

use crate::cli::ServeArgs;
use crate::say::Say;
use crate::serve::host_name;

/// Announces the host until what is handed back is dropped; `None` where there is nothing to announce, or no way. What
/// becomes of it is the doctor's `word`, too.
pub fn announce(
    (args, told): (&ServeArgs, &Config),
    (address, fingerprint): (SocketAddr, &Fingerprint),
    say: Say,
    word: &Announced,
) -> Option<Announcement> {
    if !args.is_announced() {
        word.not_wished(&told.resolved().place("network.announce"));
        return None;
    }
    let Some(place) = Place::of(address.ip()) else {
        let why = format!("{} is reached by this machine alone", address.ip());
        tracing::info!("not announced: {why}");
        word.not_wished(&why);
        return None;
    };
    let pairing = if args.is_open() { Pairing::Open } else { Pairing::Required };
    let about =
        About::new(PROTOCOL, &fingerprint.to_string(), pairing).expect("a fingerprint's own text is one");
    let heard = word.clone();
    let tell = move |news: News| tell(say, &heard, &news);
    let started = Announcement::start((&host_name(), address.port()), &about, place, tell);
    started.map_err(|error| not_announced(say, word, &error)).ok()
}

fn not_announced(say: Say, word: &Announced, error: &DiscoverError) {
    say.unannounced(&error.to_string());
    word.unheard(&error.to_string());
}

fn tell(say: Say, word: &Announced, news: &News) {
    match news {
        News::Announced { name } => {
            say.announced(name);
            word.heard_as(name);
        }
        News::Renamed { name } => {
            tracing::warn!(name, "another host has this name: announced under another one");
            say.announced(name);
            word.heard_as(name);
        }
        News::Unheard { why } => {
            say.unannounced(why);
            word.unheard(why);
        }
        News::BegunAnew { why } => tracing::warn!(why, "announced anew; from now on this is counted only"),
    }
}
