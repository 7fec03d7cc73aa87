//! The portal's restore token, kept in a file, so that nobody is asked twice.
//!
//! Promises: the file is only its owner's to read, and is there as a whole or not at all. Refuses what cannot be a
//! token: an empty file, one that is longer than [`TOKEN_BYTES_MAX`], and bytes that are not printable ASCII. A
//! token that cannot be read or kept costs a question, not the stream.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use tempfile::NamedTempFile;

use crate::limits::TOKEN_BYTES_MAX;

/// The token in `path`, if there is one.
pub(super) fn read(path: &Path) -> Option<String> {
    match read_file(path) {
        Ok(token) => token,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the portal's token cannot be read; it will ask");
            None
        }
    }
}

fn read_file(path: &Path) -> io::Result<Option<String>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut text = String::new();
    file.take(TOKEN_BYTES_MAX as u64 + 1).read_to_string(&mut text)?;
    let token = text.trim_end_matches('\n');
    if is_token(token) {
        return Ok(Some(token.to_owned()));
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "no token is in it"))
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.len() <= TOKEN_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Puts `token` in the place of what is in `path`.
pub(super) fn write(path: &Path, token: &str) {
    if let Err(error) = write_file(path, token) {
        tracing::warn!(path = %path.display(), %error, "the portal's token cannot be kept; it will ask again");
    }
}

fn write_file(path: &Path, token: &str) -> io::Result<()> {
    if !is_token(token) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the portal's token is none"));
    }
    // Beside it, under a name of its own: two attempts of one program may write at a time.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut whole = NamedTempFile::new_in(folder)?;
    whole.write_all(token.as_bytes())?;
    whole.as_file().sync_all()?;
    whole.persist(path)?;
    Ok(())
}

/// Forgets a token that the portal refused.
pub(super) fn forget(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "a token that was refused cannot be removed");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_token_comes_back_and_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        assert_eq!(read(&path), None);
        for token in ["b2f1c0de-0000-4000-8000-000000000001", "second"] {
            write(&path, token);
            assert_eq!(read(&path).as_deref(), Some(token));
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
        forget(&path);
        forget(&path);
        assert_eq!(read(&path), None);
    }

    #[test]
    fn several_who_write_at_once_leave_one_whole_token() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let tokens = ["a".repeat(TOKEN_BYTES_MAX), "b".repeat(TOKEN_BYTES_MAX), "c".to_owned()];
        std::thread::scope(|scope| {
            for token in &tokens {
                // Each finds its own file where it has put it.
                scope.spawn(|| (0..50).for_each(|_| write_file(&path, token).unwrap()));
            }
        });
        assert!(tokens.contains(&read(&path).unwrap()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_is_no_token_is_neither_kept_nor_believed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        write(&path, "good");
        let long = "x".repeat(TOKEN_BYTES_MAX + 1);
        for bad in ["", "two words", "line\nbreak", "\u{fc}", &long] {
            write(&path, bad);
            assert_eq!(read(&path).as_deref(), Some("good"), "{bad:?}");
        }
        for bad in [b"".as_slice(), b"\xff\xfe", b"a b", long.as_bytes()] {
            fs::write(&path, bad).unwrap();
            assert_eq!(read(&path), None, "{bad:?}");
        }
        fs::write(&path, "typed\n").unwrap();
        assert_eq!(read(&path).as_deref(), Some("typed"));
        // Nowhere to write to is said and no more.
        write(&dir.path().join("nowhere/token"), "token");
        write(dir.path(), "token");
        assert_eq!(read(dir.path()), None);
    }
}
