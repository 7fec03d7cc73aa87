//! The whole way of a producer's dmabuf: through PipeWire into Vulkan on the CPU, converted, encoded, over the wire, decoded
//! by the client; and no pixel copied by the CPU on the way to the encoder.
//!
//! By openh264, which reads what Vulkan made; and by NVIDIA's encoder, whose stand-in has it through CUDA's. Wants a kernel
//! with udmabuf, a newer PipeWire and a Mesa whose lavapipe imports dmabufs: `cargo xtask vm` has all three, and lays the
//! programs where this one lies.

#![cfg(feature = "pipewire")]
#![allow(clippy::unwrap_used)] // clippy's leave for tests ends at the functions that they share

#[path = "e2e/support/importer.rs"]
mod importer;
#[allow(dead_code, reason = "its other half is for the tests of capture")]
#[path = "../../capture/tests/pipewire/session.rs"]
mod session;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use importer::ImporterCounts;
use punktfunk_capture::card::{self, CardStamp, Painter};
use punktfunk_codec::h264::Decoder;
use punktfunk_codec::{I420, annexb};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use session::Session;
use stand_in_common::library;

/// What the producer shows: the least that has room for the card's code, at a rate that an emulated machine bears.
const SHOWN: &str = "320x192@8";
const SIDES: (u32, u32) = (320, 192);

/// Pictures that have to come to the client.
const PICTURES: usize = 16;

/// Buffers that the producer has at most.
const BUFFERS_MAX: u64 = 8;

/// What a decoded sample may be away from the one that was drawn, in the mean: conversion and encoder together.
const DIFFERENCE_MAX: u64 = 4;

/// For what takes no time worth speaking of, on an emulated machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// The programs under way: they end with this.
struct Programs {
    // In this order they end.
    children: Vec<(&'static str, Child)>,
    session: Session,
}

impl Drop for Programs {
    fn drop(&mut self) {
        for (_, child) in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A program of ours, as it was built beside this one.
fn built(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.ancestors().nth(2).unwrap().join(name);
    assert!(path.exists(), "{} is missing: `cargo xtask vm` builds it", path.display());
    path
}

impl Programs {
    fn start(&mut self, name: &'static str, program: &Path, args: &[&str], env: &[(&str, String)]) {
        let (dir, around) = (self.session.dir(), self.session.surroundings());
        let file = |kind: &str| File::create(dir.join(format!("{name}.{kind}"))).unwrap();
        let child = Command::new(program)
            .args(args)
            .env("XDG_RUNTIME_DIR", dir)
            .env("HOME", dir)
            .env("DBUS_SESSION_BUS_ADDRESS", around.bus.unwrap())
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(file("out"))
            .stderr(file("log"))
            .spawn()
            .unwrap();
        self.children.push((name, child));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.session.dir().join(name)
    }

    /// Looks until `seen` gives something, and all programs run.
    fn look<T>(&mut self, what: &str, mut seen: impl FnMut(&Self) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = seen(self) {
                return found;
            }
            let ended: Vec<_> = self
                .children
                .iter_mut()
                .filter_map(|(name, child)| Some((*name, child.try_wait().unwrap()?)))
                .collect();
            let is_fine = ended.is_empty() && began.elapsed() < PATIENCE;
            assert!(is_fine, "{what}: not within {:?}; {ended:?}\n{}", began.elapsed(), self.session.logs());
            std::thread::sleep(LOOK_INTERVAL);
        }
    }

    /// Waits for a program's end in order.
    fn wait(&mut self, wanted: &str) {
        let at = self.children.iter().position(|(name, _)| *name == wanted).unwrap();
        let (name, mut child) = self.children.remove(at);
        let status = ended(&mut child);
        assert!(status.is_some_and(|status| status.success()), "{name}: {status:?}\n{}", self.session.logs());
    }
}

fn ended(child: &mut Child) -> Option<ExitStatus> {
    let began = Instant::now();
    // Some end with what they read.
    drop(child.stdin.take());
    while began.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
    let _ = child.kill();
    None
}

/// What came of a session.
struct Streamed {
    summary: Value,
    host_log: String,
    recording: Vec<u8>,
    snapshot: PathBuf,
    // It holds the files.
    _programs: Programs,
}

/// Streams what the producer shows until there are enough pictures at the client.
fn stream(encoder: &str, env: &[(&str, String)]) -> Streamed {
    let mut programs = Programs { children: Vec::new(), session: Session::start() };
    let path = |programs: &Programs, name: &str| programs.path(name).display().to_string();
    let socket = path(&programs, "pipewire-0");
    programs.start("producer", &built("examples/card-in-dmabufs"), &[&socket, "card", SHOWN], &[]);

    let (identity, port) = (path(&programs, "host-identity"), path(&programs, "port"));
    let serve = [
        "serve",
        "--open",
        "--listen",
        "127.0.0.1:0",
        "--manage",
        "off",
        "--no-announce",
        "--json",
        "--once",
    ];
    let chosen = ["--source", "pipewire:card", "--import", "gpu", "--encoder", encoder];
    let places = ["--identity", &identity, "--port-file", &port];
    programs.start("host", &built("punktfunk-host"), &[&serve[..], &chosen, &places].concat(), env);
    let port =
        programs.look("the host's port", |_| fs::read_to_string(&port).ok()?.trim().parse::<u16>().ok());

    let (identity, address) = (path(&programs, "client-identity"), format!("127.0.0.1:{port}"));
    let (recording, snapshot) = (programs.path("card.h264"), programs.path("card.png"));
    let connect = ["connect", &address, "--open", "--json", "--mode", SHOWN, "--bitrate", "20000"];
    let places = ["--identity", &identity, "--record", recording.to_str().unwrap()];
    let snapshots = ["--snapshot", snapshot.to_str().unwrap()];
    programs.start("client", &built("punktfunk"), &[&connect[..], &places, &snapshots].concat(), &[]);
    let count = |_: &Programs| annexb::access_units(&fs::read(&recording).unwrap_or_default()).count();
    programs.look("pictures at the client", |programs| (count(programs) > PICTURES).then_some(()));

    let client = programs.children.iter().find(|(name, _)| *name == "client").unwrap();
    kill_process(Pid::from_child(&client.1), Signal::INT).unwrap();
    for name in ["client", "host", "producer"] {
        programs.wait(name);
    }
    let said = fs::read_to_string(programs.path("client.out")).unwrap();
    Streamed {
        summary: serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}")),
        host_log: fs::read_to_string(programs.path("host.log")).unwrap(),
        recording: fs::read(&recording).unwrap(),
        snapshot,
        _programs: programs,
    }
}

/// Sees to it that what came is what was shown, and how it came.
fn check(encoder: &str, streamed: &Streamed) -> u64 {
    let Streamed { summary, host_log, .. } = streamed;
    let of = |pointer: &str| {
        summary.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("{pointer} in {summary:#}"))
    };
    let numbers = check_pictures(&streamed.recording);
    assert_eq!(numbers.len() as u64, of("/pictures/decoded"), "{summary:#}");
    let kept = read_snapshot(&streamed.snapshot);
    assert!(numbers.contains(&kept.number), "the client kept {kept:?} of {numbers:?}");

