//! `cargo xtask web`: builds the console's sources in `web/` into what the host's program holds, `web/dist`.
//!
//! Promises: the same bytes from the same sources, on whichever machine: every package of the toolchain is pinned by
//! `package-lock.json` with its hash, and none of them may run a script of its own at installation. `--check` touches
//! nothing but `web/node_modules`: it builds into `target/web` and names each file that differs from the tree's.
//!
//! Refuses: to go on without node and npm; whoever only builds the host needs neither.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::args::WebOptions;
use crate::fault::Fault;
use crate::{packages, process, workspace};

/// The types that the document of the API gives the sources.
const SCHEMA: &str = "src/schema.ts";

/// What the host's program holds.
const DIST: &str = "dist";

/// Builds, or looks whether what is there is what would be built.
pub(crate) fn run(options: &WebOptions) -> Result<(), Fault> {
    let has_both = || ["node", "npm"].iter().all(|program| process::find(program).is_some());
    if !has_both() {
        packages::ensure(&[packages::WEB], options.install)?;
    }
    if !has_both() {
        let problem = "node and npm are not in the path; Debian's packages are nodejs and npm";
        return Err(Fault::Machine { problem: problem.to_owned() });
    }
    let root = workspace::root()?;
    let web = root.join("web");
    call(&web, "npm", &["ci"])?;
    let out = if options.check { workspace::target_folder(&root)?.join("web") } else { web.clone() };
    build(&web, &out)?;
    if !options.check {
        println!("web: {} is built", web.join(DIST).display());
        return Ok(());
    }
    let differing = differing(&web, &out)?;
    if differing.is_empty() {
        println!("web: what is in the tree is what its sources give");
        return Ok(());
    }
    Err(Fault::Web { differing })
}

/// Builds from `web` into `out`, which may be the same folder.
fn build(web: &Path, out: &Path) -> Result<(), Fault> {
    let (schema, dist) = (out.join(SCHEMA), out.join(DIST));
    let folder = schema.parent().unwrap_or(out);
    fs::create_dir_all(folder).map_err(Fault::io(format!("make {}", folder.display())))?;
    let tool = |name: &str| web.join("node_modules/.bin").join(name);
    let words = [OsStr::new("../manage/openapi.json"), OsStr::new("--output"), schema.as_os_str()];
    call(web, tool("openapi-typescript"), &words)?;
    call(web, tool("tsc"), &["--noEmit"])?;
    call(web, "node", &[OsStr::new("build.mjs"), dist.as_os_str()])
}

fn call(web: &Path, program: impl AsRef<Path>, words: &[impl AsRef<OsStr>]) -> Result<(), Fault> {
    let mut command = process::bound_to_us(program.as_ref());
    process::run(command.args(words).current_dir(web).stdin(Stdio::null()))
}

/// The files of the tree that are not what was built, and those that only one of the two has.
fn differing(web: &Path, built: &Path) -> Result<Vec<PathBuf>, Fault> {
    let mut names = BTreeSet::from([PathBuf::from(SCHEMA)]);
    for folder in [web.join(DIST), built.join(DIST)] {
        let unreadable = || Fault::io(format!("read {}", folder.display()));
        for entry in fs::read_dir(&folder).map_err(unreadable())? {
            names.insert(Path::new(DIST).join(entry.map_err(unreadable())?.file_name()));
        }
    }
    let mut differing = Vec::new();
    for name in names {
        if content(&web.join(&name))? != content(&built.join(&name))? {
            differing.push(name);
        }
    }
    Ok(differing)
}

/// A file's bytes; none where there is no file.
fn content(path: &Path) -> Result<Option<Vec<u8>>, Fault> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Fault::io(format!("read {}", path.display()))(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_and_what_only_one_side_has_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (tree, built) = (folder.path().join("tree"), folder.path().join("built"));
        for side in [&tree, &built] {
            fs::create_dir_all(side.join("dist")).unwrap();
            fs::create_dir_all(side.join("src")).unwrap();
            for name in ["dist/same", "dist/other", "src/schema.ts"] {
                fs::write(side.join(name), name).unwrap();
            }
        }
        assert_eq!(differing(&tree, &built).unwrap(), [""; 0].map(PathBuf::from));
        fs::write(tree.join("dist/other"), "else").unwrap();
        fs::write(tree.join("dist/old"), "").unwrap();
        fs::write(built.join("dist/new"), "").unwrap();
        fs::write(built.join("src/schema.ts"), "").unwrap();
        let names = ["dist/new", "dist/old", "dist/other", "src/schema.ts"];
        assert_eq!(differing(&tree, &built).unwrap(), names.map(PathBuf::from));
    }

    #[test]
    fn every_package_is_pinned_and_comes_from_nowhere_in_particular() {
        let web = workspace::root().unwrap().join("web");
        let package: serde_json::Value =
            serde_json::from_slice(&fs::read(web.join("package.json")).unwrap()).unwrap();
        for group in ["dependencies", "devDependencies"] {
            for (name, version) in package[group].as_object().unwrap() {
                let is_exact = version.as_str().unwrap().starts_with(|first: char| first.is_ascii_digit());
                assert!(is_exact, "{name}: {version}");
            }
        }
        let lock = fs::read_to_string(web.join("package-lock.json")).unwrap();
        assert!(!lock.contains("\"resolved\""), "npm config set omit-lockfile-registry-resolved true");
        let lock: serde_json::Value = serde_json::from_str(&lock).unwrap();
        for (name, entry) in lock["packages"].as_object().unwrap() {
            assert!(name.is_empty() || entry["integrity"].is_string(), "{name} has no hash");
        }
    }
}
