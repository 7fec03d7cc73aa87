//! What there is to compute with, and what the kernel lets a program do for its punctuality.

use std::io;
use std::thread;

use rustix::process::{Resource, getrlimit};

use crate::{Verdict, View, sys};

/// The host's stages and one core for everything else.
const CORES_WANTED: usize = 3;

/// What a host may map: its arenas, pools and libraries, several sessions' worth.
const LOCKED_BYTES_WANTED: u64 = 1 << 30;

/// CAP_IPC_LOCK's bit (linux/capability.h).
const CAP_IPC_LOCK: u32 = 14;

/// Cores that this program may use, and their AES.
pub(crate) fn cores(view: &View) -> Verdict {
    let Ok(count) = thread::available_parallelism() else {
        return Verdict::degraded("the kernel does not say how many cores there are", "one is believed in");
    };
    judge_cores(count.get(), has_aes(&view.read("/proc/cpuinfo").unwrap_or_default()))
}

fn judge_cores(count: usize, has_aes: bool) -> Verdict {
    let found = format!(
        "{count} for this program, {}",
        if has_aes { "with AES" } else { "without AES instructions" }
    );
    let mut costs = Vec::new();
    if count < CORES_WANTED {
        costs.push(
            "with fewer than 3, encoding and sending share a thread, and no stage has a core to itself",
        );
    }
    if !has_aes {
        costs.push("pictures are sealed by ChaCha20-Poly1305, which takes more CPU time");
    }
    if costs.is_empty() { Verdict::ok(found) } else { Verdict::degraded(found, costs.join("; ")) }
}

/// As the kernel lists it on x86 (`flags`) and on ARM (`Features`).
fn has_aes(cpuinfo: &str) -> bool {
    let lists = cpuinfo.lines().filter(|line| line.starts_with("flags") || line.starts_with("Features"));
    lists.flat_map(str::split_whitespace).any(|flag| flag == "aes")
}

fn is_off(view: &View, variable: &str) -> bool {
    matches!(view.variable(variable).map(str::trim), Some("off" | "0" | "false"))
}

/// `SCHED_FIFO`, tried on a thread that is made for it.
pub(crate) fn realtime(view: &View) -> Verdict {
    if is_off(view, "PUNKTFUNK_REALTIME") {
        return Verdict::ok("not wished for (PUNKTFUNK_REALTIME=off)");
    }
    // A machine that has no more threads is what this may be asked about.
    let tried = thread::Builder::new().name("realtime".into()).spawn(sys::become_realtime);
    judge_realtime(tried.map(thread::JoinHandle::join))
}

fn judge_realtime(tried: io::Result<thread::Result<io::Result<()>>>) -> Verdict {
    let untried = |why: &str| {
        Verdict::degraded(
            format!("SCHED_FIFO could not be tried: {why}"),
            "end some programs, or raise the limit on threads: ulimit -u",
        )
    };
    let tried = match tried {
        Ok(tried) => tried,
        Err(error) => return untried(&error.to_string()),
    };
    match tried {
        Ok(Ok(())) => Verdict::ok("SCHED_FIFO is given"),
        Ok(Err(error)) => Verdict::degraded(
            format!("SCHED_FIFO is refused: {error}"),
            "on a busy machine sending waits for other programs, some milliseconds at worst: LimitRTPRIO=10 in the \
             system's unit, or \"@users - rtprio 10\" in /etc/security/limits.d/punktfunk.conf, then log in anew",
        ),
        Err(_) => untried("its thread failed"),
    }
}

/// The limit on locked memory, which capability 14 lifts.
pub(crate) fn locked_memory(view: &View) -> Verdict {
    if is_off(view, "PUNKTFUNK_MLOCK") {
        return Verdict::ok("not wished for (PUNKTFUNK_MLOCK=off)");
    }
    let status = view.read("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0);
    judge_locked(getrlimit(Resource::Memlock).current, effective & (1 << CAP_IPC_LOCK) != 0)
}

fn judge_locked(limit: Option<u64>, is_lifted: bool) -> Verdict {
    match limit {
        _ if is_lifted => Verdict::ok("as much as wished (CAP_IPC_LOCK)"),
        None => Verdict::ok("as much as wished"),
        Some(bytes) if bytes >= LOCKED_BYTES_WANTED => Verdict::ok(format!("{} MiB", bytes >> 20)),
        Some(bytes) => Verdict::degraded(
            format!("{} KiB at most may be locked", bytes >> 10),
            "what is swapped out holds a picture up when it is needed: LimitMEMLOCK=infinity in the unit, or \"@users - \
             memlock unlimited\" in /etc/security/limits.d/punktfunk.conf, then log in anew",
        ),
    }
}

#[cfg(test)]
mod tests {
    use punktfunk_manage::model::CheckState;

    use super::*;

    #[test]
    fn few_cores_and_no_aes_are_said_to_cost_something() {
        assert_eq!(judge_cores(8, true), Verdict::ok("8 for this program, with AES"));
        assert!(judge_cores(2, true).remedy.contains("share a thread"));
        assert!(judge_cores(8, false).remedy.contains("ChaCha20"));
        assert!(has_aes("processor: 0\nflags\t\t: fpu aes avx\n") && has_aes("Features\t: fp aes\n"));
        assert!(!has_aes("model name: aes\nflags\t: fpu aesx\n"));
    }

    #[test]
    fn a_machine_without_a_thread_to_spare_is_told_so() {
        assert_eq!(judge_realtime(Ok(Ok(Ok(())))), Verdict::ok("SCHED_FIFO is given"));
        let none = judge_realtime(Err(io::ErrorKind::WouldBlock.into()));
        assert_eq!(none.state, CheckState::Degraded);
        assert!(none.remedy.contains("ulimit -u"), "{none:?}");
        let refused = judge_realtime(Ok(Ok(Err(io::ErrorKind::PermissionDenied.into()))));
        assert!(refused.remedy.contains("LimitRTPRIO"), "{refused:?}");
    }

    #[test]
    fn a_small_limit_on_locked_memory_costs_unless_it_is_lifted() {
        assert_eq!(judge_locked(Some(8 << 20), false).state, CheckState::Degraded);
        assert_eq!(judge_locked(Some(8 << 20), true).state, CheckState::Ok);
        assert_eq!(judge_locked(Some(2 << 30), false).state, CheckState::Ok);
        assert_eq!(judge_locked(None, false).state, CheckState::Ok);
    }
}
