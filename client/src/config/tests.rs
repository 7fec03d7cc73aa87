//! The table beside the command line, the packages, and what the rooms take. Promises: a flag or a command that nobody gave
//! a row, a page or JSON fails here, with what to do. Refuses nothing.

use std::fs;
use std::path::Path;

use clap::CommandFactory;

use super::*;

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

/// Every command that has a result prints it as JSON on request.
#[test]
fn every_command_has_json() {
    fn check(command: &clap::Command, way: &str) {
        for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
            let way = format!("{way} {}", below.get_name());
            let prints_for_others = ["completions", "man", "example"].contains(&below.get_name());
            let has_json = below.get_arguments().any(|arg| arg.get_long() == Some("json"));
            assert!(prints_for_others || has_json, "{way} needs a --json");
            check(below, &way);
        }
    }
    let mut command = Cli::command();
    command.build();
    check(&command, command.get_name());
}

/// Every command has a page, which a reader of such pages takes, and every shell a completion with each command in it.
#[test]
fn pages_and_completions_are_there_for_every_command() {
    let folder = tempfile::tempdir().unwrap();
    table().install(USUAL_PLACE, folder.path()).unwrap();
    let command = Cli::command();
    let name = command.get_name();
    let completions =
        ["bash-completion/completions/", "zsh/vendor-completions/_", "fish/vendor_completions.d/"];
    let completions = completions.map(|place| {
        let ending = if place.starts_with("fish") { ".fish" } else { "" };
        fs::read_to_string(folder.path().join(format!("{place}{name}{ending}"))).unwrap()
    });
    for below in command.get_subcommands() {
        let page = folder.path().join(format!("man/man1/{name}-{}.1", below.get_name()));
        assert!(fs::read_to_string(&page).is_ok_and(|page| page.starts_with(".ie")), "{}", page.display());
        assert!(completions.iter().all(|script| script.contains(below.get_name())), "{}", below.get_name());
    }
    let page = fs::read_to_string(folder.path().join(format!("man/man1/{name}.1"))).unwrap();
    for setting in table().all() {
        assert!(page.contains(&format!("\\fB{}\\fR", setting.key)), "{}", setting.key);
    }
    for page in fs::read_dir(folder.path().join("man/man1")).unwrap().flatten() {
        let mut man = std::process::Command::new("man");
        man.args(["--warnings", "--local-file"])
            .arg(page.path())
            .env("LC_ALL", "C.UTF-8")
            .env("MANWIDTH", "80");
        // Where there is no man nobody reads pages.
        let Ok(read) = man.output() else { return eprintln!("not checked: there is no `man` here") };
        let said = String::from_utf8_lossy(&read.stderr);
        assert!(read.status.success() && said.is_empty(), "{}: {said}", page.path().display());
    }
}
