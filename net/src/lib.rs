//! The UDP edge: what stands between the protocol and the kernel.
//!
//! * [`Arena`]: the prefaulted memory that datagrams are written in and sent from.
//! * [`Socket`]: one UDP port, opened with everything the machine allows; [`Caps`] says what that was.
//! * [`Sender`]: contiguous datagrams leave as GSO trains, by `sendmmsg`, one by one, or through io_uring, lent
//!   from the arena instead of copied; at once, or when they are told to where the route keeps such times.
//! * [`Receiver`]: GRO batches into a reused ring, by `recvmmsg` or a standing io_uring receive, cut into the
//!   datagrams they were.
//!
//! Promises: callers see canonical addresses only (an IPv4 peer is an IPv4 address, whatever the socket);
//! every datagram that was handed in is either given to the kernel or counted as dropped; nothing is
//! allocated and no lock is taken for a datagram after `new`; a refused fast path falls back inside the same
//! call, is counted by its cause and said once; what the kernel may still read is not leased again.
//!
//! Refuses: to fragment (don't-fragment is set on every datagram), to set a segment size on the socket (it
//! would cut up QUIC's probes), to know anything about what the bytes mean.

mod addr;
mod arena;
mod backend;
mod batch;
mod caps;
mod control;
mod error;
mod flight;
mod ledger;
pub mod limits;
mod mapping;
mod netlink;
mod path;
mod probe;
mod receive;
mod route;
mod send;
mod socket;
mod sys;
mod timing;
mod uring;
mod waker;

pub use arena::{Arena, Lease};
pub use backend::{BACKEND_VARIABLE, Backend};
pub use batch::{Batch, Segment};
pub use caps::{Caps, Fallback};
pub use error::NetError;
pub use mapping::PageKind;
pub use path::udp_payload_bytes_to;
pub use receive::{ReceiveCounters, ReceiveLimits, Receiver};
pub use send::{SendCounters, SendReport, Sender};
pub use socket::{Socket, SocketConfig, SocketCounters};
pub use waker::Waker;
