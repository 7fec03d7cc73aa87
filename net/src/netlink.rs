//! Three questions to the kernel's routing tables: by which device a datagram leaves, what queues there, and how long
//! a packet the device takes.
//!
//! Promises: no unsafe code; a malformed, foreign or unknown message is skipped, whatever its bytes. Layout
//! (rtnetlink(7)): a message is a header of 16 bytes whose first word is the length, then a fixed part of its
//! kind, then attributes (length and kind, two bytes each, then the value), all padded to four bytes.

use std::net::IpAddr;

const HEADER: usize = 16;
const ROUTE_BYTES: usize = 12;
const QUEUE_BYTES: usize = 20;
const DEVICE_BYTES: usize = 16;
const ATTRIBUTE: usize = 4;
/// The longest request: a route's with destination, source and device.
const REQUEST_BYTES: usize = HEADER + ROUTE_BYTES + 2 * (ATTRIBUTE + 16) + ATTRIBUTE + 4;

/// Attribute of a device (linux/if_link.h).
const IFLA_MTU: u16 = 4;
/// Attributes of a qdisc (linux/rtnetlink.h).
const TCA_KIND: u16 = 1;
/// Parents that are no qdisc (linux/pkt_sched.h).
const TC_H_ROOT: u32 = 0xffff_ffff;
const TC_H_INGRESS: u32 = 0xffff_fff1;

/// A request, as the kernel reads it.
#[derive(Debug)]
pub(crate) struct Request {
    bytes: [u8; REQUEST_BYTES],
    len: usize,
}

impl Request {
    /// Which way a datagram to `dest` goes, from `source` where one is given. `scope_id` names the device of a
    /// link-local destination; 0 names none.
    pub(crate) fn route(sequence: u32, dest: IpAddr, source: Option<IpAddr>, scope_id: u32) -> Self {
        let mut request = Self::new(libc::RTM_GETROUTE, libc::NLM_F_REQUEST, sequence);
        let source = source.filter(|source| source.is_ipv4() == dest.is_ipv4());
        let bits = |ip: IpAddr| if ip.is_ipv4() { 32 } else { 128 };
        let family = if dest.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let mut route = [0; ROUTE_BYTES];
        route[0] = u8::try_from(family).expect("address families are small numbers");
        route[1] = bits(dest);
        route[2] = source.map_or(0, bits);
        request.put(&route);
        request.put_address(libc::RTA_DST, dest);
        if let Some(source) = source {
            request.put_address(libc::RTA_SRC, source);
        }
        if scope_id != 0 {
            request.put_attribute(libc::RTA_OIF, &scope_id.to_ne_bytes());
        }
        request
    }

    /// All qdiscs of all devices: the kernel filters none.
    pub(crate) fn queues(sequence: u32) -> Self {
        let mut request = Self::new(libc::RTM_GETQDISC, libc::NLM_F_REQUEST | libc::NLM_F_DUMP, sequence);
        request.put(&[0; QUEUE_BYTES]);
        request
    }

    /// What `device` is like.
    pub(crate) fn device(sequence: u32, device: u32) -> Self {
        let mut request = Self::new(libc::RTM_GETLINK, libc::NLM_F_REQUEST, sequence);
        // Family and kind are any; the index stands in the second word.
        request.put(&[0; 4]);
        request.put(&device.to_ne_bytes());
        request.put(&[0; DEVICE_BYTES - 8]);
        request
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn new(kind: u16, flags: i32, sequence: u32) -> Self {
        let mut request = Self { bytes: [0; REQUEST_BYTES], len: 0 };
        request.put(&[0; 4]);
        request.put(&kind.to_ne_bytes());
        request.put(&u16::try_from(flags).expect("netlink flags are two bytes").to_ne_bytes());
        request.put(&sequence.to_ne_bytes());
        request.put(&[0; 4]);
        request
    }

    fn put_address(&mut self, kind: u16, ip: IpAddr) {
        match ip {
            IpAddr::V4(ip) => self.put_attribute(kind, &ip.octets()),
            IpAddr::V6(ip) => self.put_attribute(kind, &ip.octets()),
        }
    }

    /// `value` is a multiple of four bytes long, so nothing is padded.
    fn put_attribute(&mut self, kind: u16, value: &[u8]) {
        let len = u16::try_from(ATTRIBUTE + value.len()).expect("an address is short");
        self.put(&len.to_ne_bytes());
        self.put(&kind.to_ne_bytes());
        self.put(value);
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
        self.bytes[..4].copy_from_slice(&u32::try_from(self.len).expect("a short array").to_ne_bytes());
    }
}

/// How far an answer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// More parts follow.
    More,
    /// That was all.
    Done,
    /// The kernel refuses, by this `errno`.
    Refused(i32),
}

