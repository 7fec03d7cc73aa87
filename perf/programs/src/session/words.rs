//! Numbers as a person reads them.

/// A duration, three digits of it, with its unit.
pub fn duration(nanoseconds: f64) -> String {
    let (value, unit) = split(nanoseconds);
    format!("{value} {unit}")
}

/// The same in two parts.
pub fn split(nanoseconds: f64) -> (String, &'static str) {
    let microseconds = nanoseconds / 1e3;
    match microseconds {
        _ if microseconds < 0.05 => ("0".to_owned(), "µs"),
        _ if microseconds < 999.5 => (three_digits(microseconds), "µs"),
        _ if microseconds < 999.5e3 => (three_digits(microseconds / 1e3), "ms"),
        _ => (three_digits(microseconds / 1e6), "s"),
    }
}

/// Three digits of a number: `0.42`, `3.29`, `21.1`, `345`, and all of those before the point.
pub fn three_digits(value: f64) -> String {
    let places = match value.abs() {
        size if size < 9.995 => 2,
        size if size < 99.95 => 1,
        _ => 0,
    };
    let text = format!("{value:.places$}");
    // What is whole needs no zeros behind it.
    if places == 2 && value.fract() == 0.0 { format!("{value:.0}") } else { text }
}

/// A count, its thousands apart.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `once`, `twice`, `3 times`.
pub fn times(number: u64) -> String {
    match number {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        many => format!("{} times", count(many)),
    }
}

/// So many letters of words, and a sign that there were more.
pub fn shortened(words: &str, letters: usize) -> String {
    match words.char_indices().nth(letters) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words.to_owned(),
    }
}

/// Words in lines of so many letters, broken between words where that can be; so many lines, and a sign that there was more.
pub fn wrapped(words: &str, letters: usize, lines: usize) -> Vec<String> {
    let mut rest = words.trim();
    let mut wrapped = Vec::new();
    while !rest.is_empty() {
        if wrapped.len() + 1 == lines {
            wrapped.push(shortened(rest, letters));
            break;
        }
        let end = rest.char_indices().nth(letters).map_or(rest.len(), |(end, _)| end);
        let end = match rest[..end].rfind(' ') {
            Some(space) if !rest[end..].is_empty() && !rest[end..].starts_with(' ') => space,
            Some(_) | None => end,
        };
        wrapped.push(rest[..end].trim_end().to_owned());
        rest = rest[end..].trim_start();
    }
    wrapped
}

/// `1 picture`, `2 pictures`.
pub fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A date and time of day, in UTC, of seconds since 1970 (civil from days, after Hinnant's proof of the calendar).
pub fn date(unix_s: f64) -> Option<String> {
    // Beyond the year 9999 there is no date of ours.
    if !(0.0..253_402_300_800.0).contains(&unix_s) {
        return None;
    }
    let seconds = unix_s as i64;
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let since = days + 719_468;
    let era = since.div_euclid(146_097);
    let day_of_era = since.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Some(format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", of_day / 3_600, of_day % 3_600 / 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_digits_and_their_unit() {
        for (nanoseconds, said) in [
            (0.0, "0 µs"),
            (420.0, "0.42 µs"),
            (5_000.0, "5 µs"),
            (97_400.0, "97.4 µs"),
            (999_600.0, "1.00 ms"),
            (3_290_000.0, "3.29 ms"),
            (21_053_439.0, "21.1 ms"),
            (345e6, "345 ms"),
            (1.2e9, "1.20 s"),
        ] {
            assert_eq!(duration(nanoseconds), said);
        }
    }

    #[test]
    fn counts_and_dates_are_as_people_write_them() {
        assert_eq!(
            (count(0), count(999), count(1_000), count(12_345_678)),
            ("0".into(), "999".into(), "1,000".into(), "12,345,678".into())
        );
        assert_eq!(counted(1, "picture"), "1 picture");
        assert_eq!(date(0.0).as_deref(), Some("1970-01-01 00:00 UTC"));
        assert_eq!(date(951_782_400.0).as_deref(), Some("2000-02-29 00:00 UTC"));
        assert_eq!(date(1_795_760_659.2).as_deref(), Some("2026-11-27 06:24 UTC"));
        assert_eq!((date(f64::NAN), date(-1.0), date(1e300)), (None, None, None));
    }

    #[test]
    fn long_words_are_broken_and_cut() {
        assert_eq!(wrapped("one two  three", 8, 3), ["one two", "three"]);
        assert_eq!(wrapped("äöüäöü äöü", 4, 3), ["äöüä", "öü", "äöü"]);
        assert_eq!(wrapped("one two three four", 5, 2), ["one", "two t…"]);
        assert_eq!(wrapped("  ", 5, 2), [""; 0]);
        assert_eq!((shortened("äöü", 3), shortened("äöü", 2)), ("äöü".into(), "äö…".into()));
    }
}
