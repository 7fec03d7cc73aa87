//! What `doctor` finds.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a link of the chain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// As it should be.
    Ok,
    /// It works, at a cost.
    Degraded,
    /// It does not work.
    Broken,
}

/// One link of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// Which.
    pub name: String,
    /// How it is.
    pub state: CheckState,
    /// What was found.
    pub found: String,
    /// What it costs, or what to do; empty where all is well.
    pub remedy: String,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Diagnosis {
    /// Each link, in a picture's order.
    pub checks: Vec<Check>,
}
