//! A machine to look at: an environment of its own, and if need be namespaces of its own.
//!
//! Promises: nothing of the person's desktop is in it; whatever was started for it ends with it.

use std::fmt;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// For what takes no time worth speaking of, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Patient {
    dir: tempfile::TempDir,
    env: Vec<(String, String)>,
    listen: String,
    manage: String,
    /// What goes before the program's name.
    before: Vec<String>,
    /// What is done in namespaces before it starts; none where it has none.
    script: Option<String>,
}

impl Patient {
    /// A machine on which nothing is wrong, or nothing of ours.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut patient = Self {
            dir,
            env: Vec::new(),
            listen: "127.0.0.1:0".into(),
            manage: "off".into(),
            before: Vec::new(),
            script: None,
        };
        let runtime = patient.runtime();
        fs::DirBuilder::new().mode(0o700).create(&runtime).unwrap();
        patient.env("XDG_RUNTIME_DIR", &runtime.display().to_string());
        patient.env("HOME", &patient.home().display().to_string());
        patient.env("PATH", &std::env::var("PATH").unwrap());
        patient
    }

    /// The same in network and mount namespaces, once `script` has run there; `None` where there can be none.
    pub fn within(script: &str) -> Option<Self> {
        let mut tried = Command::new("unshare");
        let tried = tried.args(["--net", "--mount", "sh", "-c", "ip link set lo up"]).output();
        if !tried.as_ref().is_ok_and(|output| output.status.success()) {
            eprintln!("not run: faults in namespaces ({tried:?}); needs root, unshare and iproute2");
            assert!(std::env::var("CI").as_deref() != Ok("true"), "under CI this must be run: {tried:?}");
            return None;
        }
        let mut patient = Self::new();
        patient.listen = "[::]:47800".into();
        patient.script = Some(script.to_owned());
        Some(patient)
    }

    /// The same machine without the fault, or with another one.
    pub fn with_script(mut self, script: &str) -> Self {
        self.script = Some(script.to_owned());
        self
    }

    pub fn home(&self) -> &Path {
        self.dir.path()
    }

    pub fn runtime(&self) -> PathBuf {
        self.dir.path().join("runtime")
    }

    pub fn identity(&self) -> PathBuf {
        self.dir.path().join("identity")
    }

    pub fn env(&mut self, name: &str, value: &str) {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.into(), value.into()));
    }

    pub fn listens_on(&mut self, address: &str) {
        self.listen = address.into();
    }

    pub fn manages_at(&mut self, address: &str) {
        self.manage = address.into();
    }

    pub fn before(&mut self, words: &[&str]) {
        self.before = words.iter().map(|&word| word.to_owned()).collect();
    }

    /// Somebody who listens in the login's folder and never answers.
    pub fn listen(&self, name: &str) -> UnixListener {
        UnixListener::bind(self.runtime().join(name)).unwrap()
    }

    /// A program of this name that is found before all others.
    pub fn program(&mut self, name: &str, script: &str) {
        let folder = self.runtime().join("bin");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self.env("PATH", &format!("{}:{}", folder.display(), std::env::var("PATH").unwrap()));
    }

    /// A program of the machine's, in this environment, until it is dropped; it is ready once `socket` is there.
    pub fn start(&self, line: &str, socket: &str) -> Running {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec {line}")]).env_clear().envs(self.env.iter().map(|(n, v)| (n, v)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let running = Running(command.spawn().unwrap());
        let (socket, began) = (self.runtime().join(socket), Instant::now());
        while !socket.exists() {
            assert!(began.elapsed() < PATIENCE, "{line} makes no {}", socket.display());
            std::thread::sleep(Duration::from_millis(5));
        }
        running
    }

    /// The doctor, in this machine.
    pub fn command(&self, args: &[&str]) -> Command {
        let host = env!("CARGO_BIN_EXE_punktfunk-host");
        let mut words = self.before.clone();
        words.extend([host, "doctor", "--listen", &self.listen, "--manage", &self.manage].map(String::from));
        words.extend(["--identity".to_owned(), self.identity().display().to_string()]);
        words.extend(args.iter().map(|&word| word.to_owned()));
        if let Some(script) = &self.script {
            // A sysfs of this network's, and whatever the script starts ends with the doctor.
            let script =
                format!("set -e; ip link set lo up; mount -t sysfs sysfs /sys\n{script}\nexec \"$@\"");
            let mut outer: Vec<String> =
                ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", &script, "sh"]
                    .map(String::from)
                    .into();
            outer.append(&mut words);
            words = outer;
        }
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env_clear().envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }

    pub fn diagnose(&self) -> Seen {
        Self::look(self.command(&["--json"]))
    }

    /// What its settings alone tell the doctor: without a flag that stands over them.
    pub fn diagnose_by_settings(&self) -> Seen {
        let mut command = Command::new(env!("CARGO_BIN_EXE_punktfunk-host"));
        command.args(["doctor", "--json"]).env_clear().stdin(Stdio::null());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        Self::look(command)
    }

    fn look(mut command: Command) -> Seen {
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let diagnosis =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
        Seen { diagnosis, code: output.status.code() }
    }
}

/// A program that is killed when it is dropped, which leaves its sockets behind.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the doctor saw.
pub struct Seen {
    diagnosis: Value,
    pub code: Option<i32>,
}

impl Seen {
    pub fn checks(&self) -> &[Value] {
        self.diagnosis["checks"].as_array().unwrap()
    }

    /// What a script is told by.
    pub fn error(&self) -> Option<&Value> {
        self.diagnosis.get("error")
    }

    fn check(&self, name: &str) -> &Value {
        self.checks()
            .iter()
            .find(|check| check["name"] == name)
            .unwrap_or_else(|| panic!("no {name}: {self:?}"))
    }

    pub fn state(&self, name: &str) -> &str {
        self.check(name)["state"].as_str().unwrap()
    }

    pub fn broken(&self) -> Vec<&str> {
        let broken = self.checks().iter().filter(|check| check["state"] == "broken");
        broken.map(|check| check["name"].as_str().unwrap()).collect()
    }

    /// It is so, and each of `words` is said of it.
    pub fn expect(&self, name: &str, state: &str, words: &[&str]) {
        let check = self.check(name);
        assert_eq!(check["state"], state, "{check}");
        let text = format!("{} → {}", check["found"].as_str().unwrap(), check["remedy"].as_str().unwrap());
        for word in words {
            assert!(text.contains(word), "{name}: no {word:?} in {text:?}");
        }
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "code {:?}", self.code)?;
        self.checks()
            .iter()
            .filter(|check| check["state"] != "ok")
            .try_for_each(|check| write!(f, "\n{check}"))
    }
}
