//! The desktop portal's screen cast: a session, a choice that a person makes once, and a connection to PipeWire.
//!
//! Promises: with a token that the portal still knows nobody is asked; a token that it refuses is tried once and
//! forgotten; a person who cancels is not asked again, and costs no token; a portal that goes before it answers is
//! named at once; the cursor is in the picture where the portal can do that, else beside it. Refuses portals without a
//! screen cast, by name, and answers that are not what the interface says.
//!
//! Source: the interface `org.freedesktop.portal.ScreenCast` of xdg-desktop-portal's documentation.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::Path;

use zbus::message::Type as MessageType;
use zbus::{DeserializeDict, MatchRule, Message, MessageStream, ObjectPath, OwnedVariant, Variant};

use super::bus::{Bus, CallError, Options, Place, Watch, next};
use super::token;
use crate::Diagnosis;

pub(super) const NAME: &str = "org.freedesktop.portal.Desktop";
const PATH: &str = "/org/freedesktop/portal/desktop";
const INTERFACE: &str = "org.freedesktop.portal.ScreenCast";
const DESKTOP: Place<'static> = Place { name: NAME, path: PATH, interface: INTERFACE };
const BY: &str = "the desktop portal";

/// What is being asked where a person has to answer.
pub(super) const ASKING_A_PERSON: &str =
    "the desktop portal to start; it may wait for a person who chooses a screen";

/// Monitors, of monitors, windows and virtual ones.
const SOURCE_MONITOR: u32 = 1;
/// Until the choice is revoked.
const PERSIST: u32 = 2;
/// The version that keeps a choice.
const PERSIST_VERSION: u32 = 4;
const CURSOR_EMBEDDED: u32 = 2;
const CURSOR_METADATA: u32 = 4;

/// A screen cast that runs.
#[derive(Debug)]
pub(super) struct Cast {
    pub(super) remote: OwnedFd,
    pub(super) node: u32,
    pub(super) watch: Watch,
}

/// What the portal can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Abilities {
    version: u32,
    cursor_mode: u32,
}

/// What a request's answer has that is of use here.
#[derive(Debug, Default, DeserializeDict, zbus::Type)]
#[zbus(signature = "a{sv}")]
struct Results {
    session_handle: Option<String>,
    streams: Option<Vec<(u32, HashMap<String, OwnedVariant>)>>,
    restore_token: Option<String>,
}

/// Opens a screen cast.
pub(super) async fn open(bus: &Bus<'_>, token_file: Option<&Path>) -> Result<Cast, Diagnosis> {
    let abilities = abilities(bus).await?;
    let mut portal = Portal::new(bus, abilities).await?;
    let kept = token_file.filter(|_| abilities.version >= PERSIST_VERSION);
    let token = kept.and_then(token::read);
    let session = portal.create_session().await?;
    let (session, results) = match portal.start(&session, token.as_deref()).await {
        // The token may be what it dislikes; once, it is asked without.
        Err(refusal @ Diagnosis::PortalRefused { .. }) if token.is_some() => {
            tracing::warn!(%refusal, "the portal refuses its token; asking without");
            kept.inspect(|path| token::forget(path));
            portal.close(&session).await;
            let session = portal.create_session().await?;
            let results = portal.start(&session, None).await?;
            (session, results)
        }
        results => (session, results?),
    };
    if let (Some(path), Some(token)) = (kept, &results.restore_token) {
        token::write(path, token);
    }
    let node = node_of(&results)?;
    let remote = portal.open_remote(&session).await?;
    Ok(Cast { remote, node, watch: portal.into_watch(session) })
}

/// Ends a screen cast, without waiting for it.
pub(super) async fn close(bus: &Bus<'_>, session: &str) {
    let place = Place { name: NAME, path: session, interface: "org.freedesktop.portal.Session" };
    bus.call_and_forget(place, "Close").await;
}

async fn abilities(bus: &Bus<'_>) -> Result<Abilities, Diagnosis> {
    let properties = Place { interface: "org.freedesktop.DBus.Properties", ..DESKTOP };
    let asking = "the desktop portal whether it has a screen cast";
    let answer = bus.call(asking, properties, "GetAll", &INTERFACE).await.map_err(|error| {
        if error.is_nobody() { Diagnosis::PortalMissing { words: error.words() } } else { refused(error) }
    })?;
    let body = answer.body();
    let properties: HashMap<&str, Variant<'_>> = body.deserialize().map_err(|error| odd(&error))?;
    let number = |name| properties.get(name).and_then(|value| value.downcast_ref::<u32>().ok());
    let version = number("version").unwrap_or(0);
    // Without a back end the front end has the interface's name and nothing behind it.
    if version == 0 {
        let words = "it has no screen cast".to_owned();
        return Err(Diagnosis::PortalMissing { words });
    }
    let cursor_mode = choose_cursor(number("AvailableCursorModes").unwrap_or(0));
    Ok(Abilities { version, cursor_mode })
}

/// In the picture, else beside it; 0 where neither can be had, which leaves it to the portal.
fn choose_cursor(available: u32) -> u32 {
    [CURSOR_EMBEDDED, CURSOR_METADATA].into_iter().find(|mode| available & mode != 0).unwrap_or(0)
}

fn refused(error: CallError) -> Diagnosis {
    error.diagnose(BY)
}

fn odd(error: &zbus::Error) -> Diagnosis {
    Diagnosis::PortalUnreadable { by: BY, words: error.to_string() }
}

