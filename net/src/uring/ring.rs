//! One ring: how it is made, what it has to know, how it is entered.

use std::fmt;
use std::io;
use std::time::Duration;

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{IoUring, Probe, cqueue, opcode, squeue};

/// What a request may carry in its `ioprio` (linux/io_uring.h).
pub(super) const SEND_ZC_REPORT_USAGE: u16 = 1 << 3;
/// What a notification may carry as its result.
pub(super) const NOTIF_USAGE_ZC_COPIED: u32 = 1 << 31;

/// Whether this kernel has a ring for us, and all that is asked of it. Asked in a thread of its own: the kernel
/// interrupts a thread when a ring that it made has gone.
///
/// # Errors
/// Why not, in words for a person.
pub(crate) fn probe() -> Result<(), String> {
    let asked = std::thread::Builder::new().name("probe".to_owned()).spawn(ask);
    let thread = asked.map_err(|error| format!("there is no thread to try it in ({error})"))?;
    thread.join().unwrap_or_else(|_| Err("the probe of it panicked".to_owned()))
}

fn ask() -> Result<(), String> {
    let ring = Ring::new(2, 4).map_err(|error| refusal(&error))?;
    let mut known = Probe::new();
    ring.ring.submitter().register_probe(&mut known).map_err(|error| refusal(&error))?;
    for (name, code) in [
        ("SENDMSG", opcode::SendMsg::CODE),
        ("SENDMSG_ZC", opcode::SendMsgZc::CODE),
        ("RECVMSG", opcode::RecvMsgMulti::CODE),
        ("POLL_ADD", opcode::PollAdd::CODE),
    ] {
        if !known.is_supported(code) {
            return Err(format!("this kernel's io_uring has no {name}; it needs Linux 6.1"));
        }
    }
    Ok(())
}

/// Why a ring cannot be had.
fn refusal(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOSYS) => format!("this kernel has no io_uring, or a filter hides it ({error})"),
        Some(libc::EPERM | libc::EACCES) => {
            format!("io_uring is forbidden here ({error}); see sysctl kernel.io_uring_disabled")
        }
        _ => format!("the kernel gives no io_uring ({error})"),
    }
}

/// A ring of one thread at a time; not of one thread for ever, because senders and receivers move.
pub(super) struct Ring {
    ring: IoUring,
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("entries", &self.ring.params().sq_entries()).finish_non_exhaustive()
    }
}

impl Ring {
    /// Room for `requests` at once and `completions` that were not looked at. More of these are kept by the
    /// kernel, at the cost of a call.
    pub(super) fn new(requests: u32, completions: u32) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_cqsize(completions)
            // Completions wait for this thread's next call instead of interrupting it.
            .setup_coop_taskrun()
            .setup_taskrun_flag()
            .build(requests)?;
        Ok(Self { ring })
    }

    pub(super) fn submitter(&self) -> io_uring::Submitter<'_> {
        self.ring.submitter()
    }

    /// Whether messages can be lent from registered memory: Linux 6.15, which this feature came with, too.
    pub(super) fn lends_registered(&self) -> bool {
        self.ring.params().is_feature_no_iowait()
    }

    /// Whether notifications tell of copies: Linux 6.2; the first feature after it that can be asked for is of 6.10.
    pub(super) fn tells_of_copies(&self) -> bool {
        self.ring.params().is_feature_recvsend_bundle()
    }

    /// Queues a request for the next entry.
    ///
    /// # Safety
    /// Whatever the request points to stays where it is, and is not written where the kernel reads or used where
    /// it writes, until its last completion.
    pub(super) unsafe fn push(&mut self, request: &squeue::Entry) -> io::Result<()> {
        // SAFETY: the caller's promise is passed on.
        unsafe { self.ring.submission().push(request) }.map_err(|_| io::ErrorKind::StorageFull.into())
    }

    /// Requests that the kernel has not taken.
    pub(super) fn queued(&mut self) -> usize {
        self.ring.submission().len()
    }

    /// One more completion, if there is one.
    pub(super) fn pop(&mut self) -> Option<cqueue::Entry> {
        self.ring.completion().next()
    }

    /// Hands queued requests in and waits for `want` completions.
    pub(super) fn enter(&self, want: usize) -> io::Result<()> {
        loop {
            match self.ring.submit_and_wait(want) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map(drop),
            }
        }
    }

    /// As [`Ring::enter`] for one completion, no longer than `timeout` (`None`: for ever). A signal ends it early.
    pub(super) fn enter_for(&self, timeout: Option<Duration>) -> io::Result<()> {
        let time = timeout.map(|time| Timespec::new().sec(time.as_secs()).nsec(time.subsec_nanos()));
        let args = SubmitArgs::new();
        let args = match &time {
            Some(time) => args.timespec(time),
            None => args,
        };
        match self.ring.submitter().submit_with_args(1, &args) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::ETIME | libc::EINTR)) => Ok(()),
            other => other.map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_a_person_can_do() {
        for (code, said) in [
            (libc::ENOSYS, "no io_uring"),
            (libc::EPERM, "kernel.io_uring_disabled"),
            (libc::ENOMEM, "gives no io_uring"),
        ] {
            assert!(refusal(&io::Error::from_raw_os_error(code)).contains(said), "{code}");
        }
    }
}
