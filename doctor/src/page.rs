//! A diagnosis for a person's eyes, and the list of links for the manual.

use std::fmt::Write as _;

use punktfunk_manage::model::{CheckState, Diagnosis};

use crate::Link;

/// How wide a page of a terminal is taken to be.
const WIDTH: usize = 100;

/// A line for each link, what it costs or what to do under it, and a sum at the end.
pub fn page(diagnosis: &Diagnosis) -> String {
    let names = diagnosis.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let indent = 10 + names + 2;
    let mut page = String::new();
    for check in &diagnosis.checks {
        let head = format!("{:<10}{:<names$}  ", word(check.state), check.name);
        put(&mut page, &head, &check.found, indent);
        if !check.remedy.is_empty() {
            // In one piece, whatever its length: a command is copied from here.
            let _ = writeln!(page, "{:indent$}→ {}", "", check.remedy);
        }
    }
    let count = |state| diagnosis.checks.iter().filter(|check| check.state == state).count();
    let (ok, degraded, broken) =
        (count(CheckState::Ok), count(CheckState::Degraded), count(CheckState::Broken));
    let _ =
        writeln!(page, "\n{} links: {ok} OK, {degraded} degraded, {broken} broken", diagnosis.checks.len());
    page
}

fn word(state: CheckState) -> &'static str {
    match state {
        CheckState::Ok => "OK",
        CheckState::Degraded => "degraded",
        CheckState::Broken => "broken",
    }
}

/// `text` after `head`, its further lines under its beginning; a word is never cut.
fn put(page: &mut String, head: &str, text: &str, indent: usize) {
    page.push_str(head);
    let mut column = indent;
    for (index, word) in text.split_whitespace().enumerate() {
        let length = word.chars().count();
        if index > 0 && column + 1 + length > WIDTH {
            let _ = write!(page, "\n{:indent$}", "");
            column = indent;
        } else if index > 0 {
            page.push(' ');
            column += 1;
        }
        page.push_str(word);
        column += length;
    }
    page.push('\n');
}

/// The manual's table: each link, what is looked at, and what it costs where it is not so.
pub fn table() -> String {
    let mut table =
        String::from("| link | what is looked at | what it costs where it is not so |\n|---|---|---|\n");
    for link in Link::ALL {
        let _ = writeln!(table, "| `{}` | {} | {} |", link.name(), link.looks_at(), link.costs());
    }
    table
}

#[cfg(test)]
mod tests {
    use punktfunk_manage::model::Check;

    use super::*;

    #[test]
    fn a_page_has_every_line_its_remedy_under_it_and_a_sum() {
        let check = |name: &str, state, found: &str, remedy: &str| Check {
            name: name.into(),
            state,
            found: found.into(),
            remedy: remedy.into(),
        };
        let long = "word ".repeat(40);
        let diagnosis = Diagnosis {
            checks: vec![
                check("gso", CheckState::Ok, "trains of 44 datagrams", ""),
                check("udp-port", CheckState::Broken, "taken", "end it: kill 7"),
                check("mtu", CheckState::Degraded, &long, &"a command of some words ".repeat(6)),
            ],
        };
        let page = page(&diagnosis);
        assert!(
            page.starts_with("OK        gso       trains of 44 datagrams\nbroken    udp-port  taken\n"),
            "{page}"
        );
        assert!(page.contains("\n                    → end it: kill 7\n"), "{page}");
        assert!(page.contains(&"a command of some words ".repeat(6)), "{page}");
        assert!(page.ends_with("\n3 links: 1 OK, 1 degraded, 1 broken\n"), "{page}");
        let words = page.lines().filter(|line| line.contains("word word"));
        assert!(words.map(str::len).all(|length| length <= WIDTH), "{page}");
    }
}
