//! What calls answer: the SDK's codes, and a refusal with its reason.

use punktfunk_nvenc::sys::{NV_ENC_ERR_NEED_MORE_OUTPUT, NVENCSTATUS};

/// Whose doing a refusal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The caller broke the contract; counted.
    Breach,
    /// The card, or the moment: what any caller must expect.
    World,
}

/// Why a call is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: NVENCSTATUS,
    pub(crate) fault: Fault,
    /// In words, for the error string and stderr.
    pub(crate) why: String,
}

/// What a call comes to.
pub(crate) type Answer<T = ()> = Result<T, Refused>;

impl Refused {
    /// The caller broke the contract.
    pub(crate) fn breach<T>(status: NVENCSTATUS, why: impl Into<String>) -> Answer<T> {
        Err(Self { status, fault: Fault::Breach, why: why.into() })
    }

    /// What any caller must expect.
    pub(crate) fn world<T>(status: NVENCSTATUS, why: impl Into<String>) -> Answer<T> {
        Err(Self { status, fault: Fault::World, why: why.into() })
    }
}

/// A breach unless `holds`.
pub(crate) fn require(holds: bool, status: NVENCSTATUS, why: impl FnOnce() -> String) -> Answer {
    if holds { Ok(()) } else { Refused::breach(status, why()) }
}

/// The code that an SDK's name or a number stands for.
pub(crate) fn parse(text: &str) -> Option<NVENCSTATUS> {
    let by_name = NVENCSTATUS::KNOWN.iter().find(|(name, _)| *name == text).map(|(_, code)| *code);
    let code = by_name.or_else(|| text.parse().ok()).filter(|code| *code <= NV_ENC_ERR_NEED_MORE_OUTPUT.0)?;
    Some(NVENCSTATUS(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_known_by_name_and_by_number() {
        for (name, code) in NVENCSTATUS::KNOWN {
            assert_eq!(parse(name), Some(NVENCSTATUS(*code)));
            assert_eq!(parse(&code.to_string()), Some(NVENCSTATUS(*code)));
        }
        for unknown in ["27", "-1", "", "NV_ENC_ERR_NOTHING", "cuda"] {
            assert_eq!(parse(unknown), None, "{unknown:?}");
        }
    }
}
