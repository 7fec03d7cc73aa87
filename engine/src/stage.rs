//! The threads that drive stages: named, placed, woken at most once a batch, joined at the end.
//!
//! Promises: a [`Waker`] never loses a wake (a token is kept, as `std::thread::park` does) and costs no
//! system call while its stage is awake; a stage's thread reports its [`StageSetup`] before it starts.
//! Refuses: a detached thread; [`Running`] joins what was started, whatever its owner's end is.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use crate::machine::{self, Idle, Placement, StageSetup};

/// How often threads that end are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// Wakes the one thread that attached itself to it.
#[derive(Debug, Clone, Default)]
pub struct Waker(Arc<OnceLock<Thread>>);

impl Waker {
    /// A waker that nobody sleeps on yet; a wake before [`Waker::attach`] is not needed, because the
    /// sleeper looks at its rings after it attached, and either sees what was pushed or is seen by the wake: the two
    /// fences order each side's write before its look (`tests/interleavings.rs`).
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the calling thread the one that is woken. Later calls change nothing.
    pub fn attach(&self) {
        self.0.get_or_init(thread::current);
        fence(Ordering::SeqCst);
    }

    /// Wakes the attached thread, or makes its next sleep return at once.
    pub fn wake(&self) {
        let mut sleeper = self.0.get();
        if sleeper.is_none() {
            fence(Ordering::SeqCst);
            sleeper = self.0.get();
        }
        if let Some(sleeper) = sleeper {
            sleeper.unpark();
        }
    }
}

/// Waits until `ready` holds or `deadline` has passed, as `idle` allows; the calling thread must be
/// attached to the waker of whoever makes `ready` true. Returns whether `ready` held.
pub(crate) fn wait_until(idle: Idle, deadline: Instant, mut ready: impl FnMut() -> bool) -> bool {
    if let Idle::SpinThenBlock(spin) = idle {
        let spin_end = deadline.min(Instant::now() + spin);
        loop {
            if ready() {
                return true;
            }
            if Instant::now() >= spin_end {
                break;
            }
            std::hint::spin_loop();
        }
    }
    loop {
        if ready() {
            return true;
        }
        let now = Instant::now();
        if now >= deadline {
            return false;
        }
        thread::park_timeout(deadline - now);
    }
}

/// Tells every stage of a pipeline to come to its end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(crate) fn request(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(crate) fn is_requested(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A pipeline's threads: stopped, woken and joined at the latest when this is dropped, so that none outlives it, also
/// where the second could not be started.
pub(crate) struct Running<A, B, W> {
    first: Option<JoinHandle<A>>,
    second: Option<JoinHandle<B>>,
    stop: Stop,
    waker: W,
    wake: fn(&W),
}

impl<A, B, W> Running<A, B, W> {
    /// Takes over the first thread, if there is one. `wake` ends the longest wait of a stage that looks for `stop`
    /// after it.
    pub(crate) fn new(first: Option<JoinHandle<A>>, stop: Stop, waker: W, wake: fn(&W)) -> Self {
        Self { first, second: None, stop, waker, wake }
    }

    /// Takes over the second.
    pub(crate) fn add(&mut self, second: JoinHandle<B>) {
        self.second = Some(second);
    }

