//! A doorkeeper, a live session of a device, and another program that changes the list.

#![allow(clippy::unwrap_used)] // clippy's leave for tests ends at the functions that they share

use std::fs::{File, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;

use punktfunk_control::{
    ByeReason, Chroma, ClientControl, ClientEvent, Codec, ConnectError, Depth, Hello, HostLimits, Identity,
    Mode, PROTOCOL, Welcome,
};
use punktfunk_proto::SessionClock;
use punktfunk_seal::Cipher;
use tempfile::TempDir;

use super::*;

const MODE: Mode = Mode { width: 640, height: 360, refresh_mhz: 60_000 };
/// More rounds than any exchange takes.
const ROUNDS: usize = 2_000;

fn welcome() -> Welcome {
    Welcome {
        protocol: PROTOCOL,
        host_name: "host".into(),
        mode: MODE,
        codec: Codec::H264,
        cipher: Cipher::Aes128Gcm,
        bitrate_kbps: 20_000,
        shard_bytes_max: 1408,
        redundancy_per_mille: 100,
        au_bytes_max: 1 << 20,
        slices_max: 4,
        source: "the test card".into(),
        encoder: "software H.264".into(),
        compositors: Vec::new(),
        depth: Depth::Eight,
        chroma: Chroma::Yuv420,
    }
}

/// A host and a client of it, whose datagrams take no time.
struct Live {
    folder: TempDir,
    door: Doorkeeper,
    control: HostControl,
    client: ClientControl,
    device: Fingerprint,
    now: Instant,
    session: Option<SessionId>,
    ended: Option<ConnectError>,
}

impl Live {
    /// A paired device, which has said Hello and Start; the doorkeeper has not been told of it yet.
    fn of(is_open: bool, is_named: bool) -> Self {
        let (folder, now) = (tempfile::tempdir().unwrap(), Instant::now());
        let (ours, theirs) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        let device = theirs.fingerprint();
        Devices::load(folder.path()).unwrap().add(device, "a desk", 1).unwrap();
        let named = if is_named { vec![device] } else { Vec::new() };
        let door =
            Doorkeeper::new(folder.path(), (is_open, named), "host".into(), Say::new(false), now).unwrap();
        let control = HostControl::new(ours, door.trust(), HostLimits::default(), now).unwrap();
        let (hello, by) = (Hello::new("a test", MODE, 20_000), now + Duration::from_secs(60));
        let client = ClientControl::connect(theirs, Trust::Open, host(), hello, by, now).unwrap();
        let mut live = Self { folder, door, control, client, device, now, session: None, ended: None };
        assert!(live.run_until(|live| live.session.is_some()), "no session: {:?}", live.ended);
        live
    }

    /// What another program does.
    fn others(&self) -> Devices {
        Devices::load(self.folder.path()).unwrap()
    }

    fn run_until(&mut self, done: impl Fn(&Self) -> bool) -> bool {
        for _ in 0..ROUNDS {
            if done(self) {
                return true;
            }
            if !self.exchange() {
                let due = [self.control.poll_timeout(), self.client.poll_timeout()];
                let Some(due) = due.into_iter().flatten().min() else { return done(self) };
                self.now = self.now.max(due);
                self.control.handle_timeout(self.now);
                self.client.handle_timeout(self.now);
            }
        }
        done(self)
    }

    /// Everything that both have to say now; whether that was anything.
    fn exchange(&mut self) -> bool {
        let (mut is_busy, mut bytes, now) = (false, Vec::new(), self.now);
        while let Some(sent) = self.client.poll_transmit(now, &mut bytes) {
            is_busy = true;
            for datagram in bytes.chunks(sent.segment_bytes.unwrap_or(sent.bytes_len)) {
                self.control.handle_datagram(client(), Some(host().ip()), datagram, now);
            }
        }
        while let Some(sent) = self.control.poll_transmit(now, &mut bytes) {
            is_busy = true;
            for datagram in bytes.chunks(sent.segment_bytes.unwrap_or(sent.bytes_len)) {
                self.client.handle_datagram(host(), Some(client().ip()), datagram, now);
            }
        }
        while let Some(event) = self.control.poll_event() {
            match event {
                HostEvent::Hello { session, .. } => self.control.welcome(session, &welcome(), now).unwrap(),
                HostEvent::Start { session, .. } => {
                    self.control.start_clock(session, SessionClock::new(now), now).unwrap();
                    self.session = Some(session);
                }
                _ => {}
            }
        }
        while let Some(event) = self.client.poll_event() {
            match event {
                ClientEvent::Welcome { .. } => self.client.start(now).unwrap(),
                ClientEvent::Ended { reason } => self.ended = Some(reason),
                _ => {}
            }
        }
        is_busy
    }

    fn started(&mut self) {
        self.door.handle_start(self.session.unwrap(), &mut self.control, self.now);
    }

    /// Waits until another thread has written down that the device was seen, which makes the list's file anew.
    fn await_note(&self) {
        let patience = Instant::now() + Duration::from_secs(20);
        while self.others().find(&self.device).unwrap().last_seen_at.is_none() {
            assert!(Instant::now() < patience, "the note is not written");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The next look of the host's loop at the list.
    fn look(&mut self) {
        self.now += LOOK_INTERVAL;
        self.door.poll(&mut self.control, self.now);
    }

    fn revoke(&mut self) -> Result<(), DoorError> {
        self.door.revoke(&mut self.control, self.device, self.now)
    }

    /// The session ends within a second, for this reason.
    fn assert_trust_withdrawn(&mut self) {
        let before = self.now;
        assert!(self.run_until(|live| live.ended.is_some()), "the session lives on");
        assert!(self.now - before < Duration::from_secs(1), "{:?}", self.now - before);
        let reason = self.ended.as_ref().unwrap();
        assert!(
            matches!(reason, ConnectError::Closed(bye) if bye.reason == ByeReason::TrustWithdrawn),
            "{reason:?}"
        );
    }
}

fn host() -> SocketAddr {
    "10.0.0.1:47800".parse().unwrap()
}

fn client() -> SocketAddr {
    "10.0.0.2:50000".parse().unwrap()
}

/// A change of our own reads what the other program has written: what it took out is followed by whichever comes first.
#[test]
fn a_device_that_another_program_revokes_is_out_though_we_write_before_we_look() {
    let changes: [fn(&mut Live); 3] = [
        |live| {
            live.started();
            live.look();
        },
        |live| drop(live.door.rename(&mut live.control, live.device, "another name", live.now)),
        |live| {
            // A look that finds nothing new, for our own change has read the file.
            live.door.devices.add(Identity::generate().unwrap().fingerprint(), "a tablet", 2).unwrap();
            live.look();
        },
    ];
    for change in changes {
        let mut live = Live::of(false, false);
        assert!(live.others().remove(&live.device).unwrap());
        change(&mut live);
        live.assert_trust_withdrawn();
        let Trust::Pinned(known) = live.door.trust() else { panic!("open") };
        assert!(!known.contains(&live.device));
    }
}

#[test]
fn a_device_that_stays_is_not_disturbed_by_what_is_written() {
    let mut live = Live::of(false, false);
    live.started();
    live.others().add(Identity::generate().unwrap().fingerprint(), "a tablet", 2).unwrap();
    live.door.rename(&mut live.control, live.device, "another name", live.now).unwrap();
    live.look();
    while live.exchange() {}
    assert!(live.ended.is_none() && live.control.running().count() == 1, "{:?}", live.ended);
}

/// The operator hears that his word is not the last one, and the session ends all the same.
#[test]
fn a_revoked_device_that_the_command_line_lets_in_loses_its_session_and_the_operator_hears_so() {
    for (is_open, is_named, why) in
        [(true, false, "--open"), (false, true, "--trust"), (true, true, "--trust")]
    {
        let mut live = Live::of(is_open, is_named);
        live.started();
        let said = live.revoke().unwrap_err();
        assert!(matches!(said, DoorError::StillTrusted { .. }) && said.to_string().contains(why), "{said}");
        live.assert_trust_withdrawn();
        assert!(live.others().all().is_empty() && live.door.trust().allows(&live.device));
        // Not paired any more: one that is named is known all the same, one that is not, is not.
        let again = live.revoke().unwrap_err();
        assert_eq!(matches!(again, DoorError::NoSuchDevice(_)), !is_named, "{again}");
    }
    let mut live = Live::of(true, false);
    assert!(live.others().remove(&live.device).unwrap());
    live.started();
    live.look();
    live.assert_trust_withdrawn();
}

#[test]
fn a_revoked_device_is_out() {
    let mut live = Live::of(false, false);
    live.started();
    live.revoke().unwrap();
    live.assert_trust_withdrawn();
    assert!(matches!(live.revoke(), Err(DoorError::NoSuchDevice(_))));
}

/// A device's start while another program changes the list, and how long the loop was at it.
fn started_while_the_list_is_held() -> (Live, Duration) {
    let mut live = Live::of(false, false);
    let held = File::create(live.folder.path().join(".devices.lock")).unwrap();
    held.lock().unwrap();
    let began = Instant::now();
    live.started();
    live.look();
    assert_eq!(live.others().find(&live.device).unwrap().last_seen_at, None);
    held.unlock().unwrap();
    (live, began.elapsed())
}

/// Every session's control is on the thread that a device's start comes on.
#[test]
fn a_start_waits_for_no_other_programs_lock_and_is_written_down_all_the_same() {
    // Whoever waits for it waits for a second; a busy machine may do nothing for one, but not again and again.
    let mut tries = (0..5).map(|_| started_while_the_list_is_held());
    let in_time = tries.find(|(_, took)| *took < Duration::from_millis(900));
    let (mut live, _) = in_time.expect("the loop waits for the lock");
    live.await_note();
    live.look();
    assert!(live.door.devices.find(&live.device).unwrap().last_seen_at.is_some());
    assert!(live.run_until(|live| live.control.running().count() == 1) && live.ended.is_none());
}

/// Keeps the list in this folder from being written, until what comes back is called.
type Hindrance = fn(&Path) -> Box<dyn FnOnce()>;

/// Whoever is to be out is out, whatever has become of the list; and a second word, when that is mended, is the last one.
#[test]
fn a_revoked_device_is_out_at_once_though_the_list_cannot_be_written() {
    let hinder: [Hindrance; 2] = [
        |folder| {
            let held = File::create(folder.join(".devices.lock")).unwrap();
            held.lock().unwrap();
            Box::new(move || held.unlock().unwrap())
        },
        |folder| {
            let list = folder.join("devices.toml");
            let open_to = move |mode| std::fs::set_permissions(&list, Permissions::from_mode(mode)).unwrap();
            open_to(0o644);
            Box::new(move || open_to(0o600))
        },
    ];
    for hinder in hinder {
        let mut live = Live::of(false, false);
        live.started();
        live.await_note();
        let mend = hinder(live.folder.path());
        let said = live.revoke().unwrap_err();
        assert!(matches!(said, DoorError::Unwritten { .. }), "{said}");
        live.assert_trust_withdrawn();
        assert!(!live.door.trust().allows(&live.device) && !live.door.is_trusted_by_name(&live.device));
        live.look();
        assert!(!live.door.trust().allows(&live.device), "the next look lets nobody in again");
        mend();
        assert!(live.others().find(&live.device).is_some(), "what the operator was told");
        live.revoke().unwrap();
        assert!(live.others().all().is_empty() && !live.door.trust().allows(&live.device));
    }
}

#[test]
fn a_device_that_was_out_and_is_let_in_anew_is_in() {
    let mut live = Live::of(false, false);
    let held = File::create(live.folder.path().join(".devices.lock")).unwrap();
    held.lock().unwrap();
    live.revoke().unwrap_err();
    held.unlock().unwrap();
    // Nobody waits under that number: what is written down counts all the same.
    let (id, device) = (live.session.unwrap(), live.device);
    live.door.let_in(&mut live.control, id, device, "a desk", live.now).unwrap();
    assert!(live.door.trust().allows(&device));
}

/// Between two looks at the list, too.
#[test]
fn the_word_of_a_device_that_another_program_has_revoked_is_not_heard() {
    let mut live = Live::of(false, false);
    live.started();
    assert!(live.others().remove(&live.device).unwrap());
    let (session, by, now) = (live.session.unwrap(), live.device, live.now);
    let decided = HostEvent::PendingDecided { session, by, pending: session, is_approved: true };
    live.door.handle_event(decided, &mut live.control, now);
    assert!(!live.door.is_trusted_by_name(&by));
    live.assert_trust_withdrawn();
}
