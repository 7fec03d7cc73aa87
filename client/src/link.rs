//! Control alone: what joins this client with a host before media flows, and parts them without media.
//!
//! Promises: one thread does everything until the session has started; a host that is left is told so, so
//! that the next client finds a place. Refuses media: it waits in the socket for the pipeline.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use punktfunk_control::{Bye, ByeReason, ClientControl, ClientEvent, Fingerprint, Hello, Welcome};
use punktfunk_net::{NetError, ReceiveLimits, Receiver, Socket};
use punktfunk_proto::{Negotiated, is_media};
use punktfunk_seal::Secret;

use crate::agreement::agree;
use crate::commands::Commands;
use crate::error::ClientError;
use crate::terminal::say;

/// The longest sleep of the control thread: how late a request to stop is noticed.
pub const TICK: Duration = Duration::from_millis(20);

/// The control session and the socket it sends on.
pub struct Link {
    /// The control session.
    pub control: ClientControl,
    socket: Arc<Socket>,
    outgoing: Vec<u8>,
    over: bool,
}

impl Link {
    /// Joins the two.
    pub fn new(control: ClientControl, socket: Arc<Socket>) -> Self {
        Self { control, socket, outgoing: Vec::new(), over: false }
    }

    /// Tells control the time when it has asked to be told.
    pub fn handle_time(&mut self, now: Instant) {
        if self.control.poll_timeout().is_some_and(|due| due <= now) {
            self.control.handle_timeout(now);
        }
    }

    /// The next event; after `Ended` there is none, and only last words are left to be sent.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        let event = self.control.poll_event();
        self.over |= matches!(event, Some(ClientEvent::Ended { .. }));
        event
    }

    /// Sends what control has to send.
    pub fn transmit(&mut self, now: Instant) {
        while let Some(transmit) = self.control.poll_transmit(now, &mut self.outgoing) {
            let (dest, source) = (transmit.dest, transmit.source);
            let bytes = &self.outgoing[..transmit.bytes_len];
            if let Err(error) = self.socket.send_to(dest, source, bytes, transmit.segment_bytes) {
                // QUIC repeats what is lost; a path that is gone shows as silence.
                tracing::debug!(%error, "a control datagram was not sent");
            }
        }
    }

    /// Sends, then waits for an answer, at most a tick.
    fn exchange(&mut self, receiver: &mut Receiver) -> Result<Instant, NetError> {
        self.transmit(Instant::now());
        let latest = Instant::now() + TICK;
        let due = self.control.poll_timeout().map_or(latest, |due| due.min(latest));
        let batch = receiver.receive(Some(due.saturating_duration_since(Instant::now())))?;
        let now = Instant::now();
        for segment in batch {
            if segment.bytes.first().copied().is_some_and(|first| !is_media(first)) {
                self.control.handle_datagram(segment.from, segment.to, segment.bytes, now);
            }
        }
        if let Some(dest) = self.socket.take_refused() {
            self.control.handle_refused(dest, now);
        }
        self.handle_time(now);
        Ok(now)
    }

    /// Leaves a host whose media nobody receives, and sees the goodbye through, which control bounds.
    pub fn leave(&mut self, bye: &Bye) {
        if !self.over {
            self.control.bye(bye, Instant::now());
            if let Ok(mut receiver) = Receiver::new(Arc::clone(&self.socket), ReceiveLimits::default()) {
                while !self.over && self.exchange(&mut receiver).is_ok() {
                    while self.poll_event().is_some() {}
                }
            }
        }
        self.transmit(Instant::now());
    }
}

/// What media starts from.
pub struct Greeted {
    /// What the host has made of the Hello.
    pub welcome: Welcome,
    /// What both ends are bounded by.
    pub negotiated: Negotiated,
    /// Who the host has proven to be.
    pub host_fingerprint: Fingerprint,
    /// The media keys' root.
    pub secret: Secret,
}

/// Who may end the wait for a host, and when it ends by itself.
pub struct Waiting<'a> {
    /// Set by a signal.
    pub stop: &'a AtomicBool,
    /// Where quit is heard.
    pub commands: Option<&'a Commands>,
    /// The last moment.
    pub until: Option<Instant>,
}

impl Waiting<'_> {
    /// Why it is over, once it is.
    fn over(&self, now: Instant) -> Option<ClientError> {
        if self.stop.load(Ordering::Relaxed) {
            return Some(ClientError::Interrupted);
        }
        if self.commands.is_some_and(Commands::is_quit_said) {
            return Some(ClientError::Quit);
        }
        self.until.is_some_and(|until| until <= now).then_some(ClientError::GaveUp)
    }
}

/// Runs the control session alone until media may flow; `hello` is what it has said.
///
/// # Errors
/// The host refuses, does not answer, is not believed, or welcomes to what was not offered; or the wait for it is over.
pub fn greet(
    link: &mut Link,
    receiver: &mut Receiver,
    hello: &Hello,
    waiting: &Waiting<'_>,
) -> Result<Greeted, ClientError> {
    let (mut welcomed, mut leaving) = (None, None);
    loop {
        let now = link.exchange(receiver)?;
        if leaving.is_none()
            && let Some(why) = waiting.over(now)
        {
            link.control.bye(&Bye::new(ByeReason::Asked, why.to_string()), now);
            leaving = Some(why);
        }
        while let Some(event) = link.poll_event() {
            match event {
                ClientEvent::Welcome { .. } | ClientEvent::Started { .. } if leaving.is_some() => {}
                ClientEvent::Welcome { welcome, host_fingerprint } => {
                    tracing::info!(
                        host = welcome.host_name,
                        fingerprint = %host_fingerprint,
                        source = welcome.source,
                        encoder = welcome.encoder,
                        "welcome"
                    );
                    let negotiated = agree(hello, &welcome)?;
                    welcomed = Some((welcome, negotiated, host_fingerprint));
                    link.control.start(now)?;
                }
                ClientEvent::Started { secret } => {
                    let (welcome, negotiated, host_fingerprint) =
                        welcomed.ok_or_else(|| ClientError::Welcome("there was none".into()))?;
                    return Ok(Greeted { welcome, negotiated, host_fingerprint, secret });
                }
                // Whatever the host says to that.
                ClientEvent::Ended { reason } => return Err(leaving.unwrap_or_else(|| reason.into())),
                ClientEvent::SourceNews(news) => say(&format!("the host: {}", news.why)),
                ClientEvent::Skew(_)
                | ClientEvent::HostStats(_)
                | ClientEvent::Reconfigured(_)
                | ClientEvent::PendingDevices(_)
                | ClientEvent::SpeedTestBegun(_)
                | ClientEvent::SpeedTestSent(_)
                | ClientEvent::SpeedTestResult(_)
                | ClientEvent::SpeedTestFailed(_)
                | ClientEvent::Mtu { .. } => {}
            }
        }
    }
}
