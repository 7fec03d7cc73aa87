//! What this machine lets a stage have: a core of its own, real-time priority, locked memory.
//!
//! Promises: each wish is probed by trying it, used when it is allowed, and reported once as a
//! [`StageSetup`]; a refusal never stops a session; a pinned core belongs to one stage of one pipeline
//! in the whole network namespace (two containers do not see each other's claims). Refuses: to pin or to
//! spin where there are fewer cores than stages + 1, because a spinner on a shared core costs milliseconds
//! at p99.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use punktfunk_fec::{KERNEL_VARIABLE, Kernel, KernelError};

/// Priority of a `SCHED_FIFO` stage: above ordinary threads, below the kernel's own at 50.
const FIFO_PRIORITY: i32 = 10;

/// How long a stage that owns its core spins before it blocks, unless the operator says otherwise: longer than a
/// wake (18–36 µs), shorter than a picture.
const SPIN_DEFAULT: Duration = Duration::from_micros(200);

/// The longest spin that can be asked for: a picture's interval at 10 Hz. Whoever wants more wants no other thing to
/// run on that core at all.
const SPIN_US_MAX: u64 = 100_000;

/// What the operator wishes for the stages of one pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wishes {
    /// Pin a stage to a core when there are enough of them.
    pub pin: bool,
    /// Ask for `SCHED_FIFO` for the stages that wait for the network.
    pub realtime: bool,
    /// Ask for the process's memory to be locked.
    pub lock_memory: bool,
    /// How long a stage that owns its core spins before it blocks; zero blocks at once.
    pub spin: Duration,
    /// Whether stages that could share a thread do.
    pub merge: Merge,
    /// The instructions that FEC blocks are coded with.
    pub fec_kernel: Kernel,
}

/// Whether a pipeline's stages share one thread where they can.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Merge {
    /// Where there are fewer cores than stages + 1: a wake of another thread costs more there than what could be done
    /// meanwhile.
    #[default]
    ByCores,
    /// Always.
    Together,
    /// Never.
    Apart,
}

impl Default for Wishes {
    fn default() -> Self {
        Self {
            pin: true,
            realtime: true,
            lock_memory: true,
            spin: SPIN_DEFAULT,
            merge: Merge::ByCores,
            fec_kernel: Kernel::best(),
        }
    }
}

/// A wish that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WishError {
    /// Neither on nor off.
    #[error("{name} must be on or off, got {came:?}")]
    Switch {
        /// The variable.
        name: &'static str,
        /// What it says.
        came: String,
    },
    /// No way to place stages.
    #[error("{name} must be auto, together or apart, got {came:?}")]
    Stages {
        /// The variable.
        name: &'static str,
        /// What it says.
        came: String,
    },
    /// No kernel, or none that this CPU can run.
    #[error("{name}: {cause}")]
    Kernel {
        /// The variable.
        name: &'static str,
        /// What is wrong with it.
        cause: KernelError,
    },
    /// Not a number of microseconds that can be spun for.
    #[error("{name} must be 0 to {SPIN_US_MAX} microseconds, got {came:?}")]
    Spin {
        /// The variable.
        name: &'static str,
        /// What it says.
        came: String,
    },
}

impl Wishes {
    /// Reads `PUNKTFUNK_PIN`, `PUNKTFUNK_REALTIME` and `PUNKTFUNK_MLOCK`: `on` or `1`, `off` or `0`, on where unset;
    /// `PUNKTFUNK_SPIN_US`, microseconds; `PUNKTFUNK_STAGES`: `auto`, `together` or `apart`; and
    /// `PUNKTFUNK_FEC_KERNEL`, a kernel's name.
    ///
    /// # Errors
    /// Another value.
    pub fn from_env() -> Result<Self, WishError> {
        Self::of(std::env::var_os)
    }

