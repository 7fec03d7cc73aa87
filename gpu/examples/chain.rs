//! Measures the GPU's way on this machine, size by size and format by format, and says link by link what it could not.
//!
//! `cargo run --release -p punktfunk-gpu --example chain -- [--device NAME | --software] [--pictures N] [--leak N] [--check]
//! [--json]`. Promises: each line's figures are of this run; `--check` compares every size's first picture with the oracle.
//! Refuses: to call what was not measured fast.

#![allow(clippy::print_stdout, reason = "a program's words to a person")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use punktfunk_cuda::{Context, Cuda, Event, Priority, Stream};
use punktfunk_gpu::format::{self, Colour, Fourcc, OutputFormat};
use punktfunk_gpu::producer::Produced;
use punktfunk_gpu::reference::{self, Source};
use punktfunk_gpu::{
    Choice, CudaOutputs, Device, Dmabuf, Done, GpuError, Handover, Importer, Input, Memory, OutputSpec,
    Ticket,
};
use serde_json::{Value, json};

const SIZES: [(&str, u32, u32); 3] = [("1080p", 1920, 1080), ("4K", 3840, 2160), ("5K", 5120, 2880)];
const FORMATS: [(OutputFormat, &str); 3] =
    [(OutputFormat::Nv12, "NV12"), (OutputFormat::P010, "P010"), (OutputFormat::Yuv444, "YUV444")];

/// What was asked for.
struct Asked {
    choice: Choice,
    pictures: usize,
    leak: usize,
    check: bool,
    json: bool,
}

fn main() -> ExitCode {
    let asked = match parse(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(word) => {
            eprintln!("chain takes no {word:?}: see the first lines of its source");
            return ExitCode::from(2);
        }
    };
    match measure(&asked) {
        Ok(found) => {
            if asked.json {
                println!("{found:#}");
            }
            if found["wrong"] == json!(0) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut asked =
        Asked { choice: Choice::Automatic, pictures: 100, leak: 10_000, check: false, json: false };
    let number = |word: Option<String>| {
        let word = word.unwrap_or_default();
        word.parse::<usize>().map_err(|_| word)
    };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--device" => asked.choice = Choice::Name(words.next().ok_or(word)?),
            "--software" => asked.choice = Choice::Software,
            "--pictures" => asked.pictures = number(words.next())?.max(1),
            "--leak" => asked.leak = number(words.next())?,
            "--check" => asked.check = true,
            "--json" => asked.json = true,
            _ => return Err(word),
        }
    }
    Ok(asked)
}

fn measure(asked: &Asked) -> Result<Value, GpuError> {
    let device = Device::open(&asked.choice)?;
    let caps = device.caps();
    let mut notes = Vec::new();
    if !caps.imports_dmabufs {
        notes.push("import: not run: the driver imports no dmabufs; pictures are uploaded".to_owned());
    }
    let cuda = cuda(&device);
    if let Err(why) = &cuda {
        notes.push(format!("hand-over to CUDA: not run: {why}"));
    }
    let cuda = cuda.ok();
    if !asked.json {
        println!("{}\n{caps:?}", device.description());
        println!(
            "{:<6} {:<7} {:>10} {:>10} {:>11} {:>11} {:>13} {:>6} {:>6}",
            "size",
            "format",
            "GPU p50 ms",
            "p99 ms",
            "import µs",
            "cached µs",
            "hand-over µs",
            "waits",
            "check"
        );
    }
    let (mut rows, mut wrong) = (Vec::new(), 0);
    for (name, width, height) in SIZES {
        let (fourcc, order) = (Fourcc::XRGB8888, format::Order::Bgr8);
        let words: Vec<u32> = (0..width * height).map(|at| at.wrapping_mul(0x9e37_79b1) >> 3).collect();
        let picture = Picture::new(&device, fourcc, (width, height), &words)?;
        for (format, format_name) in FORMATS {
            let spec = OutputSpec { width, height, format, colour: Colour::BT709, buffers: 3 };
            let source = Source { order, width, height, words: &words, overlay: None };
            let checked = if asked.check { Some(check(&device, spec, &picture, &source)?) } else { None };
            wrong += u32::from(checked.is_some_and(|difference| difference > 1));
            let row = row(&device, spec, &picture, cuda.as_ref(), asked.pictures)?;
            if !asked.json {
                println!("{name:<6} {format_name:<7} {}", row.text(checked));
            }
            rows.push(row.json(name, format_name, checked));
        }
    }
    let leak = if asked.leak > 0 { leak(&device, cuda.as_ref(), asked.leak)? } else { Value::Null };
    if !asked.json {
        println!("leak: {leak}");
        notes.iter().for_each(|note| println!("{note}"));
    }
    let (description, caps) = (device.description().to_string(), format!("{caps:?}"));
    Ok(
        json!({ "device": description, "caps": caps, "rows": rows, "leak": leak, "notes": notes, "wrong": wrong }),
    )
}

