//! The management API of a host, and the web console on it.
//!
//! What it is: an HTTPS server on a thread of its own, with the host's identity. The host's loop publishes a
//! [`model::Status`] and answers [`Ask`]s through a [`Desk`], by channels; nothing here knows a socket, a stage or
//! a picture.
//!
//! Promises: whoever has no token sees that the host lives, the console's own files and the document that describes
//! the API, and nothing else; a token is compared in constant time, and an address hears of its five wrong ones in a
//! minute, while the right one is heard from everywhere (`guard` says why); a page of another origin, and a name that was
//! bound to this address anew, are refused whatever token they have; there is no cookie, so a browser has no authority
//! of its own to lend. Bodies, headers, connections and streams are bounded. Everything that is served lies in the
//! program: no path reaches a file.
//!
//! Refuses: plain HTTP, and to start with a token that others may read.
#![forbid(unsafe_code)]

mod assets;
mod desk;
mod guard;
mod guests;
pub mod limits;
mod listen;
mod logs;
pub mod model;
mod openapi;
mod patient;
mod problem;
mod routes;
mod server;
mod token;

pub use desk::{Ask, Desk, Refused, Reply, Waiting, Why};
pub use logs::{LogLayer, LogRing};
pub use openapi::document;
pub use server::{Config, Manage, ManageError};
pub use token::{Token, TokenError};
