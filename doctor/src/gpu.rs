//! The GPU's part of the chain, link by link: its render node, its driver, Vulkan and what it shares, CUDA, NVENC, NVDEC.
//!
//! Promises: a machine without a GPU is told what that costs, and nothing of it is called broken: pictures are encoded by
//! the CPU there. Devices are opened to ask what they can do, and closed; no work is given to them.

use std::fs::{self, File, OpenOptions};
use std::io;

use crate::{Verdict, View};

mod nvidia;
mod vulkan;

pub(crate) use nvidia::{cuda, nvdec, nvenc, nvenc_codecs, same_gpu};
pub(crate) use vulkan::{dmabuf, sharing, vulkan};

/// NVIDIA's number among PCI's vendors.
const NVIDIA: &str = "0x10de";

/// What being without a GPU's encoder costs.
const SOFTWARE: &str = "pictures are encoded by the CPU (see encoder)";

/// A GPU on the bus.
struct Gpu {
    vendor: String,
    driver: Option<String>,
}

impl Gpu {
    /// Whether it computes, which a virtual machine's frame buffer does not.
    fn is_real(&self) -> bool {
        !self.name().starts_with("a virtual machine's")
    }

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

/// Whether there is a GPU for which a driver could be had.
fn has_gpu(view: &View) -> bool {
    nvidia_version(view).is_some() || gpus(view).iter().any(Gpu::is_real)
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
            "no dmabufs: pictures are copied through main memory, and encoded by the CPU (see encoder)",
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
        return Verdict::ok(format!("/dev/dri/{} opens", opens.join(", ")));
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
        _ => Verdict::ok(found),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::fs::symlink;

    use punktfunk_manage::model::CheckState;

    use super::*;
    use crate::view::tests::machine;

    pub(super) const NVRM: &str = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22 01:44:30 UTC 2024\nGCC version: gcc 12.2.0";

    #[test]
    fn a_machine_without_a_gpu_is_told_what_that_costs() {
        let (_dir, view) = machine(&[]);
        assert_eq!(driver(&view).state, CheckState::Degraded);
        assert!(driver(&view).remedy.contains("encoded by the CPU"));
        assert_eq!(render_node(&view).state, CheckState::Degraded);
        assert!(!has_gpu(&view));
    }

    #[test]
    fn a_virtual_machines_frame_buffer_is_no_gpu_to_compute_with() {
        for (vendor, computes) in [("0x1af4", false), ("0x1002", true)] {
            let device = "/sys/bus/pci/devices/0000:01:00.0";
            let (class, vendor_file) = (format!("{device}/class"), format!("{device}/vendor"));
            let (_dir, view) = machine(&[(class.as_str(), "0x030000\n"), (vendor_file.as_str(), vendor)]);
            assert_eq!(has_gpu(&view), computes, "{vendor}");
        }
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
        assert_eq!(verdict.found, "NVIDIA GPU: nvidia 550.54.14");
    }
}
