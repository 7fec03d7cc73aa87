//! The driver's library: found, looked through and begun.

#![allow(unsafe_code)]

use std::error::Error as _;
use std::ffi::{CStr, c_char, c_int};
use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::Arc;

use libloading::Library;

use crate::device::{self, Device, Uuid};
use crate::error::{Breakage, Code, CudaError};
use crate::limits::DRIVER_MIN;
use crate::table::Table;

/// The driver's own name. `libcuda.so` without a number is a toolkit's, and may be its stub.
const LIBRARY: &str = "libcuda.so.1";

/// Calls a function of the driver's by its exported name and gives its error that name. Within `unsafe`: the caller answers
/// for the arguments.
macro_rules! call {
    ($driver:expr, $name:ident($($argument:expr),* $(,)?)) => {
        $driver.checked(stringify!($name), ($driver.table.$name)($($argument),*))
    };
}
pub(crate) use call;

/// CUDA's driver, loaded and begun.
#[derive(Debug, Clone)]
pub struct Cuda {
    driver: Arc<Driver>,
}

impl Cuda {
    /// Loads the driver, once more or for the first time.
    ///
    /// # Errors
    /// It is not there, does not work or is too old, each with its remedy.
    pub fn load() -> Result<Self, CudaError> {
        let library = open()?;
        let version = version(&library)?;
        if version < DRIVER_MIN {
            return Err(CudaError::TooOld { has: version });
        }
        let table = Table::load(&library).map_err(|name| CudaError::Broken(Breakage::Symbol(name)))?;
        let driver = Driver { table, version, _library: ManuallyDrop::new(library) };
        // SAFETY: cuInit takes no pointer and may be called by any thread, any number of times.
        match unsafe { call!(driver, cuInit(0)) } {
            Err(CudaError::Call { code, .. }) => Err(CudaError::Broken(Breakage::Init { code })),
            Err(other) => Err(other),
            Ok(()) => Ok(Self { driver: Arc::new(driver) }),
        }
    }

    /// The newest CUDA that the driver speaks.
    #[must_use]
    pub fn version(&self) -> DriverVersion {
        self.driver.version
    }

    /// The GPUs that this process may use, in the driver's order.
    ///
    /// # Errors
    /// A call failed.
    pub fn devices(&self) -> Result<Vec<Device>, CudaError> {
        device::all(&self.driver)
    }

    /// The GPU that a Vulkan device of this UUID is, if CUDA has it.
    ///
    /// # Errors
    /// A call failed.
    pub fn device_by_uuid(&self, uuid: Uuid) -> Result<Option<Device>, CudaError> {
        Ok(self.devices()?.into_iter().find(|device| device.uuid() == uuid))
    }

    /// The GPU at a PCI address, as `0000:01:00.0`, if CUDA has it.
    ///
    /// # Errors
    /// A call failed.
    pub fn device_by_pci(&self, address: &str) -> Result<Option<Device>, CudaError> {
        Ok(self.devices()?.into_iter().find(|device| device.pci().eq_ignore_ascii_case(address)))
    }
}

/// The newest CUDA that a driver speaks, as a thousand for each major version and ten for each minor one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DriverVersion(pub i32);

impl fmt::Display for DriverVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 1000, self.0 % 1000 / 10)
    }
}

impl fmt::Debug for DriverVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The functions and whose they are.
pub(crate) struct Driver {
    pub(crate) table: Table,
    version: DriverVersion,
    /// Never unloaded: the driver has threads of its own, and the names of errors are lent for ever.
    _library: ManuallyDrop<Library>,
}

impl Driver {
    /// The result of the call named `call`.
    pub(crate) fn checked(&self, call: &'static str, result: c_int) -> Result<(), CudaError> {
        match result {
            0 => Ok(()),
            value => Err(CudaError::Call { call, code: Code::new(value, self.name_of(value)) }),
        }
    }

    fn name_of(&self, value: c_int) -> Option<&'static str> {
        let mut name: *const c_char = ptr::null();
        // SAFETY: the function writes one pointer, to where there is room for it.
        let result = unsafe { (self.table.cuGetErrorName)(value, &raw mut name) };
        if result != 0 || name.is_null() {
            return None;
        }
        // SAFETY: the driver gave a string that ends with a zero, of its own constants; it is never unloaded.
        unsafe { CStr::from_ptr(name) }.to_str().ok()
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("version", &self.version).finish_non_exhaustive()
    }
}

/// Opens the library; tells one that is not there from one that cannot be loaded.
fn open() -> Result<Library, CudaError> {
    // SAFETY: loading runs the library's own beginnings: those of NVIDIA's driver are made to be run so.
    unsafe { Library::new(LIBRARY) }.map_err(|error| {
        // What the system's loader says is behind what libloading says.
        let text = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        let is_absent = text.contains(&format!("{LIBRARY}: cannot open shared object file: No such file"));
        if is_absent { CudaError::Absent } else { CudaError::Broken(Breakage::Unloadable(text)) }
    })
}

/// The driver's version, which it tells before anything else is asked of it.
fn version(library: &Library) -> Result<DriverVersion, CudaError> {
    const NAME: &str = "cuDriverGetVersion";
    type Function = unsafe extern "C" fn(*mut c_int) -> c_int;
    // SAFETY: this is the function's type in the driver API.
    let function = unsafe { library.get::<Function>(NAME) };
    let function = function.map_err(|_| CudaError::Broken(Breakage::Symbol(NAME)))?;
    let mut version = 0;
    // SAFETY: it writes one number to where there is room for it, and needs no cuInit.
    match unsafe { function(&raw mut version) } {
        0 => Ok(DriverVersion(version)),
        value => Err(CudaError::Call { call: NAME, code: Code::new(value, None) }),
    }
}
