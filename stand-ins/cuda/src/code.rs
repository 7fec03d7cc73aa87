//! The driver's numbers, and their names.

/// A failed call's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code(pub(crate) i32);

pub(crate) const INVALID_VALUE: Code = Code(1);
pub(crate) const OUT_OF_MEMORY: Code = Code(2);
pub(crate) const NOT_INITIALIZED: Code = Code(3);
pub(crate) const NO_DEVICE: Code = Code(100);
pub(crate) const INVALID_DEVICE: Code = Code(101);
pub(crate) const INVALID_CONTEXT: Code = Code(201);
pub(crate) const INVALID_HANDLE: Code = Code(400);
pub(crate) const NOT_READY: Code = Code(600);
pub(crate) const ILLEGAL_ADDRESS: Code = Code(700);
pub(crate) const NOT_PERMITTED: Code = Code(800);

/// Names end with a zero, as the driver hands them out.
const NAMES: &[(i32, &str)] = &[
    (0, "CUDA_SUCCESS\0"),
    (1, "CUDA_ERROR_INVALID_VALUE\0"),
    (2, "CUDA_ERROR_OUT_OF_MEMORY\0"),
    (3, "CUDA_ERROR_NOT_INITIALIZED\0"),
    (4, "CUDA_ERROR_DEINITIALIZED\0"),
    (34, "CUDA_ERROR_STUB_LIBRARY\0"),
    (46, "CUDA_ERROR_DEVICE_UNAVAILABLE\0"),
    (100, "CUDA_ERROR_NO_DEVICE\0"),
    (101, "CUDA_ERROR_INVALID_DEVICE\0"),
    (200, "CUDA_ERROR_INVALID_IMAGE\0"),
    (201, "CUDA_ERROR_INVALID_CONTEXT\0"),
    (214, "CUDA_ERROR_ECC_UNCORRECTABLE\0"),
    (400, "CUDA_ERROR_INVALID_HANDLE\0"),
    (401, "CUDA_ERROR_ILLEGAL_STATE\0"),
    (500, "CUDA_ERROR_NOT_FOUND\0"),
    (600, "CUDA_ERROR_NOT_READY\0"),
    (700, "CUDA_ERROR_ILLEGAL_ADDRESS\0"),
    (702, "CUDA_ERROR_LAUNCH_TIMEOUT\0"),
    (719, "CUDA_ERROR_LAUNCH_FAILED\0"),
    (800, "CUDA_ERROR_NOT_PERMITTED\0"),
    (801, "CUDA_ERROR_NOT_SUPPORTED\0"),
    (802, "CUDA_ERROR_SYSTEM_NOT_READY\0"),
    (803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH\0"),
    (999, "CUDA_ERROR_UNKNOWN\0"),
];

impl Code {
    /// Reads a number, or a name with or without `CUDA_ERROR_`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Ok(number) = text.parse() {
            return Some(Self(number));
        }
        let is_it = |name: &str| name == text || name.strip_prefix("CUDA_ERROR_") == Some(text);
        NAMES.iter().find(|(_, name)| is_it(name.trim_end_matches('\0'))).map(|(value, _)| Self(*value))
    }

    /// The name, which ends with a zero.
    pub(crate) fn name(self) -> Option<&'static str> {
        NAMES.iter().find(|(value, _)| *value == self.0).map(|(_, name)| *name)
    }

    /// Whether it ends the context.
    pub(crate) fn is_sticky(self) -> bool {
        matches!(self.0, 46 | 214 | 700..=719 | 999)
    }
}
