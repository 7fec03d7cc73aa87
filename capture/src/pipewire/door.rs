//! The ways to a node, and the thread that keeps one open.
//!
//! Promises: a door that was opened stays open until its [`Keeper`] is dropped, which closes it; that somebody else
//! closed it is told at once. Refuses nothing by itself.

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::{self, JoinHandle};

use super::bus::{Bus, Recall};
use super::{Surroundings, mutter, portal, session_env};
use crate::Diagnosis;

/// A node of the session's PipeWire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeRef {
    /// Its number.
    Id(u32),
    /// Its name, `node.name`; the first one of that name.
    Name(String),
}

impl FromStr for NodeRef {
    type Err = std::convert::Infallible;

    /// Digits are a number, everything else is a name.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Id))
    }
}

impl fmt::Display for NodeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Name(name) => write!(f, "{name:?}"),
        }
    }
}

/// The ways to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Door {
    /// The desktop portal, which asks a person for a screen, once.
    Portal {
        /// Where the portal's token is kept, so that nobody is asked again; `None`: it is not.
        token_file: Option<PathBuf>,
    },
    /// A monitor of GNOME's mutter, asked without a portal.
    MutterMonitor {
        /// Its connector's name; `None`: the primary one.
        connector: Option<String>,
    },
    /// A virtual monitor of GNOME's mutter, made at the wanted size.
    MutterVirtual,
    /// A node of the session's PipeWire, asked of nobody.
    Node(NodeRef),
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Portal { .. } => f.write_str("screen from the desktop portal"),
            Self::MutterMonitor { connector: None } => f.write_str("GNOME's primary monitor"),
            Self::MutterMonitor { connector: Some(connector) } => write!(f, "GNOME's monitor {connector}"),
            Self::MutterVirtual => f.write_str("virtual monitor of GNOME's"),
            Self::Node(node) => write!(f, "PipeWire node {node}"),
        }
    }
}

/// What is behind a door.
#[derive(Debug)]
pub(super) struct Opened {
    /// A connection to PipeWire that comes with it.
    pub(super) remote: Option<OwnedFd>,
    pub(super) node: u32,
}

/// Keeps a door open.
#[derive(Debug)]
pub(super) struct Keeper {
    recall: Arc<Recall>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Begins to open `door`, on a thread of its own. What is behind it comes through `opened`; what ends it later
    /// goes to `on_end`.
    pub(super) fn start(
        door: Door,
        surroundings: Surroundings,
        opened: SyncSender<Result<Opened, Diagnosis>>,
        on_end: impl FnOnce(Diagnosis) + Send + 'static,
    ) -> std::io::Result<Self> {
        let recall = Arc::new(Recall::default());
        let recalled = Arc::clone(&recall);
        let run = move || {
            if let Some(end) = zbus::block_on(keep(&door, &surroundings, &recalled, &opened)) {
                on_end(end);
            }
        };
        let thread = thread::Builder::new().name("portal".to_owned()).spawn(run)?;
        Ok(Self { recall, thread: Some(thread) })
    }

    /// What is being waited for.
    pub(super) fn asking(&self) -> &'static str {
        self.recall.asking()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.recall.recall();
        if let Some(thread) = self.thread.take() {
            // A panic of it has been printed; the stream is over either way.
            let _ = thread.join();
        }
    }
}

/// Opens a door, tells what is behind it, and waits for its end; `None` where that is ours.
async fn keep(
    door: &Door,
    surroundings: &Surroundings,
    recall: &Recall,
    opened: &SyncSender<Result<Opened, Diagnosis>>,
) -> Option<Diagnosis> {
    let tell = |outcome| {
        // Nobody waits any more where the source was given up meanwhile.
        let _ = opened.send(outcome);
    };
    let bus = match recall.unless(Bus::connect(surroundings.bus.as_deref(), recall)).await? {
        Ok(bus) => bus,
        Err(diagnosis) => {
            tell(Err(diagnosis));
            return None;
        }
    };
    let open = async {
        match door {
            Door::Portal { token_file } => {
                let environment = surroundings.environment.clone();
                let environment = environment.unwrap_or_else(session_env::of_this_program);
                session_env::import_before(&bus, portal::NAME, &environment).await;
                let cast = portal::open(&bus, token_file.as_deref()).await?;
                Ok((Opened { remote: Some(cast.remote), node: cast.node }, cast.watch))
            }
            Door::MutterMonitor { connector } => {
                let cast = mutter::open(&bus, mutter::Screen::Monitor(connector.as_deref())).await?;
                Ok((Opened { remote: None, node: cast.node }, cast.watch))
            }
            Door::MutterVirtual => {
                let cast = mutter::open(&bus, mutter::Screen::Virtual).await?;
                Ok((Opened { remote: None, node: cast.node }, cast.watch))
            }
            // Nobody has to be asked for it.
            Door::Node(node) => {
                let have = Vec::new();
                Err(Diagnosis::NodeMissing { wanted: node.to_string(), have })
            }
        }
    };
    let watch = match recall.unless(open).await? {
        Ok((behind, watch)) => {
            tell(Ok(behind));
            watch
        }
        Err(diagnosis) => {
            tell(Err(diagnosis));
            return None;
        }
    };
    let session = watch.session.clone();
    let end = bus.watch(watch).await;
    if end.is_none() {
        match door {
            Door::Portal { .. } => portal::close(&bus, &session).await,
            _ => mutter::close(&bus, &session).await,
        }
    }
    end
}
