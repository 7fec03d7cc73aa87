//! The layers as a program has them: its command line, its file, its variables.

#![allow(clippy::unwrap_used)] // clippy's leave for tests ends at the functions that they share

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use clap::{Arg, ArgAction, Command, value_parser};
use proptest::prelude::*;
use punktfunk_settings::{
    Entry, Faults, FileText, Form, Origin, Place, Resolved, Setting, Sources, Table, WriteError, resolve,
    write,
};

fn table() -> Table {
    let flag = |name: &'static str| Arg::new(name).long(name);
    let serve = Command::new("serve")
        .arg(
            flag("listen")
                .default_value("[::]:1")
                .help("Where to listen.")
                .value_parser(value_parser!(std::net::SocketAddr)),
        )
        .arg(flag("no-announce").action(ArgAction::SetTrue).overrides_with("announce").help("Do not tell."))
        .arg(flag("announce").action(ArgAction::SetTrue).overrides_with("no-announce"))
        .arg(flag("open").action(ArgAction::SetTrue).overrides_with("no-open").conflicts_with("trust"))
        .arg(flag("no-open").action(ArgAction::SetTrue).overrides_with("open"))
        .arg(flag("trust").action(ArgAction::Append))
        .arg(flag("slices").default_value("4").value_parser(value_parser!(u16).range(1..=16)))
        .arg(Arg::new("what").required(true));
    let all = flag("all").action(ArgAction::SetTrue).conflicts_with("identity");
    let token = Command::new("token").arg(flag("identity")).arg(all);
    let command = Command::new("prog").subcommand(serve).subcommand(token);
    let is_level = |_: &str, text: &str| {
        if ["on", "off", "7"].contains(&text) { Ok(()) } else { Err(format!("no such level: {text}")) }
    };
    let settings = vec![
        Setting::of_variable("level", "PUNKTFUNK_LEVEL", Form::Text, ("\"off\"", "How much."), is_level),
        Setting::of_flag("identity", "PUNKTFUNK_IDENTITY", "identity", Form::Text).by_hand(),
        Setting::of_flag("network.listen", "PUNKTFUNK_LISTEN", "listen", Form::Text),
        Setting::of_flag("network.announce", "PUNKTFUNK_ANNOUNCE", "no-announce", Form::Switch)
            .negated("Tell.")
            .or_else("announce"),
        Setting::of_flag("trust.open", "PUNKTFUNK_OPEN", "open", Form::Switch)
            .or_else("no-open")
            .excluding("trust.named"),
        Setting::of_flag("trust.named", "PUNKTFUNK_TRUST", "trust", Form::List).excluding("trust.open"),
        Setting::of_flag("picture.slices", "PUNKTFUNK_SLICES", "slices", Form::Number),
    ];
    Table::new(settings, &["PUNKTFUNK_CONFIG"], command)
}

fn file(text: &str) -> Option<FileText> {
    Some(FileText { path: "/x/host.toml".into(), text: text.into() })
}

/// The layers of this file, these variables and this command line; what holds, and the completed command line.
fn layered(
    text: &str,
    variables: &[(&str, &str)],
    words: &[&str],
) -> Result<(Resolved, Vec<OsString>), Faults> {
    let table = table();
    let words: Vec<OsString> = words.iter().map(OsString::from).collect();
    let matches = command().try_get_matches_from(&words).unwrap();
    let variables = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
    let sources = Sources { file: file(text), variables, flags: table.given(&matches) };
    let resolved = resolve(&table, &sources)?;
    let completed = table.completed(&words, &matches, &resolved);
    Ok((resolved, completed))
}

fn command() -> Command {
    table().command().clone()
}

fn of<'a>(resolved: &'a Resolved, key: &str) -> &'a Entry {
    resolved.entries().iter().find(|entry| entry.setting.key == key).unwrap()
}

fn faults(text: &str) -> Vec<String> {
    let faults = layered(text, &[], &["prog", "serve", "x"]).unwrap_err();
    faults.0.iter().map(ToString::to_string).collect()
}

