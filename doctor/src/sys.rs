//! What std and rustix have no words for: the kernel's discipline of the clock, `SCHED_FIFO`, and libraries by name.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_int, c_void};
use std::io;

/// Whether the kernel believes that somebody keeps the wall clock right.
pub(crate) fn is_clock_kept() -> io::Result<bool> {
    // SAFETY: timex is plain numbers, for which all zeros is a valid value; a mode of 0 only reads.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `state` is alive for the call, and ours to write.
    let rc = unsafe { libc::adjtimex(&raw mut state) };
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(state.status & libc::STA_UNSYNC == 0) }
}

/// Makes the calling thread a real-time one of the least priority.
pub(crate) fn become_realtime() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: thread 0 is the caller; the parameters live until the call returns.
    let rc = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A library of NVIDIA's driver. All but one tell a version as a number, by a function that takes a place for it and
/// returns 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Library {
    /// `CUresult cuDriverGetVersion(int *)`, any time before `cuInit`.
    Cuda,
    /// `NVENCSTATUS NvEncodeAPIGetMaxSupportedVersion(uint32_t *)`.
    Nvenc,
    /// It tells none; `cuvidGetDecoderCaps` is what it has since long.
    Nvdec,
}

/// Why it does not tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Silent {
    /// The loader's words.
    NotLoaded(String),
    /// It has no such function.
    NoFunction(&'static str),
    /// The function returned this.
    Refused(i32),
}

impl Library {
    fn names(self) -> (&'static CStr, &'static CStr) {
        match self {
            Self::Cuda => (c"libcuda.so.1", c"cuDriverGetVersion"),
            Self::Nvenc => (c"libnvidia-encode.so.1", c"NvEncodeAPIGetMaxSupportedVersion"),
            Self::Nvdec => (c"libnvcuvid.so.1", c"cuvidGetDecoderCaps"),
        }
    }

    /// Its file's name, as the loader looks for it.
    pub(crate) fn file(self) -> &'static str {
        self.names().0.to_str().expect("a name above is ASCII")
    }

    /// Loads it, for as long as this program lives: drivers do not like to be unloaded.
    pub(crate) fn load(self) -> Result<(), Silent> {
        self.symbol().map(|_| ())
    }

    /// Loads it, and asks its version.
    pub(crate) fn version(self) -> Result<u32, Silent> {
        let symbol = self.symbol()?;
        if self == Self::Nvdec {
            return Err(Silent::NoFunction("version"));
        }
        // SAFETY: each function of `names` but NVDEC's, which has left above, has this type in its vendor's header: one
        // pointer to a 32-bit number, an enumeration of C back; and the library stays loaded.
        let ask: unsafe extern "C" fn(*mut u32) -> c_int = unsafe { std::mem::transmute(symbol) };
        let mut version = 0;
        // SAFETY: the place is alive and ours for the call.
        match unsafe { ask(&raw mut version) } {
            0 => Ok(version),
            code => Err(Silent::Refused(code)),
        }
    }

    fn symbol(self) -> Result<*mut c_void, Silent> {
        let (file, function) = self.names();
        // SAFETY: the name ends with a zero. What a system's library does when it is loaded is its own affair; these
        // are made to be loaded by any program.
        let library = unsafe { libc::dlopen(file.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if library.is_null() {
            return Err(Silent::NotLoaded(loader_words()));
        }
        // SAFETY: the handle is a library that is never closed; the name ends with a zero.
        let symbol = unsafe { libc::dlsym(library, function.as_ptr()) };
        if symbol.is_null() {
            return Err(Silent::NoFunction(function.to_str().expect("a name above is ASCII")));
        }
        Ok(symbol)
    }
}

fn loader_words() -> String {
    // SAFETY: dlerror returns null or a string of this thread's that lives until its next call of the loader.
    let words = unsafe { libc::dlerror() };
    if words.is_null() {
        return "the loader does not say why".to_owned();
    }
    // SAFETY: as above; it is copied before anything else is asked of the loader.
    unsafe { CStr::from_ptr(words) }.to_string_lossy().into_owned()
}
