//! Beside CUDA's stand-in: what the streams and the memory of the caller's must be, and in which order a picture is read.
#![allow(clippy::unwrap_used)] // clippy's leave for tests ends at the functions that they share

mod common;

use std::sync::mpsc;

use common::{Driver, Ready, call};
use punktfunk_codec::h264::Decoder;
use punktfunk_cuda::{
    Context, Cuda, DeviceBuffer, DeviceMemory, Extent, PinnedMemory, Priority, Rows, Stream,
};
use punktfunk_nvenc::sys::*;

const ROWS: usize = common::HEIGHT as usize * 3 / 2;

fn driver() -> (Driver, Context) {
    let driver = Driver::beside(&["stand-in-cuda"], Api::V13_0);
    let context = Cuda::load().unwrap().devices().unwrap()[0].context().unwrap();
    (driver, context)
}

/// A session whose only input is `memory`, on `stream` for in and out.
fn ready<'a>(driver: &'a Driver, stream: &Stream, memory: &DeviceMemory) -> Ready<'a> {
    let (status, encoder) = driver.open(stream.context().raw());
    assert_eq!(status, NV_ENC_SUCCESS);
    let mut setup = driver.setup(encoder, NV_ENC_CODEC_H264_GUID);
    setup.config.rcParams.averageBitRate = 900_000_000;
    setup.config.rcParams.vbvBufferSize = 15_000_000;
    assert_eq!(setup.initialize(driver, encoder), NV_ENC_SUCCESS, "{}", driver.words(encoder));
    let mut handle = stream.raw();
    let handle = &raw mut handle;
    assert_eq!(
        call!(driver.table, nvEncSetIOCudaStreams(encoder, handle.cast(), handle.cast())),
        NV_ENC_SUCCESS
    );
    let mut input = common::Input::new(common::WIDTH, common::HEIGHT);
    input.pitch = memory.pitch() as u32;
    let mut ready = Ready { driver, encoder, setup, inputs: vec![input], outputs: Vec::new(), next: 0 };
    let mut params = ready.inputs[0].params(driver.api);
    params.resourceToRegister = memory.pointer() as *mut std::ffi::c_void;
    assert_eq!(
        call!(driver.table, nvEncRegisterResource(encoder, &raw mut *params)),
        NV_ENC_SUCCESS,
        "{}",
        ready.words()
    );
    ready.inputs[0].registered = params.registeredResource;
    assert_eq!(ready.map(0), NV_ENC_SUCCESS);
    assert_eq!([(); 4].map(|()| ready.create_output()), [NV_ENC_SUCCESS; 4]);
    ready
}

/// Queues a write of the whole picture in `shade`.
fn write(stream: &Stream, memory: &DeviceMemory, shade: u8) {
    let width = common::WIDTH as usize;
    let mut pinned = PinnedMemory::new(stream.context(), width * ROWS).unwrap();
    pinned.fill(shade);
    let (from, to) = (Rows { offset: 0, pitch: width }, Rows { offset: 0, pitch: memory.pitch() });
    drop(stream.begin_write(pinned, from, memory, to, Extent { width_bytes: width, rows: ROWS }).unwrap());
}

#[test]
fn a_picture_is_read_where_its_stream_has_come_to() {
    let (driver, context) = driver();
    {
        let stream = Stream::new(&context, Priority::Highest).unwrap();
        let memory = DeviceMemory::pitched(&context, common::WIDTH as usize, ROWS).unwrap();
        let mut ready = ready(&driver, &stream, &memory);
        let mut decoder = Decoder::new().unwrap();
        for round in 0..8u8 {
            let (let_go, held) = mpsc::channel::<()>();
            stream.on_reached(move || held.recv().unwrap()).unwrap();
            // A pinned copy's memory is given back once it is done, so what is queued before the gate opens is one write.
            let (width, pitch) = (common::WIDTH as usize, memory.pitch());
            let extent = Extent { width_bytes: width, rows: ROWS };
            stream.fill(&memory, Rows { offset: 0, pitch }, extent, 10 + round).unwrap();
            ready.outputs.swap(0, 1);
            assert_eq!(ready.encode(0), NV_ENC_SUCCESS, "{}", ready.words());
            stream.fill(&memory, Rows { offset: 0, pitch }, extent, 200 + round).unwrap();
            assert_eq!(ready.lock(0, false).0, NV_ENC_ERR_LOCK_BUSY, "the stream has not come to it");
            let_go.send(()).unwrap();
            let (au, _) = ready.read(0);
            let picture = decoder.decode(&au).unwrap().unwrap();
            assert!(
                picture.as_i420().y()[..width].iter().all(|sample| *sample == 10 + round),
                "round {round}"
            );
            stream.wait().unwrap();
            write(&stream, &memory, 99);
            stream.wait().unwrap();
        }
        ready.close();
    }
    drop(context);
    assert_eq!(driver.loaded.breaches(), 0);
}

#[test]
fn a_session_can_end_while_its_stream_stands_still() {
    let (driver, context) = driver();
    {
        let stream = Stream::new(&context, Priority::Highest).unwrap();
        let memory = DeviceMemory::pitched(&context, common::WIDTH as usize, ROWS).unwrap();
        let mut ready = ready(&driver, &stream, &memory);
        let (let_go, held) = mpsc::channel::<()>();
        stream.on_reached(move || held.recv().unwrap()).unwrap();
        assert_eq!(ready.encode(0), NV_ENC_SUCCESS);
        driver.loaded.fail("nvEncLockBitstream=NV_ENC_ERR_DEVICE_NOT_EXIST");
        assert_eq!(ready.lock(0, true).0, NV_ENC_ERR_DEVICE_NOT_EXIST);
        assert_eq!(ready.destroy(), NV_ENC_SUCCESS);
        let_go.send(()).unwrap();
        stream.wait().unwrap();
    }
    drop(context);
    assert_eq!(driver.loaded.breaches(), 0);
}

#[test]
fn memory_that_is_not_cudas_is_refused() {
    let (driver, context) = driver();
    {
        let stream = Stream::new(&context, Priority::Highest).unwrap();
        let memory = DeviceMemory::pitched(&context, common::WIDTH as usize, ROWS).unwrap();
        let mut ready = ready(&driver, &stream, &memory);
        ready.inputs.push(common::Input::new(common::WIDTH, common::HEIGHT));
        assert_eq!(ready.register(1), NV_ENC_ERR_INVALID_PARAM);
        assert!(ready.words().contains("not CUDA's"), "{}", ready.words());
        let mut params = ready.inputs[0].params(driver.api);
        params.resourceToRegister = (memory.pointer() + 512) as *mut std::ffi::c_void;
        let beyond = call!(driver.table, nvEncRegisterResource(ready.encoder, &raw mut *params));
        assert_eq!(beyond, NV_ENC_ERR_INVALID_PARAM, "its last row is beyond");
        assert_eq!(driver.loaded.breaches(), 2);
        let null = std::ptr::null_mut();
        assert_eq!(
            call!(driver.table, nvEncSetIOCudaStreams(ready.encoder, null, null)),
            NV_ENC_ERR_INVALID_PTR
        );
        ready.inputs.pop();
        ready.close();
    }
    drop(context);
    assert_eq!(driver.loaded.breaches(), 3);
}

#[test]
fn a_context_that_is_none_is_refused() {
    let (driver, context) = driver();
    let nothing = std::ptr::without_provenance_mut(0x1000);
    assert_eq!(driver.open(nothing).0, NV_ENC_ERR_INVALID_DEVICE);
    assert!(driver.loaded.breaches() >= 1);
    drop(context);
}
