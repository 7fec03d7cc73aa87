//! Recordings judged by ffprobe: every time, every key picture, after cuts, changes and a disk that does not keep up.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::channel;

use punktfunk_codec::I420Buffer;
use punktfunk_codec::h264::{Encoder, EncoderConfig};
use tempfile::TempDir;

use super::format::GATHERED_BYTES;
use super::*;

mod fragments;

/// An access unit, and when it was captured and decoded, in microseconds.
#[derive(Clone)]
struct Au {
    bytes: Vec<u8>,
    idr: bool,
    sides: (u32, u32),
    at_us: u64,
}

/// Encodes a picture for each time; those in `idrs` are IDRs.
fn encode(sides: (u32, u32), times_us: &[u64], idrs: &[usize]) -> Vec<Au> {
    let (width, height) = sides;
    let config = EncoderConfig { width, height, refresh_mhz: 60_000, bitrate_kbps: 4_000, slices: 1 };
    let mut encoder = Encoder::new(config).unwrap();
    let mut picture = I420Buffer::new(width, height).unwrap();
    let mut aus = Vec::new();
    for (index, at_us) in times_us.iter().enumerate() {
        let (luma, ..) = picture.planes_mut();
        luma.iter_mut().enumerate().for_each(|(at, byte)| *byte = ((at + index * 3) % 200) as u8);
        let au = encoder.encode(&picture.as_i420(), *at_us, idrs.contains(&index)).unwrap();
        if !au.skipped() {
            aus.push(Au { bytes: au.bytes().to_vec(), idr: au.is_idr(), sides, at_us: *at_us });
        }
    }
    aus
}

/// Times at 60 Hz that no clock would keep.
fn uneven(first_us: u64, count: u64) -> Vec<u64> {
    (0..count).map(|index| first_us + index * 16_667 + index * index % 7 * 100).collect()
}

/// Writes all of it as the thread would, at the times at which it came.
fn record(format: Format, folder: &TempDir, aus: &[Au]) -> (std::path::PathBuf, u64) {
    let path = folder.path().join("out.mp4");
    let (file, start) = (OutFile::open(&path).unwrap(), Instant::now());
    let mut writer = Writer::new(move || file.begin().map(|file| Box::new(file) as Box<dyn Medium>), format);
    let first_us = aus.first().map_or(0, |au| au.at_us);
    for au in aus {
        let now = start + Duration::from_micros(au.at_us - first_us);
        writer.handle_time(now).unwrap();
        writer.write(&au.bytes, au.at_us as u32, au.sides, now).unwrap();
    }
    let written = writer.finish().unwrap();
    (path, written)
}

/// What ffprobe read: time and key of each packet, and how many pictures were decoded; `None` without ffprobe.
fn probe(path: &Path) -> Option<(Vec<(u64, bool)>, usize)> {
    let run = |show: &str, more: &[&str]| {
        Command::new("ffprobe")
            .args(["-v", "error", "-select_streams", "v", "-show_entries", show, "-of", "csv=p=0"])
            .args(more)
            .arg(path)
            .output()
    };
    let Ok(packets) = run("packet=pts,dts,flags", &[]) else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "ffprobe must be installed under CI");
        eprintln!("not checked: ffprobe is not installed (apt install ffmpeg)");
        return None;
    };
    let complaints = String::from_utf8_lossy(&packets.stderr);
    assert!(complaints.is_empty(), "{complaints}");
    let packets = String::from_utf8(packets.stdout).unwrap();
    let packets = packets.lines().map(|line| {
        let mut words = line.split(',');
        let (pts, dts) = (words.next().unwrap(), words.next().unwrap());
        assert_eq!(pts, dts);
        (pts.parse().unwrap(), words.next().unwrap().contains('K'))
    });
    let frames = run("frame=pict_type", &[]).unwrap();
    let complaints = String::from_utf8_lossy(&frames.stderr);
    assert!(complaints.is_empty(), "{complaints}");
    let frames = String::from_utf8(frames.stdout).unwrap();
    Some((packets.collect(), frames.lines().filter(|line| !line.is_empty()).count()))
}

