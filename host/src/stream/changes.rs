//! What changes in mid-stream: the mode, the rate, and where the pictures come from.
//!
//! Promises: each request is answered once, with what it is now and what was refused of it; no verb waits for a compositor.
//! Refuses what the source or the encoder cannot do, with a reason.

use punktfunk_control::{Codec, Reconfigure, Reconfigured, SourceNews};
use punktfunk_proto::limits::BITRATE_KBPS;

use super::Stream;
use crate::error::HostError;
use crate::screen::Screen;
use crate::ways::News;

impl Stream {
    /// Does what can be done of a change, and says what holds now; `None` where a desktop takes its time over
    /// it: [`Stream::poll_reconfigured`] says it then.
    pub fn reconfigure(&mut self, wanted: &Reconfigure) -> Option<Reconfigured> {
        let mut refused = Vec::new();
        if let Some(kbps) = wanted.bitrate_kbps
            && let Err(why) = self.set_rate(kbps)
        {
            refused.push(why.to_string());
        }
        if let Some(number) = wanted.codec.filter(|number| *number != self.coding.codec.to_number()) {
            let named = Codec::of_number(number).map(|codec| codec.to_string());
            let (wanted, holds) = (named.unwrap_or_else(|| format!("codec {number}")), self.coding.codec);
            refused.push(format!(
                "{wanted} cannot take the place of {holds} in mid-stream; connect anew for it"
            ));
        }
        if let Some(mode) = wanted.mode {
            let begun = punktfunk_capture::Mode::new(mode.width, mode.height, mode.refresh_mhz)
                .map_err(|error| HostError::Impossible(error.to_string()))
                .and_then(|mode| self.screen.change(mode, &self.codings));
            match begun {
                Ok(()) => {
                    self.mode_pending = Some((mode, refused));
                    return None;
                }
                Err(why) => refused.push(why.to_string()),
            }
        }
        Some(self.reconfigured(&refused))
    }

    /// What came of a change of mode, once the desktop is done with it.
    pub fn poll_reconfigured(&mut self) -> Option<Reconfigured> {
        if let Some(overtaken) = self.overtaken.take() {
            return Some(overtaken);
        }
        let outcome = self.screen.poll()?;
        let (mode, mut refused) = self.mode_pending.take()?;
        match outcome {
            Ok(()) => self.mode = mode,
            Err(why) => refused.push(why.to_string()),
        }
        Some(self.reconfigured(&refused))
    }

    /// What has become of the source, and the screen that is not shown any more: to be closed elsewhere.
    pub fn poll_news(&mut self) -> Option<(SourceNews, Option<Screen>)> {
        let News { source, why, mode, desktop, falls } = self.news.as_ref()?.try_recv().ok()?;
        self.falls = falls;
        self.mode = crate::serve::control_mode(mode);
        let before = source.is_some().then(|| std::mem::replace(&mut self.screen, Screen::new(desktop)));
        if before.is_some()
            && let Some((_, mut refused)) = self.mode_pending.take()
        {
            refused.push("the desktop ended before its mode was changed".to_owned());
            self.overtaken = Some(self.reconfigured(&refused));
        }
        let Reconfigured { mode, from_au, .. } = self.reconfigured(&[]);
        Some((SourceNews { source: source.unwrap_or_default(), why, mode: Some(mode), from_au }, before))
    }

    fn reconfigured(&self, refused: &[String]) -> Reconfigured {
        let next_au = self.pipeline.stats().encode.next_au;
        Reconfigured {
            mode: self.mode,
            bitrate_kbps: self.wire_kbps,
            from_au: u32::try_from(next_au).unwrap_or(u32::MAX),
            refused: refused.join("; "),
        }
    }

    /// Holds the rate to what openh264 fills, once that has taken the card's place: whoever follows the reports asks for no
    /// more from then on.
    pub(super) fn hold_rate(&mut self) {
        if self.has_fallen || !self.encoder_falls.has_fallen() {
            return;
        }
        let (before_kbps, most_kbps) = (self.wire_kbps, self.codings.wire_kbps_max(true));
        if before_kbps > most_kbps {
            // A full ring is asked again in the next round.
            if self.pipeline.set_wire_rate(most_kbps).is_err() {
                return;
            }
            tracing::warn!(
                before_kbps,
                most_kbps,
                "the rate is held to what openh264 fills in the card's place"
            );
            self.encoder_falls.count("nvenc", "openh264", "rate-held");
            self.wire_kbps = most_kbps;
            self.rate_held = Some(self.reconfigured(&[]));
        }
        self.codings = self.codings.in_software();
        self.has_fallen = true;
    }

