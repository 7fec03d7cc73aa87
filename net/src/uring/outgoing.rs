//! The messages of one call through a ring.
//!
//! Promises: they lie at addresses that stay as long as this value does. Refuses: to own what they point to.

use std::ptr;

use crate::addr::RawAddr;
use crate::control::SendControl;
use crate::limits::DATAGRAMS_PER_CALL_MAX;
use crate::sys;

/// The messages of one call, at addresses that stay.
pub(super) struct Outgoing {
    pub(super) dest: RawAddr,
    pub(super) control: SendControl,
    pub(super) parts: [libc::iovec; DATAGRAMS_PER_CALL_MAX],
    pub(super) headers: [libc::msghdr; DATAGRAMS_PER_CALL_MAX],
    pub(super) results: [i32; DATAGRAMS_PER_CALL_MAX],
}

// SAFETY: the pointers in it are to itself and to bytes that are borrowed for one call; no thread owns any of them.
unsafe impl Send for Outgoing {}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing").field("results", &self.results).finish_non_exhaustive()
    }
}

impl Outgoing {
    pub(super) fn new() -> Self {
        let part = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        Self {
            dest: RawAddr::default(),
            control: SendControl::none(),
            parts: [part; DATAGRAMS_PER_CALL_MAX],
            headers: [sys::empty_message(); DATAGRAMS_PER_CALL_MAX],
            results: [0; DATAGRAMS_PER_CALL_MAX],
        }
    }

    /// Message `index` is `chunk`; with the segment size if it is a train.
    pub(super) fn set(&mut self, index: usize, chunk: &[u8], train: bool) {
        self.parts[index] = sys::part_of(chunk);
        self.headers[index] = sys::message_of(&self.dest, &mut self.parts[index], &self.control, train);
    }
}
