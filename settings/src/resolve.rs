//! Layers: the default, the file over it, a variable over that, a flag over all.
//!
//! Promises: for each setting the value that holds, where it stands, and what the file has below it. Of two settings that
//! cannot be had together the one of the higher layer holds; on one layer that is a fault.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::fault::{Fault, Faults, Place, quoted};
use crate::file::FileText;
use crate::table::{Setting, Table};
use crate::value::Value;

/// What every variable of ours begins with.
pub(crate) const PREFIX: &str = "PUNKTFUNK_";

/// What there is to resolve.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file's text, if there is one.
    pub file: Option<FileText>,
    /// The environment.
    pub variables: Vec<(OsString, OsString)>,
    /// What the command line gives: [`Table::given`].
    pub flags: Vec<(&'static str, Place, Value)>,
}

/// From which layer a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nobody has said anything.
    Default,
    /// The file.
    File,
    /// A variable.
    Environment,
    /// A flag.
    Flag,
}

impl Origin {
    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Origin::Default => "default",
            Origin::File => "file",
            Origin::Environment => "environment",
            Origin::Flag => "flag",
        }
    }
}

/// One setting as it holds.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Which.
    pub setting: Setting,
    /// Its value; none where the default is the program's own to find.
    pub value: Option<Value>,
    /// Where that stands.
    pub place: Place,
}

impl Entry {
    /// From which layer its value is.
    pub fn origin(&self) -> Origin {
        match self.place {
            Place::Default => Origin::Default,
            Place::File { .. } => Origin::File,
            Place::Variable(_) => Origin::Environment,
            Place::Flag(_) => Origin::Flag,
        }
    }

    /// Its value as the file would have it, or the default.
    pub fn shown(&self) -> String {
        self.value.as_ref().map_or_else(|| self.setting.default.to_string(), Value::to_string)
    }
}

/// All settings as they hold.
#[derive(Debug, Clone)]
pub struct Resolved {
    entries: Vec<Entry>,
    warnings: Vec<Fault>,
    path: Option<PathBuf>,
}

impl Resolved {
    /// Every setting, in the file's order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// One of them.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.setting.key == key)
    }

    /// Where one's value stands, in words.
    pub fn place(&self, key: &str) -> String {
        self.entry(key).map_or(&Place::Default, |entry| &entry.place).to_string()
    }

    /// Variables that mean nothing, and what may have been meant.
    pub fn warnings(&self) -> &[Fault] {
        &self.warnings
    }

    /// The file that was read.
    pub fn path(&self) -> Option<&PathBuf> {
        self.path.as_ref()
    }

    /// The text that a variable has, or would have if the file's value stood in it; none where nobody says anything.
    pub fn variable(&self, name: &str) -> Option<String> {
        let entry = self.entries.iter().find(|entry| entry.setting.variable == name)?;
        entry.value.as_ref().map(|value| value.texts().join(";"))
    }
}

/// Puts the layers over each other.
///
/// # Errors
/// Everything that is wrong in the file and the variables.
pub fn resolve(table: &Table, sources: &Sources) -> Result<Resolved, Faults> {
    let (in_file, mut faults) = sources.file.as_ref().map(|file| file.parse(table)).unwrap_or_default();
    let (in_variables, more, warnings) = read_variables(table, &sources.variables);
    faults.extend(more);
    let layers = [&sources.flags, &in_variables, &in_file];
    for layer in layers {
        faults.extend(exclusions(table, layer));
    }
    if !faults.is_empty() {
        return Err(Faults(faults));
    }
    let highest =
        |key: &str| layers.iter().enumerate().find_map(|(depth, layer)| Some((depth, holding(layer, key)?)));
    let entry = |setting: &Setting| {
        // One that a higher layer excludes does not hold; what that layer has only taken back excludes nothing.
        let is_excluded = |depth: usize| {
            let other = setting.excludes.and_then(highest);
            other.is_some_and(|(above, (.., value))| above < depth && says_something(value))
        };
        match highest(setting.key) {
            Some((depth, (_, place, value))) if !is_excluded(depth) => {
                Entry { setting: setting.clone(), value: Some(value.clone()), place: place.clone() }
            }
            Some(_) | None => Entry { setting: setting.clone(), value: None, place: Place::Default },
        }
    };
    let entries = table.all().iter().map(entry).collect();
    Ok(Resolved { entries, warnings, path: sources.file.as_ref().map(|file| file.path.clone()) })
}

type Layer = [(&'static str, Place, Value)];

fn holding<'a>(layer: &'a Layer, key: &str) -> Option<&'a (&'static str, Place, Value)> {
    layer.iter().find(|(known, ..)| *known == key)
}

/// Whether a value says anything that could exclude another.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Switch(on) => *on,
        Value::List(texts) => !texts.is_empty(),
        Value::Number(_) | Value::Text(_) => true,
    }
}

fn exclusions(table: &Table, layer: &Layer) -> Vec<Fault> {
    let told = table.all().iter().filter_map(|setting| {
        let (_, place, value) = holding(layer, setting.key)?;
        let other = setting.excludes?;
        let (_, _, other_value) = holding(layer, other)?;
        // Each pair once.
        let both = says_something(value) && says_something(other_value) && setting.key < other;
        // The command line tells of its own.
        let what = format!("{} and {other} cannot be had together", setting.key);
        (both && !matches!(place, Place::Flag(_))).then(|| Fault { place: place.clone(), what })
    });
    told.collect()
}

type Variables = (Vec<(&'static str, Place, Value)>, Vec<Fault>, Vec<Fault>);

fn read_variables(table: &Table, variables: &[(OsString, OsString)]) -> Variables {
    let (mut values, mut faults, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    let ours = variables.iter().filter_map(|(name, value)| {
        name.to_str().filter(|name| name.starts_with(PREFIX)).map(|name| (name, value.as_os_str()))
    });
    for (name, text) in ours {
        let place = Place::Variable(name.to_owned());
        let Some(setting) = table.all().iter().find(|setting| setting.variable == name) else {
            if !table.known.contains(&name) {
                let meant = table.nearest_variable(name).map(|meant| format!("; did you mean {meant}?"));
                let what = format!("means nothing{}", meant.unwrap_or_default());
                warnings
                    .push(Fault { place: Place::Variable(quoted(name).trim_matches('"').to_owned()), what });
            }
            continue;
        };
        match read_variable(table, setting, text) {
            Ok(value) => values.push((setting.key, place, value)),
            Err(what) => faults.push(Fault { place, what }),
        }
    }
    (values, faults, warnings)
}

fn read_variable(table: &Table, setting: &Setting, text: &OsStr) -> Result<Value, String> {
    let text = text.to_str().ok_or_else(|| format!("{text:?} is no text"))?;
    let value = Value::of_variable(setting.form, text)?;
    table.check(setting, &value).map(|()| value)
}
