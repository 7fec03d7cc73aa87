//! Which names of a session are this machine's.
//!
//! Promises: a login over ssh with a forwarded display is told from a desktop at this machine. Refuses nothing.

/// Whether what `DISPLAY` names is of this machine: one with a host's name is forwarded from here to another.
pub fn is_local_display(name: &str) -> bool {
    name.starts_with(':') || name.starts_with("unix:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forwarded_display_is_not_this_machines() {
        for local in [":0", ":1.0", "unix:0"] {
            assert!(is_local_display(local), "{local}");
        }
        for other in ["", "localhost:10.0", "desk:10", "192.0.2.1:0", "[::1]:0"] {
            assert!(!is_local_display(other), "{other}");
        }
    }
}
