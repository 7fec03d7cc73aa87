//! A Rust file taken apart as far as the rules need: code, comments, tests, functions.
//!
//! Promises: [`Source::code`] has the file's length and lines, with every comment's and literal's inside
//! blanked, so that a word in a string is no finding and offsets fit the raw text. Any text is taken; what
//! is no Rust gives nonsense, never a panic.
//!
//! Refuses: to be a parser. Macros that build items escape it.

use std::ops::Range;
use std::path::{Path, PathBuf};

/// A file and what was found in it.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) raw: String,
    /// The file with comments and literals blanked.
    pub(crate) code: String,
    /// The file with everything but comments blanked.
    pub(crate) comments: String,
    line_starts: Vec<usize>,
    is_test_file: bool,
    test_ranges: Vec<Range<usize>>,
}

/// A function's name and lines.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// Counted from 1.
    pub(crate) first_line: usize,
    /// From `fn` to its last brace.
    pub(crate) lines: usize,
}

impl Source {
    pub(crate) fn new(path: PathBuf, raw: String) -> Source {
        let (code, comments) = split(&raw);
        let line_starts =
            std::iter::once(0).chain(raw.match_indices('\n').map(|(offset, _)| offset + 1)).collect();
        let is_test_file = is_test_file(&path);
        let test_ranges = if is_test_file { Vec::new() } else { test_ranges(&code) };
        Source { path, raw, code, comments, line_starts, is_test_file, test_ranges }
    }

    /// The line of a byte offset, counted from 1.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    /// Whether the byte at `offset` is only there for tests.
    pub(crate) fn is_test(&self, offset: usize) -> bool {
        self.is_test_file || self.test_ranges.iter().any(|range| range.contains(&offset))
    }

    /// Where `word` stands in the code, not as a part of a longer word.
    pub(crate) fn words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        word_offsets(&self.code, word)
    }

    /// Every function with a body.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let mut functions = Vec::new();
        for start in self.words("fn") {
            let name = ident_after(&self.code, start + "fn".len());
            let Some(end) = item_end(&self.code, start).filter(|end| self.code[..*end].ends_with('}')) else {
                continue;
            };
            if let Some(name) = name {
                let first_line = self.line(start);
                let lines = self.line(end - 1) - first_line + 1;
                functions.push(Function { name: name.to_owned(), first_line, lines });
            }
        }
        functions
    }
}

/// The identifier that follows white space at `offset`.
pub(crate) fn ident_after(code: &str, offset: usize) -> Option<&str> {
    let rest = &code[offset..];
    let ident = rest.trim_start();
    let length = ident.find(|c: char| !is_word(c)).unwrap_or(ident.len());
    (ident.len() < rest.len() && length > 0).then(|| &ident[..length])
}

