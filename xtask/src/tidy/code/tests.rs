//! A bad sample for every rule, and a good one beside it.

use std::path::PathBuf;

use super::*;

fn source(path: &str, raw: &str) -> Source {
    Source::new(PathBuf::from(path), raw.to_owned())
}

/// The rules that `body` breaks behind a module doc.
fn broken(body: &str) -> Vec<Rule> {
    let mut findings = Vec::new();
    check(&source("x/src/a.rs", &format!("//! Doc.\n{body}\n")), &mut findings);
    findings.into_iter().map(|finding| finding.rule).collect()
}

#[test]
fn a_tidy_file_has_no_findings() {
    let tidy = "/// Doc.\npub fn a() -> u8 { b.expect(\"x is set above\") }\n// SAFETY: x.\nunsafe impl Y for X {}\n";
    assert_eq!(broken(tidy), []);
}

#[test]
fn long_files_and_functions_are_caught() {
    assert_eq!(broken(&"//\n".repeat(FILE_LINES_MAX)), [Rule::FileLength]);
    assert_eq!(broken(&"//\n".repeat(FILE_LINES_MAX - 2)), []);
    let function = |lines: usize| format!("fn a() {{\n{}}}", "  x;\n".repeat(lines - 2));
    assert_eq!(broken(&function(FUNCTION_LINES_MAX)), []);
    assert_eq!(broken(&function(FUNCTION_LINES_MAX + 1)), [Rule::FunctionLength]);
}

#[test]
fn a_file_without_a_doc_is_caught() {
    for (raw, is_good) in [
        ("//! Doc.\n", true),
        ("#![forbid(unsafe_code)]\n//! Doc.\n", true),
        ("// A comment.\n//! Doc.\n", false),
        ("use x;\n", false),
        ("", false),
    ] {
        let mut found = Vec::new();
        check_doc(&source("a.rs", raw), &mut found);
        assert_eq!(found.is_empty(), is_good, "{raw:?}");
    }
}

#[test]
fn unsafe_without_a_reason_is_caught() {
    for (body, is_good) in [
        ("// SAFETY: x.\nunsafe { y }", true),
        ("// SAFETY: x,\n// and so on.\n#[allow(x)]\nlet a = b(\n    unsafe { y });", true),
        ("// SAFETY: x.\nlet a: B =\n    unsafe { y };", true),
        ("let a = 1; // SAFETY: of another.\nunsafe { y }", false),
        ("// SAFETY: x.\nunsafe { y }\nunsafe { z }", false),
        ("// Quick.\nunsafe { y }", false),
        ("unsafe { y }", false),
        ("unsafe\n{ y }", false),
        ("unsafe impl Send for X {}", false),
        ("// SAFETY: x.\n\nunsafe { y }", false),
        ("unsafe fn a();", true),
        ("// unsafe { in words }", true),
        ("let a = \"unsafe { y }\";", true),
    ] {
        assert_eq!(!broken(body).contains(&Rule::SafetyComment), is_good, "{body}");
    }
}

#[test]
fn empty_names_are_caught() {
    for name in ["struct SessionManager;", "enum FrameData {}", "pub trait IoHelper {}", "type AuInfo = u8;"]
    {
        assert_eq!(broken(name), [Rule::Names], "{name}");
    }
    assert_eq!(broken("struct MediaPacket;"), [Rule::Names]);
    assert_eq!(broken("impl X { pub fn get_rate(&self) {} }"), [Rule::Names]);
    for name in [
        "struct Packetizer;",
        "type Data = u8;",
        "struct Metadata;",
        "fn target_get_x() {}",
        "let get_x = 1;",
    ] {
        assert_eq!(broken(name), [], "{name}");
    }
}

#[test]
fn banned_calls_are_caught_outside_of_tests() {
    for call in ["a.unwrap();", "std::thread::sleep(x);", "todo!()", "unimplemented!(\"x\")", "dbg!(x)"] {
        assert_eq!(broken(&format!("fn a() {{ {call} }}")), [Rule::Calls], "{call}");
    }
    for fine in
        ["a.unwrap_or(b)", "// a.unwrap()", "let a = \".unwrap()\";", "#[test]\nfn a() { b.unwrap(); }"]
    {
        assert_eq!(broken(fine), [], "{fine}");
    }
    assert_eq!(broken("#[cfg(test)]\nmod tests { fn a() { todo!() } }"), [Rule::Calls]);
}

#[test]
fn an_ignored_test_says_why_and_how() {
    for (attribute, is_good) in [
        ("#[ignore]", false),
        ("#[ignore = \"slow\"]", false),
        ("#[ignore = \"takes a minute: cargo test -p fec --release -- --ignored\"]", true),
    ] {
        let body = format!("#[test]\n{attribute}\nfn a() {{}}");
        assert_eq!(!broken(&body).contains(&Rule::IgnoredTest), is_good, "{attribute}");
    }
}

#[test]
fn lists_only_shrink() {
    let long = source("x/src/long.rs", &"//\n".repeat(800));
    let count = |listed: &[(&str, usize)]| {
        let mut findings = Vec::new();
        check_long_files(listed, std::slice::from_ref(&long), &mut findings);
        findings.len()
    };
    assert_eq!(count(&[("x/src/long.rs", 800)]), 0);
    assert_eq!(count(&[("x/src/long.rs", 801)]), 1, "it shrank");
    assert_eq!(count(&[("x/src/long.rs", 799)]), 1, "it grew");
    assert_eq!(count(&[("x/src/gone.rs", 800)]), 1, "it is gone");

    let mut findings = Vec::new();
    let sleeper = source("x/src/pacer.rs", "fn a() { std::thread::sleep(b); }");
    check_sleepers(&[("x/src/pacer.rs", "why")], std::slice::from_ref(&sleeper), &mut findings);
    assert!(findings.is_empty());
    check_sleepers(&[("x/src/other.rs", "why")], std::slice::from_ref(&sleeper), &mut findings);
    assert_eq!(findings.len(), 1);
}

#[test]
fn crates_without_unsafe_promise_it() {
    let count = |list: &[&str], sources: &[Source]| {
        let mut findings = Vec::new();
        check_forbid(list, sources, &mut findings);
        findings.len()
    };
    let promise = "#![forbid(unsafe_code)]";
    let uses = || source("a/src/b.rs", "unsafe { x }");
    assert_eq!(count(&[], &[source("a/src/lib.rs", promise)]), 0);
    assert_eq!(count(&[], &[source("a/src/lib.rs", "")]), 1, "it could promise");
    assert_eq!(count(&[], &[source("a/src/lib.rs", &format!("// {promise}"))]), 1, "a comment is no promise");
    assert_eq!(count(&[], &[source("a/src/main.rs", ""), uses()]), 0, "it cannot");
    assert_eq!(count(&["a"], &[source("a/src/lib.rs", ""), uses()]), 1, "it must");
    assert_eq!(count(&[], &[source("a/src/lib.rs", ""), source("a/tests/b.rs", "unsafe { x }")]), 1);
}
