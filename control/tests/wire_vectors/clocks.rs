//! The pts that 32 bits stand for, rounds of the clocks' handshake, and the bounds that follow from what was agreed.

use crate::bench::{limits_of, round_of};
use punktfunk_proto::limits::shard_bytes_for_payload;
use punktfunk_proto::{Negotiated, unwrap_pts};
use serde_json::{Value, json};

/// Question sent, came, answer sent, came: the outer two on the client's clock, the inner two on the host's.
const ROUNDS: [[u64; 4]; 14] = [
    [1_000, 5_100, 5_110, 1_210],
    // An odd sum, above zero and below it: what is left over is dropped.
    [100, 251, 251, 200],
    [251, 100, 100, 352],
    [1, 0, 0, 0x1_0000_0000],
    [0, 0, 0, 1],
    [0, 0, 0, 0],
    // Four stamps are cut to whole microseconds: the host may seem to have held it for longer than the round took.
    [10, 500, 512, 20],
    [10, 500, 513, 20],
    [20, 500, 500, 19],
    [10, 500, 499, 20],
    // The longest offset that a clock has either way, and one more.
    [0, i64::MAX as u64, i64::MAX as u64, 0],
    [0, 1 << 63, 1 << 63, 0],
    [1 << 63, 0, 0, 1 << 63],
    [(1 << 63) + 1, 0, 0, (1 << 63) + 1],
];

fn rounds() -> Vec<Value> {
    let round = |times: [u64; 4]| {
        let [t_client_us, t_received_us, t_sent_us, t_back_us] = times;
        json!({
            "t_client_us": t_client_us, "t_received_us": t_received_us, "t_sent_us": t_sent_us,
            "t_back_us": t_back_us, "says": round_of(times),
        })
    };
    let rounds: Vec<Value> = ROUNDS.into_iter().map(round).collect();
    assert_eq!(rounds.iter().filter(|round| round["says"].is_null()).count(), 5);
    rounds
}

pub(crate) fn vectors() -> Value {
    let wrap = 1_u64 << 32;
    let pts: Vec<Value> = [
        (0, 0),
        (16_667, 20_000),
        (20_000, 16_667),
        (u32::MAX, wrap + 5),
        (5, wrap - 5),
        (7, 10 * wrap + 7_000_000),
        (0x7fff_ffff, 3 * wrap),
        (0x8000_0000, 3 * wrap),
        (0x8000_0001, 3 * wrap),
        (u32::MAX, 0),
        (u32::MAX - 9, 40),
    ]
    .into_iter()
    .map(|(pts_us, now_us)| json!({ "pts_us": pts_us, "session_now_us": now_us, "session_us": unwrap_pts(pts_us, now_us) }))
    .collect();
    let limits: Vec<Value> = [
        Negotiated::new(320, 20_000, 60_000, 4, 100, 65_536),
        Negotiated::new(1_408, 20_000, 60_000, 4, 100, 4 << 20),
        Negotiated::new(1_408, 500, 1_000, 1, 0, 65_536),
        Negotiated::new(8_896, 8_000_000, 480_000, 64, 1_000, 64 << 20),
    ]
    .into_iter()
    .map(|agreed| limits_of(&agreed.unwrap()))
    .collect();
    let refused = [
        [255, 20_000, 60_000, 4, 100, 65_536],
        [8_960, 20_000, 60_000, 4, 100, 65_536],
        [1_400, 20_000, 60_000, 4, 100, 65_536],
        [1_408, 499, 60_000, 4, 100, 65_536],
        [1_408, 8_000_001, 60_000, 4, 100, 65_536],
        [1_408, 20_000, 999, 4, 100, 65_536],
        [1_408, 20_000, 480_001, 4, 100, 65_536],
        [1_408, 20_000, 60_000, 0, 100, 65_536],
        [1_408, 20_000, 60_000, 65, 100, 65_536],
        [1_408, 20_000, 60_000, 4, 1_001, 65_536],
        [1_408, 20_000, 60_000, 4, 100, 65_535],
        [1_408, 20_000, 60_000, 4, 100, 67_108_865],
    ];
    for [shard, rate, refresh, slices, redundancy, au] in refused {
        assert!(Negotiated::new(shard as u16, rate, refresh, slices as u16, redundancy as u16, au).is_err());
    }
    let payloads: Vec<Value> = [295, 296, 1_191, 1_192, 1_200, 1_447, 1_448, 1_452, 8_952, 65_507]
        .into_iter()
        .map(|bytes| json!({ "udp_payload_bytes": bytes, "shard_bytes": shard_bytes_for_payload(bytes) }))
        .collect();
    json!({
        "about": "pts: the session time that a header's 32 bits stand for, seen at a session time. limits: the bounds that \
                  follow from a Welcome; refused: values of which one is out of range, in the order shard_bytes_max, \
                  bitrate_kbps, refresh_mhz, slices_max, redundancy_per_mille, au_bytes_max. payloads: the longest shard of \
                  a UDP payload, null where there is none. rounds: what a SkewPing and its SkewPong say, null where they \
                  break the protocol.",
        "pts": pts,
        "limits": limits,
        "refused": refused,
        "payloads": payloads,
        "rounds": rounds(),
    })
}
