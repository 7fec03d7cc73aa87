//! The userland itself: a folder with Debian's next release in it, made once.
//!
//! Promises: it is of [`SUITE`], from the mirror that this machine's apt is configured with, checked by Debian's own
//! key; what is there is whole, or is made again, also after a kill in the midst; two that want it at once make it once,
//! and nobody makes it anew while it is in use; a mirror that hangs is given up at [`PATIENCE`]. Refuses: recommended
//! packages, translations and manuals.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::debian::{Fetch, KEYRING};
use crate::fault::Fault;

/// The release after Debian's newest.
const SUITE: &str = "forky";

/// What is in it, beside what every Debian has.
const PACKAGES: &[&str] = &[
    // What is captured: compositors, with something that moves in them.
    "sway",
    "mutter",
    "foot",
    "fonts-dejavu-core",
    // How: PipeWire, its session's keeper, and the portals that hand a screen out.
    "pipewire",
    "pipewire-bin",
    "wireplumber",
    "xdg-desktop-portal",
    "xdg-desktop-portal-wlr",
    "dbus",
    "libglib2.0-bin",
    // A node that no compositor is behind.
    "gstreamer1.0-pipewire",
    "gstreamer1.0-plugins-base",
    "gstreamer1.0-tools",
    // Vulkan on the CPU that imports dmabufs, for the virtual machine's tests.
    "mesa-vulkan-drivers",
    // What the tests look and reach with, and what lets this machine's files go (umount).
    "iproute2",
    "mount",
    "procps",
];

/// How long making it may take: 210 MB at 3 Mbit/s take ten minutes, and unpacking one or two.
const PATIENCE: Duration = Duration::from_secs(900);

/// What a folder was made by: another recipe is another userland.
const RECIPE: u32 = 1;

/// Its root, below the folder.
pub(super) const ROOT: &str = "root";

/// The same in every userland, which D-Bus wants to know itself by.
const MACHINE_ID: &str = "70756e6b746675706e6b000000000001\n";

/// What apt and dpkg do otherwise than they would.
const OPTIONS: &[&str] = &[
    // A mirror or a cache that lags behind its archive for more than a week has lists that are past their date, and so has
    // every mirror for a machine whose clock is ahead. Debian's key signs them all the same; the date only keeps somebody
    // in between from handing out last month's packages, which are as good to test with.
    "--aptopt=Acquire::Check-Valid-Until \"false\"",
    "--aptopt=APT::Install-Recommends \"false\"",
    "--aptopt=Acquire::Languages \"none\"",
    "--aptopt=Acquire::Retries \"2\"",
    "--aptopt=Acquire::http::Timeout \"30\"",
    "--aptopt=Acquire::https::Timeout \"30\"",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
];

/// What makes it has mounts and processes of its own, so that a kill leaves neither.
const APART: &[&str] = &[
    "setpriv",
    "--pdeathsig",
    "KILL",
    "--",
    "unshare",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--propagation",
    "private",
];

/// Sees to it that the userland is in `folder`, and stays there as it is for as long as what is returned is held.
pub(super) fn ensure(folder: &Path) -> Result<File, Fault> {
    create(folder)?;
    let lock = folder.join("lock");
    let lock = File::create(&lock).map_err(Fault::io(format!("create {}", lock.display())))?;
    let refused = || Fault::io("lock the userland's folder");
    loop {
        lock.lock_shared().map_err(refused())?;
        if is_made(folder) {
            return Ok(lock);
        }
        // This lets go first, so that two who want it wait for each other only in turn.
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                eprintln!("\n== another run uses {} or makes it: waiting for its end", folder.display());
                lock.lock().map_err(refused())?;
            }
            Err(TryLockError::Error(error)) => return Err(refused()(error)),
        }
        if !is_made(folder) {
            make(folder)?;
        }
    }
}

fn stamp(folder: &Path) -> PathBuf {
    folder.join("made-by")
}

fn recipe() -> String {
    format!("{RECIPE} {SUITE} {}\n", PACKAGES.join(" "))
}

fn is_made(folder: &Path) -> bool {
    fs::read_to_string(stamp(folder)).is_ok_and(|made_by| made_by == recipe())
}

fn make(folder: &Path) -> Result<(), Fault> {
    let (stamp, root, scratch) = (stamp(folder), folder.join(ROOT), folder.join("scratch"));
    eprintln!(
        "\n== a newer userland is made in {} (Debian {SUITE}, about 210 MB to fetch: one to four minutes)",
        folder.display()
    );
    for old in [&stamp, &root, &scratch] {
        remove(old)?;
    }
    create(&scratch)?;
    let fetch = Fetch::new(&scratch, PATIENCE);
    let source = format!("deb [signed-by={KEYRING}] {} {SUITE} main", fetch.mirror()?);
    let (include, to) = (format!("--include={}", PACKAGES.join(",")), root.to_string_lossy());
    let mmdebstrap = ["mmdebstrap", "--variant=minbase", "--mode=root"];
    let words = APART.iter().chain(&mmdebstrap).chain(OPTIONS).copied();
    fetch.output(&words.chain([include.as_str(), SUITE, &to, &source]).collect::<Vec<_>>())?;
    write(&root.join("etc/machine-id"), MACHINE_ID)?;
    remove(&scratch)?;
    write(&stamp, &recipe())
}

fn create(folder: &Path) -> Result<(), Fault> {
    fs::create_dir_all(folder).map_err(Fault::io(format!("create {}", folder.display())))
}

fn write(path: &Path, text: &str) -> Result<(), Fault> {
    fs::write(path, text).map_err(Fault::io(format!("write {}", path.display())))
}

/// Takes away a file, or a folder with all that is in it, if it is there.
fn remove(path: &Path) -> Result<(), Fault> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(refused) if refused.kind() != std::io::ErrorKind::NotFound => {
            Err(Fault::Io { action: format!("remove {}", path.display()), source: refused })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_is_everybodys_to_use_and_nobodys_to_make() {
        let folder = tempfile::tempdir().unwrap();
        write(&stamp(folder.path()), &recipe()).unwrap();
        let (first, second) = (ensure(folder.path()).unwrap(), ensure(folder.path()).unwrap());
        let maker = File::open(folder.path().join("lock")).unwrap();
        assert!(matches!(maker.try_lock(), Err(TryLockError::WouldBlock)));
        drop(first);
        assert!(matches!(maker.try_lock(), Err(TryLockError::WouldBlock)));
        drop(second);
        maker.try_lock().unwrap();
    }
}
