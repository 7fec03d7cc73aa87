//! The host and the client as tests start them: on loopback, each with an identity in the test's folder.
//!
//! Promises: the environment stays outside, whoever has set it, but for [`PASSED_ON`]. Refuses to go on where the client
//! was not built.

use std::ffi::{OsStr, OsString};
use std::io::PipeWriter;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::{Ended, Namespace, PATIENCE, Place, Program, look};

/// The host about to be started.
pub(crate) struct HostStart<'a> {
    place: &'a Place,
    identity: PathBuf,
    belief: Vec<String>,
    listen: String,
    manage: String,
    args: Vec<OsString>,
    env: Vec<(&'static str, OsString)>,
    namespace: Option<&'a Namespace>,
}

/// A host whose port is open.
pub(crate) struct Host {
    pub(crate) program: Program,
    pub(crate) port: u16,
    port_file: PathBuf,
}

/// The client about to be started.
pub(crate) struct ClientStart<'a> {
    place: &'a Place,
    verb: &'static str,
    address: String,
    json: bool,
    identity: PathBuf,
    belief: Vec<String>,
    args: Vec<OsString>,
    env: Vec<(&'static str, OsString)>,
    namespace: Option<&'a Namespace>,
    typed: String,
}

/// A client under way.
pub(crate) struct Client {
    pub(crate) program: Program,
}

fn host_path() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_punktfunk-host"))
}

fn client_path() -> PathBuf {
    let path = host_path().with_file_name("punktfunk");
    assert!(
        path.exists(),
        "{} is missing: cargo build -p punktfunk-client builds it, in the profile of this test",
        path.display()
    );
    path
}

/// What the programs find of the tests' own environment: what they start is found by it, and a panic's trace. Anything
/// else may lead to the person's desktop: a bus, a display, PipeWire's socket, a compositor's.
const PASSED_ON: [&str; 3] = ["PATH", "LD_LIBRARY_PATH", "RUST_BACKTRACE"];

/// A command with nothing of the person's desktop or settings in its environment.
fn command(program: &Path, place: &Place, namespace: Option<&Namespace>) -> Command {
    let mut command = match namespace {
        Some(namespace) => namespace.command(program),
        None => Command::new(program),
    };
    command.env_clear();
    command.envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.env("TMPDIR", place.folder()).env("HOME", place.folder());
    command
}

/// The fingerprint that `program fingerprint` prints for an identity, which it makes where there is none.
pub(crate) fn identity_fingerprint(place: &Place, of_host: bool, identity: &str) -> String {
    let program = if of_host { host_path().to_owned() } else { client_path() };
    let mut command = command(&program, place, None);
    command.arg("fingerprint").arg("--identity").arg(place.path(identity));
    let ended = Program::start(place, "fingerprint", command).wait(PATIENCE);
    let text = ended.expect_code(0).stdout.trim().to_owned();
    assert!(text.len() >= 64, "{text:?}");
    text
}

/// What `punktfunk-host token` prints with these arguments.
pub(crate) fn token(place: &Place, args: &[&str]) -> String {
    let mut command = command(host_path(), place, None);
    command.arg("token").args(args).arg("--identity").arg(place.path("host-identity"));
    let ended = Program::start(place, "token", command).wait(PATIENCE);
    ended.expect_code(0).stdout.trim().to_owned()
}

/// `punktfunk pair` with this on its standard input, in a network namespace or not.
pub(crate) fn pair(place: &Place, within: Option<&Namespace>, args: &[&str], typed: &str) -> Program {
    pair_as(place, "client-identity", within, args, typed)
}

/// The same by another client.
pub(crate) fn pair_as(
    place: &Place,
    identity: &str,
    within: Option<&Namespace>,
    args: &[&str],
    typed: &str,
) -> Program {
    let identity = place.path(identity);
    let mut command = command(&client_path(), place, within);
    command.arg("pair").args(args).arg("--json").arg("--identity").arg(identity);
    Program::start_reading(place, "pair", command, typed)
}

/// `punktfunk discover` in a namespace, to its end.
pub(crate) fn discover(place: &Place, within: &Namespace, args: &[&str]) -> Ended {
    discover_for_people(place, within, &[args, &["--json"]].concat())
}

/// What people see, in place of JSON.
pub(crate) fn discover_for_people(place: &Place, within: &Namespace, args: &[&str]) -> Ended {
    let mut command = command(&client_path(), place, Some(within));
    command.arg("discover").args(args).arg("--identity").arg(place.path("client-identity"));
    Program::start(place, "discover", command).wait(PATIENCE)
}

