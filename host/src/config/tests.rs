//! The table beside the command line, the packages, and what the rooms take. Promises: a flag or a command that nobody gave
//! a row, a page or JSON fails here, with what to do. Refuses nothing.

use std::fs;
use std::path::Path;

use clap::CommandFactory;

use super::*;

#[path = "../../../settings/tests/support/programs.rs"]
mod programs;

/// The flags of `serve`, without their hyphens.
fn flags() -> Vec<String> {
    let command = Cli::command();
    let serve = command.find_subcommand("serve").unwrap();
    serve.get_arguments().filter_map(|arg| arg.get_long().map(str::to_owned)).collect()
}

#[test]
fn every_flag_of_serve_is_a_setting_or_has_a_reason_not_to_be() {
    let (table, flags) = (table(), flags());
    for flag in &flags {
        let is_its = |setting: &Setting| [setting.flag, setting.opposite].contains(&Some(flag.as_str()));
        let is_setting = table.all().iter().any(is_its);
        let is_only_a_flag = FLAGS_ONLY.iter().any(|(only, _)| only == flag);
        assert!(
            is_setting != is_only_a_flag,
            "--{flag} must be either a setting or a flag only: add to table() in host/src/config.rs a row such as \
             flag(\"section.name\", \"PUNKTFUNK_NAME\", \"{flag}\", Form::Number), next to its section's others, and run \
             `cargo run -p punktfunk-host -- config example > packaging/host.toml.example`; or add it to FLAGS_ONLY there, \
             with the reason"
        );
    }
    let of_rows = table.all().iter().flat_map(|setting| [setting.flag, setting.opposite]).flatten();
    for flag in of_rows
        .chain(FLAGS_ONLY.iter().map(|(flag, _)| *flag))
        .filter(|flag| *flag != "help" && *flag != "config")
    {
        assert!(flags.iter().any(|known| known == flag), "serve has no --{flag} any more: take its row out");
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
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/host.toml.example");
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        kept,
        table().example(EXAMPLE_HEAD),
        "cargo run -p punktfunk-host -- config example > packaging/host.toml.example"
    );
}

#[test]
fn what_the_rooms_would_not_take_is_refused_with_their_reason() {
    for variable in [
        "PUNKTFUNK_LOG",
        BURST_VARIABLE,
        BACKEND_VARIABLE,
        SEAL_VARIABLE,
        CIPHER_VARIABLE,
        "PUNKTFUNK_STAGES",
        "PUNKTFUNK_FEC_KERNEL",
        "PUNKTFUNK_SPIN_US",
    ] {
        let refused = check(variable, "n=o=,=\u{1b}").unwrap_err();
        assert!(!refused.is_empty(), "{variable}");
    }
    assert!(check(PerfTarget::VARIABLE, ",1").is_err());
    for (variable, text) in [
        (BURST_VARIABLE, "128"),
        ("PUNKTFUNK_LOG", "punktfunk_host=debug"),
        (SEAL_VARIABLE, "ring"),
        (CIPHER_VARIABLE, "aes"),
        (BACKEND_VARIABLE, "scalar"),
        (PerfTarget::VARIABLE, "/tmp/x,1"),
        ("PUNKTFUNK_PIN", "off"),
        ("PUNKTFUNK_SPIN_US", "10"),
    ] {
        assert_eq!(check(variable, text), Ok(()), "{variable}");
    }
    assert_eq!(
        burst_kb("128"),
        Ok(punktfunk_proto::limits::BURST_BYTES_DEFAULT / 1024),
        "the table's default"
    );
}

/// The doors' and the place of the console itself are not a browser's to change.
#[test]
fn the_console_cannot_open_the_host() {
    for key in ["trust.open", "trust.fingerprints", "manage.listen", "identity", "machine.perf"] {
        assert!(!table().find(key).unwrap().is_for_console, "{key}");
    }
}

/// A flag holds over what the file says, whichever of the two it is.
#[test]
fn a_switch_is_taken_back_by_a_flag() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host.toml");
    fs::write(&path, "[network]\nannounce = false\n[trust]\nopen = true\n").unwrap();
    for (given, is_open, is_announced) in [
        (&[][..], true, false),
        (&["--no-open"], false, false),
        (&["--announce"], true, true),
        (&["--announce", "--no-open"], false, true),
        (&["--open", "--announce", "--no-announce"], true, false),
    ] {
        let words: Vec<OsString> = ["punktfunk-host", "serve", "--config", path.to_str().unwrap()]
            .iter()
            .chain(given)
            .map(OsString::from)
            .collect();
        let (cli, config) = Config::begin::<Cli>((FILE, table()), &words, Vec::new()).unwrap();
        let crate::cli::Command::Serve(args) = cli.command else { panic!("{given:?}") };
        assert_eq!((args.is_open(), args.is_announced()), (is_open, is_announced), "{given:?}");
        let shown = |key| config.resolved().entry(key).unwrap().shown();
        assert_eq!(
            (shown("trust.open"), shown("network.announce")),
            (is_open.to_string(), is_announced.to_string())
        );
    }
}