fn expected(aus: &[Au]) -> Vec<(u64, bool)> {
    aus.iter().map(|au| (au.at_us - aus[0].at_us, au.idr)).collect()
}

#[test]
fn every_picture_has_its_own_time_and_idrs_are_the_keys() {
    let folder = tempfile::tempdir().unwrap();
    let aus = encode((320, 180), &uneven(5_000, 100), &[0, 40, 41, 90]);
    let (path, written) = record(Format::Mp4, &folder, &aus);
    assert_eq!(written, aus.len() as u64);
    let Some((packets, frames)) = probe(&path) else { return };
    assert_eq!((packets, frames), (expected(&aus), aus.len()));
}

#[test]
fn the_raw_stream_is_what_came() {
    let folder = tempfile::tempdir().unwrap();
    let aus = encode((320, 180), &uneven(0, 30), &[0]);
    let (path, written) = record(Format::Raw, &folder, &aus);
    assert_eq!(written, aus.len() as u64);
    assert_eq!(fs::read(path).unwrap(), aus.iter().flat_map(|au| au.bytes.clone()).collect::<Vec<u8>>());
}

/// The wire's time comes round after 71 minutes, and a screen stands still across it, and for longer than a whole round.
#[test]
fn times_go_on_over_a_wrap_and_a_still_screen() {
    let folder = tempfile::tempdir().unwrap();
    let wrap = 1_u64 << 32;
    let mut times = uneven(wrap - 100_000, 20);
    times.extend(uneven(wrap + 3 * 60_000_000, 5));
    times.extend(uneven(3 * wrap + 77, 5));
    let aus = encode((320, 180), &times, &[0]);
    let (path, _) = record(Format::Mp4, &folder, &aus);
    let Some((packets, frames)) = probe(&path) else { return };
    assert_eq!((packets, frames), (expected(&aus), aus.len()));
}

#[test]
fn lost_pictures_leave_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let mut aus = encode((320, 180), &uneven(0, 60), &[0, 30]);
    // What refers to a lost one is never decoded.
    aus.drain(10..30);
    let (path, _) = record(Format::Mp4, &folder, &aus);
    let Some((packets, frames)) = probe(&path) else { return };
    assert_eq!((packets, frames), (expected(&aus), aus.len()));
}

#[test]
fn a_change_of_size_in_mid_stream_is_decoded() {
    let folder = tempfile::tempdir().unwrap();
    let mut aus = encode((320, 180), &uneven(0, 40), &[0]);
    aus.extend(encode((640, 360), &uneven(700_000, 40), &[0]));
    let (path, _) = record(Format::Mp4, &folder, &aus);
    let Some((packets, frames)) = probe(&path) else { return };
    assert_eq!((packets, frames), (expected(&aus), aus.len()));
    // In one go, and with a jump back across the change.
    for (intervals, small, large) in [("0%", 40, 40), ("0.8%+#5,0%+#5", 5, 5)] {
        let sides = Command::new("ffprobe")
            .args(["-v", "error", "-show_entries", "frame=width,height", "-of", "csv=p=0"])
            .args(["-read_intervals", intervals])
            .arg(&path)
            .output()
            .unwrap();
        let (sides, complaints) = (String::from_utf8_lossy(&sides.stdout), sides.stderr);
        let of = |sides_text: &str| sides.lines().filter(|line| line.starts_with(sides_text)).count();
        assert_eq!(
            (of("320,180"), of("640,360"), complaints.len()),
            (small, large, 0),
            "{intervals}: {sides}"
        );
    }
}