struct Portal<'a, 'b> {
    bus: &'a Bus<'b>,
    abilities: Abilities,
    /// Where our own requests are.
    requests: String,
    responses: MessageStream,
    closed: MessageStream,
    owner: MessageStream,
    handles: u32,
}

impl<'a, 'b> Portal<'a, 'b> {
    /// Listens before anything is asked, so that no answer comes too early.
    async fn new(bus: &'a Bus<'b>, abilities: Abilities) -> Result<Self, Diagnosis> {
        let ours = bus.path_name();
        let requests = format!("{PATH}/request/{ours}");
        let responses = bus.signals(signal("org.freedesktop.portal.Request", "Response", &requests)?).await?;
        let sessions = format!("{PATH}/session/{ours}");
        let closed = bus.signals(signal("org.freedesktop.portal.Session", "Closed", &sessions)?).await?;
        let owner = bus.owner_changes(NAME).await?;
        Ok(Self { bus, abilities, requests, responses, closed, owner, handles: 0 })
    }

    /// A handle that is new to this connection.
    fn handle(&mut self) -> String {
        self.handles += 1;
        format!("punktfunk{}", self.handles)
    }

    async fn create_session(&mut self) -> Result<String, Diagnosis> {
        let handle = self.handle();
        let options = Options::from([
            ("handle_token", Variant::from(handle.as_str())),
            ("session_handle_token", Variant::from(handle.as_str())),
        ]);
        let asking = "the desktop portal for a session";
        let results = self.request(asking, "CreateSession", &handle, &(&options,)).await?;
        let missing = "it has no session".to_owned();
        results.session_handle.ok_or(Diagnosis::PortalUnreadable { by: BY, words: missing })
    }

    async fn start(&mut self, session: &str, token: Option<&str>) -> Result<Results, Diagnosis> {
        let path = ObjectPath::try_from(session).map_err(|error| odd(&error))?;
        let handle = self.handle();
        let mut options = Options::from([
            ("handle_token", Variant::from(handle.as_str())),
            ("types", Variant::from(SOURCE_MONITOR)),
            ("multiple", Variant::from(false)),
        ]);
        if self.abilities.cursor_mode != 0 {
            options.insert("cursor_mode", Variant::from(self.abilities.cursor_mode));
        }
        if self.abilities.version >= PERSIST_VERSION {
            options.insert("persist_mode", Variant::from(PERSIST));
        }
        if let Some(token) = token {
            options.insert("restore_token", Variant::from(token));
        }
        let asking = "the desktop portal to select a screen";
        self.request(asking, "SelectSources", &handle, &(&path, &options)).await?;
        let handle = self.handle();
        let options = Options::from([("handle_token", Variant::from(handle.as_str()))]);
        let asking = match token {
            Some(_) => "the desktop portal to start, with the leave that it has given before",
            None => ASKING_A_PERSON,
        };
        self.request(asking, "Start", &handle, &(&path, "", &options)).await
    }

    async fn close(&self, session: &str) {
        close(self.bus, session).await;
    }

    async fn open_remote(&self, session: &str) -> Result<OwnedFd, Diagnosis> {
        let path = ObjectPath::try_from(session).map_err(|error| odd(&error))?;
        let asking = "the desktop portal for a connection to PipeWire";
        let options = Options::new();
        let answer = self.bus.call(asking, DESKTOP, "OpenPipeWireRemote", &(&path, &options)).await;
        let answer = answer.map_err(refused)?;
        let remote: zbus::OwnedFd = answer.body().deserialize().map_err(|error| odd(&error))?;
        Ok(remote.into())
    }

    /// Calls a method that answers by a signal, and waits for that.
    async fn request<B>(
        &mut self,
        asking: &'static str,
        method: &str,
        handle: &str,
        body: &B,
    ) -> Result<Results, Diagnosis>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        let expected = format!("{}/{handle}", self.requests);
        self.bus.call(asking, DESKTOP, method, body).await.map_err(refused)?;
        while let Some(message) = next(&mut self.responses, &mut self.owner).await {
            if message.header().path().is_some_and(|path| path.as_str() == expected) {
                return parse_response(&message);
            }
        }
        Err(Diagnosis::PortalGone { by: BY })
    }

    fn into_watch(self, session: String) -> Watch {
        Watch { by: BY, session, closed: self.closed, owner: self.owner }
    }
}

fn signal<'m>(interface: &'m str, member: &'m str, below: &'m str) -> Result<MatchRule<'m>, Diagnosis> {
    MatchRule::builder()
        .msg_type(MessageType::Signal)
        .sender(NAME)
        .interface(interface)
        .member(member)
        .path_namespace(below)
        .build()
        .map_err(|error| odd(&error))
}

/// What an answer says: the results, or who refused.
fn parse_response(message: &Message) -> Result<Results, Diagnosis> {
    let body = message.body();
    let (code, results): (u32, Results) = body.deserialize().map_err(|error| odd(&error))?;
    match code {
        0 => Ok(results),
        1 => Err(Diagnosis::PortalCancelled { by: BY }),
        code => Err(Diagnosis::PortalRefused { by: BY, words: format!("it ended the request, code {code}") }),
    }
}

fn node_of(results: &Results) -> Result<u32, Diagnosis> {
    let first = results.streams.as_ref().and_then(|streams| streams.first());
    let missing = "it has no stream".to_owned();
    first.map(|(node, _)| *node).ok_or(Diagnosis::PortalUnreadable { by: BY, words: missing })
}

#[cfg(test)]
mod tests;
