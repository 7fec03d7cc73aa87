//! The FEC decoder: any shape, any set of shards, against what was encoded.

use punktfunk_fec::{Decoder, Encoder, Shape, ShardSet};

use crate::bytes::Bytes;

/// Shards of a block here: a few dozen times the smallest kernels' width is enough to meet every path of small blocks.
const DATA_MAX: usize = 90;
const PARITY_MAX: usize = 60;

/// With k shards or more of a block the data comes back; with fewer it is an error, and no panic.
pub(crate) fn recover(input: &[u8]) {
    let mut script = Bytes::new(input);
    let (data, parity) = (1 + script.below(DATA_MAX), 1 + script.below(PARITY_MAX));
    let shard_bytes = 64 * (1 + usize::from(script.byte() % 4));
    let Ok(shape) = Shape::new(data as u16, parity as u16, shard_bytes) else { return };
    let cut = script.below(shard_bytes);
    let payload = payload(script.four(), data * shard_bytes - cut);
    let mut encoder = Encoder::new();
    let coded = encoder.encode(shape, &payload).expect("the payload fits its shape");
    let mut span = vec![0xEE; shape.shards() * shard_bytes];
    let mut filled = ShardSet::with_capacity(shape.shards());
    // A bit a shard says whether it came.
    let came = script.take(shape.shards().div_ceil(8));
    for shard in 0..shape.shards() {
        if came.get(shard / 8).is_none_or(|byte| byte >> (shard % 8) & 1 == 1) {
            let slot = &mut span[shard * shard_bytes..][..shard_bytes];
            if shard < data {
                slot.fill(0);
                let rest = &payload[(shard * shard_bytes).min(payload.len())..];
                let bytes = rest.len().min(shard_bytes);
                slot[..bytes].copy_from_slice(&rest[..bytes]);
            } else {
                slot.copy_from_slice(coded.shard(shard - data));
            }
            filled.insert(shard);
        }
    }
    let missing = data - filled.count_in(0..data);
    let recovered = Decoder::new().recover(shape, &mut span, &filled);
    if filled.len() >= data {
        assert_eq!(recovered.expect("k shards are enough"), missing, "{shape:?}");
        assert_eq!(&span[..payload.len()], &payload[..], "{shape:?}");
        assert!(span[payload.len()..data * shard_bytes].iter().all(|byte| *byte == 0), "{shape:?}");
    } else {
        assert!(recovered.is_err(), "{shape:?}");
    }
}

/// Bytes of no pattern, from a seed: a multiplicative congruential generator is enough for a linear code.
fn payload(seed: u32, bytes: usize) -> Vec<u8> {
    let mut state = u64::from(seed) << 1 | 1;
    let step = || {
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D);
        (state >> 56) as u8
    };
    std::iter::repeat_with(step).take(bytes).collect()
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let script = |data: u16, parity: u16, came: &[u8]| {
        let mut bytes = (data - 1).to_le_bytes().to_vec();
        bytes.extend((parity - 1).to_le_bytes());
        bytes.extend([2, 5, 0, 1, 2, 3, 4]);
        bytes.extend(came);
        bytes
    };
    vec![
        script(1, 1, &[0b10]),
        script(8, 2, &[0b1011_1011, 0b11]),
        script(64, 7, &[0xFE, 0xFF, 0x7F, 0xFF, 0xFF, 0xEF, 0xFF, 0xFF, 0x7F]),
        script(5, 40, &[0, 0, 0xF0, 0xFF, 0xFF, 0xFF]),
        script(90, 60, &[0xAA; 19]),
    ]
}
