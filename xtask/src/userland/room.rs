//! One run in the userland: mounts, processes and a network of its own, which go with it.
//!
//! Promises: the userland and what is shared with it can be read there, and not be written; temporary folders are new and
//! empty; the program is root with a session's folder (`XDG_RUNTIME_DIR`), and knows nothing of this machine's
//! environment but `CI` and what makes it talk. It is ended when it is late, when somebody presses Ctrl-C, and when this
//! program goes, with all that it started. Refuses: a network beyond the loopback.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::missing;
use crate::fault::Fault;
use crate::process::{self, Background, Interrupt};

/// Namespaces of its own; all ends with the first process in them, and that with us.
const APART: &[&str] = &[
    "--pdeathsig",
    "KILL",
    "--",
    "unshare",
    "--mount",
    "--pid",
    "--net",
    "--ipc",
    "--fork",
    "--kill-child",
    "--propagation",
    "private",
];

/// What is done in them. Arguments: the userland, how many folders are shared, these, the folder to run in, and the
/// environment's settings, the program and its arguments.
const FURNISH: &str = r#"
root=$1 shares=$2
shift 2
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
for folder in dev/shm tmp var/tmp; do mount -t tmpfs -o mode=1777 tmpfs "$root/$folder"; done
for folder in run home root; do mount -t tmpfs -o mode=755 tmpfs "$root/$folder"; done
mkdir -p "$root/run/dbus" "$root/run/user/0"
chmod 700 "$root/run/user/0"
while [ "$shares" -gt 0 ]; do
    mkdir -p "$root$1"
    mount --bind "$1" "$root$1"
    mount -o remount,bind,ro "$root$1"
    shares=$((shares - 1))
    shift
done
mount -o remount,bind,ro "$root"
chroot "$root" ip link set lo up
folder=$1
shift
# Not by exec: the first process has to stay a shell, which buries what others leave behind.
status=0
chroot "$root" /usr/bin/env -i --chdir="$folder" "$@" </dev/null || status=$?
exit "$status"
"#;

/// What a program there finds in its environment.
const ENVIRONMENT: &[&str] = &[
    "HOME=/root",
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG=C.UTF-8",
    "XDG_RUNTIME_DIR=/run/user/0",
    "PUNKTFUNK_USERLAND=1",
];

/// What of our own environment is passed on.
const PASSED_ON: &[&str] = &["CI", "RUST_BACKTRACE", "RUST_LOG"];

/// A userland to run in.
#[derive(Debug)]
pub(super) struct Room {
    /// Its root.
    pub(super) userland: PathBuf,
    /// Where the last run's words are.
    pub(super) console: PathBuf,
    /// Folders of this machine's that are to be read at the same place there.
    pub(super) shared: Vec<PathBuf>,
}

/// Whether this machine lets us have what a run needs; an error that says so in a line.
pub(super) fn check() -> Result<(), Fault> {
    let mut apart = Command::new("setpriv");
    apart.args(APART).args(["sh", "-ec", "mount -t tmpfs tmpfs /tmp"]);
    let ended = apart.stdin(Stdio::null()).output().map_err(Fault::io("run setpriv"))?;
    let said = String::from_utf8_lossy(&ended.stderr);
    match ended.status.success() {
        true => Ok(()),
        false => Err(missing(&format!("no namespaces or mounts are to be had here: {}", said.trim()))),
    }
}

impl Room {
    /// Where the last run's words are.
    pub(super) fn console(&self) -> PathBuf {
        self.console.clone()
    }

    /// Runs a program and its arguments in `folder`. What it says comes to our standard output. Its exit code: none if it
    /// was late, which is said, or was killed.
    pub(super) fn run(
        &self,
        words: &[String],
        folder: &Path,
        patience: Duration,
        interrupt: &Interrupt,
    ) -> Result<Option<u8>, Fault> {
        let setpriv = process::find("setpriv").ok_or_else(|| missing("there is no setpriv"))?;
        let args = self.args(words, folder);
        let args: Vec<&OsStr> = args.iter().map(OsString::as_os_str).collect();
        // unshare hears no SIGTERM, and nothing here has to be put away.
        let mut program = Background::start(&setpriv, &args, &[], &self.console, None)?.unasked();
        match program.follow(&self.console, patience, interrupt)? {
            Some(status) => Ok(status.code().and_then(|code| u8::try_from(code).ok())),
            None => {
                println!("\n-- ended: it was not done within {} s", patience.as_secs());
                Ok(None)
            }
        }
    }

    fn args(&self, words: &[String], folder: &Path) -> Vec<OsString> {
        let mut args: Vec<OsString> = APART.iter().map(OsString::from).collect();
        args.extend(["sh", "-euc", FURNISH, "room"].map(OsString::from));
        args.extend([self.userland.clone().into(), self.shared.len().to_string().into()]);
        args.extend(self.shared.iter().map(OsString::from));
        args.push(folder.into());
        args.extend(ENVIRONMENT.iter().map(OsString::from));
        for name in PASSED_ON {
            args.extend(std::env::var(name).map(|value| OsString::from(format!("{name}={value}"))));
        }
        args.extend(words.iter().map(OsString::from));
        args
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_told_its_place_its_shares_and_its_words() {
        let room = Room {
            userland: "/t/root".into(),
            console: "/t/console".into(),
            shared: vec!["/a b".into(), "/t".into()],
        };
        let args = room.args(&["it's".to_owned(), "$HOME".to_owned()], Path::new("/a b/capture"));
        let after = args.iter().position(|word| word == "room").unwrap() + 1;
        assert_eq!(
            args[after..after + 5],
            ["/t/root", "2", "/a b", "/t", "/a b/capture"].map(OsString::from)
        );
        assert!(args.contains(&OsString::from("XDG_RUNTIME_DIR=/run/user/0")));
        assert_eq!(args[args.len() - 2..], ["it's", "$HOME"].map(OsString::from));
    }
}
