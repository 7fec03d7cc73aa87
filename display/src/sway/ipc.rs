//! sway's IPC: outputs and windows.
//!
//! Promises: every request has a deadline, and what was asked for is read back; what waits for that ends early where
//! the caller says that it `is_over`. A connection serves one verb, so that a late answer is never taken for the next
//! one's. Refuses: an output that has another mode than the one asked for.

use std::{fmt, os::unix::net::UnixStream, path::PathBuf, thread, time::Instant};

use swayipc::{Connection, Error, Fallible, Node, NodeType, Output};

use crate::{
    DisplayError, Mode,
    limits::{IPC_DEADLINE, MODE_DEADLINE, POLL_INTERVAL, SIDE_PIXELS_MIN},
};

/// The name of an output that was made here, e.g. `HEADLESS-1`. `wl_output` gives the same name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OutputName(String);

impl OutputName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OutputName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How an output was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is gone (sway 1.8 and newer).
    Unplugged,
    /// It is off; a Wayland client does not see it any more.
    Disabled,
    /// sway 1.7 can neither remove nor switch off an output that has no screen. It shows nothing, at the
    /// smallest mode, and is the next one to be made.
    Parked,
}

/// sway's IPC socket.
#[derive(Debug)]
pub(super) struct Ipc {
    socket: PathBuf,
}

impl Ipc {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// sway's version, e.g. `1.7`.
    pub(super) fn version(&self) -> Result<String, DisplayError> {
        self.request("get_version", Connection::get_version).map(|version| version.human_readable)
    }

    /// Runs one command.
    pub(super) fn run(&self, command: &str) -> Result<(), DisplayError> {
        let answers = self.request(command, |connection| connection.run_command(command))?;
        for answer in answers {
            answer.map_err(|error| DisplayError::Refused {
                command: command.to_owned(),
                answer: error.to_string(),
            })?;
        }
        Ok(())
    }

    /// Ids of all windows.
    pub(super) fn windows(&self) -> Result<Vec<i64>, DisplayError> {
        let tree = self.request("get_tree", Connection::get_tree)?;
        let mut windows = Vec::new();
        collect_windows(&tree, &mut windows);
        Ok(windows)
    }

