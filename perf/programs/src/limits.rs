//! The whole table of targets by one command: `loop --limits`.
//!
//! Promises: each row is a target with the figure that answers it, measured in this run; rows that need rights or a
//! longer window than there is say so and count as not answered. Refuses: to call a target reached that was not
//! measured.

use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use crate::case::{Case, Waiting};
use crate::error::PerfProgramError;
use crate::figures::Rounds;
use crate::loop_command::{Measured, Searched, rounds, search};
use crate::pair::Plane;
use crate::protect::{self, Protected};
use crate::report;
use crate::units::{Idrs, Rate, Refresh};
use crate::veth;

/// A part of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Packetize, parity and sealing alone.
    Protect,
    /// The whole sender into a link that drops.
    Veth,
    /// Latency and CPU at four rates, blocking.
    Blocking,
    /// The same, spinning.
    Spinning,
    /// The highest clean rate.
    Clean,
    /// Each send path.
    Net,
    /// 1.5 Gbit/s at 120 Hz in four slices.
    Slices,
}

impl Part {
    /// All, the quick ones first.
    pub const ALL: [Part; 7] =
        [Part::Protect, Part::Veth, Part::Blocking, Part::Spinning, Part::Clean, Part::Net, Part::Slices];
}

/// All that was measured, and what it says of the targets.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Limits {
    /// The targets, each with its answer.
    pub rows: Vec<Row>,
    /// Protecting alone.
    pub protect: Option<Protected>,
    /// The sender into a link that drops.
    pub veth: Option<veth::Dropped>,
    /// Every case that was measured.
    pub cases: Vec<Measured>,
    /// The searches.
    pub searches: Vec<Searched>,
}

/// One target.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// What is asked.
    pub what: String,
    /// The target.
    pub target: f64,
    /// Whether more is better.
    pub at_least: bool,
    /// The best round's figure.
    pub best: Option<f64>,
    /// The median's.
    pub median: Option<f64>,
    /// Whether the median reaches it.
    pub reached: bool,
    /// Why there is no figure, or what it stands on.
    pub note: String,
}

impl Row {
    fn new(what: String, target: f64, at_least: bool, rounds: Option<Rounds>) -> Row {
        let (best, median) = match rounds {
            Some(rounds) if at_least => (Some(rounds.worst), Some(rounds.median)),
            Some(rounds) => (Some(rounds.best), Some(rounds.median)),
            None => (None, None),
        };
        let reached = median.is_some_and(|median| if at_least { median >= target } else { median <= target });
        Row { what, target, at_least, best, median, reached, note: String::new() }
    }

    fn at_most(what: impl Into<String>, target: f64, rounds: Option<Rounds>) -> Row {
        Row::new(what.into(), target, false, rounds)
    }

    fn at_least(what: impl Into<String>, target: f64, rounds: Option<Rounds>) -> Row {
        Row::new(what.into(), target, true, rounds)
    }

    fn noted(mut self, note: impl Into<String>) -> Row {
        self.note = note.into();
        self
    }
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Windows of each case.
    pub rounds: u32,
    /// How long each is.
    pub window: Duration,
}

/// Measures `parts`.
///
/// # Errors
/// An end that died.
pub fn measure(parts: &[Part], effort: Effort) -> Result<Limits, PerfProgramError> {
    let mut limits = Limits::default();
    for part in parts {
        match part {
            Part::Protect => limits.measure_protect(effort)?,
            Part::Veth => limits.measure_veth(effort),
            Part::Blocking => limits.measure_rates(Waiting::Block, effort)?,
            Part::Spinning => limits.measure_rates(Waiting::Spin, effort)?,
            Part::Clean => limits.measure_clean(effort)?,
            Part::Net => limits.measure_net(effort)?,
            Part::Slices => limits.measure_slices(effort)?,
        }
    }
    Ok(limits)
}

