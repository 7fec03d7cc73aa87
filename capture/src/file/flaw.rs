//! What is wrong with a Y4M file, and where.

use crate::limits::{Y4M_HEADER_BYTES_MAX, Y4M_PICTURES_MAX};

/// What is wrong with a Y4M file, and where. Pictures count from 0, offsets are in bytes from the file's start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Y4mFlaw {
    /// The file does not begin with the signature.
    #[error("line 1 does not begin with YUV4MPEG2: this is no Y4M file")]
    Signature,
    /// The first line does not end.
    #[error("line 1 has no end within {Y4M_HEADER_BYTES_MAX} bytes")]
    HeaderWithoutEnd,
    /// A parameter is not there.
    #[error("line 1 has no {tag} parameter")]
    Missing {
        /// The parameter's letter.
        tag: char,
    },
    /// A parameter has a value that makes no sense.
    #[error("line 1: parameter {tag}{value:?} is wrong: {expected}")]
    Parameter {
        /// The parameter's letter.
        tag: char,
        /// What came.
        value: String,
        /// What is right.
        expected: &'static str,
    },
    /// Where a picture should begin there is something else.
    #[error("picture {picture} at offset {offset}: {came:?} came in the place of FRAME")]
    FrameLine {
        /// Which picture.
        picture: usize,
        /// Where.
        offset: u64,
        /// What came.
        came: String,
    },
    /// The file ends within a picture.
    #[error(
        "picture {picture}, whose pixels begin at offset {offset}, is cut short: {missing_bytes} bytes are missing"
    )]
    CutShort {
        /// Which picture.
        picture: usize,
        /// Where its pixels begin.
        offset: u64,
        /// Bytes that are missing.
        missing_bytes: u64,
    },
    /// The file became shorter after it was opened.
    #[error("picture {picture} at offset {offset} is gone: the file was changed while it was played")]
    Shrunk {
        /// Which picture.
        picture: usize,
        /// Where its pixels began.
        offset: u64,
    },
    /// There is a header and nothing else.
    #[error("there is no picture after line 1")]
    NoPictures,
    /// There are more pictures than are kept track of.
    #[error("there are more than {Y4M_PICTURES_MAX} pictures")]
    TooManyPictures,
}

impl Y4mFlaw {
    pub(super) fn frame_line(picture: usize, offset: u64, line: &[u8]) -> Self {
        Self::FrameLine { picture, offset, came: excerpt(line) }
    }
}

/// As much of a file's bytes as an error repeats.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(24)]).into_owned()
}
