//! One run in the userland: mounts, processes and a network of its own, which go with it.
//!
//! Promises: the userland and what is shared with it can be read there, and not be written; temporary folders are new and
//! empty; the program is root with a session's folder (`XDG_RUNTIME_DIR`), and knows nothing of this machine's
//! environment but `CI` and what makes it talk. Nothing in there leads back to this machine: its files are unmounted
//! before anything of the userland runs, its disks have no node, what the kernel lets root set in `/proc` and `/sys`
//! cannot be written, and root there has no capability to undo that ([`CAPABILITIES`]). A run is ended when it is late, when
//! somebody presses Ctrl-C, and when this program goes, with all that it started. Refuses: a network beyond the loopback.

use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::missing;
use crate::fault::Fault;
use crate::process::{self, Background, Interrupt};

/// What a run takes of this machine.
pub(super) const PROGRAMS: &[&str] = &["unshare", "setpriv", "mount", "mknod", "pivot_root"];

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

/// What root may do there: live as another user, reach and end that user's programs (desktops run as `nobody`), and be
/// scheduled first, as sound and screen servers are. Not: mount, make a node, open a file by its handle, or set anything
/// of the kernel's or of the network's.
const CAPABILITIES: &str =
    "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+sys_ptrace,+sys_nice";

/// What is done in them. Arguments: the userland, how many folders are shared, these, [`FURNISHED`], and what that takes.
const FURNISH: &str = r#"
umask 022
root=$1 shares=$2
shift 2
mount --bind "$root" "$root"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
for place in bus fs irq sys sysrq-trigger; do
    [ -e "$root/proc/$place" ] || continue
    mount --bind "$root/proc/$place" "$root/proc/$place"
    mount -o remount,bind,ro "$root/proc/$place"
done
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
mount -t tmpfs -o mode=755,nosuid,noexec tmpfs "$root/dev"
(
    cd "$root/dev"
    mknod -m 666 null c 1 3
    mknod -m 666 zero c 1 5
    mknod -m 666 full c 1 7
    mknod -m 666 random c 1 8
    mknod -m 666 urandom c 1 9
    mknod -m 666 tty c 5 0
    ln -s pts/ptmx ptmx
    ln -s /proc/self/fd fd
    ln -s fd/0 stdin
    ln -s fd/1 stdout
    ln -s fd/2 stderr
    mkdir pts shm
)
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,nosuid,noexec devpts "$root/dev/pts"
for folder in dev/shm tmp var/tmp; do mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/$folder"; done
for folder in run home root; do mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$root/$folder"; done
mkdir -p "$root/run/dbus" "$root/run/user/0" "$root/run/machine"
chmod 700 "$root/run/user/0"
while [ "$shares" -gt 0 ]; do
    mkdir -p "$root$1"
    mount --bind "$1" "$root$1"
    mount -o remount,bind,ro,nosuid,nodev "$root$1"
    shares=$((shares - 1))
    shift
done
mount -o remount,bind,ro,nodev "$root"
cd "$root"
pivot_root . run/machine
cd /
furnished=$1
shift
# The userland's shell: ours would keep a file of this machine's open for whoever looks at the first process.
exec /bin/sh -euc "$furnished" room "$@"
"#;

/// What is done once the userland is the root. Arguments: [`CAPABILITIES`], [`RUN`], and what that takes.
const FURNISHED: &str = r#"
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
umount -l /run/machine
rmdir /run/machine
ip link set lo up
capabilities=$1 run=$2
shift 2
exec setpriv --inh-caps=-all --bounding-set="$capabilities" -- /bin/sh -uc "$run" room "$@"
"#;

/// What runs the program. Arguments: the folder to run in, and the environment's settings, the program and its arguments.
const RUN: &str = r#"
folder=$1
shift
# Not by exec: the first process has to stay a shell, which buries what others leave behind.
env -i --chdir="$folder" "$@" </dev/null
exit "$?"
"#;

/// Whether its mounts are to be had: an empty folder becomes the root, and all is over.
const TRIAL: &str = "mount -t tmpfs tmpfs /tmp
mkdir /tmp/machine /tmp/sys
mount -t sysfs -o ro sysfs /tmp/sys
mknod /tmp/null c 1 3
cd /tmp
pivot_root . machine";

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

