//! What the engine's threads tell each other without a lock, under every interleaving and every stale read that the
//! memory model allows: loom plays them all.
//!
//! What is played is the engine's code, letter for letter: each piece is compiled here over loom's types, and its text
//! must stand in the file that it was taken from, so that neither can change alone.

use std::time::{Duration, Instant};

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use played::{Idle, Waker, wait_until};
use punktfunk_proto::Lost;
use told::LostCell;

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

/// What is missing, over loom's atomics.
mod told {
    use loom::sync::atomic::{AtomicU64, Ordering};
    use punktfunk_proto::Lost;

    #[derive(Debug, Default)]
    pub(crate) struct LostCell(AtomicU64);

    letter_for_letter! { TELL:
        impl LostCell {
            pub(crate) fn tell(&self, lost: Lost) {
                let joined = |word| Some(pack(unpack(word).map_or(lost, |told| told.and(lost))));
                let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, joined);
            }
        }
    }

    letter_for_letter! { TAKE:
        impl LostCell {
            pub(crate) fn take(&self) -> Option<Lost> {
                unpack(self.0.swap(0, Ordering::AcqRel))
            }
        }
    }

    letter_for_letter! { PACK:
        fn pack(lost: Lost) -> u64 {
            (u64::from(lost.to_au.min(u32::MAX - 1)) + 1) << 32 | u64::from(lost.from_au)
        }
    }

    letter_for_letter! { UNPACK:
        fn unpack(word: u64) -> Option<Lost> {
            let to_au = ((word >> 32) as u32).checked_sub(1)?;
            Some(Lost { from_au: word as u32, to_au })
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

/// Two that tell what is missing (the control thread for the client, the protect stage for what it cut), and the encode
/// stage that takes it: all that was told is taken, once, at the latest with the last look.
#[test]
fn all_that_is_missing_is_taken() {
    loom::model(|| {
        let cell = Arc::new(LostCell::default());
        let tellers = [(3, 5), (7, 9)].map(|(from_au, to_au)| {
            let cell = Arc::clone(&cell);
            loom::thread::spawn(move || cell.tell(Lost { from_au, to_au }))
        });
        let early = cell.take();
        tellers.into_iter().for_each(|teller| teller.join().expect("it only tells"));
        let late = cell.take();
        let all = early.into_iter().chain(late).reduce(Lost::and);
        assert_eq!(all, Some(Lost { from_au: 3, to_au: 9 }), "{early:?} and {late:?}");
        assert_eq!(cell.take(), None);
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
    let cell = bare(include_str!("../src/lost.rs"));
    for piece in [told::TELL, told::TAKE, told::PACK, told::UNPACK] {
        let piece = bare(piece);
        let inner = piece.strip_prefix("implLostCell{").and_then(|piece| piece.strip_suffix('}'));
        let piece = inner.unwrap_or(&piece);
        assert!(cell.contains(piece), "not in engine/src/lost.rs as it is played here: {piece}");
    }
}
