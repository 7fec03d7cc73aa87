//! The host that is none: its state, and how it answers each ask.
//!
//! Promises: every ask is answered, with sense: what it is told changes what it says. Its figures move by the clock
//! that it is handed, and by nothing else.

mod figures;
mod served;
mod texts;

use std::time::{Duration, Instant};

use punktfunk_manage::model::{
    Device, Mode, Pairing, PairingState, PendingDevice, Recording, Session, Setting, SpeedTest,
    SpeedTestRequest, Status,
};
use punktfunk_manage::{Ask, Refused, Reply, Why};

pub use served::{Served, identity};

/// How long a device waits for a person's word.
const PENDING: Duration = Duration::from_secs(120);

/// When all of this is said to be, in seconds since 1970: figures of a test are the same each day.
const EPOCH_S: u64 = 1_790_000_000;

/// A device that asks, and since when.
#[derive(Debug)]
struct Knock {
    id: u64,
    name: String,
    fingerprint: String,
    since: Instant,
}

/// The window in which a device can pair.
#[derive(Debug)]
struct Window {
    state: PairingState,
    pin: String,
    until: Instant,
    paired: Option<String>,
}

/// The state of the host.
#[derive(Debug)]
pub struct StandIn {
    start: Instant,
    is_lively: bool,
    /// How fast its figures' clock runs.
    pace: u32,
    sessions: Vec<Session>,
    devices: Vec<Device>,
    knocks: Vec<Knock>,
    knocks_so_far: u64,
    window: Option<Window>,
    windows_so_far: u32,
    speed_test: Option<(Instant, SpeedTestRequest)>,
    settings: Vec<Setting>,
    recordings: Vec<Recording>,
}

impl StandIn {
    /// Two sessions, four devices, and one that asks.
    pub fn new(now: Instant) -> Self {
        let mut host = Self {
            start: now,
            is_lively: false,
            pace: 1,
            sessions: vec![
                session(
                    1,
                    0,
                    "Living-room TV",
                    Mode { width: 3840, height: 2160, refresh_mhz: 60_000 },
                    60_000,
                ),
                session(2, 1, "Steam Deck", Mode { width: 1280, height: 800, refresh_mhz: 90_000 }, 18_000),
            ],
            devices: texts::devices(EPOCH_S),
            knocks: Vec::new(),
            knocks_so_far: 0,
            window: None,
            windows_so_far: 0,
            speed_test: None,
            settings: texts::settings(),
            recordings: texts::recordings(),
        };
        host.knock("Kitchen tablet", now);
        host
    }

    /// One whose figures have a past of two minutes after three seconds.
    #[allow(dead_code, reason = "tests do")]
    pub fn hasty(now: Instant) -> Self {
        Self { pace: 40, ..Self::new(now) }
    }

    /// One whose doors are knocked at now and then.
    #[allow(dead_code, reason = "the example does")]
    pub fn lively() -> Self {
        Self { is_lively: true, ..Self::new(Instant::now()) }
    }

    /// Nobody there, nothing paired.
    #[allow(dead_code, reason = "tests do")]
    pub fn empty(now: Instant) -> Self {
        let nobody = Self::new(now);
        Self {
            sessions: Vec::new(),
            devices: Vec::new(),
            knocks: Vec::new(),
            recordings: Vec::new(),
            ..nobody
        }
    }

    /// A device asks to be let in.
    pub fn knock(&mut self, name: &str, now: Instant) {
        self.knocks_so_far += 1;
        let id = self.knocks_so_far;
        self.knocks.push(Knock {
            id,
            name: name.to_owned(),
            fingerprint: texts::fingerprint(100 + id),
            since: now,
        });
    }

    /// A device has typed the PIN.
    #[allow(dead_code, reason = "tests do")]
    pub fn pair(&mut self, name: &str) {
        let device = Device {
            fingerprint: texts::fingerprint(200 + self.devices.len() as u64),
            name: name.to_owned(),
            paired_at_s: Some(EPOCH_S),
            last_seen_at_s: None,
            connected: false,
        };
        self.devices.push(device);
        if let Some(window) = &mut self.window {
            window.state = PairingState::Paired;
            window.paired = Some(name.to_owned());
        }
    }