#[test]
fn each_layer_stands_over_the_one_below_and_says_where() {
    let text =
        "level = \"on\"\n[network]\nlisten = \"1.2.3.4:5\"\nannounce = false\n\n[picture]\n  slices = 2\n";
    let variables = [("PUNKTFUNK_LISTEN", "1.2.3.4:6"), ("PUNKTFUNK_SLICES", "3"), ("HOME", "/")];
    let (resolved, words) = layered(text, &variables, &["prog", "serve", "x", "--slices", "5"]).unwrap();
    for (key, shown, origin, place) in [
        ("level", "\"on\"", Origin::File, "/x/host.toml:1:1"),
        ("network.listen", "\"1.2.3.4:6\"", Origin::Environment, "PUNKTFUNK_LISTEN"),
        ("network.announce", "false", Origin::File, "/x/host.toml:4:1"),
        ("picture.slices", "5", Origin::Flag, "--slices"),
        ("trust.open", "false", Origin::Default, "default"),
        ("trust.named", "[]", Origin::Default, "default"),
    ] {
        let entry = of(&resolved, key);
        assert_eq!(
            (entry.shown().as_str(), entry.origin(), entry.place.to_string().as_str()),
            (shown, origin, place)
        );
    }
    assert_eq!(words, ["prog", "serve", "x", "--slices", "5", "--listen=1.2.3.4:6", "--no-announce"]);
    assert_eq!(resolved.variable("PUNKTFUNK_LEVEL"), Some("on".into()));
    assert_eq!(resolved.variable("PUNKTFUNK_TRUST"), None);
    let (resolved, words) = layered("", &[], &["prog", "serve", "x"]).unwrap();
    assert_eq!((of(&resolved, "network.listen").shown().as_str(), words.len()), ("\"[::]:1\"", 3));
}

/// Another command gets what it has a flag for, and words behind two hyphens stay behind.
#[test]
fn a_command_gets_the_flags_that_it_has() {
    let text = "identity = \"/i\"\n[network]\nannounce = false\n";
    let (_, words) = layered(text, &[], &["prog", "token"]).unwrap();
    assert_eq!(words, ["prog", "token", "--identity=/i"]);
    let (_, words) = layered(text, &[], &["prog", "token", "--all"]).unwrap();
    assert_eq!(words, ["prog", "token", "--all"], "what the flags that were given exclude stays away");
    let (_, words) = layered(text, &[], &["prog", "serve", "--", "--x"]).unwrap();
    assert_eq!(words, ["prog", "serve", "--no-announce", "--", "--x"]);
}

#[test]
fn of_two_that_exclude_each_other_the_higher_one_holds() {
    let text = "[trust]\nopen = true\n";
    let (resolved, words) = layered(text, &[], &["prog", "serve", "x", "--trust", "ab"]).unwrap();
    assert_eq!(of(&resolved, "trust.open").value, None);
    assert!(!words.contains(&"--open".into()), "{words:?}");
    let both = faults("[trust]\nnamed = [\"ab\"]\nopen = true\n");
    assert_eq!(both, ["/x/host.toml:2:1: trust.named and trust.open cannot be had together"]);
    assert!(layered("[trust]\nnamed = [\"ab\"]\nopen = false\n", &[], &["prog", "serve", "x"]).is_ok());
}

