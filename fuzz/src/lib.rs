//! Fuzz targets: whatever bytes a peer, a file or a person may hand in.
//!
//! *What it is.* [`TARGETS`]: each is a function of bytes that fails by panicking, and a few inputs of the right form to
//! begin with. `tests/replay.rs` runs them on those, on the committed corpus, and on mutations of both, in every run of
//! the tests; `cargo xtask fuzz TARGET` looks for new paths with libFuzzer.
//!
//! *What it promises.* A target is deterministic: the same bytes do the same. It checks more than that nothing
//! panics: what was parsed is written and read back, what was decoded is compared with a plain twin.
//!
//! *What it refuses.* To be imported: it is a tool.
#![forbid(unsafe_code)]

mod bytes;
mod code;
mod files;
mod messages;
mod model;
mod netlink;
mod quic;
mod reassembly;
mod video;
mod wire;
mod words;

// The tool's files, by their own names of each other.
#[path = "../../loss-harness/src/link/trace.rs"]
#[allow(dead_code, missing_docs, reason = "loss-harness's file, of which this uses a part")]
mod trace;
#[path = "../../loss-harness/src/units.rs"]
#[allow(dead_code, missing_docs, reason = "loss-harness's file, of which this uses a part")]
mod units;

pub use bytes::{Bytes, mutate};
pub use reassembly::{Census, census};

/// One thing to hand bytes to.
pub struct Target {
    /// What it is called on the command line, and its folder in the corpus.
    pub name: &'static str,
    /// Panics where the bytes show a fault.
    pub run: fn(&[u8]),
    /// Inputs of the right form.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "media_header", run: wire::header, seeds: wire::header_seeds },
    Target { name: "feedback", run: wire::feedback, seeds: wire::feedback_seeds },
    Target { name: "control_message", run: messages::parse, seeds: messages::seeds },
    Target { name: "quic_port", run: quic::port, seeds: quic::seeds },
    Target { name: "annex_b", run: video::annex_b, seeds: video::annex_b_seeds },
    Target { name: "sps", run: video::sps, seeds: video::sps_seeds },
    Target { name: "test_bitstream", run: video::bitstream, seeds: video::bitstream_seeds },
    Target { name: "y4m", run: files::y4m, seeds: files::y4m_seeds },
    Target { name: "perf_log", run: files::perf_log, seeds: files::perf_log_seeds },
    Target { name: "netlink", run: netlink::answer, seeds: netlink::seeds },
    Target { name: "loss_trace", run: files::trace, seeds: files::trace_seeds },
    Target { name: "arguments", run: words::arguments, seeds: words::seeds },
    Target { name: "fec_recover", run: code::recover, seeds: code::seeds },
    Target { name: "reassembler", run: reassembly::against_the_model, seeds: reassembly::seeds },
];

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
