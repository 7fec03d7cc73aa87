//! The GPU's part of the chain, link by link: its render node, its driver, Vulkan, CUDA, NVENC.
//!
//! Promises: libraries are loaded and asked for their version only; no device is opened for work. Where all is well it is
//! said that no picture goes through the GPU yet: this build encodes by the CPU.

use std::fs::{self, File, OpenOptions};
use std::io;

use crate::sys::{Library, Silent};
use crate::{Verdict, View};

/// NVIDIA's number among PCI's vendors.
const NVIDIA: &str = "0x10de";

/// What an OK does not mean.
const UNUSED: &str = "this build does not use it yet";

/// What is done in its place.
const ENCODED: &str = "pictures are encoded by the CPU (see encoder)";

/// What being without a GPU costs.
const SOFTWARE: &str = "pictures are encoded by the CPU, as they are with one in this build (see encoder)";

/// A GPU on the bus.
struct Gpu {
    vendor: String,
    driver: Option<String>,
}

impl Gpu {
    fn name(&self) -> String {
        let vendor = match self.vendor.as_str() {
            NVIDIA => "NVIDIA",
            "0x1002" => "AMD",
            "0x8086" => "Intel",
            "0x1af4" | "0x1234" | "0x1b36" | "0x15ad" | "0x1013" => "a virtual machine's",
            other => return format!("a GPU of vendor {other}"),
        };
        format!("{vendor} GPU")
    }
}

fn gpus(view: &View) -> Vec<Gpu> {
    let devices = "/sys/bus/pci/devices";
    let gpu = |name: &String| {
        let class = view.read(&format!("{devices}/{name}/class")).ok()?;
        // Display controllers: VGA, 3D and others.
        class.starts_with("0x03").then_some(())?;
        let vendor = view.read(&format!("{devices}/{name}/vendor")).ok()?;
        let driver = fs::read_link(view.path(&format!("{devices}/{name}/driver"))).ok();
        let driver = driver.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        Some(Gpu { vendor, driver })
    };
    view.names(devices).iter().filter_map(gpu).collect()
}

/// The version that NVIDIA's kernel module names.
fn nvidia_version(view: &View) -> Option<String> {
    let text = view.read("/proc/driver/nvidia/version").ok()?;
    let line = text.lines().find(|line| line.starts_with("NVRM version"))?;
    let is_version =
        |word: &&str| word.contains('.') && word.split('.').all(|part| part.parse::<u32>().is_ok());
    line.split_whitespace().find(is_version).map(str::to_owned)
}

fn has_nvidia(view: &View) -> bool {
    nvidia_version(view).is_some() || gpus(view).iter().any(|gpu| gpu.vendor == NVIDIA)
}

/// `/dev/dri/renderD*`.
pub(crate) fn render_node(view: &View) -> Verdict {
    let nodes: Vec<_> =
        view.names("/dev/dri").into_iter().filter(|name| name.starts_with("renderD")).collect();
    if nodes.is_empty() {
        return Verdict::degraded(
            "/dev/dri has no render node",
            "no dmabufs: pictures are copied through main memory, and encoded by the CPU, as they are with one in this build",
        );
    }
    let open = |name: &String| {
        let path = view.path(&format!("/dev/dri/{name}"));
        OpenOptions::new().read(true).write(true).open(path)
    };
    let tried: Vec<(&String, io::Result<File>)> = nodes.iter().map(|name| (name, open(name))).collect();
    if tried.iter().any(|(_, opened)| opened.is_ok()) {
        let opens: Vec<_> =
            tried.iter().filter(|(_, opened)| opened.is_ok()).map(|(name, _)| name.as_str()).collect();
        return Verdict::ok(format!("/dev/dri/{} opens; {UNUSED}", opens.join(", ")));
    }
    let errors: Vec<_> = tried
        .iter()
        .filter_map(|(name, opened)| Some(format!("{name}: {}", opened.as_ref().err()?)))
        .collect();
    Verdict::broken(
        format!("/dev/dri/{}", errors.join("; ")),
        "sudo usermod -aG render,video $USER, then log in anew; until then dmabufs cannot be shared",
    )
}