/// What a switch's flag and its opposite make of what stands below them, and what the program is told then.
#[test]
fn a_flag_takes_back_what_the_file_or_a_variable_says() {
    let text = "[network]\nannounce = false\n[trust]\nopen = true\n";
    let base = ["prog", "serve", "x"];
    for (given, announce, open, added) in [
        (&[][..], ("false", Origin::File), ("true", Origin::File), &["--no-announce", "--open"][..]),
        (&["--announce"], ("true", Origin::Flag), ("true", Origin::File), &["--open"]),
        (&["--no-open"], ("false", Origin::File), ("false", Origin::Flag), &["--no-announce"]),
        (&["--open", "--no-open", "--announce"], ("true", Origin::Flag), ("false", Origin::Flag), &[]),
        (&["--no-open", "--open", "--no-announce"], ("false", Origin::Flag), ("true", Origin::Flag), &[]),
    ] {
        let words = [&base[..], given].concat();
        let (resolved, completed) = layered(text, &[], &words).unwrap();
        let said = ["network.announce", "trust.open"].map(|key| {
            let entry = of(&resolved, key);
            (entry.shown(), entry.origin())
        });
        assert_eq!(said, [(announce.0.into(), announce.1), (open.0.into(), open.1)], "{given:?}");
        assert_eq!(completed, [&words, added].concat(), "{given:?}");
        assert!(command().try_get_matches_from(completed).is_ok(), "{given:?}");
    }
    let (resolved, _) = layered(text, &[], &["prog", "serve", "x", "--no-open"]).unwrap();
    assert_eq!(of(&resolved, "trust.open").place.to_string(), "--no-open");
    let variables = [("PUNKTFUNK_OPEN", "on"), ("PUNKTFUNK_ANNOUNCE", "off")];
    let words = ["prog", "serve", "x", "--no-open", "--announce"];
    let (_, completed) = layered("", &variables, &words).unwrap();
    assert_eq!(completed, words);
}

/// What is taken back excludes nothing: the file's list of names holds again.
#[test]
fn an_exclusion_that_is_taken_back_is_none() {
    let text = "[trust]\nnamed = [\"ab\"]\n";
    let open = [("PUNKTFUNK_OPEN", "true")];
    let (resolved, words) = layered(text, &open, &["prog", "serve", "x"]).unwrap();
    assert_eq!((of(&resolved, "trust.named").value.as_ref(), words.len()), (None, 4), "{words:?}");
    let (resolved, words) = layered(text, &[("PUNKTFUNK_OPEN", "off")], &["prog", "serve", "x"]).unwrap();
    assert_eq!((of(&resolved, "trust.named").origin(), words.len()), (Origin::File, 4), "{words:?}");
    let (resolved, words) =
        layered("trust.open = true\n", &[("PUNKTFUNK_TRUST", "")], &["prog", "serve", "x"]).unwrap();
    assert_eq!((of(&resolved, "trust.open").origin(), &words[3]), (Origin::File, &"--open".into()));
    for variables in [&open[..], &[("PUNKTFUNK_OPEN", "false")], &[]] {
        let (resolved, words) = layered(text, variables, &["prog", "serve", "x", "--no-open"]).unwrap();
        assert_eq!(of(&resolved, "trust.named").origin(), Origin::File);
        assert_eq!(words, ["prog", "serve", "x", "--no-open", "--trust=ab"]);
        assert!(command().try_get_matches_from(words).is_ok());
    }
}

#[test]
fn every_fault_of_a_file_is_told_with_its_place_and_the_nearest_right_name() {
    let text = "listen = \"1.2.3.4:5\"\nlevl = \"on\"\nnetwork.lisetn = \"x\"\nnetwork.listen = 7\n[pitcure]\nslices = 2\n[picture]\nslices = 99\n[trust]\nnamed = [1]\nopen = \"yes\"\n";
    let expected = [
        (1, 1, "\"listen\" is no setting; did you mean network.listen?"),
        (2, 1, "\"levl\" is no setting; did you mean level?"),
        (3, 9, "\"network.lisetn\" is no setting; did you mean network.listen?"),
        (4, 18, "network.listen: must be text in quotes, and is an integer"),
        (5, 2, "\"pitcure\" is no section; did you mean [picture]?"),
        (8, 10, "picture.slices: 99 is not in 1..=16"),
        (10, 9, "trust.named: must be a list of texts in quotes"),
        (11, 8, "trust.open: must be true or false, and is a string"),
    ];
    let told = faults(text);
    let expected: Vec<String> =
        expected.iter().map(|(line, column, what)| format!("/x/host.toml:{line}:{column}: {what}")).collect();
    assert_eq!(told, expected, "{told:#?}");
    assert_eq!(
        faults("network = 3\n"),
        ["/x/host.toml:1:1: network is a section: write [network] on a line of its own"]
    );
    // What a name shares with all others brings none nearer, and a name may be taken for a section.
    let said = |text: &str| faults(text).remove(0);
    assert!(said("[picture]\nfps = 60\n").contains("\"picture.fps\" is no setting; [picture] has "));
    assert!(said("[network]\nport = 1\n").contains("\"network.port\" is no setting; [network] has listen"));
    assert!(said("[netwrok]\nx = 1\n").ends_with("did you mean [network]?"));
    assert!(said("netwrok.lisetn = 1\n").ends_with("did you mean [network]?"));
    assert!(said("[listen]\nx = 1\n").ends_with("\"listen\" is no section; did you mean network.listen?"));
    assert!(faults("[network]\nlisten = \"nowhere\"\n")[0].contains("invalid socket address"));
    assert!(faults("level = \"much\"\n")[0].ends_with("level: no such level: much"));
}