    /// The same of variables that `value_of` gives.
    ///
    /// # Errors
    /// Another value.
    pub fn of(value_of: impl Fn(&'static str) -> Option<OsString>) -> Result<Self, WishError> {
        let wished = |name| parse_wish(name, value_of(name).as_deref());
        let kernel = Kernel::asked(value_of(KERNEL_VARIABLE));
        Ok(Self {
            pin: wished("PUNKTFUNK_PIN")?,
            realtime: wished("PUNKTFUNK_REALTIME")?,
            lock_memory: wished("PUNKTFUNK_MLOCK")?,
            spin: parse_spin("PUNKTFUNK_SPIN_US", value_of("PUNKTFUNK_SPIN_US").as_deref())?,
            merge: parse_merge("PUNKTFUNK_STAGES", value_of("PUNKTFUNK_STAGES").as_deref())?,
            fec_kernel: kernel
                .map_err(|cause| WishError::Kernel { name: KERNEL_VARIABLE, cause })?
                .unwrap_or_else(Kernel::best),
        })
    }
}

fn parse_wish(name: &'static str, value: Option<&OsStr>) -> Result<bool, WishError> {
    match value.map(OsStr::to_string_lossy).as_deref() {
        None | Some("on" | "1") => Ok(true),
        Some("off" | "0") => Ok(false),
        Some(other) => Err(WishError::Switch { name, came: other.to_owned() }),
    }
}

fn parse_merge(name: &'static str, value: Option<&OsStr>) -> Result<Merge, WishError> {
    match value.map(OsStr::to_string_lossy).as_deref() {
        None | Some("auto") => Ok(Merge::ByCores),
        Some("together") => Ok(Merge::Together),
        Some("apart") => Ok(Merge::Apart),
        Some(other) => Err(WishError::Stages { name, came: other.to_owned() }),
    }
}

fn parse_spin(name: &'static str, value: Option<&OsStr>) -> Result<Duration, WishError> {
    let Some(value) = value.map(OsStr::to_string_lossy) else { return Ok(SPIN_DEFAULT) };
    match value.parse::<u64>() {
        Ok(micros) if micros <= SPIN_US_MAX => Ok(Duration::from_micros(micros)),
        Ok(_) | Err(_) => Err(WishError::Spin { name, came: value.into_owned() }),
    }
}

/// The machine's cores as this process may use them.
#[derive(Debug, Clone)]
pub struct Machine {
    cores: Vec<usize>,
    wishes: Wishes,
    /// Stages spin on cores that they do not own, too.
    spins_shared: bool,
}

/// Where one stage shall run and how it may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// The core to pin to; none where cores are scarce.
    pub core: Option<usize>,
    /// Whether `SCHED_FIFO` shall be tried.
    pub realtime: bool,
    /// How the stage waits.
    pub idle: Idle,
}

/// The cores of one pipeline's threads, theirs until this is dropped.
#[derive(Debug)]
pub struct CoreClaim {
    _claims: Vec<UnixDatagram>,
}

/// How a stage waits when there is nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// Block at once: the core is shared.
    Block,
    /// Spin this long on a core that the stage owns, then block.
    SpinThenBlock(Duration),
}

/// What one stage got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageSetup {
    /// The stage's thread name.
    pub stage: &'static str,
    /// The core it is pinned to, if any.
    pub core: Option<usize>,
    /// Whether it runs under `SCHED_FIFO`.
    pub realtime: bool,
    /// Why a wish was not met; empty when all were.
    pub refusals: String,
}

impl fmt::Display for StageSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.core {
            Some(core) => write!(f, "{}: core {core}", self.stage)?,
            None => write!(f, "{}: not pinned", self.stage)?,
        }
        f.write_str(if self.realtime { ", SCHED_FIFO" } else { ", ordinary priority" })?;
        if !self.refusals.is_empty() {
            write!(f, " ({})", self.refusals)?;
        }
        Ok(())
    }
}

impl Machine {
    /// Asks the kernel which cores this process may use.
    pub fn probe(wishes: Wishes) -> Self {
        Self { cores: allowed_cores(), wishes, spins_shared: false }
    }

    /// For measurements only: stages that get no core of their own spin all the same. On a machine that runs anything
    /// else this costs milliseconds at p99, which is what such a measurement shows.
    #[must_use]
    pub fn spinning_on_shared_cores(self) -> Self {
        Self { spins_shared: true, ..self }
    }

    /// How many cores this process may use.
    pub fn core_count(&self) -> usize {
        self.cores.len()
    }

    /// The instructions that FEC blocks are coded with.
    pub fn fec_kernel(&self) -> Kernel {
        self.wishes.fec_kernel
    }

    /// Whether the stages of a pipeline share a thread, where that is possible, instead of having one each.
    pub fn merges(&self, stages: usize) -> bool {
        match self.wishes.merge {
            Merge::ByCores => self.cores.len() < stages + 1,
            Merge::Together => true,
            Merge::Apart => false,
        }
    }

