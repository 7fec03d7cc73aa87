//! Which way datagrams come and go: what [`Roaming`](crate::roaming) decides, done to the connection.
//!
//! Promises: QUIC sees a datagram only when roaming hands it over; what leaves goes where roaming says, within what an
//! unproven address may have.

use std::net::SocketAddr;
use std::time::Instant;

use quinn_proto::ConnectionEvent;

use super::Link;
use crate::event::{Path, Transmit};
use crate::limits::{TRANSMIT_SEGMENTS_MAX, UDP_PAYLOAD_BYTES_MIN};
use crate::messages::{Message, PathPing, PathPong};
use crate::roaming::Answer;

impl Link {
    /// Takes what the port has routed here, a datagram of so many bytes.
    pub(crate) fn handle_datagram(
        &mut self,
        from: SocketAddr,
        event: ConnectionEvent,
        bytes: usize,
        now: Instant,
    ) {
        if from != self.roaming.home() {
            self.strayed = Some(from);
        }
        // A host does not move, and hands are shaken where they were offered.
        let may_follow = self.connection.side().is_server() && !self.connection.is_handshaking();
        if !may_follow && from != self.roaming.home() {
            self.stats.datagrams_strayed += 1;
            return;
        }
        if let Some(event) = self.roaming.handle_datagram(from, bytes, event, now) {
            self.deliver(from, event, now);
        }
        self.judge_claims(now);
    }

    fn deliver(&mut self, from: SocketAddr, event: ConnectionEvent, now: Instant) {
        let is_from_home = from == self.roaming.home();
        if self.hand_over(event, now) && is_from_home {
            self.strayed = None;
            self.roaming.handle_home_heard(now);
        }
    }

    pub(super) fn judge_claims(&mut self, now: Instant) {
        while let Some(event) = self.roaming.poll_datagram(now) {
            self.hand_over(event, now);
        }
    }

    /// Gives QUIC a datagram; whether it was authentic and new.
    fn hand_over(&mut self, event: ConnectionEvent, now: Instant) -> bool {
        let frames = self.frames_received();
        self.connection.handle_event(event);
        let is_authentic = self.frames_received() != frames;
        if is_authentic {
            self.last_heard = now;
        }
        self.follow(now);
        is_authentic
    }

    /// Looks where QUIC is, and pings an address that it has gone to.
    pub(super) fn follow(&mut self, now: Instant) {
        let was_on_trial = self.roaming.is_on_trial();
        if let Some(nonce) = self.roaming.handle_path(self.connection.remote_address(), nonce, now) {
            // A path that nothing is known of: short datagrams, which what came from there allows.
            self.connection.path_changed(now);
            self.ping(nonce);
        } else if was_on_trial && !self.roaming.is_on_trial() {
            // QUIC's clock for what is to be repeated stands still on a path that nothing is under way on, whatever
            // was lost on the other one.
            self.connection.ping();
        }
    }

    /// Either end has said its last word: the peer's address stays what it is.
    pub(crate) fn settle(&mut self) {
        self.roaming.settle();
    }

    fn ping(&mut self, nonce: u64) {
        // A client that does not read is not asked; its address stays what it was.
        let _ = self.send(&Message::PathPing(PathPing { nonce }));
    }

    /// The peer has answered a ping; whether it has thereby proven another address.
    pub(crate) fn handle_pong(&mut self, pong: PathPong, now: Instant) -> bool {
        match self.roaming.handle_pong(pong.nonce, nonce, now) {
            Answer::Proven => {
                self.strayed = None;
                // What was kept from an unproven address looked like a loss.
                self.connection.path_changed(now);
                self.judge_claims(now);
                true
            }
            Answer::Doubted(nonce) => {
                self.ping(nonce);
                false
            }
            Answer::Stale => false,
        }
    }

    /// Frames in authentic packets that came for the first time.
    fn frames_received(&self) -> u64 {
        let frames = self.connection.stats().frame_rx;
        let of_streams =
            frames.stream + frames.max_data + frames.max_stream_data + frames.stream_data_blocked;
        let of_paths = frames.path_challenge + frames.path_response + frames.new_connection_id;
        let of_ids = frames.retire_connection_id + u64::from(frames.handshake_done);
        frames.acks + frames.ping + frames.crypto + frames.datagram + of_streams + of_paths + of_ids
    }

    pub(crate) fn poll_transmit(&mut self, now: Instant, buf: &mut Vec<u8>) -> Option<Transmit> {
        if let Some((transmit, bytes)) = self.copy.take() {
            *buf = bytes;
            return Some(transmit);
        }
        self.flush();
        self.planes.flush(&mut self.connection);
        let is_on_trial = self.roaming.is_on_trial();
        let segments_max = if is_on_trial { 1 } else { TRANSMIT_SEGMENTS_MAX };
        while self.roaming.may_send(usize::from(UDP_PAYLOAD_BYTES_MIN)) {
            buf.clear();
            let transmit = self.connection.poll_transmit(now, segments_max, buf)?;
            buf.truncate(transmit.size);
            let is_tried = is_on_trial && transmit.destination == self.connection.remote_address();
            if is_tried && !self.roaming.may_send(transmit.size) {
                // A probe of longer datagrams, which an unproven address must not draw; QUIC takes it for lost.
                self.stats.datagrams_withheld += 1;
                continue;
            }
            return Some(self.route(&transmit, buf));
        }
        None
    }

    /// Addresses what QUIC says.
    fn route(&mut self, transmit: &quinn_proto::Transmit, bytes: &[u8]) -> Transmit {
        let (dest, copy) = self.roaming.route(transmit.destination, transmit.size);
        let to = |dest| Transmit {
            dest,
            source: transmit.src_ip,
            bytes_len: transmit.size,
            segment_bytes: transmit.segment_size,
        };
        if let Some(dest) = copy {
            self.roaming.handle_sent(dest, transmit.size);
            self.copy = Some((to(dest), bytes.to_vec()));
        }
        self.roaming.handle_sent(dest, transmit.size);
        to(dest)
    }

    /// The address that the peer has proven.
    pub(crate) fn remote(&self) -> SocketAddr {
        self.roaming.home()
    }

    pub(crate) fn path(&self) -> Path {
        Path { remote: self.remote(), local: self.connection.local_ip() }
    }

    /// Where the peer seems to have moved to: its connection's id comes from there, and nothing from its own
    /// address. Not proven: good for a person to read, and for nothing else.
    pub(crate) fn strayed(&self) -> Option<SocketAddr> {
        self.strayed
    }
}

/// A number that nobody can guess.
fn nonce() -> u64 {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's generator of random numbers works");
    u64::from_ne_bytes(bytes)
}