/// `avc1` says that the header has all parameter sets, `avc3` that others may follow.
#[test]
fn the_header_says_whether_parameter_sets_change() {
    let folder = tempfile::tempdir().unwrap();
    let same = encode((320, 180), &uneven(0, 60), &[0, 20, 40]);
    let mut changed = same.clone();
    changed.extend(encode((640, 360), &uneven(1_100_000, 10), &[0]));
    for (aus, entry) in [(same, "avc1"), (changed, "avc3")] {
        let (path, _) = record(Format::Mp4, &folder, &aus);
        let file = fs::read(&path).unwrap();
        let description = file.windows(4).position(|name| name == b"stsd").unwrap();
        // Behind its name: version, count, and the entry's size.
        assert_eq!(&file[description + 16..][..4], entry.as_bytes());
        let Some((packets, frames)) = probe(&path) else { return };
        assert_eq!((packets, frames), (expected(&aus), aus.len()), "{entry}");
    }
}

#[test]
fn it_begins_with_an_idr_and_a_stream_that_lies_breaks_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut aus = encode((320, 180), &uneven(1_000_000, 30), &[0, 10]);
    let good = aus.split_off(10);
    aus.remove(0);
    let garbage = |seed: u64, bytes: usize| -> Vec<u8> {
        let noise = (0..bytes as u64).map(|at| (at * at * 31 + at * seed * 7 + seed).to_le_bytes()[0]);
        [0, 0, 1].into_iter().chain(noise).collect()
    };
    for seed in 0..50 {
        let bytes = if seed % 5 == 0 { vec![0; seed as usize] } else { garbage(seed, seed as usize * 9) };
        aus.push(Au { bytes, idr: true, sides: (0, u32::MAX), at_us: 2_000_000 });
    }
    let at_us = aus.last().unwrap().at_us;
    // An IDR's sets and slice, but a profile of one byte.
    aus.push(Au {
        bytes: vec![0, 0, 1, 0x67, 0, 0, 1, 0x68, 0, 0, 1, 0x65],
        idr: true,
        sides: (2, 2),
        at_us,
    });
    let before = aus.len();
    aus.extend(good.iter().map(|au| Au { at_us: au.at_us + 5_000_000, ..au.clone() }));
    let (path, written) = record(Format::Mp4, &folder, &aus);
    assert_eq!(written, good.len() as u64, "nothing of the first {before}");
    let Some((packets, frames)) = probe(&path) else { return };
    assert_eq!((packets, frames), (expected(&good), good.len()));
}

/// A host's times may stand still or run backwards; a file's may not.
#[test]
fn times_rise_whatever_a_host_claims() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.mp4");
    let (file, start) = (OutFile::open(&path).unwrap(), Instant::now());
    let open = move || file.begin().map(|file| Box::new(file) as Box<dyn Medium>);
    let mut writer = Writer::new(open, Format::Mp4);
    let aus = encode((320, 180), &uneven(0, 8), &[0]);
    let claims = [0, 0, u32::MAX, 1 << 31, 5, 16_667, 0x7fff_ffff, 1];
    for (au, pts_us) in aus.iter().zip(claims) {
        let now = start + Duration::from_micros(au.at_us);
        assert!(writer.write(&au.bytes, pts_us, au.sides, now).unwrap());
    }
    assert_eq!(writer.finish().unwrap(), 8);
    let Some((packets, frames)) = probe(&path) else { return };
    assert_eq!((packets.len(), frames), (8, 8));
    assert!(packets.is_sorted_by(|a, b| a.0 < b.0), "{packets:?}");
}

/// Writes pictures that claim these times, each when it was really captured; the times in the file.
fn record_claims(aus: &[Au], claims: &[u64]) -> Option<Vec<u64>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.mp4");
    let (file, start) = (OutFile::open(&path).unwrap(), Instant::now());
    let mut writer =
        Writer::new(move || file.begin().map(|file| Box::new(file) as Box<dyn Medium>), Format::Mp4);
    for (au, pts_us) in aus.iter().zip(claims) {
        let now = start + Duration::from_micros(au.at_us);
        assert!(writer.write(&au.bytes, *pts_us as u32, au.sides, now).unwrap());
    }
    assert_eq!(writer.finish().unwrap(), aus.len() as u64);
    let (packets, frames) = probe(&path)?;
    assert_eq!(frames, aus.len());
    Some(packets.into_iter().map(|(at_us, _)| at_us).collect())
}

