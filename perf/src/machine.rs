//! The machine that a log was written on, as comment lines of its head.
//!
//! Promises: `name: words`, one line each, in one order; nothing that the kernel does not tell. Refuses: the words of the
//! command line, which may hold what is nobody's business.

use std::fs;
use std::thread;

/// CPU, the cores that this process may use, kernel and distribution.
pub fn machine_facts() -> Vec<String> {
    let cpu = first_value(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default(), "model name", ':');
    let cores = thread::available_parallelism().ok().map(|cores| cores.to_string());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|text| text.trim().to_owned());
    let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let distribution = first_value(&system, "PRETTY_NAME", '=');
    let named = [("cpu", cpu), ("cores", cores), ("kernel", kernel), ("distribution", distribution)];
    named.into_iter().filter_map(|(name, value)| Some(format!("{name}: {}", value?))).collect()
}

/// The first value named `name` in lines of `name SEPARATOR value`, without quotes.
fn first_value(text: &str, name: &str, separator: char) -> Option<String> {
    text.lines()
        .filter_map(|line| line.split_once(separator))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim().trim_matches('"').to_owned())
        .filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_lines_of_a_name_and_words() {
        let facts = machine_facts();
        assert!(facts.iter().any(|fact| fact.starts_with("cores: ")), "{facts:?}");
        assert!(facts.iter().all(|fact| fact.contains(": ") && !fact.contains('\n')), "{facts:?}");
        let text = "model\t: 85\nmodel name\t: Some CPU\nmodel name\t: Other\n";
        assert_eq!(first_value(text, "model name", ':').as_deref(), Some("Some CPU"));
        assert_eq!(
            first_value("PRETTY_NAME=\"Debian 12\"", "PRETTY_NAME", '=').as_deref(),
            Some("Debian 12")
        );
        assert_eq!(first_value("a = \"\"", "a", '='), None);
    }
}
