//! The file: where it is, what it says, and everything that is wrong with it.
//!
//! Promises: all faults at once, each with line and column; what is right in a file with faults is still known. Refuses a
//! file that is no file, or too large to be one of settings.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::fault::{Fault, Faults, Place, quoted};
use crate::limits::FILE_BYTES_MAX;
use crate::table::Table;
use crate::value::Value;

/// Where a program's file is unless told otherwise: `punktfunk/NAME.toml` in the user's folder for settings; none where
/// the environment names no such folder. An empty variable counts as none (XDG base directory specification).
pub fn default_file(name: &str, config: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let folder = |value: Option<OsString>| value.filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = folder(config).or_else(|| folder(home).map(|home| home.join(".config")))?;
    Some(base.join("punktfunk").join(format!("{name}.toml")))
}

/// A file's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileText {
    /// Where it is.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

impl FileText {
    /// Reads it; `None` where there is none.
    ///
    /// # Errors
    /// It cannot be read, is too large, or is no text.
    pub fn read(path: &Path) -> Result<Option<Self>, Fault> {
        let fault = |what: String| Fault { place: file_place(path, 0, 0), what };
        let bytes = match read_bounded(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fault(format!("cannot be read: {error}"))),
        };
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(fault(format!(
                "is larger than {} KiB: no file of settings is",
                FILE_BYTES_MAX / 1024
            )));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(Self { path: path.to_owned(), text })),
            Err(error) => {
                Err(fault(format!("is not UTF-8 from byte {} on", error.utf8_error().valid_up_to())))
            }
        }
    }

    /// Reads a file that must be there.
    ///
    /// # Errors
    /// It is not, or see [`FileText::read`].
    pub fn must_read(path: &Path) -> Result<Self, Faults> {
        let missing = || Fault { place: file_place(path, 0, 0), what: "there is no such file".into() };
        match Self::read(path) {
            Ok(Some(file)) => Ok(file),
            Ok(None) => Err(Faults(vec![missing()])),
            Err(fault) => Err(Faults(vec![fault])),
        }
    }

    /// What it says for each setting, and what is wrong with it.
    pub(crate) fn parse(&self, table: &Table) -> (Vec<(&'static str, Place, Value)>, Vec<Fault>) {
        let (document, errors) = DeTable::parse_recoverable(&self.text);
        // Where its form is wrong, what seems a wrong name may be a part of something else.
        let names_count = errors.is_empty();
        let mut reader = Reader { file: self, table, names_count, values: Vec::new(), faults: Vec::new() };
        for error in &errors {
            let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            reader.faults.push((error.span().unwrap_or_default(), message));
        }
        reader.read("", document.get_ref());
        let mut faults = reader.faults;
        faults.sort_by_key(|(span, _)| span.start);
        faults.dedup();
        let told = faults.into_iter().map(|(span, what)| Fault { place: self.place(&span), what });
        (reader.values, told.collect())
    }

    fn place(&self, span: &Range<usize>) -> Place {
        let before = &self.text[..self.text.floor_char_boundary(span.start)];
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        file_place(&self.path, line, column)
    }
}

fn file_place(path: &Path, line: usize, column: usize) -> Place {
    Place::File { path: path.to_owned(), line, column }
}

/// A folder, a pipe or a device is no file of settings, and reading one may never end.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

struct Reader<'a> {
    file: &'a FileText,
    table: &'a Table,
    /// Whether a name that is unknown is a fault.
    names_count: bool,
    values: Vec<(&'static str, Place, Value)>,
    faults: Vec<(Range<usize>, String)>,
}

impl Reader<'_> {
    /// Reads one table; ours are one deep.
    fn read(&mut self, section: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let full = if section.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{section}.{}", name.get_ref())
            };
            self.read_entry(&full, name.span(), value);
        }
    }

    fn read_entry(&mut self, key: &str, at: Range<usize>, value: &Spanned<DeValue<'_>>) {
        if let Some(setting) = self.table.find(key) {
            let read = Value::of_toml(setting.form, value.get_ref());
            match read.and_then(|value| self.table.check(setting, &value).map(|()| value)) {
                Ok(read) => self.values.push((setting.key, self.file.place(&at), read)),
                Err(what) => self.faults.push((value.span(), format!("{key}: {}", shown(&what)))),
            }
            return;
        }
        if self.table.is_section(key) {
            match value.get_ref() {
                DeValue::Table(table) => self.read(key, table),
                DeValue::String(_)
                | DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_)
                | DeValue::Array(_) => {
                    self.faults.push((at, format!("{key} is a section: write [{key}] on a line of its own")));
                }
            }
            return;
        }
        if !self.names_count {
            return;
        }
        let is_table = matches!(value.get_ref(), DeValue::Table(_));
        let meant = if is_table {
            let section = self.table.nearest_section(key).map(|section| format!("[{section}]"));
            section.or_else(|| self.table.named(key).map(str::to_owned))
        } else {
            self.table.nearest(key).map(str::to_owned)
        };
        let kind = if is_table { "section" } else { "setting" };
        let hint = match meant {
            Some(meant) => format!("did you mean {meant}?"),
            None => self.table.choices(if is_table { "" } else { key }),
        };
        self.faults.push((at, format!("{} is no {kind}; {hint}", quoted(key))));
    }
}

/// A parser's words about a value may repeat it.
fn shown(what: &str) -> String {
    what.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect()
}
