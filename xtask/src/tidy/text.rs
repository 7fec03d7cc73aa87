//! The rules for every text of ours: words that must not land, documents that must be there, lines that fit a screen.

use std::fs;
use std::path::Path;

use super::source::word_offsets;
use super::{Finding, Rule};

/// The house's map is read in one sitting.
const ARCHITECTURE_LINES_MAX: usize = 150;

/// Characters of a line of prose: a terminal's width shows it, and a change of one word is a change of one line.
const LINE_CHARS_MAX: usize = 120;

/// Folders whose pages and programs keep to that.
const SHORT_LINES: &[&str] = &["docs"];

/// Documents of the project that must be there.
const DOCUMENTS: &[&str] =
    &["README.md", "engine/ARCHITECTURE.md", "LICENSE-MIT", "LICENSE-APACHE", "deny.toml"];

/// Whole words that must not land, put together here so that this file passes.
const WORDS: &[(&str, &str)] = &[
    (concat!("TO", "DO"), "do it, or write an issue"),
    (concat!("FIX", "ME"), "fix it, or write an issue"),
    (concat!("XX", "X"), "say what it is"),
    (concat!("HA", "CK"), "say why it must be so"),
    (concat!("cla", "ude"), "the text speaks of the project only"),
    (concat!("ag", "ent"), "the text speaks of the project only"),
    (concat!("ag", "ents"), "the text speaks of the project only"),
];

/// Pieces of paths of one machine.
const PATHS: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/tmp/", "plan"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

/// Whether a file is text that the project's own people write.
pub(super) fn is_ours(path: &Path) -> bool {
    let by_ending = path.extension().and_then(|extension| extension.to_str()).is_some_and(|extension| {
        ["rs", "md", "toml", "sh", "py", "yml", "yaml", "json"].contains(&extension)
    });
    // npm writes this one, with the names of other people's packages.
    let is_lock = path.file_name().is_some_and(|name| name == "package-lock.json");
    (by_ending && !is_lock) || path.starts_with(".ci")
}

/// Checks the words of one file.
pub(super) fn check(path: &Path, raw: &str, findings: &mut Vec<Finding>) {
    for (index, line) in raw.lines().enumerate() {
        let mut found = |what: String| {
            findings.push(Finding { path: path.to_owned(), line: Some(index + 1), rule: Rule::Words, what });
        };
        let lower = line.to_lowercase();
        for (word, advice) in WORDS {
            // A cry is in capitals; the others in any.
            let is_cry = word.chars().all(char::is_uppercase);
            if word_offsets(if is_cry { line } else { &lower }, word).next().is_some() {
                found(format!("{word}: {advice}"));
            }
        }
        for piece in PATHS.iter().filter(|piece| line.contains(**piece)) {
            found(format!("{piece} is a path of one machine"));
        }
    }
}

/// Checks that the lines of a page or a program are short. A page's tables and code are as wide as they must be, and
/// where its links lead does not count.
pub(super) fn check_lines(path: &Path, raw: &str, findings: &mut Vec<Finding>) {
    let is_page = path.extension().is_some_and(|extension| extension == "md");
    let is_program = path.extension().is_some_and(|extension| extension == "py");
    if !(is_page || is_program) || !SHORT_LINES.iter().any(|folder| path.starts_with(folder)) {
        return;
    }
    let mut is_code = false;
    for (index, line) in raw.lines().enumerate() {
        let is_fence = is_page && line.trim_start().starts_with("```");
        is_code ^= is_fence;
        if is_page && (is_code || is_fence || line.starts_with('|')) {
            continue;
        }
        let chars = if is_page { chars_shown(line) } else { line.chars().count() };
        if chars > LINE_CHARS_MAX {
            let what = format!("{chars} characters, at most {LINE_CHARS_MAX}: break it");
            findings.push(Finding {
                path: path.to_owned(),
                line: Some(index + 1),
                rule: Rule::LineLength,
                what,
            });
        }
    }
}

