//! NVIDIA's own headers, which the bindings are held against: unpacked in `target`, for tests alone.
//!
//! Promises: 12.1 as Debian packages it (MIT), checked by Debian's own key; 13.0 from a crate that carries it (MIT), checked by
//! cargo. Nothing is installed, built or left outside `target` and cargo's own store. Refuses nothing: where they cannot be
//! had, the tests say so in a line.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::debian::{Fetch, KEYRING};
use crate::fault::Fault;
use crate::{suite, workspace};

/// Where the tests find them, below cargo's folder: a folder for each version.
const FOLDER: &str = "nvidia-headers";

/// The suite whose package has 12.1, and the package.
const DEBIAN: (&str, &str) = ("trixie", "libffmpeg-nvenc-dev");

/// The crate that has 13.0, its version, and where in it.
const CRATE: (&str, &str, &str) =
    ("shiguredo_nvcodec", "2026.2.0", "third_party/nvcodec/include/nvEncodeAPI.h");

/// How long the fetch may take: a suite's lists and a crate's, some tens of megabytes.
const PATIENCE: Duration = Duration::from_secs(180);

/// Sees to it that they are there; where they cannot be had, one line, and a failure only where `CI=true`.
pub(crate) fn ensure(root: &Path, install: bool) -> Result<(), Fault> {
    let folder = workspace::target_folder(root)?.join(FOLDER);
    let stamp = folder.join("made-by");
    let recipe = format!("{DEBIAN:?} {CRATE:?}\n");
    if !install || fs::read_to_string(&stamp).is_ok_and(|made_by| made_by == recipe) {
        return Ok(());
    }
    eprintln!("\n== NVIDIA's headers are laid in {}, for tests alone", folder.display());
    let made = make(&folder).and_then(|()| fs::write(&stamp, &recipe).map_err(Fault::io("write the stamp")));
    suite::unless_missing("NVIDIA's headers", made).map(|_| ())
}

fn make(folder: &Path) -> Result<(), Fault> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(Fault::io(format!("empty {}", folder.display())))?;
    }
    let scratch = folder.join("scratch");
    fs::create_dir_all(&scratch).map_err(Fault::io(format!("create {}", scratch.display())))?;
    let fetch = Fetch::new(&scratch, PATIENCE);
    copy(&from_debian(&fetch, &scratch)?, &folder.join("12.1"))?;
    copy(&[from_crate(&fetch, &scratch)?], &folder.join("13.0"))?;
    fs::remove_dir_all(&scratch).map_err(Fault::io("remove what was fetched"))
}

/// The headers of Debian's package, by an apt that knows of nothing but its suite.
fn from_debian(fetch: &Fetch<'_>, scratch: &Path) -> Result<Vec<PathBuf>, Fault> {
    let (suite, package) = DEBIAN;
    let sources = scratch.join("sources.list");
    let source = format!("deb [signed-by={KEYRING}] {} {suite} main\n", fetch.mirror()?);
    fs::write(&sources, source).map_err(Fault::io("write apt's sources"))?;
    for folder in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(scratch.join(folder)).map_err(Fault::io("create apt's folders"))?;
    }
    let at = |name: &str, path: &str| format!("{name}={}", scratch.join(path).display());
    let options = [
        at("Dir::Etc::SourceList", "sources.list"),
        "Dir::Etc::SourceParts=-".to_owned(),
        at("Dir::State::Lists", "lists"),
        at("Dir::Cache", "cache"),
        "APT::Sandbox::User=root".to_owned(),
    ];
    let apt = |words: &[&str]| {
        let options = options.iter().flat_map(|option| ["-o", option]);
        let words: Vec<&str> =
            ["apt-get", "--quiet"].into_iter().chain(options).chain(words.iter().copied()).collect();
        fetch.output(&words)
    };
    apt(&["update"])?;
    apt(&["download", package])?;
    fetch.output(&["sh", "-c", "dpkg-deb -x ./*.deb unpacked"])?;
    let headers = scratch.join("unpacked/usr/include/ffnvcodec");
    let entries = fs::read_dir(&headers).map_err(Fault::io(format!("read {}", headers.display())))?;
    entries.map(|entry| Ok(entry.map_err(Fault::io("read the headers"))?.path())).collect()
}

/// The header that a crate carries; cargo fetches and checks it, and builds nothing.
fn from_crate(fetch: &Fetch<'_>, scratch: &Path) -> Result<PathBuf, Fault> {
    let (name, version, header) = CRATE;
    let manifest = format!(
        "[package]\nname = \"headers\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[lib]\npath = \"lib.rs\"\n\
         [dependencies]\n{name} = \"={version}\"\n[workspace]\n"
    );
    let path = scratch.join("Cargo.toml");
    fs::write(&path, manifest).map_err(Fault::io("write a manifest"))?;
    fs::write(scratch.join("lib.rs"), "").map_err(Fault::io("write a library"))?;
    let path = path.display().to_string();
    let said = fetch.output(&["cargo", "metadata", "--format-version", "1", "--manifest-path", &path])?;
    let said: Value = serde_json::from_str(&said).unwrap_or_default();
    let packages = said["packages"].as_array().into_iter().flatten();
    let manifest =
        packages.filter(|package| package["name"] == name).find_map(|it| it["manifest_path"].as_str());
    manifest.map(|manifest| Path::new(manifest).with_file_name(header)).ok_or_else(|| Fault::Answer {
        program: "cargo metadata".to_owned(),
        expected: "the package that carries the header",
        got: said.to_string().chars().take(80).collect(),
    })
}

fn copy(files: &[PathBuf], folder: &Path) -> Result<(), Fault> {
    fs::create_dir_all(folder).map_err(Fault::io(format!("create {}", folder.display())))?;
    for file in files {
        let to = folder.join(file.file_name().unwrap_or_default());
        fs::copy(file, &to).map_err(Fault::io(format!("copy {}", file.display())))?;
    }
    Ok(())
}
