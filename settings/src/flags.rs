//! The command line's part: what its flags are for, which were given, and how the other layers become flags.
//!
//! Promises: a value from the file or a variable goes through the very parser that a flag's goes through.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use crate::fault::Place;
use crate::resolve::Resolved;
use crate::table::{Form, Setting, Table};
use crate::value::Value;

impl Table {
    /// Takes help and default of every row with a flag from its declaration.
    pub(crate) fn describe(&mut self) {
        let Self { settings, command, .. } = self;
        for setting in settings {
            let Some((_, arg)) = setting.flag.and_then(|flag| declared(command, flag)) else { continue };
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            if setting.help.is_empty() {
                setting.help = help.replace('\n', " ").into();
            }
            let defaults: Vec<_> =
                arg.get_default_values().iter().map(|text| text.to_string_lossy()).collect();
            setting.default = match (setting.form, defaults.first()) {
                (Form::Switch, _) => Value::Switch(setting.is_negated).to_string().into(),
                (Form::Text, Some(text)) => Value::Text(text.to_string()).to_string().into(),
                (Form::Number, Some(text)) => text.to_string().into(),
                (Form::List, _) => {
                    Value::List(defaults.iter().map(ToString::to_string).collect()).to_string().into()
                }
                (Form::Text | Form::Number, None) => "".into(),
            };
        }
    }

    /// Whether the flag would take this value.
    pub(crate) fn check_flag(&self, setting: &Setting, flag: &str, value: &Value) -> Result<(), String> {
        let Some((path, _)) = declared(&self.command, flag) else {
            return Err(format!("no command has --{flag}"));
        };
        if setting.form == Form::Switch {
            return Ok(());
        }
        let mut words: Vec<OsString> = vec![self.command.get_name().into()];
        words.extend(path.iter().map(|command| OsString::from(command.get_name())));
        words.extend(arguments_of(setting, flag, value));
        let last = path.last().copied().unwrap_or(&self.command);
        words.extend(last.get_positionals().filter(|arg| arg.is_required_set()).map(|_| OsString::from("x")));
        match self.command.clone().try_get_matches_from(words) {
            Ok(_) => Ok(()),
            Err(error) => Err(reason(&error)),
        }
    }

    /// The settings that the command line gives.
    pub fn given(&self, matches: &ArgMatches) -> Vec<(&'static str, Place, Value)> {
        let levels = levels(&self.command, matches);
        let of = |setting: &Setting| {
            let flag = setting.flag?;
            if let Some(opposite) =
                setting.opposite.filter(|opposite| find_given(&levels, opposite).is_some())
            {
                return Some((
                    setting.key,
                    Place::Flag(opposite.to_owned()),
                    Value::Switch(setting.is_negated),
                ));
            }
            let (matches, arg) = find_given(&levels, flag)?;
            let raw = matches.get_raw(arg.get_id().as_str());
            let texts: Vec<String> =
                raw.into_iter().flatten().map(|text| text.to_string_lossy().into_owned()).collect();
            let value = match setting.form {
                Form::Switch => Value::Switch(!setting.is_negated),
                Form::List => Value::List(texts),
                Form::Number => Value::Number(texts.first()?.parse().ok()?),
                Form::Text => Value::Text(texts.into_iter().next()?),
            };
            Some((setting.key, Place::Flag(flag.to_owned()), value))
        };
        self.settings.iter().filter_map(of).collect()
    }

    /// The command line with what the file and the variables say in it, as far as the command that was called has such a
    /// flag, neither it nor its opposite was given, and none was that excludes it.
    pub fn completed(&self, words: &[OsString], matches: &ArgMatches, resolved: &Resolved) -> Vec<OsString> {
        let levels = levels(&self.command, matches);
        let has = |flag| {
            levels.iter().any(|level| with_long(level.0, flag).is_some_and(|arg| !excluded(*level, arg)))
        };
        let added = resolved.entries().iter().filter_map(|entry| {
            let flag = entry.setting.flag.filter(|flag| has(flag))?;
            match (&entry.place, &entry.value) {
                (Place::File { .. } | Place::Variable(_), Some(value)) => {
                    Some(arguments_of(&entry.setting, flag, value))
                }
                (Place::File { .. } | Place::Variable(_) | Place::Flag(_) | Place::Default, _) => None,
            }
        });
        let added: Vec<OsString> = added.flatten().collect();
        // What follows two hyphens is no flag.
        let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
        [&words[..end], &added, &words[end..]].concat()
    }
}

/// Where a flag was given on the command line: the one that stands last among commands.
fn find_given<'a>(levels: &[Level<'a>], flag: &str) -> Option<(&'a ArgMatches, &'a Arg)> {
    levels.iter().rev().find_map(|&(command, matches)| {
        let arg = with_long(command, flag)?;
        let source = matches.value_source(arg.get_id().as_str());
        (source == Some(ValueSource::CommandLine)).then_some((matches, arg))
    })
}

/// Whether a flag that was given cannot stand beside this one.
fn excluded((command, matches): (&Command, &ArgMatches), arg: &Arg) -> bool {
    let is_given =
        |other: &&Arg| matches.value_source(other.get_id().as_str()) == Some(ValueSource::CommandLine);
    let excludes =
        |a: &Arg, b: &Arg| command.get_arg_conflicts_with(a).iter().any(|arg| arg.get_id() == b.get_id());
    command.get_arguments().filter(is_given).any(|given| excludes(given, arg) || excludes(arg, given))
}

/// A setting's value as flags.
fn arguments_of(setting: &Setting, flag: &str, value: &Value) -> Vec<OsString> {
    match value {
        Value::Switch(on) if *on == setting.is_negated => Vec::new(),
        Value::Switch(_) => vec![format!("--{flag}").into()],
        value => value.texts().iter().map(|text| format!("--{flag}={text}").into()).collect(),
    }
}

fn with_long<'a>(command: &'a Command, flag: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|arg| arg.get_long() == Some(flag))
}

/// The first command with this flag: the way to it, and the flag.
fn declared<'a>(command: &'a Command, flag: &str) -> Option<(Vec<&'a Command>, &'a Arg)> {
    if let Some(arg) = with_long(command, flag) {
        return Some((Vec::new(), arg));
    }
    command.get_subcommands().find_map(|below| {
        let (mut path, arg) = declared(below, flag)?;
        path.insert(0, below);
        Some((path, arg))
    })
}

/// A command that was called, and what it was given.
type Level<'a> = (&'a Command, &'a ArgMatches);

/// The commands that were called, from the program's own down.
fn levels<'a>(command: &'a Command, matches: &'a ArgMatches) -> Vec<Level<'a>> {
    let mut levels = vec![(command, matches)];
    while let Some((&(command, matches), _)) = levels.split_last()
        && let Some((name, below)) = matches.subcommand()
        && let Some(command) = command.find_subcommand(name)
    {
        levels.push((command, below));
    }
    levels
}

/// What a parser has against a value, without the words around it.
fn reason(error: &clap::Error) -> String {
    use std::error::Error;
    let inner = error.source().map(ToString::to_string);
    inner.unwrap_or_else(|| {
        let text = error.to_string();
        text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })
}
