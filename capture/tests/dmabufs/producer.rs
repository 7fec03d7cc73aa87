//! A producer of dmabufs, as a compositor is one: it allocates, chooses the modifier, and drives the graph.
//!
//! It watches what the other side does: which of its buffers come back, and whether one with a release point comes back
//! before that was signalled. Each picture begins with its number, unless somebody else draws them.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pipewire::context::ContextRc;
use pipewire::keys;
use pipewire::loop_::Timeout;
use pipewire::main_loop::MainLoopRc;
use pipewire::properties::properties;
use pipewire::spa::buffer::DataType;
use pipewire::spa::param::ParamType;
use pipewire::spa::param::video::VideoFormat;
use pipewire::spa::pod::Pod;
use pipewire::spa::sys;
use pipewire::spa::utils::Direction;
use pipewire::stream::{Stream, StreamFlags, StreamRc};
use pipewire::sys::pw_buffer;

use crate::memory::Memory;
use crate::pods::{self, Offered, SYNC_TIMELINE};

/// What is wrong with a producer's dmabufs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    None,
    /// Rows that are shorter than a picture is wide.
    Rows,
    /// A picture that lies beyond its memory.
    Beyond,
    /// Buffers in memory where dmabufs were agreed on.
    NoBuffers,
}

/// What it is like.
#[derive(Clone, Debug)]
pub struct Plan {
    pub name: String,
    pub size: (u32, u32),
    /// In the order in which they are preferred.
    pub offers: Vec<Offered>,
    /// How many it would have, and at most.
    pub buffers: (i32, i32),
    pub with_timelines: bool,
    pub flaw: Flaw,
    /// Between two pictures.
    pub interval: Duration,
}

/// Draws the picture of a number.
pub type Draw = Box<dyn FnMut(&Memory, u64) + Send>;

/// What it has seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The modifiers that were agreed on, in order; none: memory.
    pub agreed: Vec<Option<u64>>,
    pub written: u64,
    /// How often there was no buffer to write to.
    pub starved: u64,
    /// Buffers that came back, with a release point that was not signalled.
    pub early: u64,
    /// Those that came back with one that was.
    pub released: u64,
    pub buffers: usize,
    pub removed: u64,
}

pub enum Command {
    Resize(u32, u32),
}

/// One that runs until it is dropped.
pub struct Producer {
    tell: Option<Sender<Command>>,
    seen: Arc<Mutex<Seen>>,
    thread: Option<JoinHandle<()>>,
}

impl Producer {
    pub fn start(socket: PathBuf, plan: Plan) -> Self {
        Self::start_drawing(socket, plan, Box::new(Memory::write))
    }

    /// One whose pictures are `draw`'s.
    pub fn start_drawing(socket: PathBuf, plan: Plan, draw: Draw) -> Self {
        let (tell, told) = mpsc::channel();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let sees = Arc::clone(&seen);
        let thread = std::thread::spawn(move || run(socket, plan, draw, &told, &sees));
        Self { tell: Some(tell), seen, thread: Some(thread) }
    }

