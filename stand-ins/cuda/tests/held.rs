//! Streams that are held for longer than anybody waits, and questions about them that fail: nothing goes, and nothing is given
//! back, that the device may still touch.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::{begin, loaded};
use punktfunk_cuda::limits::{SETTLE_MAX, WAIT_MAX};
use punktfunk_cuda::{
    Context, CudaError, DeviceMemory, Event, Extent, PinnedMemory, Rows, Stream, TimelineSemaphore,
};
use stand_in_common::{Loaded, Timeline};

const ROWS: Rows = Rows { offset: 0, pitch: 16 };
const EXTENT: Extent = Extent { width_bytes: 16, rows: 4 };
/// Long enough for the stand-in to do what is queued.
const A_WHILE: Duration = Duration::from_millis(50);

/// A stream that does nothing before its gate is opened.
struct Held {
    stand_in: Loaded,
    context: Context,
    stream: Stream,
    semaphore: TimelineSemaphore,
    gate: Arc<Timeline>,
}

impl Held {
    fn new() -> Self {
        let stand_in = loaded();
        let (context, stream) = begin().unwrap();
        let fd = Timeline::create().unwrap();
        let gate = Arc::new(Timeline::map(&fd).unwrap());
        let semaphore = TimelineSemaphore::new(&context, fd).unwrap();
        stream.wait_until(&semaphore, 1).unwrap();
        Self { stand_in, context, stream, semaphore, gate }
    }

    /// Opens the gate up to `value`, a while from now.
    fn open_soon(&self, value: u64) -> thread::JoinHandle<()> {
        let gate = Arc::clone(&self.gate);
        thread::spawn(move || {
            thread::sleep(A_WHILE);
            gate.signal(value).unwrap();
        })
    }
}

#[test]
fn memory_that_is_borrowed_is_never_the_devices() {
    let Held { stand_in, context, stream, semaphore, gate } = Held::new();
    let memory = DeviceMemory::new(&context, 64).unwrap();
    stream.fill(&memory, ROWS, EXTENT, 7).unwrap();
    let begun = Instant::now();
    let reader = thread::spawn(move || {
        let mut to = [1; 64];
        let read = stream.read(&memory, ROWS, &mut to, 16, EXTENT);
        (stream, memory, to, read)
    });
    while !reader.is_finished() {
        assert!(begun.elapsed() < 3 * WAIT_MAX, "whoever reads is held for ever");
        thread::sleep(A_WHILE);
    }
    let (stream, memory, mut to, read) = reader.join().unwrap();
    assert_eq!(read, Err(CudaError::Stuck { waited: WAIT_MAX }));
    assert!(begun.elapsed() >= WAIT_MAX);
    // What is borrowed next is as safe, and nobody waits twice for the same stream's end.
    assert!(matches!(stream.write(&[9; 64], 16, &memory, ROWS, EXTENT), Err(CudaError::Stuck { .. })));
    assert_eq!(context.left_behind(), 2, "the pinned memory of either");
    gate.signal(1).unwrap();
    stream.wait().unwrap();
    assert_eq!(to, [1; 64], "the copy went elsewhere");
    stream.read(&memory, ROWS, &mut to, 16, EXTENT).unwrap();
    assert_eq!(to, [9; 64]);
    drop((memory, semaphore));
    assert_eq!((context.left_behind(), stand_in.breaches()), (2, 0));
}

#[test]
fn a_question_that_fails_is_no_answer() {
    for failing in ["cuStreamQuery=2", "cuCtxPushCurrent_v2:2x40=2", "cuLaunchHostFunc=2"] {
        let held = Held::new();
        let memory = DeviceMemory::new(&held.context, 64).unwrap();
        held.stream.fill(&memory, ROWS, EXTENT, 7).unwrap();
        held.stand_in.fail(failing);
        let opener = held.open_soon(1);
        drop(memory);
        opener.join().unwrap();
        held.stand_in.fail("");
        held.stream.wait().unwrap();
        assert_eq!(held.stand_in.breaches(), 0, "{failing}: it went while it was needed");
        assert_eq!(held.context.left_behind(), 0, "{failing}: its end was come to");
    }
}

#[test]
fn what_is_left_behind_keeps_its_context_and_nobody_waits_twice() {
    let Held { stand_in, context, stream, semaphore, gate } = Held::new();
    let memory = DeviceMemory::new(&context, 64).unwrap();
    let pinned = PinnedMemory::new(&context, 64).unwrap();
    stream.fill(&memory, ROWS, EXTENT, 7).unwrap();
    let under_way = stream.begin_read(&memory, ROWS, pinned, ROWS, EXTENT).unwrap();
    let begun = Instant::now();
    drop((under_way, memory, semaphore, stream));
    assert!(begun.elapsed() < 2 * SETTLE_MAX, "{:?}", begun.elapsed());
    assert_eq!(context.left_behind(), 4);
    drop(context);
    assert_eq!(stand_in.breaches(), 0, "a context that a stream works in stays");
    gate.signal(1).unwrap();
    thread::sleep(A_WHILE);
    assert_eq!(stand_in.breaches(), 0, "and so does all that the stream works with");
}

#[test]
fn a_stream_that_moves_again_is_waited_for_again() {
    let held = Held::new();
    drop(DeviceMemory::new(&held.context, 64).unwrap());
    assert_eq!(held.context.left_behind(), 1);
    held.gate.signal(1).unwrap();
    held.stream.wait().unwrap();
    held.stream.wait_until(&held.semaphore, 2).unwrap();
    let opener = held.open_soon(2);
    drop(DeviceMemory::new(&held.context, 64).unwrap());
    opener.join().unwrap();
    assert_eq!(held.context.left_behind(), 1);
}

#[test]
fn whoever_waits_for_an_event_or_a_stream_is_told_that_nothing_moves() {
    let Held { context, stream, semaphore, gate, .. } = Held::new();
    let event = Event::new(&context).unwrap();
    event.record(&stream).unwrap();
    let (by_event, by_stream) = thread::scope(|scope| {
        let by_event = scope.spawn(|| event.wait());
        (stream.wait(), by_event.join().unwrap())
    });
    for stuck in [by_event, by_stream] {
        let words = stuck.unwrap_err().to_string();
        assert!(words.contains("not done after 4 s") && words.contains("nobody signals"), "{words}");
    }
    gate.signal(1).unwrap();
    event.wait().unwrap();
    stream.wait().unwrap();
    drop(semaphore);
}
