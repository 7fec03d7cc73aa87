//! Hosts on the local network, without a word typed: one announces itself, others find it.
//!
//! *What it is.* DNS-SD over multicast DNS (RFC 6763, RFC 6762) for the service `_punktfunk._udp`, by the library
//! `mdns-sd`: [`Announcement`] at the host, [`browse`] at the client, and between them [`About`], the four words that a
//! host says about itself.
//!
//! *What it promises.* What is announced is withdrawn at the end. Everything that comes from the network is bounded and
//! parsed into types, and every name is fit for a terminal. Neither end ever waits for the other, and no connection
//! needs any of this. *What it refuses.* To believe: whoever is on the network can announce anything, so what is found
//! is where to ask, and never whom to trust.
#![forbid(unsafe_code)]

mod about;
mod announce;
mod browse;
pub mod limits;
mod name;
mod responder;

pub use about::{About, AboutError, Pairing};
pub use announce::{Announcement, Faults, News, Place};
pub use browse::{Found, Search, browse};

/// The service's type, as DNS-SD has it.
pub const SERVICE: &str = "_punktfunk._udp.local.";

/// Why nothing can be announced or found at all.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// The library cannot begin, or has ended by itself.
    #[error("multicast DNS cannot {verb}: {source}")]
    Mdns {
        /// What was tried.
        verb: &'static str,
        /// What the library says.
        #[source]
        source: mdns_sd::Error,
    },
    /// No thread can be had.
    #[error("no thread for announcing: {0}")]
    Thread(#[source] std::io::Error),
}

impl DiscoverError {
    fn of(verb: &'static str) -> impl FnOnce(mdns_sd::Error) -> Self {
        move |source| Self::Mdns { verb, source }
    }
}
