//! Programs that find the stand-in, or none, or a broken one by the library's name.

#![allow(unsafe_code, clippy::unwrap_used)]

mod common;

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use common::{begin, loaded};
use punktfunk_cuda::TimelineSemaphore;
use stand_in_common::{Timeline, lay, library};
use tempfile::TempDir;

/// A folder where `libcuda.so.1` is `library`.
fn folder(library: &Path) -> TempDir {
    let folder = TempDir::new().unwrap();
    lay(folder.path(), "libcuda.so.1", library).unwrap();
    folder
}

fn look(folder: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cuda-look"))
        .args(arguments)
        .env("LD_LIBRARY_PATH", folder)
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

/// What a program says of devices.
fn devices(folder: &Path, variables: &[(&str, &str)]) -> String {
    let output = look(folder, variables, &["devices"]);
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_program_finds_the_driver_by_its_name() {
    let folder = folder(&library("stand-in-cuda"));
    let uuid = [("PUNKTFUNK_STANDIN_UUID", "00112233-4455-6677-8899-aabbccddeeff")];
    let expected = "Stand-in GPU 0 GPU-00112233-4455-6677-8899-aabbccddeeff 0000:01:00.0";
    assert_eq!(devices(folder.path(), &uuid), expected);
    let two = devices(folder.path(), &[("PUNKTFUNK_STANDIN_DEVICES", "2")]);
    assert_eq!(two.lines().count(), 2, "{two}");
}

#[test]
fn what_is_wrong_with_a_driver_is_named_with_its_remedy() {
    let good = folder(&library("stand-in-cuda"));
    for (variables, parts) in [
        (("PUNKTFUNK_STANDIN_CUDA_VERSION", "11040"), ["version 11.4", "12.2 is needed"]),
        (("PUNKTFUNK_STANDIN_FAIL", "cuInit=803"), ["SYSTEM_DRIVER_MISMATCH (803)", "restart"]),
        (("PUNKTFUNK_STANDIN_DEVICES", "0"), ["NO_DEVICE (100)", "nvidia-smi"]),
        (("PUNKTFUNK_STANDIN_FAIL", "cuInit=999"), ["UNKNOWN (999)", "nvidia-modprobe"]),
        (("PUNKTFUNK_STANDIN_FAIL", "cuDriverGetVersion=999"), ["cuDriverGetVersion failed", "999"]),
    ] {
        let said = devices(good.path(), &[variables]);
        assert!(parts.iter().all(|part| said.contains(part)), "{variables:?}: {said}");
    }
    let text = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(text.path(), "no library").unwrap();
    let said = devices(folder(text.path()).path(), &[]);
    assert!(said.contains("cannot be loaded") && said.contains("install NVIDIA's driver anew"), "{said}");
    let foreign = [Path::new("/lib/x86_64-linux-gnu/libm.so.6"), Path::new("/usr/lib64/libm.so.6")];
    if let Some(foreign) = foreign.into_iter().find(|path| path.exists()) {
        let said = devices(folder(foreign).path(), &[]);
        assert!(said.contains("has no cuDriverGetVersion"), "{said}");
    }
}

#[test]
fn a_machine_without_a_driver_is_told_what_to_install() {
    let empty = TempDir::new().unwrap();
    let said = devices(empty.path(), &[]);
    let known =
        Command::new("/sbin/ldconfig").arg("-p").output().map(|output| output.stdout).unwrap_or_default();
    let is_here = String::from_utf8_lossy(&known).contains("libcuda.so.1");
    assert!(is_here || said.contains("not on this machine") && said.contains("nvidia-driver"), "{said}");
}

#[test]
fn two_processes_share_a_semaphore() {
    let stand_in = loaded();
    {
        let (context, stream) = begin().unwrap();
        let fd = Timeline::create().unwrap();
        let inherited: OwnedFd = fd.try_clone().unwrap();
        // SAFETY: the descriptor is open; the flag is this test's to take off.
        assert_eq!(unsafe { libc::fcntl(inherited.as_raw_fd(), libc::F_SETFD, 0) }, 0);
        let semaphore = TimelineSemaphore::new(&context, fd).unwrap();
        stream.wait_until(&semaphore, 7).unwrap();
        assert!(!stream.is_idle().unwrap());
        let folder = folder(&library("stand-in-cuda"));
        let number = inherited.as_raw_fd().to_string();
        let output = look(folder.path(), &[], &["signal", &number, "7"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let until = Instant::now() + Duration::from_secs(10);
        while !stream.is_idle().unwrap() {
            assert!(Instant::now() < until, "the other process' signal never came");
            std::thread::yield_now();
        }
    }
    assert_eq!(stand_in.breaches(), 0);
}