/// The device that an answer to [`Request::route`] names, and how far the answer has come.
pub(crate) fn read_route(bytes: &[u8], sequence: u32) -> (Option<u32>, Progress) {
    let mut device = None;
    let progress = read(bytes, sequence, libc::RTM_NEWROUTE, ROUTE_BYTES, |_, attributes| {
        device = find(attributes, libc::RTA_OIF).and_then(number).or(device);
    });
    // The answer is one message, not a list that is closed by another.
    (device, if device.is_some() { Progress::Done } else { progress })
}

/// The MTU that an answer to [`Request::device`] tells of `device`, and how far the answer has come.
pub(crate) fn read_mtu(bytes: &[u8], sequence: u32, device: u32) -> (Option<u32>, Progress) {
    let mut mtu = None;
    let progress = read(bytes, sequence, libc::RTM_NEWLINK, DEVICE_BYTES, |fixed, attributes| {
        if fixed.get(4..8).and_then(number) == Some(device) {
            mtu = find(attributes, IFLA_MTU).and_then(number).or(mtu);
        }
    });
    (mtu, if mtu.is_some() { Progress::Done } else { progress })
}

/// What is known of one device's qdiscs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Queues {
    root: Option<(Kind, u32)>,
    /// Children of the root that were told, and those of them that keep departure times.
    children: u32,
    children_fq: u32,
}

/// The kinds of qdisc that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Keeps departure times on `CLOCK_MONOTONIC`.
    Fq,
    /// Keeps departure times, on another clock, and drops what has none.
    Etf,
    /// One qdisc for each hardware queue.
    Mq,
    /// Knows of no departure times.
    Other([u8; 16]),
}

impl Kind {
    fn of(name: &[u8]) -> Self {
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        match name {
            b"fq" => Kind::Fq,
            b"etf" => Kind::Etf,
            b"mq" => Kind::Mq,
            other => {
                let mut kept = [0; 16];
                let len = other.len().min(kept.len());
                kept[..len].copy_from_slice(&other[..len]);
                Kind::Other(kept)
            }
        }
    }

    /// The kernel's name for it.
    pub(crate) fn name(&self) -> &str {
        match self {
            Kind::Fq => "fq",
            Kind::Etf => "etf",
            Kind::Mq => "mq",
            Kind::Other(name) => {
                let len = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
                std::str::from_utf8(&name[..len]).unwrap_or("?")
            }
        }
    }
}

impl Queues {
    /// Takes in one part of an answer to [`Request::queues`]: what it says of `device`.
    pub(crate) fn read(&mut self, bytes: &[u8], sequence: u32, device: u32) -> Progress {
        read(bytes, sequence, libc::RTM_NEWQDISC, QUEUE_BYTES, |queue, attributes| {
            let word = |at: usize| queue.get(at..at + 4).and_then(number).unwrap_or_default();
            let Some(kind) = find(attributes, TCA_KIND).map(Kind::of) else { return };
            let (handle, parent) = (word(8), word(12));
            if word(4) != device || parent == TC_H_INGRESS {
                return;
            }
            match self.root {
                _ if parent == TC_H_ROOT => self.root = Some((kind, handle >> 16)),
                // The root is told before its children.
                Some((_, major)) if parent >> 16 == major => {
                    self.children += 1;
                    self.children_fq += u32::from(kind == Kind::Fq);
                }
                Some(_) | None => {}
            }
        })
    }

    /// Whether whatever leaves by the device is kept until its departure time.
    pub(crate) fn keep_departures(&self) -> bool {
        match self.root {
            Some((Kind::Fq, _)) => true,
            Some((Kind::Mq, _)) => self.children > 0 && self.children == self.children_fq,
            Some((Kind::Etf | Kind::Other(_), _)) | None => false,
        }
    }

    /// The root's kind.
    pub(crate) fn root(&self) -> Option<Kind> {
        self.root.map(|(kind, _)| kind)
    }
}

