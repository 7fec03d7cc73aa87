//! How every exported call begins and ends: failures on request, initialisation, sticky errors.

use std::cell::Cell;

use crate::code::{Code, INVALID_VALUE, NOT_INITIALIZED, NOT_PERMITTED};
use crate::state::{CONTROLS, CURRENT, Result, State, breach};

thread_local! {
    /// Whether this thread is in a function that a stream called.
    pub(crate) static IN_HOST_FUNCTION: Cell<bool> = const { Cell::new(false) };
}

/// Exports driver calls: each has its body, and may fail before it.
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
    let asked_for = CONTROLS.failure(call).map(|text| Code::parse(&text).unwrap_or(INVALID_VALUE));
    let result = match asked_for {
        Some(code) => {
            if code.is_sticky()
                && let Some(current) = CURRENT.with_borrow(|stack| stack.last().copied())
            {
                State::lock().lose(current, code);
            }
            Err(code)
        }
        None => ready(call).and_then(|()| body(call)),
    };
    result.map_or_else(|code| code.0, |()| 0)
}

fn ready(call: &str) -> Result<()> {
    if IN_HOST_FUNCTION.get() {
        return Err(breach(call, NOT_PERMITTED, format_args!("called by a function that a stream called")));
    }
    let is_free = matches!(call, "cuInit" | "cuDriverGetVersion" | "cuGetErrorName");
    if !is_free && !State::lock().is_initialised {
        return Err(breach(call, NOT_INITIALIZED, format_args!("before cuInit")));
    }
    Ok(())
}
