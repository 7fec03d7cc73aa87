//! The word that was meant, if it is near enough to be named.

/// The nearest of `words`, by swaps, insertions, deletions and replacements of characters (Damerau and Levenshtein); none
/// where it would be a guess: more than a third of the word's characters off.
pub(crate) fn nearest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A long word is like none of ours, and comparing it would take time.
    let length = word.chars().count();
    if length > 64 {
        return None;
    }
    let off_by = |known: &&str| strsim::damerau_levenshtein(&word.to_lowercase(), &known.to_lowercase());
    let best = words.into_iter().min_by_key(off_by)?;
    (off_by(&best) <= (length.max(best.chars().count()) / 3).max(1)).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_mended_and_other_words_are_not() {
        let words = ["listen", "announce", "slices", "open"];
        for (slip, meant) in [
            ("lisetn", Some("listen")),
            ("Listen", Some("listen")),
            ("anounce", Some("announce")),
            ("slice", Some("slices")),
            ("opne", Some("open")),
            ("bitrate", None),
            ("", None),
        ] {
            assert_eq!(nearest(slip, words), meant, "{slip}");
        }
        assert_eq!(nearest(&"listen".repeat(100_000), words), None);
        assert_eq!(nearest("x", []), None);
    }
}
