//! The io_uring back end: trains lent to the kernel instead of copied, and receives that stay armed.
//!
//! Promises: what the other back ends promise, by the same counters. Memory that the kernel may still read or
//! write outlives its use, whatever is dropped first. Refuses: to set a segment size on the socket (`SEND_ZC`
//! would want that; `SENDMSG_ZC` takes it beside each message), and to stay where the kernel refuses it.

mod buffers;
mod loans;
mod outgoing;
mod receive;
mod ring;
mod send;
mod trial;

pub(crate) use loans::Loans;
pub(crate) use receive::{Fault, UringReceive};
pub(crate) use ring::probe;
pub(crate) use send::{Refused, UringSend};
pub(crate) use trial::{Trial, Turn, Verdict};
