//! What the kernel's routing tables answer, or whoever speaks in its place.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[path = "../../net/src/netlink.rs"]
#[allow(dead_code, reason = "the edge's file, of which this uses a part")]
mod answers;

use answers::{Kind, Progress, Queues, Request, read_mtu, read_route};

const SEQUENCE: u32 = 7;
const DEVICE: u32 = 3;

/// Whatever comes is read or skipped, and what is believed holds together.
pub(crate) fn answer(input: &[u8]) {
    let (device, progress) = read_route(input, SEQUENCE);
    assert!(device.is_none() || progress == Progress::Done);
    let (mtu, progress) = read_mtu(input, SEQUENCE, DEVICE);
    assert!(mtu.is_none() || progress == Progress::Done);
    let mut queues = Queues::default();
    let progress = queues.read(input, SEQUENCE, DEVICE);
    assert_eq!(progress, Queues::default().read(input, SEQUENCE, DEVICE), "the same bytes say the same");
    let Some(root) = queues.root() else {
        assert!(!queues.keep_departures());
        return;
    };
    assert!(root.name().len() <= 16);
    match root {
        Kind::Fq => assert!(queues.keep_departures()),
        Kind::Etf | Kind::Other(_) => assert!(!queues.keep_departures()),
        Kind::Mq => {}
    }
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).expect("a short value");
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn message(kind: u16, fixed: &[u32], attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut body: Vec<u8> = fixed.iter().flat_map(|word| word.to_ne_bytes()).collect();
    attributes.iter().for_each(|attribute| body.extend(attribute));
    let length = u32::try_from(16 + body.len()).expect("a short message");
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend([kind.to_ne_bytes(), [0; 2]].concat());
    bytes.extend([SEQUENCE.to_ne_bytes(), [0; 4]].concat());
    bytes.extend(body);
    bytes
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let (route, link, queue, error, done) = (24, 16, 36, 2, 3);
    let kind = |name: &str| attribute(1, format!("{name}\0").as_bytes());
    let qdisc = |handle, parent, name| message(queue, &[0, DEVICE, handle, parent, 0], &[kind(name)]);
    let (here, there) = (Ipv4Addr::LOCALHOST.into(), IpAddr::from(Ipv6Addr::LOCALHOST));
    vec![
        message(route, &[0, 0, 0], &[attribute(1, &[10, 0, 0, 1]), attribute(4, &DEVICE.to_ne_bytes())]),
        message(link, &[0, DEVICE, 0, 0], &[attribute(3, b"eth0\0"), attribute(4, &1500_u32.to_ne_bytes())]),
        [qdisc(1 << 16, u32::MAX, "mq"), qdisc(0, 1 << 16 | 1, "fq"), message(done, &[0], &[])].concat(),
        qdisc(1 << 16, u32::MAX, "fq"),
        qdisc(1 << 16, u32::MAX, "etf"),
        qdisc(1 << 16, u32::MAX, "pfifo_fast"),
        message(error, &[(-101_i32).cast_unsigned()], &[]),
        Request::route(SEQUENCE, here, Some(here), 0).bytes().to_vec(),
        Request::route(SEQUENCE, there, None, DEVICE).bytes().to_vec(),
        Request::queues(SEQUENCE).bytes().to_vec(),
        Request::device(SEQUENCE, DEVICE).bytes().to_vec(),
    ]
}
