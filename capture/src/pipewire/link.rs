//! The connection to PipeWire, and the thread that drives it.
//!
//! Promises: no call waits longer than it was told; a daemon that hangs or goes, a node that is removed, and a
//! stream that ends are each named within two seconds, and a compositor that hangs behind them as its [`Pulse`] says;
//! where several of these happen at once, the one that is the others' cause is told. Refuses nodes that are not there,
//! by name.

use std::cell::{Cell, RefCell};
use std::io::{self, PipeReader};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pipewire::context::ContextRc;
use pipewire::core::CoreRc;
use pipewire::keys;
use pipewire::loop_::Timeout;
use pipewire::main_loop::MainLoopRc;
use pipewire::properties::properties;
use pipewire::registry::RegistryRc;
use pipewire::spa::pod::Pod;
use pipewire::spa::utils::Direction;
use pipewire::spa::utils::result::AsyncSeq;
use pipewire::stream::{StreamFlags, StreamListener, StreamRc};
use pipewire::types::ObjectType;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::loans::{Dmabufs, Home};
use super::offers::Offers;
use super::params::{self, Param, Size};
use super::pulse::Pulse;
use super::stream::{self, Notes, Receiver};
use super::{NodeRef, PipeWireNode, Wanted};
use crate::exchange::{End, Exchange};
use crate::limits::{
    STREAM_ANSWER_DEADLINE, STREAM_CAUSE_WAIT, STREAM_CHANGE_DEADLINE, STREAM_NODES_TOLD_MAX,
    STREAM_SYNC_INTERVAL,
};
use crate::{Diagnosis, Mode};

/// Where to connect to, and what is wanted there.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) remote: Remote,
    pub(super) node: NodeRef,
    pub(super) size: Size,
    pub(super) wanted: Wanted,
    /// By when there has to be a first picture.
    pub(super) deadline: Duration,
    /// The socket of the compositor whose screen it is.
    pub(super) compositor: Option<PathBuf>,
    /// By which dmabufs come home.
    pub(super) home: Arc<Home>,
}

/// What is asked of the node.
struct Asked {
    size: Size,
    wanted: Mode,
    exchange: Arc<Exchange<PipeWireNode>>,
}

/// A PipeWire daemon.
#[derive(Debug)]
pub(super) enum Remote {
    /// The session's own: by the socket's path or name, or as the library finds it.
    Session(Option<PathBuf>),
    /// A connection that somebody opened for us.
    Opened(OwnedFd),
}

/// A node that was announced.
#[derive(Clone, Debug)]
struct Node {
    id: u32,
    name: String,
}

/// What the daemon has told.
#[derive(Debug, Default)]
struct Told {
    nodes: RefCell<Vec<Node>>,
    removed: RefCell<Vec<u32>>,
    /// The daemon's last word.
    broken: RefCell<Option<String>>,
    /// The question that was answered last.
    answered: Cell<Option<AsyncSeq>>,
}

/// The thread's objects, in the order in which they have to be let go.
struct Link {
    stream: Option<(StreamListener<Receiver>, StreamRc)>,
    offers: Option<Offers>,
    _listeners: (pipewire::registry::Listener, pipewire::core::Listener),
    registry: RegistryRc,
    core: CoreRc,
    main_loop: MainLoopRc,
    told: Rc<Told>,
    notes: Rc<Notes>,
    dmabufs: Rc<RefCell<Dmabufs>>,
    home: Arc<Home>,
    asks: Asked,
    /// The node that is captured.
    node: Option<Node>,
    /// Closed by the source when it is dropped.
    stop: PipeReader,
    started: Instant,
    /// The question that waits for its answer, and since when.
    asked: Option<(AsyncSeq, Instant)>,
    ask_at: Instant,
    /// When something was first wrong.
    wrong_since: Option<Instant>,
    /// Of the compositor behind the node.
    pulse: Option<Pulse>,
}

/// The thread: captures until the source goes or the stream does.
pub(super) fn run(target: Target, exchange: &Arc<Exchange<PipeWireNode>>, stop: PipeReader) {
    let mut has_begun = false;
    let mut tell = |mode, name: &str| {
        if !std::mem::replace(&mut has_begun, true) {
            exchange.begin(name.to_owned(), mode);
        }
    };
    let Target { remote, node, size, wanted, deadline, compositor, home } = target;
    let asks = Asked { size, wanted: wanted.mode, exchange: Arc::clone(exchange) };
    let ended = Link::connect(remote, stop, Dmabufs::new(wanted.dmabufs, home), asks)
        .and_then(|mut link| {
            link.begin(&node)?;
            link.pulse = compositor.map(|socket| Pulse::of(&socket, Instant::now()));
            Ok(link)
        })
        .map_err(End::Unusable)
        .and_then(|mut link| link.capture(deadline, &mut tell));
    if let Err(end) = ended {
        exchange.end(end);
    }
}

