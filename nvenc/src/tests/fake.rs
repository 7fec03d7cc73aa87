//! A driver that is played within the test: it does what it is told, lies included, and writes down what it is asked.

use std::collections::BTreeMap;
use std::ffi::{CString, c_char, c_void};
use std::fmt;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard};

use punktfunk_cuda::{CudaError, Current};

use crate::encoder::Ground;
use crate::error::NvencError;
use crate::library::Library;
use crate::sys::*;

/// Bytes of each slice that it writes.
pub(super) const SLICE: u32 = 100;

type Tamper = Box<dyn Fn(&mut NV_ENC_LOCK_BITSTREAM, u32) + Send>;

/// The driver's state, and its orders.
pub(super) struct Fake {
    pub(super) calls: BTreeMap<&'static str, u64>,
    /// Call, which time (from 1 on), status.
    pub(super) fails: Vec<(&'static str, u64, NVENCSTATUS)>,
    pub(super) caps: BTreeMap<u32, i32>,
    /// More codecs or formats than there are.
    pub(super) count_lies: u32,
    /// Changes what a lock says; the number of looks at this picture is given.
    pub(super) tamper: Option<Tamper>,
    pub(super) initialized: Vec<(NV_ENC_INITIALIZE_PARAMS, NV_ENC_CONFIG)>,
    pub(super) changed: Vec<(NV_ENC_INITIALIZE_PARAMS, NV_ENC_CONFIG, u32)>,
    /// Number, flags, SEI types.
    pub(super) encoded: Vec<(u64, u32, Vec<u32>)>,
    pub(super) invalidated: Vec<u64>,
    pub(super) open: i64,
    pub(super) locked: i64,
    pub(super) mapped: i64,
    pub(super) registered: i64,
    pub(super) outputs: i64,
    pub(super) stream: Option<usize>,
    pub(super) null_output: bool,
    pub(super) set_bytes: u32,
    pub(super) records: bool,
    /// A picture was handed in, and no end since.
    is_unflushed: bool,
    /// Output buffers and sessions that went before their end was told.
    pub(super) unflushed: u32,
    slices: u32,
    sub_frame: bool,
    number: u64,
    looks: u32,
    memory: Vec<u8>,
    words: CString,
}

// SAFETY: the pointers in what it remembers are never followed.
unsafe impl Send for Fake {}

/// A handle of it.
#[derive(Clone)]
pub(super) struct Driver(Arc<Mutex<Fake>>);

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Driver")
    }
}

