//! Who this program is: a key and a self-signed certificate, in one file.
//!
//! Promises: `identity.pem` is written whole or not at all (a temporary file, synced, then linked into
//! place), readable by its owner only, in a folder that only its owner enters; two programs that start
//! at once end up with the same identity. Refuses: a file or folder that others may read, and a file
//! that it cannot understand: an identity that peers have pinned is never replaced silently.

use std::env;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hkdf;
use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use webpki::KeyUsage;
use zeroize::{Zeroize, Zeroizing};

use crate::error::CertificateFault;
use crate::fingerprint::Fingerprint;
use crate::tls;

/// The identity's file in its folder.
pub const IDENTITY_FILE: &str = "identity.pem";

/// The longest file that is read as an identity: a key and a certificate are 1 KB.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// The longest name of a machine, in characters; the kernel has 64 bytes for it.
const NAME_CHARS_MAX: usize = 48;

/// What this machine calls itself; none where it has no name.
pub fn machine_name() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name: String = name.trim().chars().take(NAME_CHARS_MAX).collect();
    Some(name).filter(|name| !name.is_empty())
}

/// A key and its certificate. Cheap to clone; the key stays in one place.
#[derive(Clone)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
    fingerprint: Fingerprint,
    restart_seed: Arc<RestartSeed>,
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file or folder cannot be made, read or written.
    #[error("cannot {verb} {}: {error}", .path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// Which file or folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// Others may read the key.
    #[error("{} may be entered or read by others (mode {mode:03o}): the key in it must stay yours, so run: chmod {wanted:o} {}", .path.display(), .path.display())]
    Permissions {
        /// Which file or folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// The mode that it should have.
        wanted: u32,
    },
    /// The file is no identity.
    #[error("{} is damaged ({what}): restore it from a backup, or move it away to get a new identity, which every paired peer must then trust anew", .path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: Damage,
    },
    /// Nothing says where this user keeps settings.
    #[error("neither HOME nor XDG_CONFIG_HOME is set; name --identity DIR")]
    NoHome,
    /// A new key or certificate could not be made.
    #[error("cannot make a new identity: {0}")]
    Generate(#[from] rcgen::Error),
    /// TLS does not take the new key.
    #[error("cannot use the new identity: {0}")]
    Unusable(#[from] rustls::Error),
}

/// What is wrong with an identity's file.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// It is longer than any identity.
    #[error("{bytes} bytes, at most {FILE_BYTES_MAX} make sense")]
    TooLong {
        /// Its length.
        bytes: u64,
    },
    /// It holds no private key.
    #[error("no PKCS#8 private key in it: {0}")]
    NoKey(rustls::pki_types::pem::Error),
    /// It holds no certificate.
    #[error("no certificate in it: {0}")]
    NoCertificate(rustls::pki_types::pem::Error),
    /// The key or the certificate is broken, or they do not belong together.
    #[error("key and certificate do not fit: {0}")]
    Mismatch(rustls::Error),
}

impl Identity {
    /// Where a `role` ("host", "client") keeps its identity unless told otherwise: `punktfunk/ROLE` in the
    /// user's folder for settings.
    ///
    /// # Errors
    /// [`IdentityError::NoHome`] when the environment names no such folder.
    pub fn default_dir(role: &str) -> Result<PathBuf, IdentityError> {
        default_dir_in(env::var_os("XDG_CONFIG_HOME"), env::var_os("HOME"), role)
    }

    /// Loads `identity.pem` from `dir`, or makes folder and file when they are not there.
    ///
    /// # Errors
    /// When a file or folder cannot be read or written, when others may read it, or when it is damaged.
    pub fn load_or_create(dir: &Path) -> Result<Self, IdentityError> {
        prepare_dir(dir)?;
        let path = dir.join(IDENTITY_FILE);
        if let Some(identity) = load(&path)? {
            return Ok(identity);
        }
        let (pem, identity) = generate()?;
        match write_new(dir, &path, identity.fingerprint, pem.as_bytes()) {
            Ok(()) => Ok(identity),
            // Another program was faster: its identity is the one on disk.
            Err(IdentityError::Io { error, .. }) if error.kind() == io::ErrorKind::AlreadyExists => {
                load(&path)?.ok_or_else(|| io_error("read", &path)(io::ErrorKind::NotFound.into()))
            }
            Err(error) => Err(error),
        }
    }

