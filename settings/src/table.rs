//! The settings that a program has.
//!
//! Promises: one row each, and everything else follows from it: what the file may hold, which variables count, what is
//! shown, what the example says.

use std::borrow::Cow;

use crate::nearest::nearest;
use crate::resolve::PREFIX;
use crate::value::Value;

/// What a setting's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// On or off.
    Switch,
    /// A whole number.
    Number,
    /// Text.
    Text,
    /// Several texts.
    List,
}

impl Form {
    /// What the file has to say.
    pub(crate) fn in_toml(self) -> &'static str {
        match self {
            Form::Switch => "true or false",
            Form::Number => "a whole number",
            Form::Text => "text in quotes",
            Form::List => "a list of texts in quotes",
        }
    }
}

/// Whether a variable can have this text, and what is wrong with it.
pub type Check = fn(variable: &str, text: &str) -> Result<(), String>;

/// One setting.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Its key in the file, section and name: `network.listen`.
    pub key: &'static str,
    /// The variable that stands over the file.
    pub variable: &'static str,
    /// The flag that stands over both, without its hyphens.
    pub flag: Option<&'static str>,
    /// Whether the flag, a switch, says No.
    pub is_negated: bool,
    /// The flag that says the opposite of a switch's, and takes back what a lower layer has said.
    pub opposite: Option<&'static str>,
    /// What its value is.
    pub form: Form,
    /// What it is for.
    pub help: Cow<'static, str>,
    /// What holds when nobody says anything else, as the file has it; empty where the program finds out by itself.
    pub default: Cow<'static, str>,
    /// The setting that cannot be had beside this one.
    pub excludes: Option<&'static str>,
    /// Whether the console may change it.
    pub is_for_console: bool,
    /// Whether a value can be, where no flag knows that; a variable's text is handed in.
    pub check: Option<Check>,
}

impl Setting {
    /// A setting with a flag, from which help, default and bounds are taken.
    pub fn of_flag(key: &'static str, variable: &'static str, flag: &'static str, form: Form) -> Self {
        Self {
            key,
            variable,
            flag: Some(flag),
            is_negated: false,
            opposite: None,
            form,
            help: "".into(),
            default: "".into(),
            excludes: None,
            is_for_console: true,
            check: None,
        }
    }

    /// A setting without one.
    pub fn of_variable(
        key: &'static str,
        variable: &'static str,
        form: Form,
        (default, help): (&'static str, &'static str),
        check: Check,
    ) -> Self {
        let row = Self::of_flag(key, variable, "", form);
        Self { flag: None, default: default.into(), help: help.into(), check: Some(check), ..row }
    }

    /// Whose flag, a switch, says No; so its own help says what Yes means.
    #[must_use]
    pub fn negated(self, help: &'static str) -> Self {
        Self { is_negated: true, help: help.into(), ..self }
    }

    /// A switch, whose flag has an opposite.
    #[must_use]
    pub fn or_else(self, opposite: &'static str) -> Self {
        Self { opposite: Some(opposite), ..self }
    }

    /// That cannot be had beside this one.
    #[must_use]
    pub fn excluding(self, key: &'static str) -> Self {
        Self { excludes: Some(key), ..self }
    }

    /// That the console may not change.
    #[must_use]
    pub fn by_hand(self) -> Self {
        Self { is_for_console: false, ..self }
    }

    /// The part of its key before the dot.
    pub fn section(&self) -> &'static str {
        self.key.split_once('.').map_or("", |(section, _)| section)
    }

    /// The part of its key behind it.
    pub fn name(&self) -> &'static str {
        self.key.split_once('.').map_or(self.key, |(_, name)| name)
    }
}

/// All settings of a program.
#[derive(Debug, Clone)]
pub struct Table {
    pub(crate) settings: Vec<Setting>,
    /// Variables that are no settings of this program, and known.
    pub(crate) known: &'static [&'static str],
    pub(crate) command: clap::Command,
}

impl Table {
    /// A program's settings, its command line, and the variables that mean something to others.
    pub fn new(settings: Vec<Setting>, known: &'static [&'static str], command: clap::Command) -> Self {
        let mut table = Self { settings, known, command };
        table.describe();
        table
    }

    /// Every setting, in the file's order.
    pub fn all(&self) -> &[Setting] {
        &self.settings
    }

    /// The setting of this key.
    pub fn find(&self, key: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }

    /// The key that was meant: the same name in another section, or the nearest name, in the section first that is meant.
    /// Section and name are compared each for itself: what both words share says nothing.
    pub fn nearest(&self, key: &str) -> Option<&'static str> {
        let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
        let among = |within: Option<&str>| {
            let rows =
                || self.settings.iter().filter(|row| within.is_none_or(|within| row.section() == within));
            let meant = nearest(name, rows().map(Setting::name))?;
            rows().find(|row| row.name() == meant).map(|row| row.key)
        };
        let meant = nearest(section, self.settings.iter().map(Setting::section));
        self.named(name).or_else(|| among(Some(meant?))).or_else(|| among(None))
    }

    /// The key with this name, in whichever section.
    pub(crate) fn named(&self, name: &str) -> Option<&'static str> {
        self.settings.iter().find(|setting| setting.name() == name).map(|setting| setting.key)
    }

    /// The command line whose flags these are.
    pub fn command(&self) -> &clap::Command {
        &self.command
    }

    pub(crate) fn is_section(&self, name: &str) -> bool {
        self.settings.iter().any(|setting| setting.section() == name)
    }

    pub(crate) fn nearest_section(&self, name: &str) -> Option<&'static str> {
        nearest(name, self.settings.iter().map(Setting::section).filter(|section| !section.is_empty()))
    }

    /// What there is where a key was looked for that is near to none: its section's settings, or the sections.
    pub(crate) fn choices(&self, key: &str) -> String {
        let section = key.rsplit_once('.').map_or("", |(section, _)| section);
        if self.is_section(section) && !section.is_empty() {
            let rows = self.settings.iter().filter(|row| row.section() == section);
            return format!("[{section}] has {}", rows.map(Setting::name).collect::<Vec<_>>().join(", "));
        }
        let mut sections: Vec<String> = self
            .settings
            .iter()
            .map(|row| format!("[{}]", row.section()))
            .filter(|name| name != "[]")
            .collect();
        sections.dedup();
        format!("there are {}", sections.join(", "))
    }

    pub(crate) fn nearest_variable(&self, name: &str) -> Option<&'static str> {
        // Whatever is ours begins so.
        let rest = |variable: &'static str| variable.strip_prefix(PREFIX).unwrap_or(variable);
        let name = name.strip_prefix(PREFIX).unwrap_or(name);
        let meant = nearest(name, self.settings.iter().map(|setting| rest(setting.variable)))?;
        self.settings.iter().map(|setting| setting.variable).find(|variable| rest(variable) == meant)
    }

    /// Whether the program would take this value.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, setting: &Setting, value: &Value) -> Result<(), String> {
        match (setting.flag, setting.check) {
            (Some(flag), _) => self.check_flag(setting, flag, value),
            (None, Some(check)) => value.texts().iter().try_for_each(|text| check(setting.variable, text)),
            (None, None) => Ok(()),
        }
    }
}