/// A time that cannot be is that of one picture, not of those behind it.
#[test]
fn one_wild_time_moves_no_other_picture() {
    let times = uneven(0, 40);
    let aus = encode((320, 180), &times, &[0]);
    for wild in [0x7fff_ffff, 0x8000_0000, 3_000_000, u64::from(u32::MAX) - 10_000_000] {
        let mut claims = times.clone();
        claims[20] = wild;
        let Some(written) = record_claims(&aus, &claims) else { return };
        assert_eq!((&written[..20], &written[21..]), (&times[..20], &times[21..]), "{wild:#x}");
        assert!((times[19]..times[21]).contains(&written[20]), "{wild:#x}: {}", written[20]);
    }
}

/// The clocks of two machines part by seconds in a day, and a picture may come a second late.
#[test]
fn a_clock_that_drifts_and_pictures_that_come_late_are_believed() {
    let minutes = 60_000_000;
    let times: Vec<u64> = (0..60).map(|index| index * 10 * minutes).collect();
    let aus = encode((320, 180), &times, &[0]);
    let claims: Vec<u64> = times.iter().map(|at_us| at_us + at_us / 2_000).collect();
    assert!(claims[59] - times[59] > 10_000_000, "seconds in the end");
    let Some(written) = record_claims(&aus, &claims) else { return };
    assert_eq!(written, claims);
    let mut times = uneven(10_000_000, 20);
    times[0] = 0;
    let aus = encode((320, 180), &times, &[0]);
    let mut claims = times.clone();
    claims[5..10].iter_mut().for_each(|at_us| *at_us -= 1_000_000);
    claims[1..5].iter_mut().for_each(|at_us| *at_us -= 1_100_000);
    let Some(written) = record_claims(&aus, &claims) else { return };
    assert_eq!(written, claims);
}

fn start(file: OutFile, format: Format) -> Recording {
    Recording::new(file, format, Arc::new(RecordingState::default())).unwrap()
}

fn hand(recording: &mut Recording, number: usize, au: &Au) {
    let picture = Picture {
        au: number as u32,
        pts_us: au.at_us as u32,
        idr: au.idr,
        sides: au.sides,
        bytes: &au.bytes,
    };
    recording.write(&picture, Instant::now());
}

#[test]
fn a_full_disk_ends_the_recording_only() {
    for format in [Format::Raw, Format::Mp4] {
        let mut recording = start(OutFile::open(Path::new("/dev/full")).unwrap(), format);
        for (number, au) in encode((320, 180), &uneven(0, 60), &[0]).iter().enumerate() {
            hand(&mut recording, number, au);
        }
        assert_eq!(recording.state.dropped(), 0, "an error is no slow disk");
        let error = recording.finish().unwrap_err();
        assert!(error.to_string().contains("/dev/full"), "{error}");
        assert!(error.to_string().contains("what was recorded before"), "{error}");
        assert_eq!(error.exit_code(), 6);
    }
}

#[test]
fn a_file_without_a_picture_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.mp4");
    fs::write(&path, "what was recorded before").unwrap();
    assert_eq!(start(OutFile::open(&path).unwrap(), Format::Mp4).finish().unwrap(), 0);
    assert_eq!(fs::read(&path).unwrap(), b"what was recorded before");
}

