//! NVIDIA's parser, and what it calls back.
//!
//! Promises: no panic runs into the driver's frames, and nothing the parser says is believed beyond what [`Format`] and the
//! driver's own checks take. Callbacks come only within [`Parser::parse`], on its thread.

#![allow(unsafe_code)]

use std::ffi::{c_int, c_ulong, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use punktfunk_cuda::{Context, CudaError};

use crate::caps::Codec;
use crate::error::{Flaw, NvdecError};
use crate::hardware::{Format, Hardware};
use crate::library::{Library, call};
use crate::sys::{
    CUVIDEOFORMAT, CUVIDPARSERDISPINFO, CUVIDPARSERPARAMS, CUVIDPICPARAMS, CUVIDSOURCEDATAPACKET,
    CUvideoparser, DisplayCallback,
};

/// What callbacks find and leave.
#[derive(Debug)]
pub(crate) struct State {
    library: Library,
    context: Context,
    codec: Codec,
    hardware: Option<Arc<Hardware>>,
    /// Pictures that come are parts of one that was given up: they are not decoded.
    pub(crate) is_discarding: bool,
    /// The surface of the newest picture, and its decoder.
    pub(crate) ready: Option<(Arc<Hardware>, c_int)>,
    /// The first thing that went wrong since it was last taken.
    pub(crate) fault: Option<NvdecError>,
    /// Decoders made.
    pub(crate) made: u64,
}

impl State {
    fn sequence(&mut self, said: &CUVIDEOFORMAT) -> Result<c_int, NvdecError> {
        let format = Format::parse(said).map_err(|flaw| {
            // What follows is of this sequence, and must not go to the decoder of another.
            self.hardware = None;
            NvdecError::Refused(flaw)
        })?;
        let surfaces = c_int::from(format.surfaces);
        if self.hardware.as_ref().is_some_and(|hardware| hardware.format == format) {
            return Ok(surfaces);
        }
        // The old one goes first, or with the last picture that it lent: the device may not hold both.
        self.ready = None;
        self.hardware = None;
        self.hardware = Some(Hardware::new(&self.library, &self.context, self.codec, format)?);
        self.made += 1;
        Ok(surfaces)
    }

    /// # Safety
    /// `picture` is the parser's, within its callback.
    unsafe fn decode(&mut self, picture: *mut CUVIDPICPARAMS) -> Result<c_int, NvdecError> {
        if self.is_discarding {
            return Ok(1);
        }
        // SAFETY: the parser's word.
        let surface = unsafe { (*picture).CurrPicIdx };
        let hardware = self.hardware.as_ref().ok_or(NvdecError::Refused(Flaw::Order))?;
        if !(0..c_int::from(hardware.format.surfaces)).contains(&surface) {
            return Err(NvdecError::Refused(Flaw::Order));
        }
        // SAFETY: as above.
        unsafe { hardware.decode(picture) }?;
        if self.codec != Codec::Av1 {
            self.ready = Some((hardware.clone(), surface));
        }
        Ok(1)
    }

    fn display(&mut self, shown: &CUVIDPARSERDISPINFO) -> Result<c_int, NvdecError> {
        let hardware = self.hardware.as_ref().ok_or(NvdecError::Refused(Flaw::Order))?;
        if !(0..c_int::from(hardware.format.surfaces)).contains(&shown.picture_index) {
            return Err(NvdecError::Refused(Flaw::Order));
        }
        if !self.is_discarding {
            self.ready = Some((hardware.clone(), shown.picture_index));
        }
        Ok(1)
    }
}

/// A parser, and what its callbacks work on.
#[derive(Debug)]
pub(crate) struct Parser {
    raw: CUvideoparser,
    /// A box that was let go: the driver has its address, too.
    state: NonNull<State>,
    library: Library,
    context: Context,
}

// SAFETY: the parser belongs to no thread; whoever has it alone calls it, and callbacks come within the call. The state is
// `Send` by its parts.
unsafe impl Send for Parser {}

impl Parser {
    pub(crate) fn new(library: &Library, context: &Context, codec: Codec) -> Result<Self, NvdecError> {
        let state = NonNull::from(Box::leak(Box::new(State {
            library: library.clone(),
            context: context.clone(),
            codec,
            hardware: None,
            is_discarding: false,
            ready: None,
            fault: None,
            made: 0,
        })));
        // From here on its drop takes the box back; a parser that is null is none.
        let mut parser =
            Self { raw: ptr::null_mut(), state, library: library.clone(), context: context.clone() };
        // AV1 has pictures that are not shown, and only the display callback tells. Elsewhere what is decoded is shown.
        let display: Option<DisplayCallback> = (codec == Codec::Av1).then_some(on_display as DisplayCallback);
        let mut params = CUVIDPARSERPARAMS {
            CodecType: codec.number(),
            // The sequence's callback says how many.
            ulMaxNumDecodeSurfaces: 1,
            ulClockRate: 0,
            ulErrorThreshold: 0,
            ulMaxDisplayDelay: 0,
            bAnnexb: 0,
            uReserved1: [0; 4],
            pUserData: state.as_ptr().cast(),
            pfnSequenceCallback: Some(on_sequence),
            pfnDecodePicture: Some(on_decode),
            pfnDisplayPicture: display,
            pfnGetOperatingPoint: ptr::null(),
            pfnGetSEIMsg: ptr::null(),
            pvReserved2: [ptr::null_mut(); 5],
            pExtVideoInfo: ptr::null_mut(),
        };
        let raw = &raw mut parser.raw;
        Library::within(context, || {
            // SAFETY: one pointer is written to where there is room; the state stays where it is until the parser is gone.
            unsafe { call!(library, context, cuvidCreateVideoParser(raw, &raw mut params)) }
        })?;
        Ok(parser)
    }

    /// Hands bytes to the parser, which calls back for what it finds in them.
    pub(crate) fn parse(&mut self, bytes: &[u8], flags: c_ulong) -> Result<(), CudaError> {
        let mut packet = CUVIDSOURCEDATAPACKET {
            flags,
            payload_size: bytes.len() as c_ulong,
            payload: bytes.as_ptr(),
            timestamp: 0,
        };
        Library::within(&self.context, || {
            // SAFETY: the bytes are borrowed for the call. Callbacks have the state by its address, and nobody else has a
            // reference to it meanwhile: `self` is borrowed alone, and `state` is asked for by `state_mut` only.
            unsafe { call!(self.library, self.context, cuvidParseVideoData(self.raw, &raw mut packet)) }
        })
    }

    pub(crate) fn state_mut(&mut self) -> &mut State {
        // SAFETY: the box is this parser's, which is borrowed alone, and no call is under way that could call back.
        unsafe { self.state.as_mut() }
    }
}

impl Drop for Parser {
    fn drop(&mut self) {
        if !self.raw.is_null() {
            let destroyed = Library::within(&self.context, || {
                // SAFETY: it is destroyed once, and calls nothing back after.
                unsafe { call!(self.library, self.context, cuvidDestroyVideoParser(self.raw)) }
            });
            // A driver that fails here has no parser any more.
            drop(destroyed);
        }
        // SAFETY: it was let go in `new`, and nobody has its address any more.
        drop(unsafe { Box::from_raw(self.state.as_ptr()) });
    }
}

/// Has a callback's work done; keeps what went wrong, and tells the parser to stop.
///
/// # Safety
/// `user` is the address of a parser's state, to which nobody has a reference.
unsafe fn called(user: *mut c_void, work: impl FnOnce(&mut State) -> Result<c_int, NvdecError>) -> c_int {
    // SAFETY: the caller's word.
    let state = unsafe { &mut *user.cast::<State>() };
    let done = catch_unwind(AssertUnwindSafe(|| work(state))).unwrap_or(Err(NvdecError::Panicked));
    done.unwrap_or_else(|error| {
        state.fault.get_or_insert(error);
        0
    })
}

unsafe extern "C" fn on_sequence(user: *mut c_void, format: *mut CUVIDEOFORMAT) -> c_int {
    // SAFETY: the parser gives its user's pointer, and a format that lives for the call.
    unsafe { called(user, |state| state.sequence(&*format)) }
}

unsafe extern "C" fn on_decode(user: *mut c_void, picture: *mut CUVIDPICPARAMS) -> c_int {
    // SAFETY: the parser gives its user's pointer, and a picture that lives for the call.
    unsafe { called(user, |state| state.decode(picture)) }
}

unsafe extern "C" fn on_display(user: *mut c_void, shown: *mut CUVIDPARSERDISPINFO) -> c_int {
    if shown.is_null() {
        // The stream's end, which nobody asked to be told.
        return 1;
    }
    // SAFETY: the parser gives its user's pointer, and what lives for the call.
    unsafe { called(user, |state| state.display(&*shown)) }
}
