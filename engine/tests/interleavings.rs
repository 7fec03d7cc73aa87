//! What the engine's threads tell each other without a lock, under every interleaving and every stale read that the
//! memory model allows: loom plays them all.
//!
//! What is played is the engine's code, letter for letter: each piece is compiled here over loom's types, and its text
//! must stand in the file that it was taken from, so that neither can change alone.

use std::time::{Duration, Instant};

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use played::{Idle, Waker, wait_until};

/// Compiles `code`, and keeps its text.
macro_rules! letter_for_letter {
    ($text:ident: $($code:tt)*) => {
        $($code)*
        pub(crate) const $text: &str = stringify!($($code)*);
    };
}

/// The pieces, over loom's threads and atomics.
mod played {
    use std::time::{Duration, Instant};

    use super::loom_types::{OnceLock, Thread, fence, thread};
    use loom::sync::Arc;
    use loom::sync::atomic::Ordering;

    #[derive(Clone, Copy)]
    #[allow(dead_code, reason = "a blocking sleeper is the one that can miss a wake")]
    pub(crate) enum Idle {
        Block,
        SpinThenBlock(Duration),
    }

    #[derive(Clone)]
    pub(crate) struct Waker(Arc<OnceLock<Thread>>);

    impl Waker {
        pub(crate) fn new() -> Self {
            Self(Arc::new(OnceLock::new()))
        }
    }

    letter_for_letter! { ATTACH:
        impl Waker {
            pub fn attach(&self) {
                self.0.get_or_init(thread::current);
                fence(Ordering::SeqCst);
            }
        }
    }

    letter_for_letter! { WAKE:
        impl Waker {
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
    }

    letter_for_letter! { WAIT:
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
    }
}

/// The standard library's types as loom knows them.
mod loom_types {
    use loom::sync::atomic::{AtomicBool, Ordering};
    use std::sync::Mutex;

    pub(crate) use loom::sync::atomic::fence;
    pub(crate) use loom::thread::Thread;

    pub(crate) mod thread {
        pub(crate) use loom::thread::current;

        /// No timeout ever ends a sleep here: a wake that is lost is a deadlock, which loom finds.
        pub(crate) fn park_timeout(_timeout: std::time::Duration) {
            loom::thread::park();
        }
    }

    /// The verb has the standard library's name, which is handed in: our own would not begin so.
    macro_rules! set_once {
        ($name:ident) => {
            pub(crate) fn $name(&self, make: impl FnOnce() -> T) {
                let mut value = self.value.lock().expect("nobody panics with it");
                if value.is_none() {
                    *value = Some(make());
                    self.is_set.store(true, Ordering::Release);
                }
            }
        };
    }

    /// What is promised of it and no more: who sees that it is set sees the value.
    pub(crate) struct OnceLock<T> {
        is_set: AtomicBool,
        value: Mutex<Option<T>>,
    }

    impl<T: Clone> OnceLock<T> {
        pub(crate) fn new() -> Self {
            Self { is_set: AtomicBool::new(false), value: Mutex::new(None) }
        }

        pub(crate) fn get(&self) -> Option<T> {
            let is_set = self.is_set.load(Ordering::Acquire);
            is_set.then(|| self.value.lock().expect("nobody panics with it").clone()).flatten()
        }