/// Whatever the file says, every command is told of it what it has a flag for, and takes that.
#[test]
fn every_command_takes_a_file_in_which_everything_stands() {
    let folder = tempfile::tempdir().unwrap();
    let uncommented = |line: &str| {
        let value = line.strip_prefix('#').filter(|line| line.contains(" = ") && !line.ends_with('…'));
        value.unwrap_or(if line.starts_with('[') { line } else { "" }).to_owned()
    };
    let defaults: Vec<String> = table().example("").lines().map(uncommented).collect();
    let others = "identity = \"/i\"\n[network]\nlisten = \"127.0.0.1:1\"\nannounce = false\nlink_kbps = 1000\n[trust]\n\
                  open = true\n[sessions]\nmax = 2\n[picture]\nsource = [\"card\", \"sway\"]\n[manage]\nlisten = \"off\"\n";
    let named = format!("[trust]\nfingerprints = [\"{}\"]\n", "ab".repeat(32));
    for text in [&defaults.join("\n"), others, &named] {
        let path = folder.path().join("host.toml");
        fs::write(&path, text).unwrap();
        for words in ways_to_call() {
            let words: Vec<OsString> =
                words.iter().map(OsString::from).chain(["--config".into(), path.clone().into()]).collect();
            let begun = Config::begin::<Cli>((FILE, table()), &words, Vec::new());
            begun.unwrap_or_else(|error| panic!("{words:?} with {text}: {error}"));
        }
    }
}

/// Each command with as few words as it takes.
fn ways_to_call() -> Vec<Vec<String>> {
    fn walk(command: &clap::Command, way: &[String], ways: &mut Vec<Vec<String>>) {
        let has_verb = command.get_subcommands().any(|below| below.get_name() != "help");
        if !(has_verb && command.is_subcommand_required_set()) {
            let needed = command.get_positionals().filter(|arg| arg.is_required_set());
            let value = |arg: &clap::Arg| {
                arg.get_possible_values().first().map_or("1".to_owned(), |value| value.get_name().to_owned())
            };
            ways.push(way.iter().cloned().chain(needed.map(value)).collect());
        }
        for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
            walk(below, &[way, &[below.get_name().to_owned()]].concat(), ways);
        }
    }
    let (mut command, mut ways) = (Cli::command(), Vec::new());
    command.build();
    walk(&command, &["punktfunk-host".to_owned()], &mut ways);
    assert!(ways.len() > 15, "{ways:?}");
    ways
}

#[test]
fn every_command_has_json_a_page_and_completions() {
    programs::assert_json(&Cli::command());
    programs::assert_pages_and_completions(&table(), USUAL_PLACE);
}

/// What the console is told and may change, with this file and these variables.
fn console(place: &Path, variables: &[(&str, &str)]) -> Config {
    let words = ["punktfunk-host", "serve", "--slices", "2", "--config"].map(OsString::from);
    let words = [&words[..], &[place.into()]].concat();
    let variables = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
    let begun = Config::begin::<Cli>((FILE, table()), &words, variables);
    begun.unwrap_or_else(|error| panic!("{error}")).1
}

#[test]
fn the_console_changes_the_file_and_nothing_that_stands_over_it() {
    use punktfunk_manage::Why;
    use punktfunk_manage::model::Origin;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host.toml");
    fs::write(&path, "[network]\nredundancy = \"auto\" # mine\n").unwrap();
    let config = console(&path, &[("PUNKTFUNK_SOURCE", "card")]);
    let all = settings(&config).unwrap();
    let of = |key: &str| all.iter().find(|setting| setting.key == key).unwrap();
    assert_eq!(of("network.redundancy").place, format!("{}:2:1", path.display()));
    let origins =
        ["network.redundancy", "picture.source", "picture.slices", "sessions.max"].map(|key| of(key).origin);
    assert_eq!(origins, [Origin::File, Origin::Environment, Origin::Flag, Origin::Default]);
    let writable = ["network.redundancy", "picture.source", "picture.slices", "sessions.max", "trust.open"];
    assert_eq!(writable.map(|key| of(key).writable), [true, false, false, true, false]);

    let changed = change(&config, "network.redundancy", Some("\"20\"")).unwrap();
    assert_eq!((changed.value.as_str(), changed.needs_restart), ("\"20\"", true));
    assert_eq!(fs::read_to_string(&path).unwrap(), "[network]\nredundancy = \"20\" # mine\n");
    assert_eq!(change(&config, "sessions.max", Some("2")).unwrap().origin, Origin::File);
    assert_eq!(change(&config, "sessions.max", None).unwrap().origin, Origin::Default);
    for (key, value, why, said) in [
        ("picture.source", "[\"sway\"]", Why::Conflict, "PUNKTFUNK_SOURCE"),
        ("picture.slices", "3", Why::Conflict, "--slices"),
        ("trust.open", "true", Why::Conflict, "who gets in"),
        ("machine.perf", "\"/etc\"", Why::Conflict, "a place on the disk"),
        ("sessions.max", "99", Why::Invalid, "1..=16"),
        ("sessions.mx", "1", Why::NotFound, "no such setting"),
        ("network.listen", "\"x\" # y\n[trust]\nopen = true", Why::Invalid, "text in quotes"),
    ] {
        let refused = change(&config, key, Some(value)).unwrap_err();
        assert!(refused.why == why && refused.error.contains(said), "{key}: {refused:?}");
    }
    fs::write(&path, "wrong = 1\n").unwrap();
    assert_eq!(settings(&config).unwrap_err().why, Why::Conflict);
}
