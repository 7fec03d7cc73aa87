//! Memory used wrongly, on purpose: `cargo xtask valgrind` runs this first and goes on only if each is found.
//!
//! `misuse NAME` does one thing that no test can see by its result: it reads what is freed, decides by what was never
//! written, writes behind an end, or loses a block; `misuse nothing` does none of it.
#![allow(clippy::print_stdout, reason = "its output keeps the compiler from seeing through it")]

use std::alloc::{Layout, alloc, dealloc};
use std::hint::black_box;
use std::process::ExitCode;

const BYTES: usize = 64;

fn main() -> ExitCode {
    let layout = Layout::new::<[u8; BYTES]>();
    // SAFETY: the layout has a size.
    let block = black_box(unsafe { alloc(layout) });
    assert!(!block.is_null(), "64 bytes of memory");
    let (freed_first, read) = match std::env::args().nth(1).as_deref() {
        Some("freed") => (true, Some(1)),
        Some("unwritten") => (false, Some(2)),
        Some("beyond") => {
            // SAFETY: none: one byte too far, which is what has to be found.
            unsafe { block.add(black_box(BYTES)).write_volatile(1) };
            (false, None)
        }
        Some("lost") => {
            println!("{}", black_box(block).is_null());
            return ExitCode::SUCCESS;
        }
        Some("nothing") => (false, None),
        Some(_) | None => return ExitCode::FAILURE,
    };
    // SAFETY: of this layout, and ours.
    let free = || unsafe { dealloc(black_box(block), layout) };
    if freed_first {
        free();
    }
    if let Some(at) = read {
        // SAFETY: none: the byte is freed or was never written, which is what has to be found.
        let byte = unsafe { block.add(black_box(at)).read_volatile() };
        println!("{}", if black_box(byte) > 7 { "large" } else { "small" });
    }
    if !freed_first {
        free();
    }
    ExitCode::SUCCESS
}
