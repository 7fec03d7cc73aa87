//! The table beside the command line, the packages, and what the rooms take. Promises: a flag or a command that nobody gave
//! a row, a page or JSON fails here, with what to do. Refuses nothing.

use std::fs;
use std::path::Path;

use clap::CommandFactory;

use super::*;

#[path = "../../../settings/tests/support/programs.rs"]
mod programs;

/// The flags of `connect`, without their hyphens.
fn flags() -> Vec<String> {
    let command = Cli::command();
    let connect = command.find_subcommand("connect").unwrap();
    connect.get_arguments().filter_map(|arg| arg.get_long().map(str::to_owned)).collect()
}

#[test]
fn every_flag_of_connect_is_a_setting_or_has_a_reason_not_to_be() {
    let (table, flags) = (table(), flags());
    for flag in &flags {
        let is_setting = table.all().iter().any(|setting| setting.flag == Some(flag.as_str()));
        let is_only_a_flag = FLAGS_ONLY.iter().any(|(only, _)| only == flag);
        assert!(
            is_setting != is_only_a_flag,
            "--{flag} must be either a setting or a flag only: add to table() in client/src/config.rs a row such as \
             flag(\"section.name\", \"PUNKTFUNK_NAME\", \"{flag}\", Form::Number), next to its section's others, and run \
             `cargo run -p punktfunk-client -- config example > packaging/client.toml.example`; or add it to FLAGS_ONLY there, \
             with the reason"
        );
    }
    let of_rows = table.all().iter().filter_map(|setting| setting.flag);
    for flag in of_rows
        .chain(FLAGS_ONLY.iter().map(|(flag, _)| *flag))
        .filter(|flag| *flag != "help" && *flag != "config")
    {
        assert!(
            flags.iter().any(|known| known == flag),
            "connect has no --{flag} any more: take its row out"
        );
    }
}

#[test]
fn the_sections_stand_together_and_nothing_stands_twice() {
    let table = table();
    let mut sections: Vec<&str> = table.all().iter().map(Setting::section).collect();
    sections.dedup();
    let in_a_row = sections.len();
    sections.sort_unstable();
    sections.dedup();
    assert_eq!(in_a_row, sections.len(), "a section's rows must stand together: {sections:?}");
    for (index, setting) in table.all().iter().enumerate() {
        assert!(!setting.help.is_empty(), "{}", setting.key);
        for other in &table.all()[..index] {
            assert!(setting.key != other.key && setting.variable != other.variable, "{}", setting.key);
        }
        if let Some(other) = setting.excludes {
            assert_eq!(table.find(other).unwrap().excludes, Some(setting.key), "each names the other");
        }
    }
}

#[test]
fn the_example_in_the_packages_is_this_tables() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/client.toml.example");
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        kept,
        table().example(EXAMPLE_HEAD),
        "cargo run -p punktfunk-client -- config example > packaging/client.toml.example"
    );
}

#[test]
fn what_the_rooms_would_not_take_is_refused_with_their_reason() {
    let rows = table();
    for setting in rows.all().iter().filter(|setting| setting.check.is_some()) {
        let refused = check(setting.variable, "n=o=,=\u{1b}");
        assert!(refused.is_err() || setting.form == Form::Switch, "{}", setting.variable);
    }
    assert_eq!(check("PUNKTFUNK_LOG", "punktfunk=debug"), Ok(()));
}

#[test]
fn every_command_has_json_a_page_and_completions() {
    programs::assert_json(&Cli::command());
    programs::assert_pages_and_completions(&table(), USUAL_PLACE);
}
