//! Shows the test card as a compositor shows a screen: a node of PipeWire's whose pictures are dmabufs, until its standard
//! input ends: `card-in-dmabufs SOCKET NODE 320x192@10`
//!
//! For tests of whoever captures it, which have no PipeWire of their own in them. It offers dmabufs alone, with no layout but
//! the linear one.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // whoever starts it reads why it ended

#[path = "../tests/dmabufs/memory.rs"]
#[allow(dead_code, reason = "its other half is for the tests")]
mod memory;
#[path = "../tests/dmabufs/pods.rs"]
#[allow(dead_code, reason = "its other half is for the tests")]
mod pods;
#[path = "../tests/dmabufs/producer.rs"]
#[allow(dead_code, reason = "its other half is for the tests")]
mod producer;

use std::io::Read;
use std::time::{Duration, Instant};

use memory::Memory;
use pods::Offered;
use producer::{Draw, Flaw, Plan, Producer};
use punktfunk_capture::Mode;
use punktfunk_capture::card::{CardStamp, Painter};
use punktfunk_capture::dmabuf::MODIFIER_LINEAR;
use punktfunk_codec::{I420, convert};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [socket, name, mode] = &words[..] else { panic!("it wants a socket, a node's name and a mode") };
    let mode: Mode = mode.parse().unwrap();
    assert!(
        std::path::Path::new("/dev/udmabuf").exists(),
        "no dmabufs are to be had: there is no /dev/udmabuf"
    );
    let plan = Plan {
        name: name.clone(),
        size: (mode.width(), mode.height()),
        offers: vec![Offered::Open(vec![MODIFIER_LINEAR])],
        buffers: (4, 8),
        with_timelines: false,
        flaw: Flaw::None,
        interval: Duration::from_nanos(1_000_000_000_000 / u64::from(mode.refresh_mhz())),
    };
    let producer = Producer::start_drawing(socket.into(), plan, draw(mode));
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    println!("{:?}", producer.seen());
}

/// Draws the card in a producer's memory, in the colours that BT.709 has for it.
fn draw(mode: Mode) -> Draw {
    let (width, height) = (mode.width(), mode.height());
    let (mut painter, started) = (Painter::new(mode).unwrap(), Instant::now());
    let (mut rgb, mut bgrx) = (Vec::new(), Vec::new());
    Box::new(move |memory: &Memory, number| {
        let time_us = u64::try_from(started.elapsed().as_micros()).unwrap();
        let drawn = painter.paint(CardStamp { number, time_us });
        let picture = I420::contiguous(width, height, width as usize, drawn).unwrap();
        convert::i420_to_rgb(&picture, &mut rgb);
        bgrx.clear();
        bgrx.extend(rgb.chunks_exact(3).flat_map(|pixel| [pixel[2], pixel[1], pixel[0], u8::MAX]));
        memory.fill(&bgrx);
    })
}
