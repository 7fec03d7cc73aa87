//! A Welcome, held against the Hello that it answers.
//!
//! Promises: media is bounded by what this client has said that it takes, and by the protocol. Refuses by name what was
//! not offered; the rest of a Hello are wishes, of which the Welcome says what has become.

use punktfunk_control::{Hello, Welcome};
use punktfunk_proto::Negotiated;

use crate::error::ClientError;

/// What comes where nothing was asked for.
const DEPTH: u16 = 8;
const CHROMA: u16 = 420;

/// What both ends are bounded by.
///
/// # Errors
/// The Welcome passes what was offered, or what there is.
pub fn agree(hello: &Hello, welcome: &Welcome) -> Result<Negotiated, ClientError> {
    if !hello.codecs.contains(&welcome.codec) {
        return Err(ClientError::Welcome(format!("we did not offer {}", welcome.codec)));
    }
    if !hello.ciphers.contains(&welcome.cipher) {
        return Err(ClientError::Welcome(format!("we did not offer {}", welcome.cipher)));
    }
    let (depth, chroma) = (hello.depth.unwrap_or(DEPTH), hello.chroma.unwrap_or(CHROMA));
    if welcome.depth.to_number() != depth || welcome.chroma.to_number() != chroma {
        let (came, colour) = (welcome.depth, welcome.chroma);
        let asked = format!("{depth} bits in {chroma} were asked for and {came} in {colour} are to come");
        return Err(ClientError::Welcome(asked));
    }
    within("slices an access unit", hello.slices_max.into(), welcome.slices_max.into())?;
    within("bytes an access unit", hello.au_bytes_max, welcome.au_bytes_max)?;
    within("bytes a shard", hello.shard_bytes_max.into(), welcome.shard_bytes_max.into())?;
    Negotiated::new(
        welcome.shard_bytes_max,
        welcome.bitrate_kbps,
        welcome.mode.refresh_mhz,
        welcome.slices_max,
        welcome.redundancy_per_mille,
        welcome.au_bytes_max,
    )
    .map_err(|error| ClientError::Welcome(error.to_string()))
}

fn within(what: &str, offered: u32, came: u32) -> Result<(), ClientError> {
    if came > offered {
        return Err(ClientError::Welcome(format!("{came} {what}, and we take at most {offered}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use punktfunk_control::{Chroma, Codec, Depth, Mode, PROTOCOL};
    use punktfunk_seal::Cipher;

    use super::*;

    const MODE: Mode = Mode { width: 1_920, height: 1_080, refresh_mhz: 60_000 };

    fn hello() -> Hello {
        Hello { ciphers: vec![Cipher::Aes128Gcm], ..Hello::new("a client", MODE, 20_000) }
    }

    fn welcome() -> Welcome {
        Welcome {
            protocol: PROTOCOL,
            host_name: "a host".into(),
            mode: MODE,
            codec: Codec::H264,
            cipher: Cipher::Aes128Gcm,
            bitrate_kbps: 20_000,
            shard_bytes_max: 1_408,
            redundancy_per_mille: 100,
            au_bytes_max: 16 << 20,
            slices_max: 4,
            source: "test card".into(),
            encoder: "none".into(),
            compositors: Vec::new(),
            depth: Depth::Eight,
            chroma: Chroma::Yuv420,
        }
    }

    #[test]
    fn what_was_offered_is_taken_and_wishes_may_come_out_otherwise() {
        assert!(agree(&hello(), &welcome()).is_ok(), "all that was offered");
        let mode = Mode { width: 640, height: 480, refresh_mhz: 30_000 };
        let less = Welcome {
            mode,
            bitrate_kbps: 40_000,
            shard_bytes_max: 256,
            redundancy_per_mille: 0,
            ..welcome()
        };
        let agreed = agree(&hello(), &Welcome { slices_max: 1, au_bytes_max: 65_536, ..less }).unwrap();
        assert_eq!((agreed.bitrate_kbps, agreed.refresh_mhz, agreed.shard_bytes_max), (40_000, 30_000, 256));
    }

    #[test]
    fn a_depth_that_was_asked_for_comes_or_the_session_ends() {
        let ten = Hello { depth: Some(10), ..hello() };
        assert!(agree(&ten, &Welcome { depth: Depth::Ten, ..welcome() }).is_ok());
        let said = agree(&ten, &welcome()).unwrap_err().to_string();
        assert!(said.contains("10 bits in 420 were asked for and 8 bits in 4:2:0"), "{said}");
        assert!(said.contains("update the older"), "{said}");
        let said_usual = Hello { depth: Some(8), chroma: Some(420), ..hello() };
        assert!(agree(&said_usual, &welcome()).is_ok());
    }

    #[test]
    fn what_was_not_offered_is_refused_by_name() {
        let cases = [
            (Welcome { codec: Codec::Pattern, ..welcome() }, "did not offer pattern"),
            (Welcome { cipher: Cipher::ChaCha20Poly1305, ..welcome() }, "did not offer ChaCha20-Poly1305"),
            (Welcome { slices_max: 5, ..welcome() }, "5 slices an access unit, and we take at most 4"),
            (Welcome { au_bytes_max: (16 << 20) + 1, ..welcome() }, "16777217 bytes an access unit"),
            (Welcome { shard_bytes_max: 1_472, ..welcome() }, "1472 bytes a shard, and we take at most 1408"),
            // As an older host has it, too, which knows of neither.
            (Welcome { depth: Depth::Ten, ..welcome() }, "8 bits in 420 were asked for and 10 bits in 4:2:0"),
            (Welcome { chroma: Chroma::Yuv444, ..welcome() }, "8 bits in 4:4:4 are to come"),
            // Less than there can be.
            (Welcome { shard_bytes_max: 192, ..welcome() }, "shard"),
            (Welcome { bitrate_kbps: 499, ..welcome() }, "bitrate_kbps"),
        ];
        for (welcome, named) in cases {
            let said = agree(&hello(), &welcome).unwrap_err().to_string();
            assert!(said.contains(named), "{named:?} is not in {said}");
        }
    }
}