/// Each GPU, its driver and the driver's version.
pub(crate) fn driver(view: &View) -> Verdict {
    let (gpus, nvidia) = (gpus(view), nvidia_version(view));
    if gpus.is_empty() && nvidia.is_none() {
        return Verdict::degraded("no GPU is on the bus", SOFTWARE);
    }
    let told = |gpu: &Gpu| match (&gpu.driver, &nvidia) {
        (Some(driver), Some(version)) if driver == "nvidia" => format!("{}: nvidia {version}", gpu.name()),
        (Some(driver), _) => {
            let version = view.read(&format!("/sys/module/{driver}/version"));
            let version = version
                .or_else(|_| view.read("/proc/sys/kernel/osrelease").map(|it| format!("of Linux {it}")));
            format!("{}: {driver} {}", gpu.name(), version.unwrap_or_default())
        }
        (None, _) => format!("{}: no driver", gpu.name()),
    };
    let mut found: Vec<_> = gpus.iter().map(told).collect();
    if let (Some(version), true) = (&nvidia, gpus.is_empty()) {
        found.push(format!("NVIDIA GPU: nvidia {version}"));
    }
    let found = found.join("; ");
    match gpus.iter().find(|gpu| gpu.driver.is_none()) {
        Some(gpu) if gpu.vendor == NVIDIA && nvidia.is_none() => Verdict::broken(
            found,
            "apt install nvidia-driver, and start the machine anew; if it is installed: modprobe nvidia, dmesg says why not",
        ),
        Some(_) if gpus.iter().all(|gpu| gpu.driver.is_none()) && nvidia.is_none() => Verdict::degraded(
            found,
            format!("{SOFTWARE}; the kernel's log says why no driver took it: dmesg"),
        ),
        _ => Verdict::ok(format!("{found}; {UNUSED}: {ENCODED}")),
    }
}

/// Vulkan's loader, and what it would load.
pub(crate) fn vulkan(view: &View) -> Verdict {
    let drivers: Vec<_> = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"]
        .iter()
        .flat_map(|folder| view.names(folder))
        .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
        .collect();
    let has_gpu = !gpus(view).is_empty() || nvidia_version(view).is_some();
    match Library::Vulkan.version() {
        Ok(version) => {
            let (major, minor, patch) = ((version >> 22) & 0x7f, (version >> 12) & 0x3ff, version & 0xfff);
            let found = format!("loader {major}.{minor}.{patch}, drivers: {}", or_none(&drivers));
            let is_software = |name: &String| name.starts_with("lvp") || name.contains("swrast");
            if has_gpu && drivers.iter().all(is_software) {
                return Verdict::degraded(found, format!("no driver of the GPU's is among them: {SOFTWARE}"));
            }
            Verdict::ok(format!("{found}; {UNUSED}"))
        }
        Err(Silent::NotLoaded(words)) if !is_there(&words) && !has_gpu => {
            Verdict::ok("no loader, and no GPU that would need it")
        }
        Err(Silent::NotLoaded(words)) if !is_there(&words) => {
            Verdict::degraded("no loader", format!("no Vulkan: {SOFTWARE}; apt install libvulkan1"))
        }
        Err(silent) => damaged(Library::Vulkan, &silent, "apt install --reinstall libvulkan1"),
    }
}

