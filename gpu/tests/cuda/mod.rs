//! What the tests of the hand-over share: CUDA's stand-in on lavapipe's own UUID, and pictures that come back through it.

#![allow(dead_code, reason = "each program of tests takes what it needs")]

use punktfunk_cuda::{Context, Cuda, DeviceBuffer, Extent, PinnedMemory, Priority, Rows, Stream};
use punktfunk_gpu::format::{Colour, Fourcc, Order, OutputFormat};
use punktfunk_gpu::reference::{self, Source};
use punktfunk_gpu::{CudaOutputs, Device, Importer, Input, Memory, OutputSpec};

use crate::lavapipe;

pub const SPEC: OutputSpec =
    OutputSpec { width: 64, height: 48, format: OutputFormat::Nv12, colour: Colour::BT709, buffers: 3 };

/// A context and a stream of the stand-in, which says that it is `device`.
///
/// # Panics
/// Where the stand-in is not loaded.
pub fn begin(device: &Device) -> (Context, Stream) {
    // SAFETY: the stand-in reads it below, and no other thread of these tests is in it.
    unsafe { std::env::set_var("PUNKTFUNK_STANDIN_UUID", device.uuid().to_string()) };
    let device = Cuda::load().and_then(|cuda| cuda.devices()).expect("the stand-in is loaded").remove(0);
    let context = device.context().expect("the stand-in has one");
    let stream = Stream::new(&context, Priority::Highest).expect("the stand-in has one");
    (context, stream)
}

/// A picture's pixels, another one for each number.
pub fn picture(number: u64) -> Vec<u32> {
    lavapipe::words(Order::Bgr8, SPEC.width, SPEC.height, number + 1)
}

/// Sends pictures through the stage and CUDA, each into pinned memory of its own, with nobody waiting in between; what
/// came, by number.
///
/// # Panics
/// Where anything fails.
pub fn stream_through(
    importer: &mut Importer,
    outputs: &CudaOutputs,
    (context, stream): (&Context, &Stream),
    count: u64,
) -> Vec<PinnedMemory> {
    let length = importer.layout().bytes() as usize;
    let rows = Rows { offset: 0, pitch: length };
    let extent = Extent { width_bytes: length, rows: 1 };
    let under_way: Vec<_> = (0..count)
        .map(|number| {
            let bytes = lavapipe::bytes(&picture(number), SPEC.width, SPEC.width as usize * 4);
            let (width, height, stride) = (SPEC.width, SPEC.height, SPEC.width as usize * 4);
            let fourcc = Fourcc::XRGB8888;
            let input = Memory { fourcc, width, height, stride, bytes: &bytes, pages: None, overlay: None };
            let ticket = importer.convert(&Input::Memory(input)).expect("it is converted");
            outputs.wait(importer, ticket, stream).expect("the stream waits");
            let memory = outputs.memory(ticket.output).expect("each output is there");
            assert!(memory.bytes() >= length);
            let pinned = PinnedMemory::new(context, length).expect("there is memory");
            let copy = stream.begin_read(&**memory, rows, pinned, rows, extent).expect("it is copied");
            outputs.release(importer, ticket, stream).expect("it is released");
            copy
        })
        .collect();
    under_way.into_iter().map(|copy| copy.wait().expect("it is done")).collect()
}

/// Whether what came is what was sent.
///
/// # Panics
/// Where a sample is not.
pub fn check(came: &[PinnedMemory]) {
    let place = SPEC.place(SPEC.width, SPEC.height).expect("it fits");
    for (number, came) in came.iter().enumerate() {
        let (width, height) = (SPEC.width, SPEC.height);
        let words = picture(number as u64);
        let source = Source { order: Order::Bgr8, width, height, words: &words, overlay: None };
        let expected = reference::convert(&source, &SPEC, place);
        assert!(reference::difference(&SPEC, came, &expected) <= 1, "picture {number}");
    }
}
