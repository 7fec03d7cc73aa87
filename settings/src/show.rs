//! What `config` prints.

use serde_json::{Value as Json, json};

use crate::fault::{Fault, Faults, Place};
use crate::resolve::{Entry, Resolved};

impl Resolved {
    /// A line for each setting: key, value, and where that stands.
    pub fn to_text(&self) -> String {
        let widest =
            |width: fn(&Entry) -> usize| self.entries().iter().map(width).max().unwrap_or_default().min(40);
        let (keys, values) =
            (widest(|entry| entry.setting.key.len()), widest(|entry| shown(entry).chars().count()));
        let line =
            |entry: &Entry| format!("{:keys$}  {:values$}  {}", entry.setting.key, shown(entry), entry.place);
        self.entries().iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// The same for scripts.
    pub fn to_json(&self) -> Json {
        let entry = |entry: &Entry| {
            let setting = &entry.setting;
            json!({
                "key": setting.key, "value": entry.value.as_ref().map(ToString::to_string), "shown": shown(entry),
                "origin": entry.origin().word(), "place": entry.place.to_string(), "default": setting.default,
                "variable": setting.variable, "flag": setting.flag.map(|flag| format!("--{flag}")),
                "opposite": setting.opposite.map(|flag| format!("--{flag}")),
                "help": setting.help,
            })
        };
        let file = self.path().map(|path| path.display().to_string());
        json!({"file": file, "settings": self.entries().iter().map(entry).collect::<Vec<_>>()})
    }
}

impl Faults {
    /// Each with its place and what is wrong, for scripts.
    pub fn to_json(&self) -> Json {
        let fault = |fault: &Fault| match &fault.place {
            Place::File { path, line, column } => {
                json!({"file": path.display().to_string(), "line": line, "column": column, "error": fault.what})
            }
            place => json!({"place": place.to_string(), "error": fault.what}),
        };
        json!({"faults": self.0.iter().map(fault).collect::<Vec<_>>()})
    }
}

fn shown(entry: &Entry) -> String {
    let shown = entry.shown();
    if shown.is_empty() { "unset".into() } else { shown }
}
