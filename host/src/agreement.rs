//! What a Hello and a prepared source agree on.
//!
//! Promises: what comes out is within what both ends can do, and a bitrate is the wire's: headers, parity and
//! the last shard's padding are counted in. Refuses what the client cannot take, with a reason.

use std::sync::Arc;

use punktfunk_control::{Chroma, Codec, Depth, Hello, RefusalCode};
use punktfunk_proto::Negotiated;
use punktfunk_proto::limits::{BITRATE_KBPS, SHARD_BYTES, SHARD_BYTES_START, SHARD_BYTES_STEP};
use punktfunk_seal::{CIPHER_VARIABLE, Cipher, CipherPreference, CipherReason};

use crate::encode::{Coding, CodingWish, Codings, Encoders, WireRate, payload_kbps};
use crate::error::HostError;
use crate::redundancy::Redundancy;
use crate::source::{Prepared, Rate, SourceSpec};

/// The longest shard on most LANs, in bytes: what fits an Ethernet MTU with its headers.
const SHARD_BYTES_USUAL: u16 = 1408;

/// Data shards that a slice should fill at the mean: with fewer, its one parity shard and the padding of its
/// last shard are a large part of the wire's rate.
const SLICE_SHARDS_MIN: u64 = 8;

/// What a Hello can be refused for before there is a source: nothing is started for it, and nobody at the host is asked.
/// What its pictures may be coded as.
///
/// # Errors
/// The client cannot take what any such source gives, or asks for what this host's encoder does not make.
pub fn check(
    hello: &Hello,
    spec: &SourceSpec,
    redundancy: Redundancy,
    encoders: &Arc<Encoders>,
) -> Result<Codings, HostError> {
    check_shards(hello)?;
    let (wish, shard_bytes) = (wish(hello)?, shard_at_start(hello));
    let redundancy_per_mille = redundancy.per_mille_at_start();
    let wire = WireRate { kbps: hello.bitrate_kbps, redundancy_per_mille, shard_bytes };
    let codings = Codings::new(Arc::clone(encoders), wish, wire);
    match spec.codec() {
        Some(codec) => check_passed_through(hello, codings.wish(), codec)?,
        None => drop(codings.agree(None)?),
    }
    Ok(codings)
}

/// What a client wants its pictures coded as.
fn wish(hello: &Hello) -> Result<CodingWish, HostError> {
    let unknown = |what: &str, number: Option<u16>, known: &str| {
        let number = number.unwrap_or_default();
        let why = format!("the client asks for {what} {number}; this host knows {known}");
        HostError::Unagreed { code: RefusalCode::Codec, why }
    };
    let depth = hello.depth.map_or(Some(Depth::default()), Depth::of_number);
    let chroma = hello.chroma.map_or(Some(Chroma::default()), Chroma::of_number);
    Ok(CodingWish {
        codecs: hello.codecs.clone(),
        depth: depth.ok_or_else(|| unknown("a depth of", hello.depth, "8 and 10"))?,
        chroma: chroma.ok_or_else(|| unknown("chroma", hello.chroma, "420 and 444"))?,
    })
}

/// What is passed through is as it is.
fn check_passed_through(hello: &Hello, wish: &CodingWish, codec: Codec) -> Result<(), HostError> {
    check_codec(hello, codec)?;
    if wish.by(codec).is_usual() {
        return Ok(());
    }
    let (depth, chroma) = (wish.depth, wish.chroma);
    let why = format!(
        "{depth} in {chroma} were asked for, and this source is not encoded here but passed through as it is; connect \
         without --depth and --chroma"
    );
    Err(HostError::Unagreed { code: RefusalCode::Codec, why })
}

fn check_codec(hello: &Hello, codec: Codec) -> Result<(), HostError> {
    if hello.codecs.contains(&codec) {
        return Ok(());
    }
    let why = format!("the client cannot decode {codec:?}");
    Err(HostError::Unagreed { code: RefusalCode::Codec, why })
}

