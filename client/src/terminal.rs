//! What people see: the log's form, and words of a peer made harmless.
//!
//! Promises: no byte of a peer steers a terminal; no colours where there is none. Refuses nothing.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use tracing_subscriber::EnvFilter;

use crate::error::ClientError;

/// Starts the log on standard error, by a filter that has been found right.
pub fn start_log(filter: &str) {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_ansi(io::stderr().is_terminal() && !plain)
        .with_writer(io::stderr)
        .init();
}

/// Says one line on standard error: what a person has to read must not depend on a filter.
pub fn say(text: &str) {
    // Where nobody can read it there is nobody to tell.
    let _ = writeln!(io::stderr(), "punktfunk: {}", printable(text));
}

/// Prints a command's result.
///
/// # Errors
/// Standard output cannot be written.
pub fn print(text: &str) -> Result<(), ClientError> {
    let failed = |source| ClientError::File { path: "standard output".into(), source };
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(failed)
}

/// A text without control characters.
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) {
        Cow::Owned(text.replace(char::is_control, "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(printable("plain, größer"), "plain, größer");
        assert_eq!(printable("a\u{1b}[2J\n\u{9b}\u{7f}b"), "a\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}b");
    }
}
