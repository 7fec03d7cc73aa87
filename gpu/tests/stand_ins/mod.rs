//! What tests on both stand-ins share: CUDA's, and the layer that lends lavapipe timelines to share.

#![allow(dead_code, reason = "each program of tests takes what it needs")]

use std::sync::{Once, OnceLock};

use punktfunk_gpu::{Choice, Device};
use stand_in_common::Loaded;

use crate::lavapipe;

/// Stand-ins for both, and lavapipe with the one for Vulkan in it.
///
/// # Panics
/// Where lavapipe cannot be opened.
pub fn begin() -> (Loaded, Device) {
    lavapipe::only();
    static LAYER: Once = Once::new();
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    LAYER.call_once(|| {
        let folder = FOLDER.get_or_init(|| tempfile::tempdir().expect("there is room"));
        stand_in_vulkan::lay(folder.path(), &stand_in_common::library("stand-in-vulkan"))
            .expect("there is room");
        // SAFETY: the loader, the one reader of these in this program, is not started before this returns.
        unsafe {
            std::env::set_var("VK_LAYER_PATH", folder.path());
            std::env::set_var("VK_INSTANCE_LAYERS", stand_in_vulkan::NAME);
        }
    });
    let loaded = Loaded::new(&["stand-in-cuda", "stand-in-vulkan"]);
    let device = Device::open(&Choice::Software).expect("lavapipe opens");
    assert!(device.caps().shares_timelines, "the layer is not in: {:?}", device.caps());
    (loaded, device)
}

/// Has CUDA's stand-in say that it is `device`.
pub fn name(device: &Device) {
    // SAFETY: the stand-in reads it when it is asked next, and no other thread of these tests is in it.
    unsafe { std::env::set_var("PUNKTFUNK_STANDIN_UUID", device.uuid().to_string()) };
}
