//! Our reading of NVDECODE beside NVIDIA's headers: a C program prints what a compiler makes of these, each figure is
//! compared.
//!
//! `cargo xtask test` lays the headers below `target/nvidia-headers/12.1`, as Debian packages them.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::mem::{align_of, offset_of, size_of};
use std::path::{Path, PathBuf};
use std::process::Command;

use punktfunk_nvdec::sys::*;

/// A structure's name, size, alignment, and the offsets of its fields.
type Layout = (&'static str, usize, usize, Vec<(&'static str, usize)>);

macro_rules! layout {
    ($name:ident { $($field:ident),* }) => {
        (
            stringify!($name),
            size_of::<$name>(),
            align_of::<$name>(),
            vec![$((stringify!($field), offset_of!($name, $field))),*],
        )
    };
}

fn of_the_parser() -> Vec<Layout> {
    vec![
        layout!(CUVIDEOFORMAT {
            codec,
            frame_rate,
            progressive_sequence,
            bit_depth_luma_minus8,
            bit_depth_chroma_minus8,
            min_num_decode_surfaces,
            coded_width,
            coded_height,
            display_area,
            chroma_format,
            bitrate,
            display_aspect_ratio,
            video_signal_description,
            seqhdr_data_length
        }),
        layout!(CUVIDPICPARAMS {
            PicWidthInMbs,
            FrameHeightInMbs,
            CurrPicIdx,
            field_pic_flag,
            bottom_field_flag,
            second_field,
            nBitstreamDataLen,
            pBitstreamData,
            nNumSlices,
            pSliceDataOffsets,
            ref_pic_flag,
            intra_pic_flag,
            Reserved,
            CodecSpecific
        }),
        layout!(CUVIDPARSERDISPINFO {
            picture_index,
            progressive_frame,
            top_field_first,
            repeat_first_field,
            timestamp
        }),
        layout!(CUVIDSOURCEDATAPACKET { flags, payload_size, payload, timestamp }),
        layout!(CUVIDPARSERPARAMS {
            CodecType,
            ulMaxNumDecodeSurfaces,
            ulClockRate,
            ulErrorThreshold,
            ulMaxDisplayDelay,
            uReserved1,
            pUserData,
            pfnSequenceCallback,
            pfnDecodePicture,
            pfnDisplayPicture,
            pfnGetOperatingPoint,
            pfnGetSEIMsg,
            pvReserved2,
            pExtVideoInfo
        }),
    ]
}

fn of_the_decoder() -> Vec<Layout> {
    vec![
        layout!(CUVIDDECODECAPS {
            eCodecType,
            eChromaFormat,
            nBitDepthMinus8,
            reserved1,
            bIsSupported,
            nNumNVDECs,
            nOutputFormatMask,
            nMaxWidth,
            nMaxHeight,
            nMaxMBCount,
            nMinWidth,
            nMinHeight,
            bIsHistogramSupported,
            nCounterBitDepth,
            nMaxHistogramBins,
            reserved3
        }),
        layout!(CUVIDDECODECREATEINFO {
            ulWidth,
            ulHeight,
            ulNumDecodeSurfaces,
            CodecType,
            ChromaFormat,
            ulCreationFlags,
            bitDepthMinus8,
            ulIntraDecodeOnly,
            ulMaxWidth,
            ulMaxHeight,
            Reserved1,
            display_area,
            OutputFormat,
            DeinterlaceMode,
            ulTargetWidth,
            ulTargetHeight,
            ulNumOutputSurfaces,
            vidLock,
            target_rect,
            enableHistogram,
            Reserved2
        }),
        layout!(CUVIDPROCPARAMS {
            progressive_frame,
            second_field,
            top_field_first,
            unpaired_field,
            reserved_flags,
            reserved_zero,
            raw_input_dptr,
            raw_input_pitch,
            raw_input_format,
            raw_output_dptr,
            raw_output_pitch,
            Reserved1,
            output_stream,
            Reserved,
            histogram_dptr,
            Reserved2
        }),
        layout!(CUVIDGETDECODESTATUS { decodeStatus, reserved, pReserved }),
    ]
}

