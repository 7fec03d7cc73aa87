//! The GPU's way where there is none: Vulkan on the CPU makes a desktop's pictures the encoder's.

use std::path::PathBuf;
use std::time::Duration;

use crate::support::{
    ClientStart, HostStart, PATIENCE, Place, assert_all_came, count, session_turn, sway_turn,
};

/// The manifest of Vulkan's driver on the CPU, so that no other one is asked.
fn lavapipe() -> PathBuf {
    let manifests = std::fs::read_dir("/usr/share/vulkan/icd.d").into_iter().flatten().flatten();
    manifests
        .map(|entry| entry.path())
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("lvp_icd")))
        .expect("lavapipe is installed (apt install mesa-vulkan-drivers)")
}

#[test]
fn a_desktops_pictures_are_converted_by_vulkan() {
    let Some(_sway) = sway_turn() else { return };
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, "sway")
        .env("VK_DRIVER_FILES", lavapipe())
        .env("VK_ICD_FILENAMES", lavapipe())
        .args(&["--once", "--import", "gpu"])
        .ready();
    let client = ClientStart::new(&place, host.port).args(&["--mode", "640x360@30", "--seconds", "4"]);
    let ended = client.run_for(Duration::from_secs(4));
    ended.expect_code(0).expect_said(&[]);
    host.ends();
    place.assert_empty(PATIENCE);
    let summary = ended.json();
    assert_all_came(&summary);
    assert!(count(&summary, "/pictures/decoded") > 10, "{summary:#}");
    assert!(summary["encoder"].as_str().unwrap().contains("llvmpipe"), "{summary:#}");
    // One upload, which is all that the CPU copies to make a picture the encoder's.
    let pictures = count(&summary, "/pictures/decoded");
    let uploaded = count(&summary, "/copied_by_cpu/import");
    assert!(uploaded >= pictures * 640 * 360 * 4, "{uploaded} for {pictures}; {summary:#}");
}

#[test]
fn a_gpu_that_is_not_there_is_named_when_the_host_begins() {
    let place = Place::new();
    let nothing = place.path("no-driver.json");
    let ended = HostStart::new(&place, "card")
        .env("VK_DRIVER_FILES", &nothing)
        .env("VK_ICD_FILENAMES", &nothing)
        .args(&["--import", "gpu"])
        .refused();
    ended.expect_code(8).expect_said(&["GPU"]);
}
