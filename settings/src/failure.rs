//! How a program says that it has failed: in words on standard error, and with `--json` to a script as well.
//!
//! Promises: whatever has failed, the command line, the settings or the work, standard output then ends with one JSON object
//! whose `error` has the exit code, the kind that it stands for, and the words; where the command has a result all the same
//! that is in the same object. Refuses nothing: a reader who has gone away is no failure.

use std::ffi::OsString;
use std::io::Write;

use clap::error::ErrorKind;
use serde_json::{Value, json};

use crate::begin::BeginError;

/// The exit code for wrong words or settings, as sysexits has it.
pub const EXIT_USAGE: u8 = 64;

/// Why a command has failed, and what it can show all the same.
#[derive(Debug)]
pub struct Failure<E> {
    /// Why.
    pub error: E,
    /// A JSON object that it would have printed.
    pub result: Option<Box<Value>>,
}

impl<E> Failure<E> {
    /// One beside which there is a result, a JSON object.
    pub fn beside(result: Value, error: E) -> Self {
        Self { error, result: Some(Box::new(result)) }
    }
}

impl<E> Failure<E> {
    /// The same failure as another program's kind of error.
    pub fn of<F: From<E>>(self) -> Failure<F> {
        Failure { error: self.error.into(), result: self.result }
    }
}

impl<E> From<E> for Failure<E> {
    fn from(error: E) -> Self {
        Self { error, result: None }
    }
}

/// An error, as scripts are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The program's exit code.
    pub code: u8,
    /// What has failed.
    pub message: String,
    /// What to do, where that is not a part of the message.
    pub remedy: Option<String>,
}

impl Told {
    /// Prints the error on standard output, in one line, as a field of the command's result where it has one.
    pub fn print(&self, result: Option<Box<Value>>) {
        let mut error = json!({ "code": self.code, "kind": kind(self.code), "message": self.message });
        if let Some(remedy) = &self.remedy {
            error["remedy"] = json!(remedy);
        }
        let mut whole = result.map(|result| *result).filter(Value::is_object).unwrap_or_else(|| json!({}));
        whole["error"] = error;
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{whole}").and_then(|()| out.flush());
    }
}

/// Whether a command line asks for JSON, be it right or wrong otherwise.
pub fn is_json_asked(words: &[OsString]) -> bool {
    words.iter().take_while(|word| *word != "--").any(|word| word == "--json")
}

impl BeginError {
    /// Says on standard error, and with `is_json` on standard output, why `program` does not begin; its exit code. Help that
    /// was asked for is no failure.
    pub fn tell(&self, program: &str, is_json: bool) -> u8 {
        let (told, result) = match self {
            BeginError::Usage(error) => {
                let _ = error.print();
                if !error.use_stderr() {
                    return 0;
                }
                (told_of_usage(error), None)
            }
            BeginError::Faults(faults) => {
                let _ = writeln!(std::io::stderr(), "{program}: {faults}");
                let message = faults.to_string();
                (Told { code: EXIT_USAGE, message, remedy: None }, Some(Box::new(faults.to_json())))
            }
        };
        if is_json {
            told.print(result);
        }
        told.code
    }
}

fn told_of_usage(error: &clap::Error) -> Told {
    let (message, remedy) = if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        ("a command is missing".to_owned(), None)
    } else {
        let text = error.render().to_string();
        let mut parts = text.split("\n\n").map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
        let message = parts.next().unwrap_or_default();
        let tip = parts.find_map(|part| part.strip_prefix("tip: ").map(str::to_owned));
        (message.strip_prefix("error: ").unwrap_or(&message).to_owned(), tip)
    };
    let remedy = Some(remedy.unwrap_or_else(|| "--help shows what there is".to_owned()));
    Told { code: EXIT_USAGE, message, remedy }
}

/// What an exit code stands for, at both programs.
fn kind(code: u8) -> &'static str {
    match code {
        1 => "broken",
        2 => "no-host",
        3 => "trust",
        4 => "protocol",
        5 => "cannot-be-had",
        6 => "file",
        7 => "port-in-use",
        8 => "compositor",
        9 => "lost",
        10 => "source",
        11 => "busy",
        EXIT_USAGE => "usage",
        130 => "interrupted",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use clap::{Arg, Command};

    use super::*;

    #[test]
    fn wrong_words_are_told_in_one_line_with_what_was_meant() {
        let command = || {
            let pair =
                Command::new("pair").arg(Arg::new("host").required(true)).arg(Arg::new("pin").long("pin"));
            Command::new("prog").subcommand_required(true).arg_required_else_help(true).subcommand(pair)
        };
        let told = |words: &[&str]| told_of_usage(&command().try_get_matches_from(words).unwrap_err());
        let missing = told(&["prog", "pair"]);
        assert_eq!(missing.message, "the following required arguments were not provided: <host>");
        assert_eq!((missing.code, missing.remedy.as_deref()), (64, Some("--help shows what there is")));
        let misspelt = told(&["prog", "pair", "--pim", "1"]);
        assert_eq!(misspelt.message, "unexpected argument '--pim' found");
        assert_eq!(misspelt.remedy.as_deref(), Some("a similar argument exists: '--pin'"));
        assert_eq!(told(&["prog"]).message, "a command is missing");
    }

    #[test]
    fn json_is_asked_for_before_two_hyphens() {
        let asked = |words: &[&str]| is_json_asked(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert!(asked(&["prog", "pair", "--json", "--nonsense"]));
        assert!(!asked(&["prog", "pair", "--", "--json"]) && !asked(&["prog", "--jsonx"]));
    }
}
