//! QUIC's settings, the same at both ends.
//!
//! Promises: one bidirectional stream and small datagrams, every buffer bounded; first bytes of 0x40
//! and more (no greasing of the fixed bit); silence noticed within `GONE_NOTICED_MAX`; a host that was
//! restarted tells old peers so. Refuses: further streams, 0-RTT and spin bits.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use quinn_proto::crypto::rustls::QuicClientConfig;
use quinn_proto::{
    ClientConfig, EndpointConfig, HashedConnectionIdGenerator, IdleTimeout, MtuDiscoveryConfig, ServerConfig,
    TransportConfig, VarInt,
};

use crate::congestion::FloorConfig;
use crate::door::{Door, no_initial_suite};
use crate::error::ControlError;
use crate::identity::Identity;
use crate::limits::{
    CONNECT_MAX, DATAGRAM_QUEUE_BYTES, HostLimits, IDLE_MAX, KEEP_ALIVE, MTU_SEARCH_AFTER_LOSS,
    MTU_SEARCH_INTERVAL, MTU_STEP_BYTES, OUTBOX_BYTES_MAX, RTT_INITIAL, STREAM_WINDOW_BYTES,
    UDP_PAYLOAD_BYTES_MAX, UDP_PAYLOAD_BYTES_MIN,
};
use crate::tls::{self, PinVerifier};

/// What the rest of the crate needs of an endpoint.
///
/// `udp_payload_bytes_max`: what the peer may send at most, so that it does not search for more.
pub(crate) fn endpoint_config(identity: &Identity, udp_payload_bytes_max: u16) -> Arc<EndpointConfig> {
    let seed = identity.restart_seed();
    let reset_key = hmac::Key::new(hmac::HMAC_SHA256, &seed.reset_key[..]);
    let mut config = EndpointConfig::new(Arc::new(reset_key));
    let id_key = seed.connection_id_key;
    config
        .cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(id_key)))
        .grease_quic_bit(false)
        .max_udp_payload_size(bounded(udp_payload_bytes_max))
        .expect("limits.rs keeps it within QUIC's 1200 to 65527");
    Arc::new(config)
}

/// `streams`: how many the peer may open; the client opens the one stream that there is.
fn transport_config(udp_payload_bytes_max: u16, idle_max: Duration, streams: u32) -> Arc<TransportConfig> {
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(bounded(udp_payload_bytes_max))
        .minimum_change(MTU_STEP_BYTES)
        .interval(MTU_SEARCH_INTERVAL)
        .black_hole_cooldown(MTU_SEARCH_AFTER_LOSS);
    let idle = IdleTimeout::try_from(idle_max).expect("seconds fit a QUIC integer");
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(streams))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .send_window(OUTBOX_BYTES_MAX as u64)
        .datagram_receive_buffer_size(Some(DATAGRAM_QUEUE_BYTES))
        .datagram_send_buffer_size(DATAGRAM_QUEUE_BYTES)
        .initial_rtt(RTT_INITIAL)
        .mtu_discovery_config(Some(mtu))
        .allow_spin(false)
        .congestion_controller_factory(Arc::new(FloorConfig));
    Arc::new(config)
}

/// The host's QUIC.
pub(crate) fn server_config(
    identity: &Identity,
    verifier: Arc<PinVerifier>,
    limits: &HostLimits,
    alpn: &[u8],
) -> Result<Arc<ServerConfig>, ControlError> {
    let mut config = ServerConfig::with_crypto(Arc::new(Door::new(identity, verifier, alpn)?));
    config
        .transport_config(transport_config(UDP_PAYLOAD_BYTES_MIN, IDLE_MAX, 1))
        // What QUIC may see of another address is `roaming`'s business.
        .migration(true)
        .max_incoming(limits.connections_max)
        .incoming_buffer_size(u64::from(STREAM_WINDOW_BYTES))
        .incoming_buffer_size_total(u64::from(STREAM_WINDOW_BYTES) * 4);
    Ok(Arc::new(config))
}

/// The host's QUIC towards one client, whose route carries `udp_payload_bytes_max` at most.
pub(crate) fn for_route(server: &ServerConfig, udp_payload_bytes_max: u16) -> Arc<ServerConfig> {
    let mut config = server.clone();
    config.transport_config(transport_config(udp_payload_bytes_max, IDLE_MAX, 1));
    Arc::new(config)
}

fn bounded(udp_payload_bytes: u16) -> u16 {
    udp_payload_bytes.clamp(UDP_PAYLOAD_BYTES_MIN, UDP_PAYLOAD_BYTES_MAX)
}

/// The client's QUIC.
pub(crate) fn client_config(
    identity: &Identity,
    verifier: Arc<PinVerifier>,
    udp_payload_bytes_max: u16,
    alpn: &[u8],
) -> Result<ClientConfig, ControlError> {
    let tls = tls::client_config(identity, verifier, alpn)?;
    let crypto = QuicClientConfig::try_from(tls).map_err(no_initial_suite)?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    // Until the host is heard this end's own limit holds, afterwards the shorter one of the two.
    config.transport_config(transport_config(udp_payload_bytes_max, CONNECT_MAX, 0));
    Ok(config)
}
