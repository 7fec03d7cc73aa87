//! Dmabufs between us and their producer: which there are, which are out, and what of the wish is left.
//!
//! What is it: the table of a stream's buffers with their memory, a [`Loan`] for each that is out, and the door by which
//! it comes home from whatever thread ([`Home`]). What does it promise: descriptors of our own, so that what is out stays
//! as it is when its producer takes the buffer away; one number for one memory with one layout; a buffer goes back to
//! the stream once, when its loan ends, and never to a stream that has removed it; its release point is
//! signalled before. What does it refuse: memory that its planes do not lie within.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pipewire::sys::pw_buffer;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::SeekFrom;

use super::agreed::{Agreed, Kind};
use super::cursor::Shown;
use super::planes::{self, Layout};
use super::raw::Points;
use crate::dmabuf::{Dmabuf, DmabufPlane, DmabufWish, SyncPoint, fourcc_name};
use crate::{Diagnosis, Pixels};

/// Which of the stream's buffers it is; compared, and given back to the stream.
pub(super) type Key = NonNull<pw_buffer>;

/// The memory of a buffer, by descriptors of our own.
#[derive(Debug)]
struct Memory {
    number: u64,
    planes: Vec<DmabufPlane>,
    /// Of acquiring and of releasing.
    timelines: Option<(OwnedFd, OwnedFd)>,
}

/// A buffer that is out.
#[derive(Debug)]
struct Loan {
    number: u64,
    memory: Arc<Memory>,
    points: Points,
    home: Arc<Home>,
}

impl Drop for Loan {
    fn drop(&mut self) {
        let (number, release) = (self.number, self.points.release);
        self.home.arrive(Arrival { number, memory: Arc::clone(&self.memory), release });
    }
}

/// A picture in a buffer that is out.
#[derive(Clone, Debug)]
pub struct Lent {
    loan: Arc<Loan>,
    fourcc: u32,
    modifier: u64,
    /// The format that it came in, for people.
    pub(super) format_name: &'static str,
    /// The cursor that is to be seen over it.
    cursor: Option<Shown>,
}

impl Lent {
    /// The same picture with this cursor over it.
    pub(super) fn with_cursor(&self, cursor: Option<Shown>) -> Self {
        Self { cursor, ..self.clone() }
    }

    pub(super) fn pixels(&self) -> Pixels<'_> {
        let Loan { memory, points, .. } = &*self.loan;
        let timelines = memory.timelines.as_ref();
        Pixels::Dmabuf(Dmabuf {
            buffer: memory.number,
            fourcc: self.fourcc,
            modifier: self.modifier,
            planes: &memory.planes,
            acquire: timelines.and_then(|(acquire, _)| on(acquire, points.acquire)),
            release: timelines.and_then(|(_, release)| on(release, points.release)),
            cursor: self.cursor.as_ref().map(Shown::overlay),
        })
    }
}

/// A point of 0 is none: every timeline begins there.
fn on(timeline: &OwnedFd, point: u64) -> Option<SyncPoint<'_>> {
    (point != 0).then(|| SyncPoint { syncobj: timeline.as_fd(), point })
}

/// A loan that has ended.
#[derive(Debug)]
struct Arrival {
    number: u64,
    memory: Arc<Memory>,
    release: u64,
}

#[derive(Debug, Default)]
struct HomeState {
    arrivals: Vec<Arrival>,
    declined: Vec<(u32, u64)>,
    /// Nothing of the wish is left.
    are_all_declined: bool,
}

/// What the capture thread is told by others; it is woken for it.
#[derive(Debug)]
pub(super) struct Home {
    state: Mutex<HomeState>,
    wake: OwnedFd,
}

