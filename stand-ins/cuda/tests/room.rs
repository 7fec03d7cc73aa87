//! The room `cuda` against the stand-in: what it copies, in which order, and what it leaves behind.

#![allow(unsafe_code, clippy::unwrap_used)]

mod common;

use std::os::unix::fs::FileExt;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::{begin, loaded, memory_file, open_descriptors};
use punktfunk_cuda::{
    CudaError, Dedicated, DeviceBuffer, DeviceMemory, Event, Extent, ImportedMemory, PinnedMemory, Rows,
    TimelineSemaphore,
};
use stand_in_common::Timeline;

const EXTENT: Extent = Extent { width_bytes: 100, rows: 7 };

fn pattern() -> Vec<u8> {
    (0..700_u32).map(|index| (index % 251) as u8).collect()
}

#[test]
fn rows_come_back_as_they_were() {
    let stand_in = loaded();
    {
        let (context, stream) = begin().unwrap();
        let memory = DeviceMemory::pitched(&context, 100, 7).unwrap();
        assert!(memory.pitch() > 100, "the stand-in keeps rows apart, as devices do");
        let rows = Rows { offset: 0, pitch: memory.pitch() };
        stream.write(&pattern(), 100, &memory, rows, EXTENT).unwrap();
        let other = DeviceMemory::new(&context, 1000).unwrap();
        let tight = Rows { offset: 3, pitch: 101 };
        stream
            .fill(&other, Rows { offset: 0, pitch: 1000 }, Extent { width_bytes: 1000, rows: 1 }, 9)
            .unwrap();
        stream.copy(&memory, rows, &other, tight, EXTENT).unwrap();

        let mut back = vec![0; 700];
        stream.read(&other, tight, &mut back, 100, EXTENT).unwrap();
        assert_eq!(back, pattern());
        let mut all = vec![0; 1000];
        let whole = Rows { offset: 0, pitch: 1000 };
        stream.read(&other, whole, &mut all, 1000, Extent { width_bytes: 1000, rows: 1 }).unwrap();
        assert_eq!((&all[..3], all[103], all[710]), (&[9, 9, 9][..], 9, 9), "nothing beside the rows");
    }
    assert_eq!(stand_in.breaches(), 0);
}

#[test]
fn pinned_memory_is_lent_for_a_copy() {
    let stand_in = loaded();
    {
        let (context, stream) = begin().unwrap();
        let memory = DeviceMemory::new(&context, 700).unwrap();
        let rows = Rows { offset: 0, pitch: 100 };
        let mut pinned = PinnedMemory::new(&context, 700).unwrap();
        assert!(pinned.iter().all(|byte| *byte == 0));
        pinned.copy_from_slice(&pattern());
        let pinned = stream.begin_write(pinned, rows, &memory, rows, EXTENT).unwrap().wait().unwrap();
        let other = PinnedMemory::new(&context, 700).unwrap();
        let under_way = stream.begin_read(&memory, rows, other, rows, EXTENT).unwrap();
        assert_eq!(*under_way.wait().unwrap(), *pinned);
        // Dropped under way.
        drop(stream.begin_read(&memory, rows, pinned, rows, EXTENT).unwrap());
    }
    assert_eq!(stand_in.breaches(), 0);
}

#[test]
fn rows_that_are_not_in_the_memory_never_reach_the_driver() {
    let stand_in = loaded();
    let (context, stream) = begin().unwrap();
    let memory = DeviceMemory::new(&context, 699).unwrap();
    let rows = Rows { offset: 0, pitch: 100 };
    let mut host = vec![0; 700];
    let outside = |result: Result<(), CudaError>| matches!(result, Err(CudaError::Outside { .. }));
    assert!(outside(stream.read(&memory, rows, &mut host, 100, EXTENT)));
    assert!(outside(stream.write(&host, 100, &memory, rows, EXTENT)));
    assert!(outside(stream.write(&host[1..], 100, &memory, rows, EXTENT)));
    assert!(outside(stream.fill(&memory, rows, EXTENT, 0)));
    assert!(outside(stream.copy(&memory, rows, &memory, rows, EXTENT)));
    assert!(matches!(DeviceMemory::new(&context, 0), Err(CudaError::Size { bytes: 0 })));
    assert!(DeviceMemory::pitched(&context, usize::MAX, 2).is_err());
    assert_eq!(stand_in.breaches(), 0);
}