/// Characters of a page's line, those of its links' targets left out.
fn chars_shown(line: &str) -> usize {
    let mut pieces = line.split("](");
    let first = pieces.next().unwrap_or_default().chars().count();
    let after_target = |piece: &str| piece.split_once(')').map_or(piece, |(_, rest)| rest).chars().count();
    first + pieces.map(after_target).sum::<usize>()
}

/// Checks that the documents are there, and the map short.
pub(super) fn check_documents(root: &Path, findings: &mut Vec<Finding>) {
    for name in DOCUMENTS {
        let text = fs::read_to_string(root.join(name)).unwrap_or_default();
        let lines = text.lines().count();
        let what = if lines == 0 {
            "is not there".to_owned()
        } else if name.ends_with("ARCHITECTURE.md") && lines > ARCHITECTURE_LINES_MAX {
            format!("{lines} lines, at most {ARCHITECTURE_LINES_MAX}: a map is not the land")
        } else {
            continue;
        };
        findings.push(Finding { path: name.into(), line: None, rule: Rule::Document, what });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(raw: &str) -> usize {
        let mut findings = Vec::new();
        check(Path::new("a.md"), raw, &mut findings);
        findings.len()
    }

    #[test]
    fn every_word_and_path_is_caught_and_its_neighbours_are_not() {
        for (word, _) in WORDS {
            assert_eq!(count(&format!("a {word}: b\n")), 1, "{word}");
            assert_eq!(count(&format!("x{word}x\n")), 0, "{word} inside another word");
        }
        let name = concat!("Cla", "ude");
        assert_eq!(count(name), 1, "in any case");
        for piece in PATHS {
            assert_eq!(count(&format!("see {piece}x\n")), 1, "{piece}");
        }
        assert_eq!(count("reagent, hackney, framework/x, rootfs\n"), 0);
    }

    #[test]
    fn long_lines_of_pages_and_programs_are_caught_and_what_cannot_be_broken_is_not() {
        let lines = |path: &str, raw: &str| {
            let mut findings = Vec::new();
            check_lines(Path::new(path), raw, &mut findings);
            findings.iter().map(|finding| finding.line).collect::<Vec<_>>()
        };
        let (longest, over) = ("ä".repeat(LINE_CHARS_MAX), "ä".repeat(LINE_CHARS_MAX + 1));
        let page = format!("{longest}\n{over}\n| {over} |\n```\n{over}\n```\n* {over}\n");
        assert_eq!(lines("docs/a.md", &page), [Some(2), Some(7)]);
        assert_eq!(lines("docs/second/a.py", &format!("# {over}\n# x\n| {over}\n")), [Some(1), Some(3)]);
        assert_eq!(lines("docs/a.json", &page), []);
        assert_eq!(lines("a/docs/a.md", &page), []);
        let link = |word: &str| format!("see [{word}](https://example.org/{over}), and more\n");
        assert_eq!(lines("docs/a.md", &link("there")), []);
        assert_eq!(lines("docs/a.md", &link(&over)), [Some(1)]);
    }

    #[test]
    fn missing_and_long_documents_are_caught() {
        let tree = tempfile::tempdir().unwrap();
        let count = || {
            let mut findings = Vec::new();
            check_documents(tree.path(), &mut findings);
            findings.len()
        };
        assert_eq!(count(), DOCUMENTS.len());
        fs::create_dir(tree.path().join("engine")).unwrap();
        for name in DOCUMENTS {
            fs::write(tree.path().join(name), "x\n").unwrap();
        }
        assert_eq!(count(), 0);
        let map = tree.path().join("engine/ARCHITECTURE.md");
        fs::write(&map, "x\n".repeat(ARCHITECTURE_LINES_MAX)).unwrap();
        assert_eq!(count(), 0);
        fs::write(&map, "x\n".repeat(ARCHITECTURE_LINES_MAX + 1)).unwrap();
        assert_eq!(count(), 1);
    }

    #[test]
    fn only_our_texts_are_read() {
        for (path, expected) in [
            ("a/b.rs", true),
            (".ci/run", true),
            ("README.md", true),
            ("Cargo.lock", false),
            ("web/package-lock.json", false),
            ("web/package.json", true),
            ("a.png", false),
        ] {
            assert_eq!(is_ours(Path::new(path)), expected, "{path}");
        }
    }
}
