//! A real sway: outputs at exact modes, and nothing left behind however it ends.
//!
//! Where sway or foot is not installed these say so in one line and pass, unless `CI=true`.

#![allow(clippy::unwrap_used)] // clippy's leave for tests ends at the functions that they share

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use punktfunk_display::{
    DisplayError, Mode,
    sway::{Content, HeadlessSway, Removal, SwayConfig},
};

/// One compositor at a time on a machine: the tests measure times, and run in processes of their own.
fn turn() -> Option<File> {
    // Taken before anything is started: a program that is being started on another thread holds what
    // this one writes open, and what is open for writing cannot be executed.
    let path = std::env::temp_dir().join("punktfunk-sway-tests.lock");
    // Somebody else's file can be locked, too, and not be written to.
    let lock = File::open(&path).or_else(|_| File::create(&path)).unwrap();
    lock.lock().unwrap();
    for program in ["sway", "foot"] {
        if Command::new(program).arg("--version").output().is_err() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{program} must be installed under CI");
            eprintln!("skipped: {program} is not installed (apt install sway foot)");
            return None;
        }
    }
    Some(lock)
}

/// Ids of the living processes whose runtime folder this is or was.
fn processes_in(runtime_dir: &Path) -> Vec<String> {
    let wanted = format!("XDG_RUNTIME_DIR={}", runtime_dir.display()).into_bytes();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter(|entry| {
            fs::read(entry.path().join("environ"))
                .is_ok_and(|environ| environ.split(|&byte| byte == 0).any(|variable| variable == wanted))
        })
        .map(|entry| {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            format!("{} {}", entry.file_name().to_string_lossy(), name.trim())
        })
        .collect()
}

fn assert_nothing_left(runtime_dir: &Path, within: Duration) {
    let started = Instant::now();
    loop {
        let left = processes_in(runtime_dir);
        if left.is_empty() && !runtime_dir.exists() {
            return;
        }
        assert!(started.elapsed() < within, "left: {left:?}, folder there: {}", runtime_dir.exists());
        thread::sleep(Duration::from_millis(10));
    }
}

fn mode(width: u32, height: u32, refresh_mhz: u32) -> Mode {
    Mode::new(width, height, refresh_mhz).unwrap()
}

/// The shell's own: a bare system has no program of that name.
fn kill(signal: &str, ids: &[String]) {
    let status = Command::new("sh").args(["-c", "kill \"$@\"", "kill", signal]).args(ids).status().unwrap();
    assert!(status.success(), "kill {signal} {ids:?}: {status}");
}

#[test]
fn outputs_come_go_and_change_at_exact_modes() {
    let Some(_turn) = turn() else { return };
    let started = Instant::now();
    let mut sway = HeadlessSway::start(&SwayConfig::default()).unwrap();
    eprintln!("sway {} ready after {:?}", sway.version(), started.elapsed());
    let dir = sway.runtime_dir().to_owned();
    assert!(sway.wayland_socket().starts_with(&dir));
    let running = processes_in(&dir);
    assert!(running.iter().any(|process| process.ends_with(" sway")), "{running:?}");

    let wanted = mode(1280, 720, 60_000);
    let started = Instant::now();
    let output = sway.create_output(wanted).unwrap();
    eprintln!("{output} at {wanted} with content after {:?}", started.elapsed());
    assert_eq!(sway.mode(&output).unwrap(), wanted);
    assert!(processes_in(&dir).iter().any(|process| process.ends_with(" foot")));
    for wanted in [mode(2560, 1440, 120_000), mode(1366, 768, 59_940), mode(16, 16, 480_000)] {
        sway.set_mode(&output, wanted).unwrap();
        assert_eq!(sway.mode(&output).unwrap(), wanted);
    }

    // A second one beside it, with its own content.
    let second = sway.create_output(mode(800, 600, 75_000)).unwrap();
    assert_ne!(second, output);
    assert_eq!(sway.mode(&output).unwrap(), mode(16, 16, 480_000));
    sway.remove_output(second).unwrap();

    // Removed, then made again: a parked one is used again, a new one has a new name.
    let removal = sway.remove_output(output.clone()).unwrap();
    let started = Instant::now();
    while processes_in(&dir).iter().any(|process| process.ends_with(" foot")) {
        assert!(started.elapsed() < Duration::from_secs(5), "content stays: {:?}", processes_in(&dir));
        thread::sleep(Duration::from_millis(10));
    }
    eprintln!("removal: {removal:?}");
    if removal == Removal::Unplugged {
        let error = sway.set_mode(&output, wanted).unwrap_err();
        assert!(matches!(error, DisplayError::OutputUnknown { .. }), "{error}");
    }
    let again = sway.create_output(wanted).unwrap();
    assert_eq!(sway.mode(&again).unwrap(), wanted);
    sway.check().unwrap();
    sway.stop().unwrap();
    assert_nothing_left(&dir, Duration::ZERO);
}

