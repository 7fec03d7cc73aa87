//! For tests: where stand-ins lie, and one of them loaded.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{env, fs, io};

use libloading::Library;

/// Tests of one process that use stand-ins have them one at a time: there is one driver a process.
static TURN: Mutex<()> = Mutex::new(());

/// Where cargo has put the library of a stand-in's package: `stand-in-cuda` is in `libstand_in_cuda.so`, beside the tests
/// of whoever has it for a dev-dependency.
#[must_use]
pub fn library(package: &str) -> PathBuf {
    let name = format!("lib{}.so", package.replace('-', "_"));
    let own = env::current_exe().unwrap_or_default();
    // Tests are in `deps`, programs are one above.
    let mut folders = own.ancestors().skip(1).take(2);
    let found = folders.find_map(|folder| {
        [folder.join("deps").join(&name), folder.join(&name)].into_iter().find(|path| path.is_file())
    });
    found.unwrap_or_else(|| panic!("{name} is not beside {}: is {package} a dev-dependency?", own.display()))
}

/// Lays a link of `name`, as `libcuda.so.1`, to `library` into `folder`: a program that is started with the folder as
/// `LD_LIBRARY_PATH` finds it.
///
/// # Errors
/// The folder cannot be written.
pub fn lay(folder: &Path, name: &str, library: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    symlink(library, folder.join(name))
}

/// Stand-ins that this process has loaded. By their own names, `libcuda.so.1` and so on, they are found from now on.
#[derive(Debug)]
pub struct Loaded {
    libraries: Vec<Library>,
    breaches_before: u64,
    _turn: MutexGuard<'static, ()>,
}

impl Loaded {
    /// Loads the stand-ins of these packages; nothing fails in them but what is asked for from now on.
    ///
    /// # Panics
    /// One cannot be loaded.
    #[must_use]
    pub fn new(packages: &[&str]) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let load = |package: &&str| {
            let path = library(package);
            // SAFETY: a stand-in runs nothing when it is loaded.
            unsafe { Library::new(&path) }.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let mut loaded =
            Self { libraries: packages.iter().map(load).collect(), breaches_before: 0, _turn: turn };
        loaded.fail("");
        loaded.breaches_before = loaded.breaches_ever();
        loaded
    }

    /// Replaces the list of calls that shall fail: see [`crate::failures`].
    ///
    /// # Panics
    /// A library is no stand-in.
    pub fn fail(&self, list: &str) {
        let list = CString::new(list).unwrap_or_default();
        for library in &self.libraries {
            type Function = unsafe extern "C" fn(*const std::ffi::c_char);
            // SAFETY: this is the function's type in every stand-in, and the string ends with a zero.
            unsafe {
                let function = library.get::<Function>("punktfunk_standin_fail").expect("a stand-in has it");
                function(list.as_ptr());
            }
        }
    }

    /// How often contracts were broken since this was made.
    #[must_use]
    pub fn breaches(&self) -> u64 {
        self.breaches_ever() - self.breaches_before
    }

    /// The libraries, in their packages' order.
    #[must_use]
    pub fn libraries(&self) -> &[Library] {
        &self.libraries
    }

    fn breaches_ever(&self) -> u64 {
        let breaches = |library: &Library| {
            type Function = unsafe extern "C" fn() -> u64;
            // SAFETY: this is the function's type in every stand-in.
            unsafe { library.get::<Function>("punktfunk_standin_breaches").expect("a stand-in has it")() }
        };
        self.libraries.iter().map(breaches).sum()
    }
}
