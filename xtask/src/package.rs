//! `cargo xtask package`: Debian packages of the programs, with every feature that this machine's libraries allow.
//!
//! Promises: what a package needs of the system is what its program links, as dpkg-shlibdeps reads it; its files belong
//! to root, with the same rights whoever builds it; nothing of it runs at installation. Three packages: a client needs
//! neither PipeWire nor a compositor, and what draws a session's report has its place beside either end.
//!
//! Refuses: to sign, to publish, and to build for another machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::args::PackageOptions;
use crate::fault::Fault;
use crate::{packages, process, workspace};

/// Debian's word for the machine that this program was built for.
const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };

/// Reads as one sentence, then a paragraph, as Debian's policy wants it.
struct Package {
    name: &'static str,
    program: &'static str,
    summary: &'static str,
    description: &'static str,
    /// Beside what is linked.
    recommends: &'static str,
    /// A library without which a feature is missing that the package is there for.
    must_link: Option<&'static str>,
    /// Whether the program writes manual pages and completions of itself.
    has_pages: bool,
    /// From the checkout to the system, the program and the licences apart.
    files: &'static [(&'static str, &'static str)],
}

const HOST: Package = Package {
    name: "punktfunk-host",
    program: "punktfunk-host",
    summary: "streams a Linux desktop or game over a LAN, host",
    description: "Captures a desktop by PipeWire or Wayland, encodes it, and sends it with FEC, sealed and paced.",
    recommends: "pipewire, wireplumber, xdg-desktop-portal, sway",
    must_link: Some("libpipewire-0.3"),
    has_pages: true,
    files: &[
        ("packaging/systemd/punktfunk-host.service", "usr/lib/systemd/user/punktfunk-host.service"),
        ("packaging/sysctl/90-punktfunk.conf", "usr/lib/sysctl.d/90-punktfunk-host.conf"),
        ("packaging/host.env.example", "usr/share/doc/punktfunk-host/host.env.example"),
        ("packaging/host.toml.example", "usr/share/doc/punktfunk-host/host.toml.example"),
        ("README.md", "usr/share/doc/punktfunk-host/README.md"),
    ],
};

const CLIENT: Package = Package {
    name: "punktfunk",
    program: "punktfunk",
    summary: "streams a Linux desktop or game over a LAN, client",
    description: "Receives, decodes, measures and records what a punktfunk host on the LAN sends.",
    recommends: "",
    must_link: None,
    has_pages: true,
    files: &[
        ("packaging/sysctl/90-punktfunk.conf", "usr/lib/sysctl.d/90-punktfunk.conf"),
        ("packaging/client.toml.example", "usr/share/doc/punktfunk/client.toml.example"),
        ("README.md", "usr/share/doc/punktfunk/README.md"),
    ],
};

const PERF: Package = Package {
    name: "punktfunk-perf",
    program: "punktfunk-perf",
    summary: "draws what a punktfunk session measured, and proves the way of its bytes",
    description: "Makes a page and a picture of a PUNKTFUNK_PERF folder, and measures what this machine can send.",
    recommends: "",
    must_link: None,
    has_pages: false,
    files: &[
        ("docs/measuring.md", "usr/share/doc/punktfunk-perf/measuring.md"),
        ("perf/programs/fonts/README.md", "usr/share/doc/punktfunk-perf/fonts.md"),
    ],
};

/// Every package.
const ALL: [&Package; 3] = [&HOST, &CLIENT, &PERF];

/// Builds all, into `target/packages`.
pub(crate) fn run(options: &PackageOptions) -> Result<(), Fault> {
    packages::ensure(&[packages::BUILD, packages::PACKAGE], options.install)?;
    let root = workspace::root()?;
    let mut build = workspace::cargo();
    build.args(["build", "--release", "--locked", "-p", "punktfunk-host", "-p", "punktfunk-client"]);
    build.args(["-p", "punktfunk-perf-programs"]);
    build.args(workspace::features(|package| ["punktfunk-host", "punktfunk-client"].contains(&package)));
    build.current_dir(&root);
    process::run(&mut build)?;
    let target = workspace::target_folder(&root)?;
    let out = target.join("packages");
    for package in ALL {
        let made = make(package, &root, &target.join("release").join(package.program), &out)?;
        println!("{}", made.display());
    }
    Ok(())
}