/// Offsets of `word` in `text`, whole words only.
pub(crate) fn word_offsets<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(word).map(|(offset, _)| offset).filter(move |offset| {
        let before = text[..*offset].chars().next_back();
        let after = text[offset + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Files that hold nothing but tests or benches.
fn is_test_file(path: &Path) -> bool {
    let folder = path
        .components()
        .any(|part| ["tests", "benches", "examples", "fuzz"].iter().any(|name| part.as_os_str() == *name));
    folder || path.file_name().is_some_and(|name| name == "tests.rs")
}

/// The items behind `#[cfg(test)]`, and functions behind `#[test]`.
fn test_ranges(code: &str) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for attribute in ["#[cfg(test)]", "#[cfg(all(test", "#[test]"] {
        for (start, _) in code.match_indices(attribute) {
            if let Some(end) = item_end(code, start) {
                ranges.push(start..end);
            }
        }
    }
    ranges
}

/// Where the item that begins at `start` (attributes and all) ends: behind its body or its semicolon.
fn item_end(code: &str, start: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (offset, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b';' if depth == 0 => return Some(offset + 1),
            b'{' if depth == 0 => return body_end(code, offset),
            _ => {}
        }
    }
    None
}

fn body_end(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (offset, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(offset + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// What a byte belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Code,
    Comment,
    Literal,
}

/// Code and comments, each with the rest blanked.
fn split(raw: &str) -> (String, String) {
    let bytes = raw.as_bytes();
    let (mut code, mut comments) = (Vec::with_capacity(bytes.len()), Vec::with_capacity(bytes.len()));
    let mut at = 0;
    while at < bytes.len() {
        let (part, length) = next_part(bytes, at);
        let end = (at + length).min(bytes.len());
        for byte in &bytes[at..end] {
            let blank = if *byte == b'\n' { b'\n' } else { b' ' };
            code.push(if part == Part::Code { *byte } else { blank });
            comments.push(if part == Part::Comment { *byte } else { blank });
        }
        at = end;
    }
    // Parts begin and end at ASCII bytes, so no character is cut.
    (String::from_utf8_lossy(&code).into_owned(), String::from_utf8_lossy(&comments).into_owned())
}

/// What stands at `at`, and how long it is (at least 1).
fn next_part(bytes: &[u8], at: usize) -> (Part, usize) {
    let rest = &bytes[at..];
    let behind_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if rest.starts_with(b"//") {
        return (Part::Comment, rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()));
    }
    if rest.starts_with(b"/*") {
        return (Part::Comment, block_comment(rest));
    }
    if rest[0] == b'"' {
        return (Part::Literal, quoted(rest, b'"'));
    }
    if rest[0] == b'\'' {
        return char_literal(rest).map_or((Part::Code, 1), |length| (Part::Literal, length));
    }
    if !behind_word {
        let prefix = rest.iter().take_while(|byte| matches!(byte, b'b' | b'c' | b'r')).count();
        if (1..=2).contains(&prefix)
            && rest[prefix - 1] == b'r'
            && let Some(length) = raw_string(&rest[prefix..])
        {
            return (Part::Literal, prefix + length);
        }
    }
    (Part::Code, 1)
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of a character literal; `None` for a lifetime.
fn char_literal(rest: &[u8]) -> Option<usize> {
    if rest.get(1) == Some(&b'\\') {
        return Some(quoted(rest, b'\''));
    }
    // One character of at most 4 bytes, then the quote.
    let close = (2..=5).find(|at| rest.get(*at) == Some(&b'\''))?;
    let is_one = std::str::from_utf8(&rest[1..close]).is_ok_and(|text| text.chars().count() == 1);
    is_one.then_some(close + 1)
}

/// The length of a raw string behind its `r`; `None` when there is none.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let hashes = rest.iter().take_while(|byte| **byte == b'#').count();
    if rest.get(hashes) != Some(&b'"') {
        return None;
    }
    let close: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let body = &rest[hashes + 1..];
    let end = body.windows(close.len()).position(|window| window == close);
    Some(end.map_or(rest.len(), |end| hashes + 1 + end + close.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(raw: &str) -> Source {
        Source::new(PathBuf::from("x/src/a.rs"), raw.to_owned())
    }

    #[test]
    fn literals_and_comments_are_blanked_and_nothing_else() {
        for (raw, code) in [
            ("a \"b\\\"c\" d", "a        d"),
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            ("r#\"a\"b\"# c", "         c"),
            ("br\"a\" c", "      c"),
            ("'a' 'static '\\'' b", "    'static      b"),
            ("'é' b", "     b"),
            ("barr\"x\"", "barr   "),
            ("r#type x", "r#type x"),
            ("\"unclosed", "         "),
            ("/* unclosed", "           "),
        ] {
            assert_eq!(source(raw).code, code, "{raw}");
        }
        assert_eq!(source("a // b\nc /* d */").comments, "  // b\n  /* d */");
    }

    #[test]
    fn any_bytes_are_taken() {
        let pieces = ["'", "\"", "r#", "/*", "*/", "//", "\\", "é", "{", "}", "fn a", "\n", "b", "#[test]"];
        let mut seed = 1_u64;
        for _ in 0..2000 {
            let mut raw = String::new();
            for _ in 0..12 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                raw.push_str(pieces[(seed >> 33) as usize % pieces.len()]);
            }
            let source = source(&raw);
            assert_eq!((source.code.len(), source.comments.len()), (raw.len(), raw.len()), "{raw:?}");
            let _ = source.functions();
        }
    }

    #[test]
    fn functions_have_their_lines() {
        let raw = "trait T { fn a(&self); }\nfn b<const N: usize>(x: [u8; 4]) -> [u8; N]\nwhere\n{\n  \"}\";\n}\n\
                   type F = fn(u8);\nimpl X { pub fn c() { if x { y } } }\n";
        let functions = source(raw).functions();
        let facts: Vec<_> = functions
            .iter()
            .map(|function| (function.name.as_str(), function.first_line, function.lines))
            .collect();
        assert_eq!(facts, [("b", 2, 5), ("c", 8, 1)]);
    }

    #[test]
    fn tests_are_told_from_the_rest() {
        let raw = "fn a() {}\n#[cfg(test)]\nmod tests { fn b() {} }\nfn c() {}\n#[test]\nfn d() { e }\n";
        let source = source(raw);
        let is_test = |name: &str| source.is_test(raw.find(name).unwrap());
        assert_eq!(["a()", "b()", "c()", "d()"].map(is_test), [false, true, false, true]);
        for path in ["x/tests/a.rs", "x/src/y/tests.rs", "benches/src/a.rs"] {
            assert!(Source::new(PathBuf::from(path), raw.to_owned()).is_test(0), "{path}");
        }
    }

    #[test]
    fn words_are_whole() {
        let source = source("fn unsafe_x() { unsafe {} } \"unsafe\" xunsafe");
        assert_eq!(source.words("unsafe").count(), 1);
        assert_eq!(source.line(source.raw.len()), 1);
        assert_eq!(Source::new(PathBuf::from("a.rs"), "a\nb\n".to_owned()).line(2), 2);
    }
}
