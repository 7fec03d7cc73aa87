//! Memory of the device's, and pinned memory of the host's.

use std::ffi::{c_int, c_uint};
use std::sync::Arc;

use crate::code::{INVALID_VALUE, OUT_OF_MEMORY};
use crate::entry::calls;
use crate::region::{Kind, Pages, Region};
use crate::state::{DEVICE_BYTES, Result, State, breach, put};

/// Rows stand so far apart, as on NVIDIA's devices.
const PITCH: usize = 512;

impl State {
    /// Enters `bytes` at `start` within `pages`.
    pub(crate) fn enter(
        &mut self,
        start: usize,
        pages: Arc<Pages>,
        bytes: usize,
        kind: Kind,
        context: usize,
    ) {
        self.regions_ever += 1;
        let number = self.regions_ever;
        self.regions.insert(start, Region { _pages: pages, bytes, kind, context, number });
    }

    fn allocate(&mut self, call: &str, bytes: usize, kind: Kind) -> Result<usize> {
        let context = self.current(call)?;
        if bytes == 0 {
            return Err(breach(call, INVALID_VALUE, format_args!("0 bytes")));
        }
        if self.device_bytes().saturating_add(bytes) > DEVICE_BYTES {
            return Err(OUT_OF_MEMORY);
        }
        let pages = Pages::anonymous(bytes).map_err(|_| OUT_OF_MEMORY)?;
        let start = pages.start();
        self.enter(start, pages, bytes, kind, context);
        Ok(start)
    }

    fn free(&mut self, call: &str, address: usize, is_fine: impl Fn(Kind) -> bool) -> Result<()> {
        let context = self.current(call)?;
        match self.regions.get(&address) {
            Some(region) if is_fine(region.kind) && region.context == context => {}
            Some(region) => {
                let what = format_args!("the memory is {:?}, or of another context", region.kind);
                return Err(breach(call, INVALID_VALUE, what));
            }
            None => {
                return Err(breach(call, INVALID_VALUE, format_args!("nothing is there, or not any more")));
            }
        }
        self.regions.remove(&address);
        Ok(())
    }
}

calls! {
    /// `cuMemAlloc`
    fn cuMemAlloc_v2[call](pointer: *mut u64, bytes: usize) {
        let start = State::lock().allocate(call, bytes, Kind::Device)?;
        put(call, pointer, start as u64)
    }

    /// `cuMemAllocPitch`
    fn cuMemAllocPitch_v2[call](
        pointer: *mut u64, pitch: *mut usize, width_bytes: usize, rows: usize, element_bytes: c_uint,
    ) {
        if !matches!(element_bytes, 4 | 8 | 16) {
            return Err(breach(call, INVALID_VALUE, format_args!("elements of {element_bytes} bytes")));
        }
        let apart = width_bytes.next_multiple_of(PITCH);
        let start = State::lock().allocate(call, apart.saturating_mul(rows), Kind::Device)?;
        put(call, pitch, apart)?;
        put(call, pointer, start as u64)
    }

    /// `cuMemFree`
    fn cuMemFree_v2[call](pointer: u64) {
        let is_fine = |kind| matches!(kind, Kind::Device | Kind::Mapped(_));
        State::lock().free(call, pointer as usize, is_fine)
    }

    /// `cuMemHostAlloc`
    fn cuMemHostAlloc[call](pointer: *mut usize, bytes: usize, _flags: c_uint) {
        let start = State::lock().allocate(call, bytes, Kind::Host)?;
        put(call, pointer, start)
    }

    /// `cuMemFreeHost`
    fn cuMemFreeHost[call](pointer: usize) {
        State::lock().free(call, pointer, |kind| kind == Kind::Host)
    }

    /// Not of the driver's: whether `bytes` from `pointer` on are within one allocation of the device's. The stand-ins of
    /// NVIDIA's other libraries ask.
    fn punktfunk_standin_cuda_has[_call](pointer: u64, bytes: usize) {
        let state = State::lock();
        let region = state.region(pointer as usize, bytes).filter(|region| region.kind != Kind::Host);
        region.map(|_| ()).ok_or(INVALID_VALUE)
    }

    /// Not of the driver's: how many allocations, imports and semaphores there are.
    fn punktfunk_standin_cuda_held[call](count: *mut c_int) {
        let state = State::lock();
        let held = state.regions.len() + state.externals.len() + state.semaphores.len();
        put(call, count, c_int::try_from(held).unwrap_or(c_int::MAX))
    }
}
