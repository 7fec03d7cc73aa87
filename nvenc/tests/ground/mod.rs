//! Stand-ins for CUDA and NVENC, and pictures on them.
#![allow(dead_code)] // each test program uses its part
#![allow(clippy::unwrap_used)] // clippy's leave for tests ends at the functions that they share

use std::sync::Arc;
use std::time::Duration;

use punktfunk_cuda::{Context, Cuda, DeviceMemory, Extent, Priority, Rows, Stream};
use punktfunk_nvenc::{
    Codec, Config, Encoded, Format, Input, Library, NvencError, PictureRequest, Rate, Session, Step,
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
    let mut picture = session.encode(input, request)?;
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