/// More runs at once than a machine that is only tested on has.
const RUNS_MAX: u32 = 16;

/// A userland to run in.
#[derive(Debug)]
pub(super) struct Room {
    /// Its root.
    pub(super) userland: PathBuf,
    /// Where the last run's words are.
    pub(super) console: PathBuf,
    /// Folders of this machine's that are to be read at the same place there.
    pub(super) shared: Vec<PathBuf>,
    /// What keeps others from making the userland anew meanwhile, and from writing to the console.
    pub(super) _held: Vec<File>,
}

/// Whether this machine lets us have what a run needs; an error that says so in a line.
pub(super) fn check() -> Result<(), Fault> {
    let mut apart = Command::new("setpriv");
    apart.args(APART).args(["sh", "-ec", TRIAL]);
    let ended = apart.stdin(Stdio::null()).output().map_err(Fault::io("run setpriv"))?;
    let said = String::from_utf8_lossy(&ended.stderr);
    match ended.status.success() {
        true => Ok(()),
        false => Err(missing(&format!("no namespaces or mounts are to be had here: {}", said.trim()))),
    }
}

/// A file in `folder` for a run's words that no other run writes to, and what keeps it so.
pub(super) fn console(folder: &Path) -> Result<(PathBuf, File), Fault> {
    for number in 1..=RUNS_MAX {
        let path = folder.join(format!("console-{number}"));
        let open = File::options().write(true).create(true).truncate(false).open(&path);
        let file = open.map_err(Fault::io(format!("open {}", path.display())))?;
        match file.try_lock() {
            Ok(()) => return Ok((path, file)),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(Fault::io("lock a console")(error)),
        }
    }
    Err(missing(&format!("{RUNS_MAX} runs are under way in {}", folder.display())))
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
        args.extend([FURNISHED, CAPABILITIES, RUN].map(OsString::from));
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
    use crate::suite;

    #[test]
    fn a_run_is_told_its_place_its_shares_and_its_words() {
        let room = Room {
            userland: "/t/root".into(),
            console: "/t/console".into(),
            shared: vec!["/a b".into(), "/t".into()],
            _held: Vec::new(),
        };
        let args = room.args(&["it's".to_owned(), "$HOME".to_owned()], Path::new("/a b/capture"));
        let after = args.iter().position(|word| word == "room").unwrap() + 1;
        assert_eq!(
            args[after..after + 8],
            ["/t/root", "2", "/a b", "/t", FURNISHED, CAPABILITIES, RUN, "/a b/capture"].map(OsString::from)
        );
        assert!(args.contains(&OsString::from("XDG_RUNTIME_DIR=/run/user/0")));
        assert_eq!(args[args.len() - 2..], ["it's", "$HOME"].map(OsString::from));
    }

    #[test]
    fn two_runs_have_two_consoles_and_a_third_has_the_first_ones() {
        let folder = tempfile::tempdir().unwrap();
        let (first, held) = console(folder.path()).unwrap();
        let (second, _held) = console(folder.path()).unwrap();
        assert_ne!(first, second);
        drop(held);
        assert_eq!(console(folder.path()).unwrap().0, first);
    }

    /// A room whose userland is this machine's own programs, as a bare Debian has them; none where rooms are not to be had.
    fn room(folder: &Path) -> Option<Room> {
        let is_here = |program: &&str| process::find(program).is_some();
        let prepared =
            match rustix::process::geteuid().is_root() && PROGRAMS.iter().chain(&["ip"]).all(is_here) {
                true => check(),
                false => Err(missing("it takes root, util-linux and iproute2")),
            };
        suite::unless_missing("a room of the newer userland", prepared).unwrap()?;
        let userland = folder.join("root");
        for name in ["usr", "etc", "proc", "sys", "dev", "tmp", "var/tmp", "run", "home", "root"] {
            std::fs::create_dir_all(userland.join(name)).unwrap();
        }
        for name in ["bin", "sbin", "lib", "lib64"] {
            std::os::unix::fs::symlink(Path::new("usr").join(name), userland.join(name)).unwrap();
        }
        let (console, held) = console(folder).unwrap();
        Some(Room { userland, console, shared: vec!["/usr".into()], _held: vec![held] })
    }

    fn run(room: &Room, script: &str, patience: Duration) -> (Option<u8>, String) {
        let words = ["sh", "-euc", script].map(str::to_owned);
        let code = room.run(&words, Path::new("/"), patience, &Interrupt::default()).unwrap();
        (code, std::fs::read_to_string(&room.console).unwrap())
    }

    /// Nothing that is tried here would do harm if it were let: files are opened to be written, and not written, and the
    /// node is of no disk.
    const ESCAPES: &str = r#"
refused() { if ("$@") 2>/dev/null; then echo "let: $*"; fi; }
opens() { : >>"$1"; }
beyond=$1
for door in /proc/[0-9]*/root /proc/[0-9]*/cwd; do
    [ "$(stat -Lc %d:%i "$door/")" = "$(stat -c %d:%i /)" ] || echo "a door: $door"
    refused [ -e "$door$beyond" ]
done
refused [ -e /run/machine ]
[ -z "$(find /dev -type b)" ] || echo "disks"
for file in /proc/sys/kernel/domainname /proc/sysrq-trigger /sys/class/net/lo/mtu /usr/is-written /etc/is-written; do
    refused opens "$file"
done
refused mknod /tmp/disk b 240 0
refused mount -o remount,bind,rw /
refused mount -t tmpfs tmpfs /tmp
refused umount /proc/sys
refused ip link set lo down
refused ip link add there type dummy
while read -r _ _ _ _ place options rest; do
    case "$options, ${rest#* - }" in
    ro,* | *" tmpfs "* | *" proc "* | *" devpts "*) ;;
    *) echo "can be written: $place $options $rest" ;;
    esac
