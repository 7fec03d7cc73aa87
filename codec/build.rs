//! Stops the build where openh264 would silently come out without its assembly, and so three times slower.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=OPENH264_NO_ASM");
    if std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() != Ok("x86_64") {
        return; // Other architectures' assembly goes through the C compiler.
    }
    assert!(
        std::env::var_os("OPENH264_NO_ASM").is_none(),
        "OPENH264_NO_ASM is set: openh264 would be built without its assembly, several times slower. Unset it."
    );
    let found = Command::new("nasm").arg("-v").output().is_ok_and(|output| output.status.success());
    assert!(
        found,
        "nasm is not installed (or not in PATH): openh264 would be built without its assembly, several times \
         slower. Install it (Debian: apt-get install nasm), then run `cargo clean -p openh264-sys2` and build again."
    );
}
