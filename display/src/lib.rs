//! Compositors and virtual displays: which compositors this machine has, and a desktop of our own
//! where there is none.
//!
//! Promises: [`probe`] names every compositor that the project knows, with its version or the reason
//! why it cannot be used; [`sway::HeadlessSway`] starts one, makes outputs at exactly the mode that was
//! asked for, and leaves no process and no folder behind, whatever ends the program that started it.
//!
//! Refuses: to run a compositor as root, to round a mode, and to wait without a deadline.

mod error;
pub mod limits;
mod mode;
mod probe;
pub mod sway;

pub use error::DisplayError;
pub use mode::Mode;
pub use probe::{CompositorKind, CompositorProbe, Reason, probe, probe_one};
