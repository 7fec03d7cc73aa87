//! What the way loses: repaired where parity reaches, else counted, asked for and got over.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use punktfunk_proto::is_media;
use serde_json::Value;

use crate::support::{
    Between, ClientStart, HostStart, Meddler, PATIENCE, Place, Random, count, dropped, look, probe_recording,
    session_turn,
};

/// One datagram in this many gets lost, control's included.
const LOST_ONE_IN: u64 = 50;

/// When the way is cut, after the first media.
const CUT_AFTER: Duration = Duration::from_millis(1_500);

/// For how long.
const CUT: Duration = Duration::from_millis(200);

/// What was sent came, was lost, or was dropped at a named place.
fn assert_adds_up(summary: &Value) {
    let of = |pointer| count(summary, pointer);
    let ended = of("/pictures/decoded") + of("/pictures/lost") + of("/pictures/late") + dropped(summary);
    assert_eq!(summary["pictures"]["sent_is_final"], true, "{summary:#}");
    assert_eq!(of("/pictures/sent"), ended, "{summary:#}");
}

#[test]
fn random_losses_are_repaired_or_counted() {
    let (_turn, place) = (session_turn(), Place::new());
    let mut random = Random::new();
    let lossy = |mut random: Random| -> Meddler {
        Box::new(move |datagram, send| {
            if random.below(LOST_ONE_IN) != 0 {
                send(datagram);
            }
        })
    };
    let host =
        HostStart::new(&place, "bitstream:rate=20M,fps=60,slices=2,idr=2x/1s").args(&["--once"]).ready();
    let between = Between::start(host.port, lossy(random.fork()), lossy(random.fork()));
    let ended = ClientStart::new(&place, between.port()).args(&["--seconds", "3"]).run();
    ended.expect_code(0).expect_said(&[]);
    host.ends();
    let summary = ended.json();
    assert_adds_up(&summary);
    let of = |pointer| count(&summary, pointer);
    let (sent, decoded, recovered) =
        (of("/pictures/sent"), of("/pictures/decoded"), of("/datagrams/recovered_shards"));
    eprintln!("{sent} sent, {decoded} decoded, {recovered} shards recovered");
    assert_eq!(of("/verified/wrong"), 0, "{summary:#}");
    assert!(of("/datagrams/received") < of("/datagrams/sent"), "{summary:#}");
    assert!(recovered > 0, "{summary:#}");
    // A picture is two blocks of about 21 shards, two of them parity: three losses in one of them take it, which
    // happens to one in 70.
    assert!(decoded * 10 >= sent * 9, "{decoded} of {sent}");
}

/// Lets all media but that of a while pass.
fn cut(lasting: Duration) -> Meddler {
    let mut first_media = None;
    Box::new(move |datagram, send| {
        let media = datagram.first().copied().is_some_and(is_media);
        let since = media.then(|| first_media.get_or_insert_with(Instant::now).elapsed());
        if since.is_none_or(|since| !(CUT_AFTER..CUT_AFTER + lasting).contains(&since)) {
            send(datagram);
        }
    })
}

fn pass() -> Meddler {
    Box::new(|datagram, send| send(datagram))
}

#[test]
fn a_cut_is_counted_and_got_over_with_an_idr() {
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, "card").args(&["--once"]).ready();
    let between = Between::start(host.port, pass(), cut(CUT));
    let recording = place.path("cut.h264");
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
    // The cut is a twentieth of the time; a stream that stays broken loses more than half.
    assert!(decoded * 10 >= sent * 8, "{decoded} of {sent}");
    if let Some(recorded) = probe_recording(&recording, false) {
        assert_eq!(recorded.pictures, decoded);
    }
}

#[test]
fn a_loss_is_told_in_time_whatever_a_stranger_sends() {
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, "card").args(&["--once"]).ready();
    // About one picture.
    let between = Between::start(host.port, pass(), cut(Duration::from_millis(16)));
    let client =
        ClientStart::new(&place, between.port()).args(&["--mode", "640x360@60", "--seconds", "3"]).start();
    let target = look("the client's address", PATIENCE, || between.client());
    let flood = Flood::start(target);
    let ended = client.program.wait(PATIENCE);
    drop(flood);
    ended.expect_code(0).expect_said(&[]);
    host.ends();
    let summary = ended.json();
    assert_adds_up(&summary);
    let of = |pointer| count(&summary, pointer);
    let (sent, decoded, malformed) =
        (of("/pictures/sent"), of("/pictures/decoded"), of("/datagrams/malformed"));
    eprintln!("{sent} sent, {decoded} decoded, {malformed} of a stranger's datagrams");
    assert!(malformed > 1_000 && of("/pictures/lost") > 0, "{summary:#}");
    // Given up at its deadline, two intervals on, and not when the window of 16 is full.
    assert!(sent - decoded <= 12, "{summary:#}");
}

/// A stranger who never lets the client's socket rest.
struct Flood {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Flood {
    fn start(to: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                // Media by its first byte, and nothing after it.
                let _ = socket.send_to(&[0], to);
                thread::sleep(Duration::from_micros(200));
            }
        });
        Self { stop, thread: Some(thread) }
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