    /// What holds now that the rate is held, told once.
    pub fn poll_rate_held(&mut self) -> Option<Reconfigured> {
        self.rate_held.take()
    }

    fn set_rate(&mut self, kbps: u32) -> Result<(), HostError> {
        if !self.follows_rate {
            return Err(HostError::Impossible("this source has a rate of its own".into()));
        }
        if !BITRATE_KBPS.contains(&kbps) {
            let (least, most) = BITRATE_KBPS.into_inner();
            return Err(HostError::Impossible(format!("a bitrate is {least} to {most} kbit/s, not {kbps}")));
        }
        self.codings.check_rate(kbps, self.has_fallen)?;
        if self.pipeline.set_wire_rate(kbps).is_err() {
            return Err(HostError::Impossible("the bitrate stays, for the pacer is busy; ask again".into()));
        }
        self.wire_kbps = kbps;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::process::Command;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use punktfunk_control::{Hello, Mode, Path};
    use punktfunk_display::limits::IPC_DEADLINE;
    use punktfunk_engine::{Machine, Wishes};
    use punktfunk_net::{Socket, SocketConfig};
    use punktfunk_proto::BitratePolicy;
    use punktfunk_seal::{Backends, CipherPreference, Secret};

    use super::*;
    use crate::desktop::Desktop;
    use crate::opening::{OpeningConfig, open};
    use crate::redundancy::Redundancy;
    use crate::stream::StreamConfig;

    const MODE: Mode = Mode { width: 320, height: 180, refresh_mhz: 60_000 };

    /// A stream of this source to a port that nobody reads.
    fn stream(source: &str) -> Stream {
        let mut hello = Hello::new("test", MODE, 20_000);
        hello.codecs.push(punktfunk_control::Codec::Pattern);
        let doors = Arc::new(crate::ways::Doors::default());
        let opening = OpeningConfig {
            source: source.parse().unwrap(),
            doors,
            encoders: Arc::default(),
            slices: 4,
            redundancy: Redundancy::fixed(100),
            ciphers: CipherPreference::of_this_cpu(None),
        };
        let patience = punktfunk_capture::Patience::until(Instant::now() + Duration::from_secs(20));
        let opened = open(&opening, &hello, &patience, |_| ()).unwrap();
        let loopback = SocketConfig::new((Ipv4Addr::LOCALHOST, 0).into());
        let (socket, nobody) = (Socket::open(&loopback).unwrap(), Socket::open(&loopback).unwrap());
        let path = Path { remote: nobody.local_addr(), local: None };
        let config = StreamConfig {
            link_kbps: None,
            bitrate: BitratePolicy::Adaptive,
            burst_bytes: 128 << 10,
            machine: Machine::probe(Wishes::default()),
            seal: Backends::measure(None, Instant::now),
            perf: None,
            caps: Vec::new(),
        };
        let (secret, to) = (Secret::new([7; 32]), (Arc::new(socket), path));
        Stream::start(opened, MODE, &secret, to, (&config, None), Instant::now())
            .map_err(|failed| failed.0)
            .unwrap()
    }

    fn change(stream: &mut Stream, mode: Option<Mode>, bitrate_kbps: Option<u32>) -> Reconfigured {
        stream
            .reconfigure(&Reconfigure { mode, bitrate_kbps, codec: None })
            .expect("no desktop takes its time over it")
    }

    /// A change that is answered later.
    fn slow_change(stream: &mut Stream, mode: Mode, bitrate_kbps: u32) -> Reconfigured {
        let wanted = Reconfigure { mode: Some(mode), bitrate_kbps: Some(bitrate_kbps), codec: None };
        assert!(stream.reconfigure(&wanted).is_none(), "answered at once");
        let asked = Instant::now();
        loop {
            if let Some(done) = stream.poll_reconfigured() {
                return done;
            }
            assert!(asked.elapsed() < Duration::from_secs(20), "no answer");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[test]
    fn another_codec_is_refused_by_name_and_what_else_is_wanted_is_done() {
        let mut stream = stream("card");
        for (codec, said) in
            [(Codec::Av1.to_number(), Codec::Av1.to_string()), (4_321, "codec 4321".to_owned())]
        {
            let wanted = Reconfigure { codec: Some(codec), bitrate_kbps: Some(7_000), mode: None };
            let done = stream.reconfigure(&wanted).expect("no desktop takes its time over it");
            assert!(done.refused.contains(&said) && done.refused.contains("connect anew"), "{done:?}");
            assert_eq!(done.bitrate_kbps, 7_000);
        }
        let same = Reconfigure { codec: Some(Codec::H264.to_number()), ..Reconfigure::default() };
        assert_eq!(stream.reconfigure(&same).unwrap().refused, "");
        stream.stop(Instant::now()).close();
    }

    #[test]
    fn a_bitstream_has_the_mode_that_it_has() {
        let mut stream = stream("bitstream:rate=5M,fps=60,slices=2");
        let done = change(&mut stream, Some(Mode { width: 640, height: 360, ..MODE }), None);
        assert!(done.refused.contains("fixed mode"), "{done:?}");
        stream.stop(Instant::now()).close();
    }

    /// Bytes of each access unit as they come out of the encoder, until `aus` more have.
    fn sizes(stream: &Stream, aus: u64) -> Vec<(u64, u64)> {
        let (asked, mut sizes) = (Instant::now(), Vec::new());
        let mut before = stream.pipeline.stats().encode;
        let end = before.next_au + aus;
        while before.next_au < end && asked.elapsed() < Duration::from_secs(20) {
            let now = stream.pipeline.stats().encode;
            if now.next_au == before.next_au + 1 {
                sizes.push((before.next_au, now.bytes - before.bytes));
            }
            before = now;
            std::thread::sleep(Duration::from_millis(1));
        }
        sizes
    }

    #[test]
    fn the_encoder_follows_within_two_pictures() {
        // Noise, which fills any rate.
        let mut bytes = b"YUV4MPEG2 W320 H180 F60:1 Ip C420jpeg\n".to_vec();
        let mut random = 7_u32;
        for _ in 0..30 {
            bytes.extend_from_slice(b"FRAME\n");
            for _ in 0..320 * 180 * 3 / 2 {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                bytes.push(96 + (random >> 26) as u8);
            }
        }
        let file = tempfile::Builder::new().suffix(".y4m").tempfile().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let mut stream = stream(&format!("file:{}", file.path().display()));
        sizes(&stream, 60);
        for (kbps, most) in [(4_000, 1_500), (20_000, 2_000)] {
            let done = change(&mut stream, None, Some(kbps));
            assert_eq!((done.bitrate_kbps, done.refused.as_str()), (kbps, ""));
            let (sizes, usual) = (sizes(&stream, 30), u64::from(kbps) * 125 / 60);
            eprintln!("{kbps} kbit/s, {usual} bytes, from AU {}: {:?}", done.from_au, &sizes[..6]);
            let third =
                sizes.iter().find(|(au, _)| *au >= u64::from(done.from_au) + 2).expect("the stream goes on");
            let per_mille = third.1 * 1_000 / usual;
            // Where it falls, no more; where it rises, its rate control takes some pictures to fill it.
            assert!((500..=most).contains(&per_mille), "{third:?} after {}: {sizes:?}", done.from_au);
        }
        stream.stop(Instant::now()).close();
    }

    #[test]
    fn what_cannot_be_changed_is_refused_and_the_stream_goes_on() {
        let mut stream = stream("card");
        let done = change(&mut stream, None, Some(10_000));
        assert_eq!((done.bitrate_kbps, done.refused.as_str()), (10_000, ""));
        // The first is more than any stream's, the second more than this encoder's.
        for (kbps, said) in [(9_000_000, "500 to 8000000"), (499, "500 to 8000000"), (1_000_000, "at most")] {
            let done = change(&mut stream, None, Some(kbps));
            assert_eq!(done.bitrate_kbps, 10_000);
            assert!(done.refused.contains(said), "{done:?}");
        }
        let larger = Mode { width: 640, height: 360, ..MODE };
        let smaller = Mode { width: 64, height: 64, ..MODE };
        for (wanted, kbps, holds, said) in [(smaller, 12_000, MODE, "at least"), (larger, 13_000, larger, "")]
        {
            let done = slow_change(&mut stream, wanted, kbps);
            assert_eq!((done.bitrate_kbps, done.mode), (kbps, holds));
            assert!(done.refused.contains(said) && said.is_empty() == done.refused.is_empty(), "{done:?}");
        }
        let none = Mode { width: 0, ..MODE };
        assert!(!change(&mut stream, Some(none), None).refused.is_empty());
        assert!(stream.poll_reconfigured().is_none());
        let asked = Instant::now();
        while stream.pipeline.stats().protect.sent == 0 && asked.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(!stream.is_ended());
        let end = stream.stop(Instant::now());
        assert_eq!(end.fault, None);
        assert!(end.stats.aus_sent > 0);
        end.close();
    }

    /// Holds the machine's one desktop for tests; `None` where there can be none of our own, said, and no
    /// way out under CI.
    fn sway_turn() -> Option<std::fs::File> {
        let missing = ["sway", "foot"]
            .into_iter()
            .find(|program| Command::new(program).arg("--version").output().is_err())
            .map(|program| format!("{program} is not installed (apt install {program})"));
        let there = std::env::var_os("WAYLAND_DISPLAY").map(|_| "a desktop is there already".to_owned());
        if let Some(why) = missing.or(there) {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "under CI this must be checked, but {why}");
            eprintln!("not checked: {why}");
            return None;
        }
        let turn = std::fs::File::create(std::env::temp_dir().join("punktfunk-sway-tests.lock")).unwrap();
        turn.lock().unwrap();
        Some(turn)
    }

    /// The processes that belong to this desktop.
    fn processes(desktop: &Desktop) -> Vec<String> {
        let folder = desktop.runtime_dir().expect("a desktop of our own").to_str().unwrap();
        let all = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap());
        let ours = all.filter(|entry| {
            let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command).contains(folder)
        });
        ours.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }

