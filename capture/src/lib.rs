//! Picture sources: the moving test card, Y4M files, a Wayland compositor's screen, and PipeWire's nodes.
//!
//! Every source gives one picture at a time through [`Source`]: the newest wins, and what was passed over is
//! counted. Sources pace themselves; a stamp is taken when the picture came to be. Nothing here encodes.

pub mod card;
pub mod dmabuf;
mod error;
#[cfg(any(feature = "pipewire", feature = "wayland"))]
mod exchange;
pub mod file;
pub mod limits;
#[cfg(any(feature = "pipewire", feature = "wayland"))]
mod mapping;
mod mode;
mod patience;
mod picture;
#[cfg(feature = "pipewire")]
pub mod pipewire;
pub mod schedule;
mod session;
#[cfg(any(feature = "pipewire", feature = "wayland"))]
mod stamp;
#[cfg(any(feature = "pipewire", feature = "wayland"))]
mod threaded;
#[cfg(feature = "wayland")]
pub mod wayland;

pub use dmabuf::{Dmabuf, DmabufPlane, DmabufWish, SyncPoint};
pub use error::{CaptureError, Diagnosis};
pub use mode::{Mode, ModeError};
pub use patience::Patience;
pub use picture::{Counters, Picture, PixelFormat, Pixels, Source};
pub use session::is_local_display;
#[cfg(any(feature = "pipewire", feature = "wayland"))]
pub use threaded::ThreadedSource;