#[test]
fn sway_runs_without_root_and_without_other_groups() {
    let Some(_turn) = turn() else { return };
    let mut sway =
        HeadlessSway::start(&SwayConfig { content: Content::Empty, ..SwayConfig::default() }).unwrap();
    let dir = sway.runtime_dir().to_owned();
    let owner = fs::metadata(&dir).unwrap().uid();
    assert_ne!(owner, 0);
    let running = processes_in(&dir);
    assert!(!running.is_empty());
    for process in running {
        let id = process.split(' ').next().unwrap();
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
        for uid in line("Uid:").split_whitespace() {
            assert_eq!(uid, owner.to_string(), "{process}");
        }
        if SwayConfig::default().run_as.is_some() {
            assert_eq!(line("Groups:").trim(), "", "{process}");
            assert_eq!(line("CapEff:").trim(), "0000000000000000", "{process}");
        }
    }
    // What is asked of it while it is dead is told as its death.
    let id = processes_in(&dir).iter().find_map(|process| process.strip_suffix(" sway").map(str::to_owned));
    kill("-9", &[id.unwrap()]);
    let error = sway.create_output(mode(640, 480, 60_000)).unwrap_err();
    assert!(matches!(error, DisplayError::Ended { .. }), "{error}");
    assert!(error.to_string().contains("killed by signal 9"), "{error}");
    drop(sway);
    assert_nothing_left(&dir, Duration::ZERO);
}

#[test]
fn failures_name_their_cause_and_leave_nothing() {
    let Some(_turn) = turn() else { return };
    let temp = tempfile::Builder::new().prefix("pf").tempdir().unwrap();
    fs::set_permissions(temp.path(), PermissionsExt::from_mode(0o1777)).unwrap();
    let config = SwayConfig { temp_dir: temp.path().to_owned(), ..SwayConfig::default() };
    let empty = || fs::read_dir(temp.path()).unwrap().count() == 0;

    let error = HeadlessSway::start(&SwayConfig {
        program: PathBuf::from("sway-that-is-not-here"),
        ..config.clone()
    })
    .unwrap_err();
    assert!(error.to_string().contains("apt install sway"), "{error}");
    assert!(empty());

    // A compositor that leaves at once.
    let broken = temp.path().with_extension("sh");
    fs::write(&broken, "#!/bin/sh\necho 'no such luck' >&2\nexit 3\n").unwrap();
    fs::set_permissions(&broken, PermissionsExt::from_mode(0o755)).unwrap();
    let error = HeadlessSway::start(&SwayConfig { program: broken.clone(), ..config.clone() }).unwrap_err();
    assert!(matches!(error, DisplayError::Ended { .. }), "{error}");
    assert!(
        error.to_string().contains("exit status 3") && error.to_string().contains("no such luck"),
        "{error}"
    );
    assert!(empty());

    // One that never gets ready.
    fs::write(&broken, "#!/bin/sh\ncase $1 in --*) exit 0;; esac\necho hm >&2\nsleep 60\n").unwrap();
    let start_deadline = Duration::from_millis(300);
    let error =
        HeadlessSway::start(&SwayConfig { program: broken.clone(), start_deadline, ..config.clone() })
            .unwrap_err();
    assert!(error.to_string().contains("no Wayland socket") && error.to_string().contains("hm"), "{error}");
    assert!(empty());
    fs::remove_file(&broken).unwrap();

    // Nothing on the output: the command is not there.
    let content = Content::Command("punktfunk-no-such-content".to_owned());
    let mut sway = HeadlessSway::start(&SwayConfig { content, ..config.clone() }).unwrap();
    let started = Instant::now();
    let error = sway.create_output(mode(640, 480, 60_000)).unwrap_err();
    // Whose status it is depends on the search path: 127, or 126 where some of it is closed to sway's user.
    assert!(matches!(error, DisplayError::ContentEnded { .. }), "{error}");
    assert!(error.to_string().contains("punktfunk-no-such-content: "), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5), "an end is told at once: {:?}", started.elapsed());
    drop(sway);
    assert!(empty());
}

