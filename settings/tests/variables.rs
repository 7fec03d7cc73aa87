//! No `PUNKTFUNK_*` variable is read anywhere that is no setting, and none is a setting in vain.

#![allow(clippy::unwrap_used)] // clippy's leave for tests ends at the functions that they share

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Variables of tests and of the project's own chores; and what is no variable but its beginning.
const NOT_SETTINGS: &[&str] =
    &["PUNKTFUNK_", "PUNKTFUNK_CONFIG", "PUNKTFUNK_TEST_SEED", "PUNKTFUNK_TEST_ROUNDS", "PUNKTFUNK_TEST_DIE"];

/// Where rows are.
const TABLES: [&str; 3] = ["settings/src/common.rs", "host/src/config.rs", "client/src/config.rs"];

/// The programs' own rooms; tools have variables of their own.
const ROOMS: [&str; 16] = [
    "fec",
    "seal",
    "settings",
    "perf",
    "net",
    "capture",
    "codec",
    "display",
    "discover",
    "engine",
    "engine/proto",
    "control",
    "manage",
    "doctor",
    "host",
    "client",
];

#[test]
fn every_variable_that_is_read_has_a_row() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let tables: String = TABLES.iter().map(|file| fs::read_to_string(root.join(file)).unwrap()).collect();
    let known = names(&tables);
    let mut read = BTreeSet::new();
    for room in ROOMS {
        walk(&root.join(room).join("src"), &mut read);
    }
    assert!(read.len() > 15 && read.contains("PUNKTFUNK_NET"), "{read:?}");
    for name in &read {
        assert!(
            known.contains(name) || NOT_SETTINGS.contains(&name.as_str()),
            "{name} is in a room's source and has no row: add one to table() in host/src/config.rs or client/src/config.rs \
             (to settings/src/common.rs where both programs read it), and to the other program's KNOWN; or, if it is a \
             test's, to NOT_SETTINGS here"
        );
    }
}

fn walk(folder: &Path, read: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, read);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            read.extend(names(&fs::read_to_string(&path).unwrap()));
        }
    }
}

/// Every word that begins like a variable of ours.
fn names(text: &str) -> BTreeSet<String> {
    let starts = text.match_indices("PUNKTFUNK_").map(|(at, _)| &text[at..]);
    starts
        .map(|rest| rest.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect::<String>())
        .collect()
}
