//! Settings as the console sees and changes them.
//!
//! Promises: what is shown is what would hold if the host began now, so that a change is seen at once; each says that it
//! wants a new start. Refuses to write what a variable or a flag overrules, and what opens the host to others.

use punktfunk_manage::model::{self, Origin as Shown};
use punktfunk_manage::{Refused, Why};
use punktfunk_settings::{Config, Entry, Origin, WriteError};

/// Every setting.
///
/// # Errors
/// The file has become wrong.
pub fn settings(config: &Config) -> Result<Vec<model::Setting>, Refused> {
    let resolved = config.again().map_err(|faults| {
        Refused::new(
            Why::Conflict,
            faults.to_string(),
            "mend the file; `punktfunk-host config check` looks at it",
        )
    })?;
    Ok(resolved.entries().iter().map(|entry| shown(config, entry)).collect())
}

/// Writes one into the file, or takes it out.
///
/// # Errors
/// It is not the console's to change, is overruled, or cannot have that value.
pub fn change(config: &Config, key: &str, value: Option<&str>) -> Result<model::Setting, Refused> {
    let found = |all: Vec<model::Setting>| all.into_iter().find(|setting| setting.key == key);
    let no_such = || {
        let nearest =
            config.table().nearest(key).map(|key| format!("did you mean {key}?")).unwrap_or_default();
        Refused::new(Why::NotFound, "there is no such setting", nearest)
    };
    let row = config.table().find(key).ok_or_else(no_such)?;
    if !row.is_for_console {
        let error =
            format!("{key} is not changed from here: it decides who gets in, or names a place on the disk");
        return Err(Refused::new(Why::Conflict, error, "change it in the file, and start the host anew"));
    }
    let before = found(settings(config)?).ok_or_else(no_such)?;
    if matches!(before.origin, Shown::Environment | Shown::Flag) {
        let error = format!("{} overrules the file", before.place);
        return Err(Refused::new(Why::Conflict, error, "start the host without it"));
    }
    config.change(key, value).map_err(|error| refused(&error))?;
    found(settings(config)?).ok_or_else(no_such)
}

fn refused(error: &WriteError) -> Refused {
    let (why, remedy) = match error {
        WriteError::NoSuchSetting { .. } => (Why::NotFound, ""),
        WriteError::Value { .. } => (Why::Invalid, "write it as the file would have it"),
        WriteError::Faults(_) => (Why::Conflict, "mend the file; `punktfunk-host config check` looks at it"),
        WriteError::NoFile => (Why::Conflict, "start the host with --config FILE"),
        WriteError::Io { .. } => (Why::Failed, "see that the folder is there and may be written"),
    };
    Refused::new(why, error.to_string(), remedy)
}

fn shown(config: &Config, entry: &Entry) -> model::Setting {
    let origin = match entry.origin() {
        Origin::Default => Shown::Default,
        Origin::File => Shown::File,
        Origin::Environment => Shown::Environment,
        Origin::Flag => Shown::Flag,
    };
    let is_free = matches!(origin, Shown::Default | Shown::File);
    model::Setting {
        key: entry.setting.key.to_owned(),
        value: entry.shown(),
        origin,
        place: entry.place.to_string(),
        help: entry.setting.help.to_string(),
        writable: is_free && entry.setting.is_for_console && config.path().is_some(),
        needs_restart: true,
    }
}
