//! How every exported call begins and ends.

use std::cell::Cell;
use std::fmt;

use stand_in_common::Controls;

use crate::cuda;

pub(crate) static CONTROLS: Controls = Controls::new("libnvcuvid.so.1 (stand-in)");

thread_local! {
    /// Whether this thread is in a parser's call.
    pub(crate) static IS_PARSING: Cell<bool> = const { Cell::new(false) };
}

/// A failed call's number, which is CUDA's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code(pub(crate) i32);

pub(crate) const INVALID_VALUE: Code = Code(1);
pub(crate) const OUT_OF_MEMORY: Code = Code(2);
pub(crate) const INVALID_CONTEXT: Code = Code(201);
pub(crate) const INVALID_SOURCE: Code = Code(300);
pub(crate) const INVALID_HANDLE: Code = Code(400);
pub(crate) const NOT_SUPPORTED: Code = Code(801);

pub(crate) type Result<T> = std::result::Result<T, Code>;

/// Exports calls: each has its body, and may fail before it.
macro_rules! calls {
    ($($(#[$attribute:meta])* fn $name:ident[$call:ident]($($argument:ident: $type:ty),* $(,)?) $body:block)*) => {
        $(
            $(#[$attribute])*
            #[allow(non_snake_case, unsafe_code)]
            #[unsafe(no_mangle)]
            pub extern "C" fn $name($($argument: $type),*) -> i32 {
                $crate::entry::made(stringify!($name), |$call| $body)
            }
        )*
    };
}
pub(crate) use calls;

/// Makes a call: fails it on request, or has `body` do it.
pub(crate) fn made(call: &'static str, body: impl FnOnce(&'static str) -> Result<()>) -> i32 {
    let asked_for = CONTROLS.failure(call).map(|text| text.parse().map_or(INVALID_VALUE, Code));
    let result = match asked_for {
        Some(code) => Err(code),
        None if !cuda::has_context() => {
            Err(breach(call, INVALID_CONTEXT, format_args!("no context is current on this thread")))
        }
        None => body(call),
    };
    result.map_or_else(|code| code.0, |()| 0)
}

/// Counts and says a breach; gives the code that the call fails with.
pub(crate) fn breach(call: &str, code: Code, what: fmt::Arguments<'_>) -> Code {
    CONTROLS.breach(call, what);
    code
}