#[test]
fn a_wrong_form_is_told_with_what_else_is_wrong() {
    let twice = faults("level = \"on\"\nlevel = \"off\"\n");
    assert!(
        twice.len() == 1 && twice[0].starts_with("/x/host.toml:2:1: ") && twice[0].contains("duplicate"),
        "{twice:?}"
    );
    let several = faults("level = \n[picture]\nslices = 99\n[network\n");
    assert!(several.len() >= 3 && several.iter().any(|fault| fault.contains("1..=16")), "{several:#?}");
}

#[test]
fn wrong_variables_are_faults_and_unknown_ones_are_warned_of() {
    let wrong = [("PUNKTFUNK_SLICES", "many"), ("PUNKTFUNK_ANNOUNCE", "maybe"), ("PUNKTFUNK_LEVEL", "x")];
    let told = layered("", &wrong, &["prog", "serve", "x"]).unwrap_err().to_string();
    for said in
        ["PUNKTFUNK_SLICES: must be a whole number", "PUNKTFUNK_ANNOUNCE: must be on or off", "no such level"]
    {
        assert!(told.contains(said), "{said} in {told}");
    }
    let odd =
        [("PUNKTFUNK_LISTNE", "x"), ("PUNKTFUNK_CONFIG", "x"), ("PUNKTFUNK_\u{1b}", "x"), ("OTHER", "x")];
    let (resolved, _) = layered("", &odd, &["prog", "serve", "x"]).unwrap();
    let warnings: Vec<String> = resolved.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(warnings[0], "PUNKTFUNK_LISTNE: means nothing; did you mean PUNKTFUNK_LISTEN?");
    assert!(warnings.len() == 2 && !warnings[1].contains('\u{1b}'), "{warnings:?}");
    for name in ["PUNKTFUNK_MTU", "PUNKTFUNK_FPS", "PUNKTFUNK_PORT", "PUNKTFUNK_"] {
        let (resolved, _) = layered("", &[(name, "x")], &["prog", "serve", "x"]).unwrap();
        assert_eq!(resolved.warnings()[0].to_string(), format!("{name}: means nothing"));
    }
}

#[test]
fn the_example_is_a_file_that_says_nothing_and_names_everything() {
    let example = table().example("What this program is told.");
    assert!(example.lines().all(|line| line.chars().count() <= 120), "{example}");
    let (resolved, words) = layered(&example, &[], &["prog", "serve", "x"]).unwrap();
    assert!(resolved.entries().iter().all(|entry| entry.origin() == Origin::Default) && words.len() == 3);
    // Taken in, its lines are a file, but for those without a value.
    let taken: String = example
        .lines()
        .map(|line| if line.starts_with('#') && !line.starts_with("# ") { &line[1..] } else { line })
        .filter(|line| !line.ends_with('…'))
        .map(|line| format!("{line}\n"))
        .collect();
    let (resolved, _) = layered(&taken.replace("named = []\n", ""), &[], &["prog", "serve", "x"]).unwrap();
    assert!(resolved.entries().iter().filter(|entry| entry.origin() == Origin::File).count() >= 5, "{taken}");
    let manual = table().manual("~/.config/x.toml");
    assert!(manual.contains("\\fBnetwork.listen\\fR") && manual.contains("PUNKTFUNK_LISTEN"), "{manual}");
}

