//! What is wrong, and where.
//!
//! Promises: a line for each, and nothing that a terminal acts on.

use std::fmt;
use std::path::PathBuf;

use crate::limits::{FAULTS_SHOWN_MAX, QUOTED_CHARS_MAX};

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: it is what holds when nobody says anything else.
    Default,
    /// In the file; line and column from 1, 0 where it is the file itself.
    File {
        /// The file.
        path: PathBuf,
        /// Its line.
        line: usize,
        /// The line's character.
        column: usize,
    },
    /// In a variable of this name.
    Variable(String),
    /// In a flag of this name, without its hyphens.
    Flag(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Default => f.write_str("default"),
            Place::File { path, line: 0, .. } => write!(f, "{}", path.display()),
            Place::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Place::Variable(name) => f.write_str(name),
            Place::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// What, with what to do.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Everything that is wrong; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the settings are wrong:")?;
        for fault in self.0.iter().take(FAULTS_SHOWN_MAX) {
            write!(f, "\n  {fault}")?;
        }
        let more = self.0.len().saturating_sub(FAULTS_SHOWN_MAX);
        if more > 0 { write!(f, "\n  and {more} more") } else { Ok(()) }
    }
}

/// A wrong word as it may be shown: in quotes, cut, with every character escaped that is acted on.
pub(crate) fn quoted(word: &str) -> String {
    let cut: String = word.chars().take(QUOTED_CHARS_MAX).collect();
    let more = if cut.len() < word.len() { "…" } else { "" };
    format!("\"{}{more}\"", cut.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_listed_up_to_a_screenful() {
        let fault = Fault { place: Place::Variable("PUNKTFUNK_NET".into()), what: "is wrong".into() };
        let all = Faults(vec![fault; 30]).to_string();
        assert_eq!(all.lines().count(), 1 + 25 + 1);
        assert!(all.ends_with("and 5 more") && all.contains("  PUNKTFUNK_NET: is wrong"), "{all}");
    }

    #[test]
    fn words_are_quoted_and_cut() {
        assert_eq!(quoted("a\u{1b}[31m\u{202e}\n"), r#""a\u{1b}[31m\u{202e}\n""#);
        assert_eq!(quoted(&"ä".repeat(61)).chars().count(), 60 + 3);
    }
}