impl Home {
    pub(super) fn new() -> rustix::io::Result<Arc<Self>> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Arc::new(Self { state: Mutex::default(), wake }))
    }

    /// Each step leaves a state that is as good as any, so that one that somebody panicked in is too.
    fn lock(&self) -> MutexGuard<'_, HomeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrive(&self, arrival: Arrival) {
        self.lock().arrivals.push(arrival);
        self.wake();
    }

    /// No more dmabufs of this format with this modifier.
    pub(super) fn decline(&self, fourcc: u32, modifier: u64) {
        let mut state = self.lock();
        if !state.declined.contains(&(fourcc, modifier)) {
            state.declined.push((fourcc, modifier));
        }
        drop(state);
        self.wake();
    }

    /// No more dmabufs.
    pub(super) fn decline_all(&self) {
        self.lock().are_all_declined = true;
        self.wake();
    }

    fn wake(&self) {
        // Fails only where it is so full that whoever waits is awake.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// What can be read from when there is something to see to.
    pub(super) fn wakes(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Sleeps again.
    pub(super) fn awake(&self) {
        // Fails where nobody woke it.
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
    }
}

/// A buffer of the stream.
#[derive(Debug)]
struct Known {
    key: Key,
    /// Its memory, with the layout and the format that this is by.
    memory: Option<(Layout, Kind, Arc<Memory>)>,
    /// The loan that it is out by.
    out: Option<u64>,
}

/// A stream's dmabufs.
#[derive(Debug)]
pub(super) struct Dmabufs {
    wish: DmabufWish,
    home: Arc<Home>,
    buffers: Vec<Known>,
    loans: u64,
    /// Whether dmabufs were wished for at all.
    was_wished: bool,
    has_said_signal: bool,
}

impl Dmabufs {
    pub(super) fn new(wish: DmabufWish, home: Arc<Home>) -> Self {
        let was_wished = !wish.is_empty();
        Self { wish, home, buffers: Vec::new(), loans: 0, was_wished, has_said_signal: false }
    }

    /// The formats that are still wished for, with their modifiers.
    pub(super) fn formats(&self) -> &[(u32, Vec<u64>)] {
        &self.wish.formats
    }

    /// By which they come home.
    pub(super) fn home(&self) -> Arc<Home> {
        Arc::clone(&self.home)
    }

    /// Whether a producer's timelines can be made use of.
    pub(super) fn has_timelines(&self) -> bool {
        self.wish.timelines.is_some()
    }

    /// Whether pictures in memory are second best.
    pub(super) fn was_wished(&self) -> bool {
        self.was_wished
    }

    /// A number for memory that is none of a buffer's.
    pub(super) fn number(&self) -> u64 {
        self.wish.numbers.next()
    }

    /// The stream has a buffer more.
    pub(super) fn add(&mut self, key: Key) {
        self.buffers.push(Known { key, memory: None, out: None });
    }

    /// The stream has a buffer less, which may be out.
    pub(super) fn remove(&mut self, key: Key) {
        self.buffers.retain(|known| known.key != key);
    }

    /// Lends a buffer, laid out so; `file` finds a descriptor's file. What is lent is not given back otherwise.
    pub(super) fn lend<'f>(
        &mut self,
        key: Key,
        layout: Layout,
        points: Points,
        agreed: &Agreed,
        file: impl Fn(RawFd) -> Option<BorrowedFd<'f>>,
    ) -> Result<Lent, Diagnosis> {
        let Kind::Dmabuf { fourcc, modifier } = agreed.kind else {
            return Err(refuse("memory was agreed on"));
        };
        let index = match self.buffers.iter().position(|known| known.key == key) {
            Some(index) => index,
            None => return Err(refuse("a buffer that the stream has not told of")),
        };
        let known = &mut self.buffers[index];
        let memory = match &known.memory {
            Some((same, kind, memory)) if *same == layout && *kind == agreed.kind => Arc::clone(memory),
            _ => {
                let memory = Arc::new(Memory::of(&layout, agreed, self.wish.numbers.next(), file)?);
                known.memory = Some((layout, agreed.kind, Arc::clone(&memory)));
                memory
            }
        };
        let number = self.loans;
        self.loans += 1;
        known.out = Some(number);
        let loan = Arc::new(Loan { number, memory, points, home: Arc::clone(&self.home) });
        Ok(Lent { loan, fourcc, modifier, format_name: agreed.format_name(), cursor: None })
    }

    /// Signals what came home as released; the buffers, which are to go back to the stream now.
    pub(super) fn bring_home(&mut self) -> Vec<Key> {
        let arrivals = std::mem::take(&mut self.home.lock().arrivals);
        let mut home = Vec::with_capacity(arrivals.len());
        for Arrival { number, memory, release } in arrivals {
            // Of one that the stream has removed nobody waits for the release.
            let Some(known) = self.buffers.iter_mut().find(|known| known.out == Some(number)) else {
                continue;
            };
            known.out = None;
            let key = known.key;
            self.signal(&memory, release);
            home.push(key);
        }
        home
    }

    fn signal(&mut self, memory: &Memory, release: u64) {
        let (Some((_, timeline)), Some(timelines)) = (&memory.timelines, &self.wish.timelines) else {
            return;
        };
        if release == 0 {
            return;
        }
        if let Err(error) = timelines.signal(timeline.as_fd(), release)
            && !std::mem::replace(&mut self.has_said_signal, true)
        {
            tracing::warn!(%error, "a producer cannot be told that a buffer was read; it may wait for it");
        }
    }

    /// Takes what was declined off the wish; whether that changes it.
    pub(super) fn take_declined(&mut self) -> bool {
        let (declined, are_all) = {
            let mut home = self.home.lock();
            (std::mem::take(&mut home.declined), std::mem::take(&mut home.are_all_declined))
        };
        if are_all {
            let had_any = self.give_up();
            if had_any {
                tracing::info!("dmabufs are done without from now on");
            }
            return had_any;
        }
        let mut has_changed = false;
        for (fourcc, modifier) in declined {
            for (_, modifiers) in self.wish.formats.iter_mut().filter(|(wished, _)| *wished == fourcc) {
                let before = modifiers.len();
                modifiers.retain(|wished| *wished != modifier);
                if modifiers.len() != before {
                    has_changed = true;
                    let format = fourcc_name(fourcc);
                    tracing::info!(format, modifier, "dmabufs of this format and modifier are done without");
                }
            }
        }
        has_changed
    }

    /// Whether such dmabufs are still wished for.
    pub(super) fn is_wished(&self, fourcc: u32, modifier: u64) -> bool {
        let mut formats = self.wish.formats.iter();
        formats.any(|(wished, modifiers)| *wished == fourcc && modifiers.contains(&modifier))
    }

    /// Such dmabufs are of no use.
    pub(super) fn decline(&self, fourcc: u32, modifier: u64) {
        self.home.decline(fourcc, modifier);
    }

    /// The stream is gone, and its buffers with it.
    pub(super) fn forget_buffers(&mut self) {
        self.buffers.clear();
    }

    /// No dmabufs any more; whether some were wished for until now.
    pub(super) fn give_up(&mut self) -> bool {
        let had_any = !self.wish.is_empty();
        self.wish.formats.clear();
        had_any
    }
}

