//! What a host's importers of pictures counted, by the last word of each in its log.
//!
//! Promises: several importers' counts are added up. Refuses a log without such a word: its host was not told by
//! [`LOG`] to say it.

/// What `PUNKTFUNK_LOG` has to be for it.
pub(crate) const LOG: &str = "info,punktfunk_gpu=debug";

/// What they counted.
pub(crate) struct ImporterCounts<'a>(Vec<&'a str>);

impl<'a> ImporterCounts<'a> {
    /// Those of the host that said this.
    pub(crate) fn of(log: &'a str) -> Self {
        let words: Vec<_> = log.lines().filter(|line| line.contains("an importer ends")).collect();
        assert!(!words.is_empty(), "no importer has ended: {log}");
        Self(words)
    }

    /// A counter by its name in `punktfunk_gpu::Counters`.
    pub(crate) fn count(&self, name: &str) -> u64 {
        let key = format!(" {name}: ");
        let of = |line: &str| {
            let digits = line.split_once(&key)?.1.split([',', ' ']).next()?;
            digits.parse::<u64>().ok()
        };
        self.0.iter().map(|line| of(line).unwrap_or_else(|| panic!("no {name} in {line}"))).sum()
    }

    /// How often the host's thread stood still: for a producer, for a picture to be read, for room.
    pub(crate) fn waits(&self) -> [u64; 3] {
        ["acquire", "hand_over", "full"].map(|what| self.count(&format!("host_waits_{what}")))
    }
}