/// CUDA on the same GPU.
fn cuda(device: &Device) -> Result<(Context, Stream), String> {
    let cuda = Cuda::load().map_err(|error| error.to_string())?;
    let found =
        cuda.device_by_uuid(punktfunk_cuda::Uuid(device.uuid().0)).map_err(|error| error.to_string())?;
    let found = found.ok_or_else(|| format!("CUDA has no device {}", device.uuid()))?;
    let context = found.context().map_err(|error| error.to_string())?;
    let stream = Stream::new(&context, Priority::Highest).map_err(|error| error.to_string())?;
    Ok((context, stream))
}

/// A source: a dmabuf of the device's own where it imports them, else memory.
struct Picture {
    fourcc: Fourcc,
    width: u32,
    height: u32,
    bytes: Vec<u8>,
    produced: Option<Produced>,
}

impl Picture {
    fn new(device: &Device, fourcc: Fourcc, size: (u32, u32), words: &[u32]) -> Result<Self, GpuError> {
        let modifiers = device.import_formats().into_iter().find(|(known, _)| *known == fourcc.0);
        let produced = match modifiers {
            Some((_, modifiers)) => Some(Produced::new(device, fourcc, &modifiers, size, words)?),
            None => None,
        };
        let bytes = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        Ok(Self { fourcc, width: size.0, height: size.1, bytes, produced })
    }

    /// Converts it as the producer's buffer of this number.
    fn convert(&self, importer: &mut Importer, buffer: u64) -> Result<Ticket, GpuError> {
        let (fourcc, width, height) = (self.fourcc, self.width, self.height);
        match &self.produced {
            Some(produced) => {
                let planes = produced.planes();
                let (planes, modifier) = (&planes[..], produced.modifier());
                let (acquire, release, overlay) = (None, None, None);
                let dmabuf =
                    Dmabuf { buffer, fourcc, modifier, width, height, planes, acquire, release, overlay };
                importer.convert(&Input::Dmabuf(dmabuf))
            }
            None => {
                let (stride, bytes) = (width as usize * 4, &self.bytes[..]);
                let memory = Memory { fourcc, width, height, stride, bytes, pages: None, overlay: None };
                importer.convert(&Input::Memory(memory))
            }
        }
    }
}

/// How far the device's picture is from the oracle's.
fn check(device: &Device, spec: OutputSpec, picture: &Picture, source: &Source<'_>) -> Result<u32, GpuError> {
    let mut importer = Importer::new(device, spec, Handover::Mapped)?;
    let ticket = picture.convert(&mut importer, 1)?;
    importer.wait(ticket)?;
    let expected = reference::convert(source, &spec, spec.place(source.width, source.height)?);
    Ok(reference::difference(&spec, importer.mapped(ticket)?, &expected))
}

/// One size's and format's figures.
struct Row {
    gpu: Vec<Duration>,
    import: Option<Duration>,
    cached: Vec<Duration>,
    hand_over: Vec<Duration>,
    waits: u64,
    copied: u64,
}

fn quantile(sorted: &[Duration], part: f64) -> Option<Duration> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last as f64 * part).round() as usize).copied()
}

fn words_of(time: Option<Duration>, unit_ns: f64) -> String {
    time.map_or_else(|| "–".to_owned(), |time| format!("{:.3}", time.as_nanos() as f64 / unit_ns))
}

impl Row {
    fn text(&self, checked: Option<u32>) -> String {
        format!(
            "{:>10} {:>10} {:>11} {:>11} {:>13} {:>6} {:>6}",
            words_of(quantile(&self.gpu, 0.5), 1e6),
            words_of(quantile(&self.gpu, 0.99), 1e6),
            words_of(self.import, 1e3),
            words_of(quantile(&self.cached, 0.5), 1e3),
            words_of(quantile(&self.hand_over, 0.5), 1e3),
            self.waits,
            checked.map_or_else(|| "–".to_owned(), |difference| format!("±{difference}")),
        )
    }