    pub fn tell(&self, command: Command) {
        self.tell.as_ref().unwrap().send(command).unwrap();
    }

    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.tell = None;
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// A buffer's memory.
struct Backing {
    memory: Memory,
    /// Of acquiring and of releasing: files that begin with the last point that was signalled.
    timelines: Option<[OwnedFd; 2]>,
    /// The release point that it went out with.
    release: u64,
}

struct State {
    plan: Plan,
    seen: Arc<Mutex<Seen>>,
    size: (u32, u32),
    kind: DataType,
    backings: HashMap<usize, Backing>,
    draw: Draw,
}

fn run(socket: PathBuf, plan: Plan, draw: Draw, told: &Receiver<Command>, seen: &Arc<Mutex<Seen>>) {
    let main_loop = MainLoopRc::new(None).unwrap();
    let context = ContextRc::new(&main_loop, None).unwrap();
    let core =
        context.connect_rc(Some(properties! { *keys::REMOTE_NAME => socket.to_str().unwrap() })).unwrap();
    let properties =
        properties! { *keys::MEDIA_CLASS => "Video/Source", *keys::NODE_NAME => plan.name.as_str() };
    let stream = StreamRc::new(core, &plan.name, properties).unwrap();
    let (size, interval) = (plan.size, plan.interval);
    let formats = formats(&plan, size, None);
    let (seen, kind, backings) = (Arc::clone(seen), DataType::DmaBuf, HashMap::new());
    let state = State { plan, seen, size, kind, backings, draw };
    let shared = std::rc::Rc::new(std::cell::RefCell::new(state));
    let (agrees, adds, removes) = (shared.clone(), shared.clone(), shared.clone());
    let _listener = stream
        .add_local_listener::<()>()
        .param_changed(move |stream, (), id, param| {
            if let Some(param) = param.filter(|_| id == ParamType::Format.as_raw()) {
                agrees.borrow_mut().agree(stream, param);
            }
        })
        .add_buffer(move |_, (), buffer| adds.borrow_mut().add(buffer))
        .remove_buffer(move |_, (), buffer| removes.borrow_mut().remove(buffer))
        .register()
        .unwrap();
    let mut pods: Vec<_> = formats.iter().map(|bytes| Pod::from_bytes(bytes).unwrap()).collect();
    let flags = StreamFlags::DRIVER | StreamFlags::ALLOC_BUFFERS;
    stream.connect(Direction::Output, None, flags, &mut pods).unwrap();
    let mut next = Instant::now();
    loop {
        match told.try_recv() {
            Ok(Command::Resize(width, height)) => {
                let formats = {
                    let mut state = shared.borrow_mut();
                    state.size = (width, height);
                    formats_of(&state, None)
                };
                update(&stream, &formats);
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return,
        }
        main_loop.loop_().iterate(Timeout::Finite(next.saturating_duration_since(Instant::now())));
        if Instant::now() >= next {
            next += interval;
            if stream.state() == pipewire::stream::StreamState::Streaming {
                write(&stream, &shared);
            }
        }
    }
}

fn formats_of(state: &State, chosen: Option<u64>) -> Vec<Vec<u8>> {
    formats(&state.plan, state.size, chosen)
}

/// What is offered, after the modifier that was chosen.
fn formats(plan: &Plan, size: (u32, u32), chosen: Option<u64>) -> Vec<Vec<u8>> {
    let bgrx = VideoFormat::BGRx.as_raw();
    let chosen = chosen.map(Offered::Fixed);
    chosen.iter().chain(&plan.offers).map(|offered| pods::format(bgrx, size, offered)).collect()
}

fn update(stream: &Stream, params: &[Vec<u8>]) {
    let mut pods: Vec<_> = params.iter().map(|bytes| Pod::from_bytes(bytes).unwrap()).collect();
    stream.update_params(&mut pods).unwrap();
}

impl State {
    fn agree(&mut self, stream: &Stream, format: &Pod) {
        let modifiers = pods::modifiers(format);
        if let Some((modifiers, true)) = &modifiers {
            return update(stream, &formats_of(self, Some(modifiers[0])));
        }
        let modifier = modifiers.map(|(modifiers, _)| modifiers[0]);
        self.seen.lock().unwrap().agreed.push(modifier);
        self.kind = if modifier.is_some() { DataType::DmaBuf } else { DataType::MemFd };
        let (stride, size) = (self.stride(), self.bytes());
        let kind = if self.plan.flaw == Flaw::NoBuffers { DataType::MemFd } else { self.kind };
        let buffers = |blocks, needs_points| {
            let [stride, size] = [stride, size].map(|value| i32::try_from(value).unwrap());
            pods::buffers(kind.as_raw(), self.plan.buffers, blocks, [stride, size], needs_points)
        };
        let mut params = Vec::new();
        if self.plan.with_timelines && modifier.is_some() {
            params.push(buffers(3, true));
        }
        params.push(buffers(1, false));
        params.push(pods::meta(sys::SPA_META_Header, size_of::<sys::spa_meta_header>() as i32));
        if self.plan.with_timelines {
            params.push(pods::meta(SYNC_TIMELINE, 24));
        }
        update(stream, &params);
    }

    fn stride(&self) -> u32 {
        self.size.0 * 4
    }

    fn bytes(&self) -> u32 {
        self.stride() * self.size.1
    }

    fn add(&mut self, buffer: *mut pw_buffer) {
        let make = if self.kind == DataType::DmaBuf { Memory::dmabuf } else { Memory::in_file };
        let memory = make(self.bytes() as usize);
        // SAFETY: a buffer that is being added is whole, and its blocks are for the producer to fill in.
        let (spa, datas) = unsafe {
            let spa = &*(*buffer).buffer;
            (spa, std::slice::from_raw_parts_mut(spa.datas, spa.n_datas as usize))
        };
        let has_points = meta(spa, SYNC_TIMELINE).is_some();
        assert_eq!(datas.len(), if has_points { 3 } else { 1 });
        datas[0].type_ = self.kind.as_raw();
        datas[0].flags = sys::SPA_DATA_FLAG_READWRITE;
        datas[0].fd = memory.shared.as_raw_fd().into();
        datas[0].maxsize = self.bytes();
        let timelines = has_points.then(|| [(); 2].map(|()| crate::memory::file(4096)));
        for (data, timeline) in datas[1..].iter_mut().zip(timelines.iter().flatten()) {
            data.type_ = 5;
            data.flags = sys::SPA_DATA_FLAG_READWRITE;
            data.fd = timeline.as_raw_fd().into();
        }
        self.backings.insert(buffer.addr(), Backing { memory, timelines, release: 0 });
        self.seen.lock().unwrap().buffers = self.backings.len();
    }

    fn remove(&mut self, buffer: *mut pw_buffer) {
        self.backings.remove(&buffer.addr());
        let mut seen = self.seen.lock().unwrap();
        (seen.buffers, seen.removed) = (self.backings.len(), seen.removed + 1);
    }
}

fn meta(spa: &sys::spa_buffer, kind: u32) -> Option<&sys::spa_meta> {
    // SAFETY: a buffer's metadata are as many as it says.
    let metas = unsafe { std::slice::from_raw_parts(spa.metas, spa.n_metas as usize) };
    metas.iter().find(|meta| meta.type_ == kind)
}

/// Writes a picture to a buffer that is free, and has the graph take it.
fn write(stream: &Stream, shared: &std::cell::RefCell<State>) {
    // SAFETY: the stream is alive; what comes back is null or a buffer of it, which is given back below.
    let buffer = unsafe { stream.dequeue_raw_buffer() };
    if buffer.is_null() {
        shared.borrow().seen.lock().unwrap().starved += 1;
        return;
    }
    let mut borrowed = shared.borrow_mut();
    let state = &mut *borrowed;
    let (stride, bytes, flaw) = (state.stride(), state.bytes(), state.plan.flaw);
    let number = {
        let mut seen = state.seen.lock().unwrap();
        seen.written += 1;
        seen.written
    };
    // SAFETY: the buffer is ours until it is queued, and whole.
    let (spa, chunk) = unsafe {
        let spa = &*(*buffer).buffer;
        (spa, &mut *(*spa.datas).chunk)
    };
    let backing = state.backings.get_mut(&buffer.addr()).unwrap();
    (state.draw)(&backing.memory, number);
    (chunk.offset, chunk.size, chunk.stride, chunk.flags) = (0, bytes, stride.cast_signed(), 0);
    match flaw {
        Flaw::None | Flaw::NoBuffers => {}
        Flaw::Rows => chunk.stride -= 4,
        Flaw::Beyond => chunk.offset = 1 << 20,
    }
    let mut is_early = None;
    if let (Some(timelines), Some(points)) = (&backing.timelines, meta(spa, SYNC_TIMELINE)) {
        let point = |file: &OwnedFd| crate::memory::read(file.as_fd());
        is_early = (backing.release != 0).then(|| point(&timelines[1]) < backing.release);
        backing.release = number;
        rustix::io::pwrite(&timelines[0], &number.to_ne_bytes(), 0).unwrap();
        // SAFETY: the metadata is as large as was agreed on, 24 bytes, and ours for as long as the buffer is.
        unsafe { points.data.cast::<[u64; 3]>().write([0, number, number]) };
    }
    {
        let mut seen = state.seen.lock().unwrap();
        match is_early {
            Some(true) => seen.early += 1,
            Some(false) => seen.released += 1,
            None => {}
        }
    }
    drop(borrowed);
    // SAFETY: the buffer came from this stream, and is given back once.
    unsafe { stream.queue_raw_buffer(buffer) };
    stream.trigger_process().unwrap();
}
