//! What is said of one link.

use punktfunk_manage::model::{Check, CheckState};

use crate::limits::TEXT_CHARS_MAX;

/// How one link is, what was found, and what that costs or what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How it is.
    pub state: CheckState,
    /// What was found.
    pub found: String,
    /// What it costs, or what to do; empty where all is well.
    pub remedy: String,
}

impl Verdict {
    /// It is as it should be.
    pub(crate) fn ok(found: impl Into<String>) -> Self {
        Self { state: CheckState::Ok, found: found.into(), remedy: String::new() }
    }

    /// It works, and `remedy` says at what cost.
    pub(crate) fn degraded(found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { state: CheckState::Degraded, found: found.into(), remedy: remedy.into() }
    }

    /// It does not work, and `remedy` says what to do.
    pub(crate) fn broken(found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { state: CheckState::Broken, found: found.into(), remedy: remedy.into() }
    }

    pub(crate) fn into_check(self, name: &str) -> Check {
        let (found, remedy) = (printable(&self.found), printable(&self.remedy));
        Check { name: name.to_owned(), state: self.state, found, remedy }
    }
}

/// In one line that steers no terminal: what other programs say of themselves is in it.
fn printable(text: &str) -> String {
    let words = text.split_whitespace().flat_map(|word| [" ", word]).skip(1);
    let steers = |it: char| {
        it.is_control()
            || matches!(it, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    words
        .flat_map(str::chars)
        .map(|it| if steers(it) { '\u{fffd}' } else { it })
        .take(TEXT_CHARS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_is_one_line_that_steers_no_terminal() {
        let check =
            Verdict::broken("a\nb\x1b[2J\u{202e}c ", "\u{9b}d".repeat(TEXT_CHARS_MAX)).into_check("gso");
        assert_eq!(check.found, "a b\u{fffd}[2J\u{fffd}c");
        assert!(check.remedy.starts_with("\u{fffd}d") && check.remedy.chars().count() == TEXT_CHARS_MAX);
    }
}