#[test]
fn a_stream_waits_for_a_value_and_the_host_does_not() {
    let stand_in = loaded();
    {
        let (context, stream) = begin().unwrap();
        let fd = Timeline::create().unwrap();
        let vulkan = Timeline::map(&fd).unwrap();
        let semaphore = TimelineSemaphore::new(&context, fd).unwrap();
        let file = memory_file(4096);
        let picture = std::fs::File::from(file.try_clone().unwrap());
        let imported = ImportedMemory::new(&context, file, 4096, Dedicated::Yes).unwrap();
        let memory = DeviceMemory::new(&context, 700).unwrap();
        let rows = Rows { offset: 0, pitch: 100 };

        stream.wait_until(&semaphore, 1).unwrap();
        stream.copy(&imported, rows, &memory, rows, EXTENT).unwrap();
        stream.signal(&semaphore, 2).unwrap();
        assert!(!stream.is_idle().unwrap(), "held");
        assert!(!vulkan.wait(2, Some(Instant::now() + Duration::from_millis(50))), "nothing runs before");
        // Written only now: a copy that had not waited would have missed it.
        picture.write_all_at(&pattern(), 0).unwrap();
        vulkan.signal(1).unwrap();
        assert!(vulkan.wait(2, Some(Instant::now() + Duration::from_secs(10))));
        let mut back = vec![0; 700];
        stream.read(&memory, rows, &mut back, 100, EXTENT).unwrap();
        assert_eq!(back, pattern());
    }
    assert_eq!(stand_in.breaches(), 0);
}

#[test]
fn events_order_streams_and_tell_the_time() {
    let stand_in = loaded();
    {
        let (context, first) = begin().unwrap();
        let (_, second) = begin().unwrap();
        let fd = Timeline::create().unwrap();
        let gate = Timeline::map(&fd).unwrap();
        let semaphore = TimelineSemaphore::new(&context, fd).unwrap();
        let (before, after) = (Event::new(&context).unwrap(), Event::new(&context).unwrap());
        assert!(before.is_reached().unwrap(), "never recorded");
        before.record(&first).unwrap();
        before.wait().unwrap();
        first.wait_until(&semaphore, 1).unwrap();
        after.record(&first).unwrap();
        second.wait_for(&after).unwrap();
        let (tell, told) = mpsc::channel();
        second.on_reached(move || tell.send(Instant::now()).unwrap()).unwrap();
        assert!(told.recv_timeout(Duration::from_millis(30)).is_err(), "held through both");
        assert!(!after.is_reached().unwrap());
        gate.signal(1).unwrap();
        assert!(told.recv_timeout(Duration::from_secs(10)).is_ok());
        assert!(after.is_reached().unwrap());
        assert!(after.since(&before).unwrap() >= Duration::from_millis(30));
        second.on_reached(|| panic!("a panic in a host function ends in it")).unwrap();
        second.wait().unwrap();
    }
    assert_eq!(stand_in.breaches(), 0);
}

#[test]
fn whatever_goes_first_the_context_goes_last() {
    let stand_in = loaded();
    for order in 0..5 {
        let (context, stream) = begin().unwrap();
        let memory = DeviceMemory::new(&context, 700).unwrap();
        let imported = ImportedMemory::new(&context, memory_file(700), 700, Dedicated::No).unwrap();
        let pinned = PinnedMemory::new(&context, 700).unwrap();
        let event = Event::new(&context).unwrap();
        let rows = Rows { offset: 0, pitch: 100 };
        event.record(&stream).unwrap();
        for _ in 0..100 {
            stream.copy(&imported, rows, &memory, rows, EXTENT).unwrap();
        }
        let under_way = stream.begin_read(&memory, rows, pinned, rows, EXTENT).unwrap();
        let mut things: Vec<Option<Box<dyn std::any::Any>>> = vec![
            Some(Box::new(context)),
            Some(Box::new(stream)),
            Some(Box::new(memory)),
            Some(Box::new(imported)),
            Some(Box::new((under_way, event))),
        ];
        for index in 0..5 {
            drop(things[(index + order) % 5].take());
        }
    }
    assert_eq!(stand_in.breaches(), 0);
}

