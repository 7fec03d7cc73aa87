//! Another program's words, within a deadline.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

/// What `command` prints on standard output where it ends well in time; it is killed where it does not.
pub(crate) fn output(command: &mut Command, within: Duration, bytes_max: u64) -> Option<String> {
    let ends = Instant::now() + within;
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let pipe = child.stdout.take()?;
    let (sender, receiver) = channel();
    // It ends with the pipe, which ends with the program.
    let read = move || {
        let mut bytes = Vec::new();
        let read = pipe.take(bytes_max).read_to_end(&mut bytes);
        let _ = sender.send(read.map(|_| bytes));
    };
    // Without a thread the sender is dropped: as one that hangs.
    let _ = thread::Builder::new().name("output".into()).spawn(read);
    let said = receiver.recv_timeout(ends.saturating_duration_since(Instant::now()));
    // One that was not read to its end stands at a full pipe, or hangs.
    if !matches!(&said, Ok(Ok(bytes)) if (bytes.len() as u64) < bytes_max) {
        let _ = child.kill();
    }
    let status = child.wait().ok()?;
    let bytes = said.ok()?.ok()?;
    status.success().then(|| String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn what_it_prints_is_taken_where_it_ends_well_and_in_time() {
        let shell = |line: &str, within| output(Command::new("sh").args(["-c", line]), within, 1_000);
        assert_eq!(shell("echo yes", LONG).as_deref(), Some("yes\n"));
        assert_eq!(shell("echo no; exit 1", LONG), None);
        assert_eq!(shell("exec yes", LONG), None);
        let began = Instant::now();
        assert_eq!(shell("exec sleep 30", Duration::from_millis(50)), None);
        assert!(began.elapsed() < LONG);
        assert_eq!(output(&mut Command::new("no-such-program"), LONG, 10), None);
    }
}
