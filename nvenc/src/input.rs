//! What is encoded: a picture in device memory, registered with the driver once and found again.

use std::sync::Arc;

use punktfunk_cuda::{DeviceBuffer, Extent, Rows};

use crate::caps::Format;
use crate::encoder::Encoder;
use crate::error::NvencError;
use crate::limits::INPUTS_MAX;
use crate::sys::*;

/// A picture in device memory: planes one after the other, all with one pitch. A handle, cheap to clone.
#[derive(Debug, Clone)]
pub struct Input {
    place: Place,
    /// Keeps the memory for as long as the driver knows of it.
    keep: Option<Arc<dyn DeviceBuffer>>,
}

/// Where it lies, and as what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) pointer: u64,
    pub(crate) pitch: u32,
    pub(crate) format: Format,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl Input {
    /// A picture of `width` × `height` in `memory`, the first row of luma where `rows` says.
    ///
    /// # Errors
    /// It is not within the memory.
    pub fn new(
        memory: Arc<dyn DeviceBuffer>,
        rows: Rows,
        format: Format,
        width: u32,
        height: u32,
    ) -> Result<Input, NvencError> {
        let extent = Extent { width_bytes: format.row_bytes(width), rows: format.rows(height) };
        rows.check(extent, memory.bytes())?;
        let pitch = u32::try_from(rows.pitch)
            .map_err(|_| NvencError::Request { what: "rows of more than four gigabytes" })?;
        let pointer = memory.pointer() + rows.offset as u64;
        Ok(Input { place: Place { pointer, pitch, format, width, height }, keep: Some(memory) })
    }

    #[cfg(test)]
    pub(crate) fn at(place: Place) -> Input {
        Input { place, keep: None }
    }

    /// Whether it is a picture of that kind.
    pub(crate) fn is(&self, format: Format, width: u32, height: u32) -> bool {
        (self.place.format, self.place.width, self.place.height) == (format, width, height)
    }

    /// The handle of the context that it is in, where it is in one.
    pub(crate) fn context(&self) -> Option<*mut std::ffi::c_void> {
        self.keep.as_ref().map(|memory| memory.context().raw())
    }
}

/// A registered input.
#[derive(Debug)]
struct Known {
    input: Input,
    registered: NV_ENC_REGISTERED_PTR,
    /// When it was last used, in registrations and uses.
    used: u64,
}

/// A mapped one: [`Mapped::unmap`] ends it.
#[derive(Debug)]
#[must_use]
pub(crate) struct Mapped {
    raw: NV_ENC_INPUT_PTR,
}

impl Mapped {
    pub(crate) fn raw(&self) -> NV_ENC_INPUT_PTR {
        self.raw
    }

    pub(crate) fn unmap(self, encoder: &Encoder) -> Result<(), NvencError> {
        // SAFETY: it was mapped by `Inputs::map`; whoever has it ends it when the picture is done.
        unsafe { encoder.unmap(self.raw) }
    }
}

/// What became of the inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct InputCounts {
    pub(crate) registered: u64,
    pub(crate) found: u64,
    pub(crate) evicted: u64,
}

/// Every input that the driver knows of.
#[derive(Debug)]
pub(crate) struct Inputs {
    known: Vec<Known>,
    clock: u64,
    map: Box<NV_ENC_MAP_INPUT_RESOURCE>,
    pub(crate) counts: InputCounts,
}

// SAFETY: the driver's handles may be used by any thread, by one at a time; it is not `Sync`.
unsafe impl Send for Inputs {}

impl Inputs {
    pub(crate) fn new(api: Api) -> Inputs {
        let known = Vec::with_capacity(INPUTS_MAX);
        Inputs { known, clock: 0, map: api.fresh(), counts: InputCounts::default() }
    }

    /// The registration of `input`: from before, or made now; the one that was not used for longest goes for it.
    pub(crate) fn register(
        &mut self,
        encoder: &Encoder,
        input: &Input,
    ) -> Result<NV_ENC_REGISTERED_PTR, NvencError> {
        self.clock += 1;
        if let Some(known) = self.known.iter_mut().find(|known| known.input.place == input.place) {
            known.used = self.clock;
            self.counts.found += 1;
            return Ok(known.registered);
        }
        if self.known.len() == INPUTS_MAX {
            self.evict(encoder)?;
        }
        let place = input.place;
        let mut params = encoder.api().fresh::<NV_ENC_REGISTER_RESOURCE>();
        params.resourceType = NV_ENC_INPUT_RESOURCE_TYPE_CUDADEVICEPTR;
        (params.width, params.height, params.pitch) = (place.width, place.height, place.pitch);
        params.resourceToRegister = std::ptr::without_provenance_mut(place.pointer as usize);
        params.bufferFormat = place.format.number();
        params.bufferUsage = NV_ENC_INPUT_IMAGE;
        // SAFETY: `Input::new` has checked the place, and `known` keeps the memory.
        let registered = unsafe { encoder.register(&mut params) }?;
        self.known.push(Known { input: input.clone(), registered, used: self.clock });
        self.counts.registered += 1;
        Ok(registered)
    }

    fn evict(&mut self, encoder: &Encoder) -> Result<(), NvencError> {
        let oldest = self.known.iter().enumerate().min_by_key(|(_, known)| known.used);
        let Some(at) = oldest.map(|(at, _)| at) else { return Ok(()) };
        let gone = self.known.swap_remove(at);
        self.counts.evicted += 1;
        // SAFETY: it is used no more, and not mapped: a picture's input is mapped only while that is encoded, and no input is
        // registered meanwhile.
        unsafe { encoder.unregister(gone.registered) }
    }

    /// Maps `input` for one picture.
    pub(crate) fn map(&mut self, encoder: &Encoder, input: &Input) -> Result<Mapped, NvencError> {
        let registered = self.register(encoder, input)?;
        // SAFETY: it is this session's.
        let raw = unsafe { encoder.map(&mut self.map, registered) }?;
        Ok(Mapped { raw })
    }

    /// Unregisters every input that is not of that kind: the session encodes no other from now on. One that the driver
    /// refuses to let go stays, with its memory.
    pub(crate) fn retain(&mut self, encoder: &Encoder, format: Format, width: u32, height: u32) {
        let Self { known, counts, .. } = self;
        known.retain(|known| {
            if known.input.is(format, width, height) {
                return true;
            }
            // SAFETY: it is used no more, and not mapped: nothing is encoded.
            let is_gone = unsafe { encoder.unregister(known.registered) }.is_ok();
            counts.evicted += u64::from(is_gone);
            !is_gone
        });
    }

    /// Keeps the memory of every input for good: the driver may read it for as long as the process lives.
    pub(crate) fn leave(&mut self) {
        std::mem::forget(std::mem::take(&mut self.known));
    }

    /// Unregisters everything.
    pub(crate) fn clear(&mut self, encoder: &Encoder) {
        for known in self.known.drain(..) {
            // SAFETY: nothing is encoded any more; a refusal leaves it to the session's end.
            drop(unsafe { encoder.unregister(known.registered) });
        }
    }
}