#[test]
fn a_setting_is_written_and_everything_else_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/host.toml");
    let put = |key, value| write(&table(), &path, key, value);
    let text = || fs::read_to_string(&path).unwrap();
    put("picture.slices", Some("3")).unwrap();
    assert_eq!(text(), "[picture]\nslices = 3\n");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    fs::write(&path, "# mine\nlevel = \"on\" # why\n\n[picture]\nslices = 3 # few\n").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    put("level", Some("\"off\"")).unwrap();
    put("picture.slices", Some("8")).unwrap();
    put("trust.named", Some("[\"ab\"]")).unwrap();
    assert_eq!(
        text(),
        "# mine\nlevel = \"off\" # why\n\n[picture]\nslices = 8 # few\n\n[trust]\nnamed = [\"ab\"]\n"
    );
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    put("trust.named", None).unwrap();
    put("network.listen", None).unwrap();
    assert!(text().ends_with("slices = 8 # few\n\n[trust]\n"), "{}", text());
    let before = text();
    for (key, value, said) in [
        ("picture.slice", "8", "did you mean picture.slices"),
        ("picture.slices", "80", "1..=16"),
        ("picture.slices", "\"8\"", "whole number"),
        ("level", "on\nother = 1", "text in quotes"),
        ("\u{1b}", "1", "there is no setting"),
    ] {
        let refused = put(key, Some(value)).unwrap_err().to_string();
        assert!(refused.contains(said) && !refused.contains('\u{1b}'), "{key}: {refused}");
    }
    assert_eq!(text(), before);
    // A file with faults is not touched, a link stays one, and nothing is left beside.
    let link = folder.path().join("link.toml");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    write(&table(), &link, "level", Some("\"on\"")).unwrap();
    assert!(link.is_symlink() && text().contains("level = \"on\" # why"));
    fs::write(&path, "wrong = 1\n").unwrap();
    assert!(matches!(put("level", Some("\"on\"")).unwrap_err(), WriteError::Faults(_)));
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

/// What a setting that is taken out leaves: every comment, and everything else as it was.
#[test]
fn comments_outlive_the_setting_they_are_about() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host.toml");
    let text = "# Mine. Keep it.\n# Loud.\nlevel = \"on\"\n\n[network]\n# Here.\nlisten = \"1.2.3.4:5\" # the old one\n\
                announce = true\n\n[picture]\n# Four were too many.\n\tslices = 2";
    for (key, left) in [
        ("level", text.replace("level = \"on\"\n", "")),
        ("network.listen", text.replace("listen = \"1.2.3.4:5\" #", "#")),
        ("network.announce", text.replace("announce = true\n", "")),
        ("picture.slices", text.replace("\tslices = 2", "")),
        ("trust.named", format!("{text}\n")),
    ] {
        fs::write(&path, text).unwrap();
        write(&table(), &path, key, None).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), left, "{key}");
        assert!(layered(&left, &[], &["prog", "serve", "x"]).is_ok());
    }
    // Lists of several lines, names with dots, and braces.
    for (key, text, left) in [
        (
            "trust.named",
            "[trust]\n# Us.\nnamed = [\n  \"ab\", # me\n  \"cd\",\n] # all\n",
            "[trust]\n# Us.\n# all\n",
        ),
        ("picture.slices", "# A.\r\npicture.slices = 2 # b\r\n", "# A.\r\n# b\r\n"),
        ("picture.slices", "# A.\npicture = { slices = 2 } # b\n", "# A.\npicture = {} # b\n"),
    ] {
        fs::write(&path, text).unwrap();
        write(&table(), &path, key, None).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), left, "{key}");
    }
    // A link that leads to no file yet stays one.
    let link = folder.path().join("link.toml");
    std::os::unix::fs::symlink("there.toml", &link).unwrap();
    write(&table(), &link, "level", Some("\"on\"")).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink() && folder.path().join("there.toml").is_file());
}

