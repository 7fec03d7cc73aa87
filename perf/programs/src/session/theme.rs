//! The colours of page and picture, light and dark.
//!
//! Promises: words have a contrast of 4.5 and more on what they stand on, lines and bars 3 and more; the series' colours
//! are told apart by people who see no red or no green; and no meaning hangs on a colour alone, for each line of a chart
//! has a pattern of its own, and the parts of a bar stand in the order of their words.

use std::fmt::Write as _;

/// One set of colours.
#[derive(Debug, Clone, Copy)]
pub struct Theme {
    /// Names, as the style sheet has them, and colours.
    pub colours: [(&'static str, &'static str); 18],
}

/// Dark on light.
pub const LIGHT: Theme = Theme {
    colours: [
        ("back", "#f6f7f9"),
        ("card", "#ffffff"),
        ("text", "#161b22"),
        ("soft", "#556070"),
        ("rule", "#dfe3e8"),
        ("grid", "#e9ecf0"),
        ("fill", "#eef1f5"),
        ("c0", "#0e6edc"),
        ("c1", "#a83c12"),
        ("c2", "#1b9771"),
        ("c3", "#6a1b7a"),
        ("c4", "#b8860b"),
        ("c5", "#2b313a"),
        ("good", "#0f7b55"),
        ("good-back", "#e8f5ef"),
        ("bad", "#b42318"),
        ("bad-back", "#fdeeec"),
        ("tint", "#e6f0fb"),
    ],
};

/// Light on dark.
pub const DARK: Theme = Theme {
    colours: [
        ("back", "#0d1015"),
        ("card", "#151a21"),
        ("text", "#e8edf3"),
        ("soft", "#9ba7b5"),
        ("rule", "#2a323c"),
        ("grid", "#222932"),
        ("fill", "#1d242d"),
        ("c0", "#2f84f6"),
        ("c1", "#f08a50"),
        ("c2", "#4cc99a"),
        ("c3", "#dc9bee"),
        ("c4", "#eccd30"),
        ("c5", "#dbe2ea"),
        ("good", "#4fd1a1"),
        ("good-back", "#12261f"),
        ("bad", "#ff8f80"),
        ("bad-back", "#2d1715"),
        ("tint", "#14263b"),
    ],
};

impl Theme {
    /// As custom properties of a style sheet.
    pub fn properties(&self) -> String {
        self.colours.iter().fold(String::new(), |mut css, (name, colour)| {
            // Writing to a String does not fail.
            let _ = write!(css, "--{name}:{colour};");
            css
        })
    }

    /// A style sheet with the colours themselves in their properties' places, for a renderer that knows no properties.
    pub fn resolve(&self, css: &str) -> String {
        self.colours
            .iter()
            .fold(css.to_owned(), |css, (name, colour)| css.replace(&format!("var(--{name})"), colour))
    }

    /// A colour.
    #[cfg(test)]
    fn colour(&self, name: &str) -> &'static str {
        self.colours.iter().find(|(key, _)| *key == name).expect("a colour of that name").1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The channels as light.
    fn linear(colour: &str) -> [f64; 3] {
        [1, 3, 5].map(|at| {
            let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        })
    }

