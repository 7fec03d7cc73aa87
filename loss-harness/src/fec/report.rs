//! Several processes' figures as rows: the best of all, the median of each one's median, and the ratios.

use std::fmt::Write as _;

use punktfunk_fec::Kernel;
use serde_json::{Value, json};

use super::{Case, FecArgs, Taken};

/// One case over all processes.
#[derive(Debug)]
pub struct Row {
    /// What of.
    pub case: Case,
    /// Our coder: microseconds at best, and the median of the processes' medians.
    pub ours_us: [f64; 2],
    /// reed-solomon-simd, likewise.
    pub library_us: [f64; 2],
    /// How many times as fast we are: the least, the median and the greatest of the processes' best rounds.
    pub ratio: [f64; 3],
    /// Whether every byte was right in every process.
    pub bytes_right: bool,
}

/// The processes' figures, case by case; all of them measured the same cases.
pub fn rows_of(processes: &[Vec<Taken>]) -> Vec<Row> {
    let Some(first) = processes.first() else { return Vec::new() };
    let cases = first.iter().map(|taken| taken.case);
    cases
        .map(|case| {
            let taken: Vec<&Taken> = processes.iter().flatten().filter(|taken| taken.case == case).collect();
            let sorted = |figure: fn(&Taken) -> f64| {
                let mut figures: Vec<f64> = taken.iter().map(|taken| figure(taken)).collect();
                figures.sort_by(f64::total_cmp);
                figures
            };
            let median = |figures: &[f64]| figures[figures.len() / 2];
            let ratios = sorted(|taken| taken.library_us[0] / taken.ours_us[0]);
            Row {
                case,
                ours_us: [sorted(|taken| taken.ours_us[0])[0], median(&sorted(|taken| taken.ours_us[1]))],
                library_us: [
                    sorted(|taken| taken.library_us[0])[0],
                    median(&sorted(|taken| taken.library_us[1])),
                ],
                ratio: [ratios[0], median(&ratios), ratios[ratios.len() - 1]],
                bytes_right: taken.iter().all(|taken| taken.bytes_right),
            }
        })
        .collect()
}

/// What is measured, in words.
pub fn verb_of(case: Case) -> String {
    if case.lost == 0 { "encode".to_owned() } else { format!("recover {}", case.lost) }
}

/// The rows in words.
pub fn text(kernel: Kernel, args: &FecArgs, rows: &[Row]) -> String {
    let mut text = format!(
        "kernel {kernel}, {} bytes a shard, {} processes; best and median µs; ratio of the best: median (least to greatest)\n",
        args.shard_bytes, args.processes
    );
    text += "    shape  what               ours µs            GB/s   reed-solomon-simd µs  ratio                  bytes\n";
    for row in rows {
        let Case { k, m, .. } = row.case;
        let bytes = f64::from(k) * args.shard_bytes as f64;
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "{:>9}  {:<12}  {:>10.2} {:>10.2}  {:>8.2}  {:>10.1} {:>10.1}  {:>6.2} ({:.2} to {:.2})  {}",
            format!("{k}+{m}"),
            verb_of(row.case),
            row.ours_us[0],
            row.ours_us[1],
            bytes / row.ours_us[0] / 1e3,
            row.library_us[0],
            row.library_us[1],
            row.ratio[1],
            row.ratio[0],
            row.ratio[2],
            if row.bytes_right { "right" } else { "WRONG" }
        );
    }
    text
}

/// The rows as one JSON object.
pub fn json(kernel: Kernel, args: &FecArgs, rows: &[Row]) -> String {
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "k": row.case.k,
                "m": row.case.m,
                "verb": if row.case.lost == 0 { "encode" } else { "recover" },
                "lost": row.case.lost,
                "ours_best_us": row.ours_us[0],
                "ours_median_us": row.ours_us[1],
                "library_best_us": row.library_us[0],
                "library_median_us": row.library_us[1],
                "ratio_least": row.ratio[0],
                "ratio_median": row.ratio[1],
                "ratio_greatest": row.ratio[2],
                "bytes_right": row.bytes_right,
            })
        })
        .collect();
    let all = json!({
        "kernel": kernel.name(),
        "library": "reed-solomon-simd",
        "shard_bytes": args.shard_bytes,
        "processes": args.processes,
        "rows": rows,
    });
    format!("{all}\n")
}

/// One process's figures, for the process that started it.
pub fn taken_json(taken: &[Taken]) -> String {
    // Figures and counts: nothing in them can fail to be written.
    serde_json::to_string(taken).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_of_all_processes_and_a_ratio_of_one() {
        let taken = |ours: f64, library: f64| {
            let case = Case { k: 64, m: 7, lost: 1 };
            vec![Taken {
                case,
                ours_us: [ours, ours + 1.0],
                library_us: [library, library + 4.0],
                bytes_right: true,
            }]
        };
        let rows = rows_of(&[taken(2.0, 20.0), taken(1.0, 30.0), taken(4.0, 16.0)]);
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].ours_us, rows[0].library_us), ([1.0, 3.0], [16.0, 24.0]));
        assert_eq!(rows[0].ratio, [4.0, 10.0, 30.0]);
    }
}
