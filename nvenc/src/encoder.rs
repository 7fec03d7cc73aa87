//! One open session of the driver's: its handle, and the calls that are made on it.
//!
//! Promises: closed once, with the context current that it was opened in. Each call is checked; what comes back as a list or
//! a handle is checked, too. Knows nothing of order: that is the session's.

use std::ffi::c_void;
use std::fmt;
use std::ptr;
use std::sync::Arc;

use punktfunk_cuda::{Context, CudaError, Current, Stream};

use crate::caps::Codec;
use crate::error::{Lack, Nonsense, NvencError};
use crate::library::{Library, driver_text};
use crate::limits::LIST_MAX;
use crate::sys::*;

/// Where an encoder runs: a CUDA context and a stream of it.
pub(crate) trait Ground: fmt::Debug + Send {
    /// The context's handle.
    fn context(&self) -> *mut c_void;
    /// The stream's handle.
    fn stream(&self) -> Option<*mut c_void>;
    /// The card's name.
    fn device(&self) -> &str;
    /// Makes the context current.
    fn enter(&self) -> Result<Option<Current<'_>>, CudaError>;
}

/// CUDA's.
pub(crate) struct CudaGround {
    pub(crate) context: Context,
    /// Kept: the driver has its handle.
    pub(crate) stream: Option<Arc<Stream>>,
}

impl fmt::Debug for CudaGround {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CudaGround").field("device", &self.device()).finish_non_exhaustive()
    }
}

impl Ground for CudaGround {
    fn context(&self) -> *mut c_void {
        self.context.raw()
    }

    fn stream(&self) -> Option<*mut c_void> {
        self.stream.as_ref().map(|stream| stream.raw())
    }

    fn device(&self) -> &str {
        self.context.device().name()
    }

    fn enter(&self) -> Result<Option<Current<'_>>, CudaError> {
        self.context.enter().map(Some)
    }
}

/// An open session.
#[derive(Debug)]
pub(crate) struct Encoder {
    library: Library,
    ground: Arc<dyn Ground + Sync>,
    raw: *mut c_void,
    /// The stream's handle, at an address that the driver keeps.
    stream: Box<*mut c_void>,
}

// SAFETY: the driver's handle may be used by any thread, by one at a time; `Encoder` is not `Sync`.
unsafe impl Send for Encoder {}

impl Encoder {
    /// Opens a session.
    ///
    /// # Errors
    /// The card has no encoder, or gives no more sessions, or CUDA fails.
    pub(crate) fn open(library: &Library, ground: &Arc<dyn Ground + Sync>) -> Result<Encoder, NvencError> {
        let _current = ground.enter()?;
        let api = library.api();
        let call = "nvEncOpenEncodeSessionEx";
        let mut params = api.fresh::<NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS>();
        params.deviceType = NV_ENC_DEVICE_TYPE_CUDA;
        params.device = ground.context();
        params.apiVersion = api.word();
        let mut raw = ptr::null_mut();
        // SAFETY: the parameters bear `api`'s version word, and the context outlives the session.
        let status =
            unsafe { (library.functions().nvEncOpenEncodeSessionEx)(&raw mut *params, &raw mut raw) };
        if status != NV_ENC_SUCCESS {
            let said = library.functions().said(raw, status);
            if !raw.is_null() {
                // The header asks for this even of a session that could not be opened.
                // SAFETY: the driver's own handle, used no more.
                unsafe { (library.functions().nvEncDestroyEncoder)(raw) };
            }
            return Err(NvencError::of_opening(call, said, ground.device(), api, driver_text));
        }
        if raw.is_null() {
            return Err(NvencError::Hostile { call, what: Nonsense::Null });
        }
        let stream = Box::new(ground.stream().unwrap_or(ptr::null_mut()));
        Ok(Encoder { library: library.clone(), ground: Arc::clone(ground), raw, stream })
    }

    pub(crate) fn api(&self) -> Api {
        self.library.api()
    }

    pub(crate) fn device(&self) -> &str {
        self.ground.device()
    }

