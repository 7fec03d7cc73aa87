//! The one secret of the management API: a bearer token in a file that only its owner reads.
//!
//! Promises: 256 bits of the system's randomness, made at the first start, written whole or not at all, mode 0600;
//! compared in constant time; wiped when dropped, and never in a log (`Debug` hides it). Refuses a file that others
//! may read, and one that holds anything else.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

/// The token's file beside the identity.
const FILE: &str = "manage-token";

/// Bytes of randomness; the text has two letters for each.
const RANDOM_BYTES: usize = 32;

/// The token.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be made or read.
    #[error("cannot {verb} {}: {error}", .path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// Others may read it.
    #[error("{} may be read by others (mode {mode:03o}), so its token is no secret: remove it, and a new one is made at the next start", .path.display())]
    Permissions {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It holds something else.
    #[error("{} holds no token (64 hex digits): remove it, and a new one is made at the next start", .path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
    /// The system gives no randomness.
    #[error("the system gives no randomness for a token")]
    NoRandomness,
}

impl Token {
    /// The token in `dir`, which is made when it is not there.
    ///
    /// # Errors
    /// When the file cannot be made or read, when others may read it, or when it holds something else.
    pub fn load_or_create(dir: &Path) -> Result<Self, TokenError> {
        if let Some(token) = Self::load(dir)? {
            return Ok(token);
        }
        let token = Self::generate()?;
        match token.write(dir) {
            Ok(()) => Ok(token),
            // Another program was faster.
            Err(TokenError::Io { error, .. }) if error.kind() == io::ErrorKind::AlreadyExists => {
                Self::load(dir)?.ok_or(TokenError::Damaged { path: dir.join(FILE) })
            }
            Err(error) => Err(error),
        }
    }

    /// The token in `dir`, where there is one.
    ///
    /// # Errors
    /// When the file cannot be read, when others may read it, or when it holds something else.
    pub fn load(dir: &Path) -> Result<Option<Self>, TokenError> {
        let path = dir.join(FILE);
        let io = |error| TokenError::Io { verb: "read", path: path.clone(), error };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(error)),
        };
        let metadata = file.metadata().map_err(io)?;
        if metadata.mode() & 0o077 != 0 {
            return Err(TokenError::Permissions { path: path.clone(), mode: metadata.mode() & 0o777 });
        }
        let mut text = Zeroizing::new(String::new());
        let read = file.take(2 * RANDOM_BYTES as u64 + 2).read_to_string(&mut text);
        let damaged = || TokenError::Damaged { path: path.clone() };
        read.map_err(|error| if error.kind() == io::ErrorKind::InvalidData { damaged() } else { io(error) })?;
        let text = text.trim_end_matches('\n');
        if text.len() != 2 * RANDOM_BYTES || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(damaged());
        }
        Ok(Some(Self(Zeroizing::new(text.to_owned()))))
    }

    fn generate() -> Result<Self, TokenError> {
        let mut random = Zeroizing::new([0_u8; RANDOM_BYTES]);
        SystemRandom::new().fill(&mut *random).map_err(|_| TokenError::NoRandomness)?;
        let mut text = Zeroizing::new(String::with_capacity(2 * RANDOM_BYTES));
        for byte in random.iter() {
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(digit), 16).expect("four bits make a hex digit"));
            }
        }
        Ok(Self(text))
    }

    /// Under another name first, so that nobody ever reads half a token; what is there already stays.
    fn write(&self, dir: &Path) -> Result<(), TokenError> {
        let path = dir.join(FILE);
        let written = NamedTempFile::new_in(dir).and_then(|mut half| {
            writeln!(half, "{}", *self.0)?;
            half.as_file().sync_all()?;
            half.persist_noclobber(&path)?;
            Ok(())
        });
        written.map_err(|error| TokenError::Io { verb: "write", path, error })
    }

    /// Whether this is the token, found out in a time that says nothing about it.
    pub(crate) fn is(&self, other: &[u8]) -> bool {
        verify_slices_are_equal(self.0.as_bytes(), other).is_ok()
    }

    /// The token itself, for whoever owns its file.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_made_once_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Token::load(dir.path()).unwrap().is_none());
        let token = Token::load_or_create(dir.path()).unwrap();
        assert_eq!(token.reveal().len(), 64);
        assert!(Token::load_or_create(dir.path()).unwrap().is(token.reveal().as_bytes()));
        let mode = fs::metadata(dir.path().join(FILE)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
        assert!(!token.is(b"") && !token.is(&token.reveal().as_bytes()[..63]));
        assert_eq!(format!("{token:?}"), "Token(…)");
    }

    #[test]
    fn starts_at_once_end_up_with_one_token() {
        let dir = tempfile::tempdir().unwrap();
        let tokens: Vec<String> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| Token::load_or_create(dir.path()))).collect();
            starts.into_iter().map(|start| start.join().unwrap().unwrap().reveal().to_owned()).collect()
        });
        assert!(tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
    }

    #[test]
    fn a_file_that_is_no_secret_or_no_token_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        for content in [&b""[..], b"zz", &[b'a'; 63], &[b'g'; 64], &[b'a'; 70], &[0xff; 64]] {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            let refused = Token::load_or_create(dir.path()).unwrap_err();
            assert!(matches!(refused, TokenError::Damaged { .. }), "{content:?}: {refused}");
        }
        fs::write(&path, [b'a'; 64]).unwrap();
        for mode in [0o640, 0o604, 0o660] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let refused = Token::load(dir.path()).unwrap_err();
            assert!(matches!(refused, TokenError::Permissions { .. }), "{mode:o}: {refused}");
        }
    }
}
