//! Vulkan to CUDA where timelines cannot be shared: this thread waits in their place, which is counted; and the way to the
//! CPU, which always waits.

mod cuda;
mod lavapipe;

use std::io::Read;

use punktfunk_gpu::format::{Fourcc, OutputFormat};
use punktfunk_gpu::reference;
use punktfunk_gpu::{Done, GpuError, Handover, Importer, Input, Memory, OutputSpec, Pages, Ticket};
use rustix::mm::{MapFlags, ProtFlags};
use stand_in_common::Loaded;

use cuda::SPEC;

fn memory(bytes: &[u8]) -> Input<'_> {
    let (width, height, stride) = (SPEC.width, SPEC.height, SPEC.width as usize * 4);
    let fourcc = Fourcc::XRGB8888;
    Input::Memory(Memory { fourcc, width, height, stride, bytes, pages: None, overlay: None })
}

fn pixels() -> Vec<u8> {
    lavapipe::bytes(&cuda::picture(0), SPEC.width, SPEC.width as usize * 4)
}

#[test]
fn without_shared_timelines_each_picture_is_waited_for_and_counted() {
    let device = lavapipe::device();
    let loaded = Loaded::new(&["stand-in-cuda"]);
    {
        assert!(!device.caps().shares_timelines);
        let (context, stream) = cuda::begin(&device);
        let mut importer = Importer::new(&device, SPEC, Handover::Exported).unwrap();
        let outputs = importer.cuda(&context).unwrap();
        assert!(!outputs.shares_timelines() && importer.export_timelines().unwrap().is_none());
        let came = cuda::stream_through(&mut importer, &outputs, (&context, &stream), 7);
        cuda::check(&came);
        // Once for each stream, and for each picture that was not there at once.
        assert!((7..=14).contains(&importer.counters().host_waits_hand_over), "{:?}", importer.counters());
        let ticket = importer.convert(&memory(&pixels())).unwrap();
        assert!(matches!(importer.release(ticket, Done::AtValue), Err(GpuError::HandOver { .. })));
    }
    assert_eq!(loaded.breaches(), 0);
}

#[test]
fn exported_memory_holds_what_was_made() {
    let device = lavapipe::device();
    let mut importer = Importer::new(&device, SPEC, Handover::Exported).unwrap();
    let ticket = importer.convert(&memory(&pixels())).unwrap();
    importer.wait(ticket).unwrap();
    let (fd, bytes) = importer.export_memory(ticket.output).unwrap();
    assert!(bytes >= importer.layout().bytes());
    let mut exported = Vec::new();
    std::fs::File::from(fd).read_to_end(&mut exported).unwrap();
    let mut mapped = Importer::new(&device, SPEC, Handover::Mapped).unwrap();
    let other = mapped.convert(&memory(&pixels())).unwrap();
    mapped.wait(other).unwrap();
    let expected = mapped.mapped(other).unwrap();
    // lavapipe's files begin with a header.
    let row = &expected[..64];
    let start = exported.windows(64).position(|window| window == row).expect("it is in the file");
    let layout = importer.layout();
    for plane in layout.planes() {
        for y in 0..plane.rows as usize {
            let at = plane.offset as usize + y * plane.pitch as usize;
            assert!(exported[start + at..][..64] == expected[at..][..64], "row {y}");
        }
    }
    assert!(matches!(importer.mapped(ticket), Err(GpuError::HandOver { .. })));
    assert!(matches!(mapped.export_memory(0), Err(GpuError::HandOver { .. })));
    assert!(matches!(importer.export_memory(9), Err(GpuError::Stale { .. })));
}

#[test]
fn tickets_are_of_one_picture_and_released_once() {
    let device = lavapipe::device();
    let bytes = pixels();
    let mut importer = Importer::new(&device, SPEC, Handover::Mapped).unwrap();
    let first = importer.convert(&memory(&bytes)).unwrap();
    assert!(first.may_return);
    importer.wait(first).unwrap();
    importer.release(first, Done::Now).unwrap();
    assert!(matches!(importer.mapped(first), Err(GpuError::Stale { .. })));
    assert!(matches!(importer.release(first, Done::Now), Err(GpuError::Stale { .. })));
    let future = Ticket { value: 99, ..first };
    assert!(matches!(importer.wait(future), Err(GpuError::Stale { .. })));
    // A ticket may be let go of before its picture is there.
    for _ in 0..40 {
        let ticket = importer.convert(&memory(&bytes)).unwrap();
        importer.release(ticket, Done::Now).unwrap();
    }
    assert_eq!(importer.counters().conversions, 41);
}

