//! The processes of one desktop, found by their environment.
//!
//! Everything that sway starts inherits its `XDG_RUNTIME_DIR`, which is the name of a folder that was
//! made for this desktop alone. So the desktop's processes can be found whoever their parent is by now.
//!
//! Promises: [`kill_all_in`] leaves none alive. Refuses: to look at processes that it may not read.

use std::{fs, path::Path, thread, time::Instant};

use crate::limits::{POLL_INTERVAL, TERM_GRACE};

/// This process's effective user.
pub(super) fn effective_uid() -> u32 {
    // SAFETY: geteuid has no arguments, touches no memory of ours, and cannot fail.
    unsafe { libc::geteuid() }
}

/// Ids of the living processes of a desktop. Zombies have no environment and are not among them.
pub(super) fn all_in(runtime_dir: &Path) -> Vec<i32> {
    let mut wanted = b"XDG_RUNTIME_DIR=".to_vec();
    wanted.extend_from_slice(runtime_dir.as_os_str().as_encoded_bytes());
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    ids.filter(|&id| {
        fs::read(format!("/proc/{id}/environ"))
            .is_ok_and(|environ| environ.split(|&byte| byte == 0).any(|variable| variable == wanted))
    })
    .collect()
}

/// Kills all processes of a desktop, and those that they start meanwhile. Returns how many.
pub(super) fn kill_all_in(runtime_dir: &Path) -> usize {
    let started = Instant::now();
    let mut killed = 0;
    loop {
        let ids = all_in(runtime_dir);
        if ids.is_empty() || started.elapsed() > TERM_GRACE {
            return killed;
        }
        for id in ids {
            // SAFETY: kill takes two integers and touches no memory of ours. `id` is positive, so it
            // means one process, which a moment ago was of this desktop.
            if unsafe { libc::kill(id, libc::SIGKILL) } == 0 {
                killed += 1;
            }
        }
        thread::sleep(POLL_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn finds_and_kills_what_has_the_folder_in_its_environment() {
        let temp = tempfile::tempdir().unwrap();
        assert!(all_in(temp.path()).is_empty());
        let mut child =
            Command::new("sleep").arg("60").env("XDG_RUNTIME_DIR", temp.path()).spawn().expect("coreutils");
        let mut other = Command::new("sleep")
            .arg("60")
            .env("XDG_RUNTIME_DIR", temp.path().join("not-this-one"))
            .spawn()
            .expect("coreutils");
        // `spawn` returns once the program is executed; its environment may be shown a moment later.
        let started = Instant::now();
        while all_in(temp.path()) != [child.id() as i32] {
            assert!(started.elapsed() < TERM_GRACE, "{:?}", all_in(temp.path()));
            thread::sleep(POLL_INTERVAL);
        }
        // The child is ours, so it stays as a zombie that nobody counts.
        assert_eq!(kill_all_in(temp.path()), 1);
        assert!(!child.wait().unwrap().success());
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
