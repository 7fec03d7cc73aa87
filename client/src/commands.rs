//! What a person or a script says to a session under way: a line each on standard input.
//!
//! Promises: a line is one command, or an error that names the right form; nobody waits for whoever types. Refuses lines
//! longer than any command, and those that are no text.

use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use punktfunk_capture::Mode;

use crate::error::ClientError;
use crate::terminal::say;

/// Longer than any command.
const LINE_BYTES_MAX: usize = 128;

/// Commands that wait; whoever says more waits, too.
const COMMANDS_WAITING: usize = 16;

/// The bitrates that a host may be asked for, in kbit/s.
pub const BITRATE_KBPS: std::ops::RangeInclusive<u32> = 500..=8_000_000;

/// What all there is looks like.
const FORMS: &str = "mode WxH@R, bitrate KBPS, approve ID, deny ID, quit";

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Another picture.
    Mode(Mode),
    /// Another rate, in kbit/s.
    Bitrate(u32),
    /// A word about a device that waits.
    Decide {
        /// Its number.
        id: u64,
        /// Whether it is let in.
        approve: bool,
    },
    /// Leave.
    Quit,
}

/// What has been said and not yet done.
pub struct Commands {
    said: Receiver<Result<Command, String>>,
}

impl Commands {
    /// Reads `input` from now on, on a thread of its own: one that waits for a person ends with the program.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn read(input: impl Read + Send + 'static) -> Result<Self, ClientError> {
        let (tell, said) = sync_channel(COMMANDS_WAITING);
        let run = move || {
            let mut input = BufReader::new(input);
            while let Some(line) = next_line(&mut input) {
                let command = line.and_then(|line| parse(&line)).transpose();
                if command.is_some_and(|command| tell.send(command).is_err()) {
                    break;
                }
            }
        };
        let failed = |source| ClientError::File { path: "a thread for standard input".into(), source };
        thread::Builder::new().name("commands".to_owned()).spawn(run).map_err(failed)?;
        Ok(Self { said })
    }

    /// Hears what is said while there is no session; whether that is quit.
    pub fn is_quit_said(&self) -> bool {
        while let Some(said) = self.poll() {
            match said {
                Ok(Command::Quit) => return true,
                Ok(_) => say("there is no session to do that in; only quit is heard meanwhile"),
                Err(wrong) => say(&wrong),
            }
        }
        false
    }

    /// The next one, or what is wrong with what was said.
    pub fn poll(&self) -> Option<Result<Command, String>> {
        self.said.try_recv().ok()
    }
}

/// The next line without its end; `None` when there is none.
fn next_line(input: &mut impl BufRead) -> Option<Result<String, String>> {
    let mut line = Vec::new();
    let most = LINE_BYTES_MAX as u64 + 1;
    let read = input.by_ref().take(most).read_until(b'\n', &mut line).ok()?;
    if read == 0 {
        return None;
    }
    if line.pop_if(|last| *last == b'\n').is_none() && line.len() > LINE_BYTES_MAX {
        skip_line(input);
        return Some(Err(format!("a command has {LINE_BYTES_MAX} bytes at most: {FORMS}")));
    }
    Some(String::from_utf8(line).map_err(|_| format!("a command is text: {FORMS}")))
}

fn skip_line(input: &mut impl BufRead) {
    loop {
        let Ok(bytes) = input.fill_buf() else { return };
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (count, is_over) = (end.map_or(bytes.len(), |end| end + 1), end.is_some() || bytes.is_empty());
        input.consume(count);
        if is_over {
            return;
        }
    }
}

