//! What the driver tells of a GPU.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int};
use std::fmt;
use std::sync::Arc;

use cudarc::driver::sys::{CUdevice, CUdevice_attribute, CUuuid};

use crate::context::Context;
use crate::driver::{Driver, call};
use crate::error::CudaError;
use crate::limits::DEVICES_MAX;

/// A GPU's 16 bytes, the same that Vulkan gives as `deviceUUID`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Uuid(pub [u8; 16]);

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GPU-")?;
        for (index, byte) in self.0.iter().enumerate() {
            let dash = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A GPU.
#[derive(Debug, Clone)]
pub struct Device {
    driver: Arc<Driver>,
    raw: CUdevice,
    name: String,
    uuid: Uuid,
    pci: String,
    memory_bytes: usize,
    has_timeline_semaphores: bool,
}

impl Device {
    fn read(driver: &Arc<Driver>, ordinal: c_int) -> Result<Self, CudaError> {
        let mut raw: CUdevice = 0;
        // SAFETY: one number is written to where there is room for it.
        unsafe { call!(driver, cuDeviceGet(&raw mut raw, ordinal)) }?;
        let name = text(|bytes, length| {
            // SAFETY: at most `length` bytes are written to `bytes`, which has that many.
            unsafe { call!(driver, cuDeviceGetName(bytes, length, raw)) }
        })?;
        let pci = text(|bytes, length| {
            // SAFETY: as above.
            unsafe { call!(driver, cuDeviceGetPCIBusId(bytes, length, raw)) }
        })?;
        let mut uuid = CUuuid { bytes: [0; 16] };
        // SAFETY: 16 bytes are written to where there is room for them.
        unsafe { call!(driver, cuDeviceGetUuid_v2(&raw mut uuid, raw)) }?;
        let mut memory_bytes = 0;
        // SAFETY: one number is written to where there is room for it.
        unsafe { call!(driver, cuDeviceTotalMem_v2(&raw mut memory_bytes, raw)) }?;
        let timeline = CUdevice_attribute::CU_DEVICE_ATTRIBUTE_TIMELINE_SEMAPHORE_INTEROP_SUPPORTED;
        let mut has_timeline_semaphores = 0;
        // SAFETY: as above.
        unsafe {
            call!(driver, cuDeviceGetAttribute(&raw mut has_timeline_semaphores, timeline as c_int, raw))
        }?;
        Ok(Self {
            driver: driver.clone(),
            raw,
            name,
            uuid: Uuid(uuid.bytes.map(c_char::cast_unsigned)),
            pci: pci.to_ascii_lowercase(),
            memory_bytes,
            has_timeline_semaphores: has_timeline_semaphores != 0,
        })
    }

    /// What NVIDIA calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What Vulkan knows it by as well.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// Where it sits, as `0000:01:00.0`.
    #[must_use]
    pub fn pci(&self) -> &str {
        &self.pci
    }

    /// Its memory.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Whether it can share a timeline semaphore with Vulkan.
    #[must_use]
    pub fn has_timeline_semaphores(&self) -> bool {
        self.has_timeline_semaphores
    }

    /// The device's primary context: the one that everything in this process shares.
    ///
    /// # Errors
    /// A call failed.
    pub fn context(&self) -> Result<Context, CudaError> {
        Context::retain(self)
    }

    pub(crate) fn driver(&self) -> &Arc<Driver> {
        &self.driver
    }

    pub(crate) fn raw(&self) -> CUdevice {
        self.raw
    }
}

/// The devices of `driver`.
pub(crate) fn all(driver: &Arc<Driver>) -> Result<Vec<Device>, CudaError> {
    let mut count = 0;
    // SAFETY: one number is written to where there is room for it.
    unsafe { call!(driver, cuDeviceGetCount(&raw mut count)) }?;
    (0..count.min(DEVICES_MAX)).map(|ordinal| Device::read(driver, ordinal)).collect()
}

/// A text that the driver writes into a buffer.
fn text(write: impl FnOnce(*mut c_char, c_int) -> Result<(), CudaError>) -> Result<String, CudaError> {
    const LENGTH: u8 = 128;
    // One byte more than the driver is told of, so that a zero ends it in any case.
    let mut bytes = [0_u8; LENGTH as usize + 1];
    write(bytes.as_mut_ptr().cast(), c_int::from(LENGTH))?;
    let text = CStr::from_bytes_until_nul(&bytes).unwrap_or_default();
    Ok(text.to_string_lossy().into_owned())
}
