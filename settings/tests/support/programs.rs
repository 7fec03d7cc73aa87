//! What holds of every program that has settings: its own tests ask for it.

use std::fs;
use std::path::Path;
use std::process::Command;

use punktfunk_settings::Table;

/// Every command that has a result prints it as JSON on request.
pub(crate) fn assert_json(command: &clap::Command) {
    let mut command = command.clone();
    command.build();
    assert_json_below(&command, command.get_name());
}

fn assert_json_below(command: &clap::Command, way: &str) {
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        let way = format!("{way} {}", below.get_name());
        let prints_for_others = ["completions", "man", "example"].contains(&below.get_name());
        let has_json = below.get_arguments().any(|arg| arg.get_long() == Some("json"));
        assert!(prints_for_others || has_json, "{way} needs a --json");
        assert_json_below(below, &way);
    }
}

/// Every command has a page, which a reader of such pages takes, and every shell a completion with each command in it; the
/// program's page has each setting.
pub(crate) fn assert_pages_and_completions(table: &Table, usual_place: &str) {
    let folder = tempfile::tempdir().unwrap();
    table.install(usual_place, folder.path()).unwrap();
    let name = table.command().get_name();
    let completions =
        ["bash-completion/completions/", "zsh/vendor-completions/_", "fish/vendor_completions.d/"];
    let completions = completions.map(|place| {
        let ending = if place.starts_with("fish") { ".fish" } else { "" };
        fs::read_to_string(folder.path().join(format!("{place}{name}{ending}"))).unwrap()
    });
    for below in table.command().get_subcommands() {
        let page = folder.path().join(format!("man/man1/{name}-{}.1", below.get_name()));
        assert!(fs::read_to_string(&page).is_ok_and(|page| page.starts_with(".ie")), "{}", page.display());
        assert!(completions.iter().all(|script| script.contains(below.get_name())), "{}", below.get_name());
    }
    let page = fs::read_to_string(folder.path().join(format!("man/man1/{name}.1"))).unwrap();
    for setting in table.all() {
        assert!(page.contains(&format!("\\fB{}\\fR", setting.key)), "{}", setting.key);
    }
    assert_readable(&folder.path().join("man/man1"));
}

/// A reader of manual pages takes all of these, without a warning.
fn assert_readable(pages: &Path) {
    for page in fs::read_dir(pages).unwrap().flatten() {
        let mut man = Command::new("man");
        man.args(["--warnings", "--local-file"]).arg(page.path());
        // Where there is no man nobody reads pages.
        let Ok(read) = man.env("LC_ALL", "C.UTF-8").env("MANWIDTH", "80").output() else {
            return eprintln!("not checked: there is no `man` here");
        };
        let said = String::from_utf8_lossy(&read.stderr);
        assert!(read.status.success() && said.is_empty(), "{}: {said}", page.path().display());
    }
}
