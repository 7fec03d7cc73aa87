//! The colours of page and picture, light and dark.
//!
//! Promises: words have a contrast of 4.5 and more on what they stand on, lines and bars 3 and more; the series' colours
//! are told apart by people who see no red or no green, and no meaning hangs on a colour alone.

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
        ("c0", "#0b62c4"),
        ("c1", "#c2410c"),
        ("c2", "#0f7b55"),
        ("c3", "#9333a8"),
        ("c4", "#8a6100"),
        ("c5", "#475569"),
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
        ("c0", "#6cb2ff"),
        ("c1", "#ff9d66"),
        ("c2", "#4fd1a1"),
        ("c3", "#d9a2ef"),
        ("c4", "#e5c558"),
        ("c5", "#b4c0cc"),
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

    /// Relative luminance, WCAG 2.1.
    fn luminance(colour: &str) -> f64 {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
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
                ("c0", "card"),
                ("c1", "card"),
                ("c2", "card"),
                ("c3", "card"),
                ("c4", "card"),
                ("c5", "card"),
            ] {
                let contrast = contrast(theme.colour(words), theme.colour(ground));
                assert!(contrast >= 4.5, "{words} on {ground}: {contrast:.2}");
            }
        }
    }

    #[test]
    fn every_property_is_resolved() {
        let css = LIGHT.resolve(include_str!("drawing.css"));
        assert!(!css.contains("var("), "{css}");
    }
}
