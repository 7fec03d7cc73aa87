//! What one link does, as a plan says it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::PlanError;
use super::error::{read_text, within};
use crate::link::loss_max;
use crate::link::trace::{TRACE_BYTES_MAX, Trace};
use crate::units::{Burst, Bytes, MtuChange, Percent, Rate, Reorder, Span, Stretch};

/// What may be on its way at a time, in the queue and behind it each: the link holds it in memory, twice where
/// datagrams are duplicated.
const ON_ITS_WAY_BYTES_MAX: u64 = 512 << 20;
/// Blackouts, and changes of the MTU, of a link at most: each datagram is held against all of them.
const CHANGES_MAX: u64 = 64;

/// What a link does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LinkPlan {
    /// Independent loss.
    pub loss: Percent,
    /// Bursts of loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<Burst>,
    /// The loss within a burst.
    pub burst_density: Percent,
    /// Reordering.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reorder: Option<Reorder>,
    /// Share of datagrams that come twice.
    pub duplicate: Percent,
    /// Share of copies with a bit flipped.
    pub corrupt: Percent,
    /// The rate of the sender's own interface, which spaces datagrams and drops none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<Rate>,
    /// The narrowest link's rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<Rate>,
    /// The queue before the narrowest link; what does not fit is dropped.
    pub queue: Bytes,
    /// One-way delay.
    pub delay: Span,
    /// A further delay wanders between 0 and this; nothing overtakes by it.
    pub jitter: Span,
    /// When the link is dark.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blackouts: Vec<Stretch>,
    /// How the path's MTU changes, in order; before the first change everything passes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mtu: Vec<MtuChange>,
    /// A file with each datagram's fate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceFile>,
}

impl Default for LinkPlan {
    fn default() -> LinkPlan {
        LinkPlan {
            loss: Percent::of(0.0),
            burst: None,
            burst_density: Percent::of(100.0),
            reorder: None,
            duplicate: Percent::of(0.0),
            corrupt: Percent::of(0.0),
            interface: None,
            rate_limit: None,
            queue: Bytes(256_000),
            delay: Span(Duration::from_micros(200)),
            jitter: Span(Duration::ZERO),
            blackouts: Vec::new(),
            mtu: Vec::new(),
            trace: None,
        }
    }
}

impl LinkPlan {
    /// Refuses what cannot be run; `name` is the plan's table, `datagram_bytes` the longest that is sent and `kbps` the
    /// most that is.
    pub(super) fn check(&self, name: &str, datagram_bytes: usize, kbps: u64) -> Result<(), PlanError> {
        let key = |key: &str| format!("{name}.{key}");
        within(&key("queue"), datagram_bytes as u64, ON_ITS_WAY_BYTES_MAX, self.queue.0)?;
        within(&key("blackouts"), 0, CHANGES_MAX, self.blackouts.len() as u64)?;
        within(&key("mtu"), 0, CHANGES_MAX, self.mtu.len() as u64)?;
        if !self.mtu.is_sorted_by_key(|change| change.at.0) {
            return Err(PlanError::Value {
                key: key("mtu"),
                expected: "changes in the order of their times".to_owned(),
                got: self.mtu.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            });
        }
        self.check_burst(&key("burst"))?;
        let latest = self.delay.0 + self.jitter.0 + self.reorder.map_or(Duration::ZERO, |late| late.hold.0);
        let latest_max = Duration::from_millis(ON_ITS_WAY_BYTES_MAX / (kbps / 8).max(1));
        if latest <= latest_max {
            return Ok(());
        }
        Err(PlanError::Value {
            key: key("delay"),
            expected: format!("with jitter and reorder {latest_max:?} or less at {} Mbit/s", kbps / 1_000),
            got: format!("{latest:?}"),
        })
    }

    fn check_burst(&self, key: &str) -> Result<(), PlanError> {
        let Some(burst) = self.burst else { return Ok(()) };
        let most = loss_max(burst.datagrams, self.burst_density);
        if burst.loss.share() <= most {
            return Ok(());
        }
        Err(PlanError::Value {
            key: key.to_owned(),
            expected: format!(
                "at most {} lost in bursts of {} with a density of {}",
                Percent::of(most * 100.0),
                burst.datagrams,
                self.burst_density
            ),
            got: burst.to_string(),
        })
    }
}

/// A trace, by the name of its file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct TraceFile {
    name: String,
    trace: Arc<Trace>,
}

impl TraceFile {
    /// What is replayed; empty until it was loaded.
    pub fn trace(&self) -> Arc<Trace> {
        Arc::clone(&self.trace)
    }

    /// Reads the file, which is named from `folder` on, for the plan's `key`.
    pub fn load(&mut self, key: &str, folder: &Path) -> Result<(), PlanError> {
        let path: PathBuf = folder.join(&self.name);
        if self.name.is_empty() {
            return Err(PlanError::Value {
                key: key.to_owned(),
                expected: "the name of a trace".to_owned(),
                got: "none".to_owned(),
            });
        }
        let text = read_text(&path, TRACE_BYTES_MAX)?;
        self.trace = Arc::new(Trace::parse(&text).map_err(|source| PlanError::Trace { path, source })?);
        Ok(())
    }
}

impl From<String> for TraceFile {
    fn from(name: String) -> TraceFile {
        TraceFile { name, trace: Arc::default() }
    }
}

impl From<TraceFile> for String {
    fn from(file: TraceFile) -> String {
        file.name
    }
}