fn or_none(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Whether the loader's words are of a library that was found and did not load.
fn is_there(words: &str) -> bool {
    !words.contains("cannot open shared object file: No such file")
}

/// CUDA's driver library.
pub(crate) fn cuda(view: &View) -> Verdict {
    let told = |version: u32| format!("libcuda, CUDA {}.{}", version / 1000, version % 1000 / 10);
    of_nvidia(view, Library::Cuda, told)
}

/// NVENC's library.
pub(crate) fn nvenc(view: &View) -> Verdict {
    let told =
        |version: u32| format!("libnvidia-encode, NVENC's interface {}.{}", version >> 4, version & 0xf);
    of_nvidia(view, Library::Nvenc, told)
}

fn of_nvidia(view: &View, library: Library, told: impl Fn(u32) -> String) -> Verdict {
    let (kernel, has_gpu) = (nvidia_version(view), has_nvidia(view));
    match library.version() {
        Ok(version) => judge_nvidia(&told(version), loaded_version(view, library), kernel, has_gpu),
        Err(Silent::NotLoaded(words)) if !is_there(&words) && !has_gpu => {
            Verdict::ok(format!("no {}, and no NVIDIA GPU that would need it", library.file()))
        }
        Err(Silent::NotLoaded(words)) if !is_there(&words) => Verdict::degraded(
            format!("no {}", library.file()),
            format!("no encoder of NVIDIA's: {SOFTWARE}; apt install libcuda1 libnvidia-encode1"),
        ),
        Err(silent) => damaged(
            library,
            &silent,
            "the driver's parts do not fit: install it anew, and start the machine anew",
        ),
    }
}

fn judge_nvidia(told: &str, library: Option<String>, kernel: Option<String>, has_gpu: bool) -> Verdict {
    let found = match &library {
        Some(version) => format!("{told}, of driver {version}"),
        None => told.to_owned(),
    };
    match (library, kernel) {
        (Some(library), Some(kernel)) if library != kernel => Verdict::broken(
            format!("{found}, while the kernel has {kernel}"),
            "the driver was updated under a running kernel: start the machine anew",
        ),
        (_, Some(_)) => Verdict::ok(format!("{found}; {UNUSED}")),
        (_, None) if has_gpu => Verdict::broken(
            format!("{found}, and the kernel has no nvidia module"),
            format!("modprobe nvidia, dmesg says why not; until then {SOFTWARE}"),
        ),
        (_, None) => Verdict::ok(format!("{found}; no NVIDIA GPU needs it")),
    }
}

/// The driver's version in the name of the file that was loaded: libcuda.so.550.54.14.
fn loaded_version(view: &View, library: Library) -> Option<String> {
    let stem = library.file().trim_end_matches('1');
    let maps = view.read("/proc/self/maps").ok()?;
    let version = |line: &str| {
        let (_, version) = line.rsplit_once('/')?.1.split_once(stem)?;
        version.contains('.').then(|| version.to_owned())
    };
    maps.lines().find_map(version)
}

fn damaged(library: Library, silent: &Silent, remedy: &str) -> Verdict {
    let cause = match silent {
        Silent::NotLoaded(words) => words.clone(),
        Silent::NoFunction(name) => format!("it has no {name}"),
        Silent::Refused(code) => format!("it answers with error {code}"),
    };
    Verdict::broken(format!("{} does not work: {cause}", library.file()), remedy)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use punktfunk_manage::model::CheckState;

    use super::*;
    use crate::view::tests::machine;

    const NVRM: &str = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22 01:44:30 UTC 2024\nGCC version: gcc 12.2.0";

    #[test]
    fn a_machine_without_a_gpu_is_told_what_that_costs() {
        let (_dir, view) = machine(&[]);
        assert_eq!(driver(&view).state, CheckState::Degraded);
        assert!(driver(&view).remedy.contains("encoded by the CPU"));
        assert_eq!(render_node(&view).state, CheckState::Degraded);
    }

    #[test]
    fn drivers_are_named_with_their_versions_and_their_lack() {
        let device = "/sys/bus/pci/devices/0000:01:00.0";
        let files = [
            (format!("{device}/class"), "0x030000\n"),
            (format!("{device}/vendor"), "0x10de\n"),
            (format!("{device}/x"), ""),
        ];
        let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
        let (dir, view) = machine(&files);
        let verdict = driver(&view);
        assert_eq!(verdict.state, CheckState::Broken, "{verdict:?}");
        assert!(verdict.found.contains("NVIDIA GPU: no driver") && verdict.remedy.contains("nvidia-driver"));
        symlink("../../drivers/nvidia", view.path(&format!("{device}/driver"))).unwrap();
        fs::create_dir_all(dir.path().join("proc/driver/nvidia")).unwrap();
        fs::write(dir.path().join("proc/driver/nvidia/version"), NVRM).unwrap();
        let verdict = driver(&view);
        assert_eq!(verdict.state, CheckState::Ok, "{verdict:?}");
        assert!(
            verdict.found.starts_with("NVIDIA GPU: nvidia 550.54.14; this build does not use it yet"),
            "{verdict:?}"
        );
        assert!(verdict.found.contains("encoded by the CPU"), "{verdict:?}");
    }

    #[test]
    fn a_library_that_does_not_fit_the_kernel_is_broken() {
        let (_dir, view) = machine(&[
            ("/proc/driver/nvidia/version", NVRM),
            ("/proc/self/maps", "7f00-7f01 r--p 0 00:00 5 /usr/lib/x86_64-linux-gnu/libcuda.so.550.54.15\n"),
        ]);
        let library = loaded_version(&view, Library::Cuda);
        assert_eq!(library.as_deref(), Some("550.54.15"));
        assert_eq!(loaded_version(&view, Library::Nvenc), None);
        let kernel = nvidia_version(&view);
        let verdict = judge_nvidia("libcuda, CUDA 12.4", library, kernel.clone(), true);
        assert_eq!(verdict.state, CheckState::Broken, "{verdict:?}");
        assert!(verdict.remedy.contains("start the machine anew"));
        let fits = judge_nvidia("libcuda", kernel.clone(), kernel, true);
        assert_eq!(fits, Verdict::ok("libcuda, of driver 550.54.14; this build does not use it yet"));
        assert_eq!(judge_nvidia("libcuda", None, None, false).state, CheckState::Ok);
    }
}
