//! Programs of others that judge: ffprobe for recordings, sway and foot for desktops.
//!
//! Promises: a missing one is said in one line, and is a failure where `CI=true`. Refuses to take a
//! recording that ffprobe complains about, unless told that it was cut off.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::Place;

/// What ffprobe read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Recording {
    pub(crate) codec: String,
    pub(crate) width: u64,
    pub(crate) height: u64,
    pub(crate) pictures: u64,
}

fn is_installed(program: &str, argument: &str, package: &str) -> bool {
    let installed = Command::new(program).arg(argument).output().is_ok();
    if !installed {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{program} must be installed under CI");
        eprintln!("not checked: {program} is not installed (apt install {package})");
    }
    installed
}

/// Decodes a recording with ffprobe; `None` where there is none. Unless it was `cut_off` there must be
/// nothing to complain about.
pub(crate) fn probe_recording(path: &Path, cut_off: bool) -> Option<Recording> {
    if !is_installed("ffprobe", "-version", "ffmpeg") {
        return None;
    }
    let entries = "stream=codec_name,width,height,nb_read_frames";
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-show_entries", entries, "-of", "json"])
        .arg(path)
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ffprobe {}: {complaints}", path.display());
    assert!(cut_off || complaints.is_empty(), "ffprobe complains about {}: {complaints}", path.display());
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let stream = &said["streams"][0];
    Some(Recording {
        codec: stream["codec_name"].as_str().unwrap_or_else(|| panic!("{said}")).to_owned(),
        width: stream["width"].as_u64().unwrap(),
        height: stream["height"].as_u64().unwrap(),
        pictures: stream["nb_read_frames"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0),
    })
}

/// This test's turn with a compositor, which is one at a time on the machine; `None` where there is none.
pub(crate) fn sway_turn() -> Option<File> {
    if !(is_installed("sway", "--version", "sway") && is_installed("foot", "--version", "foot")) {
        return None;
    }
    let lock = File::create(std::env::temp_dir().join("punktfunk-sway-tests.lock")).unwrap();
    lock.lock().unwrap();
    Some(lock)
}

/// A `PATH` in which sway takes this many seconds longer to start.
pub(crate) fn slow_sway(place: &Place, seconds: u32) -> OsString {
    sway_after(place, &format!("sleep {seconds}"))
}

/// The same of one that does not end either when it is asked to: it has to be killed, which takes two seconds.
pub(crate) fn stubborn_sway(place: &Place, seconds: u32) -> OsString {
    sway_after(place, &format!("trap '' TERM; sleep {seconds}"))
}

fn sway_after(place: &Place, what: &str) -> OsString {
    let path = std::env::var_os("PATH").unwrap();
    let sway = std::env::split_paths(&path).map(|dir| dir.join("sway")).find(|program| program.exists());
    let sway = sway.expect("sway is installed where this is asked for");
    fs::create_dir_all(place.path("slow")).unwrap();
    let sway = sway.display();
    let script = format!(
        "#!/bin/sh\ncase \"$1\" in --help | --version) exec {sway} \"$@\" ;; esac\n{what}\nexec {sway} \"$@\"\n"
    );
    let program = place.write("slow/sway", script.as_bytes());
    fs::set_permissions(program, Permissions::from_mode(0o755)).unwrap();
    std::env::join_paths([place.path("slow")].into_iter().chain(std::env::split_paths(&path))).unwrap()
}
