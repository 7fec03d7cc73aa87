//! One run of the machine: what it starts with, how it is started, and what is heard of it.
//!
//! Promises: the guest reads this machine's files and writes none; it is ended when it is late, when somebody presses
//! Ctrl-C, and when this program goes. Refuses: to believe a job's words about how it ended; its exit code comes by a
//! line of its own.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::archive::Archive;
use super::kernel::{KERNEL, MODULE_FOLDER, MODULE_ORDER};
use crate::fault::Fault;
use crate::process::{self, Background, Interrupt};

/// The guest's processors and megabytes.
const PROCESSORS: &str = "2";
const MEGABYTES: &str = "1024";

/// The program that does everything before the job is a program of this machine's.
const BUSYBOX: &str = "/bin/busybox";

/// What the kernel starts. This machine's root is below /host, with system folders of the guest's own over it; /tmp
/// stays this machine's, since what was built may lie there.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
for module in $(cat /modules/order); do insmod "/modules/$module" || echo "insmod $module was refused"; done
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=524288,cache=loose host /host
mount --bind /dev /host/dev
mount --bind /proc /host/proc
mount --bind /sys /host/sys
mkdir -p /dev/shm /dev/pts
mount -t tmpfs shm /dev/shm
mount -t devpts pts /dev/pts
mount -t tmpfs run /host/run
mkdir /host/run/tmp
cp /job /host/run/job
ip link set lo up
chroot /host /usr/bin/env -i HOME=/run/tmp TMPDIR=/run/tmp LANG=C.UTF-8 PUNKTFUNK_VM=1 CI=true \
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /bin/sh /run/job </dev/null >/dev/ttyS0 2>&1
echo $? >/dev/ttyS1
poweroff -f
"#;

/// A machine that was made.
#[derive(Debug)]
pub(super) struct Machine {
    folder: PathBuf,
}

impl Machine {
    /// The one whose kernel is in `folder`.
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Boots, runs the shell script `job` as root, and ends. What it says comes to our standard output.
    ///
    /// # Errors
    /// [`Fault::Guest`] for a job that ended with another code than 0, or a guest that said none.
    pub(super) fn run(&self, job: &str, patience: Duration, interrupt: &Interrupt) -> Result<(), Fault> {
        let [console, answer, log] = ["console", "answer", "qemu.log"].map(|name| self.folder.join(name));
        let first_files = self.folder.join("initramfs");
        fs::write(&first_files, self.first_files(job)?)
            .map_err(Fault::io("write the guest's first files"))?;
        for said in [&console, &answer] {
            File::create(said).map_err(Fault::io(format!("create {}", said.display())))?;
        }
        let program = process::find("qemu-system-x86_64")
            .ok_or_else(|| Fault::Machine { problem: "there is no qemu-system-x86_64".to_owned() })?;
        let args = self.args(&first_files, [&console, &answer]);
        let args: Vec<_> = args.iter().map(OsString::as_os_str).collect();
        let mut guest = Background::start(&program, &args, &[], &log, None)?;
        let status = match guest.follow(&console, patience, interrupt)? {
            Some(status) => status,
            None => return Err(guest.late(patience, "end its job")),
        };
        if !status.success() {
            return Err(guest.ended(status));
        }
        let answer = fs::read_to_string(&answer).map_err(Fault::io("read how the job ended"))?;
        match answer.trim().parse() {
            Ok(0) => Ok(()),
            Ok(code) => Err(Fault::Guest { code: Some(code), console }),
            Err(_) => Err(Fault::Guest { code: None, console }),
        }
    }

    /// The archive that the kernel unpacks: a shell, the modules, the job.
    fn first_files(&self, job: &str) -> Result<Vec<u8>, Fault> {
        let read = |path: &Path| fs::read(path).map_err(Fault::io(format!("read {}", path.display())));
        let mut archive = Archive::default();
        for folder in ["bin", "dev", "proc", "sys", "host", "modules"] {
            archive.folder(folder);
        }
        archive.file("bin/busybox", &read(Path::new(BUSYBOX))?, true);
        archive.file("init", INIT.as_bytes(), true);
        archive.file("job", job.as_bytes(), false);
        let modules = self.folder.join(MODULE_FOLDER);
        let order = read(&modules.join(MODULE_ORDER))?;
        archive.file("modules/order", &order, false);
        for name in String::from_utf8_lossy(&order).lines() {
            archive.file(&format!("modules/{name}"), &read(&modules.join(name))?, false);
        }
        Ok(archive.finish())
    }

    /// Software emulation: it needs no right, and a virtual machine's own KVM boots no stock kernel everywhere.
    fn args(&self, first_files: &Path, [console, answer]: [&Path; 2]) -> Vec<OsString> {
        let mut args: Vec<OsString> = Vec::new();
        let mut add = |words: &[&str]| args.extend(words.iter().map(OsString::from));
        add(&["-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", PROCESSORS, "-m", MEGABYTES]);
        add(&["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        add(&["-append", "console=ttyS0 quiet panic=-1 mitigations=off tsc=unstable random.trust_cpu=on"]);
        add(&["-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"]);
        let of = |prefix: &str, path: &Path| {
            let mut word = OsString::from(prefix);
            word.push(path);
            word
        };
        add(&["-device", "virtio-gpu-pci"]);
        args.extend([OsString::from("-kernel"), of("", &self.folder.join(KERNEL))]);
        args.extend([OsString::from("-initrd"), of("", first_files)]);
        for serial in [console, answer] {
            args.extend([OsString::from("-serial"), of("file:", serial)]);
        }
        args
    }
}