    /// The host at this moment.
    pub fn status(&mut self, now: Instant) -> Status {
        let age = now.saturating_duration_since(self.start) * self.pace;
        if self.is_lively && age.as_secs() / 40 >= self.knocks_so_far && self.knocks.len() < 3 {
            self.knock(["Phone", "Laptop upstairs", "Kitchen tablet"][self.knocks_so_far as usize % 3], now);
        }
        self.knocks.retain(|knock| now.saturating_duration_since(knock.since) < PENDING);
        let mut sessions = self.sessions.clone();
        for (index, session) in sessions.iter_mut().enumerate() {
            figures::move_on(session, index, age);
        }
        Status {
            host_name: "workstation".to_owned(),
            version: "0.1.0".to_owned(),
            fingerprint: texts::fingerprint(0),
            open: false,
            port: 47_800,
            uptime_s: 5_025 + age.as_secs(),
            at_ms: EPOCH_S * 1_000 + u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
            sessions,
            pairing: self.pairing(now),
            pending: self.knocks.iter().map(|knock| pending(knock, now)).collect(),
            speed_test: self.speed_test(now),
        }
    }

    fn pairing(&mut self, now: Instant) -> Pairing {
        let Some(window) = &mut self.window else { return Pairing::default() };
        if window.state == PairingState::Armed && now >= window.until {
            window.state = PairingState::Expired;
        }
        let is_armed = window.state == PairingState::Armed;
        Pairing {
            state: window.state,
            pin: is_armed.then(|| window.pin.clone()),
            left_s: is_armed.then(|| window.until.saturating_duration_since(now).as_secs()),
            failures: u32::from(is_armed),
            paired: window.paired.clone(),
            ..Pairing::default()
        }
    }

    fn speed_test(&self, now: Instant) -> Option<SpeedTest> {
        let (since, request) = self.speed_test?;
        let whole = Duration::from_millis(request.duration_ms.into());
        let progress = (now.saturating_duration_since(since).as_secs_f64() / whole.as_secs_f64()).min(1.0);
        let result = (progress >= 1.0).then(|| figures::speed_test(request));
        Some(SpeedTest { request, progress, result, failure: None })
    }

    /// Answers an ask, whatever it is.
    pub fn answer(&mut self, ask: Ask, now: Instant) {
        match ask {
            Ask::Compositors { reply } => reply.answer(Ok(texts::compositors())),
            Ask::EndSession { session, reply } => reply.answer(self.end(session)),
            Ask::Reconfigure { session, change, reply } => {
                let found = self.sessions.iter_mut().find(|one| one.id == session);
                reply.answer(found.ok_or_else(|| unknown("session")).map(|session| {
                    session.bitrate_kbps = change.bitrate_kbps.unwrap_or(session.bitrate_kbps);
                    session.mode = change.mode.unwrap_or(session.mode);
                }));
            }
            Ask::ArmPairing { seconds, reply } => {
                self.windows_so_far += 1;
                let pin = format!("{:06}", (u64::from(self.windows_so_far) * 482_917) % 1_000_000);
                let until = now + Duration::from_secs(seconds.into());
                self.window = Some(Window { state: PairingState::Armed, pin, until, paired: None });
                reply.answer(Ok(self.pairing(now)));
            }
            Ask::CancelPairing { reply } => {
                self.window = None;
                reply.answer(Ok(Pairing::default()));
            }
            Ask::Approve { request, name, reply } => reply.answer(self.approve(request, name)),
            Ask::Deny { request, reply } => reply.answer(self.take(request).map(drop)),
            Ask::Devices { reply } => reply.answer(Ok(self.devices.clone())),
            Ask::RenameDevice { fingerprint, name, reply } => reply.answer(self.rename(&fingerprint, name)),
            Ask::RevokeDevice { fingerprint, reply } => reply.answer(self.revoke(&fingerprint)),
            Ask::SpeedTest { request, reply } => self.start_speed_test(request, reply, now),
            Ask::Settings { reply } => reply.answer(Ok(self.settings.clone())),
            Ask::ChangeSetting { key, value, reply } => reply.answer(self.change(&key, value)),
            Ask::Diagnose { reply } => reply.answer(Ok(texts::diagnosis())),
            Ask::Recordings { reply } => reply.answer(Ok(self.recordings.clone())),
            Ask::StartRecording { reply } => reply.answer(self.record(true)),
            Ask::StopRecording { reply } => reply.answer(self.record(false)),
        }
    }

