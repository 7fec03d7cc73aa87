//! What comes from the host: each message in its turn, and the connection's end.
//!
//! Promises: reads no more than the program has room for; what a host sent last before it went is read in any case.
//! Refuses messages out of turn.

use std::time::Instant;

use quinn_proto::ConnectionError;

use super::loss;
use super::{ClientControl, Stage};
use crate::error::{ConnectError, ControlError, Violation};
use crate::event::ClientEvent;
use crate::limits::{EVENTS_MAX, PROTOCOL, STREAM_WINDOW_BYTES, WELCOME_MAX};
use crate::link::{CloseCode, LinkEvent};
use crate::messages::{Message, PathPong, Welcome};

impl ClientControl {
    pub(super) fn advance(&mut self, now: Instant) {
        self.call.exchange();
        let mut lost = None;
        while let Some(event) = self.call.link.poll() {
            match event {
                LinkEvent::Connected => self.handle_connected(now),
                LinkEvent::Delivered => {}
                LinkEvent::Unread => self.violate(Violation::StreamClosed, now),
                LinkEvent::Lost(reason) => lost = Some(reason),
            }
        }
        self.read_messages(lost.is_some(), now);
        while let Some((plane, _)) = self.call.link.receive_datagram() {
            self.call.link.count_unread(plane);
        }
        match lost {
            Some(reason) => self.handle_loss(&reason, now),
            None if matches!(self.stage, Stage::Running) => {
                if let Some(udp_payload_bytes) = self.call.link.poll_mtu_change() {
                    self.events.push_back(ClientEvent::Mtu { udp_payload_bytes });
                }
            }
            None => {}
        }
        self.call.exchange();
    }

    fn handle_connected(&mut self, now: Instant) {
        if !self.call.link.speaks(self.alpn) {
            let mismatch = ConnectError::ProtocolVersion { ours: self.hello.protocol, theirs: None };
            self.close(CloseCode::Violation, "", mismatch, now);
            return;
        }
        self.call.link.open_stream();
        self.stage = Stage::Greeting;
        self.deadline = Some(now + WELCOME_MAX);
        if !self.call.link.send(&Message::Hello(self.hello.clone())) {
            self.violate(Violation::DoesNotRead, now);
        }
    }

    /// Reads until nothing is left or the program has enough to do. What a host sent last before it
    /// went is read in any case: flow control has bounded it.
    fn read_messages(&mut self, lost: bool, now: Instant) {
        let events_max = if lost { EVENTS_MAX + STREAM_WINDOW_BYTES as usize } else { EVENTS_MAX };
        while !matches!(self.stage, Stage::Connecting | Stage::Over) {
            if self.events.len() >= events_max {
                self.held_back = true;
                return;
            }
            let handled = match self.call.link.read() {
                Ok(Some(message)) => self.handle_message(message, now),
                Ok(None) if self.call.link.peer_finished() => Err(Violation::StreamClosed),
                Ok(None) => return,
                Err(violation) => Err(violation),
            };
            if let Err(violation) = handled {
                self.violate(violation, now);
            }
        }
    }

