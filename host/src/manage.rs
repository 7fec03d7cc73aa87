//! The management API's place at the host: where it listens, and what joins it to the host's loop.
//!
//! Promises: the loop never waits for it; what it shows is a quarter of a second old at most. Refuses to be the host's
//! end: a default address that is taken is said, and the host does without.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};

use punktfunk_control::Identity;
use punktfunk_doctor::Announced;
use punktfunk_manage::model::{Diagnosis, Status};
use punktfunk_manage::{Ask, Config, Desk, LogRing, Manage, ManageError, Reply, Token};
use punktfunk_settings::Config as Settings;

use crate::doctor::Practice;
use crate::error::HostError;

/// Where the API listens unless told otherwise: on this machine alone.
pub const LISTEN_DEFAULT: &str = "127.0.0.1:47801";

/// How often what is shown is made anew.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(250);

/// Whether and where the API listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManageAt {
    /// Nowhere.
    Off,
    /// There.
    Address(SocketAddr),
}

impl FromStr for ManageAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(ManageAt::Off);
        }
        let address = text.parse().map_err(|_| {
            format!("{text:?} is neither an IP address with a port, such as {LISTEN_DEFAULT}, nor off")
        })?;
        Ok(ManageAt::Address(address))
    }
}

impl fmt::Display for ManageAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ManageAt::Off => f.write_str("off"),
            ManageAt::Address(address) => address.fmt(f),
        }
    }
}

/// The running API, as the host's loop sees it.
pub struct Management {
    server: Manage,
    desk: Desk,
    practice: Practice,
    published_at: Option<Instant>,
}

impl Management {
    /// Listens; `None` where it is not to, or where somebody else has the default address.
    ///
    /// # Errors
    /// The address cannot be had, or the token cannot be read or made.
    pub fn start(
        (at, told): (ManageAt, &Settings),
        (folder, identity): (&Path, &Identity),
        (name, listens, announced): (String, SocketAddr, Announced),
        logs: LogRing,
    ) -> Result<Option<Self>, HostError> {
        let ManageAt::Address(listen) = at else { return Ok(None) };
        let token = Token::load_or_create(folder)?;
        let tls = identity.web_server().map_err(punktfunk_control::ControlError::from)?;
        let version = env!("CARGO_PKG_VERSION").to_owned();
        match Manage::start(Config { listen, tls, token, names: vec![name], logs, version }) {
            Ok((server, desk)) => {
                let practice = Practice::new((folder, told), listens, server.address(), announced);
                Ok(Some(Self { server, desk, practice, published_at: None }))
            }
            Err(error @ ManageError::Bind { .. }) if listen.to_string() == LISTEN_DEFAULT => {
                tracing::warn!(%error, "the host does without its console and commands");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Has every link looked at, and the reply answered from there.
    pub fn diagnose(&self, reply: Reply<Diagnosis>) {
        self.practice.answer(reply);
    }

    /// The next thing that somebody asks.
    pub fn poll_ask(&mut self) -> Option<Ask> {
        self.desk.poll_ask()
    }

    /// Whether what is shown is old, or somebody has an answer to come that it has to show first.
    pub fn is_due(&self, now: Instant) -> bool {
        self.desk.has_answers()
            || self.published_at.is_none_or(|at| now.saturating_duration_since(at) >= PUBLISH_INTERVAL)
    }

    /// Shows this from now on, and gives the answers that are there.
    pub fn publish(&mut self, status: Status, now: Instant) {
        self.published_at = Some(now);
        self.desk.publish(status);
    }
}
