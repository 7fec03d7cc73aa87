//! Network namespaces, and wires between them: links of any rate, queue and MTU.
//!
//! Promises: a namespace goes with its holder, a process that is killed on drop and ends by itself soon if the test
//! is killed; nothing leaves it. A machine that cannot have one (no root, no iproute2) is said in one line, and is a
//! failure where `CI=true`.

use std::ffi::OsStr;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::look_for;

/// How long a holder lives without its test.
const HOLDER_SECONDS: &str = "120";

/// A network namespace.
pub(crate) struct Namespace {
    holder: Child,
}

impl Namespace {
    /// A new one, with its loopback up.
    pub(crate) fn new() -> Result<Self, String> {
        let mut unshare = Command::new("unshare");
        unshare.args(["--net", "sleep", HOLDER_SECONDS]).stdin(Stdio::null());
        let holder = unshare.spawn().map_err(|error| format!("unshare: {error}"))?;
        let mut namespace = Self { holder };
        let own = fs::read_link("/proc/self/ns/net").map_err(|error| format!("namespaces: {error}"))?;
        let is_apart = look_for(Duration::from_secs(5), || {
            let ended = namespace.holder.try_wait().ok().flatten().is_some();
            let apart = fs::read_link(namespace.path()).is_ok_and(|link| link != own);
            (ended || apart).then_some(apart && !ended)
        });
        if is_apart != Some(true) {
            return Err("unshare --net is refused".into());
        }
        namespace.run("ip link set lo up")?;
        Ok(namespace)
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.holder.id())
    }

    /// The process to name where a device is moved.
    pub(crate) fn id(&self) -> u32 {
        self.holder.id()
    }

    /// A command that will run in it.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path())).arg("--").arg(program);
        command
    }

    /// Runs commands, one a line; the first that fails ends it.
    pub(crate) fn run(&self, lines: &str) -> Result<(), String> {
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let mut words = line.split_whitespace();
            let mut command = self.command(words.next().unwrap_or("true"));
            let output = command.args(words).output().map_err(|error| format!("{line}: {error}"))?;
            if !output.status.success() {
                return Err(format!("{line}: {}", String::from_utf8_lossy(&output.stderr).trim()));
            }
        }
        Ok(())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Two namespaces; the host is 10.9.0.1.
pub(crate) fn wire() -> Result<(Namespace, Namespace), String> {
    let (host, client) = (Namespace::new()?, Namespace::new()?);
    host.run(&format!(
        "ip link add va type veth peer name vb
         ip link set vb netns {}
         ip addr add 10.9.0.1/24 dev va
         ip link set va up",
        client.id()
    ))?;
    client.run(
        "ip addr add 10.9.0.2/24 dev vb
         ip link set vb up",
    )?;
    Ok((host, client))
}

/// Says in one line why this machine cannot run a tier; under CI that is a failure.
pub(crate) fn not_run(tier: &str, cause: &str) {
    eprintln!("not run: {tier} ({cause}); needs root and iproute2");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "under CI this must be run: {tier}: {cause}");
}
