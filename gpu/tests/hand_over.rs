//! Vulkan to CUDA with timelines that both share, by stand-ins: no thread waits, and every picture is whole.
#![allow(clippy::unwrap_used)] // clippy's leave for tests ends at the functions that they share

mod cuda;
mod lavapipe;
mod stand_ins;

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use punktfunk_cuda::{Context, Stream, TimelineSemaphore};
use punktfunk_gpu::{CudaOutputs, Device, Done, GpuError, Handover, Importer, Input, Memory};
use stand_in_common::Timeline;

use cuda::SPEC;
use stand_ins::begin;

#[test]
fn every_picture_comes_through_and_no_thread_waits() {
    let (loaded, device) = begin();
    {
        let (context, stream) = cuda::begin(&device);
        let mut importer = Importer::new(&device, SPEC, Handover::Exported).unwrap();
        let outputs = importer.cuda(&context).unwrap();
        assert!(outputs.shares_timelines() && outputs.memory(SPEC.buffers).is_none());
        // No more than may be under way at once, so that nothing waits for room either.
        let count = punktfunk_gpu::limits::IN_FLIGHT_MAX as u64;
        let came = cuda::stream_through(&mut importer, &outputs, (&context, &stream), count);
        cuda::check(&came);
        let counters = importer.counters();
        assert_eq!((counters.host_waits(), counters.conversions), (0, count));
        let came = cuda::stream_through(&mut importer, &outputs, (&context, &stream), 200);
        cuda::check(&came);
        let counters = importer.counters();
        // With more than may be under way it waits for room, and for nothing else.
        assert_eq!(counters.host_waits(), counters.host_waits_full, "{counters:?}");
    }
    assert_eq!(loaded.breaches(), 0);
}

#[test]
fn an_output_is_not_written_again_before_its_reader_is_done() {
    let (loaded, device) = begin();
    {
        let mut importer = Importer::new(&device, SPEC, Handover::Exported).unwrap();
        let (written, read) = importer.export_timelines().unwrap().unwrap();
        let (written, read) = (Timeline::map(written.as_fd()).unwrap(), Timeline::map(read.as_fd()).unwrap());
        let bytes = lavapipe::bytes(&cuda::picture(0), SPEC.width, 256);
        let fourcc = punktfunk_gpu::format::Fourcc::XRGB8888;
        let (width, height) = (SPEC.width, SPEC.height);
        let memory = Memory { fourcc, width, height, stride: 256, bytes: &bytes, pages: None, overlay: None };
        let input = Input::Memory(memory);
        let soon = || Some(Instant::now() + Duration::from_secs(10));
        let tickets: Vec<_> = (0..3).map(|_| importer.convert(&input).unwrap()).collect();
        assert!(written.wait(tickets[2].value, soon()));
        assert!(matches!(importer.convert(&input), Err(GpuError::Unreleased { output: 0 })));
        for ticket in &tickets {
            importer.release(*ticket, Done::AtValue).unwrap();
            assert!(matches!(importer.release(*ticket, Done::AtValue), Err(GpuError::Stale { .. })));
        }
        let fourth = importer.convert(&input).unwrap();
        assert!(
            !written.wait(fourth.value, Some(Instant::now() + Duration::from_millis(80))),
            "it was not read yet"
        );
        assert!(!importer.is_done(fourth).unwrap());
        assert!(matches!(importer.mapped(fourth), Err(GpuError::NotDone { .. })));
        read.signal(tickets[0].value).unwrap();
        assert!(written.wait(fourth.value, soon()));
        // The fifth is never read: who drops the importer does not hang.
        importer.convert(&input).unwrap();
    }
    assert_eq!(loaded.breaches(), 0);
}

/// An importer whose next picture waits for CUDA's stream, which waits for `gate`; that stream, and what CUDA has.
struct Waiting {
    importer: Importer,
    outputs: CudaOutputs,
    stream: Stream,
    context: Context,
    gate: Timeline,
    /// Not signalled by anybody else.
    _held: TimelineSemaphore,
}

impl Waiting {
    fn new(device: &Device) -> Self {
        let (context, stream) = cuda::begin(device);
        let mut importer = Importer::new(device, SPEC, Handover::Exported).unwrap();
        let outputs = importer.cuda(&context).unwrap();
        let fd = Timeline::create().unwrap();
        let gate = Timeline::map(&fd).unwrap();
        let held = TimelineSemaphore::new(&context, fd).unwrap();
        stream.wait_until(&held, 1).unwrap();
        let bytes = lavapipe::bytes(&cuda::picture(0), SPEC.width, 256);
        let (fourcc, width, height) = (punktfunk_gpu::format::Fourcc::XRGB8888, SPEC.width, SPEC.height);
        let memory = Memory { fourcc, width, height, stride: 256, bytes: &bytes, pages: None, overlay: None };
        // Each output once, and the first once more: that waits until it was read.
        for _ in 0..SPEC.buffers {
            let ticket = importer.convert(&Input::Memory(memory)).unwrap();
            outputs.wait(&mut importer, ticket, &stream).unwrap();
            outputs.release(&mut importer, ticket, &stream).unwrap();
        }
        importer.convert(&Input::Memory(memory)).unwrap();
        Self { importer, outputs, stream, context, gate, _held: held }
    }
}

