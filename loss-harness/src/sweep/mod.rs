//! A run for every cell of a matrix, on all cores.
//!
//! Promises the same rows in the same order whatever the number of threads: each cell is a run by itself, from the
//! plan's seed, and shares nothing with another. The heaviest begin first, so that no core waits long at the end. An
//! error is that of the first cell that has one.

mod csv;
mod page;
mod plot;
mod table;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use table::{json, summary, text};

use crate::outcome::Outcome;
use crate::plan::{Cell, PlanError};
use crate::progress::Progress;
use crate::run::run;

/// One cell, and what came of it.
#[derive(Debug, Clone)]
pub struct Row {
    /// What was run.
    pub cell: Cell,
    /// What the run came to.
    pub outcome: Outcome,
}

impl Row {
    /// Whether exactly what the code's bound allows was delivered.
    pub fn is_at_bound(&self) -> bool {
        self.outcome.delivered == self.outcome.allowed
    }
}

/// Runs every cell, `threads` at a time.
///
/// # Errors
/// What [`run`] refuses.
pub fn sweep(cells: Vec<Cell>, threads: usize) -> Result<Vec<Row>, PlanError> {
    let mut heaviest_first: Vec<usize> = (0..cells.len()).collect();
    heaviest_first.sort_by_key(|index| std::cmp::Reverse(weight(&cells[*index])));
    let (taken, done) = (AtomicUsize::new(0), Mutex::new((0, Progress::new(cells.len(), "cells"))));
    let work = || {
        let mut mine = Vec::new();
        while let Some(index) = heaviest_first.get(taken.fetch_add(1, Ordering::Relaxed)) {
            mine.push((*index, run(&cells[*index].plan, &mut Progress::silent())));
            // A thread that panicked ends the whole scope anyway.
            if let Ok(mut done) = done.lock() {
                done.0 += 1;
                let count = done.0;
                done.1.step(count);
            }
        }
        mine
    };
    let mut outcomes: Vec<(usize, Result<Outcome, PlanError>)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.clamp(1, cells.len().max(1))).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a run does not panic")).collect()
    });
    if let Ok(done) = done.lock() {
        done.1.finish();
    }
    outcomes.sort_by_key(|(index, _)| *index);
    let rows = cells.into_iter().zip(outcomes);
    rows.map(|(cell, (_, outcome))| Ok(Row { cell, outcome: outcome? })).collect()
}

/// Writes `sweep.csv` and `sweep.html` into `folder`, which is made if need be; `name` is the plan's.
///
/// # Errors
/// [`PlanError::Write`].
pub fn write(folder: &Path, name: &str, rows: &[Row]) -> Result<(), PlanError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| PlanError::Write { path, source }
    };
    std::fs::create_dir_all(folder).map_err(failed(folder))?;
    for (file, text) in [("sweep.csv", csv::csv(rows)), ("sweep.html", page::page(name, rows))] {
        let path = folder.join(file);
        std::fs::write(&path, text).map_err(failed(&path))?;
    }
    Ok(())
}

/// Bytes of a cell, roughly: what its run takes.
fn weight(cell: &Cell) -> u64 {
    u64::from(cell.plan.aus) * (cell.plan.size.min.0 + cell.plan.size.max.0)
}
