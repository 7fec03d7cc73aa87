//! Every bound of this crate, each with its reason.

/// The shortest side of a mode in pixels: one H.264 macroblock.
pub const SIDE_MIN: u32 = 16;

/// The longest side of a mode in pixels: what compositors and GPUs allow a texture to be.
pub const SIDE_MAX: u32 = 16_384;

/// The least refresh in millihertz: a picture a second.
pub const REFRESH_MHZ_MIN: u32 = 1_000;

/// The highest refresh in millihertz: 480 Hz, the fastest displays sold.
pub const REFRESH_MHZ_MAX: u32 = 480_000;

/// How long the first picture of a screen may take before the cause is named: a real desktop's first one
/// may take a second, and ten are what somebody waits at a black screen.
pub const FIRST_PICTURE_DEADLINE: std::time::Duration = std::time::Duration::from_secs(10);

/// Copies that the compositor is asked for at once: one that it fills at its next refresh, and one for the
/// refresh after it, so that none is missed while the consumer is busy for one interval.
pub const SCREEN_COPIES_IN_FLIGHT: usize = 2;

/// Shared buffers for a screen's pictures.
pub const SCREEN_BUFFERS: usize = SCREEN_COPIES_IN_FLIGHT // the compositor writes to these
    + 1 // the newest picture, waiting to be taken
    + 1; // the one that is lent out

/// Copies in a row that may fail in mid-stream: a second or more, where a mode change fails one or two.
pub const SCREEN_FAILURES_MAX: u32 = 60;

/// From a failed copy to the next attempt, so that a compositor that fails at once is not kept busy.
pub const SCREEN_RETRY_INTERVAL: std::time::Duration = std::time::Duration::from_millis(16);

/// A compositor that has said nothing for this long is asked whether it is there: a still screen says nothing for hours.
pub const SCREEN_QUIET: std::time::Duration = std::time::Duration::from_secs(1);

/// How long it may take to answer: a change of several monitors' modes holds one up for two or three seconds.
pub const SCREEN_ANSWER_DEADLINE: std::time::Duration = std::time::Duration::from_secs(5);

/// A presentation time that is further away than this is not on our clock; the time of arrival is taken
/// instead.
pub const SCREEN_STAMP_AGE_MAX: std::time::Duration = std::time::Duration::from_secs(1);

/// Buffers that a PipeWire producer is asked for, so that it never waits for one while we read another.
pub const STREAM_BUFFERS: u32 = 4;

/// Dmabufs that a producer is asked for.
pub const STREAM_DMABUFS: u32 = 1 // the one that is written
    + 1 // one more, which its GPU may still be drawing
    + 1 // the newest picture, waiting to be taken
    + 1 // the one that is lent out, and read by a GPU until it is given back
    + 1; // the one that is on its way home

/// Planes of a dmabuf: what DRM and Vulkan have.
pub const DMABUF_PLANES_MAX: usize = 4;

/// The longest row of a dmabuf in bytes: the longest side at 8 bytes a pixel, tiled eight times as high as a row.
pub const DMABUF_STRIDE_MAX: u32 = SIDE_MAX * 8 * 8;

/// Modifiers of one format that a producer is offered: drivers know a few dozen.
pub const DMABUF_MODIFIERS_MAX: usize = 64;

/// Pictures in memory of our own, into which a producer's are copied.
pub const STREAM_PICTURES: usize = 1 // the one that is copied, or drawn with a cursor
    + 1 // the newest without its cursor, where that comes beside it
    + 1 // the newest picture, waiting to be taken
    + 1; // the one that is lent out

/// Regions of damage that a producer is asked to make room for. One says that there is some; with too little room
/// some producers call the whole picture damaged.
pub const STREAM_DAMAGE_REGIONS: usize = 16;

/// More than this are of no use: only the first one is looked at.
pub const STREAM_DAMAGE_REGIONS_MAX: usize = 64;

/// Fewer than this are refused: one that is written, and one that is read.
pub const STREAM_BUFFERS_MIN: u32 = 2;

/// More than this are of no use: a quarter of a second at 60 Hz.
pub const STREAM_BUFFERS_MAX: u32 = 16;

/// The longest side of a cursor's bitmap in pixels: the largest that display hardware has.
pub const STREAM_CURSOR_SIDE_MAX: u32 = 256;

/// Buffers in a row that may contradict themselves before the stream is ended: a quarter of a second at 60 Hz.
pub const STREAM_SPOILED_MAX: u32 = 15;

/// From one question to PipeWire, whether it is alive, to the next.
pub const STREAM_SYNC_INTERVAL: std::time::Duration = std::time::Duration::from_millis(400);

/// What PipeWire may take to answer: the interval and this are below the two seconds within which an end is
/// named.
pub const STREAM_ANSWER_DEADLINE: std::time::Duration = std::time::Duration::from_millis(1200);

/// From another format in mid-stream to a picture of it: it takes 30 ms, and an end is named within two seconds.
pub const STREAM_CHANGE_DEADLINE: std::time::Duration = std::time::Duration::from_millis(1500);

/// How long the cause of an end is waited for, once one of its consequences was told.
pub const STREAM_CAUSE_WAIT: std::time::Duration = std::time::Duration::from_millis(100);

/// Bytes of a portal's restore token: real ones have 36.
pub const TOKEN_BYTES_MAX: usize = 1024;

/// Offers of a node that are told where none is taken: a screen has a few, a camera one for each of its sizes.
pub const STREAM_OFFERS_MAX: u32 = 16;

/// Formats that are told of one offer: as many as somebody reads.
pub const STREAM_OFFER_FORMATS_MAX: usize = 8;

/// Nodes that are named where one is not found: as many as somebody reads.
pub const STREAM_NODES_TOLD_MAX: usize = 24;

const _: () = assert!(STREAM_BUFFERS_MIN <= STREAM_BUFFERS && STREAM_BUFFERS <= STREAM_BUFFERS_MAX);
const _: () = assert!(STREAM_BUFFERS <= STREAM_DMABUFS && STREAM_DMABUFS <= STREAM_BUFFERS_MAX);

/// Bytes of a Y4M file's first line: real ones have less than a hundred.
pub const Y4M_HEADER_BYTES_MAX: usize = 1024;

/// Bytes of the line before each picture of a Y4M file: nearly always the word FRAME alone.
pub const Y4M_FRAME_LINE_BYTES_MAX: usize = 256;

/// Pictures of a Y4M file, whose places are kept in memory: nearly five hours at 60 Hz, 8 MB of places.
pub const Y4M_PICTURES_MAX: usize = 1 << 20;
