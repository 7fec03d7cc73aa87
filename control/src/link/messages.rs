//! The stream of messages: whole, in order, bounded both ways.
//!
//! Promises: a message is queued as a whole or not at all; no more than one message's worth is taken from the stream before
//! it is read. Refuses to queue behind the last word, and for a peer that leaves too much unread.

use quinn_proto::{ReadError, WriteError};

use super::{FRAME_BYTES_MAX, Finish, Link};
use crate::error::Violation;
use crate::limits::OUTBOX_BYTES_MAX;
use crate::messages::{LENGTH_BYTES, Message, MessageError, parse_length};

impl Link {
    /// Queues a message; `false` when the peer has left too much unread.
    #[must_use]
    pub(crate) fn send(&mut self, message: &Message) -> bool {
        self.send_framed(|out| message.encode(out))
    }

    /// The same for a message of another protocol, whose `encode` appends it with its length.
    #[must_use]
    pub(crate) fn send_framed(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> bool {
        let start = self.outbox.len();
        encode(&mut self.outbox);
        if self.outbox.len() - self.outbox_sent > OUTBOX_BYTES_MAX || self.finish != Finish::No {
            self.outbox.truncate(start);
            self.stats.messages_dropped += 1;
            return false;
        }
        self.stats.messages_sent += 1;
        self.flush();
        true
    }

    /// No message follows: `LinkEvent::Delivered` comes when all have arrived.
    pub(crate) fn finish(&mut self) {
        if self.finish == Finish::No {
            self.finish = Finish::Wanted;
            self.flush();
        }
    }

    /// Bytes of messages that the peer has left no room for.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.outbox.len() - self.outbox_sent
    }

    pub(super) fn flush(&mut self) {
        let Some(id) = self.stream else { return };
        while self.outbox_sent < self.outbox.len() {
            match self.connection.send_stream(id).write(&self.outbox[self.outbox_sent..]) {
                Ok(written) => self.outbox_sent += written,
                Err(WriteError::Blocked) => {
                    self.stats.stream_waits += 1;
                    break;
                }
                // The end of such a connection is told by its own event.
                Err(WriteError::Stopped(_) | WriteError::ClosedStream) => {
                    self.outbox_sent = self.outbox.len();
                }
            }
        }
        self.outbox.drain(..self.outbox_sent);
        self.outbox_sent = 0;
        if self.finish == Finish::Wanted && self.outbox.is_empty() {
            self.finish = Finish::Sent;
            // A stream that the peer has stopped cannot be finished; `Unread` tells.
            let _ = self.connection.send_stream(id).finish();
        }
    }

    /// The next message that this end knows.
    ///
    /// # Errors
    /// When the peer's bytes are no message, or the stream was reset.
    pub(crate) fn read(&mut self) -> Result<Option<Message>, Violation> {
        self.read_framed(Message::parse)
    }

    /// The same for a message of another protocol.
    ///
    /// # Errors
    /// As for `read`.
    pub(crate) fn read_framed<T>(
        &mut self,
        parse: impl Fn(&[u8]) -> Result<Option<T>, MessageError>,
    ) -> Result<Option<T>, Violation> {
        loop {
            if let Some(body) = self.whole_message()? {
                self.inbox_read += LENGTH_BYTES + body.len();
                match parse(&self.inbox[body])? {
                    Some(message) => {
                        self.stats.messages_received += 1;
                        return Ok(Some(message));
                    }
                    None => {
                        self.stats.messages_skipped += 1;
                        continue;
                    }
                }
            }
            if !self.fill_inbox()? {
                return Ok(None);
            }
        }
    }

    /// Where the first unread message lies, if it is all there.
    fn whole_message(&self) -> Result<Option<std::ops::Range<usize>>, Violation> {
        let unread = &self.inbox[self.inbox_read..];
        let Some((length, rest)) = unread.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = parse_length(*length)?;
        let start = self.inbox_read + LENGTH_BYTES;
        Ok((rest.len() >= length).then_some(start..start + length))
    }

    /// Takes what the stream has, at most one message's worth; `false` when there is nothing.
    fn fill_inbox(&mut self) -> Result<bool, Violation> {
        let Some(id) = self.stream else { return Ok(false) };
        self.inbox.drain(..self.inbox_read);
        self.inbox_read = 0;
        if self.peer_finished {
            return Ok(false);
        }
        let mut stream = self.connection.recv_stream(id);
        let mut chunks = stream.read(true).map_err(|_| Violation::StreamClosed)?;
        let room = FRAME_BYTES_MAX - self.inbox.len();
        // Dropping `chunks` gives the peer its credit back.
        match chunks.next(room) {
            Ok(Some(chunk)) => {
                self.inbox.extend_from_slice(&chunk.bytes);
                Ok(true)
            }
            Ok(None) => {
                self.peer_finished = true;
                Ok(false)
            }
            Err(ReadError::Blocked) => Ok(false),
            Err(ReadError::Reset(_)) => Err(Violation::StreamClosed),
        }
    }

    /// Whether the peer has ended its messages and all of them were read.
    pub(crate) fn peer_finished(&self) -> bool {
        self.peer_finished
    }
}
