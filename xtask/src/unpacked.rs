//! Debian packages that tests look with and that no machine should have for that: unpacked in `target`, not installed.
//!
//! Avahi is one: installed, its daemon would start, and start again at each boot, to tell the network about the machine.
//!
//! Promises: nothing of theirs is started, set up or left outside `target`; what is there is whole, or is made again.
//! Refuses: what these packages need of others, which a Debian with `apt` and `dbus-daemon` has.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::debian::Fetch;
use crate::fault::Fault;
use crate::{packages, suite, workspace};

/// Where the tests find it, below cargo's folder: `usr/bin`, `usr/sbin`, `usr/lib`.
const FOLDER: &str = "avahi";

/// What Avahi's programs link that is not on every Debian.
const LIBRARIES: &[&str] = &["libavahi-client3", "libavahi-common3", "libavahi-core7", "libdaemon0"];

/// How long the fetch may take, of less than a megabyte.
const PATIENCE: Duration = Duration::from_secs(120);

/// Sees to it that they are there; where they cannot be had, one line, and a failure only where `CI=true`.
pub(crate) fn ensure(root: &Path, install: bool) -> Result<(), Fault> {
    let folder = workspace::target_folder(root)?.join(FOLDER);
    let names: Vec<&str> =
        packages::UNPACKED.iter().map(|(name, _)| *name).chain(LIBRARIES.iter().copied()).collect();
    let stamp = folder.join("made-by");
    let recipe = format!("{}\n", names.join(" "));
    if !install || fs::read_to_string(&stamp).is_ok_and(|made_by| made_by == recipe) {
        return Ok(());
    }
    let made = make(&folder, &names)
        .and_then(|()| fs::write(&stamp, &recipe).map_err(Fault::io(format!("write {}", stamp.display()))));
    suite::unless_missing("Avahi's view of a host", made).map(|_| ())
}

fn make(folder: &Path, names: &[&str]) -> Result<(), Fault> {
    eprintln!("\n== these Debian packages are unpacked in {}, and not installed:", folder.display());
    for (name, reason) in packages::UNPACKED {
        eprintln!("  {name:<12} {reason}");
    }
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(Fault::io(format!("empty {}", folder.display())))?;
    }
    let scratch = folder.join("scratch");
    fs::create_dir_all(&scratch).map_err(Fault::io(format!("create {}", scratch.display())))?;
    let fetch = Fetch::new(&scratch, PATIENCE);
    // Root's folders are not for apt's own user.
    let words = ["apt-get", "download", "--quiet", "-o", "APT::Sandbox::User=root"];
    let words: Vec<&str> = words.into_iter().chain(names.iter().copied()).collect();
    if fetch.output(&words).is_err() {
        // There are no lists, or they are old.
        packages::update()?;
        fetch.output(&words)?;
    }
    for entry in fs::read_dir(&scratch).map_err(Fault::io("read what was fetched"))? {
        let path = entry.map_err(Fault::io("read what was fetched"))?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            let mut unpack = Command::new("dpkg-deb");
            crate::process::run(unpack.arg("-x").arg(&path).arg(folder).stdin(Stdio::null()))?;
        }
    }
    fs::remove_dir_all(&scratch).map_err(Fault::io("remove what was fetched"))
}