#[test]
fn what_nobody_signals_is_left_behind_in_bounded_time() {
    let stand_in = loaded();
    let (context, stream) = begin().unwrap();
    let fd = Timeline::create().unwrap();
    let gate = Timeline::map(&fd).unwrap();
    let semaphore = TimelineSemaphore::new(&context, fd).unwrap();
    stream.wait_until(&semaphore, 1).unwrap();
    let begun = Instant::now();
    drop(semaphore);
    assert!(begun.elapsed() < 2 * punktfunk_cuda::limits::SETTLE_MAX);
    assert_eq!(context.left_behind(), 1);
    gate.signal(1).unwrap();
    stream.wait().unwrap();
    drop((stream, context));
    assert_eq!(stand_in.breaches(), 1, "the semaphore that was left behind is a leak to the driver");
}

#[test]
fn ten_thousand_imports_leave_nothing() {
    let stand_in = loaded();
    {
        let (context, stream) = begin().unwrap();
        let (file, timeline) = (memory_file(4096), Timeline::create().unwrap());
        let before = (open_descriptors(), context.memory().unwrap());
        for _ in 0..10_000 {
            let memory =
                ImportedMemory::new(&context, file.try_clone().unwrap(), 4096, Dedicated::No).unwrap();
            let semaphore = TimelineSemaphore::new(&context, timeline.try_clone().unwrap()).unwrap();
            let rows = Rows { offset: 0, pitch: 100 };
            stream.fill(&memory, rows, EXTENT, 1).unwrap();
            drop((memory, semaphore));
        }
        assert_eq!((open_descriptors(), context.memory().unwrap()), before);
        assert_eq!(context.left_behind(), 0);
    }
    assert_eq!(stand_in.breaches(), 0);
}

#[test]
fn an_import_that_fails_closes_its_descriptor() {
    let stand_in = loaded();
    let (context, _stream) = begin().unwrap();
    let before = open_descriptors();
    for list in ["cuImportExternalMemory=2", "cuExternalMemoryGetMappedBuffer=2"] {
        stand_in.fail(list);
        let error = ImportedMemory::new(&context, memory_file(4096), 4096, Dedicated::No).unwrap_err();
        assert!(error.is_out_of_memory(), "{error}");
    }
    stand_in.fail("cuImportExternalSemaphore=999");
    let error = TimelineSemaphore::new(&context, Timeline::create().unwrap()).unwrap_err();
    assert!(error.is_device_lost(), "{error}");
    assert_eq!(open_descriptors(), before);
    assert_eq!(stand_in.breaches(), 0);
}

#[test]
fn memory_of_a_wrong_length_or_kind_is_refused() {
    let stand_in = loaded();
    let (context, _stream) = begin().unwrap();
    assert!(ImportedMemory::new(&context, memory_file(4095), 4096, Dedicated::No).is_err());
    let null = std::fs::File::open("/dev/null").unwrap();
    assert!(ImportedMemory::new(&context, null.into(), 4096, Dedicated::No).is_err());
    assert!(TimelineSemaphore::new(&context, memory_file(100)).is_err());
    assert_eq!(stand_in.breaches(), 3);
}

#[test]
fn memory_says_what_it_is() {
    let _stand_in = loaded();
    let (context, _stream) = begin().unwrap();
    let memory = DeviceMemory::new(&context, 700).unwrap();
    let lent: std::sync::Arc<dyn DeviceBuffer> = std::sync::Arc::new(memory);
    assert_eq!(lent.bytes(), 700);
    assert_ne!(lent.pointer(), 0);
    assert_eq!(lent.context().raw(), context.raw());
    let (free, total) = context.memory().unwrap();
    assert_eq!(total - free, 700);
}
