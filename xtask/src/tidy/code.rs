//! The rules for Rust files.

use std::path::Path;

use super::source::{Source, ident_after};
use super::{Finding, Rule};

/// A file that is longer is two nouns.
const FILE_LINES_MAX: usize = 700;
/// A function fits a screen.
const FUNCTION_LINES_MAX: usize = 70;

/// Files above the limit and their lines today. The list only shrinks, and so do its numbers.
const LONG_FILES: &[(&str, usize)] = &[];

/// Where a thread may sleep, and why. Elsewhere it waits for the thing itself.
const SLEEPERS: &[(&str, &str)] = &[
    ("capture/src/schedule.rs", "a paced source: waits for a picture's time"),
    ("client/src/connect.rs", "looks for the last pictures until a deadline"),
    ("cuda/src/event.rs", "looks at an event, whose own wait in the driver has no bound, until a deadline"),
    ("display/src/probe.rs", "looks for a version's answer until a deadline"),
    ("display/src/sway.rs", "looks for a socket until a deadline"),
    ("display/src/sway/content.rs", "looks for a process's end until a deadline"),
    ("display/src/sway/ipc.rs", "looks for an output until a deadline"),
    ("display/src/sway/processes.rs", "looks for a group's end until a deadline"),
    ("display/src/sway/supervise.rs", "looks for a process's end until a deadline"),
    ("engine/src/departure.rs", "the pacer's driver: waits for a departure time"),
    ("host/src/encode/annexb.rs", "a paced source: waits for a picture's time"),
    ("host/src/encode/bitstream.rs", "a paced source: waits for a picture's time"),
    ("host/src/encode/nvenc.rs", "waits for slices that another thread sends, which wakes nobody for each"),
    ("nvenc/src/live.rs", "asks a busy encoder again, until a deadline"),
    ("nvenc/src/live/reading.rs", "looks at an encoder that has no event to wait for, until a deadline"),
    ("perf/programs/src/cadence.rs", "a paced source: waits for a picture's time"),
    ("net/src/send.rs", "the bounded pause when even waiting is refused"),
];

/// Crates that need no unsafe and promise so, whatever they come to hold.
const SAFE_CRATES: &[&str] = &["control", "engine/proto", "perf", "xtask"];

/// What a type's name must not end with: words that say nothing, and the glossary's "not" words.
const EMPTY_SUFFIXES: &[&str] =
    &["Manager", "Helper", "Util", "Utils", "Data", "Info", "Packet", "Frame", "Worker", "Throttle"];

/// Checks one file.
pub(super) fn check(source: &Source, findings: &mut Vec<Finding>) {
    let mut found = Vec::new();
    check_length(source, &mut found);
    check_functions(source, &mut found);
    check_doc(source, &mut found);
    check_unsafe(source, &mut found);
    check_names(source, &mut found);
    check_calls(source, &mut found);
    check_ignored(source, &mut found);
    findings.extend(found.into_iter().map(|(line, rule, what)| Finding {
        path: source.path.clone(),
        line: Some(line),
        rule,
        what,
    }));
}

type Found = Vec<(usize, Rule, String)>;

fn check_length(source: &Source, found: &mut Found) {
    let lines = source.raw.lines().count();
    let excused = LONG_FILES.iter().any(|(path, _)| Path::new(path) == source.path);
    if lines > FILE_LINES_MAX && !excused {
        let what = format!("{lines} lines, at most {FILE_LINES_MAX}: it is more than one noun, part it");
        found.push((lines, Rule::FileLength, what));
    }
}

fn check_functions(source: &Source, found: &mut Found) {
    for function in source.functions() {
        if function.lines > FUNCTION_LINES_MAX {
            let what =
                format!("{} has {} lines, at most {FUNCTION_LINES_MAX}", function.name, function.lines);
            found.push((function.first_line, Rule::FunctionLength, what));
        }
    }
}

fn check_doc(source: &Source, found: &mut Found) {
    let first = source.raw.lines().find(|line| !line.trim().is_empty() && !line.starts_with("#!["));
    if !first.is_some_and(|line| line.starts_with("//!")) {
        let what = "begin with //!: what this is, what it promises, what it refuses".to_owned();
        found.push((1, Rule::ModuleDoc, what));
    }
}

fn check_unsafe(source: &Source, found: &mut Found) {
    for offset in source.words("unsafe") {
        let rest = source.code[offset + "unsafe".len()..].trim_start();
        if !(rest.starts_with('{') || rest.starts_with("impl")) {
            continue;
        }
        let line = source.line(offset);
        if !has_safety_comment(source, line) {
            found.push((line, Rule::SafetyComment, "say why it is sound: // SAFETY: … above it".to_owned()));
        }
    }
}

/// Looks at the line itself, then upwards through the statement that it is part of and the comments and
/// attributes above that.
fn has_safety_comment(source: &Source, line: usize) -> bool {
    let code: Vec<&str> = source.code.lines().collect();
    let comments: Vec<&str> = source.comments.lines().collect();
    let says = |index: usize| comments.get(index).is_some_and(|comment| comment.contains("SAFETY:"));
    let mut index = line - 1;
    let mut is_above_statement = false;
    loop {
        if says(index) {
            return true;
        }
        if index == 0 {
            return false;
        }
        index -= 1;
        let above = code[index].trim();
        let is_comment = above.is_empty() && !comments[index].trim().is_empty();
        let is_attribute = above.starts_with("#[");
        let ends_another = above.ends_with([';', '{', '}', ',']) || (above.is_empty() && !is_comment);
        if is_comment || is_attribute {
            is_above_statement = true;
        } else if is_above_statement || ends_another {
            return false;
        }
    }
}

