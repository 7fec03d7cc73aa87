//! The ratios as bars, in an SVG that stands alone.

use std::fmt::Write as _;

use punktfunk_fec::Kernel;

use super::report::{Row, verb_of};

const WIDTH: f64 = 900.0;
const LEFT: f64 = 190.0;
const ROW: f64 = 22.0;
const TOP: f64 = 56.0;

/// One bar a row, its length the logarithm of how many times as fast we are; a thin line from the least to the greatest
/// of the processes.
pub fn svg(kernel: Kernel, shard_bytes: usize, rows: &[Row]) -> String {
    let most = rows.iter().map(|row| row.ratio[2]).fold(10.0, f64::max);
    let scale = (WIDTH - LEFT - 90.0) / most.log10();
    let x = |ratio: f64| LEFT + ratio.max(1.0).log10() * scale;
    let height = TOP + ROW * rows.len() as f64 + 30.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"16\" y=\"24\" font-size=\"15\">FEC at {shard_bytes} bytes a shard, kernel {kernel}: times as fast as \
         reed-solomon-simd</text>\n"
    );
    // Writing to a String does not fail.
    for decade in [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0] {
        if decade <= most {
            let at = x(decade);
            let _ = writeln!(
                svg,
                "<line x1=\"{at:.1}\" y1=\"{:.1}\" x2=\"{at:.1}\" y2=\"{:.1}\" stroke=\"#ddd\"/>\
                 <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#666\">{decade}×</text>",
                TOP - 6.0,
                height - 26.0,
                height - 10.0
            );
        }
    }
    for (number, row) in rows.iter().enumerate() {
        let y = TOP + ROW * number as f64;
        let colour = if row.case.lost == 0 { "#2b6cb0" } else { "#2f855a" };
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}+{} {}</text>\
             <rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>\
             <line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"black\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{:.1}× ({:.1} µs)</text>",
            LEFT - 8.0,
            y + 12.0,
            row.case.k,
            row.case.m,
            verb_of(row.case),
            x(row.ratio[1]) - LEFT,
            ROW - 7.0,
            x(row.ratio[0]),
            y + 7.5,
            x(row.ratio[2]),
            y + 7.5,
            x(row.ratio[2]) + 6.0,
            y + 12.0,
            row.ratio[1],
            row.ours_us[0]
        );
    }
    svg + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::super::Case;
    use super::*;

    #[test]
    fn every_row_has_a_bar_within_the_picture() {
        let row = |lost, ratio| Row {
            case: Case { k: 64, m: 7, lost },
            ours_us: [1.0, 2.0],
            library_us: [8.0, 9.0],
            ratio,
            bytes_right: true,
        };
        let svg = svg(Kernel::Scalar, 1408, &[row(0, [0.4, 0.5, 0.6]), row(1, [90.0, 100.0, 400.0])]);
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert_eq!(svg.matches("<rect x=").count(), 2);
        assert!(svg.contains("64+7 encode") && svg.contains("64+7 recover 1"));
        assert!(!svg.contains("NaN") && !svg.contains("inf") && !svg.contains("width=\"-"));
    }
}
