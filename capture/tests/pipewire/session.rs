//! A desktop session of our own: a bus, PipeWire, its session manager, and what a test adds to them.
//!
//! Every program lives in a folder of its own and ends with the session, by its process id.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use punktfunk_capture::pipewire::{Door, PipeWireSource, Surroundings, Wanted};
use punktfunk_capture::{CaptureError, Diagnosis, Mode};
use rustix::process::{Pid, Signal, kill_process};

/// What a program of the newer userland may take to be there, on a busy machine too.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub struct Session {
    dir: tempfile::TempDir,
    bus: String,
    /// What a compositor is found by.
    environment: Vec<(String, String)>,
    children: Vec<(&'static str, Child)>,
}

/// What a compositor is found by.
fn environment(socket: &str, desktop: &str) -> Vec<(String, String)> {
    [("WAYLAND_DISPLAY", socket), ("XDG_CURRENT_DESKTOP", desktop)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

impl Session {
    /// A bus, PipeWire and wireplumber.
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let bus = format!("unix:path={}", dir.path().join("bus").display());
        let mut session = Self { dir, bus, environment: Vec::new(), children: Vec::new() };
        session.spawn(
            "dbus-daemon",
            &["--session", "--nofork", "--nopidfile", "--address", &session.bus.clone()],
        );
        session.wait_for_file(Path::new("bus"));
        session.spawn("pipewire", &[]);
        session.wait_for_file(Path::new("pipewire-0"));
        session.spawn("wireplumber", &[]);
        session
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn surroundings(&self) -> Surroundings {
        Surroundings {
            pipewire: Some(self.dir().join("pipewire-0")),
            bus: Some(self.bus.clone()),
            environment: Some(self.environment.clone()),
        }
    }

    /// Starts a program in this session; what it says goes to a file of its name.
    pub fn spawn(&mut self, program: &'static str, arguments: &[&str]) {
        self.spawn_with(program, arguments, &[]);
    }

    pub fn spawn_with(&mut self, program: &'static str, arguments: &[&str], environment: &[(&str, &str)]) {
        let name = Path::new(program).file_name().unwrap().to_str().unwrap();
        let log = File::create(self.dir().join(format!("{name}.log"))).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .env("XDG_RUNTIME_DIR", self.dir())
            .env("HOME", self.dir())
            .env("XDG_CONFIG_HOME", self.dir().join("config"))
            .env("DBUS_SESSION_BUS_ADDRESS", &self.bus)
            .env_remove("WAYLAND_DISPLAY")
            .env_remove("DISPLAY")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        self.children.push((program, child));
    }

    /// A live test pattern at 60 pictures a second.
    pub fn spawn_synthetic(&mut self, name: &str, width: u32, height: u32) {
        self.spawn_synthetic_of(name, "BGRx", width, height);
    }

    pub fn spawn_synthetic_of(&mut self, name: &str, format: &str, width: u32, height: u32) {
        let caps = format!("video/x-raw,format={format},width={width},height={height},framerate=60/1");
        let properties = format!(
            "stream-properties=props,media.class=Video/Source,node.name={name},node.description={name}"
        );
        let arguments = [
            "videotestsrc",
            "is-live=true",
            "pattern=blink",
            "!",
            &caps,
            "!",
            "pipewiresink",
            "mode=provide",
            &properties,
        ];
        self.spawn("gst-launch-1.0", &arguments);
    }

    /// sway with one screen, a clock that moves on it, and what its portal has to know. Nobody starts the portal:
    /// the bus does, once it is asked, and finds sway by what it is told then.
    pub fn start_sway(&mut self, mode: Mode) {
        let config = self.dir().join("config");
        for (name, text) in [
            ("xdg-desktop-portal/portals.conf", "[preferred]\ndefault=wlr\n".to_owned()),
            (
                "xdg-desktop-portal-wlr/config",
                "[screencast]\nchooser_type=none\noutput_name=HEADLESS-1\nmax_fps=60\n".to_owned(),
            ),
            ("clock.sh", include_str!("../../../display/src/sway/clock.sh").to_owned()),
            (
                "sway.conf",
                format!(
                    "output HEADLESS-1 mode {}x{}@{}Hz\ndefault_border none\nexec foot -e sh {}/clock.sh\n",
                    mode.width(),
                    mode.height(),
                    mode.refresh_mhz() / 1000,
                    config.display()
                ),
            ),
        ] {
            let path = config.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let sway = config.join("sway.conf");
        self.spawn_with(
            "sway",
            &["--unsupported-gpu", "-c", sway.to_str().unwrap()],
            &[("WLR_BACKENDS", "headless"), ("WLR_RENDERER", "pixman"), ("WLR_LIBINPUT_NO_DEVICES", "1")],
        );
        self.wait_for_file(Path::new("wayland-1"));
        self.environment = environment("wayland-1", "sway");
    }

    /// Changes the mode of sway's screen.
    pub fn change_sway(&self, mode: Mode) {
        let files = std::fs::read_dir(self.dir()).unwrap().flatten().map(|entry| entry.path());
        let is_socket = |path: &PathBuf| path.to_str().unwrap().contains("/sway-ipc.");
        let socket = files.into_iter().find(is_socket).expect("sway is there");
        let (width, height, rate) = (mode.width(), mode.height(), mode.refresh_mhz() / 1000);
        let words = format!("output HEADLESS-1 mode --custom {width}x{height}@{rate}Hz");
        let output = Command::new("swaymsg").arg("-s").arg(socket).arg(words).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// GNOME's mutter with one virtual monitor, and a clock that moves on it.
    pub fn start_mutter(&mut self, mode: Mode) {
        let monitor = format!("{}x{}", mode.width(), mode.height());
        self.spawn(
            "mutter",
            &[
                "--headless",
                "--wayland",
                "--no-x11",
                "--wayland-display=wayland-9",
                "--virtual-monitor",
                &monitor,
            ],
        );
        self.wait_for_file(Path::new("wayland-9"));
        let clock = self.dir().join("clock.sh");
        std::fs::write(&clock, include_str!("../../../display/src/sway/clock.sh")).unwrap();
        let words = ["-e", "sh", clock.to_str().unwrap()];
        self.spawn_with("foot", &words, &[("WAYLAND_DISPLAY", "wayland-9")]);
        self.environment = environment("wayland-9", "GNOME");
        // It listens for windows before it does for us.
        self.owner("org.gnome.Mutter.ScreenCast");
    }

    /// The process behind a name on the bus, as soon as somebody has it.
    pub fn owner(&self, name: &str) -> Pid {
        let started = Instant::now();
        loop {
            match self.find_owner(name) {
                Ok(pid) => return pid,
                Err(answer) => assert!(started.elapsed() < DEADLINE, "{name}: {answer}\n{}", self.logs()),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn find_owner(&self, name: &str) -> Result<Pid, String> {
        let output = Command::new("dbus-send")
            .args([
                "--print-reply=literal",
                "--dest=org.freedesktop.DBus",
                "/",
                "org.freedesktop.DBus.GetConnectionUnixProcessID",
                &format!("string:{name}"),
            ])
            .env("DBUS_SESSION_BUS_ADDRESS", &self.bus)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let pid = text.split_whitespace().last().and_then(|pid| pid.parse().ok());
        pid.and_then(Pid::from_raw).ok_or_else(|| format!("{output:?}"))
    }

    pub fn wait_for_file(&self, name: &Path) -> PathBuf {
        let path = self.dir().join(name);
        let started = Instant::now();
        while !path.exists() {
            assert!(started.elapsed() < DEADLINE, "{} never came: {}", path.display(), self.logs());
            std::thread::sleep(Duration::from_millis(10));
        }
        path
    }

    /// Connects as soon as the node is there.
    pub fn connect(&self, door: &Door, wanted: impl Into<Wanted>) -> PipeWireSource {
        let (started, wanted) = (Instant::now(), wanted.into());
        loop {
            match PipeWireSource::connect_in(&self.surroundings(), door.clone(), wanted.clone(), DEADLINE) {
                Ok(source) => return source,
                Err(CaptureError::Unusable { diagnosis: Diagnosis::NodeMissing { .. } })
                    if started.elapsed() < DEADLINE =>
                {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(error) => panic!("{error}\n{}", self.logs()),
            }
        }
    }

    fn child(&mut self, program: &str) -> &mut Child {
        &mut self.children.iter_mut().find(|(name, _)| *name == program).expect("it was started").1
    }

    pub fn signal(&mut self, program: &str, signal: Signal) {
        let pid = Pid::from_child(self.child(program));
        kill_process(pid, signal).unwrap();
    }

    /// Kills a program and waits until it is gone.
    pub fn kill(&mut self, program: &str) {
        let child = self.child(program);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// What the programs said, for a test that failed.
    pub fn logs(&self) -> String {
        let mut logs = String::new();
        for entry in std::fs::read_dir(self.dir()).unwrap().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "log") {
                let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
                let tail = text.lines().rev().take(25).collect::<Vec<_>>();
                let tail: Vec<_> = tail.into_iter().rev().collect();
                logs += &format!("--- {}\n{}\n", entry.file_name().display(), tail.join("\n"));
            }
        }
        logs
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The last one first, so that nothing complains about what it stands on.
        for (_, child) in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
