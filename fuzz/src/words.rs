//! What a person types: sources, modes, fingerprints, names.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use punktfunk_capture::Mode;
use punktfunk_codec::bitstream::BitstreamSpec;
use punktfunk_control::Fingerprint;
use punktfunk_perf::PerfTarget;

use crate::units;

#[path = "../../perf/programs/src/units.rs"]
#[allow(dead_code, missing_docs, reason = "the program's file, of which this uses a part")]
mod perf_units;

/// What parses is within its bounds, and what shows itself parses as itself again.
pub(crate) fn arguments(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(spec) = BitstreamSpec::parse(text) {
        assert!(spec.slices() > 0 && spec.refresh_mhz() > 0 && spec.au_bytes_max() > 0);
        assert!(spec.au_bytes_max() <= 1 << 31, "{text}: {} bytes", spec.au_bytes_max());
    }
    if let Ok(mode) = text.parse::<Mode>() {
        assert_eq!(mode.to_string().parse(), Ok(mode), "{text}");
    }
    if let Ok(fingerprint) = text.parse::<Fingerprint>() {
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint), "{text}");
    }
    let _ = PerfTarget::parse(text);
    if let Ok(backend) = text.parse::<punktfunk_seal::Backend>() {
        assert!(text.trim().eq_ignore_ascii_case(backend.name()));
    }
    if let Ok(backend) = text.parse::<punktfunk_net::Backend>() {
        assert!(text.trim().eq_ignore_ascii_case(backend.name()));
    }
    if let Ok(kernel) = text.parse::<punktfunk_fec::Kernel>() {
        assert!(text.trim().eq_ignore_ascii_case(kernel.name()));
    }
    again::<perf_units::Rate>(text);
    again::<perf_units::Percent>(text);
    again::<perf_units::Refresh>(text);
    again::<perf_units::Idrs>(text);
    again::<perf_units::Pace>(text);
    let _ = text.parse::<perf_units::Bytes>();
    again::<units::Percent>(text);
    again::<units::Bytes>(text);
    again::<units::SizeRange>(text);
    again::<units::Rate>(text);
    again::<units::Span>(text);
    again::<units::Reorder>(text);
    again::<units::Burst>(text);
    again::<units::Stretch>(text);
    again::<units::MtuChange>(text);
}

/// What parses and shows itself parses as itself again.
fn again<T: FromStr + Display + PartialEq + Debug>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let shown = value.to_string();
        assert_eq!(shown.parse::<T>().ok(), Some(value), "{text}: {shown}");
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    [
        "rate=1G,fps=120,slices=4,idr=5x/1s",
        "rate=1.5M,fps=59.94,slices=1,idr=off,seed=7",
        "5120x2880@120",
        "1280x720@59.94",
        "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
        "/tmp/perf,5",
        "aws-lc",
        "sendmmsg",
        "avx2",
        "1.5G",
        "20000",
        "59.94",
        "5x/1s",
        "12.5%",
        "2KB..4MB",
        "800Mbit/s",
        "2.5ms",
        "2%x8",
        "1s..2s",
        "1280@1s",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