    /// Makes its context current; every verb of a session does that first.
    pub(crate) fn enter(&self) -> Result<Option<Current<'_>>, NvencError> {
        Ok(self.ground.enter()?)
    }

    fn checked(&self, call: &'static str, status: NVENCSTATUS) -> Result<(), NvencError> {
        self.library.functions().checked(self.raw, call, status)
    }

    /// A list in two calls: how many, and which.
    fn list<T: Copy>(
        &self,
        calls: [&'static str; 2],
        empty: T,
        count: impl FnOnce(*mut u32) -> NVENCSTATUS,
        fill: impl FnOnce(*mut T, u32, *mut u32) -> NVENCSTATUS,
    ) -> Result<Vec<T>, NvencError> {
        let mut most = 0;
        self.checked(calls[0], count(&raw mut most))?;
        if most > LIST_MAX {
            let what = Nonsense::Count { got: most, most: LIST_MAX };
            return Err(NvencError::Hostile { call: calls[0], what });
        }
        let mut list = vec![empty; most as usize];
        let mut got = 0;
        if most > 0 {
            self.checked(calls[1], fill(list.as_mut_ptr(), most, &raw mut got))?;
        }
        if got > most {
            return Err(NvencError::Hostile { call: calls[1], what: Nonsense::Count { got, most } });
        }
        list.truncate(got as usize);
        Ok(list)
    }

    /// The codecs that the card encodes.
    pub(crate) fn codecs(&self) -> Result<Vec<GUID>, NvencError> {
        let functions = *self.library.functions();
        self.list(
            ["nvEncGetEncodeGUIDCount", "nvEncGetEncodeGUIDs"],
            GUID::default(),
            // SAFETY: the session is open; one number is written.
            |count| unsafe { (functions.nvEncGetEncodeGUIDCount)(self.raw, count) },
            // SAFETY: as above; there is room for `most` of them.
            |list, most, got| unsafe { (functions.nvEncGetEncodeGUIDs)(self.raw, list, most, got) },
        )
    }

    /// The input formats that the card takes for `codec`.
    pub(crate) fn formats(&self, codec: Codec) -> Result<Vec<NV_ENC_BUFFER_FORMAT>, NvencError> {
        let functions = *self.library.functions();
        let guid = codec.guid();
        self.list(
            ["nvEncGetInputFormatCount", "nvEncGetInputFormats"],
            NV_ENC_BUFFER_FORMAT_UNDEFINED,
            // SAFETY: the session is open; one number is written.
            |count| unsafe { (functions.nvEncGetInputFormatCount)(self.raw, guid, count) },
            // SAFETY: as above; there is room for `most` of them.
            |list, most, got| unsafe { (functions.nvEncGetInputFormats)(self.raw, guid, list, most, got) },
        )
    }

    /// One cap. One that the driver does not know is 0.
    pub(crate) fn cap(&self, codec: Codec, cap: NV_ENC_CAPS) -> Result<i32, NvencError> {
        let mut params = self.api().fresh::<NV_ENC_CAPS_PARAM>();
        params.capsToQuery = cap;
        let mut value = 0;
        let functions = self.library.functions();
        // SAFETY: the session is open, the parameters bear the version word, and one number is written.
        let status = unsafe {
            (functions.nvEncGetEncodeCaps)(self.raw, codec.guid(), &raw mut *params, &raw mut value)
        };
        match status {
            NV_ENC_ERR_UNSUPPORTED_PARAM | NV_ENC_ERR_INVALID_PARAM => Ok(0),
            status => self.checked("nvEncGetEncodeCaps", status).map(|()| value),
        }
    }

    /// The configuration of preset P1 for ultra low latency.
    pub(crate) fn preset(&self, codec: Codec) -> Result<Box<NV_ENC_CONFIG>, NvencError> {
        let mut preset = self.api().fresh::<NV_ENC_PRESET_CONFIG>();
        preset.presetCfg.version = self.api().version_of::<NV_ENC_CONFIG>();
        preset.presetCfg.rcParams.version = self.api().version_of::<NV_ENC_RC_PARAMS>();
        let functions = self.library.functions();
        // SAFETY: the session is open, and the structure bears its version words.
        let status = unsafe {
            (functions.nvEncGetEncodePresetConfigEx)(
                self.raw,
                codec.guid(),
                NV_ENC_PRESET_P1_GUID,
                NV_ENC_TUNING_INFO_ULTRA_LOW_LATENCY,
                &raw mut *preset,
            )
        };
        if matches!(status, NV_ENC_ERR_UNSUPPORTED_PARAM | NV_ENC_ERR_INVALID_PARAM) {
            let device = self.device().to_owned();
            return Err(NvencError::Unable { device, codec, what: Lack::Preset });
        }
        self.checked("nvEncGetEncodePresetConfigEx", status)?;
        let mut config = zeroed::<NV_ENC_CONFIG>();
        *config = preset.presetCfg;
        config.version = self.api().version_of::<NV_ENC_CONFIG>();
        config.rcParams.version = self.api().version_of::<NV_ENC_RC_PARAMS>();
        Ok(config)
    }

    /// # Safety
    /// `params.encodeConfig` points to a configuration.
    pub(crate) unsafe fn initialize(&self, params: &mut NV_ENC_INITIALIZE_PARAMS) -> Result<(), NvencError> {
        // SAFETY: the session is open; the caller's promise.
        let status = unsafe { (self.library.functions().nvEncInitializeEncoder)(self.raw, params) };
        self.checked("nvEncInitializeEncoder", status)
    }

    /// # Safety
    /// The parameters' `encodeConfig` points to a configuration.
    pub(crate) unsafe fn reconfigure(
        &self,
        params: &mut NV_ENC_RECONFIGURE_PARAMS,
    ) -> Result<(), NvencError> {
        // SAFETY: the session is open; the caller's promise.
        let status = unsafe { (self.library.functions().nvEncReconfigureEncoder)(self.raw, params) };
        self.checked("nvEncReconfigureEncoder", status)
    }

    /// Orders the encoder's work behind what is on the stream, where there is one.
    pub(crate) fn follow_stream(&self) -> Result<(), NvencError> {
        if self.stream.is_null() {
            return Ok(());
        }
        // It is only read.
        let place: NV_ENC_CUSTREAM_PTR = std::ptr::from_ref(&*self.stream).cast_mut().cast();
        // SAFETY: the session is open; the handle lies at that address for as long as the session does.
        let status = unsafe { (self.library.functions().nvEncSetIOCudaStreams)(self.raw, place, place) };
        self.checked("nvEncSetIOCudaStreams", status)
    }

    pub(crate) fn create_output(&self) -> Result<NV_ENC_OUTPUT_PTR, NvencError> {
        let call = "nvEncCreateBitstreamBuffer";
        let mut params = self.api().fresh::<NV_ENC_CREATE_BITSTREAM_BUFFER>();
        // SAFETY: the session is open, and the parameters bear the version word.
        let status =
            unsafe { (self.library.functions().nvEncCreateBitstreamBuffer)(self.raw, &raw mut *params) };
        self.checked(call, status)?;
        if params.bitstreamBuffer.is_null() {
            return Err(NvencError::Hostile { call, what: Nonsense::Null });
        }
        Ok(params.bitstreamBuffer)
    }

    /// # Safety
    /// `output` is this session's, not locked, and used no more.
    pub(crate) unsafe fn destroy_output(&self, output: NV_ENC_OUTPUT_PTR) -> Result<(), NvencError> {
        // SAFETY: the caller's promise.
        let status = unsafe { (self.library.functions().nvEncDestroyBitstreamBuffer)(self.raw, output) };
        self.checked("nvEncDestroyBitstreamBuffer", status)
    }

    /// # Safety
    /// The memory that `params` name is as they say, and stays until it is unregistered.
    pub(crate) unsafe fn register(
        &self,
        params: &mut NV_ENC_REGISTER_RESOURCE,
    ) -> Result<NV_ENC_REGISTERED_PTR, NvencError> {
        let call = "nvEncRegisterResource";
        // SAFETY: the session is open; the caller's promise.
        let status = unsafe { (self.library.functions().nvEncRegisterResource)(self.raw, params) };
        self.checked(call, status)?;
        if params.registeredResource.is_null() {
            return Err(NvencError::Hostile { call, what: Nonsense::Null });
        }
        Ok(params.registeredResource)
    }

    /// # Safety
    /// `registered` is this session's, not mapped, and used no more.
    pub(crate) unsafe fn unregister(&self, registered: NV_ENC_REGISTERED_PTR) -> Result<(), NvencError> {
        // SAFETY: the caller's promise.
        let status = unsafe { (self.library.functions().nvEncUnregisterResource)(self.raw, registered) };
        self.checked("nvEncUnregisterResource", status)
    }

    /// # Safety
    /// `registered` is this session's.
    pub(crate) unsafe fn map(
        &self,
        params: &mut NV_ENC_MAP_INPUT_RESOURCE,
        registered: NV_ENC_REGISTERED_PTR,
    ) -> Result<NV_ENC_INPUT_PTR, NvencError> {
        let call = "nvEncMapInputResource";
        params.registeredResource = registered;
        params.mappedResource = ptr::null_mut();
        params.mappedBufferFmt = NV_ENC_BUFFER_FORMAT_UNDEFINED;
        // SAFETY: the session is open; the caller's promise.
        let status = unsafe { (self.library.functions().nvEncMapInputResource)(self.raw, params) };
        self.checked(call, status)?;
        if params.mappedResource.is_null() {
            return Err(NvencError::Hostile { call, what: Nonsense::Null });
        }
        Ok(params.mappedResource)
    }

    /// # Safety
    /// `mapped` is this session's, and no picture is encoded from it any more.
    pub(crate) unsafe fn unmap(&self, mapped: NV_ENC_INPUT_PTR) -> Result<(), NvencError> {
        // SAFETY: the caller's promise.
        let status = unsafe { (self.library.functions().nvEncUnmapInputResource)(self.raw, mapped) };
        self.checked("nvEncUnmapInputResource", status)
    }

    /// Hands a picture in. The status is the caller's to read: some of them only mean "later".
    ///
    /// # Safety
    /// Input, output and payloads that `params` name are this session's and stay until the picture is done.
    pub(crate) unsafe fn encode(&self, params: &mut NV_ENC_PIC_PARAMS) -> NVENCSTATUS {
        // SAFETY: the caller's promise.
        unsafe { (self.library.functions().nvEncEncodePicture)(self.raw, params) }
    }

    /// The error of a status of [`Encoder::encode`] or [`Encoder::lock`].
    pub(crate) fn failed(&self, call: &'static str, status: NVENCSTATUS) -> NvencError {
        NvencError::of_session(call, self.library.functions().said(self.raw, status))
    }

    /// # Safety
    /// `params.outputBitstream` is this session's; `params.sliceOffsets` has room for what the configuration can report.
    pub(crate) unsafe fn lock(&self, params: &mut NV_ENC_LOCK_BITSTREAM) -> NVENCSTATUS {
        // SAFETY: the caller's promise.
        unsafe { (self.library.functions().nvEncLockBitstream)(self.raw, params) }
    }

    /// # Safety
    /// `output` is locked, and nobody reads its memory any more.
    pub(crate) unsafe fn unlock(&self, output: NV_ENC_OUTPUT_PTR) -> Result<(), NvencError> {
        // SAFETY: the caller's promise.
        let status = unsafe { (self.library.functions().nvEncUnlockBitstream)(self.raw, output) };
        self.checked("nvEncUnlockBitstream", status)
    }

    /// The parameter sets that an IDR begins with.
    pub(crate) fn parameter_sets(&self) -> Result<Vec<u8>, NvencError> {
        let call = "nvEncGetSequenceParams";
        let mut sets = vec![0; NV_MAX_SEQ_HDR_LEN as usize];
        let mut got = 0;
        let mut params = self.api().fresh::<NV_ENC_SEQUENCE_PARAM_PAYLOAD>();
        params.inBufferSize = NV_MAX_SEQ_HDR_LEN;
        params.spsppsBuffer = sets.as_mut_ptr().cast();
        params.outSPSPPSPayloadSize = &raw mut got;
        // SAFETY: the session is open; there is room for as much as is said, and for one number.
        let status = unsafe { (self.library.functions().nvEncGetSequenceParams)(self.raw, &raw mut *params) };
        self.checked(call, status)?;
        if got > NV_MAX_SEQ_HDR_LEN {
            let what = Nonsense::Size { got, most: NV_MAX_SEQ_HDR_LEN };
            return Err(NvencError::Hostile { call, what });
        }
        sets.truncate(got as usize);
        Ok(sets)
    }

    pub(crate) fn invalidate(&self, picture: u64) -> Result<(), NvencError> {
        // SAFETY: the session is open.
        let status = unsafe { (self.library.functions().nvEncInvalidateRefFrames)(self.raw, picture) };
        self.checked("nvEncInvalidateRefFrames", status)
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // A context that is gone has taken the session with it.
        let Ok(_current) = self.ground.enter() else { return };
        // SAFETY: the session is open and used no more; what was made of it was destroyed before, or goes with it.
        unsafe { (self.library.functions().nvEncDestroyEncoder)(self.raw) };
    }
}
