//! A session on the drivers' stand-ins, and pictures for it.
#![allow(dead_code)] // each test program uses its part
#![allow(clippy::unwrap_used)] // clippy's leave for tests ends at the functions that they share

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use punktfunk_codec::h264::Decoder;
use punktfunk_cuda::{Context, Cuda, DeviceBuffer, DeviceMemory, Extent, Priority, Rows, Stream};
use punktfunk_nvenc::{
    Codec, Config, Encoded, Format, InFlight, Input, Library, NvencError, PictureRequest, Rate, Session, Step,
};
use stand_in_common::Loaded;

pub const WIDTH: u32 = 320;
pub const HEIGHT: u32 = 192;

/// Longer than any slice takes.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Enough for every picture to be written whole.
pub const RICH_KBPS: u32 = 400_000;

/// The machine, but for its card.
pub struct Ground {
    pub stand_ins: Loaded,
    pub library: Library,
    pub context: Context,
    pub stream: Arc<Stream>,
}

impl Ground {
    pub fn new() -> Self {
        let stand_ins = Loaded::new(&["stand-in-cuda", "stand-in-nvenc"]);
        let library = Library::load().unwrap();
        let context = Cuda::load().unwrap().devices().unwrap()[0].context().unwrap();
        let stream = Arc::new(Stream::new(&context, Priority::Highest).unwrap());
        Self { stand_ins, library, context, stream }
    }

    pub fn open(&self, config: Config) -> Result<Session, NvencError> {
        Session::open(&self.library, &self.context, Some(Arc::clone(&self.stream)), config)
    }

    /// A picture's memory.
    pub fn picture(&self, width: u32, height: u32) -> Picture {
        let rows = Format::Nv12.rows(height);
        let memory = Arc::new(DeviceMemory::pitched(&self.context, width as usize, rows).unwrap());
        let place = Rows { offset: 0, pitch: memory.pitch() };
        let shared: Arc<dyn DeviceBuffer> = memory.clone();
        let input = Input::new(shared, place, Format::Nv12, width, height).unwrap();
        Picture { memory, input, width: width as usize, rows, bytes: vec![0; width as usize * rows] }
    }

    /// Ends, and tells of whatever was done against a contract.
    pub fn close(self) {
        let Self { stand_ins, library, context, stream } = self;
        drop((library, stream, context));
        assert_eq!(stand_ins.breaches(), 0);
    }
}

/// H.264 of a small picture.
pub fn config(bitrate_kbps: u32) -> Config {
    Config::new(Codec::H264, WIDTH, HEIGHT, Rate::per_second(60), bitrate_kbps)
}

/// A picture in device memory, and what was put there.
pub struct Picture {
    pub memory: Arc<DeviceMemory>,
    pub input: Input,
    width: usize,
    rows: usize,
    pub bytes: Vec<u8>,
}

impl Picture {
    /// Fills it with noise that only `number` makes.
    pub fn paint(&mut self, stream: &Stream, number: u64) {
        let mut state = number << 20 | 1;
        for byte in &mut self.bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (state >> 56) as u8;
        }
        let extent = Extent { width_bytes: self.width, rows: self.rows };
        let place = Rows { offset: 0, pitch: self.memory.pitch() };
        stream.write(&self.bytes, self.width, &*self.memory, place, extent).unwrap();
    }

    /// The access unit decodes to this picture, to the last bit.
    pub fn assert_decoded(&self, decoder: &mut Decoder, au: &[u8], what: &str) {
        let picture = decoder.decode(au).unwrap_or_else(|error| panic!("{what}: {error}")).expect(what);
        let picture = picture.as_i420();
        let (width, height) = (self.width, self.rows * 2 / 3);
        assert_eq!((picture.width() as usize, picture.height() as usize), (width, height), "{what}");
        for (row, expected) in self.bytes.chunks_exact(width).take(height).enumerate() {
            let at = row * picture.stride_y();
            assert_eq!(&picture.y()[at..at + width], expected, "{what}: row {row}");
        }
        for (row, expected) in self.bytes.chunks_exact(width).skip(height).enumerate() {
            let at = row * picture.stride_uv();
            let (u, v) = (&picture.u()[at..at + width / 2], &picture.v()[at..at + width / 2]);
            let both: Vec<u8> = u.iter().zip(v).flat_map(|(u, v)| [*u, *v]).collect();
            assert_eq!(both, expected, "{what}: chroma row {row}");
        }
    }
}

/// Takes all slices of a picture, each given back at once.
pub fn drain(picture: &mut InFlight<'_>) -> Result<(Vec<u8>, Encoded), NvencError> {
    let mut au = Vec::new();
    loop {
        match picture.next(PATIENCE)? {
            Step::Slice { slice, .. } => au.extend_from_slice(slice.as_ref()),
            Step::Nothing => panic!("nothing within {PATIENCE:?}"),
            Step::Lent => panic!("nothing is lent"),
            Step::Done(encoded) => return Ok((au, encoded)),
        }
    }
}

/// Encodes a picture and takes it whole.
pub fn encode(session: &mut Session, input: &Input, number: u64) -> Result<(Vec<u8>, Encoded), NvencError> {
    let mut picture = session.encode(input, &PictureRequest { number, ..PictureRequest::default() })?;
    drain(&mut picture)
}

/// Runs a test of this program in a process of its own, with other variables, where it must pass. Whether this is that.
pub fn is_apart(test: &str, variables: &[(&str, &str)]) -> bool {
    if std::env::var_os("NVENC_TEST_APART").is_some() {
        return true;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads", "1"])
        .envs(variables.iter().copied())
        .env("NVENC_TEST_APART", "1")
        .output()
        .unwrap();
    let ran = String::from_utf8_lossy(&output.stdout).contains("1 passed");
    assert!(output.status.success() && ran, "{}", String::from_utf8_lossy(&output.stderr));
    false
}
