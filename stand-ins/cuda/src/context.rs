//! Contexts: the one of each device, and what is current.

use std::ffi::c_int;

use crate::code::{INVALID_CONTEXT, INVALID_VALUE};
use crate::entry::calls;
use crate::region::Kind;
use crate::state::{CURRENT, Context, DEVICE_BYTES, Result, State, breach, put};

impl State {
    /// Holds the primary context of `device` once more.
    pub(crate) fn retain(&mut self, device: c_int) -> usize {
        let Some(handle) = self.primary(device) else {
            return self.contexts.add(Context { device, holds: 1, lost: None });
        };
        if let Some(context) = self.contexts.at_mut(handle) {
            context.holds += 1;
        }
        handle
    }

    /// Lets it go once. With the last hold, what is left in it is a leak.
    pub(crate) fn release(&mut self, call: &str, device: c_int) -> Result<()> {
        let handle = self.primary(device);
        let Some(context) = handle.and_then(|handle| self.contexts.at_mut(handle)) else {
            return Err(breach(call, INVALID_CONTEXT, format_args!("nobody holds the primary context")));
        };
        context.holds -= 1;
        if context.holds > 0 {
            return Ok(());
        }
        let is_lost = context.lost.is_some();
        let handle = handle.unwrap_or_default();
        self.contexts.remove(handle);
        let left = self.clear(handle);
        // Nobody can free anything in a context that an error ended.
        if !left.is_empty() && !is_lost {
            breach(call, INVALID_VALUE, format_args!("left behind: {}", left.join(", ")));
        }
        Ok(())
    }

    /// Takes out all that is of `context`; says what there was.
    fn clear(&mut self, context: usize) -> Vec<String> {
        let regions_before = self.regions.len();
        self.regions.retain(|_, region| region.context != context);
        let counts = [
            ("allocations", regions_before - self.regions.len()),
            ("streams", self.streams.drain(|owned| owned.context == context).len()),
            ("events", self.events.drain(|owned| owned.context == context).len()),
            ("external memories", self.externals.drain(|owned| owned.context == context).len()),
            ("external semaphores", self.semaphores.drain(|owned| owned.context == context).len()),
        ];
        counts.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{count} {what}")).collect()
    }

    fn primary(&self, device: c_int) -> Option<usize> {
        self.contexts.find(|context| context.device == device)
    }
}

calls! {
    /// `cuCtxPushCurrent`
    fn cuCtxPushCurrent_v2[call](context: usize) {
        let state = State::lock();
        match state.contexts.at(context) {
            // A lost context may be made current: the calls in it fail.
            Some(_) => {
                CURRENT.with_borrow_mut(|stack| stack.push(context));
                Ok(())
            }
            None => Err(breach(call, INVALID_CONTEXT, format_args!("the context is none, or gone"))),
        }
    }

    /// `cuCtxPopCurrent`
    fn cuCtxPopCurrent_v2[call](context: *mut usize) {
        let Some(popped) = CURRENT.with_borrow_mut(Vec::pop) else {
            return Err(breach(call, INVALID_CONTEXT, format_args!("no context is current on this thread")));
        };
        if context.is_null() { Ok(()) } else { put(call, context, popped) }
    }

    /// `cuCtxGetCurrent`
    fn cuCtxGetCurrent[call](context: *mut usize) {
        put(call, context, CURRENT.with_borrow(|stack| stack.last().copied().unwrap_or_default()))
    }

    /// `cuCtxGetStreamPriorityRange`
    fn cuCtxGetStreamPriorityRange[call](least: *mut c_int, greatest: *mut c_int) {
        State::lock().current(call)?;
        put(call, least, 0)?;
        put(call, greatest, -5)
    }

    /// `cuMemGetInfo`
    fn cuMemGetInfo_v2[call](free: *mut usize, total: *mut usize) {
        let state = State::lock();
        state.current(call)?;
        put(call, free, DEVICE_BYTES - state.device_bytes())?;
        put(call, total, DEVICE_BYTES)
    }
}

impl State {
    /// Bytes that are allotted of the device's memory.
    pub(crate) fn device_bytes(&self) -> usize {
        self.regions.values().filter(|region| region.kind == Kind::Device).map(|region| region.bytes).sum()
    }
}