/// What the tests below kill: started by them, with what it starts named on its stdout.
#[test]
#[ignore = "needs somebody who kills it: cargo test -p punktfunk-display runs it where it needs it"]
fn victim() {
    let temp_dir = std::env::var_os("PUNKTFUNK_VICTIM_DIR").map(PathBuf::from).unwrap();
    let config = SwayConfig { temp_dir, ..SwayConfig::default() };
    let mut sway = HeadlessSway::start(&config).unwrap();
    sway.create_output(mode(640, 480, 60_000)).unwrap();
    writeln!(std::io::stdout(), "\nready {}", sway.runtime_dir().display()).unwrap();
    thread::sleep(Duration::from_secs(120));
}

/// Starts a program that starts sway, and waits until it shows something.
fn start_victim(temp: &Path, nobody: bool) -> (std::process::Child, PathBuf) {
    // Somebody else may not be let through to the build folder.
    let copy = temp.join("victim");
    fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let sways = temp.join("s");
    fs::create_dir(&sways).unwrap();
    fs::set_permissions(&sways, PermissionsExt::from_mode(0o1777)).unwrap();
    fs::set_permissions(temp, PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = Command::new(copy);
    command.args(["--exact", "victim", "--ignored", "--nocapture"]);
    command.env("PUNKTFUNK_VICTIM_DIR", &sways).stdout(Stdio::piped());
    if nobody {
        command.uid(65_534).gid(65_534).current_dir("/");
    }
    let mut victim = command.spawn().unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let dir = lines.find_map(|line| line.unwrap().strip_prefix("ready ").map(PathBuf::from));
    (victim, dir.expect("the victim started sway"))
}

#[test]
fn a_parent_killed_with_9_leaves_nothing() {
    let Some(_turn) = turn() else { return };
    let temp = tempfile::Builder::new().prefix("pf").tempdir().unwrap();
    let (mut victim, dir) = start_victim(temp.path(), false);
    let running = processes_in(&dir);
    for name in [" sway", " foot", " sh"] {
        assert!(running.iter().any(|process| process.ends_with(name)), "{running:?}");
    }
    victim.kill().unwrap();
    victim.wait().unwrap();
    let started = Instant::now();
    assert_nothing_left(&dir, Duration::from_secs(5));
    eprintln!("gone {:?} after the parent was killed", started.elapsed());
}

#[test]
fn works_for_an_ordinary_user() {
    let Some(_turn) = turn() else { return };
    if SwayConfig::default().run_as.is_none() {
        eprintln!("skipped: this is no root, so every other test shows it");
        return;
    }
    let temp = tempfile::Builder::new().prefix("pf").tempdir().unwrap();
    let (mut victim, dir) = start_victim(temp.path(), true);
    assert_eq!(fs::metadata(&dir).unwrap().uid(), 65_534);
    victim.kill().unwrap();
    victim.wait().unwrap();
    assert_nothing_left(&dir, Duration::from_secs(5));
}

#[test]
fn the_next_start_sweeps_what_lost_its_supervisor_too() {
    let Some(_turn) = turn() else { return };
    let temp = tempfile::Builder::new().prefix("pf").tempdir().unwrap();
    let (mut victim, dir) = start_victim(temp.path(), false);
    // Parent, supervisor and its watch over the lifeline at once, as an out-of-memory killer might do it.
    let supervisor = children_of(&victim.id().to_string());
    assert_eq!(supervisor.len(), 1, "{supervisor:?}");
    let mut ids = children_of(&supervisor[0]);
    ids.retain(|id| fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|name| name.trim() == "sh"));
    ids.splice(0..0, [victim.id().to_string(), supervisor[0].clone()]);
    let stop = |signal: &str| kill(signal, &ids);
    stop("-STOP");
    stop("-KILL");
    victim.wait().unwrap();
    assert!(
        processes_in(&dir).iter().any(|process| process.ends_with(" sway")),
        "nobody was there to end it"
    );

    let config =
        SwayConfig { temp_dir: temp.path().join("s"), content: Content::Empty, ..SwayConfig::default() };
    let next = HeadlessSway::start(&config).unwrap();
    assert_nothing_left(&dir, Duration::ZERO);
    next.stop().unwrap();
    assert_eq!(fs::read_dir(&config.temp_dir).unwrap().count(), 0);
}

/// Children of all threads: `spawn` may run on any of them.
fn children_of(id: &str) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).unwrap().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}
