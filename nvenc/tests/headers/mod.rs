//! NVIDIA's public headers, as `cargo xtask test` has laid them below `target`.

use std::path::PathBuf;
use std::process::Command;

/// One header's folder.
pub struct Header {
    folder: PathBuf,
}

impl Header {
    /// That of `version`; none, with a line, where it could not be had. Under CI that is a failure.
    pub fn find(version: &str) -> Option<Header> {
        let program = std::env::current_exe().expect("a test knows its program");
        let target = program.ancestors().nth(3).expect("target/debug/deps/PROGRAM");
        let folder = target.join("nvidia-headers").join(version);
        if folder.join("nvEncodeAPI.h").is_file() {
            return Some(Header { folder });
        }
        assert!(std::env::var("CI").as_deref() != Ok("true"), "no header {version} in {}", folder.display());
        eprintln!(
            "not checked against header {version}: not in {}; `cargo xtask test` fetches it",
            folder.display()
        );
        None
    }

    /// What a C program prints that includes it.
    pub fn run(&self, program: &str) -> String {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let source = scratch.path().join("layout.c");
        std::fs::write(&source, program).expect("the source is written");
        let made = scratch.path().join("layout");
        let compiled = Command::new("cc")
            .args(["-std=gnu11", "-Wno-overflow", "-I"])
            .arg(&self.folder)
            .arg("-o")
            .args([&made, &source])
            .output()
            .expect("a C compiler, which building this needs anyway");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        let printed = Command::new(&made).output().expect("the program runs");
        assert!(printed.status.success(), "{printed:?}");
        String::from_utf8(printed.stdout).expect("figures are text")
    }
}
