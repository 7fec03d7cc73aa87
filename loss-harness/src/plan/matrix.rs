//! What a sweep varies: every combination of a loss, a burst length, a size, a redundancy and resending or not.
//!
//! Promises cells in one fixed order, each a plan by itself that `run` gives the same result for. An axis that is not
//! given has one point, the plan's own. It refuses empty axes and more cells than anybody reads.

use serde::{Deserialize, Serialize};

use super::error::within;
use super::{Plan, PlanError};
use crate::units::{Burst, Bytes, Percent, SizeRange};

const CELLS_MAX: u64 = 10_000;
const BURST_MAX: f64 = 1e6;
/// The least AUs of a cell, whatever they weigh: below, a share says nothing.
const CELL_AUS_MIN: u32 = 40;

/// The axes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Matrix {
    /// Shares of the datagrams lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub losses: Option<Vec<Percent>>,
    /// Mean lengths of the bursts in which they are lost; 1 for losses independent of each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bursts: Option<Vec<f64>>,
    /// AU sizes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sizes: Option<Vec<SizeRange>>,
    /// Parity beside the data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redundancies: Option<Vec<Percent>>,
    /// Whether missing shards are sent again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resends: Option<Vec<bool>>,
    /// A cell's AUs are the plan's, or as many as this many bytes make, but 40 at least.
    pub cell_bytes: Bytes,
}

impl Default for Matrix {
    fn default() -> Matrix {
        Matrix {
            losses: None,
            bursts: None,
            sizes: None,
            redundancies: None,
            resends: None,
            cell_bytes: Bytes(100_000_000),
        }
    }
}

/// One combination.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Share of the datagrams lost.
    pub loss: Percent,
    /// Mean length of the bursts; 1 for independent losses.
    pub burst: f64,
    /// The plan with all of it in its place.
    pub plan: Plan,
}

impl Matrix {
    /// What is varied where nothing was named: the losses and redundancies that a LAN gives reason to ask about.
    pub fn of_a_lan() -> Matrix {
        let percents = |percents: [f64; 3]| Some(percents.map(Percent::of).to_vec());
        Matrix {
            losses: percents([1.0, 3.0, 5.0]),
            redundancies: percents([5.0, 10.0, 20.0]),
            ..Matrix::default()
        }
    }

    /// All combinations over `base`, checked.
    pub fn cells(&self, base: &Plan) -> Result<Vec<Cell>, PlanError> {
        let own_burst = base.channel.burst;
        let own_loss = own_burst.map_or(base.channel.loss, |burst| burst.loss);
        let losses = axis("sweep.losses", self.losses.as_deref(), own_loss)?;
        let bursts =
            axis("sweep.bursts", self.bursts.as_deref(), own_burst.map_or(1.0, |own| own.datagrams))?;
        let sizes = axis("sweep.sizes", self.sizes.as_deref(), base.size)?;
        let redundancies = axis("sweep.redundancies", self.redundancies.as_deref(), base.redundancy)?;
        let resends = axis("sweep.resends", self.resends.as_deref(), base.resend)?;
        let count = [losses.len(), bursts.len(), sizes.len(), redundancies.len(), resends.len()];
        within("sweep: its cells", 1, CELLS_MAX, count.iter().map(|length| *length as u64).product())?;
        let mut cells = Vec::new();
        for loss in &losses {
            for burst in &bursts {
                for size in &sizes {
                    let over = self.over(base, *loss, *burst, *size)?;
                    for redundancy in &redundancies {
                        for resend in &resends {
                            let plan = Plan { redundancy: *redundancy, resend: *resend, ..over.clone() };
                            plan.check()?;
                            cells.push(Cell { loss: *loss, burst: *burst, plan });
                        }
                    }
                }
            }
        }
        Ok(cells)
    }

    /// `base` with what of a cell is told in ways of its own.
    fn over(&self, base: &Plan, loss: Percent, burst: f64, size: SizeRange) -> Result<Plan, PlanError> {
        if !(1.0..=BURST_MAX).contains(&burst) {
            return Err(PlanError::Value {
                key: "sweep.bursts".to_owned(),
                expected: "1 to 1000000 datagrams".to_owned(),
                got: burst.to_string(),
            });
        }
        let mut plan = Plan { size, sweep: None, ..base.clone() };
        let in_bursts = burst > 1.0 && loss.share() > 0.0;
        plan.channel.loss = if in_bursts { Percent::of(0.0) } else { loss };
        plan.channel.burst = in_bursts.then_some(Burst { loss, datagrams: burst });
        let by_bytes = self.cell_bytes.0 / size.max.0.max(1);
        let by_bytes = u32::try_from(by_bytes).unwrap_or(u32::MAX).max(CELL_AUS_MIN);
        plan.aus = plan.aus.min(by_bytes);
        Ok(plan)
    }
}

fn axis<T: Clone>(key: &str, points: Option<&[T]>, own: T) -> Result<Vec<T>, PlanError> {
    let points = points.map_or_else(|| vec![own], <[T]>::to_vec);
    within(&format!("{key}: its points"), 1, CELLS_MAX, points.len() as u64)?;
    Ok(points)
}