    assert_eq!(summary["falls"].as_array().map(Vec::len), Some(0), "{summary:#}\n{host_log}");
    // A GPU read the producer's memory where it lay.
    assert_eq!((of("/copied_by_cpu/capture"), of("/copied_by_cpu/import")), (0, 0), "{summary:#}");
    let counts = ImporterCounts::of(host_log);
    let [conversions, imports, hits] =
        ["conversions", "imports", "cache_hits"].map(|name| counts.count(name));
    eprintln!(
        "{encoder}: {} pictures decoded of {conversions}, {imports} buffers imported, {hits} times found",
        numbers.len()
    );
    assert!((1..=BUFFERS_MAX).contains(&imports) && imports + hits == conversions, "{host_log}");
    assert!(conversions >= numbers.len() as u64, "{host_log}");
    for name in ["evictions", "uploads", "bytes_copied", "unguarded_acquires"] {
        assert_eq!(counts.count(name), 0, "{name}: {host_log}");
    }
    // It waits until a picture is there, and for nothing else.
    let [acquire, _hand_over, full] = counts.waits();
    assert_eq!((acquire, full), (0, 0), "{host_log}");
    of("/copied_by_cpu/slices")
}

/// Decodes a recording; the numbers of its pictures. Each is the card as it was drawn, in luma and in chroma.
fn check_pictures(recording: &[u8]) -> Vec<u64> {
    let (mut decoder, mut painter) = (Decoder::new().unwrap(), Painter::new(SHOWN.parse().unwrap()).unwrap());
    let mut numbers = Vec::new();
    for au in annexb::access_units(recording) {
        let decoded = decoder.decode(au).unwrap().expect("a picture each");
        let picture = decoded.as_i420();
        let (width, height) = SIDES;
        assert_eq!((picture.width(), picture.height()), SIDES);
        let stamp = card::read(picture.y(), picture.stride_y(), width, height).expect("it is a card");
        assert!(numbers.last() < Some(&stamp.number), "{stamp:?} after {numbers:?}");
        let drawn = I420::contiguous(width, height, width as usize, painter.paint(stamp)).unwrap();
        let differences = [
            difference((picture.y(), picture.stride_y()), (drawn.y(), drawn.stride_y()), width),
            difference((picture.u(), picture.stride_uv()), (drawn.u(), drawn.stride_uv()), width / 2),
            difference((picture.v(), picture.stride_uv()), (drawn.v(), drawn.stride_uv()), width / 2),
        ];
        assert!(differences.iter().all(|mean| *mean <= DIFFERENCE_MAX), "{stamp:?}: {differences:?}");
        numbers.push(stamp.number);
    }
    assert!(numbers.len() >= PICTURES, "{numbers:?}");
    numbers
}

