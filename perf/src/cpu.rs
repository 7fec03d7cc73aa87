//! CPU time used: of this process, and of the calling thread.
//!
//! The kernel's own clocks, in nanoseconds; nothing is sampled.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// CPU time that all threads of this process have used (`CLOCK_PROCESS_CPUTIME_ID`).
pub fn process_cpu() -> Duration {
    duration(clock_gettime(ClockId::ProcessCPUTime))
}

/// CPU time that the calling thread has used (`CLOCK_THREAD_CPUTIME_ID`).
pub fn thread_cpu() -> Duration {
    duration(clock_gettime(ClockId::ThreadCPUTime))
}

fn duration(time: Timespec) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanoseconds)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn burn(wall: Duration) {
        let start = Instant::now();
        while start.elapsed() < wall {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn work_shows_and_waiting_does_not() {
        let (process, thread) = (process_cpu(), thread_cpu());
        burn(Duration::from_millis(30));
        let used = thread_cpu() - thread;
        assert!(used > Duration::from_millis(2), "30 ms of spinning used {used:?}");
        assert!(process_cpu() - process >= used, "the process has what its threads used");

        let before = thread_cpu();
        let (_hold, wait) = std::sync::mpsc::channel::<()>();
        let _ = wait.recv_timeout(Duration::from_millis(30));
        let waited = thread_cpu() - before;
        assert!(waited < Duration::from_millis(15), "30 ms of waiting used {waited:?}");
    }
}