    /// Loads `identity.pem` from `dir` where it is there; makes nothing.
    ///
    /// # Errors
    /// As [`Identity::load_or_create`].
    pub fn load(dir: &Path) -> Result<Option<Self>, IdentityError> {
        match fs::metadata(dir) {
            Ok(metadata) => check_mode(dir, metadata.mode() & 0o777, 0o700)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("look at", dir)(error)),
        }
        load(&dir.join(IDENTITY_FILE))
    }

    /// A new identity that lives in memory only.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn generate() -> Result<Self, IdentityError> {
        generate().map(|(_, identity)| identity)
    }

    /// The SHA-256 of the certificate: what peers pin.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// What every peer would have against the certificate at `now`; nothing where all is well.
    pub fn certificate_fault(&self, now: SystemTime) -> Option<CertificateFault> {
        let now = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap_or_default());
        let algorithms = provider::default_provider().signature_verification_algorithms;
        tls::examine(&self.certified.cert[0], algorithms.all, KeyUsage::server_auth(), now).err()
    }

    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }

    /// Bytes that only this identity can make and that outlive the process: with them a host that was
    /// restarted can tell old peers so.
    pub(crate) fn restart_seed(&self) -> &RestartSeed {
        &self.restart_seed
    }

    /// An identity that shows `victim`'s certificate but holds only its own key.
    #[cfg(test)]
    pub(crate) fn impostor_of(&self, victim: &Identity) -> Self {
        let certified = CertifiedKey::new(victim.certified.cert.clone(), Arc::clone(&self.certified.key));
        Self { certified: Arc::new(certified), ..victim.clone() }
    }

    /// An identity whose certificate is valid from the first day of one year to the first day of another.
    #[cfg(test)]
    pub(crate) fn valid_in(years: std::ops::Range<i32>) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = params().unwrap();
        params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
        let certificate = params.self_signed(&key).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Self::assemble(key, certificate.der().clone()).unwrap()
    }

    /// The same identity with a byte of its certificate turned.
    #[cfg(test)]
    pub(crate) fn bent_at(&self, place: usize) -> Self {
        let mut der = self.certified.cert[0].to_vec();
        let place = place % der.len();
        der[place] ^= 1;
        let fingerprint = Fingerprint::of_certificate(&der);
        let certified = CertifiedKey::new(vec![CertificateDer::from(der)], Arc::clone(&self.certified.key));
        Self { certified: Arc::new(certified), fingerprint, ..self.clone() }
    }

    fn assemble(
        key: PrivateKeyDer<'static>,
        certificate: CertificateDer<'static>,
    ) -> Result<Self, rustls::Error> {
        let fingerprint = Fingerprint::of_certificate(&certificate);
        let restart_seed = RestartSeed::derive(key.secret_der());
        let signing = provider::sign::any_supported_type(&key);
        if let PrivateKeyDer::Pkcs8(mut key) = key {
            key.zeroize();
        }
        let certified = CertifiedKey::new(vec![certificate], signing?);
        certified.keys_match()?;
        Ok(Self { certified: Arc::new(certified), fingerprint, restart_seed })
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

/// What a host needs to recognise its own connection ids after a restart, and to say so.
pub(crate) struct RestartSeed {
    /// The key of QUIC's stateless resets (RFC 9000 section 10.3.2).
    pub(crate) reset_key: Zeroizing<[u8; 32]>,
    /// The key by which a connection id is known as our own; not a secret.
    pub(crate) connection_id_key: u64,
}

impl RestartSeed {
    fn derive(key: &[u8]) -> Arc<Self> {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"punktfunk/1 restart").extract(key);
        let expand = |label: &[u8]| {
            let mut bytes = Zeroizing::new([0; 32]);
            prk.expand(&[label], hkdf::HKDF_SHA256)
                .and_then(|okm| okm.fill(&mut bytes[..]))
                .expect("32 bytes are what one block of HKDF-SHA256 gives");
            bytes
        };
        let id = expand(b"connection id");
        let connection_id_key = u64::from_le_bytes(id[..8].try_into().expect("8 of 32 bytes"));
        Arc::new(Self { reset_key: expand(b"stateless reset"), connection_id_key })
    }
}

fn generate() -> Result<(Zeroizing<String>, Identity), IdentityError> {
    let key = rcgen::KeyPair::generate()?;
    let certificate = params()?.self_signed(&key)?;
    let pem = Zeroizing::new(Zeroizing::new(key.serialize_pem()).to_string() + &certificate.pem());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let identity = Identity::assemble(key, certificate.der().clone())?;
    Ok((pem, identity))
}

