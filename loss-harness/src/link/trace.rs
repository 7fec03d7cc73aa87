//! A trace: what becomes of one datagram after the other, read from a file.
//!
//! ```text
//! # [@TIME] [COUNT] FATE, one a line; behind a # is a comment
//! 120 pass
//! 3 lost
//! corrupt
//! twice
//! late 3ms            # arrives 3 ms later than it would have
//! @1.5s 40 lost       # the first 40 datagrams sent at 1.5 s or later; until then all pass
//! ```
//!
//! Promises to be replayed exactly, datagram by datagram, and that all pass once it has ended. It refuses what is not
//! in this form, times that go back, and more than [`ENTRIES_MAX`] lines, naming the line, what was expected and what
//! came.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::units::Span;

/// Lines with a fate at most: a trace of ten million changes is a gigabyte of media at least.
pub const ENTRIES_MAX: usize = 10_000_000;
/// The longest file that is read.
pub const TRACE_BYTES_MAX: u64 = 256 << 20;
/// What a refusal shows of a line.
const SHOWN_CHARS: usize = 60;

/// Why a text is no trace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected {expected}, got `{got}`")]
pub struct TraceError {
    line: usize,
    expected: &'static str,
    got: String,
}

/// What a trace has for a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceFate {
    /// It arrives, unless something else on the link ends it.
    Pass,
    /// It does not.
    Lost,
    /// It arrives with a bit flipped.
    Corrupt,
    /// It arrives twice.
    Twice,
    /// It arrives so much later.
    Late(Duration),
}

/// One line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Not before this time.
    pub from: Option<Duration>,
    /// For so many datagrams.
    pub count: u32,
    /// What becomes of them.
    pub fate: TraceFate,
}

/// The lines of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trace {
    entries: Vec<Entry>,
}

impl Trace {
    /// Reads a trace.
    ///
    /// # Errors
    /// [`TraceError`] for the first line that is none.
    pub fn parse(text: &str) -> Result<Trace, TraceError> {
        let mut trace = Trace::default();
        let mut last = Duration::ZERO;
        for (index, line) in text.lines().enumerate() {
            let words = line.split('#').next().unwrap_or_default().trim();
            if words.is_empty() {
                continue;
            }
            let refused = |expected| TraceError {
                line: index + 1,
                expected,
                got: words.chars().take(SHOWN_CHARS).collect(),
            };
            let entry = entry_of(words).map_err(refused)?;
            if entry.from.is_some_and(|from| from < last) {
                return Err(refused("a time that does not go back"));
            }
            if trace.entries.len() == ENTRIES_MAX {
                return Err(refused("at most 10000000 lines"));
            }
            last = entry.from.unwrap_or(last);
            trace.entries.push(entry);
        }
        Ok(trace)
    }
}

fn entry_of(text: &str) -> Result<Entry, &'static str> {
    const FATE: &str = "a fate: `pass`, `lost`, `corrupt`, `twice` or `late TIME`";
    const COUNT: &str = "a count of 1 to 4294967295 datagrams";
    let mut words = text.split_whitespace().peekable();
    let from = match words.peek().and_then(|word| word.strip_prefix('@')) {
        Some(time) => {
            words.next();
            Some(time.parse::<Span>().map_err(|_| "a time up to 60s behind the @, such as `@1.5s`")?.0)
        }
        None => None,
    };
    let count = match words.peek() {
        Some(word) if word.starts_with(|first: char| first.is_ascii_digit()) => {
            let count = word.parse::<u32>().map_err(|_| COUNT)?;
            words.next();
            count
        }
        Some(_) | None => 1,
    };
    let fate = match (words.next(), words.next()) {
        (Some("pass"), None) => TraceFate::Pass,
        (Some("lost"), None) => TraceFate::Lost,
        (Some("corrupt"), None) => TraceFate::Corrupt,
        (Some("twice"), None) => TraceFate::Twice,
        (Some("late"), Some(by)) => {
            TraceFate::Late(by.parse::<Span>().map_err(|_| "a time up to 60s, such as `late 3ms`")?.0)
        }
        (Some(_) | None, Some(_) | None) => return Err(FATE),
    };
    match (count, words.next()) {
        (0, _) => Err(COUNT),
        (_, None) => Ok(Entry { from, count, fate }),
        (_, Some(_)) => Err(FATE),
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(from) = self.from {
            write!(f, "@{} ", Span(from))?;
        }
        if self.count != 1 {
            write!(f, "{} ", self.count)?;
        }
        match self.fate {
            TraceFate::Pass => f.write_str("pass"),
            TraceFate::Lost => f.write_str("lost"),
            TraceFate::Corrupt => f.write_str("corrupt"),
            TraceFate::Twice => f.write_str("twice"),
            TraceFate::Late(by) => write!(f, "late {}", Span(by)),
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entries.iter().try_for_each(|entry| writeln!(f, "{entry}"))
    }
}