/// One line; an empty one says nothing.
fn parse(line: &str) -> Result<Option<Command>, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = |text: &str, form: &str| {
        text.parse::<u64>().map_err(|_| format!("{text:?} is no whole number: {form}"))
    };
    Ok(Some(match words[..] {
        [] => return Ok(None),
        ["mode", mode] => Command::Mode(mode.parse().map_err(|error| format!("{error}: mode WxH@R"))?),
        ["bitrate", kbps] => {
            let wanted = number(kbps, "bitrate KBPS")?;
            let wanted = u32::try_from(wanted).ok().filter(|wanted| BITRATE_KBPS.contains(wanted));
            let (least, most) = (BITRATE_KBPS.start(), BITRATE_KBPS.end());
            Command::Bitrate(
                wanted.ok_or_else(|| format!("{kbps} is not in {least}..={most}: bitrate KBPS"))?,
            )
        }
        ["codec", codec] => {
            return Err(format!(
                "codec {codec:?}: h264 is the only one that this client decodes, and what it has asked for"
            ));
        }
        ["approve", id] => Command::Decide { id: number(id, "approve ID")?, approve: true },
        ["deny", id] => Command::Decide { id: number(id, "deny ID")?, approve: false },
        ["quit"] => Command::Quit,
        [verb, ..] => {
            let form = FORMS.split(", ").find(|form| form.split(' ').next() == Some(verb));
            return Err(match form {
                Some(form) => format!("expected {form:?}, got {line:?}"),
                None => format!("no command {verb:?}: {FORMS}"),
            });
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read() {
        let read = |line: &str| parse(line).unwrap();
        assert_eq!(read("mode 640x360@59.94"), Some(Command::Mode("640x360@59.94".parse().unwrap())));
        assert_eq!(read("  bitrate\t20000\r"), Some(Command::Bitrate(20_000)));
        assert_eq!(read("approve 3"), Some(Command::Decide { id: 3, approve: true }));
        assert_eq!(read("deny 0"), Some(Command::Decide { id: 0, approve: false }));
        assert_eq!(read("quit"), Some(Command::Quit));
        assert_eq!((read(""), read(" \t")), (None, None));
    }

    #[test]
    fn whatever_else_is_said_is_told_the_right_form() {
        let told = |line: &str| parse(line).unwrap_err();
        for (line, part) in [
            ("mode", "\"mode WxH@R\""),
            ("mode 640x360", "mode WxH@R"),
            ("mode 640x360@60 now", "mode WxH@R"),
            ("mode 4294967296x1@60", "mode WxH@R"),
            ("bitrate", "bitrate KBPS"),
            ("bitrate 499", "500..=8000000"),
            ("bitrate 18446744073709551616", "bitrate KBPS"),
            ("bitrate 20M", "bitrate KBPS"),
            ("codec av1", "h264 is the only one"),
            ("codec h264", "h264 is the only one"),
            ("approve", "approve ID"),
            ("approve -1", "approve ID"),
            ("deny everybody", "deny ID"),
            ("quit now", "\"quit\""),
            ("reboot", FORMS),
            ("\u{1b}[2J", FORMS),
        ] {
            assert!(told(line).contains(part), "{line:?}: {:?}", told(line));
            assert!(!told(line).contains('\u{1b}'), "{:?}", told(line));
        }
    }

    #[test]
    fn what_is_too_long_or_no_text_is_passed_over_and_the_next_line_is_read() {
        let mut typed = b"quit\n".to_vec();
        typed.extend([b'x'; 100_000]);
        typed.extend(b"\n\xff\xfe\nmode 64x64@30\n");
        typed.extend([b'm'; LINE_BYTES_MAX]);
        typed.extend(b"\nquit");
        let commands = Commands::read(std::io::Cursor::new(typed)).unwrap();
        let said: Vec<_> = commands.said.iter().collect();
        assert_eq!(said.len(), 6, "{said:?}");
        assert_eq!((&said[0], &said[5]), (&Ok(Command::Quit), &Ok(Command::Quit)));
        assert!(said[1].as_ref().unwrap_err().contains("128 bytes at most"), "{said:?}");
        assert!(said[2].as_ref().unwrap_err().contains("is text"), "{said:?}");
        assert!(matches!(said[3], Ok(Command::Mode(_))), "{said:?}");
        assert!(said[4].as_ref().unwrap_err().contains("no command"), "{said:?}");
    }
}
