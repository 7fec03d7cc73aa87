//! The desktop that is to be shown: its sockets' folder, its compositor, and those that could make one.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

use punktfunk_display::{CompositorKind, CompositorProbe, probe_one};

use crate::limits::ANSWER_MAX;
use crate::{Verdict, View};

/// `XDG_RUNTIME_DIR`: without it nothing of the login is found.
pub(crate) fn runtime_dir(view: &View) -> Verdict {
    let uid = rustix::process::geteuid().as_raw();
    let Some(folder) = view.runtime_dir() else {
        return Verdict::degraded(
            "XDG_RUNTIME_DIR is not set",
            format!(
                "no desktop, PipeWire or portal can be found: run the host in the desktop's login, as its systemd unit \
                 does, or export XDG_RUNTIME_DIR=/run/user/{uid}"
            ),
        );
    };
    let shown = folder.display();
    let metadata = match fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => metadata,
        Ok(_) => return Verdict::broken(format!("{shown} is no folder"), make_login(uid)),
        Err(error) => return Verdict::broken(format!("{shown}: {error}"), make_login(uid)),
    };
    if metadata.uid() != uid {
        return Verdict::broken(
            format!("{shown} belongs to user {}, and this program runs as user {uid}", metadata.uid()),
            format!("run the host as the desktop's user (sudo -u '#{}'), not as another one", metadata.uid()),
        );
    }
    if metadata.mode() & 0o077 != 0 {
        return Verdict::degraded(
            format!("{shown} can be entered by others (mode {:03o})", metadata.mode() & 0o777),
            format!("other users may meddle with the desktop's sockets: chmod 700 {shown}"),
        );
    }
    Verdict::ok(shown.to_string())
}

fn make_login(uid: u32) -> String {
    format!(
        "no desktop, PipeWire or portal can be found: export XDG_RUNTIME_DIR=/run/user/{uid}, which a login makes, or \
         loginctl enable-linger for one that stays"
    )
}

/// The running desktop's compositor.
pub(crate) fn desktop(view: &View) -> Verdict {
    let Some(display) = view.variable("WAYLAND_DISPLAY") else { return no_display(view) };
    let path = match (Path::new(display).is_absolute(), view.runtime_dir()) {
        (true, _) => display.into(),
        (false, Some(folder)) => folder.join(display),
        (false, None) => {
            return Verdict::broken(
                format!("WAYLAND_DISPLAY={display} names a socket in XDG_RUNTIME_DIR, which is not set"),
                "see runtime-dir",
            );
        }
    };
    let named = view.variable("XDG_CURRENT_DESKTOP").map_or(String::new(), |name| format!(" ({name})"));
    match ask_compositor(&path) {
        Ok(()) => Verdict::ok(format!("a compositor answers at {}{named}", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Verdict::broken(
            format!("WAYLAND_DISPLAY={display}: there is no socket {}", path.display()),
            format!("{}; the compositor has ended, or the variable is an old login's", sockets(view)),
        ),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Verdict::broken(
            format!("nobody listens at {} any more", path.display()),
            format!("{}; its compositor has died: start the desktop anew", sockets(view)),
        ),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            Verdict::broken(
                format!(
                    "the compositor at {} has not answered for {:.1} s",
                    path.display(),
                    ANSWER_MAX.as_secs_f64()
                ),
                "it hangs: start the desktop anew",
            )
        }
        Err(error) => Verdict::broken(
            format!("{}: {error}", path.display()),
            "run the host as the desktop's user, or start the desktop anew",
        ),
    }
}

fn no_display(view: &View) -> Verdict {
    if let Some(display) = view.variable("DISPLAY") {
        return Verdict::degraded(
            format!("an X11 desktop (DISPLAY={display}), and no WAYLAND_DISPLAY"),
            "it can only be shown where its portal does so; log into a Wayland session",
        );
    }
    Verdict::degraded(
        "no desktop: WAYLAND_DISPLAY is not set",
        format!("only a headless sway of the host's own can be shown, or the test card; {}", sockets(view)),
    )
}

/// What could be set in place of it.
fn sockets(view: &View) -> String {
    let is_display = |entry: &fs::DirEntry| {
        let name = entry.file_name();
        let is_named = name.to_str().is_some_and(|name| name.starts_with("wayland-"));
        is_named && entry.file_type().is_ok_and(|kind| kind.is_socket())
    };
    let entries = view.runtime_dir().and_then(|folder| fs::read_dir(folder).ok());
    let alive = entries.into_iter().flatten().flatten().filter(is_display).filter_map(|entry| {
        UnixStream::connect(entry.path()).ok().map(|_| entry.file_name().to_string_lossy().into_owned())
    });
    match alive.min() {
        Some(name) => format!("export WAYLAND_DISPLAY={name}, where a compositor listens"),
        None => "run the host in a desktop's login to show that".to_owned(),
    }
}

/// Whether whoever listens at `path` speaks Wayland: it is asked for a sign when all before is done, and nothing else.
fn ask_compositor(path: &Path) -> io::Result<()> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    // wl_display (object 1), request 0 (sync), 12 bytes in all, whose answer is object 2.
    let words: [u32; 3] = [1, 12 << 16, 2];
    stream.write_all(&words.map(u32::to_ne_bytes).concat())?;
    let mut answer = [0; 8];
    stream.read_exact(&mut answer)?;
    let object = u32::from_ne_bytes([answer[0], answer[1], answer[2], answer[3]]);
    let opcode = u16::from_ne_bytes([answer[4], answer[5]]);
    match (object, opcode) {
        // done, or that the object's number is free again.
        (2, 0) | (1, 1) => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "what answers there does not speak Wayland")),
    }
}