    fn signal(name: &str, processes: &[String]) {
        assert!(Command::new("kill").arg(name).args(processes).status().unwrap().success());
    }

    /// What comes of a change that a desktop takes its time over.
    fn changed(stream: &mut Stream) -> Reconfigured {
        let asked = Instant::now();
        loop {
            assert!(asked.elapsed() < Duration::from_secs(20));
            match stream.poll_reconfigured() {
                Some(done) => break done,
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    fn begin_change(stream: &mut Stream, mode: Mode) {
        let wanted = Reconfigure { mode: Some(mode), ..Reconfigure::default() };
        assert!(stream.reconfigure(&wanted).is_none(), "a desktop takes its time");
        let second = stream.reconfigure(&wanted).expect("one change at a time");
        assert!(second.refused.contains("already"), "{second:?}");
    }

    #[test]
    fn a_desktop_changes_its_mode_while_the_stream_goes_on() {
        let Some(_turn) = sway_turn() else { return };
        let mut stream = stream("wayland");
        let larger = Mode { width: 640, height: 360, ..MODE };
        begin_change(&mut stream, larger);
        let done = changed(&mut stream);
        assert_eq!((done.mode, done.refused.as_str()), (larger, ""));
        // The display could; the encoder could not, and would end the stream.
        begin_change(&mut stream, Mode { width: 8192, height: 8192, ..MODE });
        let done = changed(&mut stream);
        assert_eq!(done.mode, larger);
        assert!(done.refused.contains("8192x8192"), "{done:?}");
        std::thread::sleep(Duration::from_millis(200));
        assert!(!stream.is_ended());
        let end = stream.stop(Instant::now());
        assert_eq!(end.fault, None);
        end.close();
    }

    #[test]
    fn a_desktop_that_hangs_holds_nobody_up() {
        let Some(_turn) = sway_turn() else { return };
        let mut stream = stream("wayland");
        let Screen::Still(desktop) = &stream.screen else { panic!("a desktop of our own") };
        let hanging = processes(desktop);
        assert!(!hanging.is_empty());
        signal("-STOP", &hanging);
        let asked = Instant::now();
        begin_change(&mut stream, Mode { width: 640, height: 360, ..MODE });
        let took = asked.elapsed();
        signal("-CONT", &hanging);
        // As long as that it takes to give a desktop up that does not answer.
        assert!(took < IPC_DEADLINE, "{took:?}");
        // It may have been given up.
        let _ = changed(&mut stream);
        assert!(!stream.is_ended());
        stream.stop(Instant::now()).close();
    }

    #[test]
    fn a_source_with_a_rate_of_its_own_keeps_it() {
        let mut stream = stream("bitstream:rate=5M,fps=60,slices=2");
        let done = change(&mut stream, None, Some(10_000));
        assert!(done.refused.contains("rate of its own") && done.bitrate_kbps < 9_000, "{done:?}");
        stream.stop(Instant::now()).close();
    }
}
