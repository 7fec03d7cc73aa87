//! What the way loses: repaired where parity reaches, else counted, asked for and got over.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use punktfunk_proto::is_media;
use serde_json::Value;

use crate::support::{
    Between, ClientStart, HostStart, Meddler, PATIENCE, Place, Random, assert_adds_up, count, dropped, look,
    machine_kept_up, probe_recording, session_turn,
};

/// The access units that a cut takes: a fifth of a second of them.
const CUT: Range<u32> = 30..42;

/// Single access units that get lost, with time between them to get over each.
const LOST_AUS: [u32; 5] = [30, 60, 90, 120, 150];

/// Streams this source for three seconds over a way that loses one datagram in `lost_one_in`, control's included;
/// returns the figures, and whether `what` can be asserted of them.
fn stream_over_loss(source: &str, lost_one_in: u64, what: &str) -> (Value, bool) {
    let (_turn, place) = (session_turn(), Place::new());
    let mut random = Random::new();
    let lossy = |mut random: Random| -> Meddler {
        Box::new(move |datagram, send| {
            if random.below(lost_one_in) != 0 {
                send(datagram);
            }
        })
    };
    let host = HostStart::new(&place, source).args(&["--once"]).ready();
    let between = Between::start(host.port, lossy(random.fork()), lossy(random.fork()));
    let ended = ClientStart::new(&place, between.port()).args(&["--seconds", "3"]).run();
    ended.expect_code(0).expect_said(&[]);
    host.ends();
    let summary = ended.json();
    assert_adds_up(&summary);
    assert_eq!(count(&summary, "/verified/wrong"), 0, "{summary:#}");
    assert!(count(&summary, "/datagrams/received") < count(&summary, "/datagrams/sent"), "{summary:#}");
    let kept_up = between.kept_up(what) && machine_kept_up(&summary, what);
    (summary, kept_up)
}

#[test]
fn random_losses_are_repaired_or_counted() {
    let source = "bitstream:rate=20M,fps=60,slices=2,idr=2x/1s";
    let (summary, kept_up) = stream_over_loss(source, 50, "that nearly all were repaired");
    let of = |pointer| count(&summary, pointer);
    let (sent, decoded, recovered) =
        (of("/pictures/sent"), of("/pictures/decoded"), of("/datagrams/recovered_shards"));
    eprintln!("{sent} sent, {decoded} decoded, {recovered} shards recovered");
    // Of each block more is lost than its one parity shard at times: the rest is sent again.
    assert!(recovered > 0 && of("/datagrams/resent") > 0, "{summary:#}");
    if kept_up {
        assert!(decoded * 50 >= sent * 49, "{decoded} of {sent}");
    }
}

#[test]
fn one_percent_costs_no_picture_and_little_of_the_rate() {
    let source = "bitstream:rate=100M,fps=120,slices=1,idr=2x/1s";
    let (summary, kept_up) = stream_over_loss(source, 100, "that every picture was whole");
    let of = |pointer| count(&summary, pointer);
    let (sent, decoded) = (of("/pictures/sent"), of("/pictures/decoded"));
    let (parity, resent) = (of("/datagrams/parity"), of("/datagrams/resent"));
    let data = of("/datagrams/sent") - parity - resent;
    let overhead = (parity + resent) as f64 * 100.0 / data as f64;
    eprintln!("{decoded} of {sent}; {parity} parity and {resent} resent for {data}: {overhead:.2} %");
    if kept_up {
        // The session's end may cut the last one; a thread of a busy machine may stand still for a deadline.
        assert!(decoded + 3 >= sent, "{decoded} of {sent}: {summary:#}");
        assert!(overhead <= 5.0, "{overhead} %: {summary:#}");
    }
}

/// The access unit that a media datagram is of: its header is in clear.
fn au_of(datagram: &[u8]) -> Option<u32> {
    datagram.first().copied().filter(|first| is_media(*first))?;
    Some(u32::from_le_bytes(datagram.get(8..12)?.try_into().ok()?))
}

/// Lets all datagrams but those of some access units pass, and counts these access units. By number and not by the
/// clock: what a while takes depends on how busy the machine is.
pub(crate) fn lose_aus(which: impl Fn(u32) -> bool + Send + 'static) -> (Meddler, Arc<AtomicU64>) {
    let (lost, mut seen) = (Arc::new(AtomicU64::new(0)), BTreeSet::new());
    let counted = Arc::clone(&lost);
    let meddler: Meddler = Box::new(move |datagram, send| {
        match au_of(datagram).filter(|au| which(*au)) {
            None => send(datagram),
            // What is sent again of it gets lost too.
            Some(au) => {
                counted.fetch_add(u64::from(seen.insert(au)), Ordering::Relaxed);
            }
        }
    });
    (meddler, lost)
}

