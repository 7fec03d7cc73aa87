//! Stand-ins for CUDA and NVENC, and pictures on them.
#![allow(dead_code)] // each test program uses its part
#![allow(clippy::unwrap_used)] // clippy's leave for tests ends at the functions that they share

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use punktfunk_codec::h264::Decoder;
use punktfunk_cuda::{Context, Cuda, DeviceMemory, Extent, Priority, Rows, Stream};
use punktfunk_nvenc::{
    Codec, Config, Encoded, Format, InFlight, Input, Library, NvencError, PictureRequest, Rate, Session, Step,
};
use stand_in_common::Loaded;

pub const PATIENCE: Duration = Duration::from_secs(5);

/// The drivers, and what they are used with.
pub struct Ground {
    pub loaded: Loaded,
    pub library: Library,
    pub context: Context,
    pub stream: Arc<Stream>,
}

impl Ground {
    pub fn new() -> Ground {
        let loaded = Loaded::new(&["stand-in-cuda", "stand-in-nvenc"]);
        let library = Library::load().unwrap();
        let context = Cuda::load().unwrap().devices().unwrap()[0].context().unwrap();
        let stream = Arc::new(Stream::new(&context, Priority::Highest).unwrap());
        Ground { loaded, library, context, stream }
    }

    pub fn open(&self, config: Config) -> Result<Session, NvencError> {
        Session::open(&self.library, &self.context, Some(Arc::clone(&self.stream)), config)
    }

    /// A picture of one grey, queued on the stream.
    pub fn grey(&self, picture: &Pictures, shade: u8) {
        let rows = Rows { offset: 0, pitch: picture.memory.pitch() };
        let extent = Extent {
            width_bytes: picture.format.row_bytes(picture.width),
            rows: picture.format.rows(picture.height),
        };
        self.stream.fill(&*picture.memory, rows, extent, shade).unwrap();
    }

    /// Noise that only `number` makes, in NV12: it shows each sample that is not the right one.
    pub fn noise(&self, picture: &Pictures, number: u64) -> Noise {
        let (width, rows) = (picture.width as usize, Format::Nv12.rows(picture.height));
        let mut state = number << 20 | 1;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        let bytes: Vec<u8> = (0..width * rows).map(|_| next()).collect();
        let place = Rows { offset: 0, pitch: picture.memory.pitch() };
        let extent = Extent { width_bytes: width, rows };
        self.stream.write(&bytes, width, &*picture.memory, place, extent).unwrap();
        Noise { width, bytes }
    }

    /// Ends, and tells of whatever was done against a contract.
    pub fn close(self) {
        let Ground { loaded, library, context, stream } = self;
        drop((library, stream, context));
        assert_eq!(loaded.breaches(), 0);
    }

    pub fn pictures(&self, format: Format, width: u32, height: u32) -> Pictures {
        let memory =
            DeviceMemory::pitched(&self.context, format.row_bytes(width), format.rows(height)).unwrap();
        Pictures { memory: Arc::new(memory), format, width, height }
    }
}

/// Memory for one picture.
pub struct Pictures {
    pub memory: Arc<DeviceMemory>,
    pub format: Format,
    pub width: u32,
    pub height: u32,
}

impl Pictures {
    pub fn input(&self) -> Input {
        let rows = Rows { offset: 0, pitch: self.memory.pitch() };
        let memory: Arc<DeviceMemory> = Arc::clone(&self.memory);
        Input::new(memory, rows, self.format, self.width, self.height).unwrap()
    }
}

/// What a picture's memory was filled with.
#[derive(Debug)]
pub struct Noise {
    width: usize,
    bytes: Vec<u8>,
}

impl Noise {
    /// The access unit decodes to this, to the last bit.
    pub fn assert_decoded(&self, decoder: &mut Decoder, au: &[u8], what: &str) {
        let picture = decoder.decode(au).unwrap_or_else(|error| panic!("{what}: {error}")).expect(what);
        let picture = picture.as_i420();
        let (width, height) = (self.width, self.bytes.len() / self.width * 2 / 3);
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

/// A mode whose budget lets every picture be exact; of what is no picture at all, less.
pub fn config(codec: Codec) -> Config {
    let kbps = if codec == Codec::H264 { 200_000 } else { 20_000 };
    Config::new(codec, 320, 192, Rate::per_second(60), kbps)
}

/// An access unit, and of how many parts.
#[derive(Debug)]
pub struct AccessUnit {
    pub encoded: Encoded,
    pub bytes: Vec<u8>,
    pub parts: u32,
}

/// Encodes one picture to its end.
pub fn encode(
    session: &mut Session,
    input: &Input,
    request: &PictureRequest,
) -> Result<AccessUnit, NvencError> {
    drain(&mut session.encode(input, request)?)
}

/// Takes a picture to its end, each slice given back at once.
pub fn drain(picture: &mut InFlight<'_>) -> Result<AccessUnit, NvencError> {
    let (mut bytes, mut parts, mut ended) = (Vec::new(), 0, false);
    loop {
        match picture.next(PATIENCE)? {
            Step::Slice { slice, is_last } => {
                assert!(!ended, "a slice behind the last");
                ended = is_last;
                bytes.extend_from_slice(slice.as_ref());
                parts += 1;
            }
            Step::Done(encoded) => {
                assert!(ended && encoded.bytes as usize == bytes.len());
                return Ok(AccessUnit { encoded, bytes, parts });
            }
            Step::Nothing | Step::Lent => panic!("nothing in {PATIENCE:?}"),
        }
    }
}

pub fn request(number: u64) -> PictureRequest {
    PictureRequest { number, ..PictureRequest::default() }
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