    fn handle_message(&mut self, message: Message, now: Instant) -> Result<(), Violation> {
        match (&self.stage, message) {
            (Stage::Greeting, Message::Welcome(welcome)) => self.handle_welcome(welcome, now),
            (Stage::Greeting | Stage::Leaving(_), Message::Refusal(refusal)) => {
                self.close(CloseCode::Bye, "", loss::refused(refusal, self.hello.protocol), now);
            }
            (Stage::Greeting | Stage::Welcomed | Stage::Running, Message::Bye(bye)) => {
                self.close(CloseCode::Bye, "", ConnectError::Closed(bye), now);
            }
            (Stage::Leaving(ours), Message::Bye(_)) => {
                let left = ConnectError::Left(ours.clone());
                self.close(CloseCode::Bye, "", left, now);
            }
            (Stage::Welcomed | Stage::Running | Stage::Leaving(_), Message::HostStats(stats)) => {
                self.events.push_back(ClientEvent::HostStats(stats));
            }
            (Stage::Welcomed | Stage::Running, Message::Reconfigured(reconfigured)) => {
                self.events.push_back(ClientEvent::Reconfigured(reconfigured));
            }
            (
                Stage::Greeting | Stage::Welcomed | Stage::Running | Stage::Leaving(_),
                Message::SourceNews(news),
            ) => {
                self.events.push_back(ClientEvent::SourceNews(news));
            }
            (Stage::Running | Stage::Leaving(_), Message::PendingDevices(pending)) => {
                self.events.push_back(ClientEvent::PendingDevices(pending));
            }
            (Stage::Running | Stage::Leaving(_), Message::SpeedTestBegun(begun)) => {
                self.events.push_back(ClientEvent::SpeedTestBegun(begun));
            }
            (Stage::Running | Stage::Leaving(_), Message::SpeedTestSent(sent)) => {
                self.events.push_back(ClientEvent::SpeedTestSent(sent));
            }
            (Stage::Running | Stage::Leaving(_), Message::SpeedTestResult(result)) => {
                self.events.push_back(ClientEvent::SpeedTestResult(result));
            }
            (Stage::Running | Stage::Leaving(_), Message::SpeedTestFailed(failed)) => {
                self.events.push_back(ClientEvent::SpeedTestFailed(failed));
            }
            (Stage::Running, Message::SkewPong(pong)) => {
                if let Some(estimate) = self.skew.handle_pong(&pong, self.clock, now)? {
                    self.events.push_back(ClientEvent::Skew(estimate));
                }
                self.ask_clock(now).map_err(|_| Violation::DoesNotRead)?;
            }
            // The address may change while the host makes up its mind.
            (
                Stage::Greeting | Stage::Welcomed | Stage::Running | Stage::Leaving(_),
                Message::PathPing(ping),
            ) => {
                let pong = PathPong { nonce: ping.nonce };
                // One that has said its last word is not followed any more.
                if !self.call.link.send(&Message::PathPong(pong)) && !matches!(self.stage, Stage::Leaving(_))
                {
                    return Err(Violation::DoesNotRead);
                }
            }
            // What was under way when we left.
            (Stage::Leaving(_), Message::Welcome(_) | Message::Reconfigured(_) | Message::SkewPong(_)) => {}
            (stage, message) => {
                return Err(Violation::OutOfTurn { message: message.name(), state: stage.name() });
            }
        }
        Ok(())
    }

    fn handle_welcome(&mut self, welcome: Welcome, now: Instant) {
        if welcome.protocol != PROTOCOL {
            let theirs = Some(welcome.protocol);
            self.close(
                CloseCode::Bye,
                "",
                ConnectError::ProtocolVersion { ours: self.hello.protocol, theirs },
                now,
            );
            return;
        }
        let Some(host_fingerprint) = self.call.link.peer_fingerprint() else { return };
        self.stage = Stage::Welcomed;
        self.deadline = None;
        self.events.push_back(ClientEvent::Welcome { welcome, host_fingerprint });
    }

    pub(super) fn ask_clock(&mut self, now: Instant) -> Result<(), ControlError> {
        match self.skew.poll_ping(self.clock, now) {
            Some(ping) => self.send(&Message::SkewPing(ping), now),
            None => Ok(()),
        }
    }

    fn handle_loss(&mut self, reason: &ConnectionError, now: Instant) {
        let end = match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Over => return,
            Stage::Leaving(bye) => ConnectError::Left(bye),
            Stage::Connecting if matches!(reason, ConnectionError::TimedOut) => {
                self.call.no_answer(false, now)
            }
            Stage::Connecting | Stage::Greeting | Stage::Welcomed | Stage::Running => {
                self.call.lost(reason, self.hello.protocol, now)
            }
        };
        self.deadline = None;
        self.events.push_back(ClientEvent::Ended { reason: end });
    }
}