/// How far the samples of two planes are apart in the mean.
fn difference(one: (&[u8], usize), other: (&[u8], usize), width: u32) -> u64 {
    let rows = one.0.chunks(one.1).zip(other.0.chunks(other.1));
    let (mut sum, mut samples) = (0_u64, 0);
    for (one, other) in rows {
        let width = (width as usize).min(one.len()).min(other.len());
        sum += one[..width]
            .iter()
            .zip(&other[..width])
            .map(|(one, other)| u64::from(one.abs_diff(*other)))
            .sum::<u64>();
        samples += width as u64;
    }
    sum / samples
}

/// The card's code in the picture that the client kept.
fn read_snapshot(path: &Path) -> CardStamp {
    let mut reader =
        png::Decoder::new(std::io::BufReader::new(File::open(path).unwrap())).read_info().unwrap();
    let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
    let picture = reader.next_frame(&mut rgb).unwrap();
    assert_eq!((picture.width, picture.height), SIDES);
    // The code is light and dark, which green alone tells.
    let green: Vec<u8> = rgb.chunks_exact(3).map(|pixel| pixel[1]).collect();
    card::read(&green, SIDES.0 as usize, SIDES.0, SIDES.1).expect("it is a card")
}

/// lavapipe alone, and the host told to say what its importer counted.
fn by_lavapipe() -> Vec<(&'static str, String)> {
    let manifests = fs::read_dir("/usr/share/vulkan/icd.d").into_iter().flatten().flatten();
    let is_it =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("lvp_icd"));
    let manifest = manifests.map(|entry| entry.path()).find(is_it).expect("lavapipe is installed");
    let manifest = manifest.display().to_string();
    vec![
        ("VK_DRIVER_FILES", manifest.clone()),
        ("VK_ICD_FILENAMES", manifest),
        ("PUNKTFUNK_LOG", importer::LOG.to_owned()),
    ]
}

#[test]
#[ignore = "wants udmabuf and a newer PipeWire and Mesa: cargo xtask vm"]
fn a_producers_dmabuf_comes_to_the_client_by_openh264() {
    let streamed = stream("openh264", &by_lavapipe());
    check("openh264", &streamed);
    assert!(streamed.summary["encoder"].as_str().unwrap().contains("llvmpipe"), "{:#}", streamed.summary);
}

#[test]
#[ignore = "wants udmabuf and a newer PipeWire and Mesa: cargo xtask vm"]
fn a_producers_dmabuf_comes_to_the_client_by_nvenc() {
    let folder = tempfile::tempdir().unwrap();
    let libraries = folder.path().join("nvidia");
    for (name, package) in [("libcuda.so.1", "stand-in-cuda"), ("libnvidia-encode.so.1", "stand-in-nvenc")] {
        stand_in_common::lay(&libraries, name, &library(package)).unwrap();
    }
    let devices = punktfunk_gpu::Device::all().unwrap();
    let uuid = devices.iter().find(|device| device.is_software).expect("lavapipe is there").uuid;
    let mut env = by_lavapipe();
    env.extend([
        ("LD_LIBRARY_PATH", libraries.display().to_string()),
        ("PUNKTFUNK_STANDIN_UUID", uuid.to_string()),
        ("PUNKTFUNK_STANDIN_STRICT", "1".to_owned()),
    ]);
    let streamed = stream("nvenc", &env);
    let slices_copied = check("nvenc", &streamed);
    assert_eq!(slices_copied, 0, "the bitstream lies where the driver wrote it: {:#}", streamed.summary);
    assert!(streamed.summary["encoder"].as_str().unwrap().contains("NVENC"), "{:#}", streamed.summary);
}
