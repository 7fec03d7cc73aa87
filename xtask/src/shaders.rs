//! `cargo xtask shaders`: builds the shaders in `gpu/shaders` into the SPIR-V that the library holds, beside them.
//!
//! Promises: the same bytes from the same sources with Debian 12's compiler, which has no options of the machine's. `--check`
//! builds into `target/shaders` and names each file that differs from the tree's.
//!
//! Refuses: to go on without glslangValidator; whoever only builds the programs does not need it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::args::ShadersOptions;
use crate::fault::Fault;
use crate::{packages, process, workspace};

/// Where sources and what they give are.
const FOLDER: &str = "gpu/shaders";

/// The compiler, a program of glslang-tools.
const COMPILER: &str = "glslangValidator";

/// Vulkan's version that the code is for, one below what the library asks for: 1.3 brings nothing that is used.
const TARGET: &str = "vulkan1.2";

/// What is built: the code, its source, and what is defined in that.
const SHADERS: &[(&str, &str, &[&str])] = &[
    ("convert_buffer.spv", "convert.comp", &[]),
    ("convert_image.spv", "convert.comp", &["-DFROM_IMAGE"]),
    ("convert_planes.spv", "convert.comp", &["-DFROM_PLANES"]),
];

/// Builds, or looks whether what is there is what would be built.
pub(crate) fn run(options: &ShadersOptions) -> Result<(), Fault> {
    let has_compiler = || process::find(COMPILER).is_some();
    if !has_compiler() {
        packages::ensure(&[packages::SHADERS], options.install)?;
    }
    if !has_compiler() {
        let problem = format!("{COMPILER} is not in the path; Debian's package is glslang-tools");
        return Err(Fault::Machine { problem });
    }
    let root = workspace::root()?;
    let sources = root.join(FOLDER);
    if !options.check {
        build(&sources, &sources)?;
        println!("shaders: {} is built", sources.display());
        return Ok(());
    }
    let differing = check(&root)?;
    if differing.is_empty() {
        println!("shaders: what is in the tree is what its sources give");
        return Ok(());
    }
    Err(Fault::Shaders { differing })
}

/// What in the tree is not what its sources give.
fn check(root: &Path) -> Result<Vec<PathBuf>, Fault> {
    let (sources, built) = (root.join(FOLDER), workspace::target_folder(root)?.join("shaders"));
    build(&sources, &built)?;
    let names = SHADERS.iter().map(|(name, ..)| name);
    let differs = |name: &&&str| fs::read(sources.join(name)).ok() != fs::read(built.join(name)).ok();
    Ok(names.filter(differs).map(|name| Path::new(FOLDER).join(name)).collect())
}

fn build(sources: &Path, to: &Path) -> Result<(), Fault> {
    fs::create_dir_all(to).map_err(Fault::io(format!("make {}", to.display())))?;
    for (name, source, defined) in SHADERS {
        let mut compiler = Command::new(COMPILER);
        compiler.args(["--quiet", "-V", "--target-env", TARGET]).args(*defined);
        compiler.arg("-o").arg(to.join(name)).arg(sources.join(source));
        process::run(compiler.stdin(Stdio::null()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_library_holds_is_what_its_sources_give() {
        if process::find(COMPILER).is_none() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{COMPILER} must be installed under CI");
            eprintln!("not checked: there is no {COMPILER}");
            return;
        }
        let root = workspace::root().unwrap();
        assert_eq!(check(&root).unwrap(), [""; 0].map(PathBuf::from));
        let built = fs::read_dir(root.join(FOLDER)).unwrap().map(|entry| entry.unwrap().file_name());
        let built: Vec<_> = built.filter(|name| name.to_string_lossy().ends_with(".spv")).collect();
        assert_eq!(built.len(), SHADERS.len(), "{built:?}");
    }
}