#[test]
fn a_readers_signal_that_is_on_its_way_is_waited_for() {
    let (loaded, device) = begin();
    {
        let Waiting { importer, outputs, stream, context, gate, _held } = Waiting::new(&device);
        let opener = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            gate.signal(1).unwrap();
        });
        drop(importer);
        opener.join().unwrap();
        stream.wait().unwrap();
        drop((outputs, _held));
        assert_eq!(context.left_behind(), 0);
    }
    assert_eq!((loaded.breaches(), device.left_behind()), (0, 0), "a timeline that falls back is a breach");
}

#[test]
fn a_reader_that_never_says_that_it_is_done_holds_nobody_for_long() {
    let (loaded, device) = begin();
    let Waiting { importer, outputs, stream, context, .. } = Waiting::new(&device);
    let began = Instant::now();
    // As the encoder does: what CUDA has goes first.
    drop((outputs, importer));
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    assert!(context.left_behind() > 0, "what the stream is to read");
    assert_eq!((loaded.breaches(), device.left_behind()), (0, 0));
    // The device does others' work as before.
    let mut importer = Importer::new(&device, SPEC, Handover::Exported).unwrap();
    let bytes = lavapipe::bytes(&cuda::picture(0), SPEC.width, 256);
    let (fourcc, width, height) = (punktfunk_gpu::format::Fourcc::XRGB8888, SPEC.width, SPEC.height);
    let memory = Memory { fourcc, width, height, stride: 256, bytes: &bytes, pages: None, overlay: None };
    let ticket = importer.convert(&Input::Memory(memory)).unwrap();
    importer.wait(ticket).unwrap();
    drop((importer, stream));
}

#[test]
fn another_gpu_is_named_and_a_timeline_that_cannot_be_exported_too() {
    let (loaded, device) = begin();
    {
        let (context, _stream) = cuda::begin(&device);
        let importer = Importer::new(&device, SPEC, Handover::Mapped).unwrap();
        assert!(matches!(importer.cuda(&context), Err(GpuError::HandOver { .. })));
        // SAFETY: the stand-in reads it below.
        unsafe { std::env::set_var("PUNKTFUNK_STANDIN_UUID", "00112233-4455-6677-8899-aabbccddeeff") };
        let other = punktfunk_cuda::Cuda::load().unwrap().devices().unwrap().remove(0).context().unwrap();
        let importer = Importer::new(&device, SPEC, Handover::Exported).unwrap();
        let words = importer.cuda(&other).unwrap_err().to_string();
        assert!(words.contains("llvmpipe") && words.contains("00112233-4455"), "{words}");
        loaded.fail("vkGetSemaphoreFdKHR=-10");
        let refused = importer.cuda(&context).unwrap_err();
        assert!(matches!(refused, GpuError::Call { call: "vkGetSemaphoreFdKHR", .. }), "{refused}");
        loaded.fail("cuImportExternalMemory=2");
        assert!(
            matches!(importer.cuda(&context).unwrap_err(), GpuError::Cuda(error) if error.is_out_of_memory())
        );
        loaded.fail("vkCreateSemaphore=-2");
        let refused = Importer::new(&device, SPEC, Handover::Exported).unwrap_err();
        assert!(matches!(refused, GpuError::Call { call: "vkCreateSemaphore", .. }), "{refused}");
        loaded.fail("");
        // A device that is gone says so when it is given work.
        let mut importer = Importer::new(&device, SPEC, Handover::Mapped).unwrap();
        let bytes = lavapipe::bytes(&cuda::picture(0), SPEC.width, 256);
        let fourcc = punktfunk_gpu::format::Fourcc::XRGB8888;
        let (width, height) = (SPEC.width, SPEC.height);
        let memory = Memory { fourcc, width, height, stride: 256, bytes: &bytes, pages: None, overlay: None };
        loaded.fail("vkQueueSubmit2=-4");
        let lost = importer.convert(&Input::Memory(memory)).unwrap_err();
        assert!(matches!(lost, GpuError::Lost { .. }), "{lost}");
        loaded.fail("");
    }
    assert_eq!(loaded.breaches(), 0);
}
