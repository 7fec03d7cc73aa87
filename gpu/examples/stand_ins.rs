//! Lays the tests' stand-ins for NVIDIA's libraries into a folder, and prints what has a shell's programs find them.
//!
//! `stand_ins FOLDER`, after stand-ins for NVENC and NVDEC were built beside it. Promises: lavapipe is the one driver of Vulkan's
//! then, its timelines can be shared, and CUDA's stand-in says that it is lavapipe's GPU. Refuses: a machine without lavapipe.

#![allow(clippy::print_stdout, reason = "a shell's words")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use punktfunk_gpu::Device;
use stand_in_common::{lay, library};

/// Libraries by the names that they stand in for.
const LIBRARIES: [(&str, &str); 3] = [
    ("stand-in-cuda", "libcuda.so.1"),
    ("stand-in-nvenc", "libnvidia-encode.so.1"),
    ("stand-in-nvdec", "libnvcuvid.so.1"),
];

/// Where drivers are told of.
const MANIFESTS: &str = "/usr/share/vulkan/icd.d";

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args().nth(1).ok_or("stand_ins takes a folder")?;
    if Path::new(&folder).exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let folder = PathBuf::from(folder).canonicalize()?;
    for (package, name) in LIBRARIES {
        lay(&folder, name, &library(package).canonicalize()?)?;
    }
    stand_in_vulkan::lay(&folder, &library("stand-in-vulkan").canonicalize()?)?;
    let mut manifests = fs::read_dir(MANIFESTS)?.filter_map(|entry| Some(entry.ok()?.path()));
    let is_lavapipes =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("lvp_icd"));
    let manifest = manifests.find(is_lavapipes).ok_or("no lavapipe: install mesa-vulkan-drivers")?;
    let lavapipe = Device::all()?.into_iter().find(|device| device.is_software);
    let lavapipe = lavapipe.ok_or("the loader finds no lavapipe")?;
    for (name, value) in [
        ("LD_LIBRARY_PATH", folder.display().to_string()),
        ("VK_LAYER_PATH", folder.display().to_string()),
        ("VK_INSTANCE_LAYERS", stand_in_vulkan::NAME.to_owned()),
        ("VK_DRIVER_FILES", manifest.display().to_string()),
        ("VK_ICD_FILENAMES", manifest.display().to_string()),
        ("PUNKTFUNK_STANDIN_UUID", lavapipe.uuid.to_string()),
    ] {
        println!("export {name}={value:?}");
    }
    Ok(())
}
