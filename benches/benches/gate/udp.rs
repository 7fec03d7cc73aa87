//! A batch of equal datagrams to a live receiver on loopback, beside quinn-udp's GSO.

use std::sync::Arc;
use std::time::Duration;

use punktfunk_net::{Arena, Sender, Socket};

use crate::rivals::{DATAGRAM_BYTES, DATAGRAMS, Drain, Quinn, loopback};
use crate::{Pair, whole};

const PATIENCE: Duration = Duration::from_millis(100);

pub fn send(name: &'static str, bound: f64, reason: &'static str) -> Pair {
    let drain = Arc::new(Drain::new());
    let mut arena = Arena::new(2 << 20).expect("an arena");
    let (mut sender, ours_to) =
        (Sender::new(Arc::new(Socket::open(&loopback()).expect("a socket on loopback"))), Arc::clone(&drain));
    let ours = whole(move || {
        let lease = arena.lease(DATAGRAMS * DATAGRAM_BYTES).expect("an empty arena has room");
        sender.send(ours_to.addr, arena.bytes(&lease), DATAGRAM_BYTES, PATIENCE);
        arena.release(lease);
    });
    let (quinn, bytes) = (Quinn::new(), vec![0; DATAGRAMS * DATAGRAM_BYTES]);
    let rival = whole(move || quinn.send(drain.addr, &bytes));
    Pair { name, bound, reason, ours, rival }
}
