//! The command lines of the programs, and the files that a session leaves: the one place that knows.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::fault::Fault;

/// What the client asks for.
pub(crate) const MODE: &str = "1280x720@60";

/// The exit code of both programs when no compositor can be had: the host's own, and that of a client which is
/// refused for it.
pub(crate) const EXIT_NO_COMPOSITOR: i32 = 8;

/// Where the pictures come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The desktop that is there, else sway, started without a screen.
    Wayland,
    /// The moving test card.
    Card,
}

impl Source {
    /// The host's word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Source::Wayland => "wayland",
            Source::Card => "card",
        }
    }
}

/// The programs: both ends, and what draws the report.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) host: PathBuf,
    pub(crate) client: PathBuf,
    pub(crate) perf: PathBuf,
}

impl Programs {
    /// As cargo leaves them in `folder`.
    pub(crate) fn built_in(folder: &Path) -> Programs {
        Programs {
            host: folder.join("punktfunk-host"),
            client: folder.join("punktfunk"),
            perf: folder.join("punktfunk-perf"),
        }
    }
}

/// `punktfunk-host serve …` on a free port of the loopback, for one session.
pub(crate) fn host_args(source: Source, identity: &Path, port_file: &Path) -> Vec<OsString> {
    let mut args =
        words(&["serve", "--open", "--once", "--listen", "127.0.0.1:0", "--source", source.name()]);
    args.extend(["--identity".into(), identity.into(), "--port-file".into(), port_file.into()]);
    args
}

/// `punktfunk connect …` for `stream` at [`MODE`], recording into `out`.
pub(crate) fn client_args(port: u16, stream: Duration, identity: &Path, out: &Outcome) -> Vec<OsString> {
    let host = format!("127.0.0.1:{port}");
    let seconds = stream.as_secs().to_string();
    let mut args =
        words(&["connect", &host, "--open", "--mode", MODE, "--seconds", &seconds, "--json", "--record"]);
    args.extend([out.recording.clone().into(), "--snapshot".into(), out.picture.clone().into()]);
    args.extend(["--identity".into(), identity.into()]);
    args
}

/// `PUNKTFUNK_PERF` for both: into `out`, every second.
pub(crate) fn perf_target(out: &Outcome) -> OsString {
    // The interval is said, so that a comma in the folder's name is the folder's.
    [out.folder.as_os_str(), OsStr::new(",1")].into_iter().collect()
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// The files that a session leaves.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) folder: PathBuf,
    pub(crate) recording: PathBuf,
    pub(crate) picture: PathBuf,
    pub(crate) perf_host: PathBuf,
    pub(crate) perf_client: PathBuf,
    pub(crate) summary: PathBuf,
    pub(crate) client_json: PathBuf,
    pub(crate) report: PathBuf,
    pub(crate) report_picture: PathBuf,
}

impl Outcome {
    /// Their names in `folder`.
    pub(crate) fn in_folder(folder: &Path) -> Outcome {
        Outcome {
            folder: folder.to_owned(),
            recording: folder.join("recording.mp4"),
            picture: folder.join("picture.png"),
            perf_host: folder.join("perf-host.hlog"),
            perf_client: folder.join("perf-client.hlog"),
            summary: folder.join("summary.json"),
            client_json: folder.join("client.json"),
            report: folder.join("report.html"),
            report_picture: folder.join("report.png"),
        }
    }

    /// The words of one program while it streamed from `source`.
    pub(crate) fn log(&self, source: Source, program: &str) -> PathBuf {
        self.folder.join(format!("{program}-{}.log", source.name()))
    }

    /// Makes the folder; takes away what an earlier demo left, so that nothing old can pass for new.
    pub(crate) fn prepare(&self) -> Result<(), Fault> {
        fs::create_dir_all(&self.folder).map_err(Fault::io(format!("create {}", self.folder.display())))?;
        for path in
            self.demanded().chain([&self.summary, &self.client_json, &self.report, &self.report_picture])
        {
            match fs::remove_file(path) {
                Err(refused) if refused.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Fault::Io { action: format!("replace {}", path.display()), source: refused });
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// An error unless every file that the programs must leave is there and not empty.
    pub(crate) fn check(&self, source: Source) -> Result<(), Fault> {
        self.are_there(self.demanded(), source)
    }

    /// An error unless the report is there, as page and as picture.
    pub(crate) fn check_report(&self, source: Source) -> Result<(), Fault> {
        self.are_there([&self.report, &self.report_picture].into_iter(), source)
    }

    fn are_there<'a>(&self, files: impl Iterator<Item = &'a PathBuf>, source: Source) -> Result<(), Fault> {
        let is_missing = |path: &&PathBuf| !fs::metadata(path).is_ok_and(|file| file.len() > 0);
        let missing: Vec<PathBuf> = files.filter(is_missing).cloned().collect();
        match missing.is_empty() {
            true => Ok(()),
            false => Err(Fault::Incomplete { missing, log: self.log(source, "client") }),
        }
    }

    fn demanded(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.recording, &self.picture, &self.perf_host, &self.perf_client].into_iter()
    }
}
