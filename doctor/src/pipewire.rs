//! PipeWire's daemon: whether it answers, and which version it names.
//!
//! Its greeting is spoken by hand ("protocol-native": `Core::Hello`, answered by `Core::Info`), so that a build without
//! PipeWire can tell too, and a daemon that hangs holds nobody up. Promises: bytes that make no sense are an error.
//! Refuses more of them than [`PIPEWIRE_BYTES_MAX`].

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::limits::{ANSWER_MAX, PIPEWIRE_BYTES_MAX};
use crate::{Verdict, View};

/// The oldest version that punktfunk was tried with: Debian 12's.
const VERSION_TRIED: [u32; 3] = [0, 3, 65];

/// What a header is long: object, opcode and size, sequence, descriptors.
const HEADER_BYTES: usize = 16;

/// Types of the values in a message (spa/utils/type.h).
const INT: u32 = 4;
const STRING: u32 = 8;
const STRUCT: u32 = 14;

/// The daemon.
pub(crate) fn pipewire(view: &View) -> Verdict {
    let remote = view.variable("PIPEWIRE_REMOTE").unwrap_or("pipewire-0");
    let folder = view.variable("PIPEWIRE_RUNTIME_DIR").map(Path::new).or_else(|| view.runtime_dir());
    let socket: PathBuf = match folder {
        _ if Path::new(remote).is_absolute() => remote.into(),
        Some(folder) => folder.join(remote),
        None => return missing("XDG_RUNTIME_DIR is not set, so its socket cannot be found"),
    };
    let shown = socket.display();
    match version(&socket) {
        Ok(version) => judge(&version, view.has_pipewire),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            missing(&format!("it does not run: there is no socket {shown}"))
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Verdict::broken(
            format!("nobody listens at {shown} any more"),
            "it has died: systemctl --user restart pipewire.socket pipewire wireplumber",
        ),
        Err(error) => Verdict::broken(
            format!("what listens at {shown} does not answer as PipeWire does ({error})"),
            "systemctl --user restart pipewire.socket pipewire wireplumber",
        ),
    }
}

fn missing(found: &str) -> Verdict {
    Verdict::degraded(
        found,
        "GNOME's and KDE's screens cannot be shown: apt install pipewire wireplumber; systemctl --user start pipewire \
         wireplumber",
    )
}

fn judge(version: &str, is_built_in: bool) -> Verdict {
    let mut numbers = [0; 3];
    for (number, part) in numbers.iter_mut().zip(version.split(['.', '-'])) {
        *number = part.parse().unwrap_or(0);
    }
    if numbers < VERSION_TRIED {
        let [major, minor, patch] = VERSION_TRIED;
        return Verdict::degraded(
            format!("version {version}"),
            format!(
                "it is older than {major}.{minor}.{patch}, the oldest that was tried: screens may stay black"
            ),
        );
    }
    if !is_built_in {
        return Verdict::degraded(
            format!("version {version}, and this host was built without it"),
            "GNOME's and KDE's screens cannot be shown: build with --features pipewire",
        );
    }
    Verdict::ok(format!("version {version}"))
}

/// Greets the daemon at `socket`, and takes its version from what it answers.
fn version(socket: &Path) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    // Object 0 is the core, its method 1 is Hello, and 3 is the protocol's version of the last ten years.
    let words: [u32; 10] = [0, (1 << 24) | 24, 0, 0, 16, STRUCT, 4, INT, 3, 0];
    stream.write_all(&words.map(u32::to_ne_bytes).concat())?;
    let mut bytes = Vec::new();
    while bytes.len() < PIPEWIRE_BYTES_MAX {
        match find_version(&bytes) {
            Found::Version(version) => return Ok(version),
            Found::Nonsense => return Err(io::Error::new(io::ErrorKind::InvalidData, "it makes no sense")),
            Found::TooLittle => {}
        }
        let mut some = [0; 4_096];
        match stream.read(&mut some)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => bytes.extend_from_slice(&some[..count]),
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "it does not come to its version"))
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    Version(String),
    /// More has to come.
    TooLittle,
    /// It is something else.
    Nonsense,
}