fn params() -> Result<rcgen::CertificateParams, rcgen::Error> {
    let mut params = rcgen::CertificateParams::new(vec!["punktfunk".to_owned()])?;
    params.distinguished_name.push(rcgen::DnType::CommonName, "punktfunk");
    Ok(params)
}

fn io_error(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> IdentityError + use<> {
    let path = path.to_owned();
    move |error| IdentityError::Io { verb, path, error }
}

/// An empty variable counts as none (XDG base directory specification).
fn default_dir_in(
    config: Option<OsString>,
    home: Option<OsString>,
    role: &str,
) -> Result<PathBuf, IdentityError> {
    let folder = |value: Option<OsString>| value.filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = folder(config).or_else(|| folder(home).map(|home| home.join(".config")));
    Ok(base.ok_or(IdentityError::NoHome)?.join("punktfunk").join(role))
}

fn prepare_dir(dir: &Path) -> Result<(), IdentityError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(dir).map_err(io_error("make the folder", dir))?;
    let mode = fs::metadata(dir).map_err(io_error("look at", dir))?.mode() & 0o777;
    check_mode(dir, mode, 0o700)
}

fn check_mode(path: &Path, mode: u32, wanted: u32) -> Result<(), IdentityError> {
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(IdentityError::Permissions { path: path.to_owned(), mode, wanted })
}

fn load(path: &Path) -> Result<Option<Identity>, IdentityError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("open", path)(error)),
    };
    let metadata = file.metadata().map_err(io_error("look at", path))?;
    check_mode(path, metadata.mode() & 0o777, 0o600)?;
    let damaged = |what| IdentityError::Damaged { path: path.to_owned(), what };
    if metadata.len() > FILE_BYTES_MAX {
        return Err(damaged(Damage::TooLong { bytes: metadata.len() }));
    }
    let mut pem = Zeroizing::new(Vec::with_capacity(metadata.len() as usize + 1));
    file.take(FILE_BYTES_MAX).read_to_end(&mut pem).map_err(io_error("read", path))?;
    let key = PrivatePkcs8KeyDer::from_pem_slice(&pem).map_err(|e| damaged(Damage::NoKey(e)))?;
    let certificate = CertificateDer::from_pem_slice(&pem).map_err(|e| damaged(Damage::NoCertificate(e)))?;
    Identity::assemble(PrivateKeyDer::Pkcs8(key), certificate)
        .map(Some)
        .map_err(|e| damaged(Damage::Mismatch(e)))
}

