//! A plan: what is sent, how it is protected, and what the channel does to it. Plans are data, in TOML.
//!
//! ```toml
//! seed = 1
//! aus = 1000
//! size = "2KB..4MB"      # log-uniform
//! redundancy = "10%"
//! [channel]
//! loss = "5%"
//! ```
//!
//! Promises that a plan that passed [`Plan::check`] can be run in bounded memory: what is on its way is, and nothing else
//! grows with it. How far it gets is the channel's choice ([`PlanError::KeyExhausted`]). It refuses unknown keys and values that are out of
//! range, naming the key and what was expected.

use std::path::{Path, PathBuf};
use std::time::Duration;

use punktfunk_proto::{LimitError, Negotiated, ReassemblerLimits, limits};
use punktfunk_seal::SealError;
use serde::{Deserialize, Serialize};

use crate::units::{Burst, Bytes, Percent, Rate, Reorder, SizeRange, Span};

const AUS_MAX: u32 = 1_000_000;

/// What may be on its way at a time, in the queue and behind it each: the emulator holds it in memory, twice where
/// datagrams are duplicated.
const ON_ITS_WAY_BYTES_MAX: u64 = 512 << 20;

/// Why there is no plan to run.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The file cannot be read.
    #[error("cannot read the plan {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no plan.
    #[error("{path} is no plan: {source}")]
    Toml {
        /// The file.
        path: PathBuf,
        /// Where, what was expected and what came.
        source: toml::de::Error,
    },
    /// A value is out of its range.
    #[error("{key} must be {expected}, got {got}")]
    Value {
        /// The plan's key.
        key: &'static str,
        /// What it must be.
        expected: String,
        /// What came.
        got: String,
    },
    /// The session's limits do not allow it.
    #[error("no session can be like this: {0}")]
    Limits(#[from] LimitError),
    /// The channel passes nothing of a whole key epoch, so that no session gets beyond it.
    #[error("the plan ends at access unit {au}: {source}; send fewer datagrams, or lose less")]
    KeyExhausted {
        /// The AU that cannot be sent.
        au: u32,
        /// Which epoch.
        source: SealError,
    },
}

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
    /// Every so many AUs an IDR, from the first on; 0 for none.
    pub idr_each: u32,
    /// AUs a second.
    pub refresh_hz: u32,
    /// The pacer's rate.
    pub bitrate: Rate,
    /// Parity beside the data.
    pub redundancy: Percent,
    /// Shard length.
    pub shard_bytes: u16,
    /// What happens on the way.
    pub channel: ChannelPlan,
}

/// What the channel does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChannelPlan {
    /// Independent loss.
    pub loss: Percent,
    /// Bursts of loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<Burst>,
    /// Reordering.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reorder: Option<Reorder>,
    /// Share of datagrams that come twice.
    pub duplicate: Percent,
    /// Share of copies with a bit flipped.
    pub corrupt: Percent,
    /// The narrowest link's rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<Rate>,
    /// The queue before the narrowest link; what does not fit is dropped.
    pub queue: Bytes,
    /// One-way delay.
    pub delay: Span,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            seed: 1,
            aus: 1_000,
            size: SizeRange { min: Bytes(2_000), max: Bytes(4_000_000) },
            slices: 4,
            idr_each: 0,
            refresh_hz: 60,
            bitrate: Rate { kbps: 2_000_000 },
            redundancy: Percent::of(10.0),
            shard_bytes: 1408,
            channel: ChannelPlan::default(),
        }
    }
}

impl Default for ChannelPlan {
    fn default() -> ChannelPlan {
        ChannelPlan {
            loss: Percent::of(0.0),
            burst: None,
            reorder: None,
            duplicate: Percent::of(0.0),
            corrupt: Percent::of(0.0),
            rate_limit: None,
            queue: Bytes(256_000),
            delay: Span(Duration::from_micros(200)),
        }
    }
}

