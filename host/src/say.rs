//! What the host tells people and scripts: a line for each event of a session's life.
//!
//! Promises: with JSON on, standard output carries one JSON object a line and nothing else; without it,
//! the log on standard error says the same. Refuses to print secrets. A PIN is said, and not logged, because showing it
//! is what it is for; one that the API was asked for is shown there, and not on a standard error that no terminal reads,
//! which may be a journal.

use std::io::{IsTerminal, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use punktfunk_control::{
    Fingerprint, HostStats, PendingDevice, RejectReason, SessionEnd, SessionId, SourceNews, SpeedTestBegun,
    Welcome, WindowEnd,
};
use punktfunk_engine::StageFault;
use punktfunk_manage::model::SpeedTestResult;
use punktfunk_seal::CipherReason;
use serde_json::{Value, json};

use crate::error::HostError;

/// Where events are said.
#[derive(Debug, Clone, Copy)]
pub struct Say {
    json: bool,
}

impl Say {
    /// JSON lines on standard output, or not.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    fn line(self, event: &Value) {
        if self.json {
            let mut out = std::io::stdout().lock();
            // A reader that has gone away is no reason to end a session.
            let _ = writeln!(out, "{event}").and_then(|()| out.flush());
        }
    }

    /// A line about one session, which it names.
    fn line_of(self, session: SessionId, mut event: Value) {
        event["session"] = json!(session.number());
        self.line(&event);
    }

    /// The port is open.
    pub fn listening(self, address: SocketAddr, fingerprint: &Fingerprint) {
        tracing::info!(%address, %fingerprint, "listening");
        let (address, fingerprint) = (address.to_string(), fingerprint.to_string());
        self.line(&json!({"event": "listening", "address": address, "fingerprint": fingerprint}));
    }

    /// The management API listens.
    pub fn console(self, address: SocketAddr) {
        tracing::info!("console at https://{address}/; `punktfunk-host token` prints what it asks for");
        self.line(&json!({"event": "console", "address": address.to_string()}));
    }

    /// `punktfunk discover` finds this host, under this name.
    pub fn announced(self, name: &str) {
        tracing::info!(name, "announced on the local network");
        self.line(&json!({"event": "announced", "name": name}));
    }

    /// It does not, or not yet.
    pub fn unannounced(self, why: &str) {
        tracing::warn!(why, "not announced on the local network; clients reach it by its address");
        self.line(&json!({"event": "unannounced", "reason": why}));
    }

    /// A device that knows this PIN may pair; whether it is shown elsewhere, too.
    pub fn pairing(self, pin: &str, left: Duration, is_shown: bool) {
        let seconds = left.as_secs();
        let mut err = std::io::stderr();
        if !self.json && (!is_shown || err.is_terminal()) {
            let (first, second) = pin.split_at(pin.len() / 2);
            let line = format!("pairing: the PIN is {first} {second}, for {seconds} s (punktfunk pair HOST)");
            // Where nobody can read it nobody can pair.
            let _ = writeln!(err, "punktfunk-host: {line}");
        }
        tracing::info!(seconds, "a device may pair by PIN");
        self.line(&json!({"event": "pairing", "pin": pin, "seconds": seconds}));
    }

    /// Nobody may pair by PIN any more; whether somebody knew it and could not be let in.
    pub fn pairing_closed(self, end: WindowEnd, failed: bool) {
        let (word, text) = match end {
            WindowEnd::Used if failed => ("failed", "a device has proven the PIN, and could not be let in"),
            WindowEnd::Used => ("paired", "a device has proven the PIN"),
            WindowEnd::Expired => ("expired", "its time is over"),
            WindowEnd::Failures => ("failures", "too many wrong PINs were tried"),
            WindowEnd::Cancelled => ("cancelled", "it was cancelled"),
        };
        tracing::info!(reason = text, "pairing by PIN is over");
        self.line(&json!({"event": "pairing_closed", "reason": word}));
    }

    /// Another device waits for somebody's word.
    pub fn asks(self, device: &PendingDevice, now: Instant) {
        let (id, fingerprint, left_s) = (device.id, device.fingerprint, device.left(now).as_secs());
        tracing::info!(%id, name = device.name, %fingerprint, left_s, "a device asks to be let in");
    }

    /// Who waits for somebody's word now.
    pub fn pending(self, devices: &[PendingDevice], now: Instant) {
        let entry = |device: &PendingDevice| {
            json!({
                "id": device.id.number(), "name": device.name, "fingerprint": device.fingerprint.to_string(),
                "remote": device.remote.to_string(), "left_s": device.left(now).as_secs(),
            })
        };
        self.line(&json!({"event": "pending", "devices": devices.iter().map(entry).collect::<Vec<_>>()}));
    }

    /// A device was let in for good.
    pub fn paired(self, name: &str, fingerprint: Fingerprint) {
        tracing::info!(name, %fingerprint, "a device is paired");
        self.line(&json!({"event": "paired", "name": name, "fingerprint": fingerprint.to_string()}));
    }

    /// Somebody has said No to a device.
    pub fn denied(self, name: &str, fingerprint: Fingerprint) {
        tracing::info!(name, %fingerprint, "a device is denied");
        self.line(&json!({"event": "denied", "name": name, "fingerprint": fingerprint.to_string()}));
    }

    /// A client has said Hello.
    pub fn hello(self, session: SessionId, name: &str, remote: SocketAddr, fingerprint: Fingerprint) {
        tracing::info!(%session, name, %remote, %fingerprint, "a client says hello");
        let fingerprint = fingerprint.to_string();
        self.line_of(session, json!({"event": "hello", "client": name, "remote": remote.to_string(), "fingerprint": fingerprint}));
    }

    /// A client was welcomed.
    pub fn welcome(self, session: SessionId, welcome: &Welcome, cipher_reason: CipherReason) {
        tracing::info!(
            %session,
            source = welcome.source,
            encoder = welcome.encoder,
            kbps = welcome.bitrate_kbps,
            cipher = %welcome.cipher,
            cipher_reason = %cipher_reason,
            "welcome"
        );
        self.line_of(
            session,
            json!({
                "event": "welcome", "source": welcome.source, "encoder": welcome.encoder,
                "codec": welcome.codec.to_string(), "depth": welcome.depth.to_number(),
                "chroma": welcome.chroma.to_string(),
                "bitrate_kbps": welcome.bitrate_kbps, "slices": welcome.slices_max,
                "cipher": welcome.cipher.to_string(), "cipher_reason": cipher_reason.to_string(),
            }),
        );
    }

    /// A client's source takes its time, and may want a person.
    pub fn waits(self, session: SessionId, why: &str) {
        tracing::warn!(%session, "{why}");
        self.line_of(session, json!({"event": "waits", "reason": why}));
    }

    /// A session's source has changed, or ended; the chain has logged it.
    pub fn source(self, session: SessionId, news: &SourceNews) {
        let source = (!news.source.is_empty()).then_some(&news.source);
        self.line_of(session, json!({"event": "source", "source": source, "reason": news.why}));
    }

    /// A client was refused, or its stream could not start.
    pub fn refused(self, session: SessionId, error: &HostError) {
        tracing::warn!(%session, %error, "the client is refused");
        self.line_of(session, json!({"event": "refused", "reason": error.to_string()}));
    }

    /// A stranger was turned away.
    pub fn rejected(self, remote: SocketAddr, reason: &RejectReason) {
        tracing::warn!(%remote, %reason, "turned away");
        self.line(&json!({"event": "rejected", "remote": remote.to_string(), "reason": reason.to_string()}));
    }

    /// So many more were, from there or from everywhere else, than were told one by one.
    pub fn rejected_more(self, from: Option<IpAddr>, count: u64) {
        let from = from.map(|from| from.to_string());
        tracing::warn!(from = from.as_deref().unwrap_or("elsewhere"), count, "more were turned away");
        self.line(&json!({"event": "rejected_more", "from": from, "count": count}));
    }

    /// A client has come again, and has its earlier session's place.
    pub fn taken_over(self, session: SessionId, by: SessionId) {
        tracing::info!(%session, %by, "the client has come again: its session of before ends");
        self.line_of(session, json!({"event": "taken_over", "by": by.number()}));
    }

    /// A client is there and nothing becomes of its stream: it ends.
    pub fn still(self, session: SessionId, why: &str) {
        tracing::warn!(%session, why, "the session is given up");
        self.line_of(session, json!({"event": "still", "reason": why}));
    }

    /// A session's path is tested.
    pub fn speed_test_begun(self, session: SessionId, begun: &SpeedTestBegun) {
        let SpeedTestBegun { target_kbps, duration_ms, .. } = *begun;
        tracing::info!(%session, target_kbps, duration_ms, "a speed test: filler in place of pictures");
        let event = "speed_test";
        self.line_of(
            session,
            json!({"event": event, "target_kbps": target_kbps, "duration_ms": duration_ms}),
        );
    }

    /// What it found, or why it found nothing.
    pub fn speed_test_ended(self, session: SessionId, outcome: &Result<SpeedTestResult, String>) {
        let (result, failure) = (outcome.as_ref().ok(), outcome.as_ref().err());
        let verdict = outcome.as_ref().map_or_else(String::as_str, |result| &result.verdict);
        tracing::info!(%session, verdict, "the speed test has ended");
        self.line_of(session, json!({"event": "speed_tested", "result": result, "failure": failure}));
    }

    /// The client has proven another address.
    pub fn moved(self, session: SessionId, remote: SocketAddr) {
        tracing::info!(%session, %remote, "the client has moved, and its media follows");
        self.line_of(session, json!({"event": "moved", "remote": remote.to_string()}));
    }

    /// A stage ended by itself.
    pub fn fault(self, session: SessionId, fault: &StageFault) {
        tracing::error!(%session, %fault, "the stream ends");
        self.line_of(session, json!({"event": "fault", "stage": fault.stage, "reason": fault.reason}));
    }

    /// A stream's last figures; `fallbacks` counts the times that something lesser took the place of what was
    /// asked for.
    pub fn figures(self, session: SessionId, stats: &HostStats, fallbacks: u64) {
        tracing::info!(
            %session,
            captured = stats.pictures_captured,
            superseded = stats.pictures_superseded,
            shed = stats.pictures_shed,
            spoiled = stats.pictures_spoiled,
            stamped_here = stats.pictures_stamped_here,
            sent = stats.aus_sent,
            aus_dropped = stats.aus_dropped,
            send_dropped = stats.packets_send_dropped,
            key_dropped = stats.blocks_dropped_key,
            paths_changed = stats.path_changed,
            paths_refused = stats.path_refused,
            fallbacks,
            "the stream has ended"
        );
        self.line_of(
            session,
            json!({
                "event": "figures",
                "pictures_captured": stats.pictures_captured,
                "pictures_superseded": stats.pictures_superseded,
                "pictures_shed": stats.pictures_shed,
                "pictures_spoiled": stats.pictures_spoiled,
                "pictures_stamped_here": stats.pictures_stamped_here,
                "aus_sent": stats.aus_sent,
                "wire_bytes": stats.wire_bytes,
                "aus_dropped": stats.aus_dropped,
                "packets_send_dropped": stats.packets_send_dropped,
                "blocks_dropped_key": stats.blocks_dropped_key,
                "path_changed": stats.path_changed,
                "path_refused": stats.path_refused,
                "fallbacks": fallbacks,
                "falls": stats.falls.iter().map(|fall| json!({
                    "from": fall.from, "to": fall.to, "reason": fall.reason, "count": fall.count,
                })).collect::<Vec<_>>(),
                "cpu_us": stats.cpu_us,
            }),
        );
    }

    /// A session is over.
    pub fn ended(self, session: SessionId, reason: &SessionEnd) {
        tracing::info!(%session, %reason, "the session is over");
        self.line_of(session, json!({"event": "ended", "reason": reason.to_string()}));
    }
}
