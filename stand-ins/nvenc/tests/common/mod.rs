//! A caller that keeps the contract, each of whose calls a test may change.
#![allow(dead_code)] // each test program uses its part
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy's leave for tests ends at the functions that they share

use std::ffi::{CStr, c_void};
use std::process::{Command, Output};
use std::ptr;

use punktfunk_nvenc::sys::*;
use stand_in_common::Loaded;

pub const WIDTH: u32 = 320;
pub const HEIGHT: u32 = 192;
/// Bytes a row, in 4:2:0 of eight bits.
pub const PITCH: u32 = 384;

/// A call of the table.
macro_rules! call {
    ($table:expr, $name:ident($($argument:expr),*)) => {
        // SAFETY: the table is the driver's, and the arguments live for the call.
        unsafe { $table.$name.expect("the driver has it")($($argument),*) }
    };
}
pub(crate) use call;

/// The driver, loaded.
pub struct Driver {
    pub loaded: Loaded,
    pub table: Box<NV_ENCODE_API_FUNCTION_LIST>,
    pub api: Api,
}

impl Driver {
    pub fn new(api: Api) -> Self {
        Self::beside(&[], api)
    }

    /// Loaded after others.
    pub fn beside(others: &[&str], api: Api) -> Self {
        let loaded = Loaded::new(&[others, &["stand-in-nvenc"]].concat());
        let mut table = api.fresh::<NV_ENCODE_API_FUNCTION_LIST>();
        assert_eq!(create(&loaded, &mut table), NV_ENC_SUCCESS);
        Self { loaded, table, api }
    }

    /// Opens a session.
    pub fn open(&self, device: *mut c_void) -> (NVENCSTATUS, *mut c_void) {
        let mut params = self.api.fresh::<NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS>();
        params.deviceType = NV_ENC_DEVICE_TYPE_CUDA;
        params.device = device;
        params.apiVersion = self.api.word();
        let mut encoder = ptr::null_mut();
        (call!(self.table, nvEncOpenEncodeSessionEx(&raw mut *params, &raw mut encoder)), encoder)
    }

    /// Opens one that must open.
    pub fn opened(&self) -> *mut c_void {
        let (status, encoder) = self.open(ptr::dangling_mut::<u8>().cast());
        assert_eq!(status, NV_ENC_SUCCESS);
        encoder
    }

    /// The last error's words.
    pub fn words(&self, encoder: *mut c_void) -> String {
        let words = call!(self.table, nvEncGetLastErrorString(encoder));
        // SAFETY: a C string of the driver's.
        unsafe { CStr::from_ptr(words) }.to_string_lossy().into_owned()
    }

    /// A set-up that is as it should be.
    pub fn setup(&self, encoder: *mut c_void, codec: GUID) -> Setup {
        let mut preset = self.api.fresh::<NV_ENC_PRESET_CONFIG>();
        preset.presetCfg.version = self.api.version_of::<NV_ENC_CONFIG>();
        let tuning = NV_ENC_TUNING_INFO_ULTRA_LOW_LATENCY;
        let status = call!(
            self.table,
            nvEncGetEncodePresetConfigEx(encoder, codec, NV_ENC_PRESET_P1_GUID, tuning, &raw mut *preset)
        );
        assert_eq!(status, NV_ENC_SUCCESS);
        let mut config = Box::new(preset.presetCfg);
        config.rcParams.averageBitRate = 50_000_000;
        config.rcParams.vbvBufferSize = 50_000_000 / 60;
        // SAFETY: the codec says which of the parts it is.
        unsafe {
            let part = &mut config.encodeCodecConfig;
            if codec == NV_ENC_CODEC_H264_GUID {
                part.h264Config.sliceMode = 3;
                part.h264Config.sliceModeData = 4;
                part.h264Config.maxNumRefFrames = 4;
                NV_ENC_CONFIG_H264::repeatSPSPPS.set(&mut part.h264Config.flags, 1);
            } else if codec == NV_ENC_CODEC_HEVC_GUID {
                part.hevcConfig.sliceMode = 3;
                part.hevcConfig.sliceModeData = 4;
                part.hevcConfig.maxNumRefFramesInDPB = 4;
                NV_ENC_CONFIG_HEVC::repeatSPSPPS.set(&mut part.hevcConfig.flags, 1);
            } else {
                part.av1Config.maxNumRefFramesInDPB = 4;
                NV_ENC_CONFIG_AV1::repeatSeqHdr.set(&mut part.av1Config.flags, 1);
            }
        }
        let mut params = self.api.fresh::<NV_ENC_INITIALIZE_PARAMS>();
        params.encodeGUID = codec;
        params.presetGUID = NV_ENC_PRESET_P1_GUID;
        params.tuningInfo = tuning;
        (params.encodeWidth, params.encodeHeight) = (WIDTH, HEIGHT);
        (params.darWidth, params.darHeight) = (WIDTH, HEIGHT);
        (params.maxEncodeWidth, params.maxEncodeHeight) = (2 * WIDTH, 2 * HEIGHT);
        (params.frameRateNum, params.frameRateDen) = (60, 1);
        params.enablePTD = 1;
        NV_ENC_INITIALIZE_PARAMS::enableSubFrameWrite.set(&mut params.flags, 1);
        NV_ENC_INITIALIZE_PARAMS::reportSliceOffsets.set(&mut params.flags, 1);
        Setup { params, config }
    }