#[test]
fn files_that_are_none_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str| FileText::read(&folder.path().join(name));
    assert_eq!(read("none.toml"), Ok(None));
    fs::write(folder.path().join("large.toml"), vec![b'#'; 10_000_000]).unwrap();
    fs::write(folder.path().join("bytes.toml"), b"level = \"\xff\"").unwrap();
    for (name, said) in
        [("large.toml", "larger than 64 KiB"), ("bytes.toml", "not UTF-8 from byte 9"), (".", "no file")]
    {
        let fault = read(name).unwrap_err().to_string();
        assert!(fault.contains(said), "{fault}");
    }
    assert!(FileText::read(Path::new("/dev/zero")).unwrap_err().to_string().contains("no file"));
    for deep in ["[".repeat(60_000), "x=".to_owned() + &"[".repeat(60_000), "a.".repeat(30_000) + "b=1"] {
        assert!(!faults(&deep).is_empty());
    }
}

proptest! {
    /// Whatever the bytes, each fault has a place in them, and a terminal can show it.
    #[test]
    fn any_text_is_read_or_refused_in_words_that_can_be_shown(text in "[ -~\u{1b}\u{202e}ä\n\t]{0,300}") {
        check(&text)?;
    }

    #[test]
    fn any_toml_of_our_words_is_too(lines in prop::collection::vec(line(), 0..20)) {
        check(&lines.join("\n"))?;
    }

    /// What is written is what is read, and the rest of the file is as it was.
    #[test]
    fn what_is_written_is_read_again(level in "on|off|7", slices in 1..=16_u16, named in prop::collection::vec("[ -~\u{e4}\u{1b}\n]{0,20}", 0..4)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.toml");
        fs::write(&path, "# head\n[network]\nannounce = false # so\n").unwrap();
        let named = punktfunk_settings::Value::List(named);
        for (key, value) in [("level", format!("{level:?}")), ("picture.slices", slices.to_string()), ("trust.named", named.to_string())] {
            write(&table(), &path, key, Some(&value)).unwrap();
        }
        let text = fs::read_to_string(&path).unwrap();
        prop_assert!(text.contains("announce = false # so\n") && text.contains("# head\n"));
        let (resolved, _) = layered(&text, &[], &["prog", "serve", "x"]).unwrap();
        prop_assert_eq!(of(&resolved, "trust.named").value.clone(), Some(named));
        prop_assert_eq!(of(&resolved, "picture.slices").shown(), slices.to_string());
    }
}

fn line() -> impl Strategy<Value = String> {
    let word = "(level|network|listen|trust|named|open|picture|slices|x)";
    let value =
        "(1|99|-1|1e9|true|\"on\"|\"\\\\u001b\"|\\[\\]|\\[1, \"a\"\\]|\\{ a = 1 \\}|1979-05-27|\"\"\"|nan)";
    prop_oneof![
        (word, value).prop_map(|(word, value)| format!("{word} = {value}")),
        (word, word, value).prop_map(|(a, b, value)| format!("{a}.{b} = {value}")),
        word.prop_map(|word| format!("[{word}]")),
        word.prop_map(|word| format!("[[{word}]]")),
    ]
}

fn check(text: &str) -> Result<(), TestCaseError> {
    let Err(faults) = layered(text, &[], &["prog", "serve", "x"]) else { return Ok(()) };
    for fault in &faults.0 {
        let Place::File { line, column, .. } = &fault.place else {
            return Err(TestCaseError::fail(format!("{fault:?}")));
        };
        prop_assert!((1..=text.split('\n').count()).contains(line), "{}", fault);
        let of_line = text.split('\n').nth(line - 1).unwrap_or_default();
        prop_assert!((1..=of_line.chars().count() + 1).contains(column), "{}", fault);
        prop_assert!(!fault.to_string().contains(|c: char| c.is_control() || c == '\u{202e}'), "{:?}", fault);
    }
    Ok(())
}
