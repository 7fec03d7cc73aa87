//! The doctor: looks at each link of the chain from a desktop to a client, and says what is wrong with it.
//!
//! Promises: every [`Link`] gets a [`Verdict`]: OK, degraded with what it costs, or broken with what to do, as a command
//! where there is one. A link that is there and does not work is broken; one that is missing and can be done without is
//! degraded. No look outlasts its own deadline, nor all of them [`limits::TOTAL_MAX`]: one that hangs is left to its
//! thread and said so. Nothing of the machine is changed, nobody is asked anything, and no packet leaves but over
//! loopback.
//!
//! Refuses: to guess. What only root may read is said to be so.

#![deny(unsafe_code)]

mod announced;
mod clocks;
mod compositor;
mod cores;
mod discovery;
mod encoder;
mod firewall;
mod gpu;
mod holder;
pub mod limits;
mod link;
mod mtu;
mod page;
mod pipewire;
mod portal;
mod process;
mod rounds;
mod rules;
mod settings;
mod sys;
mod trust;
mod udp;
mod verdict;
mod view;

pub use announced::Announced;
pub use link::Link;
pub use page::{page, table};
pub use rounds::Doctor;
pub use verdict::Verdict;
pub use view::View;
