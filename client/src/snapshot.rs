//! A picture as a PNG.

use std::io::{self, BufWriter};

use punktfunk_codec::{I420, convert};

use crate::error::ClientError;
use crate::out_file::OutFile;

/// Writes a picture as an 8-bit RGB PNG.
///
/// # Errors
/// The file cannot be written.
pub fn write(file: OutFile, picture: &I420<'_>) -> Result<(), ClientError> {
    let path = file.path().to_owned();
    let failed = |source| ClientError::File { path: path.clone(), source };
    let mut rgb = Vec::new();
    convert::i420_to_rgb(picture, &mut rgb);
    let file = BufWriter::new(file.begin().map_err(failed)?);
    let mut encoder = png::Encoder::new(file, picture.width(), picture.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(|error| failed(io::Error::other(error)))?;
    writer.write_image_data(&rgb).map_err(|error| failed(io::Error::other(error)))?;
    writer.finish().map_err(|error| failed(io::Error::other(error)))
}
