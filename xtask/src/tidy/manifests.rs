//! The rules for Cargo.toml: every dependency stands once, in the root, with its reason.

use std::path::Path;

use super::{Finding, Rule};

/// Checks one manifest.
pub(super) fn check(path: &Path, raw: &str, findings: &mut Vec<Finding>) {
    let is_root = path == Path::new("Cargo.toml");
    let mut section = "";
    for (index, line) in raw.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
            continue;
        }
        let Some((name, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) else { continue };
        let what = if is_root && section == "workspace.dependencies" {
            let is_room = value.contains("path =");
            (!is_room && !has_reason(value)).then_some("say behind it what it is here for: # …")
        } else if section.ends_with("dependencies") {
            // `name.workspace = true` splits at the same sign.
            let inherits = name.trim().ends_with(".workspace") || value.contains("workspace = true");
            (!inherits).then_some("take it from the workspace, where its version and reason stand once")
        } else {
            None
        };
        if let Some(what) = what {
            findings.push(Finding {
                path: path.to_owned(),
                line: Some(index + 1),
                rule: Rule::Manifest,
                what: format!("{}: {what}", name.trim()),
            });
        }
    }
    let has_lints = raw.lines().any(|line| line.trim() == "[lints]");
    if !is_root && raw.contains("[package]") && !has_lints {
        let what = "takes no lints from the workspace: [lints] workspace = true".to_owned();
        findings.push(Finding { path: path.to_owned(), line: None, rule: Rule::Manifest, what });
    }
}

/// Whether a comment of more than a word stands behind the value. No value of ours holds a `#`.
fn has_reason(value: &str) -> bool {
    value.split_once('#').is_some_and(|(_, reason)| reason.trim().len() >= 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, raw: &str) -> usize {
        let mut findings = Vec::new();
        check(Path::new(path), raw, &mut findings);
        findings.len()
    }

    #[test]
    fn a_dependency_without_a_reason_is_caught() {
        let root = |line: &str| count("Cargo.toml", &format!("[workspace.dependencies]\n{line}\n"));
        assert_eq!(root("libc = \"0.2\" # calls that std has no words for"), 0);
        assert_eq!(root("punktfunk-fec = { path = \"fec\" }"), 0);
        assert_eq!(root("# a heading with a = sign"), 0);
        for bad in ["libc = \"0.2\"", "libc = \"0.2\" #", "libc = { version = \"0.2\" } # x"] {
            assert_eq!(root(bad), 1, "{bad}");
        }
    }

    #[test]
    fn a_version_in_a_room_is_caught() {
        let room = |line: &str| count("net/Cargo.toml", &format!("[lints]\n[dev-dependencies]\n{line}\n"));
        assert_eq!(room("libc.workspace = true"), 0);
        assert_eq!(room("libc = { workspace = true, features = [\"x\"] }"), 0);
        assert_eq!(room("libc = \"0.2\""), 1);
        assert_eq!(room("libc = { git = \"https://example.org\" }"), 1);
        assert_eq!(count("net/Cargo.toml", "[lints]\n[features]\nx = []\n[[bin]]\nname = \"y\"\n"), 0);
    }

    #[test]
    fn a_room_without_the_lints_is_caught() {
        assert_eq!(count("net/Cargo.toml", "[package]\nname = \"net\"\n"), 1);
        assert_eq!(count("net/Cargo.toml", "[package]\nname = \"net\"\n[lints]\nworkspace = true\n"), 0);
    }
}