fn check_shards(hello: &Hello) -> Result<(), HostError> {
    let unagreed = |code, why: String| Err(HostError::Unagreed { code, why });
    if !SHARD_BYTES.contains(&hello.shard_bytes_max) {
        let (least, most) = SHARD_BYTES.into_inner();
        return unagreed(
            RefusalCode::Limits,
            format!(
                "the client's longest shard is {} bytes, and must be {least} to {most}",
                hello.shard_bytes_max
            ),
        );
    }
    Ok(())
}

/// What a session without pictures is bounded by. It has a codec all the same, for a Welcome has one: the test bitstream,
/// of which nothing comes.
///
/// # Errors
/// The client's own bounds cannot be.
pub fn agree_without_pictures(
    hello: &Hello,
    refresh_mhz: u32,
    redundancy: Redundancy,
) -> Result<(Negotiated, Coding), HostError> {
    check_shards(hello)?;
    check_codec(hello, Codec::Pattern)?;
    let shard_bytes = hello.shard_bytes_max / SHARD_BYTES_STEP * SHARD_BYTES_STEP;
    let wire_kbps = hello.bitrate_kbps.clamp(*BITRATE_KBPS.start(), *BITRATE_KBPS.end());
    let au_bytes_max = Negotiated::au_bytes_for(wire_kbps, refresh_mhz).min(hello.au_bytes_max);
    Negotiated::new(shard_bytes, wire_kbps, refresh_mhz, 1, redundancy.per_mille, au_bytes_max)
        .map(|negotiated| (negotiated, Coding::usual(Codec::Pattern)))
        .map_err(|error| HostError::Unagreed { code: RefusalCode::Limits, why: error.to_string() })
}

/// Shards are no longer than that before the path is known.
fn shard_at_start(hello: &Hello) -> u16 {
    (hello.shard_bytes_max / SHARD_BYTES_STEP * SHARD_BYTES_STEP).min(SHARD_BYTES_START)
}

/// What the two ends are bounded by, after [`check`], from `slices` slices an access unit at most.
///
/// # Errors
/// The client cannot take what the source gives.
pub fn agree(
    hello: &Hello,
    prepared: &Prepared,
    slices: u16,
    redundancy: Redundancy,
) -> Result<Negotiated, HostError> {
    let unagreed = |code, why: String| HostError::Unagreed { code, why };
    let per_mille = redundancy.per_mille_at_start();
    let shard_bytes = hello.shard_bytes_max / SHARD_BYTES_STEP * SHARD_BYTES_STEP;
    let shard_at_start = shard_at_start(hello);
    let refresh_mhz = prepared.mode.refresh_mhz();
    let (slices, wire_kbps) = match prepared.rate {
        Rate::Asked => {
            let payload = u64::from(payload_kbps(hello.bitrate_kbps, per_mille, shard_at_start));
            (slices_for(payload * 125_000 / u64::from(refresh_mhz), slices), hello.bitrate_kbps)
        }
        Rate::Own { au_bytes_mean, slices } => {
            (slices, wire_kbps(au_bytes_mean, slices, per_mille, shard_at_start, refresh_mhz))
        }
    };
    if slices > hello.slices_max {
        return Err(unagreed(
            RefusalCode::Limits,
            format!(
                "the source gives {slices} slices an access unit, the client takes at most {}",
                hello.slices_max
            ),
        ));
    }
    let needed = Negotiated::au_bytes_for(wire_kbps, refresh_mhz)
        .max(u32::try_from(prepared.au_bytes_max).unwrap_or(u32::MAX));
    if prepared.au_bytes_max > hello.au_bytes_max as usize {
        return Err(unagreed(
            RefusalCode::Limits,
            format!(
                "the source gives access units of {} bytes, the client takes at most {}",
                prepared.au_bytes_max, hello.au_bytes_max
            ),
        ));
    }
    // Else every other picture would be thrown away: a source with a rate of its own was looked at above.
    let mean = mean_au_bytes(wire_kbps, refresh_mhz);
    if mean > u64::from(hello.au_bytes_max) && prepared.rate == Rate::Asked {
        return Err(unagreed(
            RefusalCode::Limits,
            format!(
                "at {wire_kbps} kbit/s a picture has {mean} bytes at the mean, the client takes access units of at most {}; \
                 ask for a lower rate",
                hello.au_bytes_max
            ),
        ));
    }
    let au_bytes_max = needed.min(hello.au_bytes_max);
    Negotiated::new(shard_bytes, wire_kbps, refresh_mhz, slices, redundancy.per_mille, au_bytes_max)
        .map_err(|error| unagreed(RefusalCode::Limits, error.to_string()))
}