impl Plan {
    /// Reads a plan file.
    pub fn read(path: &Path) -> Result<Plan, PlanError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| PlanError::Read { path: path.to_owned(), source })?;
        toml::from_str(&text).map_err(|source| PlanError::Toml { path: path.to_owned(), source })
    }

    /// Refuses what cannot be run.
    pub fn check(&self) -> Result<(), PlanError> {
        self.within("aus", 1, u64::from(AUS_MAX), u64::from(self.aus))?;
        self.within("refresh_hz", 1, 480, u64::from(self.refresh_hz))?;
        self.within("size", 1, u64::from(*limits::AU_BYTES.end()), self.size.max.0)?;
        let limits = ReassemblerLimits::from(&self.negotiated()?);
        let datagram_bytes = u64::from(self.shard_bytes) + 40;
        self.within("channel.queue", datagram_bytes, ON_ITS_WAY_BYTES_MAX, self.channel.queue.0)?;
        self.check_delay()?;
        let hold = self.channel.reorder.map_or(Duration::ZERO, |reorder| reorder.hold.0);
        if hold >= limits.au_deadline / 2 {
            // What is held longer may come after its access unit was rightly given up, and the bound knows no time.
            return Err(PlanError::Value {
                key: "channel.reorder",
                expected: format!("a hold below half the deadline, {:?}", limits.au_deadline / 2),
                got: format!("{hold:?}"),
            });
        }
        Ok(())
    }

    /// What is sent within the delay must fit into memory.
    fn check_delay(&self) -> Result<(), PlanError> {
        let bytes_per_ms = u64::from(self.bitrate.kbps) / 8;
        let delay_max = Duration::from_millis(ON_ITS_WAY_BYTES_MAX / bytes_per_ms.max(1));
        if self.channel.delay.0 <= delay_max {
            return Ok(());
        }
        Err(PlanError::Value {
            key: "channel.delay",
            expected: format!("{delay_max:?} or less at {}", self.bitrate),
            got: format!("{:?}", self.channel.delay.0),
        })
    }

    /// What Hello and Welcome would have agreed on.
    pub fn negotiated(&self) -> Result<Negotiated, PlanError> {
        let au_bytes_max = self.size.max.0.max(u64::from(*limits::AU_BYTES.start()));
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

    fn within(&self, key: &'static str, min: u64, max: u64, got: u64) -> Result<(), PlanError> {
        if (min..=max).contains(&got) {
            return Ok(());
        }
        Err(PlanError::Value { key, expected: format!("{min} to {max}"), got: got.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(text: &str) -> String {
        match toml::from_str::<Plan>(text) {
            Ok(plan) => plan.check().unwrap_err().to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_default_plan_runs_and_survives_its_own_file() {
        let plan = Plan::default();
        plan.check().unwrap();
        assert_eq!(toml::from_str::<Plan>("").unwrap(), plan);
        let mut other = plan;
        other.channel.burst = Some("0.1%x20".parse().unwrap());
        other.channel.reorder = Some("2%x3ms".parse().unwrap());
        other.channel.rate_limit = Some("800Mbit/s".parse().unwrap());
        let text = toml_text(&other);
        assert_eq!(toml::from_str::<Plan>(&text).unwrap(), other, "{text}");
    }

    /// The workspace's toml reads only, so the text goes by way of JSON's values.
    fn toml_text(plan: &Plan) -> String {
        let serde_json::Value::Object(keys) = serde_json::to_value(plan).unwrap() else { panic!("a table") };
        let line = |(key, value): (&String, &serde_json::Value)| format!("{key} = {value}\n");
        let (tables, plain): (Vec<_>, Vec<_>) = keys.iter().partition(|(_, value)| value.is_object());
        let mut text: String = plain.into_iter().map(line).collect();
        for (name, table) in tables {
            text += &format!("[{name}]\n");
            text.extend(table.as_object().unwrap().iter().map(line));
        }
        text
    }

    #[test]
    fn errors_name_the_key_and_what_was_expected() {
        for (text, wanted) in [
            ("[channel]\nlos = '5%'", ["los", "loss"]),
            ("[channel]\nloss = '5'", ["loss", "5%"]),
            ("[channel]\nloss = 5", ["loss", "string"]),
            ("sise = '1KB'", ["sise", "size"]),
            ("size = '4MB..2KB'", ["size", "2KB..4MB"]),
            ("aus = 0", ["aus", "1 to 1000000"]),
            ("refresh_hz = 1000", ["refresh_hz", "1 to 480"]),
            ("size = '65MiB'", ["size", "67108864"]),
            ("slices = 0", ["slices_max", "1 to 64"]),
            ("shard_bytes = 1400", ["shard_bytes_max", "multiple of 64"]),
            ("bitrate = '9Gbit/s'", ["bitrate_kbps", "8000000"]),
            ("[channel]\nreorder = '1%x20ms'", ["channel.reorder", "below half the deadline"]),
            ("[channel]\nqueue = '1KB'", ["channel.queue", "1448"]),
            ("[channel]\nqueue = '513MiB'", ["channel.queue", "536870912"]),
            ("[channel]\ndelay = '3s'", ["channel.delay", "2000Mbit/s"]),
            ("aus = ", ["aus", "line 1"]),
        ] {
            let error = error_of(text);
            assert!(wanted.iter().all(|part| error.contains(part)), "{text}: {error}");
        }
    }
}
