//! A file in which every setting stands, each as a comment with what it is for.

use std::fmt::Write;

use crate::limits::LINE_CHARS_MAX;
use crate::table::{Setting, Table};

impl Table {
    /// The file, headed by `head`.
    pub fn example(&self, head: &str) -> String {
        let mut text = String::new();
        comment(&mut text, head);
        let mut section = "";
        for setting in self.all() {
            if setting.section() != section {
                section = setting.section();
                let _ = write!(text, "\n[{section}]\n");
            }
            text.push('\n');
            comment(&mut text, &sentence(&setting.help));
            comment(&mut text, &sentence(&ways(setting)));
            let value: &str = if setting.default.is_empty() { "…" } else { &setting.default };
            let _ = writeln!(text, "#{} = {value}", setting.name());
        }
        text
    }

    /// The same for a manual page, in roff.
    pub fn manual(&self, file: &str) -> String {
        let mut text = format!(
            ".SH SETTINGS\nRead from {}, a TOML file; variables stand over it, flags over them.\n",
            roff(file)
        );
        for setting in self.all() {
            let default = if setting.default.is_empty() {
                String::new()
            } else {
                format!(" Default: {}.", setting.default)
            };
            let _ = write!(
                text,
                ".TP\n\\fB{}\\fR\n{}{} {}\n",
                roff(setting.key),
                roff(&sentence(&setting.help)),
                roff(&default),
                roff(&sentence(&ways(setting))),
            );
        }
        text
    }
}

fn ways(setting: &Setting) -> String {
    match (setting.flag, setting.opposite) {
        (Some(flag), Some(opposite)) => {
            format!("Variable {}, flags --{flag} and --{opposite}", setting.variable)
        }
        (Some(flag), None) => format!("Variable {}, flag --{flag}", setting.variable),
        (None, _) => format!("Variable {}", setting.variable),
    }
}

fn sentence(text: &str) -> String {
    let text = text.trim();
    if text.ends_with(['.', '!', '?']) { text.to_owned() } else { format!("{text}.") }
}

/// Text in which roff finds nothing to do.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

/// Lines of a comment, broken between words.
fn comment(out: &mut String, text: &str) {
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > LINE_CHARS_MAX && line != "#" {
            let _ = writeln!(out, "{line}");
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(out, "{line}");
}
