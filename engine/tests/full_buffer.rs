//! A kernel that takes nothing: an access unit waits for one picture's interval and no longer, and a stop for no more
//! than that.

#[allow(dead_code, reason = "this file uses a part")]
mod support;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use punktfunk_engine::{HostConfig, HostEnd, HostPipeline, Machine, Wishes};
use punktfunk_net::{Socket, SocketConfig};
use punktfunk_proto::{BitratePolicy, Negotiated, RedundancyPolicy, SessionClock};
use punktfunk_seal::{Cipher, Direction, Plane, PlaneKeys, Sealer, Secret};

use support::{Pattern, wait_for};

/// Makes every `sendmmsg` of this thread, and of those that it starts, say that the device's queue is full.
fn refuse_to_send() {
    let statement = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let mut program = [
        statement(load, 0, 0, std::mem::offset_of!(libc::seccomp_data, nr) as u32),
        statement(equal, 0, 1, libc::SYS_sendmmsg as u32),
        statement(libc::BPF_RET, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOBUFS as u32),
        statement(libc::BPF_RET, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: no pointers are passed.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0);
    // SAFETY: `program` and its statements are alive; the kernel copies them.
    let done = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

/// Runs a host that cannot send, at `refresh_mhz`, until `done` holds of it; says how long its stop took.
fn blocked(refresh_mhz: u32, done: fn(&HostPipeline<Pattern>) -> bool) -> (HostEnd<Pattern>, Duration) {
    let socket =
        Arc::new(Socket::open(&SocketConfig::new(([127, 0, 0, 1], 0).into())).expect("a loopback socket"));
    let now = Instant::now();
    let config = HostConfig {
        negotiated: Negotiated::new(1408, 500_000, refresh_mhz, 1, 100, 4 << 20).expect("in range"),
        shard_bytes: 1408,
        clock: SessionClock::new(now),
        destination: socket.local_addr(),
        source: None,
        pace_kbps: Some(4_000_000),
        burst_bytes: 4 << 20,
        redundancy: RedundancyPolicy::Fixed,
        bitrate: BitratePolicy::Fixed,
        machine: Machine::probe(Wishes::default()),
    };
    let keys =
        PlaneKeys::new(&Secret::new([7; 32]), Cipher::Aes128Gcm, Direction::HostToClient, Plane::Video);
    let run = move || {
        refuse_to_send();
        // Seven trains of data.
        let pattern = Pattern::new(1, 400_000, Duration::ZERO, 1);
        let host =
            HostPipeline::start(pattern, socket, Sealer::new(keys, now), &config).expect("two threads");
        assert!(wait_for(Duration::from_secs(20), || done(&host)), "{:?}", host.stats());
        let start = Instant::now();
        (host.stop(), start.elapsed())
    };
    // The filter stays with its thread for good.
    thread::spawn(run).join().expect("it waits and looks")
}

#[test]
fn an_access_unit_waits_for_one_interval_in_all() {
    let (end, _) = blocked(60_000, HostPipeline::is_ended);
    let sent = end.stats.protect;
    assert_eq!((sent.dropped_protect, sent.sent, sent.datagrams), (1, 0, 0), "{sent:?}");
    assert!(sent.waits_full > 0 && sent.packets_send_dropped > 0, "{sent:?}");
    assert!(sent.packets_send_dropped <= 88, "one call's patience, no more: {sent:?}");
    assert_eq!((end.slices_out, end.arena_leased_bytes, end.fault), (0, 0, None));
}

#[test]
fn a_stop_waits_for_one_train_at_most() {
    // A picture each second: the patience of seven trains would be as many seconds.
    let (end, took) = blocked(1_000, |host| host.stats().encode.encoded == 1);
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!((end.slices_out, end.arena_leased_bytes, end.stats.protect.sent), (0, 0, 0));
}
