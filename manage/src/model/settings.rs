//! Settings, and where each comes from.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Nobody has said anything else.
    Default,
    /// The file.
    File,
    /// A `PUNKTFUNK_*` variable.
    Environment,
    /// The command line.
    Flag,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Setting {
    /// Its key in the file.
    pub key: String,
    /// Its value, as the file would have it.
    pub value: String,
    /// Where that comes from.
    pub origin: Origin,
    /// Which line, variable or flag that is.
    pub place: String,
    /// What it is for.
    pub help: String,
    /// Whether the console may change it: the file's own, and not overruled.
    pub writable: bool,
    /// Whether a change holds only after a new start.
    pub needs_restart: bool,
}

/// A setting's new value, into the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettingChange {
    /// As the file would have it; `null` takes it out of the file.
    pub value: Option<String>,
}