    /// A session, set up with inputs and outputs.
    pub fn ready(&self, codec: GUID) -> Ready<'_> {
        self.ready_with(codec, |_| {})
    }

    /// … changed before it is set up.
    pub fn ready_with(&self, codec: GUID, change: impl FnOnce(&mut Setup)) -> Ready<'_> {
        let encoder = self.opened();
        let mut setup = self.setup(encoder, codec);
        change(&mut setup);
        assert_eq!(setup.initialize(self, encoder), NV_ENC_SUCCESS, "{}", self.words(encoder));
        let mut ready =
            Ready { driver: self, encoder, setup, inputs: Vec::new(), outputs: Vec::new(), next: 0 };
        for _ in 0..2 {
            ready.inputs.push(Input::new(WIDTH, HEIGHT));
            let at = ready.inputs.len() - 1;
            assert_eq!(ready.register(at), NV_ENC_SUCCESS, "{}", self.words(encoder));
            assert_eq!(ready.map(at), NV_ENC_SUCCESS, "{}", self.words(encoder));
        }
        for _ in 0..4 {
            assert_eq!(ready.create_output(), NV_ENC_SUCCESS, "{}", self.words(encoder));
        }
        ready
    }
}

/// NvEncodeAPICreateInstance.
pub fn create(loaded: &Loaded, table: &mut NV_ENCODE_API_FUNCTION_LIST) -> NVENCSTATUS {
    let library = loaded.libraries().last().unwrap();
    // SAFETY: the SDK's type of this function.
    unsafe { library.get::<CreateInstance>("NvEncodeAPICreateInstance").unwrap()(table) }
}

/// NvEncodeAPIGetMaxSupportedVersion.
pub fn newest(loaded: &Loaded) -> (NVENCSTATUS, u32) {
    let mut version = 0;
    let library = loaded.libraries().last().unwrap();
    // SAFETY: the SDK's type of this function.
    let status = unsafe {
        library.get::<GetMaxSupportedVersion>("NvEncodeAPIGetMaxSupportedVersion").unwrap()(&raw mut version)
    };
    (status, version)
}

/// What a session is set up with.
pub struct Setup {
    pub params: Box<NV_ENC_INITIALIZE_PARAMS>,
    pub config: Box<NV_ENC_CONFIG>,
}

impl Setup {
    pub fn initialize(&mut self, driver: &Driver, encoder: *mut c_void) -> NVENCSTATUS {
        self.params.encodeConfig = &raw mut *self.config;
        call!(driver.table, nvEncInitializeEncoder(encoder, &raw mut *self.params))
    }

    /// Of HEVC, or else of AV1.
    pub fn set_tier(&mut self, codec: GUID, tier: u32) {
        let part = &mut self.config.encodeCodecConfig;
        match codec == NV_ENC_CODEC_HEVC_GUID {
            true => part.hevcConfig.tier = tier,
            false => part.av1Config.tier = tier,
        }
    }

    pub fn h264(&mut self) -> &mut NV_ENC_CONFIG_H264 {
        // SAFETY: any bits are a value; the test says that it is one.
        unsafe { &mut self.config.encodeCodecConfig.h264Config }
    }
}

/// A picture's memory, and its names.
pub struct Input {
    pub bytes: Vec<u8>,
    pub width: u32,
    pub height: u32,
    pub pitch: u32,
    pub format: NV_ENC_BUFFER_FORMAT,
    pub registered: *mut c_void,
    pub mapped: *mut c_void,
}

impl Input {
    pub fn new(width: u32, height: u32) -> Self {
        let pitch = width.next_multiple_of(PITCH);
        Self {
            bytes: vec![0; (pitch * height * 3) as usize],
            width,
            height,
            pitch,
            format: NV_ENC_BUFFER_FORMAT_NV12,
            registered: ptr::null_mut(),
            mapped: ptr::null_mut(),
        }
    }