    /// A new output, or one that was parked or switched off before.
    pub(super) fn create_output(
        &self,
        is_over: &dyn Fn() -> bool,
        stderr: &dyn Fn() -> String,
    ) -> Result<OutputName, DisplayError> {
        let before = self.outputs()?;
        if let Some(spare) = before.iter().find(|output| !output.active || is_parked(output)) {
            let name = OutputName(spare.name.clone());
            self.run(&format!("output {name} enable"))?;
            return Ok(name);
        }
        self.run("create_output")?;
        let started = Instant::now();
        loop {
            let mut now = self.outputs()?.into_iter();
            if let Some(made) = now.find(|output| before.iter().all(|old| old.name != output.name)) {
                return Ok(OutputName(made.name));
            }
            if started.elapsed() >= MODE_DEADLINE || is_over() {
                return Err(DisplayError::NoOutput { waited: started.elapsed(), stderr: stderr() });
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Sets a mode, at scale 1 and upright, and reads it back until it is there.
    pub(super) fn set_mode(
        &self,
        output: &OutputName,
        mode: Mode,
        is_over: &dyn Fn() -> bool,
        stderr: &dyn Fn() -> String,
    ) -> Result<(), DisplayError> {
        self.output(output)?;
        self.run(&format!("output {output} mode --custom {mode} scale 1 transform normal"))?;
        let started = Instant::now();
        loop {
            let now = self.output(output)?;
            if has_mode(&now, mode) {
                return Ok(());
            }
            if started.elapsed() >= MODE_DEADLINE || is_over() {
                return Err(DisplayError::ModeNotTaken {
                    output: output.0.clone(),
                    wanted: mode,
                    got: describe_mode(&now),
                    stderr: stderr(),
                });
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// An output's mode.
    pub(super) fn mode(&self, output: &OutputName) -> Result<Mode, DisplayError> {
        let now = self.output(output)?;
        let (width, height, refresh_mhz) = mode_numbers(&now);
        Mode::new(width, height, refresh_mhz)
    }

    /// Closes the windows on an output and takes it away, as far as this sway can.
    pub(super) fn remove_output(&self, output: &OutputName) -> Result<Removal, DisplayError> {
        self.output(output)?;
        for window in self.windows_on(output)? {
            match self.run(&format!("[con_id={window}] kill")) {
                // It closed by itself in the meantime.
                Ok(()) | Err(DisplayError::Refused { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        match self.run(&format!("output {output} unplug")) {
            Ok(()) => return Ok(Removal::Unplugged),
            Err(DisplayError::Refused { .. }) => {}
            Err(error) => return Err(error),
        }
        self.run(&format!("output {output} disable"))?;
        if !self.output(output)?.active {
            return Ok(Removal::Disabled);
        }
        // `disable` was taken down as a wish; the next command would try it again.
        self.run(&format!("output {output} enable"))?;
        self.run(&format!("output {output} mode --custom {PARKED_SIDE}x{PARKED_SIDE}@1Hz"))?;
        Ok(Removal::Parked)
    }

    fn outputs(&self) -> Result<Vec<Output>, DisplayError> {
        self.request("get_outputs", Connection::get_outputs)
    }

    fn output(&self, name: &OutputName) -> Result<Output, DisplayError> {
        let outputs = self.outputs()?;
        let present = outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>().join(", ");
        outputs
            .into_iter()
            .find(|output| output.name == name.0)
            .ok_or_else(|| DisplayError::OutputUnknown { output: name.0.clone(), present })
    }

    fn windows_on(&self, output: &OutputName) -> Result<Vec<i64>, DisplayError> {
        let tree = self.request("get_tree", Connection::get_tree)?;
        let mut windows = Vec::new();
        for node in &tree.nodes {
            if node.node_type == NodeType::Output && node.name.as_deref() == Some(output.as_str()) {
                collect_windows(node, &mut windows);
            }
        }
        Ok(windows)
    }

    /// One request on a connection of its own.
    fn request<T>(
        &self,
        request: &str,
        verb: impl FnOnce(&mut Connection) -> Fallible<T>,
    ) -> Result<T, DisplayError> {
        let connect = || -> Result<Connection, Error> {
            let stream = UnixStream::connect(&self.socket)?;
            stream.set_read_timeout(Some(IPC_DEADLINE))?;
            stream.set_write_timeout(Some(IPC_DEADLINE))?;
            Ok(Connection::from(stream))
        };
        connect()
            .and_then(|mut connection| verb(&mut connection))
            .map_err(|source| DisplayError::Ipc { request: request.to_owned(), source: Box::new(source) })
    }
}

/// A parked output's width and height: no session asks for a picture of this size and rate.
const PARKED_SIDE: u32 = SIDE_PIXELS_MIN;

fn is_parked(output: &Output) -> bool {
    mode_numbers(output) == (PARKED_SIDE, PARKED_SIDE, 1000)
}

/// Width, height, millihertz; zeros where it has no mode, or an impossible one.
fn mode_numbers(output: &Output) -> (u32, u32, u32) {
    let number = |value: i32| u32::try_from(value).unwrap_or(0);
    output
        .current_mode
        .as_ref()
        .map_or((0, 0, 0), |mode| (number(mode.width), number(mode.height), number(mode.refresh)))
}

fn has_mode(output: &Output, mode: Mode) -> bool {
    output.active
        && mode_numbers(output) == (mode.width(), mode.height(), mode.refresh_mhz())
        && output.transform.as_deref().is_none_or(|transform| transform == "normal")
        && output.scale.is_none_or(|scale| scale == 1.0)
}

fn describe_mode(output: &Output) -> String {
    let (width, height, refresh_mhz) = mode_numbers(output);
    let state = if output.active { "on" } else { "off" };
    let scale = output.scale.unwrap_or(1.0);
    let transform = output.transform.as_deref().unwrap_or("normal");
    format!("{width}x{height} at {refresh_mhz} mHz ({state}, scale {scale}, transform {transform})")
}

/// A window is a container with a process; sway gives `pid` to views only.
fn collect_windows(node: &Node, windows: &mut Vec<i64>) {
    if node.pid.is_some() {
        windows.push(node.id);
    }
    for child in node.nodes.iter().chain(&node.floating_nodes) {
        collect_windows(child, windows);
    }
}
