//! The small real-time planes that ride QUIC datagrams, told apart by their first byte.
//!
//! Promises: each plane has a short queue of its own, the newest pushes the oldest out, and what was
//! sent, waited or dropped is counted by plane. Refuses: payloads above `PLANE_PAYLOAD_BYTES_MAX`;
//! datagrams of planes that this end does not know are counted and skipped.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use quinn_proto::{Connection, SendDatagramError};

use crate::limits::{PLANE_PAYLOAD_BYTES_MAX, PLANE_QUEUE_LENGTH};

/// A real-time plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Plane {
    /// Keyboard, mouse, touch.
    Input,
    /// Desktop sound.
    Audio,
    /// Gamepad rumble.
    Rumble,
    /// Microphone.
    Microphone,
    /// Touchpads and motion.
    RichInput,
    /// Lights, triggers and other HID output.
    HidOutput,
    /// HDR metadata.
    HdrMetadata,
    /// Host timing.
    HostTiming,
    /// Feedback reports.
    Feedback,
    /// The cursor.
    Cursor,
}

impl Plane {
    /// Every plane, in the order of their first bytes, which is the order in which they are sent.
    pub const ALL: [Plane; 10] = [
        Plane::Input,
        Plane::Audio,
        Plane::Rumble,
        Plane::Microphone,
        Plane::RichInput,
        Plane::HidOutput,
        Plane::HdrMetadata,
        Plane::HostTiming,
        Plane::Feedback,
        Plane::Cursor,
    ];

    /// The first byte of the plane's datagrams.
    pub const fn first_byte(self) -> u8 {
        0xC8 + self as u8
    }

    /// The plane of a first byte.
    pub fn from_first_byte(byte: u8) -> Option<Plane> {
        Plane::ALL.get(usize::from(byte.checked_sub(0xC8)?)).copied()
    }
}

/// What has happened on one plane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaneCounters {
    /// Datagrams handed to QUIC.
    pub sent: u64,
    /// Datagrams that had to wait for room in QUIC's queue.
    pub waited: u64,
    /// Datagrams thrown away before they were sent: pushed out by newer ones, or too long.
    pub dropped: u64,
    /// Datagrams that came.
    pub received: u64,
    /// Datagrams that came and were thrown away because the program does not take its events.
    pub unread: u64,
}

/// One connection's planes.
#[derive(Debug, Default)]
pub(crate) struct Planes {
    waiting: [VecDeque<Bytes>; Plane::ALL.len()],
    counters: [PlaneCounters; Plane::ALL.len()],
    /// Sent datagrams are cut from here; once QUIC has let go of them the memory is taken again.
    pool: BytesMut,
    unknown: u64,
}

impl Planes {
    /// Sends what `write` puts into the buffer that it is lent: it returns how many bytes.
    pub(crate) fn send(
        &mut self,
        connection: &mut Connection,
        plane: Plane,
        write: impl FnOnce(&mut [u8]) -> usize,
    ) {
        self.pool.reserve(1 + PLANE_PAYLOAD_BYTES_MAX);
        self.pool.resize(1 + PLANE_PAYLOAD_BYTES_MAX, 0);
        self.pool[0] = plane.first_byte();
        let payload_bytes = write(&mut self.pool[1..]).min(PLANE_PAYLOAD_BYTES_MAX);
        let datagram = self.pool.split_to(1 + payload_bytes).freeze();
        self.pool.clear();
        let queue = &mut self.waiting[plane as usize];
        let counters = &mut self.counters[plane as usize];
        let blocked = if queue.is_empty() { offer(connection, datagram, counters) } else { Some(datagram) };
        let Some(datagram) = blocked else { return };
        counters.waited += 1;
        if queue.len() == PLANE_QUEUE_LENGTH {
            queue.pop_front();
            counters.dropped += 1;
        }
        queue.push_back(datagram);
    }

    /// Hands QUIC what has waited, as far as there is room.
    pub(crate) fn flush(&mut self, connection: &mut Connection) {
        for (queue, counters) in self.waiting.iter_mut().zip(&mut self.counters) {
            while let Some(datagram) = queue.pop_front() {
                if let Some(datagram) = offer(connection, datagram, counters) {
                    queue.push_front(datagram);
                    return;
                }
            }
        }
    }

    /// The next datagram that came on a plane that this end knows.
    pub(crate) fn receive(&mut self, connection: &mut Connection) -> Option<(Plane, Bytes)> {
        while let Some(mut datagram) = connection.datagrams().recv() {
            let plane = datagram.first().and_then(|byte| Plane::from_first_byte(*byte));
            let Some(plane) = plane else {
                self.unknown += 1;
                continue;
            };
            self.counters[plane as usize].received += 1;
            let payload = datagram.split_off(1);
            return Some((plane, payload));
        }
        None
    }

    /// A datagram that came could not be handed on.
    pub(crate) fn count_unread(&mut self, plane: Plane) {
        self.counters[plane as usize].unread += 1;
    }

    pub(crate) fn counters(&self) -> [(Plane, PlaneCounters); Plane::ALL.len()] {
        Plane::ALL.map(|plane| (plane, self.counters[plane as usize]))
    }

    pub(crate) fn unknown(&self) -> u64 {
        self.unknown
    }
}

/// Hands QUIC one datagram; gives it back when there is no room now.
fn offer(connection: &mut Connection, datagram: Bytes, counters: &mut PlaneCounters) -> Option<Bytes> {
    match connection.datagrams().send(datagram, false) {
        Ok(()) => {
            counters.sent += 1;
            None
        }
        Err(SendDatagramError::Blocked(datagram)) => Some(datagram),
        Err(
            SendDatagramError::UnsupportedByPeer | SendDatagramError::Disabled | SendDatagramError::TooLarge,
        ) => {
            counters.dropped += 1;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_are_the_wire_format() {
        assert_eq!(Plane::Input.first_byte(), 0xC8);
        assert_eq!(Plane::Feedback.first_byte(), 0xD0);
        assert_eq!(Plane::Cursor.first_byte(), 0xD1);
        for plane in Plane::ALL {
            assert_eq!(Plane::from_first_byte(plane.first_byte()), Some(plane));
        }
        assert_eq!(Plane::from_first_byte(0xC7), None);
        assert_eq!(Plane::from_first_byte(0xD2), None);
    }
}
