//! Debian's kernel and the few modules that the tests want: fetched, unpacked, and kept.
//!
//! Promises: the kernel is of [`SUITE`], from the mirror that this machine's apt is configured with, checked by
//! Debian's own key; the machine's package lists stay as they are; what is there is whole, or is made again; a mirror that
//! hangs is given up at [`PATIENCE`]. Refuses: to keep what it was unpacked from.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::debian::{Fetch, KEYRING};
use crate::fault::Fault;
use crate::process;

/// The suite that the kernel is of: Debian 13, Linux 6.12.
const SUITE: &str = "trixie";

/// How long the whole fetch may take: 110 MB at 2 Mbit/s take seven minutes.
const PATIENCE: Duration = Duration::from_secs(600);

/// What apt does otherwise than the machine has it, beside where its files are.
const APT_OPTIONS: &[&str] = &[
    "Dir::Etc::sourceparts=/dev/null",
    // A clock that is ahead of the mirror's makes no signature worse; and root's folders are not for others.
    "Acquire::Check-Valid-Until=false",
    "APT::Sandbox::User=root",
    "Acquire::Languages=none",
    "Acquire::Retries=2",
    "Acquire::http::Timeout=30",
    "Acquire::https::Timeout=30",
    // A list that did not come is an error here, and not one more try with none.
    "APT::Update::Error-Mode=any",
];

/// Modules that the guest has, beside those that they need: this machine's files, queues, virtual wires.
const MODULES: &[&str] = &[
    "9p",
    "9pnet_virtio",
    "virtio_net",
    "veth",
    "sch_fq",
    "sch_etf",
    "sch_tbf",
    "sch_htb",
    "sch_netem",
    "sch_fq_codel",
    // Of no screen: its node speaks of DRM's timelines.
    "virtio-gpu",
];

/// What a folder was made by: another recipe is another machine.
const RECIPE: u32 = 1;

/// The kernel, below the machine's folder.
pub(super) const KERNEL: &str = "vmlinux";
/// Its modules, and the order they are to be loaded in.
pub(super) const MODULE_FOLDER: &str = "modules";
pub(super) const MODULE_ORDER: &str = "order";

/// Sees to it that kernel and modules are in `folder`.
pub(super) fn ensure(folder: &Path) -> Result<(), Fault> {
    let stamp = folder.join("made-by");
    let recipe = format!("{RECIPE} {SUITE} {}\n", MODULES.join(" "));
    if fs::read_to_string(&stamp).is_ok_and(|made_by| made_by == recipe) {
        return Ok(());
    }
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(Fault::io(format!("empty {}", folder.display())))?;
    }
    eprintln!(
        "\n== a virtual machine is made in {} ({SUITE}'s kernel, about 110 MB to fetch)",
        folder.display()
    );
    let scratch = folder.join("scratch");
    create(&scratch)?;
    let package = fetch(&scratch)?;
    let unpacked = scratch.join("unpacked");
    process::run(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&unpacked).stdin(Stdio::null()))?;
    let image = only_entry(&unpacked.join("boot"), "vmlinuz-")?;
    write(&folder.join(KERNEL), &extract(&read(&image)?, &scratch)?)?;
    collect_modules(&unpacked, &folder.join(MODULE_FOLDER))?;
    fs::remove_dir_all(&scratch).map_err(Fault::io("remove what was unpacked"))?;
    write(&stamp, recipe.as_bytes())
}

