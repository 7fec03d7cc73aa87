//! A headless Chromium for the tests of pages: told what to do over its debugging pipe, and asked what a person
//! would see there.
//!
//! Promises: nothing waits for ever, and the browser ends with this; keys and clicks go the way that a person's do, so
//! that what is covered or disabled is not hit. Refuses: a port that anybody could connect to, and to be part of the
//! product: tests import it, and nothing else.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test that cannot go on says so and ends"
)]

mod chromium;
mod console;
mod hands;
mod look;

pub use chromium::Chromium;