    /// Claims a core for each thread of a pipeline; those that `waits_for_network` get real-time priority where it is
    /// allowed. Where there are fewer cores than threads + 1, or other pipelines hold them, no thread is pinned and
    /// none spins. The first core is nobody's. Returns where each shall run, in the order asked for.
    pub fn claim<const N: usize>(&self, waits_for_network: [bool; N]) -> ([Placement; N], CoreClaim) {
        let mut claims: Vec<(usize, UnixDatagram)> = Vec::new();
        if self.wishes.pin && self.cores.len() > N {
            let free = self.cores[1..].iter().rev();
            claims.extend(free.filter_map(|&core| claim_core(core).map(|claim| (core, claim))).take(N));
        }
        if claims.len() < N {
            claims.clear();
        }
        let places = std::array::from_fn(|index| Placement {
            core: claims.get(index).map(|&(core, _)| core),
            realtime: self.wishes.realtime && waits_for_network[index],
            idle: match claims.get(index) {
                _ if self.wishes.spin.is_zero() => Idle::Block,
                Some(_) => Idle::SpinThenBlock(self.wishes.spin),
                None if self.spins_shared => Idle::SpinThenBlock(self.wishes.spin),
                None => Idle::Block,
            },
        });
        (places, CoreClaim { _claims: claims.into_iter().map(|(_, claim)| claim).collect() })
    }

    /// Locks what this process has mapped by now, a running pipeline's arenas and rings with it; pages are locked
    /// as they are touched. The answer is one line to say.
    pub fn lock_memory(&self) -> String {
        if !self.wishes.lock_memory {
            return "memory not locked (PUNKTFUNK_MLOCK=off)".into();
        }
        // SAFETY: mlockall takes flags only and touches no memory of ours.
        let rc = unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_ONFAULT) };
        if rc == 0 {
            "memory locked".into()
        } else {
            format!("memory not locked ({}; raise RLIMIT_MEMLOCK to have it)", io::Error::last_os_error())
        }
    }
}

/// Applies a placement to the calling thread and says what came of it.
pub(crate) fn settle(stage: &'static str, placement: Placement) -> StageSetup {
    end_sleeps_in_time();
    let mut setup = StageSetup { stage, core: None, realtime: false, refusals: String::new() };
    if let Some(core) = placement.core {
        match pin_current_thread(core) {
            Ok(()) => setup.core = Some(core),
            Err(error) => setup.refusals = format!("pinning refused: {error}"),
        }
    }
    if placement.realtime {
        match become_realtime() {
            Ok(()) => setup.realtime = true,
            Err(error) => {
                if !setup.refusals.is_empty() {
                    setup.refusals.push_str("; ");
                }
                setup.refusals.push_str(&format!("SCHED_FIFO refused: {error}"));
            }
        }
    }
    setup
}

/// Claims a core for this process against every other pipeline in its network namespace: an abstract socket name has
/// one holder, whoever that is, and the kernel frees it whatever ends its holder.
fn claim_core(core: usize) -> Option<UnixDatagram> {
    let name = SocketAddr::from_abstract_name(format!("punktfunk-core-{core}")).ok()?;
    UnixDatagram::bind_addr(&name).ok()
}

fn allowed_cores() -> Vec<usize> {
    // SAFETY: cpu_set_t is a plain bit array, for which all zeros is a valid value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: pid 0 is the calling thread; the size is that of the set handed in.
    let rc = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) };
    if rc != 0 {
        return vec![0];
    }
    // SAFETY: the index stays below CPU_SETSIZE, the set's length in bits.
    (0..libc::CPU_SETSIZE as usize).filter(|&core| unsafe { libc::CPU_ISSET(core, &set) }).collect()
}

