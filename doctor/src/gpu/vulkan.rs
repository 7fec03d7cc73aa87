//! Vulkan's links: the loader and its devices, dmabufs as images, and what is shared with the encoder.
//!
//! Promises: the device that is asked is the one that the host would take. Refuses to call the CPU's Vulkan a fault where
//! there is no GPU.

use punktfunk_gpu::{Caps, Choice, Description, Device, GpuError, Priority};

use super::{SOFTWARE, has_gpu};
use crate::{Verdict, View};

/// What being without Vulkan costs.
const CONVERTED: &str = "pictures are converted and encoded by the CPU (see encoder)";

/// Vulkan's loader, and the devices that it finds.
pub(crate) fn vulkan(view: &View) -> Verdict {
    match Device::all() {
        Ok(devices) => judge_devices(&devices, has_gpu(view)),
        Err(error) => judge_error(&error, has_gpu(view)),
    }
}

/// Dmabufs as images of the device that the host would take.
pub(crate) fn dmabuf(view: &View) -> Verdict {
    match open() {
        Ok(device) => {
            judge_import(device.description(), device.caps(), &device.import_formats(), has_gpu(view))
        }
        Err(error) => judge_error(&error, has_gpu(view)),
    }
}

/// What that device shares with the encoder: timeline semaphores, and its turn before others' work.
pub(crate) fn sharing(view: &View) -> Verdict {
    match open() {
        Ok(device) => judge_sharing(device.description(), device.caps(), has_gpu(view)),
        Err(error) => judge_error(&error, has_gpu(view)),
    }
}

/// The device that the host would take, without the words that it would say of it.
fn open() -> Result<Device, GpuError> {
    let devices = Device::all()?;
    let best = devices.iter().find(|device| !device.is_software).or(devices.first());
    Device::open(&best.map_or(Choice::Automatic, |device| Choice::Uuid(device.uuid)))
}

fn judge_error(error: &GpuError, has_gpu: bool) -> Verdict {
    match error {
        GpuError::Loader { .. } if !has_gpu => {
            Verdict::degraded("no Vulkan loader, and no GPU that would need it", CONVERTED)
        }
        GpuError::Loader { why } => Verdict::degraded(
            format!("no Vulkan loader ({why})"),
            format!("{CONVERTED}; apt install libvulkan1 and the GPU's driver"),
        ),
        GpuError::NoDevice { .. } if !has_gpu => Verdict::degraded("no device has Vulkan", CONVERTED),
        // Whatever the driver lacks or answers: its words have what helps.
        _ if !has_gpu => Verdict::degraded(error.to_string(), CONVERTED),
        _ => Verdict::broken(
            error.to_string(),
            format!(
                "install the GPU's Vulkan driver anew (mesa-vulkan-drivers, nvidia-driver); until then {CONVERTED}"
            ),
        ),
    }
}

fn judge_devices(devices: &[Description], has_gpu: bool) -> Verdict {
    let named = |device: &Description| {
        let (major, minor) = device.vulkan;
        format!("{} (Vulkan {major}.{minor}, {})", device.name, device.driver)
    };
    let found = devices.iter().map(named).collect::<Vec<_>>().join("; ");
    match (devices.iter().any(|device| !device.is_software), has_gpu) {
        _ if devices.is_empty() => Verdict::degraded("the loader finds no device", no_driver(has_gpu)),
        (true, _) => Verdict::ok(found),
        (false, _) => Verdict::degraded(format!("the CPU only: {found}"), no_driver(has_gpu)),
    }
}

/// What it costs that no GPU has Vulkan, and what helps where there is one.
fn no_driver(has_gpu: bool) -> String {
    match has_gpu {
        true => {
            format!("{CONVERTED}; apt install the GPU's Vulkan driver: mesa-vulkan-drivers or nvidia-driver")
        }
        false => CONVERTED.to_owned(),
    }
}

fn judge_import(device: &Description, caps: Caps, formats: &[(u32, Vec<u64>)], has_gpu: bool) -> Verdict {
    let name = &device.name;
    if device.is_software && !caps.imports_dmabufs {
        let found = format!("{name} is the CPU, and imports none");
        return Verdict::degraded(found, format!("pictures come through memory; {}", no_driver(has_gpu)));
    }
    if !caps.imports_dmabufs || formats.is_empty() {
        return Verdict::degraded(
            format!("{name} imports no dmabufs"),
            "each picture is copied through main memory, and uploaded: a newer driver may have \
             VK_EXT_image_drm_format_modifier",
        );
    }
    let modifiers: usize = formats.iter().map(|(_, modifiers)| modifiers.len()).sum();
    let names: Vec<_> = formats.iter().map(|(fourcc, _)| fourcc_name(*fourcc)).collect();
    let found = format!("{name} imports {} with {modifiers} modifiers", names.join(", "));
    match caps.waits_for_sync_files {
        true => Verdict::ok(found),
        false => Verdict::degraded(
            format!("{found}, and does not wait for a sync_file"),
            "a thread waits for the producer's drawing instead: some tenths of a millisecond a picture",
        ),
    }
}

fn fourcc_name(fourcc: u32) -> String {
    fourcc
        .to_le_bytes()
        .iter()
        .map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '?' })
        .collect()
}