        set_once!(get_or_init);
    }
}

/// A thread attaches itself and sleeps until `ready` holds. Of its own, because loom takes a wake for the end of any
/// wait, a join's too.
fn sleep_until(waker: Waker, ready: impl FnMut() -> bool + 'static) {
    let sleeper = loom::thread::spawn(move || {
        waker.attach();
        let far_ahead = Instant::now() + Duration::from_secs(3_600);
        assert!(wait_until(Idle::Block, far_ahead, ready));
    });
    sleeper.join().expect("it only sleeps");
}

/// An item is pushed and its reader woken, before, while and after the reader attaches itself, looks and falls asleep.
/// `rtrb` publishes as this does: a store that releases, a load that acquires.
#[test]
fn no_wake_is_lost_even_the_first() {
    loom::model(|| {
        let (waker, tail) = (Waker::new(), Arc::new(AtomicU64::new(0)));
        let writer = {
            let (waker, tail) = (waker.clone(), Arc::clone(&tail));
            loom::thread::spawn(move || {
                tail.store(1, Ordering::Release);
                waker.wake();
            })
        };
        sleep_until(waker, move || tail.load(Ordering::Acquire) == 1);
        writer.join().expect("it only writes");
    });
}

/// Two that wake one: what both pushed is seen, though a wake may stand for two. Four threads have too many
/// interleavings for all of them: those of up to two preemptions.
#[test]
fn a_wake_that_stands_for_two_shows_both() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let waker = Waker::new();
        let tails = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
        let writers = tails.clone().map(|tail| {
            let waker = waker.clone();
            loom::thread::spawn(move || {
                tail.store(1, Ordering::Release);
                waker.wake();
            })
        });
        sleep_until(waker, move || tails.iter().all(|tail| tail.load(Ordering::Acquire) == 1));
        writers.into_iter().for_each(|writer| writer.join().expect("it only writes"));
    });
}

/// Two that ask for an IDR (the control thread for the client, the protect stage for what it cut), and the encode stage
/// that takes the wish: the newer wish is taken, once, at the latest with the last look.
#[test]
fn the_newest_wish_for_an_idr_is_taken() {
    loom::model(|| {
        let idr_after = Arc::new(AtomicU64::new(0));
        let askers = [5, 9].map(|after_au: u64| {
            let idr_after = Arc::clone(&idr_after);
            loom::thread::spawn(move || {
                idr_after.fetch_max(after_au + 1, Ordering::AcqRel);
            })
        });
        let early = idr_after.swap(0, Ordering::AcqRel);
        askers.into_iter().for_each(|asker| asker.join().expect("it only asks"));
        let late = idr_after.swap(0, Ordering::AcqRel);
        assert_eq!(early.max(late), 10, "{early} and {late}");
        assert_eq!(idr_after.load(Ordering::Acquire), 0);
    });
}

/// The key is used up and, on another thread's report, is not any more: whoever sees that it is not is woken for it.
#[test]
fn the_encoder_wakes_when_the_key_is_free_again() {
    loom::model(|| {
        let (waker, key_blocked) = (Waker::new(), Arc::new(AtomicU64::new(1)));
        let protect = {
            let (waker, key_blocked) = (waker.clone(), Arc::clone(&key_blocked));
            loom::thread::spawn(move || {
                if key_blocked.swap(0, Ordering::AcqRel) == 1 {
                    waker.wake();
                }
            })
        };
        sleep_until(waker, move || key_blocked.load(Ordering::Acquire) == 0);
        protect.join().expect("it only reports");
    });
}

/// Code without its comments, spaces and line ends, and without what a formatter adds.
fn bare(code: &str) -> String {
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.flat_map(str::chars).filter(|character| !character.is_whitespace()).collect()
}

#[test]
fn what_is_played_is_what_runs() {
    let stage = bare(include_str!("../src/stage.rs"));
    for piece in [played::ATTACH, played::WAKE, played::WAIT] {
        let piece = bare(piece);
        let inner = piece.strip_prefix("implWaker{").and_then(|piece| piece.strip_suffix('}'));
        let piece = inner.unwrap_or(&piece);
        assert!(stage.contains(piece), "not in engine/src/stage.rs as it is played here: {piece}");
    }
    let asks = ["wishes.idr_after.fetch_max(", "wishes.idr_after.swap(0,Ordering::AcqRel)"];
    let sources = [
        bare(include_str!("../src/host.rs")),
        bare(include_str!("../src/protect.rs")),
        bare(include_str!("../src/encode.rs")),
    ];
    for (source, ask) in sources.iter().zip([asks[0], asks[0], asks[1]]) {
        assert!(source.contains(ask), "an IDR is wished for in another way: {ask}");
    }
}
