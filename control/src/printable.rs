//! A peer's words, made fit for a terminal and a log.
//!
//! Promises: no character that moves a cursor, colours, ends a line or turns the reading direction comes
//! through; the text is never longer than it was. Refuses nothing: each such character becomes a `?`.

use quinn_proto::ConnectionError;

/// What a terminal or a log would act on instead of showing it: control characters (of both blocks), line
/// and paragraph separators, and what turns the reading direction (Unicode's `Bidi_Control`).
fn is_acted_on(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `text` with a `?` for each character that would be acted on.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if is_acted_on(c) { '?' } else { c }).collect()
}

/// The peer's reason for closing, which need not be text.
pub(crate) fn printable_bytes(bytes: &[u8]) -> String {
    printable(&String::from_utf8_lossy(bytes))
}

/// QUIC's own words for the end of a connection: they quote the peer's, which nobody may have proven to be.
pub(crate) fn printable_end(reason: &ConnectionError) -> String {
    printable(&reason.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_acts_on_is_replaced_and_nothing_else() {
        let acted_on = (0..0x20)
            .chain(0x7f..0xa0)
            .chain([0x61c, 0x200e, 0x200f])
            .chain(0x2028..=0x202e)
            .chain(0x2066..=0x2069)
            .filter_map(char::from_u32)
            .collect::<String>();
        assert_eq!(printable(&acted_on), "?".repeat(acted_on.chars().count()));
        let shown = "ä \u{a0} שלום مرحبا 🙂\u{200d}❤ ~ \u{fffd}";
        assert_eq!(printable(shown), shown);
        assert_eq!(printable_bytes(b"\x1b[31m\xff\r\n"), "?[31m\u{fffd}??");
    }
}