done </proc/self/mountinfo
for process in self 1; do sed -n "s/^Cap\(Inh\|Prm\|Bnd\|Amb\):/$process \1/p" "/proc/$process/status"; done
"#;

    #[test]
    fn nothing_leads_from_a_room_to_its_machine() {
        let folder = tempfile::tempdir().unwrap();
        let Some(room) = room(folder.path()) else { return };
        let beyond = folder.path().join("beyond");
        std::fs::write(&beyond, "the machine's").unwrap();
        let script = ESCAPES.replace("beyond=$1", &format!("beyond={}", beyond.display()));
        let (code, said) = run(&room, &script, Duration::from_secs(30));
        assert_eq!(code, Some(0), "{said}");
        // chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap, sys_ptrace, sys_nice.
        let kept = [0, 1, 3, 4, 5, 6, 7, 8, 19, 23].map(|bit| 1_u64 << bit).iter().sum::<u64>();
        let (none, kept) = (format!("{:016x}", 0), format!("{kept:016x}"));
        let expected = ["self", "1"].iter().flat_map(|process| {
            [("Inh", &none), ("Prm", &kept), ("Bnd", &kept), ("Amb", &none)]
                .map(|(name, set)| format!("{process} {name}\t{set}"))
        });
        assert_eq!(said.lines().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }

    #[test]
    fn a_room_hands_its_programs_code_on_and_ends_with_all_that_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let Some(room) = room(folder.path()) else { return };
        let (code, said) = run(&room, "id -u; pwd; echo $XDG_RUNTIME_DIR; exit 7", Duration::from_secs(30));
        assert_eq!((code, said.as_str()), (Some(7), "0\n/\n/run/user/0\n"));

        // Nobody else's: the folder's name is in its words.
        let mark = folder.path().display().to_string();
        let sleeps =
            format!("sh -c 'sleep 60; : {mark}' & setsid sh -c 'sleep 60; : {mark}' & echo begun; wait");
        let began = std::time::Instant::now();
        let (code, said) = run(&room, &sleeps, Duration::from_secs(2));
        assert_eq!((code, said.as_str()), (None, "begun\n"));
        assert!(began.elapsed() < Duration::from_secs(20));
        let of_the_room = |process: &std::fs::DirEntry| {
            let words = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            words.windows(mark.len()).any(|part| part == mark.as_bytes())
        };
        let gone_by = std::time::Instant::now() + Duration::from_secs(10);
        while std::fs::read_dir("/proc").unwrap().flatten().any(|process| of_the_room(&process)) {
            assert!(std::time::Instant::now() < gone_by, "something of a room outlives it");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
