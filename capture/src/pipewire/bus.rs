//! The session bus, asked from a thread that can be called off.
//!
//! Promises: whatever is being waited for can be called off from another thread at once; what is being asked is
//! known to whoever waits for it; an answer that is an error is told with its words. Refuses nothing by itself.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use zbus::{Connection, DynamicType, MatchRule, Message, MessageStream, Variant};

use crate::Diagnosis;

/// Options of a D-Bus call, `a{sv}`.
pub(super) type Options<'a> = HashMap<&'a str, Variant<'a>>;

/// How another thread calls a wait off, and what it is told of it.
#[derive(Debug, Default)]
pub(super) struct Recall {
    state: Mutex<RecallState>,
}

#[derive(Debug, Default)]
struct RecallState {
    is_recalled: bool,
    waker: Option<Waker>,
    asking: &'static str,
}

impl Recall {
    fn lock(&self) -> std::sync::MutexGuard<'_, RecallState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the wait off, now and from now on.
    pub(super) fn recall(&self) {
        let mut state = self.lock();
        state.is_recalled = true;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// What is being asked.
    pub(super) fn asking(&self) -> &'static str {
        self.lock().asking
    }

    pub(super) fn ask(&self, what: &'static str) {
        self.lock().asking = what;
    }

    fn poll_recalled(&self, context: &mut Context<'_>) -> bool {
        let mut state = self.lock();
        state.waker = Some(context.waker().clone());
        state.is_recalled
    }

    /// `future`'s outcome, or `None` where it was called off. What has come by then is not thrown away: a portal's
    /// answer has a token in it that is good once, and the one before is not any more.
    pub(super) async fn unless<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending if self.poll_recalled(context) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}

/// The bus itself.
pub(super) const DBUS: Place<'static> =
    Place { name: "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus" };

/// A connection to the session bus.
#[derive(Debug)]
pub(super) struct Bus<'a> {
    connection: Connection,
    recall: &'a Recall,
}

/// A call that failed.
#[derive(Debug)]
pub(super) struct CallError {
    pub(super) error: zbus::Error,
}

impl CallError {
    /// Whether nobody is there who could have answered.
    pub(super) fn is_nobody(&self) -> bool {
        use zbus::fdo::Error as Fdo;
        match &self.error {
            zbus::Error::FDO(error) => matches!(
                **error,
                Fdo::ServiceUnknown(_)
                    | Fdo::NameHasNoOwner(_)
                    | Fdo::UnknownMethod(_)
                    | Fdo::UnknownObject(_)
                    | Fdo::UnknownInterface(_)
                    | Fdo::InvalidArgs(_)
                    | Fdo::SpawnServiceNotFound(_)
                    | Fdo::SpawnChildExited(_)
                    | Fdo::SpawnFailed(_)
            ),
            _ => false,
        }
    }

    /// By whom and why it was refused; the bus answers for one that goes without an answer.
    pub(super) fn diagnose(&self, by: &'static str) -> Diagnosis {
        match &self.error {
            zbus::Error::FDO(error) if matches!(**error, zbus::fdo::Error::NoReply(_)) => {
                Diagnosis::PortalGone { by }
            }
            _ => Diagnosis::PortalRefused { by, words: self.words() },
        }
    }

    pub(super) fn words(&self) -> String {
        self.error.to_string()
    }
}

/// Where a method is found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) name: &'a str,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
}

impl<'a> Bus<'a> {
    /// Connects to the bus at `address`, or to this program's session's.
    pub(super) async fn connect(address: Option<&str>, recall: &'a Recall) -> Result<Self, Diagnosis> {
        recall.ask("the session bus for a connection");
        let builder = match address {
            Some(address) => zbus::connection::Builder::address(address),
            None => zbus::connection::Builder::session(),
        };
        match builder.build().await {
            Ok(connection) => Ok(Self { connection, recall }),
            Err(error) => Err(Diagnosis::NoSessionBus { words: error.to_string() }),
        }
    }

    /// Our own name on the bus, as the portal makes paths of it.
    pub(super) fn path_name(&self) -> String {
        let name = self.connection.unique_name().map_or("", |name| name.as_str());
        name.trim_start_matches(':').replace('.', "_")
    }

    /// Calls `method` and waits for the answer. `asking` says so in words.
    pub(super) async fn call<B>(
        &self,
        asking: &'static str,
        place: Place<'_>,
        method: &str,
        body: &B,
    ) -> Result<Message, CallError>
    where
        B: serde::Serialize + DynamicType,
    {
        self.recall.ask(asking);
        let Place { name, path, interface } = place;
        self.connection
            .call_method(Some(name), path, Some(interface), method, body)
            .await
            .map_err(|error| CallError { error })
    }

    /// Whether somebody has `name`; nobody is started for it.
    pub(super) async fn has_owner(&self, name: &str) -> Result<bool, CallError> {
        let answer = self.call("the session bus who is there", DBUS, "NameHasOwner", &name).await?;
        answer.body().deserialize().map_err(|error| CallError { error })
    }

