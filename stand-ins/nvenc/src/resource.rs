//! Inputs: registered, mapped, in use.

use punktfunk_nvenc::sys::*;

use crate::card::{Card, Codec};
use crate::check::{null, zero};
use crate::status::{Answer, require};

/// A picture's memory, as the caller registered it.
#[derive(Debug)]
pub(crate) struct Registered {
    pub(crate) handle: usize,
    /// While it is mapped.
    pub(crate) mapped: Option<usize>,
    /// Pictures that the encoder has not finished.
    pub(crate) in_use: u32,
    pub(crate) layout: Layout,
}

/// Where a picture's rows lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) address: usize,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) pitch: u32,
    pub(crate) format: NV_ENC_BUFFER_FORMAT,
}

impl Layout {
    /// Judges what nvEncRegisterResource was given.
    pub(crate) fn read(params: &NV_ENC_REGISTER_RESOURCE, codec: Codec, card: &Card) -> Answer<Self> {
        let kind = params.resourceType;
        require(kind == NV_ENC_INPUT_RESOURCE_TYPE_CUDADEVICEPTR, NV_ENC_ERR_UNSUPPORTED_PARAM, || {
            format!("resourceType is {kind:?}: only CUDA's linear memory is played here")
        })?;
        require(params.bufferUsage == NV_ENC_INPUT_IMAGE, NV_ENC_ERR_UNSUPPORTED_PARAM, || {
            format!("bufferUsage is {:?}: only inputs are played here", params.bufferUsage)
        })?;
        zero("subResourceIndex", &[params.subResourceIndex])?;
        zero("chromaOffset", &params.chromaOffset)?;
        zero("chromaOffsetIn", &params.chromaOffsetIn)?;
        null("pInputFencePoint", &[params.pInputFencePoint])?;
        zero("NV_ENC_REGISTER_RESOURCE::reserved1", &params.reserved1)?;
        null("NV_ENC_REGISTER_RESOURCE::reserved2", &params.reserved2)?;
        let format = params.bufferFormat;
        require(card.formats(codec).contains(&format), NV_ENC_ERR_UNSUPPORTED_PARAM, || {
            format!("bufferFormat is {format:?}, which is no input of {codec:?} on this card")
        })?;
        require(!params.resourceToRegister.is_null(), NV_ENC_ERR_INVALID_PTR, || {
            "resourceToRegister is null".to_owned()
        })?;
        require(params.width > 0 && params.height > 0, NV_ENC_ERR_INVALID_PARAM, || {
            "a side of zero".to_owned()
        })?;
        let layout = Self {
            address: params.resourceToRegister as usize,
            width: params.width,
            height: params.height,
            pitch: params.pitch,
            format,
        };
        require(
            params.pitch.is_multiple_of(4) && params.pitch as usize >= layout.row_bytes(),
            NV_ENC_ERR_INVALID_PARAM,
            || {
                format!(
                    "a pitch of {} for rows of {} bytes; a multiple of 4 is wanted",
                    params.pitch,
                    layout.row_bytes()
                )
            },
        )?;
        Ok(layout)
    }

    pub(crate) fn is_444(&self) -> bool {
        matches!(self.format, NV_ENC_BUFFER_FORMAT_YUV444 | NV_ENC_BUFFER_FORMAT_YUV444_10BIT)
    }

    pub(crate) fn is_ten_bits(&self) -> bool {
        matches!(self.format, NV_ENC_BUFFER_FORMAT_YUV420_10BIT | NV_ENC_BUFFER_FORMAT_YUV444_10BIT)
    }

    /// Bytes of a row that mean something.
    pub(crate) fn row_bytes(&self) -> usize {
        self.width as usize * if self.is_ten_bits() { 2 } else { 1 }
    }

    /// Rows of all planes, which follow each other.
    fn rows(&self) -> usize {
        let height = self.height as usize;
        if self.is_444() { height * 3 } else { height + height.div_ceil(2) }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.pitch as usize * (self.rows() - 1) + self.row_bytes()
    }

    /// The picture's memory.
    ///
    /// # Safety
    /// It is still there, and nobody writes it: device memory is the host's here.
    pub(crate) unsafe fn memory<'a>(&self) -> &'a [u8] {
        // SAFETY: the caller's promise; the length was derived from what was registered.
        unsafe { std::slice::from_raw_parts(self.address as *const u8, self.bytes()) }
    }

    /// The rows in `memory`, without what lies between them.
    pub(crate) fn rows_of<'a>(&self, memory: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let bytes = self.row_bytes();
        memory.chunks(self.pitch as usize).map(move |row| &row[..bytes])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params() -> Box<NV_ENC_REGISTER_RESOURCE> {
        let mut params = Api::V13_0.fresh::<NV_ENC_REGISTER_RESOURCE>();
        params.resourceType = NV_ENC_INPUT_RESOURCE_TYPE_CUDADEVICEPTR;
        params.resourceToRegister = std::ptr::dangling_mut::<u8>().cast();
        params.bufferFormat = NV_ENC_BUFFER_FORMAT_NV12;
        (params.width, params.height, params.pitch) = (640, 360, 768);
        params
    }

    #[test]
    fn sizes_are_those_of_the_planes() {
        let card = Card::parse("").unwrap();
        let layout = Layout::read(&params(), Codec::Hevc, &card).unwrap();
        assert_eq!((layout.row_bytes(), layout.bytes()), (640, 768 * 539 + 640));
        let memory = vec![0; layout.bytes()];
        assert_eq!(layout.rows_of(&memory).map(<[u8]>::len).collect::<Vec<_>>(), vec![640; 540]);
        let ten = Layout { format: NV_ENC_BUFFER_FORMAT_YUV444_10BIT, pitch: 1280, ..layout };
        assert_eq!((ten.row_bytes(), ten.bytes()), (1280, 1280 * 1080));
    }

    #[test]
    fn each_field_that_is_wrong_is_named() {
        let card = Card::parse("").unwrap();
        type Change = fn(&mut NV_ENC_REGISTER_RESOURCE);
        let changes: [(Change, &str); 11] = [
            (|params| params.resourceType = NV_ENC_INPUT_RESOURCE_TYPE_CUDAARRAY, "resourceType"),
            (|params| params.bufferUsage = NV_ENC_OUTPUT_BITSTREAM, "bufferUsage"),
            (|params| params.subResourceIndex = 1, "subResourceIndex"),
            (|params| params.bufferFormat = NV_ENC_BUFFER_FORMAT_ARGB, "bufferFormat"),
            (|params| params.bufferFormat = NV_ENC_BUFFER_FORMAT_YUV420_10BIT, "bufferFormat"),
            (|params| params.resourceToRegister = std::ptr::null_mut(), "resourceToRegister"),
            (|params| params.width = 0, "zero"),
            (|params| params.pitch = 636, "pitch"),
            (|params| params.pitch = 642, "pitch"),
            (|params| params.reserved1[200] = 1, "reserved1"),
            (|params| params.reserved2[3] = std::ptr::dangling_mut::<u8>().cast(), "reserved2"),
        ];
        for (at, (change, word)) in changes.into_iter().enumerate() {
            let mut params = params();
            change(&mut params);
            let refused = Layout::read(&params, Codec::H264, &card).unwrap_err();
            assert!(refused.why.contains(word), "{at}: {}", refused.why);
        }
    }
}