    /// Relative luminance, WCAG 2.1.
    fn luminance(colour: &str) -> f64 {
        let [red, green, blue] = linear(colour);
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    fn contrast(one: &str, other: &str) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn words_stand_out_from_what_they_stand_on() {
        for theme in [LIGHT, DARK] {
            for (words, ground) in [
                ("text", "back"),
                ("text", "card"),
                ("text", "fill"),
                ("text", "tint"),
                ("text", "good-back"),
                ("text", "bad-back"),
                ("soft", "back"),
                ("soft", "card"),
                ("soft", "fill"),
                ("soft", "tint"),
                ("good", "good-back"),
                ("bad", "bad-back"),
            ] {
                let contrast = contrast(theme.colour(words), theme.colour(ground));
                assert!(contrast >= 4.5, "{words} on {ground}: {contrast:.2}");
            }
        }
    }

    const SERIES: [&str; 6] = ["c0", "c1", "c2", "c3", "c4", "c5"];

    #[test]
    fn lines_and_bars_stand_out_from_what_they_stand_on() {
        // What is filled is opaque: nothing shines through that would take contrast from it.
        for half in ["fill-opacity:.5", "stroke-opacity", ";opacity", "{opacity"] {
            assert!(!include_str!("drawing.css").contains(half), "{half}");
        }
        for theme in [LIGHT, DARK] {
            // The frame of what no stage spent, the wires and the marks are soft; a box of no stage is only a frame.
            for line in SERIES.iter().chain(&["soft", "good", "bad"]) {
                let contrast = contrast(theme.colour(line), theme.colour("card"));
                assert!(contrast >= 3.0, "{line} on card: {contrast:.2}");
            }
            for line in ["c0", "good", "bad"] {
                let ground =
                    if line == "c0" { "back" } else { ["good-back", "bad-back"][usize::from(line == "bad")] };
                let contrast = contrast(theme.colour(line), theme.colour(ground));
                assert!(contrast >= 3.0, "{line} on {ground}: {contrast:.2}");
            }
        }
    }

    /// What an eye sees that has all cones, no red ones, no green ones: Machado, Oliveira and Fernandes, "A
    /// Physiologically-based Model for Simulation of Color Vision Deficiency" (2009), severity 1, on linear light.
    const EYES: [[[f64; 3]; 3]; 3] = [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [
            [0.152_286, 1.052_583, -0.204_868],
            [0.114_503, 0.786_281, 0.099_216],
            [-0.003_882, -0.048_116, 1.051_998],
        ],
        [
            [0.367_322, 0.860_646, -0.227_968],
            [0.280_085, 0.672_501, 0.047_413],
            [-0.011_820, 0.042_940, 0.968_881],
        ],
    ];

    /// CIE 1976 L*a*b* of linear light, white D65.
    fn lab(light: [f64; 3]) -> [f64; 3] {
        let xyz = [
            (0.412_456 * light[0] + 0.357_576 * light[1] + 0.180_438 * light[2]) / 0.950_47,
            0.212_673 * light[0] + 0.715_152 * light[1] + 0.072_175 * light[2],
            (0.019_334 * light[0] + 0.119_192 * light[1] + 0.950_304 * light[2]) / 1.088_83,
        ];
        let [x, y, z] =
            xyz.map(|value| if value > 0.008_856 { value.cbrt() } else { 7.787 * value + 16.0 / 116.0 });
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    #[test]
    fn the_series_colours_are_told_apart_without_red_or_green_cones() {
        for (name, theme) in [("light", LIGHT), ("dark", DARK)] {
            for (eye, matrix) in ["all cones", "no red", "no green"].iter().zip(EYES) {
                let seen = SERIES.map(|series| {
                    let light = linear(theme.colour(series));
                    lab(matrix.map(|row| {
                        row.iter().zip(light).map(|(one, other)| one * other).sum::<f64>().clamp(0.0, 1.0)
                    }))
                });
                for (at, one) in seen.iter().enumerate() {
                    for (beside, other) in seen.iter().enumerate().skip(at + 1) {
                        let apart = one
                            .iter()
                            .zip(other)
                            .map(|(one, other)| (one - other).powi(2))
                            .sum::<f64>()
                            .sqrt();
                        // A difference of 2 is just seen side by side; lines are thin and apart.
                        assert!(apart >= 18.0, "{name}, {eye}: c{at} and c{beside} are {apart:.1} apart");
                    }
                }
            }
        }
    }

    #[test]
    fn every_property_is_resolved() {
        let css = LIGHT.resolve(include_str!("drawing.css"));
        assert!(!css.contains("var("), "{css}");
    }
}
