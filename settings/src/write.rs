//! One setting written into the file, or taken out of it.
//!
//! Promises: comments, order and the file's mode stay; the new file is there whole or not at all. Refuses a value that the
//! program would not take, and a file that has faults already.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};
use toml_edit::{DocumentMut, Item, TableLike};

use crate::fault::Faults;
use crate::file::FileText;
use crate::table::{Setting, Table};
use crate::value::Value;

/// The mode of a file that is made: there is no secret in it.
const MODE: u32 = 0o644;

/// Why a setting is not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// There is none of this key.
    #[error("there is no setting {key}{}", .nearest.map(|key| format!("; did you mean {key}?")).unwrap_or_default())]
    NoSuchSetting {
        /// The key.
        key: String,
        /// The one that was meant.
        nearest: Option<&'static str>,
    },
    /// There is no place for a file.
    #[error(
        "there is no folder for settings: neither XDG_CONFIG_HOME nor HOME is set, and --config names no file"
    )]
    NoFile,
    /// The value cannot be.
    #[error("{key}: {what}")]
    Value {
        /// The key.
        key: &'static str,
        /// What is wrong.
        what: String,
    },
    /// The file is wrong before anything is written.
    #[error(transparent)]
    Faults(#[from] Faults),
    /// The file cannot be read or written.
    #[error("cannot write {}: {error}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
}

/// Writes `value`, as the file has it, or takes the setting out of the file.
///
/// # Errors
/// See [`WriteError`]; the file is what it was then.
pub fn write(table: &Table, path: &Path, key: &str, value: Option<&str>) -> Result<(), WriteError> {
    let setting = table.find(key).ok_or_else(|| WriteError::NoSuchSetting {
        key: key.chars().filter(|c| !c.is_control()).take(60).collect(),
        nearest: table.nearest(key),
    })?;
    let value = value.map(|text| read(table, setting, text)).transpose()?;
    let file = FileText::read(path).map_err(|fault| Faults(vec![fault]))?;
    let text = match &file {
        Some(file) => {
            let (_, faults) = file.parse(table);
            if !faults.is_empty() {
                return Err(Faults(faults).into());
            }
            file.text.as_str()
        }
        None => "",
    };
    let failed = |error| WriteError::Io { path: path.to_owned(), error };
    let shorter = if value.is_none() { without_line(text, setting) } else { None };
    let text = match shorter {
        Some(text) => text,
        None => {
            // A file that the reader takes is one that the editor takes.
            let mut document: DocumentMut = text.parse().map_err(|error| failed(io::Error::other(error)))?;
            put(document.as_table_mut(), setting, value.as_ref());
            document.to_string()
        }
    };
    replace(path, text.as_bytes()).map_err(failed)
}

/// The text without a setting that has its lines for itself: the comments above and behind it are the person's, and stay.
fn without_line(text: &str, setting: &Setting) -> Option<String> {
    let document = DeTable::parse(text).ok()?;
    let table = match setting.section() {
        "" => document.get_ref(),
        section => entry(document.get_ref(), section)?.1.get_ref().as_table()?,
    };
    let (key, value) = entry(table, setting.name())?;
    let (start, end) = (key.span().start, value.span().end);
    let line = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let next = text[end..].find('\n').map_or(text.len(), |at| end + at + 1);
    let (before, behind) = (text[line..start].trim(), text[end..next].trim_start());
    // In a section of its own, or behind its section's name and a dot; not in braces.
    let begins = before.is_empty() || before.ends_with('.') && !before.contains(['=', '{', '[']);
    let ends = behind.is_empty() || behind.starts_with('#');
    (begins && ends).then(|| [&text[..line], behind, &text[next..]].concat())
}

fn entry<'a, 'b>(
    table: &'a DeTable<'b>,
    name: &str,
) -> Option<(&'a Spanned<DeString<'b>>, &'a Spanned<DeValue<'b>>)> {
    table.iter().find(|(key, _)| key.get_ref() == name)
}

fn read(table: &Table, setting: &Setting, text: &str) -> Result<Value, WriteError> {
    let wrong = |what: String| WriteError::Value { key: setting.key, what };
    let parsed = DeValue::parse(text).map_err(|_| wrong(format!("must be {}", setting.form.in_toml())))?;
    let value = Value::of_toml(setting.form, parsed.get_ref()).map_err(wrong)?;
    table.check(setting, &value).map_err(wrong)?;
    Ok(value)
}

fn put(root: &mut toml_edit::Table, setting: &Setting, value: Option<&Value>) {
    let section: &mut dyn TableLike = match setting.section() {
        "" => root,
        name => {
            if value.is_none() && !root.contains_key(name) {
                return;
            }
            match root.entry(name).or_insert_with(toml_edit::table).as_table_like_mut() {
                Some(section) => section,
                // The reader has refused anything else.
                None => return,
            }
        }
    };
    let Some(value) = value else {
        section.remove(setting.name());
        return;
    };
    match section.get_mut(setting.name()).and_then(Item::as_value_mut) {
        Some(old) => {
            // The comment behind it stays.
            let decor = old.decor().clone();
            *old = value.to_toml();
            *old.decor_mut() = decor;
        }
        None => {
            section.insert(setting.name(), toml_edit::value(value.to_toml()));
        }
    }
}

/// Where a link leads that leads to no file yet; the path itself where it is none.
fn led_to(path: &Path) -> PathBuf {
    match (fs::read_link(path), path.parent()) {
        (Ok(target), Some(folder)) => folder.join(target),
        (Ok(_) | Err(_), _) => path.to_owned(),
    }
}

/// Beside the file first, then in its place; a link stays one.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| led_to(path));
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mode = fs::metadata(&path).map_or(MODE, |metadata| metadata.permissions().mode() & 0o777);
    let mut half = NamedTempFile::new_in(folder)?;
    half.write_all(bytes)?;
    half.as_file().set_permissions(Permissions::from_mode(mode))?;
    half.as_file().sync_all()?;
    half.persist(&path)?;
    Ok(())
}