fn judge_sharing(device: &Description, caps: Caps, has_gpu: bool) -> Verdict {
    let name = &device.name;
    if !caps.shares_timelines {
        let cost = match device.is_software {
            true => no_driver(has_gpu),
            false => format!(
                "no hand-over to CUDA without a wait of the host's: {SOFTWARE}; a newer driver may have it"
            ),
        };
        return Verdict::degraded(format!("{name} exports no timeline semaphores"), cost);
    }
    let stamps = if caps.timestamps.is_some() { "" } else { ", and stamps no work (PERF has no convert)" };
    let found = format!("{name} exports timeline semaphores{stamps}");
    match caps.priority {
        Priority::High => Verdict::ok(format!("{found}; its work comes before others'")),
        Priority::Unknown => Verdict::ok(format!("{found}; its driver knows no priorities")),
        Priority::Refused => Verdict::degraded(
            format!("{found}; its work has no priority"),
            "pictures wait for games' and desktops' work: sudo setcap cap_sys_nice+ep on punktfunk-host",
        ),
    }
}

#[cfg(test)]
mod tests {
    use punktfunk_gpu::Uuid;
    use punktfunk_manage::model::CheckState;

    use super::*;

    fn device(name: &str, is_software: bool) -> Description {
        Description {
            name: name.to_owned(),
            uuid: Uuid([1; 16]),
            pci: None,
            render_node: None,
            driver: "a driver 1.0".to_owned(),
            vulkan: (1, 3),
            is_software,
        }
    }

    const FULL: Caps = Caps {
        imports_dmabufs: true,
        knows_foreign: true,
        host_pages: Some(4_096),
        shares_timelines: true,
        waits_for_sync_files: true,
        makes_sync_files: true,
        priority: Priority::High,
        timestamps: Some(1.0),
    };

    #[test]
    fn a_missing_loader_is_broken_nowhere_and_names_what_helps_where_a_gpu_is() {
        let error = || GpuError::Loader { why: "libvulkan.so.1: cannot open".to_owned() };
        let (without, with) = (judge_error(&error(), false), judge_error(&error(), true));
        assert_eq!((without.state, with.state), (CheckState::Degraded, CheckState::Degraded));
        assert!(
            !without.remedy.contains("apt") && with.remedy.contains("apt install libvulkan1"),
            "{with:?}"
        );
    }

    #[test]
    fn a_driver_that_lacks_what_is_stood_on_is_broken_only_where_there_is_a_gpu() {
        let error = || GpuError::Missing {
            link: punktfunk_gpu::Link::Device,
            device: "an old card".to_owned(),
            what: "timeline semaphores",
            remedy: "a newer driver has them",
        };
        assert_eq!(judge_error(&error(), false).state, CheckState::Degraded);
        let verdict = judge_error(&error(), true);
        assert_eq!(verdict.state, CheckState::Broken, "{verdict:?}");
        assert!(verdict.found.contains("an old card has no timeline semaphores"), "{verdict:?}");
    }

    #[test]
    fn the_cpus_vulkan_is_no_gpus() {
        let (cpu, card) = (device("llvmpipe", true), device("a card", false));
        assert_eq!(judge_devices(&[card.clone(), cpu.clone()], true).state, CheckState::Ok);
        let only = judge_devices(std::slice::from_ref(&cpu), true);
        assert!(
            only.state == CheckState::Degraded && only.remedy.contains("mesa-vulkan-drivers"),
            "{only:?}"
        );
        let none = judge_devices(&[cpu], false);
        assert!(none.state == CheckState::Degraded && !none.remedy.contains("apt"), "{none:?}");
        assert_eq!(judge_devices(&[], false).state, CheckState::Degraded);
    }

    #[test]
    fn what_imports_is_named_and_what_does_not_costs_a_copy() {
        let (card, formats) = (device("a card", false), [(0x3432_5258, vec![0, 1]), (0x3432_5241, vec![0])]);
        let verdict = judge_import(&card, FULL, &formats, true);
        assert_eq!(verdict, Verdict::ok("a card imports XR24, AR24 with 3 modifiers"));
        let verdict = judge_import(&card, Caps { imports_dmabufs: false, ..FULL }, &[], true);
        assert!(
            verdict.state == CheckState::Degraded && verdict.remedy.contains("copied through main memory")
        );
        let verdict = judge_import(&card, Caps { waits_for_sync_files: false, ..FULL }, &formats, true);
        assert!(
            verdict.state == CheckState::Degraded && verdict.remedy.contains("a thread waits"),
            "{verdict:?}"
        );
    }

    #[test]
    fn what_is_not_shared_costs_the_gpus_encoder_and_no_priority_costs_time() {
        let card = device("a card", false);
        assert_eq!(judge_sharing(&card, FULL, true).state, CheckState::Ok);
        let verdict = judge_sharing(&card, Caps { shares_timelines: false, ..FULL }, true);
        assert!(verdict.state == CheckState::Degraded && verdict.remedy.contains("encoded by the CPU"));
        let verdict = judge_sharing(&card, Caps { priority: Priority::Refused, ..FULL }, true);
        assert!(
            verdict.state == CheckState::Degraded && verdict.remedy.contains("cap_sys_nice"),
            "{verdict:?}"
        );
    }

    #[test]
    fn this_machines_vulkan_is_never_broken_without_a_gpu() {
        let (_dir, view) = crate::view::tests::machine(&[]);
        for verdict in [vulkan(&view), dmabuf(&view), sharing(&view)] {
            assert_ne!(verdict.state, CheckState::Broken, "{verdict:?}");
        }
    }
}