impl Limits {
    fn measure_protect(&mut self, effort: Effort) -> Result<(), PerfProgramError> {
        let case = Case { idrs: Idrs::NONE, ..Case::default() };
        let measured = (0..effort.rounds.max(1)).map(|_| protect::measure(&case, effort.window / 2));
        let all = measured.collect::<Result<Vec<Protected>, PerfProgramError>>()?;
        let rates = Rounds::of(all.iter().map(|one| one.gbit_per_s));
        let costs = Rounds::of(all.iter().map(|one| one.cpu_s_per_gbit));
        self.rows.push(Row::at_least("packetize + FEC 10 % + seal, one core, Gbit/s", 28.0, rates));
        self.rows.push(Row::at_most("the same, CPU-s/Gbit", 0.036, costs));
        self.protect = all.into_iter().last();
        report::progress("protect: done");
        Ok(())
    }

    /// Where namespaces cannot be made the row stays without an answer.
    fn measure_veth(&mut self, effort: Effort) {
        let case = Case { idrs: Idrs::NONE, ..Case::default() };
        let what = "whole sender into a veth that drops, CPU-s/Gbit";
        let measured = (0..effort.rounds.max(1)).map(|_| veth::measure(&case, effort.window));
        match measured.collect::<Result<Vec<veth::Dropped>, PerfProgramError>>() {
            Ok(all) => {
                let costs = Rounds::of(all.iter().map(|one| one.cpu_s_per_gbit));
                self.rows.push(Row::at_most(what, 0.05, costs).noted("at 1 Gbit/s, 120 Hz"));
                self.veth = all.into_iter().last();
            }
            Err(error) => self.rows.push(Row::at_most(what, 0.05, None).noted(error.to_string())),
        }
        report::progress("veth: done");
    }

    fn measure_rates(&mut self, waiting: Waiting, effort: Effort) -> Result<(), PerfProgramError> {
        let word = match waiting {
            Waiting::Block => "blocking",
            Waiting::Spin => "spinning",
        };
        for (kbps, hz) in [(20_000, 60), (500_000, 120), (1_000_000, 120), (2_500_000, 120)] {
            let rate = Rate::of_kbps(kbps);
            let case = Case { rate, refresh: Refresh::of_mhz(hz * 1_000), waiting, ..Case::default() };
            let measured = rounds(&case, effort.rounds, effort.window, true, None)?;
            let summary = &measured.summary;
            let name = |what: &str| format!("{rate} {hz} Hz, {word}: {what}");
            match (kbps, waiting) {
                (20_000, Waiting::Block) => {
                    self.rows.push(Row::at_most(name("p50, µs"), 100.0, summary.p50_us));
                    self.rows.push(Row::at_most(name("p99, µs"), 300.0, summary.p99_us));
                }
                (1_000_000, _) => {
                    self.rows.push(Row::at_most(name("p50 / the twin's"), 1.6, summary.p50_ratio));
                    self.rows.push(Row::at_most(name("p99 / the twin's"), 3.0, summary.p99_ratio));
                    if waiting == Waiting::Block {
                        self.rows.push(Row::at_most(name("sender, CPU-s/Gbit"), 0.09, summary.sender_cpu));
                        self.rows.push(Row::at_most(
                            name("receiver, CPU-s/Gbit"),
                            0.08,
                            summary.receiver_cpu,
                        ));
                    }
                    let calls =
                        Rounds::of(measured.ours.iter().map(|one| one.send_calls_per_au / one.trains_per_au));
                    self.rows.push(Row::at_most(name("send calls / trains"), 1.0, calls));
                }
                _ => {}
            }
            self.cases.push(measured);
        }
        Ok(())
    }