/// What a picture has of the wire's rate.
fn mean_au_bytes(wire_kbps: u32, refresh_mhz: u32) -> u64 {
    u64::from(wire_kbps) * 125_000 / u64::from(refresh_mhz.max(1))
}

/// What media is sealed with, and why.
///
/// # Errors
/// The two ends have no cipher in common.
pub fn agree_cipher(hello: &Hello, ours: &CipherPreference) -> Result<(Cipher, CipherReason), HostError> {
    let agreed = ours
        .agree(&hello.ciphers)
        .and_then(|cipher| Some((cipher, ours.reason(cipher, Some(&hello.ciphers))?)));
    agreed.ok_or_else(|| {
        let names = |list: &[Cipher]| {
            let names: Vec<String> = list.iter().map(ToString::to_string).collect();
            if names.is_empty() { "none that this host knows".into() } else { names.join(" and ") }
        };
        let why = format!(
            "the client offers {}, this host {}; {CIPHER_VARIABLE} picks it at either end",
            names(&hello.ciphers),
            names(ours.ciphers())
        );
        HostError::Unagreed { code: RefusalCode::Cipher, why }
    })
}

/// How many slices access units of this mean size are cut in: `most`, or as many as fill their shards.
pub fn slices_for(au_bytes_mean: u64, most: u16) -> u16 {
    let filled = au_bytes_mean / (SLICE_SHARDS_MIN * u64::from(SHARD_BYTES_USUAL));
    u16::try_from(filled).unwrap_or(u16::MAX).clamp(1, most.max(1))
}