/// Writes `bytes` beside `path` and links them into place: a crash leaves the old state, a rival's file
/// is never overwritten.
fn write_new(dir: &Path, path: &Path, name: Fingerprint, bytes: &[u8]) -> Result<(), IdentityError> {
    // A name of its own for each new identity: two programs that start at once do not meet here.
    let temporary = dir.join(format!(".{IDENTITY_FILE}.{name}"));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .map_err(io_error("write", &temporary));
    let linked = written.and_then(|()| fs::hard_link(&temporary, path).map_err(io_error("make", path)));
    // What is in place stays in place; the temporary name goes either way.
    let removed = fs::remove_file(&temporary).map_err(io_error("remove", &temporary));
    linked?;
    removed?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_error("sync", dir))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    fn dir() -> (tempfile::TempDir, PathBuf) {
        let outer = tempfile::tempdir().unwrap();
        let dir = outer.path().join("deep").join("punktfunk");
        (outer, dir)
    }

    #[test]
    fn the_default_folder_is_the_users() {
        let of = |config: Option<&str>, home: Option<&str>| {
            default_dir_in(config.map(Into::into), home.map(Into::into), "host")
        };
        assert_eq!(of(Some("/c"), Some("/h")).unwrap(), Path::new("/c/punktfunk/host"));
        assert_eq!(of(None, Some("/h")).unwrap(), Path::new("/h/.config/punktfunk/host"));
        assert_eq!(of(Some(""), Some("/h")).unwrap(), Path::new("/h/.config/punktfunk/host"));
        assert!(matches!(of(None, Some("")), Err(IdentityError::NoHome)));
    }

    #[test]
    fn made_once_and_kept() {
        let (_outer, dir) = dir();
        let first = Identity::load_or_create(&dir).unwrap();
        assert_eq!((mode(&dir), mode(&dir.join(IDENTITY_FILE))), (0o700, 0o600));
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "no temporary file stays");
        let second = Identity::load_or_create(&dir).unwrap();
        assert_eq!(first.fingerprint(), second.fingerprint());
        assert_eq!(first.restart_seed().connection_id_key, second.restart_seed().connection_id_key);
        assert_ne!(first.fingerprint(), Identity::generate().unwrap().fingerprint());
    }

    #[test]
    fn loading_makes_nothing_and_asks_what_making_asks() {
        let (outer, dir) = dir();
        assert!(Identity::load(&dir).unwrap().is_none());
        assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 0);
        let made = Identity::load_or_create(&dir).unwrap();
        assert_eq!(Identity::load(&dir).unwrap().unwrap().fingerprint(), made.fingerprint());
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o750)).unwrap();
        assert!(matches!(Identity::load(&dir), Err(IdentityError::Permissions { wanted: 0o700, .. })));
    }

    #[test]
    fn a_certificate_knows_what_peers_have_against_it() {
        let of = |years| Identity::valid_in(years).certificate_fault(SystemTime::now());
        assert_eq!(of(2000..4000), None);
        assert_eq!(of(1990..2001), Some(CertificateFault::Expired));
        assert_eq!(of(3000..4000), Some(CertificateFault::NotYetValid));
        assert_eq!(Identity::generate().unwrap().certificate_fault(SystemTime::now()), None);
    }

    #[test]
    fn programs_that_start_at_once_share_one_identity() {
        let (_outer, dir) = dir();
        fs::create_dir_all(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
        let load = || Identity::load_or_create(&dir).unwrap().fingerprint();
        let found: Vec<_> = std::thread::scope(|scope| {
            let started: Vec<_> = (0..8).map(|_| scope.spawn(load)).collect();
            started.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(found.iter().all(|fingerprint| *fingerprint == found[0]), "{found:?}");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
    }

    #[test]
    fn what_others_may_read_is_refused() {
        let (_outer, dir) = dir();
        Identity::load_or_create(&dir).unwrap();
        let file = dir.join(IDENTITY_FILE);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let error = Identity::load_or_create(&dir).unwrap_err().to_string();
        assert!(error.contains("mode 640") && error.contains("chmod 600"), "{error}");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        let error = Identity::load_or_create(&dir).unwrap_err().to_string();
        assert!(error.contains("chmod 700"), "{error}");
    }

    #[test]
    fn a_damaged_file_is_named_and_never_replaced() {
        let (_outer, dir) = dir();
        Identity::load_or_create(&dir).unwrap();
        let file = dir.join(IDENTITY_FILE);
        let whole = fs::read(&file).unwrap();
        for length in (0..whole.len() - 2).step_by(7) {
            fs::write(&file, &whole[..length]).unwrap();
            let error = Identity::load_or_create(&dir).unwrap_err();
            assert!(matches!(error, IdentityError::Damaged { .. }), "{length}: {error}");
            assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
            assert_eq!(fs::read(&file).unwrap(), &whole[..length]);
        }
        let other = Identity::generate().unwrap();
        let (pem, _) = generate().unwrap();
        let key_end = pem.find("-----BEGIN CERTIFICATE").unwrap();
        let stranger = rustls_pem(&other);
        fs::write(&file, pem[..key_end].to_owned() + &stranger).unwrap();
        let error = Identity::load_or_create(&dir).unwrap_err();
        assert!(matches!(error, IdentityError::Damaged { what: Damage::Mismatch(_), .. }), "{error}");
        fs::write(&file, vec![b'x'; FILE_BYTES_MAX as usize + 1]).unwrap();
        let error = Identity::load_or_create(&dir).unwrap_err();
        assert!(matches!(error, IdentityError::Damaged { what: Damage::TooLong { .. }, .. }), "{error}");
    }

    /// A certificate in PEM, by hand: six bits a letter.
    fn rustls_pem(identity: &Identity) -> String {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
        for three in identity.certified.cert[0].chunks(3) {
            let bits =
                three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
            for letter in 0..4 {
                let index = (bits >> (18 - 6 * letter) & 63) as usize;
                text.push(if letter <= three.len() { LETTERS[index] as char } else { '=' });
            }
        }
        text + "\n-----END CERTIFICATE-----\n"
    }

    #[test]
    fn the_key_is_not_in_the_debug_text() {
        let identity = Identity::generate().unwrap();
        let text = format!("{identity:?}");
        assert!(text.contains("fingerprint") && !text.contains("key"), "{text}");
    }
}