fn pin_current_thread(core: usize) -> io::Result<()> {
    // SAFETY: as in `allowed_cores`; CPU_SET ignores an index beyond the set.
    let rc = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sleeps of the calling thread end when they are told to, and not up to 50 µs later. The kernel has refused this to
/// nobody since Linux 2.6.28; where it did, sleeps would only be less exact.
fn end_sleeps_in_time() {
    // SAFETY: prctl takes numbers here, and touches no memory of ours.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
}

fn become_realtime() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: FIFO_PRIORITY };
    // SAFETY: thread 0 is the caller; the parameter block lives until the call returns.
    let rc = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cores of numbers that no machine has, so that tests claim apart from pipelines and each other.
    fn unreal(first: usize, cores: usize) -> Machine {
        let wishes = Wishes::default();
        Machine { cores: (first..first + cores).collect(), wishes, spins_shared: false }
    }

    #[test]
    fn too_few_cores_neither_pin_nor_spin() {
        for cores in 1..=4 {
            let (places, _) = unreal(10_000, cores).claim([true; 4]);
            assert!(places.iter().all(|place| (place.core, place.idle) == (None, Idle::Block)), "{cores}");
        }
    }

    #[test]
    fn pipelines_never_share_a_core() {
        let machine = unreal(20_000, 5);
        let (first, first_cores) = machine.claim([true, false]);
        let (second, _second_cores) = machine.claim([true, false]);
        let (third, _third_cores) = machine.claim([true, false]);
        assert_eq!(first.map(|place| place.core), [Some(20_004), Some(20_003)]);
        assert_eq!(second.map(|place| place.core), [Some(20_002), Some(20_001)]);
        assert_eq!(third.map(|place| place.core), [None, None], "the first core is nobody's");
        assert_eq!(third[0].idle, Idle::Block);
        assert!(matches!(second[1].idle, Idle::SpinThenBlock(_)));
        drop(first_cores);
        assert_eq!(machine.claim([true, false]).0[0].core, Some(20_004), "a claim ends with its holder");
    }

    #[test]
    fn wishes_are_on_or_off() {
        assert_eq!(parse_wish("W", None), Ok(true));
        for (value, expected) in [("on", true), ("1", true), ("off", false), ("0", false)] {
            assert_eq!(parse_wish("W", Some(value.as_ref())), Ok(expected));
        }
        let error = parse_wish("W", Some("maybe".as_ref())).expect_err("neither").to_string();
        assert!(error.contains('W') && error.contains("maybe"), "{error}");
    }

    #[test]
    fn a_spin_is_bounded_and_can_be_forbidden() {
        let spin = |value: &str| parse_spin("S", Some(value.as_ref()));
        assert_eq!(parse_spin("S", None), Ok(SPIN_DEFAULT));
        assert_eq!(spin("0"), Ok(Duration::ZERO));
        assert_eq!(spin("100000"), Ok(Duration::from_millis(100)));
        for bad in ["", "-1", "100001", "1e3", "20 us", "99999999999999999999999"] {
            let error = spin(bad).expect_err(bad).to_string();
            assert!(error.contains("S must be 0 to 100000 microseconds"), "{error}");
        }
        let wishes = Wishes { spin: Duration::ZERO, ..Wishes::default() };
        let machine = Machine { wishes, ..unreal(30_000, 3) };
        let (places, _cores) = machine.claim([true, false]);
        assert!(places.iter().all(|place| place.core.is_some() && place.idle == Idle::Block));
        let (shared, _) = unreal(40_000, 1).spinning_on_shared_cores().claim([true]);
        assert_eq!(shared.map(|place| (place.core, place.idle)), [(None, Idle::SpinThenBlock(SPIN_DEFAULT))]);
    }

    #[test]
    fn stages_share_a_thread_where_cores_are_few_or_as_wished() {
        let by_cores = |cores| unreal(50_000, cores).merges(2);
        assert_eq!([1, 2, 3, 4].map(by_cores), [true, true, false, false]);
        let wished = |merge| Machine { wishes: Wishes { merge, ..Wishes::default() }, ..unreal(50_000, 2) };
        assert!(wished(Merge::Together).merges(1));
        assert!(!wished(Merge::Apart).merges(2));
        let parsed = |value: &str| parse_merge("M", Some(value.as_ref()));
        assert_eq!(parse_merge("M", None), Ok(Merge::ByCores));
        assert_eq!(
            [parsed("auto"), parsed("together"), parsed("apart")],
            [Ok(Merge::ByCores), Ok(Merge::Together), Ok(Merge::Apart)]
        );
        let error = parsed("some").expect_err("no such way").to_string();
        assert!(error.contains("M must be auto, together or apart") && error.contains("some"), "{error}");
    }

    #[test]
    fn this_process_may_use_a_core_and_pin_to_it() {
        let machine = Machine::probe(Wishes::default());
        assert!(machine.core_count() >= 1);
        let core = machine.cores[0];
        let setup = std::thread::spawn(move || {
            settle("test", Placement { core: Some(core), realtime: false, idle: Idle::Block })
        })
        .join()
        .expect("the thread only asks the kernel");
        assert_eq!(setup.core, Some(core), "{setup}");
    }

    #[test]
    fn a_refusal_is_said() {
        let placement = Placement { core: Some(1000), realtime: false, idle: Idle::Block };
        let setup =
            std::thread::spawn(move || settle("test", placement)).join().expect("only asks the kernel");
        assert_eq!(setup.core, None);
        assert!(setup.to_string().contains("pinning refused"), "{setup}");
    }
}
