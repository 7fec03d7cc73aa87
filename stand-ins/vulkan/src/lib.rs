//! A Vulkan layer for tests: drivers that cannot share timeline semaphores, as lavapipe cannot, can with it.
//!
//! A test lays its manifest into a folder ([`lay`]) and names both in its environment before it starts the loader. From then on
//! every device has `VK_KHR_external_semaphore_fd`, and a timeline that was made to be exported as an opaque descriptor is one
//! with a file in memory ([`stand_in_common::Timeline`]): two threads a semaphore carry each side's value to the other.
//!
//! Promises: what the specification asks of whoever exports and imports is checked; a breach fails the call, is said on stderr
//! and counted. Refuses: descriptors of other kinds (`SYNC_FD`), which lavapipe has no use for, and images, memory and all else,
//! which it passes on.
//!
//! | variable | |
//! |---|---|
//! | `PUNKTFUNK_STANDIN_FAIL` | calls that fail: see [`stand_in_common::failures`]; codes are Vulkan's numbers |
//! | `PUNKTFUNK_STANDIN_STRICT=1` | the first breach ends the process |

#![deny(unsafe_code)]

mod chain;
mod device;
mod instance;
mod semaphore;

use std::path::Path;
use std::{fs, io};

use stand_in_common::Controls;

/// What a test may ask, and the breaches.
static CONTROLS: Controls = Controls::new("stand-in for Vulkan's shared semaphores");

mod controls {
    #![allow(unsafe_code)]

    use crate::CONTROLS;

    stand_in_common::controls!(CONTROLS);
}

/// The layer's name, for `VK_INSTANCE_LAYERS`.
pub const NAME: &str = "VK_LAYER_PUNKTFUNK_timelines";

/// Lays a manifest of the layer, which is at `library`, into `folder`, for `VK_LAYER_PATH` to name.
///
/// # Errors
/// The folder cannot be written.
pub fn lay(folder: &Path, library: &Path) -> io::Result<()> {
    let manifest = format!(
        r#"{{
  "file_format_version": "1.2.0",
  "layer": {{
    "name": "{NAME}",
    "type": "GLOBAL",
    "library_path": {library:?},
    "api_version": "1.3.0",
    "implementation_version": "1",
    "description": "timeline semaphores that processes share",
    "functions": {{ "vkNegotiateLoaderLayerInterfaceVersion": "vkNegotiateLoaderLayerInterfaceVersion" }},
    "device_extensions": [
      {{
        "name": "VK_KHR_external_semaphore_fd",
        "spec_version": "1",
        "entrypoints": ["vkGetSemaphoreFdKHR", "vkImportSemaphoreFdKHR"]
      }}
    ]
  }}
}}
"#
    );
    fs::create_dir_all(folder)?;
    fs::write(folder.join("timelines.json"), manifest)
}