impl Link {
    fn connect(remote: Remote, stop: PipeReader, dmabufs: Dmabufs, asks: Asked) -> Result<Self, Diagnosis> {
        let missing = |_: pipewire::Error| {
            // The library leaves its cause here.
            let words = io::Error::last_os_error().to_string();
            Diagnosis::PipeWireMissing { words }
        };
        let main_loop = MainLoopRc::new(None).map_err(missing)?;
        let context = ContextRc::new(&main_loop, None).map_err(missing)?;
        let core = match remote {
            Remote::Session(None) => context.connect_rc(None),
            Remote::Session(Some(socket)) => {
                let name = socket.as_os_str().as_bytes();
                context.connect_rc(Some(properties! { *keys::REMOTE_NAME => name }))
            }
            Remote::Opened(remote) => context.connect_fd_rc(remote, None),
        }
        .map_err(missing)?;
        let told = Rc::new(Told::default());
        let registry = core.get_registry_rc().map_err(missing)?;
        let listeners = (hear_registry(&registry, &told), hear_core(&core, &told));
        let started = Instant::now();
        Ok(Self {
            stream: None,
            offers: None,
            _listeners: listeners,
            registry,
            core,
            main_loop,
            told,
            notes: Rc::new(Notes::default()),
            home: dmabufs.home(),
            dmabufs: Rc::new(RefCell::new(dmabufs)),
            asks,
            node: None,
            stop,
            started,
            asked: None,
            ask_at: started,
            wrong_since: None,
            pulse: None,
        })
    }

    /// Finds the node, and asks for its pictures.
    fn begin(&mut self, node: &NodeRef) -> Result<(), Diagnosis> {
        // After the first answer every node that is there was announced.
        self.ask()?;
        while self.asked.is_some() {
            if self.pump(STREAM_ANSWER_DEADLINE)? == Pumped::Stopped {
                return Ok(());
            }
            self.check_answers()?;
        }
        let node = self.find(node)?;
        tracing::debug!(?node, "node found");
        // Asked now, because a producer whose offers are all refused may be gone before it could answer.
        self.offers = Offers::ask(&self.registry, node.id)
            .inspect_err(|error| tracing::debug!(%error, "the node's formats cannot be asked for"))
            .ok();
        let id = node.id;
        self.node = Some(node);
        self.open_stream(id)
    }

    /// Asks node `id` for its pictures.
    fn open_stream(&mut self, id: u32) -> Result<(), Diagnosis> {
        let properties = properties! {
            *keys::MEDIA_TYPE => "Video",
            *keys::MEDIA_CATEGORY => "Capture",
            *keys::MEDIA_ROLE => "Screen",
        };
        let refused = |error: pipewire::Error| Diagnosis::StreamEnded { words: error.to_string() };
        let stream = StreamRc::new(self.core.clone(), "punktfunk", properties).map_err(refused)?;
        let (exchange, wanted) = (Arc::clone(&self.asks.exchange), self.asks.wanted);
        let receiver = Receiver::new(exchange, Rc::clone(&self.notes), Rc::clone(&self.dmabufs), wanted);
        let listener = receiver.listen(&stream).map_err(refused)?;
        let formats = self.formats();
        let mut pods: Vec<&Pod> = formats.iter().filter_map(Param::pod).collect();
        // Not mapped by the library, which maps what can be shortened.
        let flags = StreamFlags::AUTOCONNECT | StreamFlags::DONT_RECONNECT;
        stream.connect(Direction::Input, Some(id), flags, &mut pods).map_err(refused)?;
        self.stream = Some((listener, stream));
        Ok(())
    }

    /// The formats that would do.
    fn formats(&self) -> Vec<Param> {
        params::formats(self.asks.wanted, self.asks.size, self.dmabufs.borrow().formats())
    }

    /// Sees to what others have told: dmabufs that came home, and such as are of no use.
    fn see_to_dmabufs(&mut self) -> Result<(), Diagnosis> {
        self.home.awake();
        let Some((_, stream)) = &self.stream else { return Ok(()) };
        stream::bring_home(stream, &self.dmabufs);
        if !self.dmabufs.borrow_mut().take_declined() {
            return Ok(());
        }
        let formats = self.formats();
        let mut pods: Vec<&Pod> = formats.iter().filter_map(Param::pod).collect();
        let refused = |error: pipewire::Error| Diagnosis::StreamEnded { words: error.to_string() };
        stream.update_params(&mut pods).map_err(refused)
    }

