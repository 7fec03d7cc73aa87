//! `report`: one page and one picture of what a session left.
//!
//! A host and a client with `PUNKTFUNK_PERF` leave a log each, the demo a summary beside them. Here they become a page
//! that needs nothing but a browser, and its drawings as PNG, which needs not even that: a picture's way with each stage's
//! times on it, percentiles, the course of the session, the cadence, the machine, and first of all what went wrong. What
//! the page has and the picture has not: all figures as tables.
//!
//! Promises: whatever lies in the folder, a page or an error that says what is wrong; nothing that a file says becomes
//! markup; a file is there whole or not at all. Refuses: to fetch anything, or to have the page fetch anything.

mod cadence;
mod chart;
mod counts;
mod figures;
mod page;
mod plots;
mod poster;
mod read;
mod series;
mod tables;
mod theme;
mod verdict;
mod way;
mod words;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::cli::ReportArgs;
use crate::error::PerfProgramError;
use crate::markup::is_acted_on;

pub use figures::Session;

/// What was made.
#[derive(Debug)]
pub struct Written {
    /// The figures.
    pub session: Session,
    /// The page, and the picture if one was wished for.
    pub files: Vec<PathBuf>,
}

impl Written {
    /// What a person is told.
    pub fn text(&self) -> String {
        let (words, _) = page::headline(&self.session);
        let mut text = format!("{words}\n");
        for word in &self.session.verdict {
            text.push_str(&format!("  {}\n", printable(&word.words)));
        }
        for file in &self.files {
            text.push_str(&format!("{}\n", file.display()));
        }
        text
    }
}

/// Words without anything that a terminal would obey.
fn printable(words: &str) -> String {
    words.chars().map(|letter| if is_acted_on(letter) { '\u{fffd}' } else { letter }).collect()
}

/// Reads the folder, and writes page and picture.
///
/// # Errors
/// Nothing of a session is there, or a file cannot be written.
pub fn report(args: &ReportArgs) -> Result<Written, PerfProgramError> {
    let session = figures::session(&read::read(&args.folder)?);
    let page_path = args.out.clone().unwrap_or_else(|| args.folder.join("report.html"));
    let mut files = vec![(page_path.clone(), page::page(&session).into_bytes())];
    if !args.no_png {
        let path = args.png.clone().unwrap_or_else(|| page_path.with_extension("png"));
        if path == page_path {
            return Err(PerfProgramError::Usage(
                "page and picture would be one file; name it with --png".into(),
            ));
        }
        files.push((path, poster::png(&session)?));
    }
    for (path, bytes) in &files {
        write_whole(path, bytes)?;
    }
    Ok(Written { session, files: files.into_iter().map(|(path, _)| path).collect() })
}

/// Beside its place first, then in it, so that nobody ever finds half of it.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), PerfProgramError> {
    let failed = |error: std::io::Error| PerfProgramError::Failed(format!("{}: {error}", path.display()));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let written = fs::File::create_new(&part)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| fs::rename(&part, path));
    if written.is_err() {
        // What is left of it is of no use; that it cannot be removed is no news beside the error.
        let _ = fs::remove_file(&part);
    }
    written.map_err(failed)
}

#[cfg(test)]
mod tests;
