//! What encoders read from and write to, and what they are asked about.

use super::{
    NV_ENC_BUFFER_FORMAT, NV_ENC_BUFFER_USAGE, NV_ENC_CAPS, NV_ENC_INPUT_PTR, NV_ENC_INPUT_RESOURCE_TYPE,
    NV_ENC_MEMORY_HEAP, NV_ENC_OUTPUT_PTR, NV_ENC_REGISTERED_PTR, plain, versioned,
};
use std::ffi::c_void;

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NV_ENC_CAPS_PARAM {
    pub version: u32,
    pub capsToQuery: NV_ENC_CAPS,
    pub reserved: [u32; 62],
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NV_ENC_CREATE_BITSTREAM_BUFFER {
    pub version: u32,
    pub size: u32,
    pub memoryHeap: NV_ENC_MEMORY_HEAP,
    pub reserved: u32,
    pub bitstreamBuffer: NV_ENC_OUTPUT_PTR,
    pub bitstreamBufferPtr: *mut c_void,
    pub reserved1: [u32; 58],
    pub reserved2: [*mut c_void; 64],
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NV_ENC_REGISTER_RESOURCE {
    pub version: u32,
    pub resourceType: NV_ENC_INPUT_RESOURCE_TYPE,
    pub width: u32,
    pub height: u32,
    pub pitch: u32,
    pub subResourceIndex: u32,
    pub resourceToRegister: *mut c_void,
    pub registeredResource: NV_ENC_REGISTERED_PTR,
    pub bufferFormat: NV_ENC_BUFFER_FORMAT,
    pub bufferUsage: NV_ENC_BUFFER_USAGE,
    pub pInputFencePoint: *mut c_void,
    /// What a driver says of a bitstream in video memory; of D3D12 since 13.0, too. Zero going in.
    pub chromaOffset: [u32; 2],
    /// Since 13.0; zero in 12.1, and where the chroma plane follows the luma plane.
    pub chromaOffsetIn: [u32; 2],
    pub reserved1: [u32; 244],
    pub reserved2: [*mut c_void; 61],
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NV_ENC_MAP_INPUT_RESOURCE {
    pub version: u32,
    pub subResourceIndex: u32,
    pub inputResource: *mut c_void,
    pub registeredResource: NV_ENC_REGISTERED_PTR,
    pub mappedResource: NV_ENC_INPUT_PTR,
    pub mappedBufferFmt: NV_ENC_BUFFER_FORMAT,
    pub reserved1: [u32; 251],
    pub reserved2: [*mut c_void; 63],
}

versioned! {
    NV_ENC_CAPS_PARAM: plain(1), plain(1);
    NV_ENC_CREATE_BITSTREAM_BUFFER: plain(1), plain(1);
    NV_ENC_REGISTER_RESOURCE: plain(4), plain(5);
    NV_ENC_MAP_INPUT_RESOURCE: plain(4), plain(4);
}