/// Puts one package together around `program`; hands the file's path back.
fn make(package: &Package, root: &Path, program: &Path, out: &Path) -> Result<PathBuf, Fault> {
    let staged = out.join(package.name);
    if staged.exists() {
        fs::remove_dir_all(&staged).map_err(Fault::io("take an earlier package's files away"))?;
    }
    let copyright = format!("usr/share/doc/{}/copyright", package.name);
    let installed = staged.join("usr/bin").join(package.program);
    put(&installed, &read(program)?, 0o755)?;
    if package.has_pages {
        process::run(Command::new(program).arg("man").arg(staged.join("usr/share")))?;
        open_to_all(&staged.join("usr/share"))?;
    }
    // Four fifths of a release build are its debug information.
    process::run(Command::new("strip").arg("--strip-debug").arg(&installed))?;
    for (from, to) in package.files {
        put(&staged.join(to), &read(&root.join(from))?, 0o644)?;
    }
    let licences = [read(&root.join("LICENSE-MIT"))?, b"\n".to_vec(), read(&root.join("LICENSE-APACHE"))?];
    put(&staged.join(copyright), &licences.concat(), 0o644)?;
    let depends = linked(&staged, package.program)?;
    if let Some(library) = package.must_link.filter(|library| !depends.contains(library)) {
        return Err(Fault::Answer {
            program: format!("the build of {}", package.program),
            expected: "a program with all its features",
            got: format!("one that links {depends} and not {library}"),
        });
    }
    let control = control(package, &depends, installed_kib(&staged)?);
    put(&staged.join("DEBIAN/control"), control.as_bytes(), 0o644)?;
    let file = out.join(format!("{}_{}_{ARCHITECTURE}.deb", package.name, env!("CARGO_PKG_VERSION")));
    let mut build = Command::new("dpkg-deb");
    build.args(["--root-owner-group", "-Zxz", "--build"]).arg(&staged).arg(&file);
    process::run(build.stdout(Stdio::null()))?;
    Ok(file)
}

/// What the program links, in the words of a `Depends` field.
fn linked(staged: &Path, program: &str) -> Result<String, Fault> {
    // It looks for a source package's control file, of which it needs the name alone.
    put(
        &staged.join("debian/control"),
        b"Source: punktfunk\n\nPackage: punktfunk\nArchitecture: any\n",
        0o644,
    )?;
    let mut depends = Command::new("dpkg-shlibdeps");
    depends.args(["-O", "--warnings=0"]).arg(Path::new("usr/bin").join(program)).current_dir(staged);
    let said = process::output(depends.stderr(Stdio::inherit()));
    fs::remove_dir_all(staged.join("debian")).map_err(Fault::io("take dpkg-shlibdeps's file away"))?;
    let said = said?;
    said.trim().strip_prefix("shlibs:Depends=").map(str::to_owned).ok_or_else(|| Fault::Answer {
        program: "dpkg-shlibdeps".to_owned(),
        expected: "a shlibs:Depends line",
        got: said.chars().take(80).collect(),
    })
}

fn control(package: &Package, depends: &str, installed_kib: u64) -> String {
    let optional = |field: &str, value: &str| match value.is_empty() {
        true => String::new(),
        false => format!("{field}: {value}\n"),
    };
    format!(
        "Package: {}\nVersion: {}\nArchitecture: {ARCHITECTURE}\nMaintainer: The punktfunk developers <developers@punktfunk.invalid>\n\
         Section: net\nPriority: optional\nInstalled-Size: {installed_kib}\n{}{}Description: {}\n {}\n",
        package.name,
        env!("CARGO_PKG_VERSION"),
        optional("Depends", depends),
        optional("Recommends", package.recommends),
        package.summary,
        package.description,
    )
}

fn installed_kib(folder: &Path) -> Result<u64, Fault> {
    let unreadable = || Fault::io(format!("read {}", folder.display()));
    let mut kib = 0;
    for entry in fs::read_dir(folder).map_err(unreadable())? {
        let entry = entry.map_err(unreadable())?;
        let metadata = entry.metadata().map_err(unreadable())?;
        kib +=
            if metadata.is_dir() { 1 + installed_kib(&entry.path())? } else { metadata.len().div_ceil(1024) };
    }
    Ok(kib)
}