/// `punktfunk-host pair`, of the host's identity.
pub(crate) fn arm(place: &Place, args: &[&str]) -> Program {
    arm_as(place, "host-identity", args)
}

/// The same, of another identity.
pub(crate) fn arm_as(place: &Place, identity: &str, args: &[&str]) -> Program {
    operate(place, identity, "pair", args)
}

/// One of the host's commands, of this identity.
pub(crate) fn operate(place: &Place, identity: &str, verb: &str, args: &[&str]) -> Program {
    let identity = place.path(identity);
    let mut command = command(host_path(), place, None);
    command.arg(verb).args(args).arg("--json").arg("--identity").arg(identity);
    Program::start(place, verb, command)
}

/// `punktfunk-host devices`, of the host's identity, to its end.
pub(crate) fn devices(place: &Place, args: &[&str]) -> Ended {
    operate(place, "host-identity", "devices", args).wait(PATIENCE)
}

impl<'a> HostStart<'a> {
    /// A host of `source` that lets everybody in.
    pub(crate) fn new(place: &'a Place, source: impl AsRef<OsStr>) -> Self {
        Self {
            place,
            identity: place.path("host-identity"),
            belief: vec!["--open".into()],
            listen: "127.0.0.1:0".into(),
            manage: "off".into(),
            args: vec!["--source".into(), source.as_ref().into()],
            env: Vec::new(),
            namespace: None,
        }
    }

    pub(crate) fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(OsString::from));
        self
    }

    pub(crate) fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    /// In place of `--open`.
    pub(crate) fn belief(mut self, args: &[&str]) -> Self {
        self.belief = args.iter().map(ToString::to_string).collect();
        self
    }

    pub(crate) fn listen(mut self, address: &str) -> Self {
        self.listen = address.into();
        self
    }

    /// With its management API there; without it, off.
    pub(crate) fn manage(mut self, address: &str) -> Self {
        self.manage = address.into();
        self
    }

    /// In a network namespace.
    pub(crate) fn within(mut self, namespace: &'a Namespace) -> Self {
        self.namespace = Some(namespace);
        self
    }

    fn start(&self, port_file: &Path) -> Program {
        let mut command = command(host_path(), self.place, self.namespace);
        command.arg("serve").args(&self.belief).args(["--manage", &self.manage]).args([
            "--listen",
            &self.listen,
            "--json",
            "--identity",
        ]);
        command.arg(&self.identity);
        // The machine's own network is not to hear of tests.
        command.args(self.namespace.is_none().then_some("--no-announce"));
        command.arg("--port-file").arg(port_file).args(&self.args);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        Program::start(self.place, "host", command)
    }

    /// Starts it and waits for its port.
    pub(crate) fn ready(self) -> Host {
        let port_file = self.place.path(&self.place.name("port"));
        let mut program = self.start(&port_file);
        let port = look("the host's port file", PATIENCE, || {
            assert!(program.is_running(), "the host ended before its port was open");
            std::fs::read_to_string(&port_file).ok()?.trim().parse().ok()
        });
        Host { program, port, port_file }
    }

    /// Starts it and waits for it to refuse: it must not open its port.
    pub(crate) fn refused(self) -> Ended {
        let port_file = self.place.path(&self.place.name("port"));
        let ended = self.start(&port_file).wait(PATIENCE);
        assert!(!port_file.exists(), "a refusal after the port was open: {}", ended.stderr);
        ended
    }
}

impl Host {
    /// All events of a kind until now.
    pub(crate) fn events(&self, kind: &str) -> Vec<Value> {
        let stdout = self.program.stdout();
        let whole = &stdout[..stdout.rfind('\n').map_or(0, |end| end + 1)];
        let parse =
            |line: &str| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("no JSON: {line:?}"));
        whole.lines().map(parse).filter(|event| event["event"] == kind).collect()
    }

    /// Waits for the event of this kind that has `index` others before it.
    pub(crate) fn event(&self, kind: &str, index: usize, patience: Duration) -> Value {
        look(&format!("the host's event {kind}"), patience, || self.events(kind).get(index).cloned())
    }

    /// Waits for it to end by itself with code 0.
    pub(crate) fn ends(self) -> Ended {
        self.ends_with(0)
    }

    /// Waits for it to end by itself with this code; its port file must go with it.
    pub(crate) fn ends_with(self, code: i32) -> Ended {
        let ended = self.program.wait(PATIENCE);
        ended.expect_code(code).expect_said(&[]);
        assert!(!self.port_file.exists(), "{} outlives its host", self.port_file.display());
        assert!(!ended.stderr.contains('\x1b'), "colours where no terminal is: {:?}", ended.stderr);
        ended
    }

    /// Asks it to end, and waits.
    pub(crate) fn stop(self) -> Ended {
        self.program.signal("TERM");
        self.ends()
    }
}

