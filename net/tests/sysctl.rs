//! The sysctl file that is shipped allows what the code asks for.

use punktfunk_net::limits::SOCKET_BUFFER_BYTES;

const FILE: &str = include_str!("../../packaging/sysctl/90-punktfunk.conf");

#[test]
fn the_shipped_limits_are_what_the_code_asks_for() {
    let settings: Vec<(&str, usize)> = FILE
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("no setting: {line:?}"));
            (name.trim(), value.trim().parse().unwrap_or_else(|_| panic!("no number: {line:?}")))
        })
        .collect();
    assert_eq!(
        settings,
        [("net.core.rmem_max", SOCKET_BUFFER_BYTES), ("net.core.wmem_max", SOCKET_BUFFER_BYTES)]
    );
}