    fn measure_clean(&mut self, effort: Effort) -> Result<(), PerfProgramError> {
        let shape = Case::default();
        for plane in [Plane::Ours, Plane::Twin] {
            let searched = search(plane, &shape, effort.window)?;
            if plane == Plane::Ours {
                let one = |value: Option<f64>| Rounds::of(value);
                let best = one(searched.highest_clean_mbps.map(|mbps| mbps / 1e3));
                self.rows.push(Row::at_least("highest clean rate, Gbit/s of goodput", 10.0, best));
                let at = searched.at_highest.as_ref();
                let (sender, receiver) = (
                    one(at.map(|figures| figures.sender.cpu_s_per_gbit)),
                    one(at.map(|figures| figures.receiver.cpu_s_per_gbit)),
                );
                self.rows.push(Row::at_most("there: sender, CPU-s/Gbit", 0.09, sender));
                self.rows.push(Row::at_most("there: receiver, CPU-s/Gbit", 0.08, receiver));
            }
            self.searches.push(searched);
        }
        Ok(())
    }

    /// No target: what each send path costs here.
    fn measure_net(&mut self, effort: Effort) -> Result<(), PerfProgramError> {
        for backend in punktfunk_net::Backend::ALL {
            let case = Case { net: Some(backend.name().to_owned()), ..Case::default() };
            match rounds(&case, effort.rounds, effort.window, false, None) {
                Ok(measured) => self.cases.push(measured),
                // One that this kernel does not have.
                Err(PerfProgramError::End { words, .. }) => report::progress(&format!("{backend}: {words}")),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn measure_slices(&mut self, effort: Effort) -> Result<(), PerfProgramError> {
        let case = Case { rate: Rate::of_kbps(1_500_000), slices: 4, ..Case::default() };
        let measured = rounds(&case, 1, effort.window * 10, false, None)?;
        let last = measured.ours.last();
        let lost = last.map(|figures| (figures.aus.lost + figures.aus.late + figures.aus.dropped) as f64);
        let name = |what: &str| format!("1.5G 120 Hz, 4 slices: {what}");
        self.rows.push(Row::at_most(name("lost, late and dropped"), 0.0, Rounds::of(lost)));
        for (end, stages) in last
            .into_iter()
            .flat_map(|figures| [("sender", &figures.sender.stages), ("receiver", &figures.receiver.stages)])
        {
            // Sums and waits for the network are no stage's own slice.
            for (stage, spread) in stages.iter().filter(|(stage, _)| {
                !stage.contains("_to_") && !matches!(stage.as_str(), "receive" | "capture")
            }) {
                let what = name(&format!("{end}'s {stage}, p99, µs"));
                self.rows.push(Row::at_most(what, 1_000.0, Rounds::of([spread.p99 as f64])));
            }
        }
        self.cases.push(measured);
        Ok(())
    }
}

/// The table.
pub fn text(limits: &Limits) -> String {
    let mut text = format!("{:<58}{:>12}{:>12}{:>12}  reached\n", "", "target", "best", "median");
    for row in &limits.rows {
        let figure = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{:.4}", value));
        let sign = if row.at_least { "≥" } else { "≤" };
        text.push_str(&format!(
            "{:<58}{:>12}{:>12}{:>12}  {}{}{}\n",
            row.what,
            format!("{sign} {}", row.target),
            figure(row.best),
            figure(row.median),
            if row.reached { "yes" } else { "no" },
            if row.note.is_empty() { "" } else { ": " },
            row.note
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_without_a_figure_is_not_reached_and_says_why() {
        let row = Row::at_most("a", 1.0, None).noted("needs root");
        assert!(!row.reached);
        let limits = Limits { rows: vec![row], ..Limits::default() };
        assert!(text(&limits).contains("no: needs root"));
    }

    #[test]
    fn best_is_the_largest_where_more_is_better() {
        let rounds = Rounds::of([9.0, 10.0, 12.0]);
        let row = Row::at_least("a", 10.0, rounds);
        assert_eq!((row.best, row.median, row.reached), (Some(12.0), Some(10.0), true));
        let row = Row::at_most("a", 9.5, rounds);
        assert_eq!((row.best, row.reached), (Some(9.0), false));
    }
}