    fn end(&mut self, session: u64) -> Result<(), Refused> {
        let before = self.sessions.len();
        self.sessions.retain(|one| one.id != session);
        if self.sessions.len() < before { Ok(()) } else { Err(unknown("session")) }
    }

    fn take(&mut self, request: u64) -> Result<Knock, Refused> {
        let place = self.knocks.iter().position(|knock| knock.id == request);
        place.map(|index| self.knocks.remove(index)).ok_or_else(|| unknown("request"))
    }

    fn approve(&mut self, request: u64, name: Option<String>) -> Result<Device, Refused> {
        let knock = self.take(request)?;
        let device = Device {
            fingerprint: knock.fingerprint,
            name: name.unwrap_or(knock.name),
            paired_at_s: Some(EPOCH_S),
            last_seen_at_s: None,
            connected: false,
        };
        self.devices.push(device.clone());
        Ok(device)
    }

    fn rename(&mut self, fingerprint: &str, name: String) -> Result<Device, Refused> {
        let found = self.devices.iter_mut().find(|device| device.fingerprint == fingerprint);
        let device = found.ok_or_else(|| unknown("device"))?;
        device.name = name;
        Ok(device.clone())
    }

    fn revoke(&mut self, fingerprint: &str) -> Result<(), Refused> {
        let before = self.devices.len();
        self.devices.retain(|device| device.fingerprint != fingerprint);
        self.sessions.retain(|session| session.fingerprint != fingerprint);
        if self.devices.len() < before { Ok(()) } else { Err(unknown("device")) }
    }

    fn start_speed_test(&mut self, request: SpeedTestRequest, reply: Reply<SpeedTest>, now: Instant) {
        if !self.sessions.iter().any(|session| session.id == request.session) {
            return reply.answer(Err(unknown("session")));
        }
        self.speed_test = Some((now, request));
        reply.answer(self.speed_test(now).ok_or_else(|| unknown("test")));
    }

    fn change(&mut self, key: &str, value: Option<String>) -> Result<Setting, Refused> {
        let found = self.settings.iter_mut().find(|setting| setting.key == key);
        let setting = found.ok_or_else(|| unknown("setting"))?;
        texts::change(setting, value)?;
        Ok(setting.clone())
    }

    fn record(&mut self, on: bool) -> Result<Recording, Refused> {
        let running = self.recordings.iter_mut().find(|one| one.running);
        match (running, on) {
            (Some(_), true) => Err(Refused::new(Why::Conflict, "a recording runs already", "stop it first")),
            (None, false) => Err(Refused::new(Why::Conflict, "no recording runs", "")),
            (Some(recording), false) => {
                recording.running = false;
                Ok(recording.clone())
            }
            (None, true) => {
                let name = format!("2026-11-27T10-{:02}-00", self.recordings.len());
                self.recordings.insert(0, Recording { running: true, ..texts::recording(&name, 0, 0) });
                Ok(self.recordings[0].clone())
            }
        }
    }
}

fn unknown(what: &str) -> Refused {
    Refused::new(Why::NotFound, format!("there is no such {what}"), "look at the list again")
}

fn session(id: u64, device: u64, client: &str, mode: Mode, bitrate_kbps: u32) -> Session {
    Session {
        id,
        client: client.to_owned(),
        fingerprint: texts::fingerprint(1 + device),
        remote: format!("192.0.2.{}:5{id}120", 20 + id),
        mode,
        bitrate_kbps,
        source: "pipewire: whole desktop".to_owned(),
        encoder: "openh264, 4 slices".to_owned(),
        cipher: "AES-128-GCM".to_owned(),
        ..Session::default()
    }
}

fn pending(knock: &Knock, now: Instant) -> PendingDevice {
    let waited = now.saturating_duration_since(knock.since);
    PendingDevice {
        id: knock.id,
        name: knock.name.clone(),
        fingerprint: knock.fingerprint.clone(),
        remote: format!("192.0.2.{}:51{:03}", 40 + knock.id, knock.id),
        requested_at_s: EPOCH_S,
        left_s: PENDING.saturating_sub(waited).as_secs(),
    }
}
