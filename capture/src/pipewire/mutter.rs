//! GNOME's own screen cast, `org.gnome.Mutter.ScreenCast`, for a mutter without a portal before it.
//!
//! What is it: the interface that GNOME's portal itself uses; a compositor lets any program of its session in. It
//! has two ways: a monitor that is there, and a virtual one of the size that the consumer asks for. Promises: the
//! node is told by the compositor, not guessed. Refuses compositors without the interface, by name.

use std::collections::HashMap;

use zbus::message::Type as MessageType;
use zbus::{MatchRule, MessageStream, OwnedObjectPath, Variant};

use super::bus::{Bus, CallError, Options, Place, Watch, next};
use crate::Diagnosis;

const NAME: &str = "org.gnome.Mutter.ScreenCast";
const BY: &str = "GNOME's mutter";
const SESSION: &str = "org.gnome.Mutter.ScreenCast.Session";
const STREAM: &str = "org.gnome.Mutter.ScreenCast.Stream";
const CURSOR_EMBEDDED: u32 = 1;

/// What is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Screen<'a> {
    /// A monitor by its connector's name; `None`: the primary one.
    Monitor(Option<&'a str>),
    /// One that is made for this.
    Virtual,
}

/// A screen cast that runs; its node is one of the session's own PipeWire.
#[derive(Debug)]
pub(super) struct Cast {
    pub(super) node: u32,
    pub(super) watch: Watch,
}

/// Whether somebody answers to the interface's name.
pub(super) async fn look(bus: &Bus<'_>) -> Result<(), Diagnosis> {
    let place = Place {
        name: "org.freedesktop.DBus",
        path: "/org/freedesktop/DBus",
        interface: "org.freedesktop.DBus",
    };
    let answer = bus.call("the session bus for GNOME's mutter", place, "NameHasOwner", &NAME).await;
    let answer = answer.map_err(|error| Diagnosis::NoSessionBus { words: error.words() })?;
    match answer.body().deserialize::<bool>() {
        Ok(true) => Ok(()),
        Ok(false) => Err(Diagnosis::MutterMissing { words: format!("nobody has the name {NAME}") }),
        Err(error) => Err(odd(&error)),
    }
}

/// Opens a screen cast.
pub(super) async fn open(bus: &Bus<'_>, screen: Screen<'_>) -> Result<Cast, Diagnosis> {
    let root = Place { name: NAME, path: "/org/gnome/Mutter/ScreenCast", interface: NAME };
    let mut owner = bus.owner_changes(NAME).await?;
    let closed = bus.signals(signal(SESSION, "Closed")?).await?;
    let mut added = bus.signals(signal(STREAM, "PipeWireStreamAdded")?).await?;
    let options = Options::new();
    let asking = "GNOME's mutter for a screen cast";
    let answer = bus.call(asking, root, "CreateSession", &(&options,)).await.map_err(|error| {
        if error.is_nobody() { Diagnosis::MutterMissing { words: error.words() } } else { refused(error) }
    })?;
    let path: OwnedObjectPath = answer.body().deserialize().map_err(|error| odd(&error))?;
    let session = Place { name: NAME, path: path.as_str(), interface: SESSION };
    let options = HashMap::from([("cursor-mode", Variant::from(CURSOR_EMBEDDED))]);
    let asking = "GNOME's mutter to record";
    let answer = match screen {
        Screen::Monitor(connector) => {
            bus.call(asking, session, "RecordMonitor", &(connector.unwrap_or(""), &options)).await
        }
        Screen::Virtual => bus.call(asking, session, "RecordVirtual", &(&options,)).await,
    };
    let stream: OwnedObjectPath =
        answer.map_err(refused)?.body().deserialize().map_err(|error| odd(&error))?;
    bus.call("GNOME's mutter to start", session, "Start", &()).await.map_err(refused)?;
    let node = node_of(&mut added, &mut owner, stream.as_str()).await?;
    Ok(Cast { node, watch: Watch { by: BY, session: path.to_string(), closed, owner } })
}

/// Ends a screen cast, without waiting for it.
pub(super) async fn close(bus: &Bus<'_>, session: &str) {
    bus.call_and_forget(Place { name: NAME, path: session, interface: SESSION }, "Stop").await;
}

async fn node_of(
    added: &mut MessageStream,
    owner: &mut MessageStream,
    stream: &str,
) -> Result<u32, Diagnosis> {
    while let Some(message) = next(added, owner).await {
        if message.header().path().is_some_and(|path| path.as_str() == stream) {
            return message.body().deserialize().map_err(|error| odd(&error));
        }
    }
    Err(Diagnosis::PortalGone { by: BY })
}

fn signal(interface: &'static str, member: &'static str) -> Result<MatchRule<'static>, Diagnosis> {
    MatchRule::builder()
        .msg_type(MessageType::Signal)
        .sender(NAME)
        .interface(interface)
        .member(member)
        .build()
        .map_err(|error| odd(&error))
}

fn refused(error: CallError) -> Diagnosis {
    error.diagnose(BY)
}

fn odd(error: &zbus::Error) -> Diagnosis {
    Diagnosis::PortalUnreadable { by: BY, words: error.to_string() }
}

#[cfg(test)]
mod tests;
