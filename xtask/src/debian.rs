//! Debian's archive as this machine reaches it: the mirror that apt is configured with, and programs that fetch from it in
//! bounded time.
//!
//! Promises: no host's name is known here; what a mirror sends is checked by Debian's own key; a mirror that hangs is given
//! up when the caller's patience ends. Refuses: archives that are not Debian's own.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::fault::Fault;
use crate::process::{self, Background};

/// What signs Debian's suites.
pub(crate) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A fetch under way: its programs run in `scratch` and have one end of patience together.
pub(crate) struct Fetch<'a> {
    scratch: &'a Path,
    give_up_at: Instant,
}

impl Fetch<'_> {
    /// One that begins now and may take as long as `patience`.
    pub(crate) fn new(scratch: &Path, patience: Duration) -> Fetch<'_> {
        Fetch { scratch, give_up_at: Instant::now() + patience }
    }

    /// The mirror of Debian that this machine's apt is configured with, downloaded from before or not.
    pub(crate) fn mirror(&self) -> Result<String, Fault> {
        let targets = self.output(&[
            "apt-get",
            "indextargets",
            "--no-release-info",
            "--format",
            "$(REPO_URI) $(COMPONENT)",
            "Created-By: Packages",
        ])?;
        find_mirror(&targets, |list| fs::read_to_string(list).ok()).ok_or_else(|| Fault::Answer {
            program: "apt-get indextargets".to_owned(),
            expected: "a mirror of Debian in this machine's configuration",
            got: format!("{} lists of others", targets.lines().count()),
        })
    }

    /// Runs a program to its end, or to that of our patience; what it answers.
    pub(crate) fn output(&self, words: &[&str]) -> Result<String, Fault> {
        let env = process::find("env")
            .ok_or_else(|| Fault::Machine { problem: "there is no program called env".to_owned() })?;
        let [log, answer] = ["log", "answer"].map(|name| self.scratch.join(name));
        let mut args = vec![OsStr::new("--chdir"), self.scratch.as_os_str()];
        args.extend(words.iter().map(OsStr::new));
        let start = Instant::now();
        let mut program = Background::start(&env, &args, &[], &log, Some(&answer))?;
        loop {
            match program.wait_for(self.give_up_at.saturating_duration_since(Instant::now()))? {
                Some(status) if status.success() => break,
                Some(status) => return Err(program.ended(status)),
                None if Instant::now() >= self.give_up_at => {
                    return Err(program.late(start.elapsed(), "end"));
                }
                None => {}
            }
        }
        let said = fs::read(&answer).map_err(Fault::io(format!("read {}", answer.display())))?;
        Ok(String::from_utf8_lossy(&said).into_owned())
    }
}

/// The first archive called "debian" with Debian's main component. Of a configuration that names a file of mirrors, as
/// Debian's cloud images do, the file's first; `read` reads it.
fn find_mirror(targets: &str, read: impl Fn(&Path) -> Option<String>) -> Option<String> {
    let main = targets.lines().filter_map(|line| line.split_once(' ').filter(|line| line.1 == "main"));
    let mut mirrors = main.filter_map(|(uri, _)| match uri.strip_prefix("mirror+file:") {
        // apt takes the file for a folder.
        Some(list) => first_mirror(&read(Path::new(list.trim_end_matches('/')))?),
        None => Some(uri.to_owned()),
    });
    mirrors.find(|uri| uri.trim_end_matches('/').ends_with("/debian"))
}

/// The first mirror in a file of them: a line each, what is to be known of it behind it.
fn first_mirror(list: &str) -> Option<String> {
    let mut uris = list.lines().filter_map(|line| line.split_whitespace().next());
    uris.find(|uri| uri.starts_with("http://") || uri.starts_with("https://")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn the_mirror_is_debians_and_neither_its_security_archive_nor_anothers() {
        let targets = "https://one.example/node/ main\nhttp://m.example/debian-security/ main\n\
                       http://m.example/debian/ contrib\nhttp://m.example/debian/ main\n";
        let no_list = |_: &Path| None;
        assert_eq!(find_mirror(targets, no_list).as_deref(), Some("http://m.example/debian/"));
        assert_eq!(find_mirror("http://m.example/debian-security/ main\n", no_list), None);
    }

    #[test]
    fn of_a_file_of_mirrors_it_is_the_first_that_is_debians() {
        let debian =
            "# ours\n\nfile:/srv/debian\nhttps://m.example/debian\tpriority:1\nhttp://n.example/debian\n";
        let files = [("debian", debian), ("debian-security", "https://m.example/debian-security\n")]
            .map(|(name, text)| (PathBuf::from(format!("/etc/mirrors/{name}.list")), text.to_owned()));
        let lists = |path: &Path| files.iter().find(|file| file.0 == path).map(|file| file.1.clone());
        let targets = "mirror+file:/etc/mirrors/none.list/ main\nmirror+file:/etc/mirrors/debian.list/ contrib\n\
                       mirror+file:/etc/mirrors/debian-security.list/ main\n\
                       mirror+file:///etc/mirrors/debian.list/ main\n";
        assert_eq!(find_mirror(targets, lists).as_deref(), Some("https://m.example/debian"));
        assert_eq!(find_mirror(targets, |_| Some("ftp://m.example/debian\n".to_owned())), None);
    }

    #[test]
    fn what_does_not_end_in_time_is_ended_and_what_it_said_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let soon = Fetch::new(folder.path(), Duration::from_secs(10));
        assert_eq!(
            soon.output(&["pwd", "-P"]).unwrap().trim(),
            folder.path().canonicalize().unwrap().to_str().unwrap()
        );
        assert!(matches!(soon.output(&["false"]), Err(Fault::Command { log: Some(_), .. })));
        let start = Instant::now();
        let soon = Fetch::new(folder.path(), Duration::from_millis(50));
        let late = soon.output(&["sleep", "30"]).unwrap_err();
        assert!(matches!(&late, Fault::Late { .. }) && start.elapsed() < Duration::from_secs(10), "{late}");
    }
}
