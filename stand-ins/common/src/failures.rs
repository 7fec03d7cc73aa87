//! Calls that fail on request: `CALL[:NTH][xCOUNT]=CODE[,…]`.
//!
//! `cuMemAlloc_v2=2` fails each call; `cuMemAlloc_v2:3=2` the third; `cuMemAlloc_v2:3x2=2` the third and the fourth;
//! `cuMemAlloc_v2x2=2` the first two. What a code is, the library knows.

use std::collections::HashMap;

/// The list, and how often each call was made since it came.
#[derive(Debug, Default)]
pub struct Failures {
    rules: Vec<Rule>,
    made: HashMap<String, u64>,
}

#[derive(Debug, PartialEq, Eq)]
struct Rule {
    call: String,
    first: u64,
    count: u64,
    code: String,
}

impl Failures {
    /// Reads a list.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn parse(list: &str) -> Result<Self, String> {
        let rules = list.split(',').map(str::trim).filter(|rule| !rule.is_empty());
        let rules = rules.map(|rule| Rule::parse(rule).ok_or_else(|| format!("no failure: {rule:?}")));
        Ok(Self { rules: rules.collect::<Result<_, _>>()?, made: HashMap::new() })
    }

    /// Counts a call, and says what it shall fail with.
    pub fn next(&mut self, call: &str) -> Option<String> {
        if self.rules.is_empty() {
            return None;
        }
        let made = self.made.entry(call.to_owned()).or_default();
        *made += 1;
        let rule = self
            .rules
            .iter()
            .find(|rule| rule.call == call && *made >= rule.first && *made - rule.first < rule.count)?;
        Some(rule.code.clone())
    }
}

impl Rule {
    fn parse(text: &str) -> Option<Self> {
        let (which, code) = text.split_once('=')?;
        let (call, nth, count) = match which.split_once(':') {
            Some((call, rest)) => match rest.split_once('x') {
                Some((nth, count)) => (call, Some(nth.parse().ok()?), Some(count.parse().ok()?)),
                None => (call, Some(rest.parse().ok()?), None),
            },
            // A name may have an x of its own: only one with digits to the end is a count.
            None => match which.rsplit_once('x').map(|(call, count)| (call, count.parse::<u64>())) {
                Some((call, Ok(count))) => (call, None, Some(count)),
                _ => (which, None, None),
            },
        };
        let count = count.unwrap_or(if nth.is_some() { 1 } else { u64::MAX });
        let first = nth.unwrap_or(1);
        let is_fine = !call.is_empty() && !code.is_empty() && first > 0 && count > 0;
        is_fine.then(|| Self { call: call.to_owned(), first, count, code: code.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of the first six calls fail.
    fn failing(list: &str) -> Vec<u64> {
        let mut failures = Failures::parse(list).unwrap();
        (1..=6).filter(|_| failures.next("call").is_some()).collect()
    }

    #[test]
    fn a_list_says_which_calls_fail() {
        assert_eq!(failing("call=7"), [1, 2, 3, 4, 5, 6]);
        assert_eq!(failing("call:3=7"), [3]);
        assert_eq!(failing("call:3x2=7"), [3, 4]);
        assert_eq!(failing("callx2=7"), [1, 2]);
        assert_eq!(failing("other=7, call:1=8,call:5=9"), [1, 5]);
        assert_eq!(failing(""), [0_u64; 0]);
        assert_eq!(Failures::parse("a=1,b=TWO").unwrap().next("b").as_deref(), Some("TWO"));
    }

    #[test]
    fn a_name_keeps_its_x() {
        assert_eq!(Failures::parse("maxBytes=1").unwrap().next("maxBytes").as_deref(), Some("1"));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for list in ["call", "=1", "call=", "call:0=1", "call:x=1", "call:1x0=1", "call:one=1"] {
            assert!(Failures::parse(list).is_err(), "{list}");
        }
    }
}
