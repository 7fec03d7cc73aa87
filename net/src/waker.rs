//! Waking a receiver that waits for the network.
//!
//! Promises: a wake is never lost, many wakes before the receiver looks are one, and waking never blocks.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use crate::{NetError, sys};

/// Wakes one [`Receiver`](crate::Receiver), from any thread, any number of times.
#[derive(Clone, Debug)]
pub struct Waker {
    event: Arc<File>,
}

impl Waker {
    pub(crate) fn new() -> Result<Self, NetError> {
        let event = sys::eventfd().map_err(|source| NetError::Waker { source })?;
        Ok(Self { event: Arc::new(File::from(event)) })
    }

    /// Makes the receiver's present or next wait end at once.
    pub fn wake(&self) {
        // The one possible refusal is a counter at its end, which means that a wake is already pending.
        let _ = (&*self.event).write(&1_u64.to_ne_bytes());
    }

    /// Takes all pending wakes; says whether there were any.
    pub(crate) fn take(&self) -> bool {
        let mut count = [0; 8];
        loop {
            match (&*self.event).read(&mut count) {
                Ok(_) => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wakes_are_kept_and_taken_together() {
        let waker = Waker::new().unwrap();
        assert!(!waker.take());
        waker.wake();
        waker.clone().wake();
        assert!(waker.take());
        assert!(!waker.take());
    }
}