    /// Whether a thread has come to its end.
    pub(crate) fn is_ended(&self) -> bool {
        self.first.as_ref().is_some_and(JoinHandle::is_finished)
            || self.second.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Tells both to end and waits that long for it; whether they have. Those that have not are joined all the same, at
    /// the latest when this is dropped.
    pub(crate) fn wind_down(&self, patience: Duration) -> bool {
        self.stop.request();
        (self.wake)(&self.waker);
        let deadline = Instant::now() + patience;
        while !self.is_over() {
            if Instant::now() >= deadline {
                return false;
            }
            thread::park_timeout(LOOK_INTERVAL);
        }
        true
    }

    fn is_over(&self) -> bool {
        self.first.as_ref().is_none_or(JoinHandle::is_finished)
            && self.second.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends both and says what they returned; `None` for one that panicked, or that there was not.
    pub(crate) fn stop(mut self) -> (Option<A>, Option<B>) {
        self.join()
    }

    fn join(&mut self) -> (Option<A>, Option<B>) {
        self.stop.request();
        (self.wake)(&self.waker);
        let first = self.first.take().and_then(|thread| thread.join().ok());
        let second = self.second.take().and_then(|thread| thread.join().ok());
        (first, second)
    }
}

impl<A, B, W> Drop for Running<A, B, W> {
    fn drop(&mut self) {
        self.join();
    }
}

/// Hands what waits in `ring` to `handle`, in order. What comes meanwhile is left for the next call, so that whoever
/// fills the ring cannot hold the caller.
pub(crate) fn drain<T>(ring: &mut rtrb::Consumer<T>, mut handle: impl FnMut(T)) {
    for _ in 0..ring.slots() {
        let Ok(item) = ring.pop() else { return };
        handle(item);
    }
}

/// Starts a stage's thread and waits until it has settled where it shall run.
///
/// # Errors
/// The kernel refuses a new thread.
pub(crate) fn start<T: Send + 'static>(
    name: &'static str,
    placement: Placement,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<(JoinHandle<T>, StageSetup)> {
    let (settled, setup) = mpsc::sync_channel(1);
    let handle = thread::Builder::new().name(format!("pf-{name}")).spawn(move || {
        let setup = machine::settle(name, placement);
        // The starter waits for exactly this message; it cannot be gone.
        let _ = settled.send(setup);
        run()
    })?;
    match setup.recv() {
        Ok(setup) => Ok((handle, setup)),
        Err(mpsc::RecvError) => {
            let _ = handle.join();
            Err(io::Error::other("the stage's thread died as it started"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_wake_before_the_sleep_is_kept() {
        let waker = Waker::new();
        waker.attach();
        waker.wake();
        let start = Instant::now();
        let mut looks = 0;
        let ready = wait_until(Idle::Block, start + Duration::from_secs(5), || {
            looks += 1;
            looks == 2
        });
        assert!(ready && start.elapsed() < Duration::from_secs(4), "the kept token ends the first sleep");
    }

    #[test]
    fn a_sleep_ends_at_its_deadline() {
        for idle in [Idle::Block, Idle::SpinThenBlock(Duration::from_millis(1))] {
            let deadline = Instant::now() + Duration::from_millis(5);
            assert!(!wait_until(idle, deadline, || false));
            assert!(Instant::now() >= deadline);
        }
    }

    /// A thread that runs until it is told to stop, and then says so.
    fn patient(stop: &Stop, waker: &Waker, ended: &Arc<AtomicBool>) -> JoinHandle<()> {
        let (stop, waker, ended) = (stop.clone(), waker.clone(), Arc::clone(ended));
        thread::spawn(move || {
            waker.attach();
            while !stop.is_requested() {
                thread::park_timeout(Duration::from_secs(5));
            }
            ended.store(true, Ordering::Release);
        })
    }

    #[test]
    fn what_was_started_is_joined_whatever_comes() {
        for with_second in [false, true] {
            let (stop, wakers) = (Stop::default(), [Waker::new(), Waker::new()]);
            let ended = [(); 2].map(|()| Arc::new(AtomicBool::new(!with_second)));
            ended[0].store(false, Ordering::Release);
            let first = patient(&stop, &wakers[0], &ended[0]);
            let second = with_second.then(|| patient(&stop, &wakers[1], &ended[1]));
            let wake: fn(&[Waker; 2]) = |wakers| wakers.iter().for_each(Waker::wake);
            let mut running = Running::new(Some(first), stop, wakers, wake);
            second.into_iter().for_each(|second| running.add(second));
            drop(running);
            assert!(ended.iter().all(|ended| ended.load(Ordering::Acquire)), "second: {with_second}");
        }
    }

    #[test]
    fn a_ring_that_is_filled_meanwhile_is_left_in_time() {
        let (mut producer, mut consumer) = rtrb::RingBuffer::new(4);
        (0..3).for_each(|item| producer.push(item).expect("there is room"));
        let mut seen = Vec::new();
        drain(&mut consumer, |item| {
            seen.push(item);
            if item < 1_000 {
                producer.push(item + 10).expect("one was taken");
            }
        });
        assert_eq!(seen, [0, 1, 2]);
        drain(&mut consumer, |item| seen.push(item));
        assert_eq!(seen, [0, 1, 2, 10, 11, 12]);
    }

    #[test]
    fn a_stage_reports_its_setup_and_returns_its_value() {
        let placement = Placement { core: None, realtime: false, idle: Idle::Block };
        let (handle, setup) = start("probe", placement, || 7).expect("a thread can be had");
        assert_eq!(setup.stage, "probe");
        assert_eq!(handle.join().expect("it only returns"), 7);
    }
}