#[test]
fn pages_are_read_where_they_are() {
    let device = lavapipe::device();
    let mut importer = Importer::new(&device, SPEC, Handover::Mapped).unwrap();
    let bytes = pixels();
    let plain = importer.convert(&memory(&bytes)).unwrap();
    importer.wait(plain).unwrap();
    let expected = importer.mapped(plain).unwrap().to_vec();
    importer.release(plain, Done::Now).unwrap();

    let length = (bytes.len() + 64).next_multiple_of(4096);
    let mapping = Mapping::new(length, &[&[0; 64], &bytes[..]].concat());
    let copied_before = importer.counters().bytes_copied;
    for round in 0..5 {
        let (width, height, stride) = (SPEC.width, SPEC.height, SPEC.width as usize * 4);
        // SAFETY: the mapping stays until the buffer is forgotten, and is not written to meanwhile.
        let pages = Some(unsafe { Pages::new(3, (mapping.start.cast(), length)) });
        let pixels = &mapping.bytes()[64..][..bytes.len()];
        let fourcc = Fourcc::XRGB8888;
        let input = Memory { fourcc, width, height, stride, bytes: pixels, pages, overlay: None };
        let ticket = importer.convert(&Input::Memory(input)).unwrap();
        assert!(!ticket.may_return);
        importer.wait(ticket).unwrap();
        let difference = reference::difference(&SPEC, importer.mapped(ticket).unwrap(), &expected);
        assert_eq!(difference, 0, "round {round}");
        importer.release(ticket, Done::Now).unwrap();
    }
    let counters = importer.counters();
    assert_eq!((counters.bytes_copied, counters.uploads_in_place), (copied_before, 5), "{counters:?}");
    assert_eq!((counters.imports, counters.cache_hits), (1, 4));
    importer.forget(3).unwrap();
}

#[test]
fn what_was_used_longest_ago_makes_room_and_nothing_is_left() {
    let device = lavapipe::device();
    let mut importer = Importer::new(&device, SPEC, Handover::Mapped).unwrap();
    let bytes = pixels();
    let length = bytes.len().next_multiple_of(4096);
    let kept = punktfunk_gpu::limits::IMPORTS_MAX as u64;
    let mappings: Vec<_> = (0..kept + 8).map(|number| (number, Mapping::new(length, &bytes))).collect();
    let make = |importer: &mut Importer, number: u64, mapping: &Mapping| {
        let (width, height, stride) = (SPEC.width, SPEC.height, SPEC.width as usize * 4);
        // SAFETY: the mapping stays until the importer is dropped, and is not written to.
        let pages = Some(unsafe { Pages::new(number, (mapping.start.cast(), length)) });
        let (fourcc, bytes) = (Fourcc::XRGB8888, mapping.bytes());
        let input = Memory { fourcc, width, height, stride, bytes, pages, overlay: None };
        let ticket = importer.convert(&Input::Memory(input)).unwrap();
        // It is let go of at once: the GPU may still be reading the pages of several.
        importer.release(ticket, Done::Now).unwrap();
    };
    for (number, mapping) in &mappings {
        make(&mut importer, *number, mapping);
        // The first one stays in use, and so is kept.
        make(&mut importer, 0, &mappings[0].1);
    }
    let counters = importer.counters();
    assert_eq!((counters.imports, counters.evictions), (kept + 8, 8), "{counters:?}");
    assert_eq!((counters.cache_hits, counters.bytes_copied), (kept + 8, 0), "{counters:?}");
    // The second one had to go, and comes again.
    make(&mut importer, 1, &mappings[1].1);
    assert_eq!(importer.counters().imports, kept + 9);
    drop(importer);
    drop(mappings);
}

/// Pages of this test's own.
struct Mapping {
    start: *mut std::ffi::c_void,
    length: usize,
}

impl Mapping {
    fn new(length: usize, bytes: &[u8]) -> Self {
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: a new mapping at an address of the system's choice harms nobody; it is long enough for the bytes.
        let start = unsafe {
            let start = rustix::mm::mmap_anonymous(std::ptr::null_mut(), length, protection, flags);
            let start = start.expect("there is memory");
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), start.cast(), bytes.len());
            start
        };
        Self { start, length }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: it is mapped for as long as this lives, and nobody writes to it.
        unsafe { std::slice::from_raw_parts(self.start.cast(), self.length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it is this one's, and nobody reads it any more.
        let _ = unsafe { rustix::mm::munmap(self.start, self.length) };
    }
}

#[test]
fn pictures_that_contradict_themselves_are_refused_and_the_next_one_is_taken() {
    let device = lavapipe::device();
    let mut importer = Importer::new(&device, SPEC, Handover::Mapped).unwrap();
    let bytes = pixels();
    let Input::Memory(fine) = memory(&bytes) else { unreachable!("it is in memory") };
    let odd = Memory { fourcc: Fourcc::YUV420, width: 15, height: 16, stride: 16, ..fine };
    for wrong in [
        Memory { stride: 255, ..fine },
        Memory { stride: 0, ..fine },
        Memory { stride: usize::MAX, ..fine },
        Memory { height: 49, ..fine },
        Memory { width: 0, ..fine },
        Memory { width: u32::MAX, ..fine },
        Memory { bytes: &[], ..fine },
        Memory { fourcc: Fourcc(0), ..fine },
        Memory { width: 64, height: 4096, ..fine },
        odd,
    ] {
        let refused = importer.convert(&Input::Memory(wrong)).unwrap_err();
        let is_its = matches!(
            refused,
            GpuError::Plane { .. }
                | GpuError::Size { .. }
                | GpuError::Format { .. }
                | GpuError::Samples { .. }
        );
        assert!(is_its, "{refused}");
    }
    let ticket = importer.convert(&Input::Memory(fine)).unwrap();
    importer.wait(ticket).unwrap();
    assert_eq!((ticket.output, importer.counters().conversions), (0, 1));
    let spec = OutputSpec { format: OutputFormat::P010, width: 17, ..SPEC };
    assert!(matches!(Importer::new(&device, spec, Handover::Mapped), Err(GpuError::Output { .. })));
}
