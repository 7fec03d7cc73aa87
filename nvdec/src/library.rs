//! `libnvcuvid.so.1`: found, and its functions looked up.

#![allow(unsafe_code, non_snake_case)]

use std::error::Error as _;
use std::ffi::{c_int, c_uint};
use std::fmt;
use std::mem::ManuallyDrop;
use std::sync::Arc;

use punktfunk_cuda::{Context, CudaError};

use crate::error::NvdecError;
use crate::sys::{
    CUVIDDECODECAPS, CUVIDDECODECREATEINFO, CUVIDGETDECODESTATUS, CUVIDPARSERPARAMS, CUVIDPICPARAMS,
    CUVIDPROCPARAMS, CUVIDSOURCEDATAPACKET, CUvideodecoder, CUvideoparser,
};

const LIBRARY: &str = "libnvcuvid.so.1";

macro_rules! functions {
    ($($name:ident($($argument:ty),*);)*) => {
        #[derive(Clone, Copy)]
        pub(crate) struct Functions {
            $(pub(crate) $name: unsafe extern "C" fn($($argument),*) -> c_int,)*
        }

        impl Functions {
            fn load(library: &libloading::Library) -> Result<Self, NvdecError> {
                Ok(Self {
                    $(
                        // SAFETY: the type is the one that nvcuvid.h and cuviddec.h give to this exported name. The
                        // pointer is used only while the library is held, which is for ever.
                        $name: unsafe {
                            *library
                                .get::<unsafe extern "C" fn($($argument),*) -> c_int>(stringify!($name))
                                .map_err(|_| NvdecError::Symbol(stringify!($name)))?
                        },
                    )*
                })
            }
        }
    };
}

functions! {
    cuvidGetDecoderCaps(*mut CUVIDDECODECAPS);
    cuvidCreateDecoder(*mut CUvideodecoder, *mut CUVIDDECODECREATEINFO);
    cuvidDestroyDecoder(CUvideodecoder);
    cuvidDecodePicture(CUvideodecoder, *mut CUVIDPICPARAMS);
    cuvidGetDecodeStatus(CUvideodecoder, c_int, *mut CUVIDGETDECODESTATUS);
    cuvidMapVideoFrame64(CUvideodecoder, c_int, *mut u64, *mut c_uint, *mut CUVIDPROCPARAMS);
    cuvidUnmapVideoFrame64(CUvideodecoder, u64);
    cuvidCreateVideoParser(*mut CUvideoparser, *mut CUVIDPARSERPARAMS);
    cuvidParseVideoData(CUvideoparser, *mut CUVIDSOURCEDATAPACKET);
    cuvidDestroyVideoParser(CUvideoparser);
}

/// Calls a function of the library's, and gives its error the function's name. Within `unsafe`: the caller answers for the
/// arguments, and has the context current.
macro_rules! call {
    ($library:expr, $context:expr, $name:ident($($argument:expr),* $(,)?)) => {
        $context.checked(stringify!($name), ($library.functions().$name)($($argument),*))
    };
}
pub(crate) use call;

/// NVIDIA's decoder, loaded.
#[derive(Clone)]
pub struct Library(Arc<Inner>);

struct Inner {
    functions: Functions,
    /// Never unloaded: the driver has threads of its own.
    _library: ManuallyDrop<libloading::Library>,
}

impl Library {
    /// Loads it.
    ///
    /// # Errors
    /// It is not there, or not whole.
    pub fn load() -> Result<Self, NvdecError> {
        // SAFETY: loading runs the library's own beginnings: those of NVIDIA's are made to be run so.
        let library = unsafe { libloading::Library::new(LIBRARY) }.map_err(|error| {
            let text = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            let is_absent =
                text.contains(&format!("{LIBRARY}: cannot open shared object file: No such file"));
            if is_absent { NvdecError::Absent } else { NvdecError::Unloadable(text) }
        })?;
        let functions = Functions::load(&library)?;
        Ok(Self(Arc::new(Inner { functions, _library: ManuallyDrop::new(library) })))
    }

    pub(crate) fn functions(&self) -> &Functions {
        &self.0.functions
    }

    /// Has `call` made with `context` current.
    pub(crate) fn within<T>(
        context: &Context,
        call: impl FnOnce() -> Result<T, CudaError>,
    ) -> Result<T, CudaError> {
        let _current = context.enter()?;
        call()
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Library").finish_non_exhaustive()
    }
}
