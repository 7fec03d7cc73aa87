//! What this machine can do for one socket: probed once at open, said once by the programs.

use std::fmt;

use crate::Backend;

/// One thing that was wanted and not got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// What was wanted, in one or two words: `"gso"`, `"receive buffer"`.
    pub wanted: &'static str,
    /// Why it was not got, and what a person can do about it.
    pub cause: String,
}

/// What a [`Socket`](crate::Socket) got from the machine. Its `Display` is one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caps {
    /// The backend a [`Sender`](crate::Sender) starts with.
    pub backend: Backend,
    /// The kernel cuts trains (whether or not `backend` uses it).
    pub gso: bool,
    /// The kernel gives rings, and knows all that is asked of them.
    pub uring: bool,
    /// The kernel hands over coalesced datagrams.
    pub gro: bool,
    /// An IPv6 socket that also speaks IPv4.
    pub dual_stack: bool,
    /// The kernel's drops at the receive buffer are reported.
    pub drop_count: bool,
    /// Full device queues and unreachable peers are reported.
    pub error_queue: bool,
    /// The address of this machine that a datagram was sent to is told.
    pub local_ip: bool,
    /// The kernel takes departure times (`SO_TXTIME`) and can be asked which routes keep them: a
    /// [`Sender`](crate::Sender) asks.
    pub txtime: bool,
    /// Arenas and receive rings can lie on huge pages; [`Arena::pages`](crate::Arena::pages) says whether one does.
    pub huge_pages: bool,
    /// The send buffer as the kernel counts it: with its bookkeeping, about twice the payload.
    pub send_buffer_bytes: usize,
    /// The receive buffer as the kernel counts it: with its bookkeeping, about twice the payload.
    pub receive_buffer_bytes: usize,
    /// All that was wanted and not got, in the order it was found.
    pub fallbacks: Vec<Fallback>,
}

impl fmt::Display for Caps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let yes = |flag: bool| if flag { "yes" } else { "no" };
        write!(
            f,
            "send by {}, gso {}, io_uring {}, gro {}, dual stack {}, departure times {}, huge pages {}, send buffer {} KiB, receive buffer {} KiB",
            self.backend,
            yes(self.gso),
            yes(self.uring),
            yes(self.gro),
            yes(self.dual_stack),
            yes(self.txtime),
            yes(self.huge_pages),
            self.send_buffer_bytes >> 10,
            self.receive_buffer_bytes >> 10,
        )?;
        for fallback in &self.fallbacks {
            write!(f, "; no {}: {}", fallback.wanted, fallback.cause)?;
        }
        Ok(())
    }
}