/// Gives the fixed part and the attributes of each message of `kind` that answers `sequence` to `take`.
fn read(
    mut rest: &[u8],
    sequence: u32,
    kind: u16,
    fixed: usize,
    mut take: impl FnMut(&[u8], &[u8]),
) -> Progress {
    while let Some((len, header)) = rest.get(..4).and_then(number).zip(rest.get(..HEADER)) {
        let Some(message) = usize::try_from(len).ok().and_then(|len| rest.get(HEADER..len)) else { break };
        let of = u16::from_ne_bytes([header[4], header[5]]);
        if header.get(8..12).and_then(number) == Some(sequence) {
            if i32::from(of) == libc::NLMSG_DONE {
                return Progress::Done;
            }
            if i32::from(of) == libc::NLMSG_ERROR {
                let errno = message.get(..4).and_then(number).unwrap_or_default().cast_signed();
                return if errno == 0 { Progress::Done } else { Progress::Refused(errno.wrapping_neg()) };
            }
            if let (true, Some((fixed, attributes))) = (of == kind, message.split_at_checked(fixed)) {
                take(fixed, attributes);
            }
        }
        rest = rest.get((HEADER + message.len()).next_multiple_of(4)..).unwrap_or_default();
    }
    Progress::More
}

/// The value of the first attribute of `kind`.
fn find(mut rest: &[u8], kind: u16) -> Option<&[u8]> {
    loop {
        let header = rest.first_chunk::<ATTRIBUTE>()?;
        let len = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let value = rest.get(ATTRIBUTE..len)?;
        if u16::from_ne_bytes([header[2], header[3]]) == kind {
            return Some(value);
        }
        rest = rest.get(len.next_multiple_of(4)..)?;
    }
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk::<4>().map(|bytes| u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SEQUENCE: u32 = 7;
    const DEVICE: u32 = 3;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let len = (ATTRIBUTE + value.len()) as u16;
        let mut bytes = [len.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn message(kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 2]);
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn queue(device: u32, handle: u32, parent: u32, kind: &str) -> Vec<u8> {
        let mut body = vec![0; 4];
        for word in [device, handle, parent, 0] {
            body.extend(word.to_ne_bytes());
        }
        body.extend(attribute(2, &[0; 20]));
        body.extend(attribute(TCA_KIND, format!("{kind}\0").as_bytes()));
        message(libc::RTM_NEWQDISC, SEQUENCE, &body)
    }

    fn told(parts: &[Vec<u8>]) -> Queues {
        let mut queues = Queues::default();
        for part in parts {
            assert_eq!(queues.read(part, SEQUENCE, DEVICE), Progress::More);
        }
        queues
    }

    #[test]
    fn the_device_of_a_route_is_read() {
        let body = [
            vec![0; ROUTE_BYTES],
            attribute(libc::RTA_DST, &[10, 0, 0, 1]),
            attribute(libc::RTA_OIF, &DEVICE.to_ne_bytes()),
        ]
        .concat();
        let answer = message(libc::RTM_NEWROUTE, SEQUENCE, &body);
        assert_eq!(read_route(&answer, SEQUENCE), (Some(DEVICE), Progress::Done));
        assert_eq!(read_route(&answer, SEQUENCE + 1), (None, Progress::More), "an answer to somebody else");
        let refusal = message(libc::NLMSG_ERROR as u16, SEQUENCE, &(-libc::ENETUNREACH).to_ne_bytes());
        assert_eq!(read_route(&refusal, SEQUENCE), (None, Progress::Refused(libc::ENETUNREACH)));
    }

    #[test]
    fn the_mtu_of_the_device_asked_for_is_read_and_no_others() {
        let answer = |device: u32| {
            let mut body = vec![0; 4];
            body.extend(device.to_ne_bytes());
            body.extend([0; DEVICE_BYTES - 8]);
            body.extend([attribute(3, b"eth0\0"), attribute(IFLA_MTU, &9_000_u32.to_ne_bytes())].concat());
            message(libc::RTM_NEWLINK, SEQUENCE, &body)
        };
        assert_eq!(read_mtu(&answer(DEVICE), SEQUENCE, DEVICE), (Some(9_000), Progress::Done));
        assert_eq!(read_mtu(&answer(DEVICE + 1), SEQUENCE, DEVICE), (None, Progress::More));
        assert_eq!(read_mtu(&answer(DEVICE), SEQUENCE + 1, DEVICE), (None, Progress::More));
        assert_eq!(Request::device(SEQUENCE, DEVICE).bytes().len(), HEADER + DEVICE_BYTES);
    }

    #[test]
    fn only_fq_alone_or_under_every_hardware_queue_keeps_departures() {
        let root = |kind: &str| queue(DEVICE, 0x8001_0000, TC_H_ROOT, kind);
        for (kind, keeps) in
            [("fq", true), ("fq_codel", false), ("etf", false), ("noqueue", false), ("mq", false)]
        {
            let queues = told(&[root(kind)]);
            assert_eq!(queues.keep_departures(), keeps, "{kind}");
            assert_eq!(queues.root().unwrap().name(), kind);
        }
        let child = |minor: u32, kind| queue(DEVICE, 0, 0x8001_0000 | minor, kind);
        assert!(told(&[root("mq"), [child(1, "fq"), child(2, "fq")].concat()]).keep_departures());
        assert!(!told(&[root("mq"), child(1, "fq"), child(2, "fq_codel")]).keep_departures());
        // Another device's, and what comes in.
        assert!(!told(&[queue(DEVICE + 1, 0, TC_H_ROOT, "fq")]).keep_departures());
        assert!(!told(&[queue(DEVICE, 0, TC_H_INGRESS, "fq")]).keep_departures());
        let of_others = told(&[root("fq"), queue(DEVICE + 1, 0, TC_H_ROOT, "noqueue")]);
        assert!(of_others.keep_departures());
        assert_eq!(
            Queues::default().read(&message(libc::NLMSG_DONE as u16, SEQUENCE, &[0; 4]), SEQUENCE, DEVICE),
            Progress::Done
        );
    }

    #[test]
    fn a_request_is_as_long_as_it_says() {
        for (dest, source, scope, len) in [
            ("10.0.0.1", None, 0, 36),
            ("10.0.0.1", Some("10.0.0.2"), 0, 44),
            ("10.0.0.1", Some("::1"), 0, 36),
            ("fe80::1", Some("fe80::2"), 7, REQUEST_BYTES),
        ] {
            let source = source.map(|source| source.parse().unwrap());
            let request = Request::route(SEQUENCE, dest.parse().unwrap(), source, scope);
            assert_eq!(request.bytes().len(), len, "{dest}");
            assert_eq!(request.bytes()[..4], (len as u32).to_ne_bytes());
        }
        assert_eq!(Request::queues(SEQUENCE).bytes().len(), HEADER + QUEUE_BYTES);
    }

    proptest! {
        /// Whatever the bytes, reading ends and stays inside.
        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..300), sequence: u32, device: u32) {
            read_route(&bytes, sequence);
            read_mtu(&bytes, sequence, device);
            Queues::default().read(&bytes, sequence, device);
        }

        /// Real messages with a byte changed, or cut anywhere.
        #[test]
        fn mutated_answers_end(at: prop::sample::Index, to: u8, cut: prop::sample::Index) {
            let mut bytes =
                [queue(DEVICE, 1, TC_H_ROOT, "noqueue"), queue(DEVICE, 0, 1, "a_kind_with_a_long_name")].concat();
            let at = at.index(bytes.len());
            bytes[at] = to;
            bytes.truncate(cut.index(bytes.len() + 1));
            let mut queues = Queues::default();
            queues.read(&bytes, SEQUENCE, DEVICE);
            prop_assert!(read_mtu(&bytes, SEQUENCE, DEVICE).0.is_none());
            prop_assert!(!queues.keep_departures());
            prop_assert!(queues.root().is_none_or(|kind| kind.name().len() <= 16));
        }

        /// Lengths that lie.
        #[test]
        fn any_lengths_end(lens in prop::collection::vec((0_u32..80, 0_u16..80), 1..8)) {
            let bytes: Vec<u8> = lens.iter().flat_map(|(len, attribute)| {
                let mut message = queue(DEVICE, 0, TC_H_ROOT, "fq");
                message[..4].copy_from_slice(&len.to_ne_bytes());
                message[HEADER + QUEUE_BYTES..][..2].copy_from_slice(&attribute.to_ne_bytes());
                message
            }).collect();
            Queues::default().read(&bytes, SEQUENCE, DEVICE);
            read_route(&bytes, SEQUENCE);
        }
    }
}