/// A trace that is being replayed.
#[derive(Debug)]
pub struct Replay {
    trace: Arc<Trace>,
    index: usize,
    /// Datagrams that the line at `index` has had.
    had: u32,
}

impl Replay {
    /// From the trace's beginning.
    pub fn new(trace: Arc<Trace>) -> Replay {
        Replay { trace, index: 0, had: 0 }
    }

    /// What becomes of the next datagram, sent at `now`.
    pub fn step(&mut self, now: Duration) -> TraceFate {
        let Some(entry) = self.trace.entries.get(self.index) else { return TraceFate::Pass };
        if entry.from.is_some_and(|from| now < from) {
            return TraceFate::Pass;
        }
        self.had += 1;
        if self.had == entry.count {
            self.index += 1;
            self.had = 0;
        }
        entry.fate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry() -> impl Strategy<Value = Entry> {
        let fate = prop_oneof![
            Just(TraceFate::Pass),
            Just(TraceFate::Lost),
            Just(TraceFate::Corrupt),
            Just(TraceFate::Twice),
            (0u64..60_000_000).prop_map(|us| TraceFate::Late(Duration::from_micros(us))),
        ];
        (proptest::option::of(0u64..60_000_000), 1u32..50, fate).prop_map(|(from, count, fate)| Entry {
            from: from.map(Duration::from_micros),
            count,
            fate,
        })
    }

    fn trace() -> impl Strategy<Value = Trace> {
        proptest::collection::vec(entry(), 0..40).prop_map(|mut entries| {
            let mut times: Vec<_> = entries.iter().filter_map(|entry| entry.from).collect();
            times.sort_unstable();
            let mut times = times.into_iter();
            entries
                .iter_mut()
                .filter(|entry| entry.from.is_some())
                .for_each(|entry| entry.from = times.next());
            Trace { entries }
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(trace in trace()) {
            prop_assert_eq!(Trace::parse(&trace.to_string()), Ok(trace));
        }

        #[test]
        fn without_times_each_datagram_gets_its_line(entries in proptest::collection::vec(entry(), 0..40)) {
            let entries: Vec<_> = entries.into_iter().map(|entry| Entry { from: None, ..entry }).collect();
            let wanted: Vec<_> =
                entries.iter().flat_map(|entry| std::iter::repeat_n(entry.fate, entry.count as usize)).collect();
            let mut replay = Replay::new(Arc::new(Trace { entries }));
            for fate in wanted {
                prop_assert_eq!(replay.step(Duration::ZERO), fate);
            }
            prop_assert_eq!(replay.step(Duration::ZERO), TraceFate::Pass);
        }

        #[test]
        fn hostile_text_is_read_or_refused(text in "(?s).{0,200}") {
            let _ = Trace::parse(&text);
        }

        #[test]
        fn mutated_traces_never_panic(trace in trace(), at in any::<usize>(), byte in any::<u8>()) {
            let mut bytes = trace.to_string().into_bytes();
            if !bytes.is_empty() {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            if let Ok(mutated) = Trace::parse(&String::from_utf8_lossy(&bytes)) {
                let mut replay = Replay::new(Arc::new(mutated));
                for ms in 0..100 {
                    let _ = replay.step(Duration::from_millis(ms));
                }
            }
        }
    }

    #[test]
    fn a_time_holds_a_line_back() {
        let trace = Trace::parse("lost # first\n\n@10ms 2 lost\npass\nlost\n").unwrap();
        let mut replay = Replay::new(Arc::new(trace));
        let fates: Vec<_> =
            (0..10).map(|index| replay.step(Duration::from_millis(index * 3)) == TraceFate::Lost).collect();
        assert_eq!(fates, [true, false, false, false, true, true, false, true, false, false]);
    }

    #[test]
    fn refusals_name_the_line_and_what_was_expected() {
        for (text, wanted) in [
            ("pass\nlose\n", ["line 2", "`lost`"]),
            ("0 lost", ["line 1", "1 to 4294967295"]),
            ("4294967296 lost", ["line 1", "1 to 4294967295"]),
            ("12", ["line 1", "a fate"]),
            ("late", ["line 1", "late TIME"]),
            ("late 3", ["line 1", "3ms"]),
            ("late 3ms 3ms", ["line 1", "a fate"]),
            ("@ lost", ["line 1", "@1.5s"]),
            ("@2s lost\n@1s lost", ["line 2", "go back"]),
        ] {
            let error = Trace::parse(text).unwrap_err().to_string();
            assert!(wanted.iter().all(|part| error.contains(part)), "{text}: {error}");
        }
        let long = Trace::parse(&"x".repeat(1_000_000)).unwrap_err().to_string();
        assert!(long.len() < 200, "{long}");
    }
}