    /// Sends a call whose answer nobody waits for; not sent where that would take time.
    pub(super) async fn call_and_forget(&self, place: Place<'_>, method: &str) {
        let Ok(message) = Message::method_call(place.path, method)
            .destination(place.name)
            .interface(place.interface)
            .with_flags(zbus::message::Flags::NO_REPLY_EXPECTED)
            .build(&())
        else {
            return;
        };
        let mut send = pin!(self.connection.send(&message));
        poll_fn(|context| {
            let _ = send.as_mut().poll(context);
            Poll::Ready(())
        })
        .await;
    }

    /// The signals that fit `rule`, from now on.
    pub(super) async fn signals(&self, rule: MatchRule<'_>) -> Result<MessageStream, Diagnosis> {
        self.recall.ask("the session bus for signals");
        let signals = MessageStream::for_match_rule(rule, &self.connection, None).await;
        signals.map_err(|error| Diagnosis::NoSessionBus { words: error.to_string() })
    }

    /// Tells when the owner of `name` changes.
    pub(super) async fn owner_changes(&self, name: &str) -> Result<MessageStream, Diagnosis> {
        let rule = MatchRule::builder()
            .msg_type(zbus::message::Type::Signal)
            .sender("org.freedesktop.DBus")
            .interface("org.freedesktop.DBus")
            .member("NameOwnerChanged")
            .add_arg(name)
            .build();
        match rule {
            Ok(rule) => self.signals(rule).await,
            Err(error) => Err(Diagnosis::NoSessionBus { words: error.to_string() }),
        }
    }

    /// Waits until `closed` has a message at `session`, the owner of the name that `owner` follows goes, or the bus
    /// does; then says which, or `None` where the wait was called off.
    pub(super) async fn watch(&self, mut watch: Watch) -> Option<Diagnosis> {
        let mut bus_closed = pin!(self.connection.closed());
        let by = watch.by;
        let wait = poll_fn(|context| {
            if bus_closed.as_mut().poll(context).is_ready() {
                return Poll::Ready(Diagnosis::SessionBusGone);
            }
            while let Poll::Ready(message) = Pin::new(&mut watch.closed).poll_next(context) {
                let Some(Ok(message)) = message else { break };
                if message.header().path().is_some_and(|path| path.as_str() == watch.session) {
                    return Poll::Ready(Diagnosis::ScreenCastEnded { by });
                }
            }
            poll_gone(&mut watch.owner, context).map(|()| Diagnosis::PortalGone { by })
        });
        self.recall.unless(wait).await
    }
}

/// What ends a screen cast from outside.
#[derive(Debug)]
pub(super) struct Watch {
    /// Who hands out the screen cast, in words.
    pub(super) by: &'static str,
    /// The object whose closing counts.
    pub(super) session: String,
    /// Its signal.
    pub(super) closed: MessageStream,
    /// The name's owners.
    pub(super) owner: MessageStream,
}

/// The next message, or `None` where there will be none: the stream ended, or `owner`, which follows the name of who
/// sends it, tells that the name's owner went.
pub(super) async fn next(stream: &mut MessageStream, owner: &mut MessageStream) -> Option<Message> {
    poll_fn(|context| match Pin::new(&mut *stream).poll_next(context) {
        Poll::Ready(message) => Poll::Ready(message.and_then(Result::ok)),
        Poll::Pending => poll_gone(owner, context).map(|()| None),
    })
    .await
}

/// Ready once a name's owner went; that it came is none of that.
fn poll_gone(owner: &mut MessageStream, context: &mut Context<'_>) -> Poll<()> {
    while let Poll::Ready(Some(Ok(message))) = Pin::new(&mut *owner).poll_next(context) {
        let body = message.body();
        if matches!(body.deserialize::<(&str, &str, &str)>(), Ok((_, old, _)) if !old.is_empty()) {
            return Poll::Ready(());
        }
    }
    Poll::Pending
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn a_wait_is_called_off_from_another_thread_before_and_while_it_waits() {
        let recall = Recall::default();
        assert_eq!(zbus::block_on(recall.unless(std::future::ready(7))), Some(7));
        let started = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(30));
                recall.recall();
            });
            assert_eq!(zbus::block_on(recall.unless(std::future::pending::<()>())), None);
        });
        assert!(started.elapsed() >= Duration::from_millis(30));
        assert_eq!(zbus::block_on(recall.unless(std::future::pending::<()>())), None);
        assert_eq!(zbus::block_on(recall.unless(std::future::ready(8))), Some(8));
    }

    #[test]
    fn a_bus_that_is_not_there_is_named() {
        let recall = Recall::default();
        for address in ["unix:path=/nonexistent/bus", "nonsense"] {
            let error = zbus::block_on(Bus::connect(Some(address), &recall)).unwrap_err();
            assert!(matches!(error, Diagnosis::NoSessionBus { .. }), "{error}");
        }
        assert_eq!(recall.asking(), "the session bus for a connection");
    }
}
