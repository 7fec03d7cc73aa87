//! Copies and fills of rows.
//!
//! Checked when they are queued and once more when they are done: memory that went in between is the caller's fault.

#![allow(unsafe_code)]

use std::ptr;

use cudarc::driver::sys::{CUDA_MEMCPY2D, CUmemorytype};

use crate::code::{ILLEGAL_ADDRESS, INVALID_VALUE};
use crate::entry::calls;
use crate::region::{Kind, Region};
use crate::state::{Result, State, breach};

/// One end of a copy.
struct End {
    address: usize,
    pitch: usize,
    /// The allocation that it is in; none where it is the host's pageable memory.
    region: Option<Region>,
}

impl End {
    /// Finds the end in what is allotted.
    fn find(
        state: &State,
        call: &str,
        (kind, host, device): (CUmemorytype, usize, u64),
        (x, y, pitch): (usize, usize, usize),
        (width, rows): (usize, usize),
    ) -> Result<End> {
        let current = state.current(call)?;
        if rows > 1 && pitch < width {
            return Err(breach(call, INVALID_VALUE, format_args!("rows of {width} bytes, {pitch} apart")));
        }
        let base = if kind == CUmemorytype::CU_MEMORYTYPE_HOST { host } else { device as usize };
        let address = base.wrapping_add(y.wrapping_mul(pitch)).wrapping_add(x);
        let bytes = pitch.saturating_mul(rows.saturating_sub(1)).saturating_add(width);
        let region = state.region(address, bytes).cloned();
        match kind {
            CUmemorytype::CU_MEMORYTYPE_HOST if host == 0 => {
                Err(breach(call, INVALID_VALUE, format_args!("no host memory")))
            }
            CUmemorytype::CU_MEMORYTYPE_HOST => {
                let region = region.filter(|region| region.kind == Kind::Host);
                Ok(End { address, pitch, region })
            }
            CUmemorytype::CU_MEMORYTYPE_DEVICE => match region {
                Some(region) if region.kind != Kind::Host && region.context == current => {
                    Ok(End { address, pitch, region: Some(region) })
                }
                _ => {
                    let what = format_args!(
                        "{bytes} bytes at {address:#x} are not within one allocation of the context"
                    );
                    Err(breach(call, INVALID_VALUE, what))
                }
            },
            other => Err(breach(call, INVALID_VALUE, format_args!("{other:?} is not stood in for"))),
        }
    }

    fn is_alive(&self, state: &State) -> bool {
        self.region.as_ref().is_none_or(|region| state.is_alive(region))
    }
}

fn check_alive(call: &str, ends: &[&End]) -> Result<()> {
    let state = State::lock();
    if ends.iter().all(|end| end.is_alive(&state)) {
        return Ok(());
    }
    Err(breach(call, ILLEGAL_ADDRESS, format_args!("memory was freed while a stream still needed it")))
}

fn copy(call: &'static str, desc: &CUDA_MEMCPY2D, stream: usize) -> Result<()> {
    let state = State::lock();
    let queue = state.queue(call, stream)?;
    let (width, rows) = (desc.WidthInBytes, desc.Height);
    let from_place = (desc.srcXInBytes, desc.srcY, desc.srcPitch);
    let from_memory = (desc.srcMemoryType, desc.srcHost as usize, desc.srcDevice);
    let from = End::find(&state, call, from_memory, from_place, (width, rows))?;
    let to_place = (desc.dstXInBytes, desc.dstY, desc.dstPitch);
    let to_memory = (desc.dstMemoryType, desc.dstHost as usize, desc.dstDevice);
    let to = End::find(&state, call, to_memory, to_place, (width, rows))?;
    drop(state);
    // The driver itself waits where the host's memory could be paged out.
    let is_pageable = from.region.is_none() || to.region.is_none();
    let number = queue.push(move || {
        check_alive(call, &[&from, &to])?;
        for row in 0..rows {
            let (from, to) = (from.address + row * from.pitch, to.address + row * to.pitch);
            // SAFETY: both ends are within allocations that this holds, or within the host's memory by the caller's word.
            unsafe { ptr::copy(from as *const u8, to as *mut u8, width) };
        }
        Ok(())
    });
    if is_pageable {
        queue.wait(Some(number));
    }
    Ok(())
}

calls! {
    /// `cuMemcpy2DAsync`
    fn cuMemcpy2DAsync_v2[call](desc: *const CUDA_MEMCPY2D, stream: usize) {
        // SAFETY: the caller gives a description, or null.
        let desc = unsafe { desc.as_ref() }.ok_or(INVALID_VALUE)?;
        copy(call, desc, stream)
    }

    /// `cuMemsetD2D8Async`
    fn cuMemsetD2D8Async[call](pointer: u64, pitch: usize, value: u8, width: usize, rows: usize, stream: usize) {
        let state = State::lock();
        let queue = state.queue(call, stream)?;
        let memory = (CUmemorytype::CU_MEMORYTYPE_DEVICE, 0, pointer);
        let to = End::find(&state, call, memory, (0, 0, pitch), (width, rows))?;
        drop(state);
        queue.push(move || {
            check_alive(call, &[&to])?;
            for row in 0..rows {
                // SAFETY: within an allocation that this holds.
                unsafe { ptr::write_bytes((to.address + row * to.pitch) as *mut u8, value, width) };
            }
            Ok(())
        });
        Ok(())
    }
}