/// Fetches the suite's kernel package into `scratch`.
fn fetch(scratch: &Path) -> Result<PathBuf, Fault> {
    let fetch = Fetch::new(scratch, PATIENCE);
    let mirror = fetch.mirror()?;
    for part in ["lists/partial", "cache/archives/partial"] {
        create(&scratch.join(part))?;
    }
    let sources = format!("deb [signed-by={KEYRING}] {mirror} {SUITE} main\n");
    write(&scratch.join("sources.list"), sources.as_bytes())?;
    let files =
        [("Dir::Etc::sourcelist", "sources.list"), ("Dir::State::lists", "lists"), ("Dir::Cache", "cache")];
    let files = files.map(|(option, name)| format!("{option}={}", scratch.join(name).display()));
    let apt = |program, words: &[&str]| {
        let options = APT_OPTIONS.iter().copied().chain(files.iter().map(String::as_str));
        let own = [program].into_iter().chain(options.flat_map(|option| ["-o", option]));
        fetch.output(&own.chain(words.iter().copied()).collect::<Vec<_>>())
    };
    apt("apt-get", &["update", "-qq"])?;
    let depends = apt("apt-cache", &["depends", "linux-image-amd64"])?;
    let package = find_package(&depends).ok_or_else(|| Fault::Answer {
        program: "apt-cache depends linux-image-amd64".to_owned(),
        expected: "the kernel's package",
        got: depends.trim().to_owned(),
    })?;
    apt("apt-get", &["download", "-qq", package])?;
    only_entry(scratch, package)
}

/// The package that the one for "the current kernel" stands for.
fn find_package(depends: &str) -> Option<&str> {
    let mut names = depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    names.find(|name| name.starts_with("linux-image-"))
}

/// The ELF kernel inside a bzImage, which boots twice as fast under emulation. (Linux, "The Linux/x86 Boot Protocol",
/// 2.08 and later: where the payload is, and its length.)
fn extract(image: &[u8], scratch: &Path) -> Result<Vec<u8>, Fault> {
    let payload = payload(image).ok_or_else(|| Fault::Answer {
        program: "linux-image".to_owned(),
        expected: "a bzImage whose header tells where its payload is",
        got: format!("{} bytes", image.len()),
    })?;
    let packed = scratch.join("payload");
    write(&packed, payload)?;
    let unpacked = unpack(&packed, payload)?;
    match unpacked.starts_with(b"\x7fELF") {
        true => Ok(unpacked),
        false => Err(Fault::Answer {
            program: "linux-image".to_owned(),
            expected: "an ELF kernel",
            got: format!("{:02x?}", &unpacked[..unpacked.len().min(4)]),
        }),
    }
}

fn payload(image: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| {
        let bytes = image.get(at..)?.first_chunk::<4>()?;
        usize::try_from(u32::from_le_bytes(*bytes)).ok()
    };
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let sectors = usize::from(*image.get(0x1f1)?).max(1) + 1;
    let start = (sectors * 512).checked_add(word(0x248)?)?;
    // Its last four bytes are the unpacked length.
    let end = start.checked_add(word(0x24c)?)?.checked_sub(4)?;
    image.get(start..end)
}

/// What the file at `path`, which holds `packed`, unpacks to.
fn unpack(path: &Path, packed: &[u8]) -> Result<Vec<u8>, Fault> {
    let (program, args): (&str, &[&str]) = match packed {
        [0x28, 0xb5, 0x2f, 0xfd, ..] => ("zstd", &["-dcq"]),
        [0xfd, b'7', b'z', ..] => ("xz", &["-dcq"]),
        [0x1f, 0x8b, ..] => ("gzip", &["-dcq"]),
        _ => return Ok(packed.to_owned()),
    };
    let input = fs::File::open(path).map_err(Fault::io(format!("read {}", path.display())))?;
    let mut command = Command::new(program);
    let output = command.args(args).stdin(input).stderr(Stdio::inherit()).output();
    let output = output.map_err(Fault::io(format!("run `{program}`")))?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(Fault::Command { command: process::words(&command), status: output.status, log: None }),
    }
}

/// Puts the wanted modules and what they need into `to`, unpacked, and writes down their order.
fn collect_modules(unpacked: &Path, to: &Path) -> Result<(), Fault> {
    create(to)?;
    let base = only_entry(&unpacked.join("usr/lib/modules"), "")?;
    // depmod looks where a system without /usr would have them.
    std::os::unix::fs::symlink("usr/lib", unpacked.join("lib")).map_err(Fault::io("link to the modules"))?;
    let version = base.file_name().unwrap_or_default();
    process::run(Command::new("depmod").arg("-b").arg(unpacked).arg(version).stdin(Stdio::null()))?;
    let needs = String::from_utf8_lossy(&read(&base.join("modules.dep"))?).into_owned();
    let builtin = String::from_utf8_lossy(&read(&base.join("modules.builtin"))?).into_owned();
    let mut order = String::new();
    for path in load_order(&needs, &builtin, MODULES)? {
        let file = base.join(path);
        let name = module_name(path);
        write(&to.join(name), &unpack(&file, &read(&file)?)?)?;
        order.push_str(&format!("{name}\n"));
    }
    write(&to.join(MODULE_ORDER), order.as_bytes())
}