    /// Asks the same node for pictures in memory alone, where its stream failed over the dmabufs that were wished for
    /// before there was any picture; whether that was so.
    fn retry_in_memory(&mut self) -> Result<bool, Diagnosis> {
        if self.notes.captured_at.get().is_some() || !self.dmabufs.borrow_mut().give_up() {
            return Ok(false);
        }
        let Some(id) = self.node.as_ref().map(|node| node.id) else { return Ok(false) };
        let (words, fault) = (self.notes.stream_end.take(), self.notes.fault.take());
        tracing::warn!(?words, ?fault, "no stream of dmabufs comes about; pictures in memory are asked for");
        self.stream = None;
        self.dmabufs.borrow_mut().forget_buffers();
        self.notes.agreed.set(None);
        self.wrong_since = None;
        self.open_stream(id)?;
        Ok(true)
    }

    fn find(&self, wanted: &NodeRef) -> Result<Node, Diagnosis> {
        let nodes = self.told.nodes.borrow();
        let found = nodes.iter().find(|node| match wanted {
            NodeRef::Id(id) => node.id == *id,
            NodeRef::Name(name) => node.name == *name,
        });
        found.cloned().ok_or_else(|| {
            let have = nodes.iter().take(STREAM_NODES_TOLD_MAX);
            Diagnosis::NodeMissing {
                wanted: wanted.to_string(),
                have: have.map(|node| format!("{} {}", node.id, node.name)).collect(),
            }
        })
    }

    fn capture(&mut self, deadline: Duration, tell: &mut impl FnMut(Mode, &str)) -> Result<(), End> {
        loop {
            let now = Instant::now();
            let captured_at = self.notes.captured_at.get();
            let has_captured = captured_at.is_some();
            let end = |diagnosis| if has_captured { End::Ended(diagnosis) } else { End::Unusable(diagnosis) };
            let first_at = self.started.checked_add(deadline).filter(|_| !has_captured);
            if first_at.is_some_and(|first_at| first_at <= now) {
                return Err(End::NoFirstPicture(deadline, self.diagnose_silence()));
            }
            if self.asked.is_none() && self.ask_at <= now {
                self.ask().map_err(end)?;
            }
            // Another size means that something was drawn anew; a producer may fail over just that, and say nothing.
            let changed_by =
                self.notes.changed_at.get().map(|changed_at| changed_at + STREAM_CHANGE_DEADLINE);
            if changed_by.is_some_and(|changed_by| changed_by <= now) {
                let node = self.node_name();
                return Err(End::Ended(Diagnosis::NotChanged { node }));
            }
            let answer_by = self.asked.map_or(self.ask_at, |(_, asked_at)| asked_at + STREAM_ANSWER_DEADLINE);
            let judge_at = self.wrong_since.map(|since| since + STREAM_CAUSE_WAIT);
            let look_at =
                [first_at, changed_by, judge_at].into_iter().flatten().fold(answer_by, Instant::min);
            if self.pump(look_at.saturating_duration_since(now)).map_err(end)? == Pumped::Stopped {
                return Ok(());
            }
            if let (Some(mode), Some(node)) = (self.notes.agreed.get(), &self.node) {
                tell(mode, &node.name);
            }
            self.check_answers().map_err(end)?;
            self.judge().map_err(end)?;
            // Looked at whenever the daemon is asked, at the least.
            if let (Some(pulse), Some(captured_at)) = (&mut self.pulse, captured_at) {
                pulse.check(captured_at, Instant::now()).map_err(End::Ended)?;
            }
        }
    }

    /// Asks the daemon for a sign of life.
    fn ask(&mut self) -> Result<(), Diagnosis> {
        let now = Instant::now();
        let asked =
            self.core.sync(0).map_err(|error| Diagnosis::PipeWireGone { words: error.to_string() })?;
        self.asked = Some((asked, now));
        self.ask_at = now + STREAM_SYNC_INTERVAL;
        Ok(())
    }

    fn check_answers(&mut self) -> Result<(), Diagnosis> {
        let Some((asked, asked_at)) = self.asked else { return Ok(()) };
        if self.told.answered.get() == Some(asked) {
            self.asked = None;
        } else if asked_at.elapsed() >= STREAM_ANSWER_DEADLINE {
            return Err(Diagnosis::PipeWireHangs);
        }
        Ok(())
    }

