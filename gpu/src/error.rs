//! What can go wrong on the GPU's way, which link of it that is, and what helps.

use std::io;

use ash::vk;

use crate::device::Uuid;
use crate::format::Fourcc;

/// A link of the way from a producer's buffer to the encoder's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Link {
    /// The GPU's driver and what it offers.
    Device,
    /// The producer's buffer as an image.
    Import,
    /// The producer's word that its drawing is done.
    Acquire,
    /// Colours and sides.
    Convert,
    /// Memory that another interface can read.
    Export,
    /// The reader's turn, and its word that it is done.
    HandOver,
}

impl std::fmt::Display for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Link::Device => "device",
            Link::Import => "import",
            Link::Acquire => "acquire",
            Link::Convert => "convert",
            Link::Export => "export",
            Link::HandOver => "hand-over",
        })
    }
}

/// What Vulkan answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(pub(crate) vk::Result);

impl Code {
    /// Vulkan's number (`VkResult`).
    #[must_use]
    pub fn number(self) -> i32 {
        self.0.as_raw()
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// An error of this room.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// There is no Vulkan on this machine.
    #[error("device: there is no Vulkan loader ({why}); install libvulkan1 and the GPU's driver")]
    Loader {
        /// The loader's own words.
        why: String,
    },
    /// No device is what was asked for.
    #[error("device: no GPU is {wanted}; there is {found}; name one of these, or install its Vulkan driver")]
    NoDevice {
        /// What was asked for.
        wanted: String,
        /// What there is.
        found: String,
    },
    /// The driver has not what this room stands on.
    #[error("{link}: {device} has no {what}; {remedy}")]
    Missing {
        /// Which link wants it.
        link: Link,
        /// The device's name.
        device: String,
        /// What it lacks.
        what: &'static str,
        /// What helps.
        remedy: &'static str,
    },
    /// A call of Vulkan's failed.
    #[error("{link}: {call} answered {code}; look at the driver's words in the kernel's log")]
    Call {
        /// Which link made it.
        link: Link,
        /// The call.
        call: &'static str,
        /// The answer.
        code: Code,
    },
    /// The device has gone, with all that was on it.
    #[error(
        "{link}: the GPU was lost at {call}; open it anew, and look at the kernel's log if it happens again"
    )]
    Lost {
        /// Which link noticed.
        link: Link,
        /// The call that said so.
        call: &'static str,
    },
    /// There is no memory for it.
    #[error(
        "{link}: no memory for {bytes} bytes of {what}; close what else uses the GPU, or ask for a smaller mode"
    )]
    Memory {
        /// Which link wanted it.
        link: Link,
        /// What it was for.
        what: &'static str,
        /// How much was wanted.
        bytes: u64,
    },
    /// An output cannot be as it was asked for.
    #[error("convert: {buffers} outputs of {width}x{height} cannot be: {why}")]
    Output {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// How many.
        buffers: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// A picture's sides cannot be converted.
    #[error("convert: a picture of {width}x{height} cannot be taken: {why}")]
    Size {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// What is wrong.
        why: &'static str,
    },
    /// A picture's pixels are of no format that is known here.
    #[error(
        "import: pixels of format {fourcc} are not read; let the producer send XR24, XB24, XR30 or XB30 (in memory also YU12)"
    )]
    Format {
        /// The format.
        fourcc: Fourcc,
    },
    /// A picture's samples would have to become what they are not.
    #[error("convert: samples of format {fourcc} are only scaled: {why}; let the source send RGB")]
    Samples {
        /// The format.
        fourcc: Fourcc,
        /// What else was wanted.
        why: &'static str,
    },
    /// The GPU does not read this arrangement of memory.
    #[error(
        "import: {device} reads no {fourcc} with modifier {modifier:#018x}; let the producer choose one of {known}"
    )]
    Modifier {
        /// The device's name.
        device: String,
        /// The format.
        fourcc: Fourcc,
        /// The modifier.
        modifier: u64,
        /// What it reads.
        known: String,
    },
    /// The producer's buffer contradicts itself.
    #[error(
        "import: plane {plane} of the buffer (offset {offset}, stride {stride}): {why}; the producer is at fault"
    )]
    Plane {
        /// Which plane; their count where that is wrong.
        plane: usize,
        /// Bytes before it.
        offset: u64,
        /// Bytes from row to row.
        stride: u64,
        /// What is wrong.
        why: &'static str,
    },
    /// The system refused something about the producer's buffer.
    #[error("{link}: {action} was refused ({source}); {remedy}")]
    System {
        /// Which link.
        link: Link,
        /// What was tried.
        action: &'static str,
        /// The system's answer.
        #[source]
        source: io::Error,
        /// What helps.
        remedy: &'static str,
    },
    /// The producer did not finish its drawing in time.
    #[error(
        "acquire: the producer was not done with its picture after {waited_ms} ms; the picture is passed over"
    )]
    Late {
        /// How long was waited.
        waited_ms: u32,
    },
    /// Every output is still being read.
    #[error("hand-over: output {output} was not given back by its reader; release each ticket once")]
    Unreleased {
        /// The output whose turn it is.
        output: usize,
    },
    /// A ticket is not of an output's present picture.
    #[error("hand-over: ticket {value} of output {output} is not the picture that is there")]
    Stale {
        /// The ticket's output.
        output: usize,
        /// Its value.
        value: u64,
    },
    /// The picture is still being made.
    #[error("hand-over: ticket {value} is not done; wait for it first")]
    NotDone {
        /// The ticket's value.
        value: u64,
    },
    /// The outputs are in memory that this reader cannot reach.
    #[error(
        "hand-over: the outputs were made for {made_for}, not for {wanted}; make the importer with that hand-over"
    )]
    HandOver {
        /// What they were made for.
        made_for: &'static str,
        /// Who wants to read.
        wanted: &'static str,
    },
    /// CUDA failed.
    #[error("hand-over: {0}")]
    Cuda(#[from] punktfunk_cuda::CudaError),
    /// Vulkan's device and the reader's are not the same GPU.
    #[error(
        "hand-over: the pictures are on {device} ({uuid}) and {reader} is another GPU; let the desktop draw on that one, \
         or encode on this one"
    )]
    Mismatch {
        /// The device's name.
        device: String,
        /// Its UUID.
        uuid: Uuid,
        /// The other one, with its UUID.
        reader: String,
    },
}

impl GpuError {
    /// Of a failed call: which kind of failure it is.
    pub(crate) fn call(link: Link, call: &'static str) -> impl FnOnce(vk::Result) -> Self {
        move |result| match result {
            vk::Result::ERROR_DEVICE_LOST => Self::Lost { link, call },
            code => Self::Call { link, call, code: Code(code) },
        }
    }

    /// Of a failed allocation.
    pub(crate) fn allocation(link: Link, what: &'static str, bytes: u64) -> impl FnOnce(vk::Result) -> Self {
        move |result| match result {
            vk::Result::ERROR_OUT_OF_DEVICE_MEMORY | vk::Result::ERROR_OUT_OF_HOST_MEMORY => {
                Self::Memory { link, what, bytes }
            }
            other => Self::call(link, "vkAllocateMemory")(other),
        }
    }

    /// Of a refused system call.
    pub(crate) fn system(
        link: Link,
        action: &'static str,
        remedy: &'static str,
    ) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |errno| Self::System { link, action, source: errno.into(), remedy }
    }
}