/// The version in the first `Core::Info` among the messages that `bytes` begin with.
fn find_version(mut bytes: &[u8]) -> Found {
    loop {
        let (Some(object), Some(what)) = (word(bytes, 0), word(bytes, 4)) else { return Found::TooLittle };
        let (opcode, size) = (what >> 24, (what & 0xff_ffff) as usize);
        if size % 8 != 0 || size > PIPEWIRE_BYTES_MAX {
            return Found::Nonsense;
        }
        let Some(message) = bytes.get(HEADER_BYTES..HEADER_BYTES + size) else { return Found::TooLittle };
        if (object, opcode) == (0, 0) {
            return version_of_info(message).map_or(Found::Nonsense, Found::Version);
        }
        bytes = &bytes[HEADER_BYTES + size..];
    }
}

/// Of a struct of the core's id, a cookie, the user's name, the machine's, and the version.
fn version_of_info(message: &[u8]) -> Option<String> {
    let (size, kind) = (word(message, 0)? as usize, word(message, 4)?);
    let mut values = message.get(8..8_usize.checked_add(size)?).filter(|_| kind == STRUCT)?;
    for _ in 0..4 {
        let length = 8 + (word(values, 0)? as usize).checked_next_multiple_of(8)?;
        values = values.get(length..)?;
    }
    let (size, kind) = (word(values, 0)? as usize, word(values, 4)?);
    let text = values.get(8..8_usize.checked_add(size)?).filter(|_| kind == STRING)?.strip_suffix(&[0])?;
    let is_version = |byte: &u8| byte.is_ascii_alphanumeric() || b".-+~".contains(byte);
    let text = str::from_utf8(text).ok()?;
    (1..=32).contains(&text.len()).then_some(())?;
    text.as_bytes().iter().all(is_version).then(|| text.to_owned())
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use punktfunk_manage::model::CheckState;

    use super::*;

    /// A value as the daemon writes it.
    fn value(kind: u32, bytes: &[u8]) -> Vec<u8> {
        let mut out = [(bytes.len() as u32).to_ne_bytes(), kind.to_ne_bytes()].concat();
        out.extend_from_slice(bytes);
        out.resize(out.len().next_multiple_of(8), 0);
        out
    }

    fn message(object: u32, opcode: u32, body: &[u8]) -> Vec<u8> {
        let head = [object, (opcode << 24) | body.len() as u32, 0, 0];
        [&head.map(u32::to_ne_bytes).concat(), body].concat()
    }

    fn info(version: &[u8]) -> Vec<u8> {
        let values = [
            value(INT, &0_u32.to_ne_bytes()),
            value(INT, &7_u32.to_ne_bytes()),
            value(STRING, b"user\0"),
            value(STRING, b"machine\0"),
            value(STRING, version),
        ];
        message(0, 0, &value(STRUCT, &values.concat()))
    }

    #[test]
    fn the_version_is_found_behind_other_messages_and_in_pieces() {
        let bytes = [message(0, 2, &value(INT, &[1, 0, 0, 0])), info(b"1.4.2\0")].concat();
        assert_eq!(find_version(&bytes), Found::Version("1.4.2".into()));
        for end in 0..bytes.len() {
            assert_eq!(find_version(&bytes[..end]), Found::TooLittle, "{end}");
        }
    }

    #[test]
    fn what_is_no_version_is_nonsense() {
        for version in [&b"1.4.2"[..], b"\0", b"", b"\x1b[2J\0", b"a version of more than thirty-two bytes\0"]
        {
            assert_eq!(find_version(&info(version)), Found::Nonsense, "{version:?}");
        }
        assert_eq!(find_version(b"HTTP/1.1 400 Bad Request\r\n"), Found::Nonsense);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0_usize..96, to: u8) {
            let _ = find_version(&bytes);
            let mut bent = info(b"0.3.65\0");
            let at = at % bent.len();
            bent[at] = to;
            let _ = find_version(&bent);
        }
    }

    #[test]
    fn old_ones_and_builds_without_it_cost_something() {
        assert_eq!(judge("1.2.7", true), Verdict::ok("version 1.2.7"));
        assert_eq!(judge("0.3.65", true).state, CheckState::Ok);
        assert_eq!(judge("0.3.64", true).state, CheckState::Degraded);
        assert_eq!(judge("1.2.7", false).state, CheckState::Degraded);
    }
}