/// What the decoder takes and the format does not leaves the older file alone.
#[test]
fn a_file_without_an_idr_is_none_and_what_was_refused_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.mp4");
    let aus = encode((320, 180), &uneven(0, 10), &[0, 6]);
    for (taken, recorded, refused) in [(&aus[1..6], 0, 5), (&aus[1..], 4, 5)] {
        fs::write(&path, "what was recorded before").unwrap();
        let mut recording = start(OutFile::open(&path).unwrap(), Format::Mp4);
        for (number, au) in taken.iter().enumerate() {
            hand(&mut recording, number, au);
        }
        let state = Arc::clone(&recording.state);
        assert_eq!((recording.finish().unwrap(), state.refused(), state.dropped()), (recorded, refused, 0));
        let is_old = fs::read(&path).unwrap() == b"what was recorded before";
        assert_eq!(is_old, recorded == 0);
    }
}

/// Takes the first so many bytes, then none; keeps what it took.
struct Full {
    file: fs::File,
    room: usize,
}

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.room);
        self.room -= taken;
        if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { self.file.write(&bytes[..taken]) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Medium for Full {
    fn cut(&mut self, bytes: u64) {
        self.file.cut(bytes);
    }

    fn write_over(&mut self, at: u64, bytes: &[u8]) -> io::Result<bool> {
        self.file.write_over(at, bytes)
    }
}

#[test]
fn a_disk_that_fills_up_leaves_a_file_without_a_broken_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("full.mp4");
    let aus = encode((320, 180), &uneven(0, 120), &[0]);
    let room = aus.iter().map(|au| au.bytes.len()).sum::<usize>() / 2;
    let file = fs::File::create(&path).unwrap();
    let mut writer = Writer::new(move || Ok(Box::new(Full { file, room }) as Box<dyn Medium>), Format::Mp4);
    let start = Instant::now();
    let outcome = aus.iter().try_for_each(|au| {
        let now = start + Duration::from_micros(au.at_us);
        writer.write(&au.bytes, au.at_us as u32, au.sides, now).map(|_| ())
    });
    assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::StorageFull);
    let Some((packets, frames)) = probe(&path) else { return };
    assert!(frames > 20 && frames == packets.len(), "{frames}");
    assert_eq!(packets, expected(&aus)[..frames]);
}

/// A disk that breaks when it is told.
struct Broken {
    may_break: Receiver<()>,
}

