//! What the stand-ins of NVIDIA's libraries have in common.
//!
//! Promises: a call fails when a test asks for it ([`failures`]); what a caller may not do is said on stderr and counted
//! ([`Controls`]); a timeline semaphore is a file in memory that any process can map ([`Timeline`]).
//!
//! A C library has no `new`, so each stand-in holds one [`Controls`] as a `static`, and [`controls!`] exports its two
//! functions.

#![deny(unsafe_code)]

pub mod failures;
mod loaded;
mod timeline;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

pub use failures::Failures;
pub use loaded::{Loaded, lay, library};
pub use timeline::Timeline;

/// Which calls shall fail.
pub const FAIL_VARIABLE: &str = "PUNKTFUNK_STANDIN_FAIL";

/// `1`: the process ends at the first breach.
pub const STRICT_VARIABLE: &str = "PUNKTFUNK_STANDIN_STRICT";

/// What tests ask of a stand-in, and what it has to say of its caller.
#[derive(Debug)]
pub struct Controls {
    library: &'static str,
    failures: OnceLock<Mutex<Failures>>,
    breaches: AtomicU64,
}

impl Controls {
    /// Controls of the library of this name.
    #[must_use]
    pub const fn new(library: &'static str) -> Self {
        Self { library, failures: OnceLock::new(), breaches: AtomicU64::new(0) }
    }

    /// What `call` shall fail with this time, as it was written.
    pub fn failure(&self, call: &str) -> Option<String> {
        self.failures().lock().unwrap_or_else(PoisonError::into_inner).next(call)
    }

    /// Replaces the list of failures. A list that cannot be read is a test's mistake, and ends it.
    pub fn fail_by(&self, list: &str) {
        let failures = Failures::parse(list).unwrap_or_else(|what| self.end(&what));
        *self.failures().lock().unwrap_or_else(PoisonError::into_inner) = failures;
    }

    /// Counts and says that the caller of `call` broke its contract.
    pub fn breach(&self, call: &str, what: fmt::Arguments<'_>) {
        self.breaches.fetch_add(1, Ordering::Relaxed);
        eprintln!("{}: breach of contract in {call}: {what}", self.library);
        if std::env::var(STRICT_VARIABLE).is_ok_and(|strict| strict == "1") {
            self.end(&"the first breach ends the process");
        }
    }

    /// How many breaches there were.
    pub fn breaches(&self) -> u64 {
        self.breaches.load(Ordering::Relaxed)
    }

    fn failures(&self) -> &Mutex<Failures> {
        self.failures.get_or_init(|| {
            let list = std::env::var(FAIL_VARIABLE).unwrap_or_default();
            Mutex::new(Failures::parse(&list).unwrap_or_else(|what| self.end(&what)))
        })
    }

    fn end(&self, what: &dyn fmt::Display) -> ! {
        eprintln!("{}: {what}", self.library);
        std::process::abort()
    }
}

/// Exports `punktfunk_standin_fail` and `punktfunk_standin_breaches` for a stand-in's `static` controls.
#[macro_export]
macro_rules! controls {
    ($controls:expr) => {
        /// Replaces the list of calls that shall fail.
        ///
        /// # Safety
        /// `list` is a string that ends with a zero.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn punktfunk_standin_fail(list: *const ::std::ffi::c_char) {
            // SAFETY: the caller's word.
            let list = unsafe { ::std::ffi::CStr::from_ptr(list) };
            $controls.fail_by(&list.to_string_lossy());
        }

        /// How often a caller broke its contract.
        #[unsafe(no_mangle)]
        pub extern "C" fn punktfunk_standin_breaches() -> u64 {
            $controls.breaches()
        }
    };
}