/// The compositors that are installed, all asked at once: each may hang for itself.
pub(crate) fn compositors() -> Verdict {
    let found: Vec<CompositorProbe> = thread::scope(|scope| {
        let ask = |kind| thread::Builder::new().spawn_scoped(scope, move || probe_one(kind));
        // One that no thread can be had for is not asked.
        let asked = CompositorKind::ALL.map(ask);
        asked.into_iter().flatten().flat_map(thread::ScopedJoinHandle::join).collect()
    });
    judge(&found)
}

fn judge(found: &[CompositorProbe]) -> Verdict {
    let lines: Vec<_> =
        found.iter().filter(|probe| probe.version.is_some()).map(ToString::to_string).collect();
    let lines = if lines.is_empty() { "none is installed".to_owned() } else { lines.join("; ") };
    if found.iter().any(|probe| probe.usable.is_ok()) {
        return Verdict::ok(lines);
    }
    let sway = found.iter().find(|probe| probe.kind == CompositorKind::Sway);
    let remedy = match sway.and_then(|sway| sway.usable.as_ref().err()) {
        Some(reason) => format!("no virtual display can be made: sway is {reason}"),
        None => "no virtual display can be made: apt install sway".to_owned(),
    };
    Verdict::degraded(lines, remedy)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use punktfunk_display::Reason;
    use punktfunk_manage::model::CheckState;

    use super::*;
    use crate::view::tests::machine;

    #[test]
    fn what_answers_in_another_tongue_is_no_compositor() {
        let (dir, mut view) = machine(&[]);
        let listener = UnixListener::bind(dir.path().join("wayland-9")).unwrap();
        let answers: [(&[u8], CheckState); 4] = [
            (&[2, 0, 0, 0, 0, 0, 12, 0], CheckState::Ok),
            (&[1, 0, 0, 0, 0, 0, 12, 0], CheckState::Broken),
            (b"HTTP/1.1 400", CheckState::Broken),
            (b"", CheckState::Broken),
        ];
        view.environment.insert("WAYLAND_DISPLAY".into(), "wayland-9".into());
        view.environment.insert("XDG_RUNTIME_DIR".into(), dir.path().display().to_string());
        for (answer, state) in answers {
            let verdict = thread::scope(|scope| {
                scope.spawn(|| {
                    let (mut stream, _) = listener.accept().unwrap();
                    let mut asked = [0; 12];
                    stream.read_exact(&mut asked).unwrap();
                    stream.write_all(answer).unwrap();
                });
                desktop(&view)
            });
            assert_eq!(verdict.state, state, "{answer:?}: {verdict:?}");
        }
    }

    #[test]
    fn a_compositor_that_can_be_used_is_enough() {
        let probe = |kind, version: Option<&str>, usable| CompositorProbe {
            kind,
            version: version.map(str::to_owned),
            usable,
        };
        let none = [probe(CompositorKind::Sway, None, Err(Reason::NotInstalled { package: "sway" }))];
        let verdict = judge(&none);
        assert_eq!(verdict.state, CheckState::Degraded);
        assert!(verdict.remedy.contains("apt install sway"), "{verdict:?}");
        let kwin = probe(CompositorKind::Kwin, Some("6.1"), Err(Reason::NoBackend));
        let sway = probe(CompositorKind::Sway, Some("1.7"), Ok(()));
        assert_eq!(
            judge(&[sway, kwin]),
            Verdict::ok("sway 1.7: usable; kwin 6.1: this build has no backend for it")
        );
    }
}