    fn json(&self, size: &str, format: &str, checked: Option<u32>) -> Value {
        let us = |time: Option<Duration>| time.map(|time| time.as_nanos() as f64 / 1e3);
        json!({
            "size": size, "format": format,
            "gpu_p50_us": us(quantile(&self.gpu, 0.5)), "gpu_p99_us": us(quantile(&self.gpu, 0.99)),
            "import_us": us(self.import), "cached_p50_us": us(quantile(&self.cached, 0.5)),
            "hand_over_p50_us": us(quantile(&self.hand_over, 0.5)),
            "host_waits": self.waits, "bytes_copied_by_cpu": self.copied, "difference_max": checked,
        })
    }
}

fn row(
    device: &Device,
    spec: OutputSpec,
    picture: &Picture,
    cuda: Option<&(Context, Stream)>,
    pictures: usize,
) -> Result<Row, GpuError> {
    let mut importer = Importer::new(device, spec, Handover::Exported)?;
    let outputs = cuda.map(|(context, _)| importer.cuda(context)).transpose()?;
    let (mut gpu, mut cached, mut hand_over) = (Vec::new(), Vec::new(), Vec::new());
    // The first picture makes the shader; what an import takes is measured by a buffer that comes later.
    let first = picture.convert(&mut importer, 1)?;
    pass_on(&mut importer, first, outputs.as_ref().zip(cuda), None)?;
    let began = Instant::now();
    let ticket = picture.convert(&mut importer, 2)?;
    let import = picture.produced.is_some().then(|| began.elapsed());
    pass_on(&mut importer, ticket, outputs.as_ref().zip(cuda), None)?;
    let waits_before = importer.counters().host_waits();
    for _ in 0..pictures {
        let began = Instant::now();
        let ticket = picture.convert(&mut importer, 2)?;
        if picture.produced.is_some() {
            cached.push(began.elapsed());
        }
        let passed = pass_on(&mut importer, ticket, outputs.as_ref().zip(cuda), Some(began))?;
        gpu.extend(importer.gpu_time(ticket));
        hand_over.extend(passed.zip(gpu.last()).map(|(whole, gpu)| whole.saturating_sub(*gpu)));
    }
    let counters = importer.counters();
    [&mut gpu, &mut cached, &mut hand_over].into_iter().for_each(|times| times.sort());
    let waits = if outputs.is_some() { counters.host_waits() - waits_before } else { 0 };
    Ok(Row { gpu, import, cached, hand_over, waits, copied: counters.bytes_copied })
}

/// Hands a picture to CUDA, and waits here, as no stage does, until it is there: how long that took since `began`.
fn pass_on(
    importer: &mut Importer,
    ticket: Ticket,
    reader: Option<(&CudaOutputs, &(Context, Stream))>,
    began: Option<Instant>,
) -> Result<Option<Duration>, GpuError> {
    let Some((outputs, (context, stream))) = reader else {
        importer.wait(ticket)?;
        importer.release(ticket, Done::Now)?;
        return Ok(None);
    };
    outputs.wait(importer, ticket, stream)?;
    let there = Event::new(context)?;
    there.record(stream)?;
    outputs.release(importer, ticket, stream)?;
    there.wait()?;
    Ok(began.map(|began| began.elapsed()))
}

/// What is left after many pictures: descriptors and resident kilobytes more than after the first hundred.
fn leak(device: &Device, cuda: Option<&(Context, Stream)>, pictures: usize) -> Result<Value, GpuError> {
    let (fourcc, width, height) = (Fourcc::XRGB8888, 256, 128);
    let words = vec![0x0012_3456; (width * height) as usize];
    let picture = Picture::new(device, fourcc, (width, height), &words)?;
    let spec = OutputSpec { width, height, format: OutputFormat::Nv12, colour: Colour::BT709, buffers: 3 };
    let mut importer = Importer::new(device, spec, Handover::Exported)?;
    let outputs = cuda.map(|(context, _)| importer.cuda(context)).transpose()?;
    let mut before = (0, 0);
    for number in 0..pictures {
        if number == pictures.min(100) - 1 {
            before = held();
        }
        // Every hundredth buffer is a new one: imports and evictions are among them.
        let ticket = picture.convert(&mut importer, (number / 100) as u64)?;
        pass_on(&mut importer, ticket, outputs.as_ref().zip(cuda), None)?;
    }
    let after = held();
    Ok(json!({
        "pictures": pictures, "imports": importer.counters().imports, "evictions": importer.counters().evictions,
        "descriptors": after.0 - before.0, "resident_kib": after.1 - before.1,
    }))
}

/// Open descriptors, and resident kilobytes.
fn held() -> (i64, i64) {
    let descriptors = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
    (i64::try_from(descriptors).unwrap_or(i64::MAX), resident.unwrap_or(0))
}
