//! What the tests share: Vulkan on the CPU, and nothing beside it.

use std::path::PathBuf;
use std::sync::Once;

use punktfunk_gpu::{Choice, Device};

/// Where drivers are told of.
const MANIFESTS: &str = "/usr/share/vulkan/icd.d";

/// Makes lavapipe the only driver that the loader finds.
///
/// # Panics
/// Where it is not installed: Debian's package is mesa-vulkan-drivers.
pub fn only() {
    static ONLY: Once = Once::new();
    ONLY.call_once(|| {
        let manifest = std::fs::read_dir(MANIFESTS)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("lvp_icd")));
        let manifest: PathBuf = manifest.expect("lavapipe is installed (mesa-vulkan-drivers)");
        for name in ["VK_ICD_FILENAMES", "VK_DRIVER_FILES"] {
            // SAFETY: the loader, the one reader of these in this program, is not started before this returns.
            unsafe { std::env::set_var(name, &manifest) };
        }
    });
}

/// lavapipe's device.
///
/// # Panics
/// Where it cannot be opened.
pub fn device() -> Device {
    only();
    Device::open(&Choice::Software).unwrap()
}
