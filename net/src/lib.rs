//! The UDP edge: what stands between the protocol and the kernel.
//!
//! * [`Arena`]: the prefaulted memory that datagrams are written in and sent from.
//! * [`Socket`]: one UDP port, opened with everything the machine allows; [`Caps`] says what that was.
//! * [`Sender`]: contiguous datagrams leave as GSO trains, by `sendmmsg`, or one by one.
//! * [`Receiver`]: GRO batches into a reused ring, cut into the datagrams they were.
//!
//! Promises: callers see canonical addresses only (an IPv4 peer is an IPv4 address, whatever the socket);
//! every datagram that was handed in is either given to the kernel or counted as dropped; nothing is
//! allocated and no lock is taken for a datagram after `new`; a refused fast path falls back inside the same
//! call, is counted by its cause and said once.
//!
//! Refuses: to fragment (don't-fragment is set on every datagram), to set a segment size on the socket (it
//! would cut up QUIC's probes), to know anything about what the bytes mean.

mod addr;
mod arena;
mod backend;
mod caps;
mod control;
mod error;
mod ledger;
pub mod limits;
mod mapping;
mod netlink;
mod probe;
mod receive;
mod route;
mod send;
mod socket;
mod sys;
mod timing;
mod waker;

pub use arena::{Arena, Lease};
pub use backend::{BACKEND_VARIABLE, Backend};
pub use caps::{Caps, Fallback};
pub use error::NetError;
pub use mapping::PageKind;
pub use receive::{Batch, ReceiveCounters, ReceiveLimits, Receiver, Segment};
pub use send::{SendCounters, SendReport, Sender};
pub use socket::{Socket, SocketConfig, SocketCounters};
pub use waker::Waker;
