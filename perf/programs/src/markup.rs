//! Words in a page or a drawing: escaped, so that nothing a file says becomes markup.
//!
//! Promises: what comes out stands in an element's text or in a quoted attribute and means nothing there but itself.
//! Refuses: characters that XML cannot hold; a replacement stands in their place.

/// The words as markup.
pub fn escape(words: &str) -> String {
    words.chars().fold(String::with_capacity(words.len()), |mut escaped, character| {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\t' | '\n' => escaped.push(' '),
            other if is_acted_on(other) => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
        escaped
    })
}

/// Whether a character is acted on instead of shown: controls have no place in XML and give orders to a terminal; marks
/// that turn the direction of writing could dress one word up as another.
pub fn is_acted_on(character: char) -> bool {
    matches!(
        character,
        '\u{0}'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{fffe}'
            | '\u{ffff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_markup_comes_out() {
        let hostile = "</script><script>alert(\"1\")</script>&amp;'\0\u{1b}[31m\u{202e}\n";
        let escaped = escape(hostile);
        assert!(!escaped.contains(['<', '>', '"', '\'', '\0', '\u{1b}', '\u{202e}']), "{escaped}");
        assert!(escaped.starts_with("&lt;/script&gt;") && escaped.contains("&amp;amp;"), "{escaped}");
        assert_eq!(escape("Über µs – ≤ 5"), "Über µs – ≤ 5");
    }
}
