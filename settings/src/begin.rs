//! A program's beginning: its command line, read again with what the other layers say in it.
//!
//! Promises: one file, named by `--config`, by `PUNKTFUNK_CONFIG`, or at its usual place; a file that is named must be
//! there. Refuses to begin with wrong settings, but for the commands that are there to mend them.

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
    path: Option<PathBuf>,
    resolved: Resolved,
}

impl Config {
    /// Reads the command line `words` of the program `C`, whose file is called `name`; those that mend settings or only print
    /// do without the file and the variables.
    ///
    /// # Errors
    /// See [`BeginError`].
    pub fn begin<C: Parser>(
        (name, table): (&str, Table),
        words: &[OsString],
        variables: Vec<(OsString, OsString)>,
    ) -> Result<(C, Self), BeginError> {
        let matches = table.command().clone().try_get_matches_from(words)?;
        let flags = table.given(&matches);
        if is_apart(&matches) {
            let sources = Sources { flags, ..Sources::default() };
            let resolved = resolve(&table, &sources)?;
            return Ok((C::try_parse_from(words)?, Self { table, sources, path: None, resolved }));
        }
        let (path, file) = find_file(name, named(&matches), &variables)?;
        let sources = Sources { file, variables, flags };
        let resolved = resolve(&table, &sources)?;
        let cli = C::try_parse_from(table.completed(words, &matches, &resolved))?;
        Ok((cli, Self { table, sources, path, resolved }))
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
        self.path.as_deref()
    }

    /// The settings as they would hold if the program began now: the file may have changed.
    ///
    /// # Errors
    /// What is wrong in it now.
    pub fn again(&self) -> Result<Resolved, Faults> {
        let read =
            self.path.as_deref().map(FileText::read).transpose().map_err(|fault| Faults(vec![fault]))?;
        resolve(&self.table, &Sources { file: read.flatten(), ..self.sources.clone() })
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
        let Some(path) = &self.path else { return Err(WriteError::NoFile) };
        write(&self.table, path, key, value)
    }
}

/// Whether a command does without settings: those that mend them or only print.
fn is_apart(matches: &ArgMatches) -> bool {
    match matches.subcommand() {
        Some(("config", below)) => below.subcommand().is_some(),
        Some(("completions" | "man", _)) => true,
        Some(_) | None => false,
    }
}

/// What `--config` says, wherever it stands.
fn named(matches: &ArgMatches) -> Option<PathBuf> {
    let here = matches.try_get_one::<PathBuf>(CONFIG_FLAG).ok().flatten().cloned();
    matches.subcommand().and_then(|(_, below)| named(below)).or(here)
}

type Found = (Option<PathBuf>, Option<FileText>);

fn find_file(
    name: &str,
    named: Option<PathBuf>,
    variables: &[(OsString, OsString)],
) -> Result<Found, Faults> {
    let variable = |wanted: &str| {
        variables.iter().find(|(name, _)| name == OsStr::new(wanted)).map(|(_, value)| value.clone())
    };
    let by_variable = || variable(CONFIG_VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
    let told = named.or_else(by_variable);
    let is_told = told.is_some();
    let Some(path) = told.or_else(|| default_file(name, variable("XDG_CONFIG_HOME"), variable("HOME")))
    else {
        return Ok((None, None));
    };
    let file = match is_told {
        true => Some(FileText::must_read(&path)?),
        false => FileText::read(&path).map_err(|fault| Faults(vec![fault]))?,
    };
    Ok((Some(path), file))
}
