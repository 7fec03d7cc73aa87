//! What can go wrong at the UDP edge, whose fault it is and what to do.

use std::io;
use std::net::SocketAddr;

use crate::Backend;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The kernel gave no socket of this family.
    #[error("cannot create a UDP socket for {bind}: {source}")]
    Create {
        /// The address that was to be bound.
        bind: SocketAddr,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The address is taken or not ours.
    #[error("cannot bind UDP {bind}: {source}; choose another address or port, or stop what holds it")]
    Bind {
        /// The address that was to be bound.
        bind: SocketAddr,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A socket option without which the socket is of no use was refused.
    #[error("the kernel refused the socket option {option}: {source}")]
    Option {
        /// The option's name in the kernel's headers.
        option: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The value of [`BACKEND_VARIABLE`](crate::BACKEND_VARIABLE) names no backend.
    #[error(
        "PUNKTFUNK_NET={came:?} names no send backend: choose gso, sendmmsg, scalar or uring, or leave it unset to take the fastest that works"
    )]
    BackendUnknown {
        /// What was given.
        came: String,
    },
    /// A backend was asked for by name, and this machine cannot do it.
    #[error(
        "the send backend {asked} was asked for, but {cause}; leave PUNKTFUNK_NET unset to take the fastest that works"
    )]
    BackendUnavailable {
        /// What was asked.
        asked: Backend,
        /// Why it does not work here.
        cause: String,
    },
    /// The destination cannot be reached from a socket of this family.
    #[error("{dest} cannot be reached from a socket bound to {local}: the address families differ")]
    FamilyMismatch {
        /// Where it should have gone.
        dest: SocketAddr,
        /// The socket's own address.
        local: SocketAddr,
    },
    /// The kernel refused a datagram for a reason that waiting does not cure.
    #[error("cannot send to {dest}: {source}")]
    Send {
        /// Where it should have gone.
        dest: SocketAddr,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Receiving failed for a reason that is not one datagram's.
    #[error("cannot receive: {source}")]
    Receive {
        /// The kernel's answer.
        source: io::Error,
    },
    /// No descriptor for waking a receiver.
    #[error("cannot create an eventfd to wake the receiver: {source}")]
    Waker {
        /// The kernel's answer.
        source: io::Error,
    },
    /// Limits that cannot work.
    #[error(
        "a receive ring of {buffers} buffers of {buffer_bytes} bytes is out of bounds: 1 to {buffers_max} buffers of 64 to 65536 bytes"
    )]
    ReceiveLimits {
        /// What was asked: number of buffers.
        buffers: usize,
        /// What was asked: bytes of each.
        buffer_bytes: usize,
        /// The most buffers there may be.
        buffers_max: usize,
    },
    /// No memory for an arena or a receive ring.
    #[error("cannot map {bytes} bytes of memory: {source}")]
    Map {
        /// How much was asked.
        bytes: usize,
        /// The kernel's answer.
        source: io::Error,
    },
    /// An arena of no bytes or of too many.
    #[error("an arena of {bytes} bytes is out of bounds: 1 to {bytes_max}")]
    ArenaSize {
        /// How much was asked.
        bytes: usize,
        /// The most there may be.
        bytes_max: usize,
    },
}
