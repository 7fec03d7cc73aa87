//! Memory and semaphores of another's: files in memory.

#![allow(unsafe_code)]

use std::ffi::c_uint;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use cudarc::driver::sys::{
    CUDA_EXTERNAL_MEMORY_BUFFER_DESC, CUDA_EXTERNAL_MEMORY_HANDLE_DESC, CUDA_EXTERNAL_SEMAPHORE_HANDLE_DESC,
    CUDA_EXTERNAL_SEMAPHORE_SIGNAL_PARAMS, CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS, CUexternalMemoryHandleType,
    CUexternalSemaphoreHandleType,
};
use stand_in_common::Timeline;

use crate::code::{INVALID_HANDLE, INVALID_VALUE, OUT_OF_MEMORY};
use crate::entry::calls;
use crate::region::{Kind, Pages};
use crate::state::{Owned, Result, State, breach, put};

/// An imported allocation.
#[derive(Debug)]
pub(crate) struct External {
    file: File,
    /// Where the allocation begins in the file.
    offset: usize,
    bytes: usize,
}

/// Where an allocation of `bytes` begins in the file. lavapipe's files begin with a header of its own: the bytes mapped, where
/// the allocation begins, and 16 bytes of the driver's. Where it has udmabuf they are dmabufs, which cannot be read as files
/// are, and begin with the allocation.
fn offset(file: &File, length: usize, bytes: usize) -> usize {
    const HEADER: usize = 32;
    let mut header = [0; HEADER];
    if length < HEADER || file.read_exact_at(&mut header, 0).is_err() {
        return 0;
    }
    let word = |at: usize| usize::from_ne_bytes(std::array::from_fn(|index| header[at + index]));
    let (mapped, offset) = (word(0), word(8));
    let is_header =
        mapped <= length && offset >= HEADER && mapped.checked_sub(offset).is_some_and(|room| room >= bytes);
    if is_header { offset } else { 0 }
}

fn import(call: &str, desc: &CUDA_EXTERNAL_MEMORY_HANDLE_DESC) -> Result<External> {
    let bytes = usize::try_from(desc.size).unwrap_or(usize::MAX);
    let is_fd = desc.type_ == CUexternalMemoryHandleType::CU_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD;
    if !is_fd || bytes == 0 || desc.flags > 1 || desc.reserved != [0; 16] {
        let what = format_args!("{:?}, {bytes} bytes, flags {}", desc.type_, desc.flags);
        return Err(breach(call, INVALID_VALUE, what));
    }
    // SAFETY: the descriptor is the field that this type of handle has; it is borrowed for this call.
    let borrowed = unsafe { BorrowedFd::borrow_raw(desc.handle.fd) };
    let file = borrowed.try_clone_to_owned().map(File::from);
    let length = file.as_ref().ok().and_then(|file| file.metadata().ok()).map_or(0, |it| it.len());
    let length = usize::try_from(length).unwrap_or_default();
    let Some(file) = file.ok().filter(|_| length > 0) else {
        return Err(breach(call, INVALID_HANDLE, format_args!("the descriptor is not of memory")));
    };
    let offset = offset(&file, length, bytes);
    if offset.saturating_add(bytes) > length {
        let what = format_args!("{bytes} bytes from byte {offset} on, in a file of {length}");
        return Err(breach(call, INVALID_VALUE, what));
    }
    Ok(External { file, offset, bytes })
}

/// Closes the descriptor that a successful import has taken.
fn close(fd: i32) {
    // SAFETY: the import took it, so it is nobody else's now.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
}

impl State {
    fn semaphore(&self, call: &str, semaphore: usize) -> Result<Arc<Timeline>> {
        let current = self.current(call)?;
        self.owned(call, "the semaphore", current, self.semaphores.at(semaphore))
    }

    /// What both ways of a semaphore begin with.
    fn fence<T>(
        &self,
        call: &str,
        semaphores: *const usize,
        params: *const T,
        count: c_uint,
    ) -> Result<Arc<Timeline>> {
        if semaphores.is_null() || params.is_null() || count != 1 {
            return Err(breach(
                call,
                INVALID_VALUE,
                format_args!("{count} semaphores; one at a time is stood in for"),
            ));
        }
        // SAFETY: the caller gives as many as it says.
        self.semaphore(call, unsafe { semaphores.read() })
    }
}

