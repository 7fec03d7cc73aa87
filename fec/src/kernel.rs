//! Which instructions a coder uses.

use std::ffi::OsString;
use std::fmt;

/// The environment variable that forces a kernel.
pub const KERNEL_VARIABLE: &str = "PUNKTFUNK_FEC_KERNEL";

/// A set of instructions that the code is computed with. All give the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kernel {
    /// 64-byte vectors and affine maps of bytes: AVX-512 (F, BW, VL) and GFNI.
    Avx512Gfni,
    /// 32-byte vectors and affine maps of bytes: AVX2 and GFNI.
    Avx2Gfni,
    /// 32-byte vectors and table look-ups by nibble: AVX2.
    Avx2,
    /// Eight bytes at a time through a table of products. Everywhere; there is no NEON kernel.
    Scalar,
}

/// A kernel was asked for that is none, or that this CPU cannot run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// No kernel has this name.
    #[error(
        "no FEC kernel is called `{name}`: choose one of {}, or leave it unset to take the best",
        names(Kernel::ALL)
    )]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The kernel needs instructions that this CPU lacks.
    #[error("this CPU cannot run the FEC kernel `{kernel}`: it can run {}", names(Kernel::supported()))]
    Unsupported {
        /// What was asked for.
        kernel: Kernel,
    },
}

impl Kernel {
    /// Every kernel, fastest first.
    pub const ALL: [Kernel; 4] = [Kernel::Avx512Gfni, Kernel::Avx2Gfni, Kernel::Avx2, Kernel::Scalar];

    /// The kernels that this CPU can run, fastest first.
    pub fn supported() -> impl Iterator<Item = Kernel> {
        Kernel::ALL.into_iter().filter(|kernel| kernel.is_supported())
    }

    /// The fastest kernel that this CPU can run.
    #[must_use]
    pub fn best() -> Kernel {
        Kernel::supported().next().unwrap_or(Kernel::Scalar)
    }

    /// The kernel that [`KERNEL_VARIABLE`] names, or the best one when it is unset. The environment is read at this call
    /// and nowhere else.
    ///
    /// # Errors
    /// As [`Kernel::asked`].
    pub fn from_environment() -> Result<Kernel, KernelError> {
        Ok(Kernel::asked(std::env::var_os(KERNEL_VARIABLE))?.unwrap_or_else(Kernel::best))
    }

    /// What the value of [`KERNEL_VARIABLE`] asks for; nothing when it is unset.
    ///
    /// # Errors
    /// [`KernelError`] when the value names no kernel (an empty one and one that is no text do not either), or one that
    /// the CPU cannot run.
    pub fn asked(variable: Option<OsString>) -> Result<Option<Kernel>, KernelError> {
        variable.map(|value| value.to_string_lossy().parse()).transpose()
    }

    /// The name that [`str::parse`] takes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kernel::Avx512Gfni => "avx512-gfni",
            Kernel::Avx2Gfni => "avx2-gfni",
            Kernel::Avx2 => "avx2",
            Kernel::Scalar => "scalar",
        }
    }

    /// Whether this CPU can run it.
    #[must_use]
    #[cfg(target_arch = "x86_64")]
    pub fn is_supported(self) -> bool {
        match self {
            Kernel::Avx512Gfni => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("gfni")
            }
            Kernel::Avx2Gfni => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("gfni"),
            Kernel::Avx2 => is_x86_feature_detected!("avx2"),
            Kernel::Scalar => true,
        }
    }

    /// Whether this CPU can run it.
    #[must_use]
    #[cfg(not(target_arch = "x86_64"))]
    pub fn is_supported(self) -> bool {
        self == Kernel::Scalar
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Kernel {
    type Err = KernelError;

    /// The kernel of this name, if the CPU can run it. Case and surrounding blanks do not matter.
    fn from_str(name: &str) -> Result<Kernel, KernelError> {
        let wanted = name.trim();
        let kernel = Kernel::ALL.into_iter().find(|kernel| kernel.name().eq_ignore_ascii_case(wanted));
        match kernel {
            None => Err(KernelError::Unknown { name: name.to_owned() }),
            Some(kernel) if kernel.is_supported() => Ok(kernel),
            Some(kernel) => Err(KernelError::Unsupported { kernel }),
        }
    }
}

fn names(kernels: impl IntoIterator<Item = Kernel>) -> String {
    kernels.into_iter().map(Kernel::name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_has_a_name_of_its_own() {
        for kernel in Kernel::ALL {
            let parsed = kernel.name().parse();
            if kernel.is_supported() {
                assert_eq!(parsed, Ok(kernel));
            } else {
                assert_eq!(parsed, Err(KernelError::Unsupported { kernel }));
            }
        }
        assert!(Kernel::Scalar.is_supported());
        assert_eq!(Kernel::supported().next(), Some(Kernel::best()));
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        for name in ["", " ", "avx512", "neon", "scalar,avx2"] {
            let error = name.parse::<Kernel>().unwrap_err();
            assert_eq!(error, KernelError::Unknown { name: name.to_owned() });
            assert!(error.to_string().contains("avx512-gfni, avx2-gfni, avx2, scalar"), "{error}");
        }
    }

    #[test]
    fn a_value_is_a_kernel_or_an_error_and_never_taken_for_none() {
        use std::os::unix::ffi::OsStringExt;
        assert_eq!(Kernel::asked(None), Ok(None));
        assert_eq!(Kernel::asked(Some(" Scalar\n".into())), Ok(Some(Kernel::Scalar)));
        for value in [vec![], vec![b's', 0xFF]] {
            assert!(Kernel::asked(Some(OsString::from_vec(value.clone()))).is_err(), "{value:?}");
        }
    }
}