/// The wire rate that carries such access units, in kbit/s.
fn wire_kbps(
    au_bytes_mean: u64,
    slices: u16,
    redundancy_per_mille: u16,
    shard: u16,
    refresh_mhz: u32,
) -> u32 {
    let (shard, slices) = (u64::from(shard), u64::from(slices));
    let data = au_bytes_mean.div_ceil(slices).div_ceil(shard).max(1);
    let parity = (data * u64::from(redundancy_per_mille)).div_ceil(1000).max(1);
    let wire_bytes = slices * (data + parity) * (shard + punktfunk_proto::DATAGRAM_OVERHEAD as u64);
    let kbps = (wire_bytes * u64::from(refresh_mhz)).div_ceil(125_000);
    u32::try_from(kbps).unwrap_or(u32::MAX).max(500)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use punktfunk_capture::{Mode, Patience};
    use punktfunk_control::Codec;

    use super::*;
    use crate::source::{Means, prepare};
    use crate::ways::{Doors, OPENING_MAX, Open};

    fn codings() -> Codings {
        let wire = WireRate { kbps: 20_000, redundancy_per_mille: 100, shard_bytes: 1152 };
        Codings::new(Arc::default(), CodingWish::only(Coding::usual(Codec::H264)), wire)
    }

    #[test]
    fn a_clients_shards_are_within_the_protocols_or_refused() {
        let mode: Mode = "320x180@60".parse().unwrap();
        let mode_asked = punktfunk_control::Mode { width: 320, height: 180, refresh_mhz: 60_000 };
        let mut hello = Hello::new("test", mode_asked, 20_000);
        hello.codecs.push(Codec::Pattern);
        let doors: Arc<dyn Open> = Arc::new(Doors::default());
        let patience = Patience::until(Instant::now() + OPENING_MAX);
        let codings = codings();
        let means = Means { doors: &doors, codings: &codings, patience: &patience };
        for source in ["card", "bitstream:rate=5M,fps=60,slices=2"] {
            let spec = source.parse().unwrap();
            let prepared = prepare(&spec, mode, 2, means, |_| ()).unwrap();
            for shard in [0, 1, 63, 64, 255, 8_897, 65_535] {
                hello.shard_bytes_max = shard;
                let error = check(&hello, &spec, Redundancy::fixed(100), &Arc::default()).unwrap_err();
                assert!(matches!(error, HostError::Unagreed { code: RefusalCode::Limits, .. }), "{error}");
                let error = error.to_string();
                assert!(
                    error.contains(&format!("{shard} bytes")) && error.contains("256 to 8896"),
                    "{error}"
                );
            }
            for (shard, agreed) in [(256, 256), (319, 256), (1_407, 1_344), (1_408, 1_408), (8_896, 8_896)] {
                hello.shard_bytes_max = shard;
                check(&hello, &spec, Redundancy::fixed(100), &Arc::default()).unwrap();
                assert_eq!(
                    agree(&hello, &prepared, 2, Redundancy::fixed(100)).unwrap().shard_bytes_max,
                    agreed
                );
            }
        }
    }

    #[test]
    fn a_rate_whose_pictures_the_client_does_not_take_is_refused_by_name() {
        let mode: Mode = "320x180@60".parse().unwrap();
        let asked = punktfunk_control::Mode { width: 320, height: 180, refresh_mhz: 60_000 };
        let doors: Arc<dyn Open> = Arc::new(Doors::default());
        let patience = Patience::until(Instant::now() + OPENING_MAX);
        let codings = codings();
        let means = Means { doors: &doors, codings: &codings, patience: &patience };
        let prepared = prepare(&"card".parse().unwrap(), mode, 2, means, |_| ()).unwrap();
        let agreed = |kbps, au_bytes_max| {
            let hello = Hello { au_bytes_max, ..Hello::new("test", asked, kbps) };
            agree(&hello, &prepared, 2, Redundancy::fixed(100))
        };
        // 64 KiB at 60 Hz are 31.5 Mbit/s.
        assert_eq!(agreed(31_000, 65_536).unwrap().au_bytes_max, 65_536);
        let error = agreed(32_000, 65_536).unwrap_err();
        assert!(matches!(error, HostError::Unagreed { code: RefusalCode::Limits, .. }), "{error}");
        let said = error.to_string();
        assert!(
            said.contains("66666 bytes") && said.contains("65536") && said.contains("lower rate"),
            "{said}"
        );
        assert_eq!(agreed(32_000, 70_000).unwrap().au_bytes_max, 70_000);
    }

    #[test]
    fn what_no_source_could_give_is_refused_before_there_is_one() {
        let mode = punktfunk_control::Mode { width: 320, height: 180, refresh_mhz: 60_000 };
        let usual = Hello::new("test", mode, 20_000);
        let check = |hello: &Hello, source: &str| {
            check(hello, &source.parse().unwrap(), Redundancy::AUTO, &Arc::default())
        };
        check(&usual, "auto").unwrap();
        let error = check(&usual, "bitstream:rate=5M").unwrap_err();
        assert!(matches!(error, HostError::Unagreed { code: RefusalCode::Codec, .. }), "{error}");
        let greedy = Hello { bitrate_kbps: 7_000_000, ..usual };
        for source in ["auto", "pipewire", "wayland", "sway", "card"] {
            assert!(matches!(check(&greedy, source), Err(HostError::Rate { .. })), "{source}");
        }
        check(&greedy, "file:a.h264").unwrap();
    }

    #[test]
    fn a_depth_or_chroma_that_cannot_be_had_is_refused_before_there_is_a_source() {
        let mode = punktfunk_control::Mode { width: 320, height: 180, refresh_mhz: 60_000 };
        let usual = Hello { codecs: vec![Codec::H264, Codec::Pattern], ..Hello::new("test", mode, 20_000) };
        let refused = |hello: &Hello, source: &str| {
            let spec = source.parse().unwrap();
            let error = check(hello, &spec, Redundancy::AUTO, &Arc::default()).unwrap_err();
            assert!(matches!(error, HostError::Unagreed { code: RefusalCode::Codec, .. }), "{error}");
            error.to_string()
        };
        let ten = Hello { depth: Some(10), ..usual.clone() };
        assert!(refused(&ten, "card").contains("openh264 makes 8 bits in 4:2:0"));
        for source in ["bitstream:rate=5M", "file:a.h264"] {
            assert!(refused(&ten, source).contains("passed through"), "{source}");
        }
        let newer = Hello { depth: Some(12), ..usual.clone() };
        assert!(refused(&newer, "card").contains("12; this host knows 8 and 10"));
        let newer = Hello { chroma: Some(422), ..usual.clone() };
        assert!(refused(&newer, "card").contains("422; this host knows 420 and 444"));
        // Said or not, it is the usual.
        let said = Hello { depth: Some(8), chroma: Some(420), ..usual };
        check(&said, &"card".parse().unwrap(), Redundancy::AUTO, &Arc::default()).unwrap();
    }

    #[test]
    fn ciphers_that_have_nothing_in_common_are_named() {
        let mode = punktfunk_control::Mode { width: 320, height: 180, refresh_mhz: 60_000 };
        let mut hello = Hello::new("test", mode, 20_000);
        let asked = CipherPreference::new(true, Some(Cipher::Aes128Gcm));
        assert_eq!(agree_cipher(&hello, &asked).unwrap(), (Cipher::Aes128Gcm, CipherReason::Asked));
        hello.ciphers = vec![Cipher::ChaCha20Poly1305];
        let usual = CipherPreference::new(true, None);
        assert_eq!(
            agree_cipher(&hello, &usual).unwrap(),
            (Cipher::ChaCha20Poly1305, CipherReason::OnlyOffer)
        );
        let error = agree_cipher(&hello, &asked).unwrap_err();
        assert!(matches!(error, HostError::Unagreed { code: RefusalCode::Cipher, .. }));
        let said = error.to_string();
        assert!(said.contains("offers ChaCha20-Poly1305, this host AES-128-GCM"), "{said}");
        hello.ciphers.clear();
        assert!(agree_cipher(&hello, &usual).unwrap_err().to_string().contains("none that this host knows"));
    }

    #[test]
    fn a_slice_fills_its_shards() {
        // 720p60: a megabit's pictures stay in one piece, twenty megabits' come in three.
        assert_eq!(slices_for(1_500, 4), 1);
        assert_eq!(slices_for(11_263 * 2, 4), 1);
        assert_eq!(slices_for(11_264 * 3, 4), 3);
        assert_eq!(slices_for(1 << 30, 4), 4);
        assert_eq!(slices_for(1 << 30, 0), 1);
    }

    #[test]
    fn a_sources_own_rate_is_told_as_the_wires() {
        // 100 KB in four slices at 60 Hz, by hand: 22 data and 3 parity shards each.
        assert_eq!(wire_kbps(100_000, 4, 100, 1152, 60_000), (4 * 25 * 1192 * 60 * 8_u32).div_ceil(1000));
        // The smallest picture still takes two datagrams.
        assert_eq!(wire_kbps(1, 1, 0, 1152, 60_000), (2 * 1192 * 60 * 8_u32).div_ceil(1000));
    }
}
