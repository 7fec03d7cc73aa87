//! Noise that can be made and checked from any word on, faster than memory: word `i` of a body is a bijective scramble
//! of `key + i × STEP`, so that within a body no word repeats and bodies of other keys agree nowhere for long.
//!
//! Promised: [`fill`] and [`first_difference`] agree with [`word`], the readable definition, byte for byte.

/// Odd, so that `i × STEP` takes every value once: 2⁶⁴ over the golden ratio.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Words that are made at once: four SSE2 registers, enough to hide their latency.
const LANES: usize = 8;

/// Bytes that are made at once.
const BLOCK_BYTES: usize = LANES * 8;

/// Word `index` of the body that starts from `key`; its bytes are little endian.
fn word(key: u64, index: u64) -> u64 {
    scramble(key.wrapping_add(index.wrapping_mul(STEP)))
}

/// Xorshift with Marsaglia's triple 13, 7, 17 ("Xorshift RNGs", 2003): one step, bijective, and SSE2 can do it.
fn scramble(mut x: u64) -> u64 {
    x ^= x << 13;
    x ^= x >> 7;
    x ^ x << 17
}

/// Fills a body from its first byte on.
pub(super) fn fill(key: u64, body: &mut [u8]) {
    let mut lanes = first_lanes(key, 0);
    let (blocks, rest) = body.as_chunks_mut::<BLOCK_BYTES>();
    for block in blocks {
        *block = bytes_of(&lanes);
        advance(&mut lanes);
    }
    rest.copy_from_slice(&bytes_of(&lanes)[..rest.len()]);
}

/// Compares `piece` with the body's bytes from offset `at` on: the first that differs, as an offset in `piece` and what
/// should be there.
pub(super) fn first_difference(key: u64, at: u64, piece: &[u8]) -> Option<(usize, u8)> {
    // To the next whole word.
    let head_bytes = (at.next_multiple_of(8) - at).min(piece.len() as u64) as usize;
    let (head, body) = piece.split_at(head_bytes);
    let unaligned = &word(key, at / 8).to_le_bytes()[(at % 8) as usize..];
    if let Some(found) = difference(head, &unaligned[..head_bytes]) {
        return Some(found);
    }
    let mut lanes = first_lanes(key, at.div_ceil(8));
    let (blocks, rest) = body.as_chunks::<BLOCK_BYTES>();
    for (index, block) in blocks.iter().enumerate() {
        if *block != bytes_of(&lanes) {
            let begin = head_bytes + index * BLOCK_BYTES;
            return difference(block, &bytes_of(&lanes)).map(|(offset, expected)| (begin + offset, expected));
        }
        advance(&mut lanes);
    }
    let begin = head_bytes + blocks.len() * BLOCK_BYTES;
    difference(rest, &bytes_of(&lanes)[..rest.len()]).map(|(offset, expected)| (begin + offset, expected))
}

fn difference(came: &[u8], expected: &[u8]) -> Option<(usize, u8)> {
    let offset = came.iter().zip(expected).position(|(came, expected)| came != expected)?;
    Some((offset, expected[offset]))
}

/// The unscrambled words from `index` on.
fn first_lanes(key: u64, index: u64) -> [u64; LANES] {
    std::array::from_fn(|lane| key.wrapping_add(index.wrapping_add(lane as u64).wrapping_mul(STEP)))
}

fn advance(lanes: &mut [u64; LANES]) {
    for lane in lanes {
        *lane = lane.wrapping_add(STEP.wrapping_mul(LANES as u64));
    }
}

fn bytes_of(lanes: &[u64; LANES]) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    for (bytes, lane) in block.chunks_exact_mut(8).zip(lanes) {
        bytes.copy_from_slice(&scramble(*lane).to_le_bytes());
    }
    block
}

/// SplitMix64's finaliser (Steele, Lea, Flood 2014): spreads every input bit over the whole word.
pub(super) fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(STEP);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The twin that reads like the definition.
    fn naive(key: u64, bytes: usize) -> Vec<u8> {
        (0..bytes.div_ceil(8) as u64).flat_map(|index| word(key, index).to_le_bytes()).take(bytes).collect()
    }

    proptest! {
        #[test]
        fn the_kernel_is_its_naive_twin(key: u64, bytes in 0usize..1000) {
            let mut body = vec![0; bytes];
            fill(key, &mut body);
            prop_assert_eq!(body, naive(key, bytes));
        }

        #[test]
        fn any_piece_is_checked_and_the_first_wrong_byte_found(
            key: u64, at in 0usize..500, bytes in 0usize..500, wrong in prop::option::of((0usize..500, 1u8..))
        ) {
            let mut piece = naive(key, at + bytes).split_off(at);
            let expected = wrong.filter(|(offset, _)| *offset < bytes).map(|(offset, change)| {
                let was = piece[offset];
                piece[offset] ^= change;
                if let Some(later) = piece.get_mut(offset + 1) { *later ^= 1; }
                (offset, was)
            });
            prop_assert_eq!(first_difference(key, at as u64, &piece), expected);
        }
    }

    #[test]
    fn bodies_of_neighbours_have_nothing_in_common() {
        let bodies: Vec<Vec<u8>> = (0..8).map(|index| naive(mix(index), 4096)).collect();
        let mut words: Vec<&[u8]> = bodies.iter().flat_map(|body| body.chunks_exact(8)).collect();
        let count = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), count);
    }
}
