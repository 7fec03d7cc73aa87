//! Each call of the driver fails once, and the room names it; a lost device is told from the rest.

#![allow(clippy::unwrap_used)]

mod common;

use common::{begin, loaded, memory_file};
use punktfunk_cuda::{
    Breakage, Cuda, CudaError, Dedicated, DeviceMemory, Event, Extent, ImportedMemory, PinnedMemory,
    Priority, Rows, Stream, TimelineSemaphore,
};
use stand_in_common::Timeline;

const ROWS: Rows = Rows { offset: 0, pitch: 16 };
const EXTENT: Extent = Extent { width_bytes: 16, rows: 4 };

/// Makes every call that can fail to its caller.
fn everything() -> Result<(), CudaError> {
    let (context, stream) = begin()?;
    let other = Stream::new(&context, Priority::Usual)?;
    context.memory()?;
    let memory = DeviceMemory::new(&context, 64)?;
    let pitched = DeviceMemory::pitched(&context, 16, 4)?;
    let imported = ImportedMemory::new(&context, memory_file(64), 64, Dedicated::No)?;
    let semaphore = TimelineSemaphore::new(&context, Timeline::create().unwrap())?;
    let pinned = PinnedMemory::new(&context, 64)?;
    let (before, after) = (Event::new(&context)?, Event::new(&context)?);
    before.record(&stream)?;
    stream.fill(&pitched, Rows { offset: 0, pitch: pitched.pitch() }, EXTENT, 7)?;
    stream.copy(&imported, ROWS, &memory, ROWS, EXTENT)?;
    stream.signal(&semaphore, 1)?;
    other.wait_until(&semaphore, 1)?;
    after.record(&stream)?;
    other.wait_for(&after)?;
    other.on_reached(|| ())?;
    other.is_idle()?;
    let pinned = stream.begin_read(&memory, ROWS, pinned, ROWS, EXTENT)?.wait()?;
    stream.begin_write(pinned, ROWS, &memory, ROWS, EXTENT)?.wait()?;
    after.is_reached()?;
    after.since(&before)?;
    stream.wait()
}

#[test]
fn each_call_that_fails_is_named() {
    let stand_in = loaded();
    everything().unwrap();
    for call in [
        "cuDeviceGetCount",
        "cuDeviceGet",
        "cuDeviceGetName",
        "cuDeviceGetPCIBusId",
        "cuDeviceGetUuid_v2",
        "cuDeviceTotalMem_v2",
        "cuDeviceGetAttribute",
        "cuDevicePrimaryCtxRetain",
        "cuCtxPushCurrent_v2",
        "cuCtxGetStreamPriorityRange",
        "cuStreamCreateWithPriority",
        "cuMemGetInfo_v2",
        "cuMemAlloc_v2",
        "cuMemAllocPitch_v2",
        "cuMemHostAlloc",
        "cuImportExternalMemory",
        "cuExternalMemoryGetMappedBuffer",
        "cuImportExternalSemaphore",
        "cuEventCreate",
        "cuEventRecord",
        "cuMemsetD2D8Async",
        "cuMemcpy2DAsync_v2",
        "cuSignalExternalSemaphoresAsync",
        "cuWaitExternalSemaphoresAsync",
        "cuStreamWaitEvent",
        "cuLaunchHostFunc",
        "cuStreamQuery",
        "cuEventQuery",
        "cuEventElapsedTime",
        "cuStreamSynchronize",
    ] {
        stand_in.fail(&format!("{call}:1=OUT_OF_MEMORY"));
        let error = everything().unwrap_err();
        let expected = format!("{call} failed: CUDA_ERROR_OUT_OF_MEMORY (2)");
        assert_eq!(error.to_string(), expected);
        assert!(error.is_out_of_memory() && !error.is_device_lost());
        stand_in.fail("");
        assert_eq!(stand_in.breaches(), 0, "{call}: something was left behind");
    }
    everything().unwrap();
    assert_eq!(stand_in.breaches(), 0);
}

#[test]
fn a_lost_device_stays_lost_until_its_context_is_let_go() {
    let stand_in = loaded();
    {
        let (context, stream) = begin().unwrap();
        let memory = DeviceMemory::new(&context, 64).unwrap();
        stand_in.fail("cuMemcpy2DAsync_v2:1=LAUNCH_FAILED");
        let error = stream.write(&[0; 64], 16, &memory, ROWS, EXTENT).unwrap_err();
        assert!(error.is_device_lost(), "{error}");
        stand_in.fail("");
        assert!(DeviceMemory::new(&context, 64).unwrap_err().is_device_lost());
        assert!(begin().unwrap_err().is_device_lost(), "the context is the same");
    }
    everything().unwrap();
    assert_eq!(stand_in.breaches(), 0, "nobody can free what is in a lost context");
}

#[test]
fn what_a_lost_device_was_to_signal_is_left_to_others() {
    let stand_in = loaded();
    let [gate, told] = [(); 2].map(|()| Timeline::create().unwrap());
    let [gate_here, told_here] = [&gate, &told].map(|file| Timeline::map(file).unwrap());
    {
        let (context, stream) = begin().unwrap();
        let [gate, told] = [gate, told].map(|file| TimelineSemaphore::new(&context, file).unwrap());
        stream.wait_until(&gate, 1).unwrap();
        stream.signal(&told, 1).unwrap();
        stand_in.fail("cuStreamQuery=LAUNCH_FAILED");
        assert!(stream.wait().unwrap_err().is_device_lost());
        stand_in.fail("");
        // Whoever waits for it brings it up by himself, to the last value that he gave out.
        told_here.signal(2).unwrap();
        gate_here.signal(1).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert_eq!(told_here.value(), 2);
    }
    assert_eq!(stand_in.breaches(), 0);
}

#[test]
fn a_code_that_nobody_knows_is_kept() {
    let stand_in = loaded();
    stand_in.fail("cuDeviceGetCount=98765");
    let error = everything().unwrap_err();
    assert_eq!(error.to_string(), "cuDeviceGetCount failed: error 98765");
    stand_in.fail("cuInit=803");
    let error = Cuda::load().unwrap_err();
    assert!(matches!(error, CudaError::Broken(Breakage::Init { code }) if code.value() == 803), "{error}");
}
