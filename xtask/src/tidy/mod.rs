//! The rules of the house that a program can check, so that nobody has to remember them.
//!
//! Promises: each rule has a test with a bad sample that it must catch. A finding names the file, the line
//! and what to do. The same check runs as a test of this package and as `cargo xtask tidy`.
//!
//! Refuses: exceptions without a place in a list here; those lists only shrink, and an entry that is no
//! longer needed is itself a finding.

mod code;
mod manifests;
mod source;
mod text;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::fault::Fault;
use crate::workspace;
use source::Source;

/// Which rule was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    Floors,
    FileLength,
    FunctionLength,
    ModuleDoc,
    SafetyComment,
    ForbidUnsafe,
    Words,
    LineLength,
    Names,
    Calls,
    IgnoredTest,
    Manifest,
    Document,
}

/// A broken rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    pub(crate) path: PathBuf,
    pub(crate) line: Option<usize>,
    pub(crate) rule: Rule,
    pub(crate) what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {:?}: {}", self.rule, self.what)
    }
}

/// Checks the tree at `root`.
pub(crate) fn check(root: &Path) -> Result<Vec<Finding>, Fault> {
    let files = workspace::files(root)?;
    let mut findings = Vec::new();
    let mut sources = Vec::new();
    for path in files {
        if !text::is_ours(&path) {
            continue;
        }
        let raw =
            fs::read_to_string(root.join(&path)).map_err(Fault::io(format!("read {}", path.display())))?;
        text::check(&path, &raw, &mut findings);
        text::check_lines(&path, &raw, &mut findings);
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => sources.push(Source::new(path, raw)),
            Some("toml") if path.ends_with("Cargo.toml") => manifests::check(&path, &raw, &mut findings),
            Some(_) | None => {}
        }
    }
    for source in &sources {
        code::check(source, &mut findings);
    }
    code::check_lists(&sources, &mut findings);
    text::check_documents(root, &mut findings);
    findings.sort();
    Ok(findings)
}

/// Prints the findings; an error when there are any.
pub(crate) fn report(findings: &[Finding]) -> Result<(), Fault> {
    if findings.is_empty() {
        println!("tidy: every rule holds");
        return Ok(());
    }
    print!("{}", listing(findings));
    Err(Fault::Findings { count: findings.len() })
}

/// One finding a line.
pub(crate) fn listing(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("{finding}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_house_is_tidy() {
        let findings = check(&workspace::root().unwrap()).unwrap();
        assert!(findings.is_empty(), "\n{}", listing(&findings));
    }

    #[test]
    fn an_untidy_tree_is_reported() {
        let tree = tempfile::tempdir().unwrap();
        fs::write(tree.path().join("a.rs"), "fn get_it() {}\n").unwrap();
        let findings = check(tree.path()).unwrap();
        let rules: Vec<Rule> = findings.iter().map(|finding| finding.rule).collect();
        for rule in [Rule::ModuleDoc, Rule::Names, Rule::Document] {
            assert!(rules.contains(&rule), "{rule:?} is not in\n{}", listing(&findings));
        }
        assert!(matches!(report(&findings), Err(Fault::Findings { count }) if count == findings.len()));
        assert!(report(&[]).is_ok());
        assert!(listing(&findings).contains("a.rs:1: Names: "), "{}", listing(&findings));
    }
}