impl Driver {
    pub(super) fn new() -> Driver {
        let caps = [
            (NV_ENC_CAPS_WIDTH_MAX, 4096),
            (NV_ENC_CAPS_HEIGHT_MAX, 4096),
            (NV_ENC_CAPS_SUPPORTED_RATECONTROL_MODES, 7),
            (NV_ENC_CAPS_SUPPORT_SUBFRAME_READBACK, 1),
            (NV_ENC_CAPS_SUPPORT_REF_PIC_INVALIDATION, 1),
            (NV_ENC_CAPS_SUPPORT_MULTIPLE_REF_FRAMES, 1),
            (NV_ENC_CAPS_SUPPORT_DYN_BITRATE_CHANGE, 1),
            (NV_ENC_CAPS_SUPPORT_DYN_RES_CHANGE, 1),
            (NV_ENC_CAPS_SUPPORT_CUSTOM_VBV_BUF_SIZE, 1),
            (NV_ENC_CAPS_SUPPORT_10BIT_ENCODE, 1),
        ];
        Driver(Arc::new(Mutex::new(Fake {
            calls: BTreeMap::new(),
            fails: Vec::new(),
            caps: caps.into_iter().map(|(cap, value)| (cap.0, value)).collect(),
            count_lies: 0,
            tamper: None,
            initialized: Vec::new(),
            changed: Vec::new(),
            encoded: Vec::new(),
            invalidated: Vec::new(),
            open: 0,
            locked: 0,
            mapped: 0,
            registered: 0,
            outputs: 0,
            stream: None,
            null_output: false,
            set_bytes: 20,
            records: true,
            is_unflushed: false,
            unflushed: 0,
            slices: 1,
            sub_frame: false,
            number: 0,
            looks: 0,
            memory: vec![0; 1 << 12],
            words: CString::new("said by the driver").expect("no zero in it"),
        })))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, Fake> {
        self.0.lock().expect("no test panics with it")
    }

    /// As the ground that an encoder runs on. The context's handle is this driver's address.
    pub(super) fn ground(&self) -> Arc<dyn Ground + Sync> {
        Arc::new(self.clone())
    }

    pub(super) fn library(&self) -> Library {
        // SAFETY: these two are made for it.
        unsafe { Library::with(newest, create, None) }.expect("it is sound")
    }

    /// That everything that was begun was ended.
    pub(super) fn assert_clean(&self) {
        assert_eq!(self.left(), [0; 5], "open, locked, mapped, registered, outputs");
        assert_eq!(self.state().unflushed, 0, "freed before the end was told");
    }

    /// What was begun and not ended: sessions that are open, buffers that are locked, inputs that are mapped, inputs that are
    /// registered, output buffers.
    pub(super) fn left(&self) -> [i64; 5] {
        let fake = self.state();
        [fake.open, fake.locked, fake.mapped, fake.registered, fake.outputs]
    }
}

impl Ground for Driver {
    fn context(&self) -> *mut c_void {
        Arc::as_ptr(&self.0).cast_mut().cast()
    }

    fn stream(&self) -> Option<*mut c_void> {
        Some(ptr::without_provenance_mut(0x57))
    }

    fn device(&self) -> &str {
        "a played card"
    }

    fn enter(&self) -> Result<Option<Current<'_>>, CudaError> {
        Ok(None)
    }
}

