//! Pairing: its messages, bytes that are none, and whole runs of the exchange with scalars that are given.

use crate::bench::hex;
use crate::control::read;
use punktfunk_control::Fingerprint;
use punktfunk_control::messages::{LENGTH_BYTES, parse_length};
use punktfunk_control::pairing::*;
use serde_json::{Value, json};

/// A scalar as the file's own, below the group's order.
fn scalar(first: u8) -> [u8; 32] {
    std::array::from_fn(|index| first.wrapping_add((37 * index) as u8) & 0x7f)
}

fn run(pin: &str, seed: u8) -> (Value, ReplayedRun) {
    let (host, client) = (Fingerprint::of_certificate(&[seed]), Fingerprint::of_certificate(&[seed, 1]));
    let (exporter, x, y) = ([seed; 32], scalar(seed), scalar(seed ^ 0x55));
    let run = replayed_run(&pin.parse().unwrap(), (host, client, exporter), (x, y));
    let value = json!({
        "pin": pin, "host": hex(host.as_bytes()), "client": hex(client.as_bytes()), "exporter": hex(&exporter),
        "client_scalar": hex(&x), "host_scalar": hex(&y), "share_p": hex(&run.share_p),
        "share_v": hex(&run.share_v), "confirm_v": hex(&run.confirm_v), "confirm_p": hex(&run.confirm_p),
    });
    (value, run)
}

fn known(message: &PairMessage) -> Value {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    let (length, body) = bytes.split_first_chunk::<LENGTH_BYTES>().unwrap();
    assert_eq!(parse_length(*length).unwrap(), body.len());
    assert_eq!(PairMessage::parse(body), Ok(Some(message.clone())));
    json!({ "name": message.name(), "kind": message.kind(), "message": hex(&bytes), "cbor": read(body) })
}

fn refused(name: &str, body: &[u8]) -> Value {
    let _ = PairMessage::parse(body).unwrap_err();
    json!({ "name": name, "body": hex(body) })
}

pub(crate) fn vectors() -> Value {
    let (first, said) = run("012345", 1);
    let messages = [
        PairMessage::Ask(Ask { name: "desk".into(), share: said.share_p }),
        PairMessage::Answer(Answer { share: said.share_v, confirmation: said.confirm_v }),
        PairMessage::Confirm(Confirm { confirmation: said.confirm_p }),
        PairMessage::Knock(Knock { name: "tablet".into() }),
        PairMessage::Held(Held { wait_s: 120 }),
        PairMessage::Admitted(Admitted { host_name: "tower".into() }),
        PairMessage::TurnedAway(TurnedAway { reason: TurnedAwayReason::NotPaired }),
        PairMessage::TurnedAway(TurnedAway { reason: TurnedAwayReason::Other(900) }),
    ];
    let confirmation_of =
        |bytes: u8| [&[0x82, 0x03, 0xa1, 0x00, 0x58, bytes][..], &vec![7; bytes.into()]].concat();
    json!({
        "about": "The pairing protocol's messages, as control.json has the session's; and whole runs of SPAKE2+: what both \
                  ends are bound to, their scalars x and y, and what travels. See docs/wire.md, Pairing.",
        "messages": messages.iter().map(known).collect::<Vec<_>>(),
        "refused": [
            refused("a confirmation that is a byte short", &confirmation_of(31)),
            refused("a confirmation that is a byte long", &confirmation_of(33)),
            refused("a confirmation that is a text", &[0x82, 0x03, 0xa1, 0x00, 0x60]),
            refused("a share that is not there", &[0x82, 0x01, 0xa1, 0x00, 0x61, 0x61]),
            refused("a name above 64 bytes", &[&[0x82, 0x04, 0xa1, 0x00, 0x78, 65][..], &[b'x'; 65]].concat()),
        ],
        "runs": [first, run("000000", 2).0, run("999999", 3).0],
    })
}