fn check_names(source: &Source, found: &mut Found) {
    for keyword in ["struct", "enum", "trait", "union", "type"] {
        for offset in source.words(keyword) {
            let Some(name) = ident_after(&source.code, offset + keyword.len()) else { continue };
            // The word alone is another's to choose: an associated type of a trait that is not ours.
            let suffix =
                EMPTY_SUFFIXES.iter().find(|suffix| name.len() > suffix.len() && name.ends_with(*suffix));
            if let Some(suffix) = suffix {
                let what = format!("{name}: {suffix} is not a word of this house, see the glossary");
                found.push((source.line(offset), Rule::Names, what));
            }
        }
    }
    for offset in source.words("fn") {
        let name = ident_after(&source.code, offset + "fn".len()).unwrap_or_default();
        if name.starts_with("get_") {
            found.push((source.line(offset), Rule::Names, format!("{name}: leave the get_ out")));
        }
    }
}

fn check_calls(source: &Source, found: &mut Found) {
    let sleeps = SLEEPERS.iter().any(|(path, _)| Path::new(path) == source.path);
    let banned = [
        (concat!(".un", "wrap()"), "handle it, or expect(\"why it cannot happen\")", false),
        (concat!("to", "do!("), "finish it", true),
        (concat!("unimpl", "emented!("), "finish it", true),
        (concat!("db", "g!("), "take it out", true),
        (
            concat!("thread::", "sleep("),
            "wait for the thing itself; a blind sleep is late or too short",
            false,
        ),
    ];
    for (call, advice, in_tests_too) in banned {
        if sleeps && call.starts_with("thread") {
            continue;
        }
        for (offset, _) in source.code.match_indices(call) {
            if in_tests_too || !source.is_test(offset) {
                found.push((source.line(offset), Rule::Calls, format!("{call}: {advice}")));
            }
        }
    }
}

fn check_ignored(source: &Source, found: &mut Found) {
    for (offset, _) in source.code.match_indices("#[ignore") {
        let rest = &source.raw[offset..];
        let attribute = &rest[..rest.find(']').unwrap_or(rest.len())];
        if !(attribute.contains('"') && attribute.contains("cargo ")) {
            let what =
                "say why, and the command that runs it: #[ignore = \"needs …: cargo test …\"]".to_owned();
            found.push((source.line(offset), Rule::IgnoredTest, what));
        }
    }
}

/// Checks what takes more than one file: the lists above, and which crates forbid unsafe code.
pub(super) fn check_lists(sources: &[Source], findings: &mut Vec<Finding>) {
    check_long_files(LONG_FILES, sources, findings);
    check_sleepers(SLEEPERS, sources, findings);
    check_forbid(SAFE_CRATES, sources, findings);
}

fn check_long_files(list: &[(&str, usize)], sources: &[Source], findings: &mut Vec<Finding>) {
    for (path, listed) in list {
        let lines = sources.iter().find(|source| source.path == Path::new(path));
        let lines = lines.map_or(0, |source| source.raw.lines().count());
        let what = match lines {
            _ if lines <= FILE_LINES_MAX => "is not too long any more: strike it from LONG_FILES".to_owned(),
            _ if lines > *listed => format!("has grown from {listed} to {lines} lines: part it"),
            _ if lines < *listed => format!("has shrunk: write {lines} in LONG_FILES"),
            _ => continue,
        };
        findings.push(Finding { path: path.into(), line: None, rule: Rule::FileLength, what });
    }
}

fn check_sleepers(list: &[(&str, &str)], sources: &[Source], findings: &mut Vec<Finding>) {
    for (path, _) in list {
        let source = sources.iter().find(|source| source.path == Path::new(path));
        if !source.is_some_and(|source| source.code.contains(concat!("thread::", "sleep("))) {
            let what = "does not sleep: strike it from SLEEPERS".to_owned();
            findings.push(Finding { path: path.into(), line: None, rule: Rule::Calls, what });
        }
    }
}

/// A crate forbids unsafe code if it is listed or has none.
fn check_forbid(list: &[&str], sources: &[Source], findings: &mut Vec<Finding>) {
    for root in sources {
        let is_root = ["src/lib.rs", "src/main.rs"].iter().any(|name| root.path.ends_with(name));
        let Some(folder) = root.path.parent().and_then(Path::parent).filter(|_| is_root) else { continue };
        let folder_sources = folder.join("src");
        let uses_unsafe = sources
            .iter()
            .filter(|source| source.path.starts_with(&folder_sources))
            .any(|source| source.words("unsafe").next().is_some());
        let must = list.iter().any(|name| Path::new(name) == folder);
        if (must || !uses_unsafe) && !root.code.contains("#![forbid(unsafe_code)]") {
            let what = "needs no unsafe: promise it with #![forbid(unsafe_code)]".to_owned();
            findings.push(Finding { path: root.path.clone(), line: Some(1), rule: Rule::ForbidUnsafe, what });
        }
    }
}

#[cfg(test)]
mod tests;