/// Our numbers, and NVIDIA's names for them.
const NUMBERS: &[(&str, i64)] = &[
    ("cudaVideoCodec_H264", CODEC_H264 as i64),
    ("cudaVideoCodec_HEVC", CODEC_HEVC as i64),
    ("cudaVideoCodec_AV1", CODEC_AV1 as i64),
    ("cudaVideoChromaFormat_420", CHROMA_420 as i64),
    ("cudaVideoChromaFormat_444", CHROMA_444 as i64),
    ("cudaVideoSurfaceFormat_NV12", SURFACE_NV12 as i64),
    ("cudaVideoSurfaceFormat_P016", SURFACE_P016 as i64),
    ("cudaVideoSurfaceFormat_YUV444", SURFACE_YUV444 as i64),
    ("cudaVideoSurfaceFormat_YUV444_16Bit", SURFACE_YUV444_16 as i64),
    ("cudaVideoDeinterlaceMode_Weave", DEINTERLACE_WEAVE as i64),
    ("cudaVideoCreate_PreferCUVID", CREATE_PREFER_CUVID as i64),
    ("CUVID_PKT_ENDOFSTREAM", PACKET_END_OF_STREAM as i64),
    ("CUVID_PKT_ENDOFPICTURE", PACKET_END_OF_PICTURE as i64),
    ("cuvidDecodeStatus_Success", STATUS_SUCCESS as i64),
    ("cuvidDecodeStatus_Error", STATUS_ERROR as i64),
    ("cuvidDecodeStatus_Error_Concealed", STATUS_ERROR_CONCEALED as i64),
];

/// The headers' folder; none, with a line, where they could not be had. Under CI that is a failure.
fn headers() -> Option<PathBuf> {
    let program = std::env::current_exe().unwrap();
    let folder = program.ancestors().nth(3).unwrap().join("nvidia-headers/12.1");
    if folder.join("dynlink_nvcuvid.h").is_file() {
        return Some(folder);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "no headers in {}", folder.display());
    eprintln!("not checked: no dynlink_nvcuvid.h in {}; `cargo xtask test` fetches it", folder.display());
    None
}

/// What a C program prints that includes them.
fn run(headers: &Path, program: &str) -> String {
    let scratch = tempfile::tempdir().unwrap();
    let (source, made) = (scratch.path().join("layout.c"), scratch.path().join("layout"));
    std::fs::write(&source, program).unwrap();
    let mut compiler = Command::new("cc");
    compiler.args(["-std=gnu11", "-I"]).arg(headers).arg("-o").args([&made, &source]);
    let compiled = compiler.output().unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    String::from_utf8(Command::new(&made).output().unwrap().stdout).unwrap()
}

#[test]
fn structures_lie_as_nvidias_headers_have_them() {
    let Some(headers) = headers() else { return };
    let mut program = "#include <stddef.h>\n#include <stdio.h>\n".to_owned();
    program += "#include \"dynlink_cuda.h\"\n#include \"dynlink_nvcuvid.h\"\nint main(void) {\n";
    let mut expected = BTreeMap::new();
    for (name, size, align, fields) in of_the_parser().into_iter().chain(of_the_decoder()) {
        writeln!(program, "printf(\"{name} %zu\\n{name}_ %zu\\n\", sizeof({name}), _Alignof({name}));")
            .unwrap();
        expected.insert(name.to_owned(), i64::try_from(size).unwrap());
        expected.insert(format!("{name}_"), i64::try_from(align).unwrap());
        for (field, offset) in fields {
            writeln!(program, "printf(\"{name}.{field} %zu\\n\", offsetof({name}, {field}));").unwrap();
            expected.insert(format!("{name}.{field}"), i64::try_from(offset).unwrap());
        }
    }
    for (name, value) in NUMBERS {
        writeln!(program, "printf(\"{name} %d\\n\", (int){name});").unwrap();
        expected.insert((*name).to_owned(), *value);
    }
    program += "}\n";
    let printed = run(&headers, &program);
    let theirs: BTreeMap<String, i64> = printed
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect();
    assert_eq!(theirs, expected);
    assert!(theirs.len() > 100, "only {} figures were compared", theirs.len());
}
