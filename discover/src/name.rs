//! Names that strangers give, made fit to be shown.
//!
//! Promises: nothing that a terminal acts on comes through, and no more than a label's bytes. Refuses nothing.

use crate::limits::NAME_BYTES_MAX;

/// What a terminal would act on instead of showing it: control characters, line and paragraph separators, and what turns
/// the reading direction (Unicode's `Bidi_Control`).
fn is_acted_on(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `name` with a `?` for each character that would be acted on, and cut to a label's length.
pub(crate) fn printable(name: &str) -> String {
    cut(&name.chars().map(|c| if is_acted_on(c) { '?' } else { c }).collect::<String>()).to_owned()
}

/// The longest beginning that is a label.
pub(crate) fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(NAME_BYTES_MAX)]
}

/// The name in an instance's full name: DNS-SD's escapes undone (RFC 6763, section 4.3), the service's type taken off.
pub(crate) fn of_instance(fullname: &str, service: &str) -> String {
    let Some(escaped) = fullname.strip_suffix(service).and_then(|rest| rest.strip_suffix('.')) else {
        return printable(fullname);
    };
    let mut name = String::with_capacity(escaped.len());
    let mut chars = escaped.chars();
    while let Some(c) = chars.next() {
        name.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
    }
    printable(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SERVICE;

    #[test]
    fn an_instances_name_comes_out_as_it_went_in() {
        for (full, name) in [
            ("desk._punktfunk._udp.local.", "desk"),
            (r"Dr\. No \\ 2._punktfunk._udp.local.", r"Dr. No \ 2"),
            ("._punktfunk._udp.local.", ""),
            ("something else", "something else"),
            ("\u{1b}[31mred\u{202e}._punktfunk._udp.local.", "?[31mred?"),
            (r"ends so\._punktfunk._udp.local.", r"ends so\"),
        ] {
            assert_eq!(of_instance(full, SERVICE), name, "{full:?}");
        }
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let long = "ä".repeat(100);
        assert_eq!(printable(&long), "ä".repeat(31));
        assert_eq!(cut("short"), "short");
    }
}
