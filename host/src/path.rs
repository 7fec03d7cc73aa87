//! How long datagrams to a client may be, as far as this machine's own route knows.
//!
//! Promises: what QUIC searches for and what is agreed on for media follow from the same figure.

use std::net::SocketAddr;

use punktfunk_control::limits::{UDP_PAYLOAD_BYTES_MAX, UDP_PAYLOAD_BYTES_SEARCHED};
use punktfunk_proto::limits::{SHARD_BYTES_START, shard_bytes_for_payload};

/// The longest UDP payload to look for on the path to a client, in bytes.
pub fn udp_payload_bytes_to(client: SocketAddr) -> u16 {
    let found = punktfunk_net::udp_payload_bytes_to(client).unwrap_or(UDP_PAYLOAD_BYTES_SEARCHED.into());
    u16::try_from(found).unwrap_or(u16::MAX).min(UDP_PAYLOAD_BYTES_MAX)
}

/// The longest shard that can ever pass to a client, in bytes.
pub fn shard_bytes_to(client: SocketAddr) -> u16 {
    // A device of less than QUIC's least is none that a session can be had over.
    shard_bytes_for_payload(udp_payload_bytes_to(client).into()).unwrap_or(SHARD_BYTES_START)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_an_ethernet() {
        let client = "127.0.0.1:9".parse().unwrap();
        assert_eq!((udp_payload_bytes_to(client), shard_bytes_to(client)), (1_472, 1_408));
    }
}