fn refuse(why: &str) -> Diagnosis {
    Diagnosis::PictureUnreadable { came: format!("a dmabuf: {why}") }
}

impl Memory {
    fn of<'f>(
        layout: &Layout,
        agreed: &Agreed,
        number: u64,
        file: impl Fn(RawFd) -> Option<BorrowedFd<'f>>,
    ) -> Result<Self, Diagnosis> {
        let own = |fd: RawFd| {
            let file = file(fd).ok_or_else(|| refuse("no descriptor"))?;
            rustix::io::fcntl_dupfd_cloexec(file, 3)
                .map_err(|error| refuse(&format!("a descriptor: {error}")))
        };
        let mut planes = Vec::with_capacity(layout.planes.len());
        for (index, place) in layout.planes.iter().enumerate() {
            let fd = own(place.fd)?;
            // Not every kind of memory tells its size; a GPU's driver looks at it again.
            if let Ok(bytes) = rustix::fs::seek(&fd, SeekFrom::End(0)) {
                planes::check_within(index, place, bytes, agreed)?;
            }
            planes.push(DmabufPlane { fd, offset: place.offset, stride: place.stride });
        }
        let timelines = match layout.timelines {
            Some((acquire, release)) => Some((own(acquire)?, own(release)?)),
            None => None,
        };
        Ok(Self { number, planes, timelines })
    }
}
