//! Gives the library the name that it stands in for, by which whoever loads that finds it.

fn main() {
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libnvcuvid.so.1");
    println!("cargo:rerun-if-changed=build.rs");
}