    /// Noise that only `number` makes.
    pub fn paint(&mut self, number: u64) {
        let mut state = number << 20 | 1;
        for byte in &mut self.bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (state >> 56) as u8;
        }
    }

    pub fn params(&mut self, api: Api) -> Box<NV_ENC_REGISTER_RESOURCE> {
        let mut params = api.fresh::<NV_ENC_REGISTER_RESOURCE>();
        params.resourceType = NV_ENC_INPUT_RESOURCE_TYPE_CUDADEVICEPTR;
        params.resourceToRegister = self.bytes.as_mut_ptr().cast();
        (params.width, params.height, params.pitch) = (self.width, self.height, self.pitch);
        params.bufferFormat = self.format;
        params.bufferUsage = NV_ENC_INPUT_IMAGE;
        params
    }
}

/// A session that can encode.
pub struct Ready<'a> {
    pub driver: &'a Driver,
    pub encoder: *mut c_void,
    pub setup: Setup,
    pub inputs: Vec<Input>,
    pub outputs: Vec<*mut c_void>,
    /// The next picture's number, which is its time stamp.
    pub next: u64,
}

impl Ready<'_> {
    pub fn words(&self) -> String {
        self.driver.words(self.encoder)
    }

    pub fn register(&mut self, at: usize) -> NVENCSTATUS {
        let mut params = self.inputs[at].params(self.driver.api);
        let status = call!(self.driver.table, nvEncRegisterResource(self.encoder, &raw mut *params));
        self.inputs[at].registered = params.registeredResource;
        status
    }

    pub fn map(&mut self, at: usize) -> NVENCSTATUS {
        let mut params = self.driver.api.fresh::<NV_ENC_MAP_INPUT_RESOURCE>();
        params.registeredResource = self.inputs[at].registered;
        let status = call!(self.driver.table, nvEncMapInputResource(self.encoder, &raw mut *params));
        if status == NV_ENC_SUCCESS {
            self.inputs[at].mapped = params.mappedResource;
            assert_eq!(params.mappedBufferFmt, self.inputs[at].format);
        }
        status
    }

    pub fn unmap(&mut self, at: usize) -> NVENCSTATUS {
        call!(self.driver.table, nvEncUnmapInputResource(self.encoder, self.inputs[at].mapped))
    }

    pub fn unregister(&mut self, at: usize) -> NVENCSTATUS {
        call!(self.driver.table, nvEncUnregisterResource(self.encoder, self.inputs[at].registered))
    }

    pub fn create_output(&mut self) -> NVENCSTATUS {
        let mut params = self.driver.api.fresh::<NV_ENC_CREATE_BITSTREAM_BUFFER>();
        let status = call!(self.driver.table, nvEncCreateBitstreamBuffer(self.encoder, &raw mut *params));
        if status == NV_ENC_SUCCESS {
            self.outputs.push(params.bitstreamBuffer);
        }
        status
    }

    pub fn destroy_output(&mut self, at: usize) -> NVENCSTATUS {
        call!(self.driver.table, nvEncDestroyBitstreamBuffer(self.encoder, self.outputs[at]))
    }

    /// The parameters of the next picture, from input and into output `at`.
    pub fn picture(&self, at: usize) -> Box<NV_ENC_PIC_PARAMS> {
        let mut params = self.driver.api.fresh::<NV_ENC_PIC_PARAMS>();
        let input = &self.inputs[at];
        (params.inputWidth, params.inputHeight, params.inputPitch) = (input.width, input.height, input.pitch);
        params.inputBuffer = input.mapped;
        params.outputBitstream = self.outputs[at];
        params.bufferFmt = input.format;
        params.pictureStruct = NV_ENC_PIC_STRUCT_FRAME;
        params.inputTimeStamp = self.next;
        params.inputDuration = 1;
        params.frameIdx = self.next as u32;
        params
    }

    pub fn encode_with(&mut self, at: usize, change: impl FnOnce(&mut NV_ENC_PIC_PARAMS)) -> NVENCSTATUS {
        let mut params = self.picture(at);
        change(&mut params);
        let status = call!(self.driver.table, nvEncEncodePicture(self.encoder, &raw mut *params));
        self.next += u64::from(matches!(status, NV_ENC_SUCCESS | NV_ENC_ERR_NEED_MORE_INPUT));
        status
    }

    pub fn encode(&mut self, at: usize) -> NVENCSTATUS {
        self.encode_with(at, |_| {})
    }

    pub fn lock(&self, at: usize, wait: bool) -> (NVENCSTATUS, Box<NV_ENC_LOCK_BITSTREAM>, Vec<u32>) {
        let mut params = self.driver.api.fresh::<NV_ENC_LOCK_BITSTREAM>();
        let mut offsets = vec![0; 1_000];
        params.outputBitstream = self.outputs[at];
        params.sliceOffsets = offsets.as_mut_ptr();
        NV_ENC_LOCK_BITSTREAM::doNotWait.set(&mut params.flags, u32::from(!wait));
        let status = call!(self.driver.table, nvEncLockBitstream(self.encoder, &raw mut *params));
        offsets.truncate(params.numSlices as usize);
        (status, params, offsets)
    }

    pub fn unlock(&self, at: usize) -> NVENCSTATUS {
        call!(self.driver.table, nvEncUnlockBitstream(self.encoder, self.outputs[at]))
    }

    /// Locks the whole picture, copies it out, and unlocks.
    pub fn read(&self, at: usize) -> (Vec<u8>, Box<NV_ENC_LOCK_BITSTREAM>) {
        let (status, params, _) = self.lock(at, true);
        assert_eq!((status, params.hwEncodeStatus), (NV_ENC_SUCCESS, 2), "{}", self.words());
        let bytes = bytes_of(&params).to_vec();
        assert_eq!(self.unlock(at), NV_ENC_SUCCESS);
        (bytes, params)
    }

    pub fn invalidate(&self, time_stamp: u64) -> NVENCSTATUS {
        call!(self.driver.table, nvEncInvalidateRefFrames(self.encoder, time_stamp))
    }

    /// Changes the set-up.
    pub fn reconfigure(&mut self, flags: u32, change: impl FnOnce(&mut Setup)) -> NVENCSTATUS {
        let mut setup = Setup { params: self.setup.params.clone(), config: self.setup.config.clone() };
        change(&mut setup);
        setup.params.encodeConfig = &raw mut *setup.config;
        let mut params = self.driver.api.fresh::<NV_ENC_RECONFIGURE_PARAMS>();
        params.reInitEncodeParams = *setup.params;
        params.set_flags(self.driver.api, flags);
        let status = call!(self.driver.table, nvEncReconfigureEncoder(self.encoder, &raw mut *params));
        if status == NV_ENC_SUCCESS {
            self.setup = setup;
        }
        status
    }

    /// Tells the encoder that no picture follows.
    pub fn end(&mut self) -> NVENCSTATUS {
        let mut params = self.driver.api.fresh::<NV_ENC_PIC_PARAMS>();
        params.encodePicFlags = NV_ENC_PIC_FLAG_EOS.0;
        call!(self.driver.table, nvEncEncodePicture(self.encoder, &raw mut *params))
    }

    /// Gives everything back in order.
    pub fn close(mut self) {
        assert_eq!(self.end(), NV_ENC_SUCCESS, "{}", self.words());
        for at in 0..self.inputs.len() {
            assert_eq!(self.unmap(at), NV_ENC_SUCCESS, "{}", self.words());
            assert_eq!(self.unregister(at), NV_ENC_SUCCESS, "{}", self.words());
        }
        for at in 0..self.outputs.len() {
            assert_eq!(self.destroy_output(at), NV_ENC_SUCCESS, "{}", self.words());
        }
        assert_eq!(self.destroy(), NV_ENC_SUCCESS);
    }

    pub fn destroy(self) -> NVENCSTATUS {
        call!(self.driver.table, nvEncDestroyEncoder(self.encoder))
    }
}

/// What is there of a locked picture.
pub fn bytes_of(params: &NV_ENC_LOCK_BITSTREAM) -> &[u8] {
    // SAFETY: the driver says that so many bytes are there while it is locked.
    unsafe {
        std::slice::from_raw_parts(
            params.bitstreamBufferPtr.cast::<u8>(),
            params.bitstreamSizeInBytes as usize,
        )
    }
}

/// Runs a test of this program in a process of its own, with other variables.
pub fn in_child(test: &str, variables: &[(&str, &str)]) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads", "1"])
        .envs(variables.iter().copied())
        .env("STAND_IN_CHILD", "1")
        .output()
        .unwrap()
}

/// … which must run it, and pass.
pub fn assert_in_child(test: &str, variables: &[(&str, &str)]) {
    let output = in_child(test, variables);
    let ran = String::from_utf8_lossy(&output.stdout).contains("1 passed");
    assert!(output.status.success() && ran, "{}", String::from_utf8_lossy(&output.stderr));
}

/// Whether this is such a process.
pub fn is_child() -> bool {
    std::env::var_os("STAND_IN_CHILD").is_some()
}