calls! {
    /// `cuImportExternalMemory`
    fn cuImportExternalMemory[call](memory: *mut usize, desc: *const CUDA_EXTERNAL_MEMORY_HANDLE_DESC) {
        // SAFETY: the caller gives a description, or null.
        let desc = unsafe { desc.as_ref() }.ok_or(INVALID_VALUE)?;
        let mut state = State::lock();
        let context = state.current(call)?;
        let external = import(call, desc)?;
        let handle = state.externals.add(Owned { context, thing: external });
        put(call, memory, handle)?;
        // SAFETY: the field that this type of handle has.
        close(unsafe { desc.handle.fd });
        Ok(())
    }

    /// `cuExternalMemoryGetMappedBuffer`
    fn cuExternalMemoryGetMappedBuffer[call](
        pointer: *mut u64, memory: usize, desc: *const CUDA_EXTERNAL_MEMORY_BUFFER_DESC,
    ) {
        // SAFETY: the caller gives a description, or null.
        let desc = unsafe { desc.as_ref() }.ok_or(INVALID_VALUE)?;
        let mut state = State::lock();
        let context = state.current(call)?;
        let Some(owned) = state.externals.at(memory) else {
            return Err(breach(call, INVALID_HANDLE, format_args!("the external memory is none, or gone")));
        };
        let external = &owned.thing;
        let (from, bytes) = (desc.offset as usize, desc.size as usize);
        let is_within = from.checked_add(bytes).is_some_and(|end| end <= external.bytes);
        if !is_within || bytes == 0 || desc.flags != 0 {
            let what = format_args!("{bytes} bytes from byte {from} on, of {}", external.bytes);
            return Err(breach(call, INVALID_VALUE, what));
        }
        let start = external.offset + from;
        let pages = Pages::shared(external.file.as_fd(), start + bytes).map_err(|_| OUT_OF_MEMORY)?;
        let address = pages.start() + start;
        state.enter(address, pages, bytes, Kind::Mapped(memory), context);
        put(call, pointer, address as u64)
    }

    /// `cuDestroyExternalMemory`
    fn cuDestroyExternalMemory[call](memory: usize) {
        let mut state = State::lock();
        state.current(call)?;
        if state.regions.values().any(|region| region.kind == Kind::Mapped(memory)) {
            return Err(breach(call, INVALID_VALUE, format_args!("a buffer of it is still mapped")));
        }
        let none = || breach(call, INVALID_HANDLE, format_args!("the external memory is none, or gone"));
        state.externals.remove(memory).map(|_| ()).ok_or_else(none)
    }

    /// `cuImportExternalSemaphore`
    fn cuImportExternalSemaphore[call](semaphore: *mut usize, desc: *const CUDA_EXTERNAL_SEMAPHORE_HANDLE_DESC) {
        // SAFETY: the caller gives a description, or null.
        let desc = unsafe { desc.as_ref() }.ok_or(INVALID_VALUE)?;
        let mut state = State::lock();
        let context = state.current(call)?;
        let timeline = CUexternalSemaphoreHandleType::CU_EXTERNAL_SEMAPHORE_HANDLE_TYPE_TIMELINE_SEMAPHORE_FD;
        if desc.type_ != timeline || desc.flags != 0 || desc.reserved != [0; 16] {
            return Err(breach(call, INVALID_VALUE, format_args!("{:?}, flags {}", desc.type_, desc.flags)));
        }
        // SAFETY: the descriptor is the field that this type of handle has; it is borrowed for this call.
        let fd = unsafe { BorrowedFd::borrow_raw(desc.handle.fd) };
        let Ok(thing) = Timeline::map(fd) else {
            return Err(breach(call, INVALID_HANDLE, format_args!("the descriptor is of no timeline semaphore")));
        };
        let handle = state.semaphores.add(Owned { context, thing: Arc::new(thing) });
        put(call, semaphore, handle)?;
        // SAFETY: as above.
        close(unsafe { desc.handle.fd });
        Ok(())
    }

    /// `cuDestroyExternalSemaphore`
    fn cuDestroyExternalSemaphore[call](semaphore: usize) {
        let mut state = State::lock();
        // One hold is the table's, one is this call's.
        if Arc::strong_count(&state.semaphore(call, semaphore)?) > 2 {
            return Err(breach(call, INVALID_VALUE, format_args!("a stream still waits for it, or will signal it")));
        }
        state.semaphores.remove(semaphore).map(|_| ()).ok_or(INVALID_HANDLE)
    }

    /// `cuWaitExternalSemaphoresAsync`
    fn cuWaitExternalSemaphoresAsync[call](
        semaphores: *const usize, params: *const CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS, count: c_uint, stream: usize,
    ) {
        let state = State::lock();
        let (timeline, queue) = (state.fence(call, semaphores, params, count)?, state.queue(call, stream)?);
        drop(state);
        // SAFETY: not null, as `fence` has checked; the caller gives as many as it says.
        let value = unsafe { (*params).params.fence.value };
        queue.push(move || {
            let _ = timeline.wait(value, None);
            Ok(())
        });
        Ok(())
    }

    /// `cuSignalExternalSemaphoresAsync`
    fn cuSignalExternalSemaphoresAsync[call](
        semaphores: *const usize, params: *const CUDA_EXTERNAL_SEMAPHORE_SIGNAL_PARAMS, count: c_uint, stream: usize,
    ) {
        let state = State::lock();
        let (timeline, queue) = (state.fence(call, semaphores, params, count)?, state.queue(call, stream)?);
        let context = state.current(call)?;
        drop(state);
        // SAFETY: as above.
        let value = unsafe { (*params).params.fence.value };
        queue.push(move || {
            // What is queued where a sticky error ends the context is never done.
            if State::lock().is_lost(context) {
                return Ok(());
            }
            if let Err(had) = timeline.signal(value) {
                breach(call, INVALID_VALUE, format_args!("{value} after {had}: a timeline only grows"));
            }
            Ok(())
        });
        Ok(())
    }
}