impl Client {
    /// Waits until the first picture of so many sessions, one after the other, is decoded: what a person has of a session.
    pub(crate) fn has_pictures(&self, sessions: usize) {
        let seen = || self.program.stderr().matches("the first picture is decoded").count();
        look("the first picture", PATIENCE, || (seen() >= sessions).then_some(()));
    }
}

impl<'a> ClientStart<'a> {
    /// A client of the host on this port that believes any host.
    pub(crate) fn new(place: &'a Place, port: u16) -> Self {
        Self {
            place,
            verb: "connect",
            address: format!("127.0.0.1:{port}"),
            json: true,
            identity: place.path("client-identity"),
            belief: vec!["--open".into()],
            args: Vec::new(),
            env: Vec::new(),
            namespace: None,
            typed: String::new(),
        }
    }

    /// With this to read on its standard input.
    pub(crate) fn typing(mut self, typed: &str) -> Self {
        self.typed = typed.into();
        self
    }

    /// In a network namespace, from where the host is at this address.
    pub(crate) fn within(mut self, namespace: &'a Namespace, host: &str) -> Self {
        let port = self.address.rsplit_once(':').map_or("", |(_, port)| port);
        self.address = format!("{host}:{port}");
        self.namespace = Some(namespace);
        self
    }

    /// Tests the way from the host, in place of streaming.
    pub(crate) fn speed_test(mut self, target_kbps: u32, duration_ms: u32) -> Self {
        self.verb = "speed-test";
        let (target, ms) = (target_kbps.to_string(), duration_ms.to_string());
        self.args(&["--target", &target, "--ms", &ms])
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: &[A]) -> Self {
        self.args.extend(args.iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub(crate) fn file(self, option: &str, path: &Path) -> Self {
        self.args(&[OsStr::new(option), path.as_os_str()])
    }

    pub(crate) fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    /// In place of `--open`.
    pub(crate) fn belief(mut self, args: &[&str]) -> Self {
        self.belief = args.iter().map(ToString::to_string).collect();
        self
    }

    /// With another identity than the first client's.
    pub(crate) fn identity(mut self, name: &str) -> Self {
        self.identity = self.place.path(name);
        self
    }

    /// What people see, in place of JSON.
    pub(crate) fn for_people(mut self) -> Self {
        self.json = false;
        self
    }

    fn command(&self) -> Command {
        let mut command = command(&client_path(), self.place, self.namespace);
        command.arg(self.verb).arg(&self.address).args(&self.belief).arg("--identity").arg(&self.identity);
        command.args(self.json.then_some("--json")).args(&self.args);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn start(self) -> Client {
        Client { program: Program::start_reading(self.place, "client", self.command(), &self.typed) }
    }

    /// One that says when pictures begin: see [`Client::has_pictures`].
    pub(crate) fn start_telling(self) -> Client {
        self.telling().start()
    }

    /// The same, and what is written there it reads on its standard input.
    pub(crate) fn start_telling_and_typed(self) -> (Client, PipeWriter) {
        let (start, (reads, typed)) = (self.telling(), std::io::pipe().unwrap());
        let program = Program::start_fed(start.place, "client", start.command(), reads.into());
        (Client { program }, typed)
    }

    fn telling(self) -> Self {
        self.env("PUNKTFUNK_LOG", "warn,punktfunk=info")
    }

    /// Starts it and waits for its end, which takes as long as it was told to stream, and some.
    pub(crate) fn run(self) -> Ended {
        self.run_for(Duration::from_secs(10))
    }

    /// As `run`, for a client that was told to stream this long.
    pub(crate) fn run_for(self, streaming: Duration) -> Ended {
        self.start().program.wait(streaming + PATIENCE)
    }
}

#[test]
fn the_programs_are_told_nothing_of_the_tests_surroundings() {
    // cargo's own, which a test always has, stand for a desktop's.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let place = Place::new();
    for namespace in [None, Namespace::new().ok()] {
        let env = command(Path::new("env"), &place, namespace.as_ref());
        let ended = Program::start(&place, "env", env).wait(PATIENCE);
        let names = ended.stdout.lines().filter_map(|line| Some(line.split_once('=')?.0));
        let more: Vec<_> = names.filter(|name| !PASSED_ON.contains(name)).collect();
        let mut sorted = more.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, ["HOME", "TMPDIR"], "{}", ended.stdout);
    }
}
