//! Sessions against a driver that is played within the test.

mod fake;
mod hostile;
mod usual;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use crate::input::Place;
use crate::{Codec, Config, Encoded, Format, Input, NvencError, PictureRequest, Rate, Session, Step};
use fake::Driver;

const PATIENCE: Duration = Duration::from_secs(5);

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// Counts each thread's allocations.
struct Counting;

// SAFETY: the system's, with a number beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends has no counter any more.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn config() -> Config {
    Config::new(Codec::H264, 640, 480, Rate::per_second(60), 5_000)
}

fn input(at: u64) -> Input {
    Input::at(Place { pointer: 0x1000 * (at + 1), pitch: 640, format: Format::Nv12, width: 640, height: 480 })
}

fn open(driver: &Driver, config: Config) -> Result<Session, NvencError> {
    Session::open_on(&driver.library(), driver.ground(), config)
}

fn request(number: u64) -> PictureRequest {
    PictureRequest { number, ..PictureRequest::default() }
}

/// Encodes one picture to its end; its slices go home at once.
fn encode(session: &mut Session, number: u64, idr: bool) -> Result<(Encoded, Vec<usize>), NvencError> {
    let mut picture = session.encode(&input(number % 3), &PictureRequest { number, idr, refresh: 0 })?;
    let mut slices = Vec::new();
    loop {
        match picture.next(PATIENCE)? {
            Step::Slice { slice, .. } => {
                assert!(slice.as_ref().iter().all(|byte| *byte == number as u8), "another picture's bytes");
                slices.push(slice.as_ref().len());
            }
            Step::Done(encoded) => return Ok((encoded, slices)),
            Step::Nothing | Step::Lent => panic!("nothing in {PATIENCE:?}"),
        }
    }
}