/// What a program has written gets a package's rights, whatever the umask.
fn open_to_all(folder: &Path) -> Result<(), Fault> {
    let refused = || Fault::io(format!("set rights in {}", folder.display()));
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).map_err(refused())?;
    for entry in fs::read_dir(folder).map_err(refused())? {
        let path = entry.map_err(refused())?.path();
        if path.is_dir() {
            open_to_all(&path)?;
        } else {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).map_err(refused())?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    fs::read(path).map_err(Fault::io(format!("read {}", path.display())))
}

/// Writes a file with these rights; the folders above it that are made get 0755, whatever the umask and the folder that
/// they are made in.
fn put(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Fault> {
    let refused = || Fault::io(format!("write {}", path.display()));
    let folder = path.parent().unwrap_or(path);
    let new: Vec<&Path> = folder.ancestors().take_while(|above| !above.exists()).collect();
    fs::create_dir_all(folder).map_err(refused())?;
    for made in new {
        fs::set_permissions(made, fs::Permissions::from_mode(0o755)).map_err(refused())?;
    }
    fs::write(path, bytes).map_err(refused())?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(refused())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A package around a program of this system, read back by dpkg's own tool.
    fn made(package: &Package) -> (tempfile::TempDir, PathBuf) {
        let out = tempfile::tempdir().unwrap();
        // What is made in such a folder has its group's bit too: rights that no package may have.
        fs::set_permissions(out.path(), fs::Permissions::from_mode(0o2700)).unwrap();
        let root = workspace::root().unwrap();
        let file = make(package, &root, &process::find("ls").unwrap(), out.path()).unwrap();
        (out, file)
    }

    /// The package as it is made around `ls`, which links little and has no pages to write.
    const fn around_ls(package: Package) -> Package {
        Package { must_link: None, has_pages: false, ..package }
    }

    fn dpkg_deb(verb: &str, file: &Path) -> String {
        process::output(Command::new("dpkg-deb").arg(verb).arg(file)).unwrap()
    }

    fn has_tools() -> bool {
        let missing: Vec<_> =
            ["dpkg-deb", "dpkg-shlibdeps"].into_iter().filter(|tool| process::find(tool).is_none()).collect();
        assert!(missing.is_empty() || std::env::var("CI").as_deref() != Ok("true"), "missing: {missing:?}");
        if !missing.is_empty() {
            eprintln!("not checked: {missing:?} of package dpkg-dev are not here");
        }
        missing.is_empty()
    }

    #[test]
    fn a_package_holds_its_program_its_files_and_what_it_links() {
        if !has_tools() {
            return;
        }
        for package in [&around_ls(HOST), &around_ls(CLIENT), &PERF] {
            let (_out, file) = made(package);
            let listing = dpkg_deb("--contents", &file);
            let has = |start: &str, path: &str| {
                let end = format!(" ./{path}");
                listing
                    .lines()
                    .any(|line| line.starts_with(start) && line.ends_with(&end) && line.contains("root/root"))
            };
            assert!(has("-rwxr-xr-x", &format!("usr/bin/{}", package.program)), "{listing}");
            for (_, path) in package.files {
                assert!(has("-rw-r--r--", path), "{path}: {listing}");
            }
            assert!(has("drwxr-xr-x", "usr/bin/") && has("drwxr-xr-x", ""), "{listing}");
            let folders = || listing.lines().filter(|line| line.ends_with('/'));
            assert!(folders().all(|line| line.starts_with("drwxr-xr-x ")), "{listing}");
            assert!(!listing.contains("debian/"), "{listing}");
            let control = dpkg_deb("--field", &file);
            assert!(control.contains(&format!("Package: {}\n", package.name)), "{control}");
            assert!(control.contains("Depends: libc6"), "what `ls` links: {control}");
        }
    }

    /// File capabilities on a program that loads what the environment names made a user root. No program of ours is
    /// given more than its user has: by no bit of its file, no script at its installation, no line of its service.
    #[test]
    fn ghsa_fp6g_no_program_is_given_more_than_its_user_has() {
        let root = workspace::root().unwrap();
        let unit = fs::read_to_string(root.join("packaging/systemd/punktfunk-host.service")).unwrap();
        for line in ["NoNewPrivileges=yes\n", "RestrictSUIDSGID=yes\n"] {
            assert!(unit.contains(line), "{line}");
        }
        for word in ["Capabilit", "User=", "setcap", "ExecStart=+", "ExecStart=!"] {
            assert!(!unit.contains(word), "{word} in {unit}");
        }
        assert!(HOST.files.iter().any(|(_, to)| *to == "usr/lib/systemd/user/punktfunk-host.service"));
        if !has_tools() {
            return;
        }
        for package in [&around_ls(HOST), &around_ls(CLIENT), &PERF] {
            let (_out, file) = made(package);
            let is_raised = |line: &&str| line.chars().take(10).any(|bit| matches!(bit, 's' | 'S'));
            let raised = dpkg_deb("--contents", &file).lines().filter(is_raised).count();
            assert_eq!(raised, 0, "{}", package.name);
            let info = dpkg_deb("--info", &file);
            assert!(!info.contains("postinst") && !info.contains("preinst"), "{info}");
        }
    }

    #[test]
    fn a_host_that_was_built_without_pipewire_is_no_package() {
        if !has_tools() {
            return;
        }
        let (out, root) = (tempfile::tempdir().unwrap(), workspace::root().unwrap());
        let host = Package { must_link: HOST.must_link, ..around_ls(HOST) };
        let fault = make(&host, &root, &process::find("ls").unwrap(), out.path()).unwrap_err();
        assert!(fault.to_string().contains("libpipewire-0.3"), "{fault}");
    }

    #[test]
    fn no_two_packages_share_a_path() {
        let mut paths: Vec<_> =
            ALL.iter().flat_map(|package| package.files.iter().map(|(_, path)| *path)).collect();
        let all = paths.len();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), all);
    }

    #[test]
    fn what_the_example_names_is_in_a_package() {
        let example =
            fs::read_to_string(workspace::root().unwrap().join("packaging/host.env.example")).unwrap();
        assert!(example.contains("`punktfunk-perf report DIR`"), "{example}");
        assert!(example.contains("(host.toml.example shows"), "{example}");
        assert!(HOST.files.iter().any(|(_, to)| to.ends_with("/host.toml.example")));
        assert!(ALL.iter().any(|package| package.program == "punktfunk-perf"));
    }

    #[test]
    fn the_service_and_its_example_speak_the_programs_words() {
        let root = workspace::root().unwrap();
        let unit = fs::read_to_string(root.join("packaging/systemd/punktfunk-host.service")).unwrap();
        let example = fs::read_to_string(root.join("packaging/host.env.example")).unwrap();
        assert!(unit.contains("ExecStart=/usr/bin/punktfunk-host serve $PUNKTFUNK_SERVE_ARGS\n"), "{unit}");
        let readme = fs::read_to_string(root.join("README.md")).unwrap();
        let is_setting = |line: &&str| line.trim_start_matches('#').starts_with("PUNKTFUNK_");
        for line in example.lines().filter(is_setting) {
            let name = line.trim_start_matches('#').split('=').next().unwrap();
            assert!(
                name == "PUNKTFUNK_SERVE_ARGS" || readme.contains(name),
                "the README does not know {name}"
            );
        }
        assert!(
            unit.contains("EnvironmentFile=-%E/punktfunk/host.env\n"),
            "a host without the file starts: {unit}"
        );
    }

    /// An example that is copied whole changes nothing: least of all who may connect.
    #[test]
    fn nothing_in_the_examples_holds_before_somebody_says_so() {
        let root = workspace::root().unwrap();
        for name in ["host.env.example", "host.toml.example", "client.toml.example"] {
            let example = fs::read_to_string(root.join("packaging").join(name)).unwrap();
            let is_active = |line: &&str| !line.is_empty() && !line.starts_with(['#', '[']);
            assert_eq!(example.lines().find(is_active), None, "{name}");
            let has_words =
                example.lines().any(|line| line.starts_with("#PUNKTFUNK_") || line.contains(" = "));
            assert!(has_words && !example.contains("--trust 0"), "{name}");
        }
    }
}
