//! A plan: what is sent, how it is protected, and what the links do to it. Plans are data, in TOML.
//!
//! ```toml
//! seed = 1
//! aus = 1000
//! size = "2KB..4MB"      # log-uniform
//! redundancy = "10%"
//! [channel]              # host to client
//! loss = "5%"
//! [feedback]             # client to host
//! delay = "2ms"
//! [sweep]                # what `sweep` varies
//! losses = ["1%", "5%"]
//! ```
//!
//! Promises that a plan that passed [`Plan::check`] can be run in bounded memory: what is on its way is, and nothing
//! else grows with it. How far it gets is the channel's choice ([`PlanError::KeyExhausted`]). It refuses unknown keys
//! and values that are out of range, naming the file, the key, what came and what is allowed.

mod error;
mod link;
mod matrix;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use punktfunk_proto::{Negotiated, limits};
use serde::{Deserialize, Serialize};

pub use error::PlanError;
pub use link::{LinkPlan, TraceFile};
pub use matrix::{Cell, Matrix};

use crate::units::{Bytes, Percent, Rate, SizeRange, Span};

const AUS_MAX: u32 = 1_000_000;
/// The longest plan file that is read.
const PLAN_BYTES_MAX: u64 = 1 << 20;
/// A microburst cap above the largest access unit changes nothing.
const PACE_BURST_MAX: u64 = 1 << 30;

/// All of a run beside the code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plan {
    /// Seed of every random choice.
    pub seed: u64,
    /// AUs to send.
    pub aus: u32,
    /// Their sizes.
    pub size: SizeRange,
    /// Slices of each.
    pub slices: u16,
    /// Every so many AUs an IDR, from the first on; 0 for none but those that are asked for.
    pub idr_each: u32,
    /// An IDR's size, where it differs from the others'.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idr_size: Option<Bytes>,
    /// Whether AUs refer to earlier ones, so that one lost spoils all until an IDR, which the client asks for.
    pub references: bool,
    /// AUs a second.
    pub refresh_hz: u32,
    /// The pacer's rate.
    pub bitrate: Rate,
    /// The pacer's microburst cap.
    pub pace_burst: Bytes,
    /// Whether trains are paced at all.
    pub paced: bool,
    /// Parity beside the data; where it is adaptive, the most of it.
    pub redundancy: Percent,
    /// Whether redundancy follows the reports.
    pub adaptive: bool,
    /// Whether missing shards are sent again while their deadline allows it.
    pub resend: bool,
    /// Shard length.
    pub shard_bytes: u16,
    /// How long after the path's MTU has changed the host learns of it.
    pub mtu_known_after: Span,
    /// What happens on the way to the client.
    pub channel: LinkPlan,
    /// What happens to reports and requests on the way to the host.
    pub feedback: LinkPlan,
    /// What a sweep varies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sweep: Option<Matrix>,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            seed: 1,
            aus: 1_000,
            size: SizeRange { min: Bytes(2_000), max: Bytes(4_000_000) },
            slices: 4,
            idr_each: 0,
            idr_size: None,
            references: false,
            refresh_hz: 60,
            bitrate: Rate { kbps: 2_000_000 },
            pace_burst: Bytes(limits::BURST_BYTES_DEFAULT as u64),
            paced: true,
            redundancy: Percent::of(10.0),
            adaptive: false,
            resend: false,
            shard_bytes: 1408,
            mtu_known_after: Span(Duration::from_millis(300)),
            channel: LinkPlan::default(),
            feedback: LinkPlan::default(),
            sweep: None,
        }
    }
}

impl Plan {
    /// Reads a plan file, and the traces that it names, beside it.
    pub fn read(path: &Path) -> Result<Plan, PlanError> {
        let text = error::read_text(path, PLAN_BYTES_MAX)?;
        let mut plan = Plan::parse(&text).map_err(|source| source.in_file(path))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for (key, link) in [("channel.trace", &mut plan.channel), ("feedback.trace", &mut plan.feedback)] {
            if let Some(trace) = link.trace.as_mut() {
                trace.load(key, folder).map_err(|source| source.in_file(path))?;
            }
        }
        Ok(plan)
    }

    /// Reads a plan's text; traces that it names are not read.
    pub fn parse(text: &str) -> Result<Plan, PlanError> {
        Ok(toml::from_str(text)?)
    }

    /// Refuses what cannot be run.
    pub fn check(&self) -> Result<(), PlanError> {
        error::within("aus", 1, u64::from(AUS_MAX), u64::from(self.aus))?;
        error::within("refresh_hz", 1, 480, u64::from(self.refresh_hz))?;
        error::within("size", 1, u64::from(*limits::AU_BYTES.end()), self.size.max.0)?;
        if let Some(idr_size) = self.idr_size {
            error::within("idr_size", 1, u64::from(*limits::AU_BYTES.end()), idr_size.0)?;
        }
        error::within("pace_burst", 0, PACE_BURST_MAX, self.pace_burst.0)?;
        self.negotiated()?;
        let datagram_bytes = usize::from(self.shard_bytes) + punktfunk_proto::DATAGRAM_OVERHEAD;
        self.channel.check("channel", datagram_bytes, self.send_kbps())?;
        self.feedback.check("feedback", punktfunk_proto::feedback::REPORT_BYTES_MAX, self.send_kbps())
    }

    /// What Hello and Welcome would have agreed on: the largest access unit that the rate calls for, and the plan's if
    /// that is larger.
    pub fn negotiated(&self) -> Result<Negotiated, PlanError> {
        let usual = Negotiated::au_bytes_for(self.bitrate.kbps, self.refresh_hz.saturating_mul(1_000));
        let au_bytes_max = self.largest_au_bytes().max(u64::from(usual));
        let negotiated = Negotiated::new(
            self.shard_bytes,
            self.bitrate.kbps,
            self.refresh_hz.saturating_mul(1_000),
            self.slices,
            self.redundancy.per_mille(),
            u32::try_from(au_bytes_max).unwrap_or(u32::MAX),
        )?;
        Ok(negotiated)
    }

    fn largest_au_bytes(&self) -> u64 {
        self.size.max.0.max(self.idr_size.map_or(0, |size| size.0))
    }

    /// The most that the host puts on the link: the pacer's rate, or without one all access units as they come.
    fn send_kbps(&self) -> u64 {
        let unpaced = self.largest_au_bytes().saturating_mul(24 * u64::from(self.refresh_hz)) / 1_000;
        if self.paced { u64::from(self.bitrate.kbps) } else { unpaced.max(u64::from(self.bitrate.kbps)) }
    }
}
