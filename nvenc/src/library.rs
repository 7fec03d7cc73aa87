//! NVENC's library, found at run time.
//!
//! Promises: nothing links it; what is missing, too old or broken is said with a remedy. Asks for the driver's newest
//! interface before anything else, since an older driver would refuse each later call without saying why.

use std::error::Error as _;
use std::fs;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::sync::Arc;

use crate::error::{DriverText, NvencError, Said};
use crate::functions::Functions;
use crate::limits::API_MIN;
use crate::sys::{
    Api, CreateInstance, GetMaxSupportedVersion, NV_ENC_ERR_INVALID_VERSION, NV_ENC_SUCCESS,
    NV_ENCODE_API_FUNCTION_LIST, NVENCSTATUS, SONAME,
};

/// The library, and the interface that is spoken with it. A handle, cheap to clone.
#[derive(Debug, Clone)]
pub struct Library(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    functions: Functions,
    api: Api,
    newest: Api,
    /// Never unloaded: NVIDIA's libraries leave threads behind.
    _library: Option<ManuallyDrop<libloading::Library>>,
}

impl Library {
    /// Loads it.
    ///
    /// # Errors
    /// It is absent, broken, or older than [`API_MIN`].
    pub fn load() -> Result<Library, NvencError> {
        // SAFETY: NVIDIA's library runs no code of consequence when loaded, and is what its name says or fails below.
        let library = unsafe { libloading::Library::new(SONAME) }.map_err(|error| not_loaded(&error))?;
        // SAFETY: the type is the one that the header gives to this exported name.
        let newest = unsafe { library.get::<GetMaxSupportedVersion>(b"NvEncodeAPIGetMaxSupportedVersion\0") }
            .map(|function| *function)
            .map_err(|_| NvencError::EntryMissing { name: "NvEncodeAPIGetMaxSupportedVersion" })?;
        // SAFETY: as above.
        let create = unsafe { library.get::<CreateInstance>(b"NvEncodeAPICreateInstance\0") }
            .map(|function| *function)
            .map_err(|_| NvencError::EntryMissing { name: "NvEncodeAPICreateInstance" })?;
        // SAFETY: both are the library's own, and it stays loaded.
        unsafe { Library::with(newest, create, Some(ManuallyDrop::new(library))) }
    }

    /// With the two functions that a library exports.
    ///
    /// # Safety
    /// They behave as the header says of them, for ever.
    pub(crate) unsafe fn with(
        newest: GetMaxSupportedVersion,
        create: CreateInstance,
        library: Option<ManuallyDrop<libloading::Library>>,
    ) -> Result<Library, NvencError> {
        let mut answer = 0;
        // SAFETY: one number is written to where there is room for it.
        let status = unsafe { newest(&raw mut answer) };
        plain(status, "NvEncodeAPIGetMaxSupportedVersion")?;
        let newest = Api::from_driver(answer);
        let api =
            negotiate(newest).ok_or_else(|| NvencError::TooOld { driver: driver_text(), has: newest })?;
        let mut table = api.fresh::<NV_ENCODE_API_FUNCTION_LIST>();
        // SAFETY: a table with the version word of `api`, as long as any version's.
        let status = unsafe { create(&raw mut *table) };
        if status == NV_ENC_ERR_INVALID_VERSION {
            let call = "NvEncodeAPICreateInstance";
            return Err(NvencError::VersionMismatch { call, driver: driver_text(), api });
        }
        plain(status, "NvEncodeAPICreateInstance")?;
        let functions = Functions::check(&table)?;
        Ok(Library(Arc::new(Inner { functions, api, newest, _library: library })))
    }

    /// The interface that is spoken.
    #[must_use]
    pub fn api(&self) -> Api {
        self.0.api
    }

    /// The newest that the driver speaks.
    #[must_use]
    pub fn newest(&self) -> Api {
        self.0.newest
    }

    pub(crate) fn functions(&self) -> &Functions {
        &self.0.functions
    }
}

/// Which interface is spoken with a driver whose newest is `newest`: the newest that both know. 12.2 has the structures of
/// 13.0 under other words, which are not bound, and speaks 12.1.
#[must_use]
pub fn negotiate(newest: Api) -> Option<Api> {
    if newest >= Api::V13_0 {
        Some(Api::V13_0)
    } else if newest >= API_MIN {
        Some(API_MIN)
    } else {
        None
    }
}

fn plain(status: NVENCSTATUS, call: &'static str) -> Result<(), NvencError> {
    if status == NV_ENC_SUCCESS {
        return Ok(());
    }
    Err(NvencError::Call { call, said: Said { status, words: String::new() } })
}

/// Whether it is not there, or there and broken: the loader says that only in words.
fn not_loaded(error: &libloading::Error) -> NvencError {
    // What the system's loader says is behind what libloading says.
    let reason = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    if reason.contains("No such file") && reason.contains(&format!("{SONAME}: cannot open")) {
        NvencError::Absent
    } else {
        NvencError::Unloadable { reason }
    }
}

/// The version of the kernel's driver, where it has one.
pub(crate) fn driver_text() -> DriverText {
    DriverText(driver_version(Path::new("/")))
}

/// As the module says it, or the driver's own file.
fn driver_version(root: &Path) -> Option<String> {
    if let Ok(version) = fs::read_to_string(root.join("sys/module/nvidia/version")) {
        return Some(version.trim().to_owned());
    }
    let text = fs::read_to_string(root.join("proc/driver/nvidia/version")).ok()?;
    let is_version = |word: &&str| {
        word.contains('.') && word.split('.').all(|part| !part.is_empty() && part.parse::<u32>().is_ok())
    };
    text.lines().next()?.split_whitespace().find(is_version).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_that_both_speak_is_spoken() {
        let at = |major, minor| negotiate(Api { major, minor });
        assert_eq!(at(11, 1), None);
        assert_eq!(at(12, 0), None, "no split-frame encoding, and other words");
        assert_eq!(at(12, 1), Some(Api::V12_1));
        assert_eq!(at(12, 2), Some(Api::V12_1));
        assert_eq!(at(13, 0), Some(Api::V13_0));
        assert_eq!(at(13, 1), Some(Api::V13_0));
        assert_eq!(at(14, 0), Some(Api::V13_0));
        assert_eq!(at(0, 0), None);
    }

    #[test]
    fn the_kernels_driver_is_read_from_either_place() {
        let root = tempfile::tempdir().expect("a folder");
        assert_eq!(driver_version(root.path()), None);
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("it has one")).expect("made");
            fs::write(path, text).expect("written");
        };
        let line =
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\n";
        write("proc/driver/nvidia/version", line);
        assert_eq!(driver_version(root.path()).as_deref(), Some("535.183.01"));
        write("sys/module/nvidia/version", "570.86.10\n");
        assert_eq!(driver_version(root.path()).as_deref(), Some("570.86.10"));
    }

    #[test]
    fn a_library_that_is_not_there_is_told_from_one_that_does_not_load() {
        // SAFETY: there is no such library, or nothing is run of it.
        let error =
            unsafe { libloading::Library::new("libnvidia-encode-not-here.so.1") }.expect_err("there is none");
        assert!(matches!(not_loaded(&error), NvencError::Unloadable { .. }), "another's absence: {error}");
    }
}
