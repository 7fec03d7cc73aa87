//! Python as a process: a question in JSON a line, an answer in JSON a line.

use serde_json::Value;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

fn python(program: &str) -> Command {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../docs/second", program].iter().collect();
    let mut command = Command::new("python3");
    command.arg("-B").arg(path);
    command
}

/// The process, or None where there is no Python, which is said.
fn spawn(command: &mut Command) -> Option<Child> {
    match command.spawn() {
        Ok(child) => Some(child),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let line = "not checked: the second implementation needs python3, which is not installed";
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{line}");
            eprintln!("{line}");
            None
        }
        Err(error) => panic!("python3: {error}"),
    }
}

/// Holds Python against the vectors.
pub(crate) fn check() {
    let Some(child) = spawn(python("check.py").stdin(Stdio::null()).stdout(Stdio::piped())) else { return };
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    eprint!("{said}");
    assert!(output.status.success(), "{}: {said}", output.status);
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/vectors")).unwrap().count();
    assert_eq!(
        said.lines().filter(|line| line.contains(": agrees (")).count(),
        files,
        "a line for each file"
    );
}

pub(crate) struct Twin {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Twin {
    pub(crate) fn start() -> Option<Self> {
        let mut child = spawn(python("twin.py").stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let questions = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Some(Self { child, questions, answers })
    }

    pub(crate) fn ask(&mut self, question: &Value) -> Value {
        writeln!(self.questions, "{question}").unwrap();
        let mut answer = String::new();
        let bytes = self.answers.read_line(&mut answer).unwrap();
        assert!(bytes > 0, "Python has died; what it said is above");
        serde_json::from_str(&answer).unwrap()
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
