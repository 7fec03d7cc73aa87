//! A program's beginning: its command line, read again with what the other layers say in it.
//!
//! Promises: one file, named by `--config`, by `PUNKTFUNK_CONFIG`, or at its usual place; a file that is named must be
//! there. Refuses to begin with wrong settings, but for the commands that are there to mend them, or to name what is wrong.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::{ArgMatches, Parser};

use crate::fault::Faults;
use crate::file::{FileText, default_file};
use crate::resolve::{Resolved, Sources, resolve};
use crate::table::Table;
use crate::write::{WriteError, write};

/// The variable that names the file.
pub const CONFIG_VARIABLE: &str = "PUNKTFUNK_CONFIG";

/// The flag that does.
const CONFIG_FLAG: &str = "config";

/// Why a program does not begin.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// Its command line is wrong, or asks for help.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// Its settings are wrong.
    #[error(transparent)]
    Faults(#[from] Faults),
}

/// What a program was told.
#[derive(Debug, Clone)]
pub struct Config {
    table: Table,
    sources: Sources,
    place: FilePlace,
    resolved: Resolved,
}

/// Where the file is.
#[derive(Debug, Clone, Default)]
struct FilePlace {
    path: Option<PathBuf>,
    /// Whether somebody has named it, so that it must be there.
    is_named: bool,
}

/// What a command makes of settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stance {
    /// It begins with right ones only.
    Needs,
    /// It takes those layers that are right, and looks by itself at what is wrong: [`Config::again`].
    Bears,
    /// It does without: it mends them, or only prints.
    Apart,
}

impl Config {
    /// Reads the command line `words` of the program `C`, whose file is called `name`. Commands that mend settings or only
    /// print do without the file and the variables; `doctor` takes those that are right.
    ///
    /// # Errors
    /// See [`BeginError`].
    pub fn begin<C: Parser>(
        (name, table): (&str, Table),
        words: &[OsString],
        variables: Vec<(OsString, OsString)>,
    ) -> Result<(C, Self), BeginError> {
        let matches = table.command().clone().try_get_matches_from(words)?;
        let (flags, stance) = (table.given(&matches), Stance::of(&matches));
        if stance == Stance::Apart {
            let sources = Sources { flags, ..Sources::default() };
            let resolved = resolve(&table, &sources)?;
            let place = FilePlace::default();
            return Ok((C::try_parse_from(words)?, Self { table, sources, place, resolved }));
        }
        let place = FilePlace::find(name, named(&matches), &variables);
        let file = place.read();
        let sources = Sources { file: file.clone().ok().flatten(), variables, flags };
        let resolved = match (file.and_then(|_| resolve(&table, &sources)), stance) {
            (Err(_), Stance::Bears) => of_right_layers(&table, &sources)?,
            (outcome, Stance::Bears | Stance::Needs | Stance::Apart) => outcome?,
        };
        let cli = C::try_parse_from(table.completed(words, &matches, &resolved))?;
        Ok((cli, Self { table, sources, place, resolved }))
    }

    /// The settings as they held when the program began.
    pub fn resolved(&self) -> &Resolved {
        &self.resolved
    }

    /// The text that a variable has, or would have if the file's value stood in it; none where nobody says anything.
    pub fn variable(&self, name: &str) -> Option<String> {
        self.resolved.variable(name)
    }

    /// The same for those who read variables.
    pub fn os(&self, name: &str) -> Option<OsString> {
        self.variable(name).map(OsString::from)
    }

    /// Every setting there is.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The file, whether it is there or not.
    pub fn path(&self) -> Option<&Path> {
        self.place.path.as_deref()
    }

    /// The settings as they would hold if the program began now: the file may have changed.
    ///
    /// # Errors
    /// What is wrong in it now.
    pub fn again(&self) -> Result<Resolved, Faults> {
        let file = self.place.read()?;
        resolve(&self.table, &Sources { file, ..self.sources.clone() })
    }

    /// What is wrong in a file of this program's settings.
    ///
    /// # Errors
    /// All of it.
    pub fn check(&self, path: &Path) -> Result<(), Faults> {
        let file = Some(FileText::must_read(path)?);
        resolve(&self.table, &Sources { file, ..Sources::default() }).map(drop)
    }

    /// Writes a setting into the file, or takes it out.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn change(&self, key: &str, value: Option<&str>) -> Result<(), WriteError> {
        let Some(path) = self.path() else { return Err(WriteError::NoFile) };
        write(&self.table, path, key, value)
    }
}

impl Stance {
    fn of(matches: &ArgMatches) -> Self {
        match matches.subcommand() {
            Some(("config", below)) if below.subcommand().is_some() => Stance::Apart,
            Some(("completions" | "man", _)) => Stance::Apart,
            Some(("doctor", _)) => Stance::Bears,
            Some(_) | None => Stance::Needs,
        }
    }
}

/// The settings by the layers in which nothing is wrong.
fn of_right_layers(table: &Table, sources: &Sources) -> Result<Resolved, Faults> {
    let without_file = || Sources { file: None, ..sources.clone() };
    let without_variables = || Sources { variables: Vec::new(), ..sources.clone() };
    resolve(table, &without_file())
        .or_else(|_| resolve(table, &without_variables()))
        .or_else(|_| resolve(table, &Sources { file: None, ..without_variables() }))
}

/// What `--config` says, wherever it stands.
fn named(matches: &ArgMatches) -> Option<PathBuf> {
    let here = matches.try_get_one::<PathBuf>(CONFIG_FLAG).ok().flatten().cloned();
    matches.subcommand().and_then(|(_, below)| named(below)).or(here)
}

impl FilePlace {
    fn find(name: &str, named: Option<PathBuf>, variables: &[(OsString, OsString)]) -> Self {
        let variable = |wanted: &str| {
            variables.iter().find(|(name, _)| name == OsStr::new(wanted)).map(|(_, value)| value.clone())
        };
        let by_variable = || variable(CONFIG_VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
        let told = named.or_else(by_variable);
        let is_named = told.is_some();
        let usual = || default_file(name, variable("XDG_CONFIG_HOME"), variable("HOME"));
        Self { path: told.or_else(usual), is_named }
    }

    fn read(&self) -> Result<Option<FileText>, Faults> {
        match &self.path {
            Some(path) if self.is_named => FileText::must_read(path).map(Some),
            Some(path) => FileText::read(path).map_err(|fault| Faults(vec![fault])),
            None => Ok(None),
        }
    }
}