/// The paths of `wanted` and of all that they need, each after what it needs. Lines of `needs` are a module's path, a
/// colon, and the paths of what it needs, the nearest first.
fn load_order<'a>(needs: &'a str, builtin: &str, wanted: &[&str]) -> Result<Vec<&'a str>, Fault> {
    let mut order: Vec<&str> = Vec::new();
    for name in wanted {
        let mut lines = needs.lines().filter_map(|line| line.split_once(':'));
        let Some((path, others)) = lines.find(|(path, _)| module_name(path) == *name) else {
            if builtin.lines().any(|path| module_name(path) == *name) {
                continue;
            }
            let problem = format!("the kernel of {SUITE} has no module {name}");
            return Err(Fault::Machine { problem });
        };
        for path in others.split_whitespace().rev().chain([path]) {
            if !order.contains(&path) {
                order.push(path);
            }
        }
    }
    Ok(order)
}

/// `sch_fq` of `kernel/net/sched/sch_fq.ko.xz`.
fn module_name(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file)
}

/// The entry of `folder` whose name begins with `prefix`.
fn only_entry(folder: &Path, prefix: &str) -> Result<PathBuf, Fault> {
    let unreadable = || Fault::io(format!("read {}", folder.display()));
    for entry in fs::read_dir(folder).map_err(unreadable())? {
        let entry = entry.map_err(unreadable())?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            return Ok(entry.path());
        }
    }
    let problem = format!("there is nothing called {prefix}… in {}", folder.display());
    Err(Fault::Machine { problem })
}

fn create(folder: &Path) -> Result<(), Fault> {
    fs::create_dir_all(folder).map_err(Fault::io(format!("create {}", folder.display())))
}

fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    fs::read(path).map_err(Fault::io(format!("read {}", path.display())))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    fs::write(path, bytes).map_err(Fault::io(format!("write {}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_package_is_the_first_image() {
        let depends = "linux-image-amd64\n  Depends: linux-image-6.12.1+deb13-amd64\n  Recommends: x\n";
        assert_eq!(find_package(depends), Some("linux-image-6.12.1+deb13-amd64"));
        assert_eq!(find_package("linux-image-amd64\n"), None);
    }

    #[test]
    fn a_payload_is_found_by_the_header_and_a_lying_header_is_refused() {
        let mut image = vec![0; 4096];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248..0x24c].copy_from_slice(&100_u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&24_u32.to_le_bytes());
        image[1124..1128].copy_from_slice(b"here");
        assert_eq!(payload(&image).map(|payload| (payload.len(), &payload[..4])), Some((20, &b"here"[..])));
        for lie in [3_u32, 3_000, u32::MAX] {
            image[0x24c..0x250].copy_from_slice(&lie.to_le_bytes());
            assert_eq!(payload(&image), None, "{lie}");
        }
        assert_eq!(payload(&image[..0x24d]), None);
    }

    #[test]
    fn modules_come_after_what_they_need_and_once() {
        let needs = "kernel/a.ko.xz: kernel/b.ko.xz kernel/c.ko.xz\nkernel/b.ko.xz: kernel/c.ko.xz\n\
                     kernel/c.ko.xz:\nkernel/net/d.ko.xz: kernel/c.ko.xz\n";
        let order = load_order(needs, "kernel/e.ko\n", &["a", "d", "e"]).unwrap();
        assert_eq!(order, ["kernel/c.ko.xz", "kernel/b.ko.xz", "kernel/a.ko.xz", "kernel/net/d.ko.xz"]);
        assert!(load_order(needs, "", &["e"]).unwrap_err().to_string().contains("no module e"));
    }
}
