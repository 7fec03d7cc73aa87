//! One picture in the driver's words, and what is told with an IDR.

use crate::caps::Codec;
use crate::config::Config;
use crate::hdr::{Hdr, OBU_LIGHT_LEVEL, OBU_MASTERING_DISPLAY, SEI_LIGHT_LEVEL, SEI_MASTERING_DISPLAY};
use crate::sys::*;

/// One picture, as the driver is told of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) number: u64,
    pub(crate) is_idr: bool,
    /// Pictures that an intra refresh takes that begins with this one; 0 for none.
    pub(crate) refresh: u32,
}

/// What is told with an IDR, at addresses that stay.
#[derive(Debug)]
pub(crate) struct Metadata {
    types: [u32; 2],
    payloads: [NV_ENC_SEI_PAYLOAD; 2],
    mastering: [u8; 24],
    light: [u8; 4],
    mastering_fields: MASTERING_DISPLAY_INFO,
    light_fields: CONTENT_LIGHT_LEVEL,
}

impl Metadata {
    pub(crate) fn new(hdr: Hdr, codec: Codec) -> Box<Metadata> {
        let (mastering, types) = match codec {
            Codec::Av1 => (hdr.mastering_obu(), [OBU_MASTERING_DISPLAY, OBU_LIGHT_LEVEL]),
            Codec::H264 | Codec::Hevc => (hdr.mastering_sei(), [SEI_MASTERING_DISPLAY, SEI_LIGHT_LEVEL]),
        };
        Box::new(Metadata {
            types,
            payloads: [*zeroed::<NV_ENC_SEI_PAYLOAD>(); 2],
            mastering,
            light: hdr.light_levels(),
            mastering_fields: hdr.mastering_of_av1(),
            light_fields: hdr.light_of_av1(),
        })
    }

    /// The payloads, and how many: with addresses of the borrow at hand, for those of an older one must not be used any more.
    fn payloads(&mut self) -> (*mut NV_ENC_SEI_PAYLOAD, u32) {
        let bytes = [&mut self.mastering[..], &mut self.light[..]];
        for ((payload, kind), bytes) in self.payloads.iter_mut().zip(self.types).zip(bytes) {
            payload.payloadType = kind;
            payload.payloadSize = bytes.len() as u32;
            payload.payload = bytes.as_mut_ptr();
        }
        (self.payloads.as_mut_ptr(), self.payloads.len() as u32)
    }
}

/// Fills the picture's parameters in, all but its buffers.
pub(crate) fn describe(
    to: &mut NV_ENC_PIC_PARAMS,
    wanted: &Wanted,
    config: &Config,
    api: Api,
    metadata: Option<&mut Metadata>,
) {
    (to.inputWidth, to.inputHeight) = (config.width, config.height);
    to.inputPitch = 0;
    to.inputTimeStamp = wanted.number;
    to.frameIdx = wanted.number as u32;
    to.bufferFmt = config.format.number();
    to.pictureStruct = NV_ENC_PIC_STRUCT_FRAME;
    to.encodePicFlags = if wanted.is_idr { NV_ENC_PIC_FLAG_FORCEIDR.0 } else { 0 };
    to.codecPicParams.reserved = [0; 194];
    let metadata = metadata.filter(|_| wanted.is_idr);
    match config.codec {
        Codec::H264 => {
            // SAFETY: zeroes are a value of each part.
            let part = unsafe { &mut to.codecPicParams.h264PicParams };
            part.forceIntraRefreshWithFrameCnt = wanted.refresh;
            if let Some(metadata) = metadata {
                (part.seiPayloadArray, part.seiPayloadArrayCnt) = metadata.payloads();
            }
        }
        Codec::Hevc => {
            // SAFETY: as above.
            let part = unsafe { &mut to.codecPicParams.hevcPicParams };
            part.forceIntraRefreshWithFrameCnt = wanted.refresh;
            if let Some(metadata) = metadata {
                (part.seiPayloadArray, part.seiPayloadArrayCnt) = metadata.payloads();
            }
        }
        Codec::Av1 => {
            // SAFETY: as above.
            let part = unsafe { &mut to.codecPicParams.av1PicParams };
            part.forceIntraRefreshWithFrameCnt = wanted.refresh;
            match metadata {
                Some(metadata) if api >= Api::V13_0 => {
                    part.pMasteringDisplay = &raw mut metadata.mastering_fields;
                    part.pMaxCll = &raw mut metadata.light_fields;
                }
                Some(metadata) => {
                    (part.obuPayloadArray, part.obuPayloadArrayCnt) = metadata.payloads();
                }
                None => {}
            }
        }
    }
}
