//! Gives the shared library the name that the driver's has, by which a process that loaded it by path finds it again.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libnvidia-encode.so.1");
}
