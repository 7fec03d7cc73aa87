//! A run for every pair of a loss and a redundancy, the rest of the plan held.

use crate::plan::{Plan, PlanError};
use crate::report::Progress;
use crate::run::{Outcome, run};
use crate::units::Percent;

/// One pair, and what came of it.
#[derive(Debug)]
pub struct Row {
    /// Independent loss.
    pub loss: Percent,
    /// Parity beside the data.
    pub redundancy: Percent,
    /// What the run came to.
    pub outcome: Outcome,
}

/// Runs every pair.
pub fn sweep(plan: &Plan, losses: &[Percent], redundancies: &[Percent]) -> Result<Vec<Row>, PlanError> {
    let mut rows = Vec::new();
    for redundancy in redundancies {
        for loss in losses {
            let mut plan = plan.clone();
            plan.redundancy = *redundancy;
            plan.channel.loss = *loss;
            plan.check()?;
            let outcome = run(&plan, &mut Progress::new(plan.aus))?;
            rows.push(Row { loss: *loss, redundancy: *redundancy, outcome });
        }
    }
    Ok(rows)
}