impl Write for Broken {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        let _ = self.may_break.recv();
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Medium for Broken {
    fn cut(&mut self, _bytes: u64) {}

    fn write_over(&mut self, _at: u64, _bytes: &[u8]) -> io::Result<bool> {
        Ok(false)
    }
}

/// Large pictures fill the queue by their bytes, small ones by their number.
#[test]
fn a_disk_that_breaks_with_a_full_queue_is_no_slow_one_afterwards() {
    for bytes in [100, QUEUE_BYTES_MAX / 4] {
        let (leave, may_break) = channel();
        let state = Arc::new(RecordingState::default());
        let open = move || Ok(Box::new(Broken { may_break }) as Box<dyn Medium>);
        let mut recording = Recording::on(open, Format::Raw, Arc::clone(&state), "broken".into()).unwrap();
        let mut au = Au { bytes: vec![0; GATHERED_BYTES], idr: true, sides: (2, 2), at_us: 0 };
        hand(&mut recording, 0, &au);
        au.bytes = vec![0; bytes];
        for number in 0..2 * QUEUE_AUS_MAX {
            hand(&mut recording, number, &au);
        }
        let dropped = state.dropped();
        assert!(dropped > 0, "until then it is a slow one");
        drop(leave);
        while !recording.writer.is_finished() {
            std::thread::yield_now();
        }
        au.idr = false;
        for number in 0..1_000 {
            hand(&mut recording, number, &au);
        }
        assert_eq!((state.dropped(), state.poll_idr_request()), (dropped, None), "{bytes}");
        assert!(recording.finish().is_err());
    }
}

#[test]
fn few_buffers_are_kept_and_no_large_ones() {
    let folder = tempfile::tempdir().unwrap();
    let mut recording = start(OutFile::open(&folder.path().join("a.h264")).unwrap(), Format::Raw);
    let state = Arc::clone(&recording.state);
    let mut kept = Vec::new();
    for bytes in [1_000, 3 * SPARE_BYTES_MAX, SPARE_BYTES_MAX + 1, 1_000] {
        let au = Au { bytes: vec![0; bytes], idr: true, sides: (2, 2), at_us: 0 };
        for number in 0..20 {
            hand(&mut recording, number, &au);
        }
        while state.queued_bytes.load(Ordering::Relaxed) > 0 {
            std::thread::yield_now();
        }
        let spare: Vec<usize> = recording.spare.try_iter().map(|spare| spare.capacity()).collect();
        assert!(spare.len() <= SPARE_MAX && spare.iter().all(|spare| *spare <= SPARE_BYTES_MAX), "{spare:?}");
        kept.push(spare.len());
    }
    assert!(kept[0] > 0 && kept[1] == 0 && kept[2] == 0, "{kept:?}");
    assert_eq!((recording.finish().unwrap(), state.dropped()), (80, 0));
}

/// A disk that takes a byte only when it is told.
struct Slow {
    may_write: Receiver<()>,
    file: fs::File,
}

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Once nobody holds it back any more it is a fast one.
        let _ = self.may_write.recv();
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Medium for Slow {
    fn cut(&mut self, _bytes: u64) {}

    fn write_over(&mut self, _at: u64, _bytes: &[u8]) -> io::Result<bool> {
        Ok(false)
    }
}

#[test]
fn a_slow_disk_holds_nobody_up_and_the_recording_goes_on_at_an_idr_that_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slow.mp4");
    let file = fs::File::create(&path).unwrap();
    let (leave, may_write) = channel();
    let state = Arc::new(RecordingState::default());
    let open = move || Ok(Box::new(Slow { may_write, file }) as Box<dyn Medium>);
    let mut recording = Recording::on(open, Format::Mp4, Arc::clone(&state), path.clone()).unwrap();
    let aus = encode((320, 180), &uneven(0, 1_200), &[0, 1_000]);
    for (number, au) in aus[..600].iter().enumerate() {
        hand(&mut recording, number, au);
    }
    let dropped = state.dropped();
    assert!(dropped as usize >= 600 - QUEUE_AUS_MAX - 1, "{dropped}");
    drop(leave);
    // As soon as there is room, an IDR is asked for, once.
    let mut asked = Vec::new();
    for (number, au) in aus[600..].iter().enumerate() {
        while number == 300 && state.queued_bytes.load(Ordering::Relaxed) > 0 {
            std::thread::yield_now();
        }
        hand(&mut recording, 600 + number, au);
        asked.extend(state.poll_idr_request());
    }
    assert_eq!(asked.len(), 1, "{asked:?}");
    let recorded = recording.finish().unwrap();
    assert_eq!(recorded + state.dropped(), 1_200);
    let Some((packets, frames)) = probe(&path) else { return };
    assert_eq!((packets.len(), frames), (recorded as usize, recorded as usize));
    let keys: Vec<usize> =
        packets.iter().enumerate().filter(|(_, packet)| packet.1).map(|(at, _)| at).collect();
    assert_eq!(keys.len(), 2, "the first, and the one that it goes on at: {keys:?}");
}

#[test]
fn a_name_says_what_is_written() {
    for (name, format) in [
        ("a.mp4", Format::Mp4),
        ("A.MP4", Format::Mp4),
        ("a.h264", Format::Raw),
        ("a", Format::Raw),
        ("/dev/null", Format::Raw),
    ] {
        assert_eq!(Format::of(Path::new(name)).unwrap(), format, "{name}");
    }
    let error = Format::of(Path::new("a.mkv")).unwrap_err();
    assert!(error.to_string().contains(".mp4") && error.exit_code() == 64, "{error}");
}