pub(crate) fn pass() -> Meddler {
    Box::new(|datagram, send| send(datagram))
}

#[test]
fn a_cut_is_counted_and_got_over_without_an_idr() {
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, "card").args(&["--once"]).ready();
    let (cut, cut_aus) = lose_aus(|au| CUT.contains(&au));
    let between = Between::start(host.port, pass(), cut);
    let recording = place.path("cut.mp4");
    let client = ClientStart::new(&place, between.port()).file("--record", &recording);
    let ended = client.args(&["--mode", "640x360@60", "--seconds", "4"]).run();
    ended.expect_code(0).expect_said(&[]);
    host.ends();
    let summary = ended.json();
    assert_adds_up(&summary);
    let of = |pointer| count(&summary, pointer);
    let (sent, decoded, lost) = (of("/pictures/sent"), of("/pictures/decoded"), of("/pictures/lost"));
    eprintln!("{sent} sent, {decoded} decoded, {lost} lost, {} dropped", dropped(&summary));
    assert!(lost > 0 && of("/pictures/idr_requests") > 0, "{summary:#}");
    // Nothing is shown that refers to what was lost.
    assert_eq!((of("/card/unreadable"), of("/card/out_of_order")), (0, 0), "{summary:#}");
    assert_eq!(of("/pictures/dropped/decode_error"), 0, "{summary:#}");
    assert_eq!(cut_aus.load(Ordering::Relaxed), CUT.len() as u64, "access units cut");
    // A stream that stays broken shows nothing that came after the cut.
    assert!(decoded > u64::from(CUT.end), "{decoded} of {sent}");
    let what = "how many pictures the cut took";
    if between.kept_up(what) && machine_kept_up(&summary, what) {
        // Those that were cut, those that wait for the recovery point, and what is sent while a busy machine's threads
        // stand still.
        assert!(sent - decoded <= 4 * CUT.len() as u64, "{decoded} of {sent}");
        let (idrs, points) = (of("/recovery/idrs"), of("/recovery/recovery_points"));
        let healed = of("/recovery/healed_by_recovery_point");
        assert!(idrs == 1 && points > 0 && healed > 0, "{:#}", summary["recovery"]);
    }
    if let Some(recorded) = probe_recording(&recording, false) {
        assert_eq!(recorded.pictures, decoded);
    }
}

#[test]
fn a_loss_is_told_in_time_whatever_a_stranger_sends() {
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, "card").args(&["--once"]).ready();
    let (lose, lost_aus) = lose_aus(|au| LOST_AUS.contains(&au));
    let between = Between::start(host.port, pass(), lose);
    let client =
        ClientStart::new(&place, between.port()).args(&["--mode", "640x360@60", "--seconds", "4"]).start();
    let target = look("the client's address", PATIENCE, || between.client());
    let flood = Flood::start(target);
    let ended = client.program.wait(PATIENCE);
    let thrown = flood.end();
    ended.expect_code(0).expect_said(&[]);
    host.ends();
    let summary = ended.json();
    assert_adds_up(&summary);
    let of = |pointer| count(&summary, pointer);
    let (sent, decoded, malformed) =
        (of("/pictures/sent"), of("/pictures/decoded"), of("/datagrams/malformed"));
    let lost_aus = lost_aus.load(Ordering::Relaxed);
    eprintln!(
        "{sent} sent, {lost_aus} of them lost, {decoded} decoded, {malformed} of a stranger's {thrown} datagrams"
    );
    assert!(malformed > 500 && lost_aus > 0, "{malformed} of {thrown}, {lost_aus} lost");
    assert!(of("/pictures/lost") >= lost_aus, "{summary:#}");
    let what = "how many pictures each loss took";
    if between.kept_up(what) && machine_kept_up(&summary, what) {
        // Given up at its deadline, two intervals on, and not when the window of 16 is full; over all losses, so that
        // a thread that stands still after one of them does not count for all.
        assert!(sent - decoded <= 12 * lost_aus, "{summary:#}");
    }
}

/// A stranger who never lets the client's socket rest.
struct Flood {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Flood {
    fn start(to: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let thread = thread::spawn(move || {
            let mut thrown = 0;
            while !stopped.load(Ordering::Relaxed) {
                // Media by its first byte, and nothing after it.
                let _ = socket.send_to(&[0], to);
                thrown += 1;
                thread::sleep(Duration::from_micros(200));
            }
            thrown
        });
        Self { stop, thread: Some(thread) }
    }

    /// Stops it; returns how many datagrams were thrown.
    fn end(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or(0)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
