//! The library's thread, with what it lacks: a bound on what it remembers of others.
//!
//! Promises: interfaces of this machine alone are left out; whether it holds too much, or has ended by itself, is told.
//! Refuses to hang: an answer that does not come is an end.

use mdns_sd::{IfKind, Metrics, ServiceDaemon};

use crate::DiscoverError;
use crate::limits::{ANSWER_MAX, RECORDS_MAX};

/// How the library's thread is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// As it should be.
    Well,
    /// Somebody on the network has filled its memory.
    Flooded,
    /// It does not answer any more.
    Gone,
}

/// The running library.
pub(crate) struct Responder {
    pub(crate) daemon: ServiceDaemon,
}

impl Responder {
    /// Starts it.
    pub(crate) fn start() -> Result<Self, DiscoverError> {
        let daemon = ServiceDaemon::new().map_err(DiscoverError::of("start"))?;
        let responder = Self { daemon };
        let alone = vec![IfKind::LoopbackV4, IfKind::LoopbackV6];
        responder.daemon.disable_interface(alone).map_err(DiscoverError::of("leave loopback out"))?;
        Ok(responder)
    }

    /// Counts what it remembers.
    pub(crate) fn health(&self) -> Health {
        let Some(counters) = self.counters() else { return Health::Gone };
        let records = counters.iter().filter(|(name, _)| name.starts_with("cached-")).map(|(_, count)| count);
        if records.sum::<i64>() > RECORDS_MAX { Health::Flooded } else { Health::Well }
    }

    /// How often something has happened, by the library's name for it.
    pub(crate) fn counted(&self, name: &str) -> i64 {
        self.counters().and_then(|counters| counters.get(name).copied()).unwrap_or_default()
    }

    fn counters(&self) -> Option<Metrics> {
        self.daemon.get_metrics().ok()?.recv_timeout(ANSWER_MAX).ok()
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if let Ok(ended) = self.daemon.shutdown() {
            // Where it does not answer it is gone, or goes by itself.
            let _ = ended.recv_timeout(ANSWER_MAX);
        }
    }
}
