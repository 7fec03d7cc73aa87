//! Where the workspace is, and which files are its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::fault::Fault;
use crate::process;

/// Folders that a walk leaves out: what builds and runs leave behind.
const LEFT_OUT: &[&str] = &["target", ".git", "demo-out", "out", "node_modules"];

/// What is off where a library may be missing, and on wherever the project's own chores build: package and feature.
const FEATURES: &[(&str, &str)] = &[("punktfunk-capture", "pipewire"), ("punktfunk-host", "pipewire")];

/// The workspace's root: the folder above this package's manifest.
pub(crate) fn root() -> Result<PathBuf, Fault> {
    // Cargo sets the variable for `cargo run` and `cargo test`; a moved checkout is found by it too.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let root = manifest.parent().unwrap_or(&manifest).to_owned();
    match root.join("Cargo.toml").is_file() {
        true => Ok(root),
        false => Err(Fault::Answer {
            program: "cargo".to_owned(),
            expected: "the workspace's folder; run `cargo xtask` inside the checkout",
            got: root.display().to_string(),
        }),
    }
}

/// The folder that cargo builds in.
pub(crate) fn target_folder(root: &Path) -> Result<PathBuf, Fault> {
    let mut cargo = cargo();
    cargo.args(["metadata", "--format-version", "1", "--no-deps"]).current_dir(root);
    let text = process::output(cargo.stderr(Stdio::inherit()))?;
    let metadata: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    metadata["target_directory"].as_str().map(PathBuf::from).ok_or(Fault::Answer {
        program: "cargo metadata".to_owned(),
        expected: "a target_directory",
        got: text.chars().take(80).collect(),
    })
}

/// The cargo that runs us, or the one in the path; it ends when we do.
pub(crate) fn cargo() -> Command {
    process::bound_to_us(Path::new(&std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())))
}

/// The arguments that switch on what this machine's libraries make possible, for the packages that are built. Every
/// command that builds one of them has these, so that nothing is built twice.
pub(crate) fn features(is_built: impl Fn(&str) -> bool) -> Vec<String> {
    let features = FEATURES.iter().filter(|(package, _)| is_built(package));
    features
        .flat_map(|(package, feature)| ["--features".to_owned(), format!("{package}/{feature}")])
        .collect()
}

/// The project's files, tracked or about to be, relative to `root`, sorted. Asks git; where there is
/// none (an unpacked archive), walks.
pub(crate) fn files(root: &Path) -> Result<Vec<PathBuf>, Fault> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root);
    let mut files: Vec<PathBuf> = match process::output(git.stderr(Stdio::null())) {
        Ok(listing) => listing
            .split('\0')
            .filter(|name| !name.is_empty())
            .map(PathBuf::from)
            // Deleted, and not yet committed so.
            .filter(|path| root.join(path).is_file())
            .collect(),
        Err(_) => {
            let mut found = Vec::new();
            walk(root, Path::new(""), &mut found)?;
            found
        }
    };
    files.sort();
    files.dedup();
    Ok(files)
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Fault> {
    let here = root.join(folder);
    let unreadable = || Fault::io(format!("read {}", here.display()));
    for entry in fs::read_dir(&here).map_err(unreadable())? {
        let entry = entry.map_err(unreadable())?;
        let path = folder.join(entry.file_name());
        let kind = entry.file_type().map_err(unreadable())?;
        let left_out = LEFT_OUT.iter().any(|name| entry.file_name() == *name);
        if kind.is_dir() && !left_out {
            walk(root, &path, found)?;
        } else if kind.is_file() {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_and_the_walk_see_this_file() {
        let root = root().unwrap();
        let me = PathBuf::from("xtask/src/workspace.rs");
        assert!(files(&root).unwrap().contains(&me));
        let mut walked = Vec::new();
        walk(&root, Path::new(""), &mut walked).unwrap();
        assert!(walked.contains(&me));
        assert!(!walked.iter().any(|path| path.starts_with("target")));
    }

    #[test]
    fn a_tree_without_git_is_walked() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir_all(tree.path().join("a/target")).unwrap();
        fs::write(tree.path().join("a/x.rs"), "").unwrap();
        fs::write(tree.path().join("a/target/y.rs"), "").unwrap();
        assert_eq!(files(tree.path()).unwrap(), [PathBuf::from("a/x.rs")]);
    }
}
