//! All that the driver knows, behind one lock.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stand_in_common::{Controls, Timeline};

use crate::code::{Code, INVALID_CONTEXT, INVALID_HANDLE, INVALID_VALUE};
use crate::event::Mark;
use crate::external::External;
use crate::handles::Handles;
use crate::queue::Queue;
use crate::region::Region;

pub(crate) static CONTROLS: Controls = Controls::new("libcuda.so.1 (stand-in)");

static STATE: Mutex<State> = Mutex::new(State::new());

/// The device's memory.
pub(crate) const DEVICE_BYTES: usize = 8 << 30;

pub(crate) type Result<T> = std::result::Result<T, Code>;

thread_local! {
    /// The contexts that are current on this thread, the last first to go.
    pub(crate) static CURRENT: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) device: i32,
    pub(crate) holds: u64,
    /// The sticky error that ended it.
    pub(crate) lost: Option<Code>,
}

/// A thing and the context that it is of.
#[derive(Debug, Clone)]
pub(crate) struct Owned<T> {
    pub(crate) context: usize,
    pub(crate) thing: T,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) is_initialised: bool,
    pub(crate) contexts: Handles<Context>,
    /// By address.
    pub(crate) regions: BTreeMap<usize, Region>,
    pub(crate) regions_ever: u64,
    pub(crate) streams: Handles<Owned<Arc<Queue>>>,
    pub(crate) events: Handles<Owned<Arc<Mark>>>,
    pub(crate) externals: Handles<Owned<External>>,
    pub(crate) semaphores: Handles<Owned<Arc<Timeline>>>,
}

impl State {
    const fn new() -> Self {
        Self {
            is_initialised: false,
            contexts: Handles::new(0x1_0000_0000),
            regions: BTreeMap::new(),
            regions_ever: 0,
            streams: Handles::new(0x2_0000_0000),
            events: Handles::new(0x3_0000_0000),
            externals: Handles::new(0x4_0000_0000),
            semaphores: Handles::new(0x5_0000_0000),
        }
    }

    /// The state, locked.
    pub(crate) fn lock() -> MutexGuard<'static, State> {
        STATE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The context that is current on this thread.
    pub(crate) fn current(&self, call: &str) -> Result<usize> {
        let current = CURRENT.with_borrow(|stack| stack.last().copied());
        let Some(current) = current else {
            return Err(breach(call, INVALID_CONTEXT, format_args!("no context is current on this thread")));
        };
        match self.contexts.at(current) {
            Some(Context { lost: Some(code), .. }) => Err(*code),
            Some(_) => Ok(current),
            None => Err(breach(call, INVALID_CONTEXT, format_args!("the current context is gone"))),
        }
    }

    /// The thing behind `handle`, which must be of the current context.
    pub(crate) fn owned<T: Clone>(
        &self,
        call: &str,
        what: &str,
        current: usize,
        found: Option<&Owned<T>>,
    ) -> Result<T> {
        match found {
            None => Err(breach(call, INVALID_HANDLE, format_args!("{what} is none, or gone"))),
            Some(owned) if owned.context != current => {
                Err(breach(call, INVALID_CONTEXT, format_args!("{what} is of another context")))
            }
            Some(owned) => Ok(owned.thing.clone()),
        }
    }

    /// The queue behind a stream's handle, in the current context.
    pub(crate) fn queue(&self, call: &str, stream: usize) -> Result<Arc<Queue>> {
        let current = self.current(call)?;
        self.owned(call, "the stream", current, self.streams.at(stream))
    }

    /// The allocation that `bytes` from `address` on are all in.
    pub(crate) fn region(&self, address: usize, bytes: usize) -> Option<&Region> {
        let (start, region) = self.regions.range(..=address).next_back()?;
        let end = address.checked_add(bytes)?;
        (end <= start + region.bytes).then_some(region)
    }

    /// Whether `region` at its address is still what it was.
    pub(crate) fn is_alive(&self, region: &Region) -> bool {
        self.regions.values().any(|alive| alive.number == region.number)
    }

    /// Whether a sticky error has ended a context.
    pub(crate) fn is_lost(&self, context: usize) -> bool {
        self.contexts.at(context).is_some_and(|context| context.lost.is_some())
    }

    /// Ends a context by a sticky error.
    pub(crate) fn lose(&mut self, context: usize, code: Code) {
        if let Some(context) = self.contexts.at_mut(context) {
            context.lost.get_or_insert(code);
        }
    }
}

/// Counts and says a breach; gives the code that the call fails with.
pub(crate) fn breach(call: &str, code: Code, what: fmt::Arguments<'_>) -> Code {
    CONTROLS.breach(call, what);
    code
}

/// Writes `value` where the caller wants it.
pub(crate) fn put<T>(call: &str, to: *mut T, value: T) -> Result<()> {
    #![allow(unsafe_code)]
    if to.is_null() {
        return Err(breach(call, INVALID_VALUE, format_args!("there is no room for the answer")));
    }
    // SAFETY: the caller of the driver API gives room for the answer.
    unsafe { to.write(value) };
    Ok(())
}