thread_local! {
    /// What this thread's driver says that it speaks.
    pub(super) static NEWEST: std::cell::Cell<Api> = const { std::cell::Cell::new(Api::V13_0) };
    /// A function that this thread's table lacks.
    pub(super) static LACKS_LOCK: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

pub(super) unsafe extern "C" fn newest(version: *mut u32) -> NVENCSTATUS {
    // SAFETY: the caller has room for it.
    unsafe { *version = NEWEST.get().to_driver() };
    NV_ENC_SUCCESS
}

/// The driver behind a session's handle, counted.
fn called(encoder: *mut c_void, call: &'static str) -> Result<MutexGuard<'static, Fake>, NVENCSTATUS> {
    // SAFETY: the handle is a driver's address, and the test keeps that.
    let fake = unsafe { &*encoder.cast::<Mutex<Fake>>() };
    let mut fake = fake.lock().expect("no test panics with it");
    let times = fake.calls.entry(call).or_default();
    *times += 1;
    let now = *times;
    match fake.fails.iter().find(|(name, nth, _)| *name == call && (*nth == now || *nth == 0)) {
        Some((_, _, status)) => Err(*status),
        None => Ok(fake),
    }
}

/// Runs a call's body, or fails as ordered.
macro_rules! play {
    ($encoder:expr, $call:literal, |$fake:ident| $body:expr) => {
        match called($encoder, $call) {
            #[allow(unused_mut, unused_variables, reason = "some calls change nothing")]
            Ok(mut $fake) => {
                $body;
                NV_ENC_SUCCESS
            }
            Err(status) => status,
        }
    };
}

unsafe extern "C" fn open(
    params: *mut NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS,
    encoder: *mut *mut c_void,
) -> NVENCSTATUS {
    // SAFETY: the caller's.
    let (device, encoder) = unsafe { ((*params).device, &mut *encoder) };
    play!(device, "open", |fake| {
        fake.open += 1;
        *encoder = device;
    })
}

unsafe extern "C" fn destroy(encoder: *mut c_void) -> NVENCSTATUS {
    play!(encoder, "destroy", |fake| {
        fake.open -= 1;
        fake.unflushed += u32::from(fake.is_unflushed);
    })
}

unsafe extern "C" fn guid_count(encoder: *mut c_void, count: *mut u32) -> NVENCSTATUS {
    // SAFETY: the caller's.
    play!(encoder, "guid_count", |fake| unsafe { *count = 3 })
}

unsafe extern "C" fn guids(encoder: *mut c_void, list: *mut GUID, most: u32, got: *mut u32) -> NVENCSTATUS {
    let all = crate::Codec::ALL.map(crate::Codec::guid);
    play!(encoder, "guids", |fake| for (at, guid) in all.iter().enumerate().take(most as usize) {
        // SAFETY: the caller's, and within what it has room for.
        unsafe {
            *list.add(at) = *guid;
            *got = 3 + fake.count_lies;
        }
    })
}

unsafe extern "C" fn format_count(encoder: *mut c_void, _: GUID, count: *mut u32) -> NVENCSTATUS {
    // SAFETY: the caller's.
    play!(encoder, "format_count", |fake| unsafe { *count = 2 })
}

unsafe extern "C" fn formats(
    encoder: *mut c_void,
    _: GUID,
    list: *mut NV_ENC_BUFFER_FORMAT,
    _: u32,
    got: *mut u32,
) -> NVENCSTATUS {
    // SAFETY: the caller has room for two.
    play!(encoder, "formats", |fake| unsafe {
        *list = NV_ENC_BUFFER_FORMAT_NV12;
        *list.add(1) = NV_ENC_BUFFER_FORMAT_YUV420_10BIT;
        *got = 2;
    })
}

unsafe extern "C" fn caps(
    encoder: *mut c_void,
    _: GUID,
    params: *mut NV_ENC_CAPS_PARAM,
    value: *mut i32,
) -> NVENCSTATUS {
    // SAFETY: the caller's.
    let (cap, value) = unsafe { ((*params).capsToQuery, &mut *value) };
    play!(encoder, "caps", |fake| *value = fake.caps.get(&cap.0).copied().unwrap_or(0))
}

unsafe extern "C" fn preset(
    encoder: *mut c_void,
    _: GUID,
    _: GUID,
    _: NV_ENC_TUNING_INFO,
    _: *mut NV_ENC_PRESET_CONFIG,
) -> NVENCSTATUS {
    play!(encoder, "preset", |fake| drop(fake))
}

unsafe extern "C" fn initialize(encoder: *mut c_void, params: *mut NV_ENC_INITIALIZE_PARAMS) -> NVENCSTATUS {
    // SAFETY: the caller's.
    let (params, config) = unsafe { (*params, *(*params).encodeConfig) };
    play!(encoder, "initialize", |fake| {
        // SAFETY: the tests that look encode H.264.
        fake.slices = unsafe { config.encodeCodecConfig.h264Config.sliceModeData }.max(1);
        fake.sub_frame = NV_ENC_INITIALIZE_PARAMS::enableSubFrameWrite.of(params.flags) == 1;
        fake.initialized.push((params, config));
    })
}

unsafe extern "C" fn reconfigure(
    encoder: *mut c_void,
    params: *mut NV_ENC_RECONFIGURE_PARAMS,
) -> NVENCSTATUS {
    // SAFETY: the caller's.
    let (params, config) = unsafe { (*params, *(*params).reInitEncodeParams.encodeConfig) };
    play!(encoder, "reconfigure", |fake| {
        let flags = params.flags(NEWEST.get().min(Api::V13_0));
        fake.changed.push((params.reInitEncodeParams, config, flags));
    })
}

unsafe extern "C" fn streams(
    encoder: *mut c_void,
    input: NV_ENC_CUSTREAM_PTR,
    _: NV_ENC_CUSTREAM_PTR,
) -> NVENCSTATUS {
    // SAFETY: it points to a handle.
    let stream = unsafe { *input.cast::<*mut c_void>() } as usize;
    play!(encoder, "streams", |fake| fake.stream = Some(stream))
}

unsafe extern "C" fn create_output(
    encoder: *mut c_void,
    params: *mut NV_ENC_CREATE_BITSTREAM_BUFFER,
) -> NVENCSTATUS {
    play!(encoder, "create_output", |fake| {
        fake.outputs += 1;
        let handle = if fake.null_output { 0 } else { fake.outputs as usize };
        // SAFETY: the caller's.
        unsafe { (*params).bitstreamBuffer = ptr::without_provenance_mut(handle) };
    })
}

unsafe extern "C" fn destroy_output(encoder: *mut c_void, _: NV_ENC_OUTPUT_PTR) -> NVENCSTATUS {
    play!(encoder, "destroy_output", |fake| {
        fake.outputs -= 1;
        fake.unflushed += u32::from(fake.is_unflushed);
    })
}

unsafe extern "C" fn register(encoder: *mut c_void, params: *mut NV_ENC_REGISTER_RESOURCE) -> NVENCSTATUS {
    play!(encoder, "register", |fake| {
        fake.registered += 1;
        // SAFETY: the caller's.
        unsafe { (*params).registeredResource = (*params).resourceToRegister };
    })
}

unsafe extern "C" fn unregister(encoder: *mut c_void, _: NV_ENC_REGISTERED_PTR) -> NVENCSTATUS {
    play!(encoder, "unregister", |fake| fake.registered -= 1)
}

unsafe extern "C" fn map(encoder: *mut c_void, params: *mut NV_ENC_MAP_INPUT_RESOURCE) -> NVENCSTATUS {
    play!(encoder, "map", |fake| {
        fake.mapped += 1;
        // SAFETY: the caller's.
        unsafe { (*params).mappedResource = (*params).registeredResource };
    })
}

unsafe extern "C" fn unmap(encoder: *mut c_void, _: NV_ENC_INPUT_PTR) -> NVENCSTATUS {
    play!(encoder, "unmap", |fake| fake.mapped -= 1)
}

unsafe extern "C" fn encode(encoder: *mut c_void, params: *mut NV_ENC_PIC_PARAMS) -> NVENCSTATUS {
    // SAFETY: the caller's.
    let params = unsafe { &*params };
    if params.encodePicFlags == NV_ENC_PIC_FLAG_EOS.0 {
        return play!(encoder, "flush", |fake| fake.is_unflushed = false);
    }
    play!(encoder, "encode", |fake| {
        fake.is_unflushed = true;
        fake.number = params.inputTimeStamp;
        fake.looks = 0;
        let number = fake.number as u8;
        let written = (fake.set_bytes + fake.slices * SLICE) as usize;
        fake.memory[..written].fill(number);
        if fake.records {
            // SAFETY: H.264's and HEVC's payloads; only those are looked at.
            let part = unsafe { params.codecPicParams.h264PicParams };
            let payloads = match part.seiPayloadArray.is_null() {
                true => Vec::new(),
                // SAFETY: as many as are said.
                false => (0..part.seiPayloadArrayCnt as usize)
                    .map(|at| unsafe { (*part.seiPayloadArray.add(at)).payloadType })
                    .collect(),
            };
            fake.encoded.push((params.inputTimeStamp, params.encodePicFlags, payloads));
        }
    })
}

unsafe extern "C" fn lock(encoder: *mut c_void, params: *mut NV_ENC_LOCK_BITSTREAM) -> NVENCSTATUS {
    // SAFETY: the caller's.
    let params = unsafe { &mut *params };
    play!(encoder, "lock", |fake| {
        // One at a time, for it is one buffer's memory.
        if fake.locked > 0 {
            return NV_ENC_ERR_INVALID_CALL;
        }
        fake.locked += 1;
        fake.looks += 1;
        let is_whole = params.flags == 0 || !fake.sub_frame;
        // A slice more with each look.
        let finished = if is_whole { fake.slices } else { fake.looks.min(fake.slices) };
        for slice in 0..finished {
            // SAFETY: there is room for as many as the picture has blocks.
            unsafe { *params.sliceOffsets.add(slice as usize) = fake.set_bytes + slice * SLICE };
        }
        params.numSlices = finished;
        params.bitstreamSizeInBytes = fake.set_bytes + finished * SLICE;
        params.hwEncodeStatus = if finished == fake.slices { 2 } else { 1 };
        params.bitstreamBufferPtr = fake.memory.as_mut_ptr().cast();
        params.outputTimeStamp = fake.number;
        params.pictureType = NV_ENC_PIC_TYPE_P;
        params.frameAvgQP = 30;
        if let Some(tamper) = &fake.tamper {
            tamper(params, fake.looks);
        }
    })
}

unsafe extern "C" fn unlock(encoder: *mut c_void, _: NV_ENC_OUTPUT_PTR) -> NVENCSTATUS {
    play!(encoder, "unlock", |fake| fake.locked -= 1)
}

unsafe extern "C" fn invalidate(encoder: *mut c_void, picture: u64) -> NVENCSTATUS {
    play!(encoder, "invalidate", |fake| fake.invalidated.push(picture))
}

unsafe extern "C" fn sequence(
    encoder: *mut c_void,
    params: *mut NV_ENC_SEQUENCE_PARAM_PAYLOAD,
) -> NVENCSTATUS {
    play!(encoder, "sequence", |fake| {
        // SAFETY: the caller's.
        unsafe { *(*params).outSPSPPSPayloadSize = fake.set_bytes };
    })
}

unsafe extern "C" fn last_error(encoder: *mut c_void) -> *const c_char {
    // SAFETY: the handle is a driver's address.
    let fake = unsafe { &*encoder.cast::<Mutex<Fake>>() };
    fake.lock().expect("no test panics with it").words.as_ptr()
}

pub(super) unsafe extern "C" fn create(list: *mut NV_ENCODE_API_FUNCTION_LIST) -> NVENCSTATUS {
    // SAFETY: the caller's.
    let list = unsafe { &mut *list };
    list.nvEncOpenEncodeSessionEx = Some(open);
    list.nvEncDestroyEncoder = Some(destroy);
    list.nvEncGetEncodeGUIDCount = Some(guid_count);
    list.nvEncGetEncodeGUIDs = Some(guids);
    list.nvEncGetInputFormatCount = Some(format_count);
    list.nvEncGetInputFormats = Some(formats);
    list.nvEncGetEncodeCaps = Some(caps);
    list.nvEncGetEncodePresetConfigEx = Some(preset);
    list.nvEncInitializeEncoder = Some(initialize);
    list.nvEncReconfigureEncoder = Some(reconfigure);
    list.nvEncSetIOCudaStreams = Some(streams);
    list.nvEncCreateBitstreamBuffer = Some(create_output);
    list.nvEncDestroyBitstreamBuffer = Some(destroy_output);
    list.nvEncRegisterResource = Some(register);
    list.nvEncUnregisterResource = Some(unregister);
    list.nvEncMapInputResource = Some(map);
    list.nvEncUnmapInputResource = Some(unmap);
    list.nvEncEncodePicture = Some(encode);
    list.nvEncLockBitstream = if LACKS_LOCK.get() { None } else { Some(lock) };
    list.nvEncUnlockBitstream = Some(unlock);
    list.nvEncInvalidateRefFrames = Some(invalidate);
    list.nvEncGetSequenceParams = Some(sequence);
    list.nvEncGetLastErrorString = Some(last_error);
    NV_ENC_SUCCESS
}

/// What opening the library gives on this thread.
pub(super) fn load() -> Result<Library, NvencError> {
    // SAFETY: these two are made for it.
    unsafe { Library::with(newest, create, None) }
}