    /// Whether something ended. What is told first may be the consequence of what is told next, so that all but a
    /// broken connection waits a moment.
    fn judge(&mut self) -> Result<(), Diagnosis> {
        if let Some(words) = self.told.broken.borrow_mut().take() {
            return Err(Diagnosis::PipeWireGone { words });
        }
        let is_removed = self.node.as_ref().is_some_and(|node| self.told.removed.borrow().contains(&node.id));
        let has_ended = self.notes.stream_end.borrow().is_some();
        let has_fault = self.notes.fault.borrow().is_some();
        if !is_removed && !has_ended && !has_fault {
            return Ok(());
        }
        if self.wrong_since.get_or_insert_with(Instant::now).elapsed() < STREAM_CAUSE_WAIT {
            return Ok(());
        }
        if !is_removed && self.retry_in_memory()? {
            return Ok(());
        }
        if let Some(fault) = self.notes.fault.borrow_mut().take() {
            return Err(fault);
        }
        let words = self.notes.stream_end.borrow_mut().take();
        // The library's own words, for want of a number; a producer that finds no format may end by that.
        if let Some(words) = words.as_ref().filter(|words| words.contains("format"))
            && self.notes.agreed.get().is_none()
        {
            let offers = self.offers.as_ref().map(Offers::words);
            let offered = offers.map_or_else(|| words.clone(), |offers| format!("{offers} ({words})"));
            return Err(Diagnosis::FormatRefused { offered });
        }
        if is_removed {
            tracing::debug!(?words, "the node was removed");
            return Err(Diagnosis::NodeRemoved { node: self.node_name() });
        }
        let words = words.unwrap_or_default();
        Err(Diagnosis::StreamEnded { words })
    }

    /// The number and the name of the node that is captured.
    fn node_name(&self) -> String {
        self.node.as_ref().map_or_else(String::new, |node| format!("{} {}", node.id, node.name))
    }

    /// Why there is no picture yet, as far as it can be told.
    fn diagnose_silence(&self) -> Diagnosis {
        let node = self.node_name();
        if self.notes.agreed.get().is_none() {
            return Diagnosis::NotLinked { node };
        }
        if self.notes.is_streaming.get() {
            return Diagnosis::NoDamage { output: node };
        }
        Diagnosis::NotStarted { node }
    }

    /// Waits for at most `wait`, and has the library handle what came. Returns early with anything that came.
    fn pump(&mut self, wait: Duration) -> Result<Pumped, Diagnosis> {
        let loop_ = self.main_loop.loop_();
        let mut fds = [
            PollFd::from_borrowed_fd(loop_.fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.stop.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.home.wakes(), PollFlags::IN),
        ];
        let timeout = Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: wait.subsec_nanos().into(),
        };
        let polled = poll(&mut fds, Some(&timeout));
        let [_, stopped, woken] = fds.map(|fd| !fd.revents().is_empty());
        if stopped {
            return Ok(Pumped::Stopped);
        }
        match polled {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Diagnosis::PipeWireGone { words: error.to_string() }),
        }
        loop_.iterate(Timeout::None);
        if woken {
            self.see_to_dmabufs()?;
        }
        Ok(Pumped::Going)
    }
}

/// What a pump came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pumped {
    Going,
    Stopped,
}

fn hear_registry(registry: &RegistryRc, told: &Rc<Told>) -> pipewire::registry::Listener {
    let (added, removed) = (Rc::clone(told), Rc::clone(told));
    registry
        .add_listener_local()
        .global(move |global| {
            if global.type_ == ObjectType::Node {
                let name = global.props.and_then(|props| props.get(&keys::NODE_NAME)).unwrap_or("unnamed");
                added.nodes.borrow_mut().push(Node { id: global.id, name: name.to_owned() });
                // A number is used again.
                added.removed.borrow_mut().retain(|id| *id != global.id);
            }
        })
        .global_remove(move |id| {
            let mut nodes = removed.nodes.borrow_mut();
            if nodes.iter().any(|node| node.id == id) {
                nodes.retain(|node| node.id != id);
                removed.removed.borrow_mut().push(id);
            }
        })
        .register()
}

fn hear_core(core: &CoreRc, told: &Rc<Told>) -> pipewire::core::Listener {
    let (done, broken) = (Rc::clone(told), Rc::clone(told));
    core.add_listener_local()
        .done(move |id, answer| {
            if id == pipewire::core::PW_ID_CORE {
                done.answered.set(Some(answer));
            }
        })
        .error(move |id, _, result, words| {
            tracing::debug!(id, result, words, "PipeWire reports an error");
            // Errors of other objects are told by those; one of the core with this result ends all.
            if id == pipewire::core::PW_ID_CORE && -result == rustix::io::Errno::PIPE.raw_os_error() {
                broken.broken.borrow_mut().get_or_insert_with(|| words.to_owned());
            }
        })
        .register()
}
