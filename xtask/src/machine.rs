//! The facts about this machine that a figure needs beside it.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// CPU, cores, memory, kernel, distribution and the time, as far as they can be read.
pub(crate) fn facts() -> Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let unix_time_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    json!({
        "cpu": field(&read("/proc/cpuinfo"), "model name", ':'),
        "cores": cores,
        "memory": field(&read("/proc/meminfo"), "MemTotal", ':'),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "distribution": field(&read("/etc/os-release"), "PRETTY_NAME", '='),
        "unix_time_s": unix_time_s,
    })
}

/// The first value named `name` in lines of `name SEPARATOR value`, without quotes.
fn field(text: &str, name: &str, separator: char) -> Option<String> {
    text.lines()
        .filter_map(|line| line.split_once(separator))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim().trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name() {
        let text = "model\t: 85\nmodel name\t: Some CPU\nmodel name\t: Other\n";
        assert_eq!(field(text, "model name", ':').as_deref(), Some("Some CPU"));
        assert_eq!(
            field("NAME=x\nPRETTY_NAME=\"Debian 12\"", "PRETTY_NAME", '=').as_deref(),
            Some("Debian 12")
        );
        assert_eq!(field("", "MemTotal", ':'), None);
        assert!(facts()["cores"].as_u64() >= Some(1));
    }
}
