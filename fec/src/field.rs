//! GF(2^16) as a tower over the AES field, the code's points in it, and the tables that the kernels read.
//!
//! *What it is.* A symbol is `lo + hi * w`: two elements of GF(2^8) (polynomial 0x11B), and `w^2 + w = u`. The points of
//! the code are the sums of a Cantor basis (`b[i]^2 + b[i] = b[i-1]`, `b[0] = 1`, `w = b[8]`, `u = b[7]`): point number
//! `i` is the sum of the `b[j]` whose bit `j` is set in `i`. Points below 256 lie in GF(2^8).
//!
//! *What it promises.* Every table is computed by the compiler from [`BASIS`] and the two polynomials; nothing is built
//! at run time and nothing can change. A table is read only as far as a block's points reach.
//!
//! *What it refuses.* Nothing: every `u16` is a symbol and every index below 65,536 a point.
#![allow(
    long_running_const_eval,
    reason = "four tables of 65,536 entries, about a second of the compiler's time"
)]

/// The Cantor basis, low byte `lo`, high byte `hi`. It is the image of the basis of Leopard's own field (polynomial
/// 0x1002D) under one of the eight isomorphisms that send its ninth element to `w`, the one with the least `u`.
pub(crate) const BASIS: [u16; 16] = [
    0x0001, 0x00BD, 0x00E1, 0x00EC, 0x00FE, 0x00F9, 0x0047, 0x0031, 0x0100, 0xBDC7, 0xE198, 0xECF8, 0xFE60,
    0xF9C3, 0x47A4, 0x314F,
];

/// `w^2 + w`.
const U: u8 = BASIS[7].to_le_bytes()[0];

/// The field's non-zero elements, and the period of [`EXP`].
pub(crate) const ORDER: u32 = 65_535;

/// Products of bytes: `PRODUCTS[a][b] = a * b`.
pub(crate) static PRODUCTS: [[u8; 256]; 256] = products();

/// Point `i` as a packed coefficient.
pub(crate) static POINTS: [u32; 65_536] = packed_points();

/// The inverse of point `i` as a packed coefficient; 0 for point 0, which has none.
pub(crate) static INVERSES: [u32; 65_536] = packed_inverses();

/// The logarithm of point `i` to base `w`; 0 for point 0, which has none and counts for nothing in a sum.
pub(crate) static POINT_LOGS: [u16; 65_536] = point_logs();

/// Powers of `w`.
static EXP: [u16; 65_536] = powers();

/// The product of two bytes, from the definition.
const fn multiply_bytes(a: u8, b: u8) -> u8 {
    let (mut product, mut shifted, mut rest) = (0, a, b);
    while rest != 0 {
        if rest & 1 != 0 {
            product ^= shifted;
        }
        shifted = (shifted << 1) ^ if shifted & 0x80 != 0 { 0x1B } else { 0 };
        rest >>= 1;
    }
    product
}

const fn products() -> [[u8; 256]; 256] {
    let mut table = [[0; 256]; 256];
    let mut a = 0;
    while a < 256 {
        // Row `a` is linear: each entry is the sum of one with its lowest bit taken off, and a power of two.
        let mut b = 1_usize;
        while b < 256 {
            let low = b & b.wrapping_neg();
            table[a][b] =
                if low == b { multiply_bytes(a as u8, b as u8) } else { table[a][low] ^ table[a][b ^ low] };
            b += 1;
        }
        a += 1;
    }
    table
}

/// Point number `index`.
pub(crate) const fn point(index: usize) -> u16 {
    let (mut sum, mut bit) = (0, 0);
    while bit < 16 {
        if index >> bit & 1 != 0 {
            sum ^= BASIS[bit];
        }
        bit += 1;
    }
    sum
}

/// The product of two symbols.
#[cfg(test)]
pub(crate) const fn multiply(a: u16, b: u16) -> u16 {
    let ([a0, a1], [b0, b1]) = (a.to_le_bytes(), b.to_le_bytes());
    let low = PRODUCTS[a0 as usize][b0 as usize];
    let high = PRODUCTS[a1 as usize][b1 as usize];
    let cross = PRODUCTS[(a0 ^ a1) as usize][(b0 ^ b1) as usize];
    u16::from_le_bytes([low ^ PRODUCTS[U as usize][high as usize], cross ^ low])
}

/// The symbol of `w^log`; `log` is taken modulo [`ORDER`].
pub(crate) fn exp(log: u32) -> u16 {
    EXP[(log % ORDER) as usize]
}

/// What a kernel multiplies a symbol by `c = c0 + c1 w` with: `c0`, `u c1` and `c0 + c1`, a byte each from the lowest.
/// With `p = c0 lo`, the product is `p + (u c1) hi` and `p + (c0 + c1) (lo + hi)`.
pub(crate) const fn packed(symbol: u16) -> u32 {
    let [c0, c1] = symbol.to_le_bytes();
    u32::from_le_bytes([c0, PRODUCTS[U as usize][c1 as usize], c0 ^ c1, 0])
}

const fn packed_points() -> [u32; 65_536] {
    let mut table = [0; 65_536];
    let mut index = 1_usize;
    while index < 65_536 {
        // Linear, like a row of products.
        let low = index & index.wrapping_neg();
        table[index] = table[index ^ low] ^ packed(BASIS[low.trailing_zeros() as usize]);
        index += 1;
    }
    table
}

const fn powers() -> [u16; 65_536] {
    let mut table = [0; 65_536];
    let (mut power, mut log) = (1_u16, 0);
    while log < 65_536 {
        table[log] = power;
        // (lo + hi w) w = u hi + (lo + hi) w
        let [lo, hi] = power.to_le_bytes();
        power = u16::from_le_bytes([PRODUCTS[U as usize][hi as usize], lo ^ hi]);
        log += 1;
    }
    table
}

/// Logarithms by symbol.
const fn logs() -> [u16; 65_536] {
    let mut table = [0; 65_536];
    let mut log = 0;
    while log < ORDER as usize {
        table[EXP[log] as usize] = log as u16;
        log += 1;
    }
    table
}

const fn point_logs() -> [u16; 65_536] {
    let (logs, mut table, mut points) = (logs(), [0; 65_536], [0_u16; 65_536]);
    let mut index = 1_usize;
    while index < 65_536 {
        let low = index & index.wrapping_neg();
        points[index] = points[index ^ low] ^ BASIS[low.trailing_zeros() as usize];
        table[index] = logs[points[index] as usize];
        index += 1;
    }
    table
}

const fn packed_inverses() -> [u32; 65_536] {
    let mut table = [0; 65_536];
    let mut index = 1;
    while index < 65_536 {
        table[index] = packed(EXP[(ORDER as usize - POINT_LOGS[index] as usize) % ORDER as usize]);
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_basis_is_cantors() {
        assert_eq!(BASIS[0], 1);
        for i in 1..16 {
            assert_eq!(multiply(BASIS[i], BASIS[i]) ^ BASIS[i], BASIS[i - 1], "element {i}");
        }
        assert_eq!(BASIS[8], 0x0100, "w");
        assert!(BASIS[..8].iter().all(|&element| element < 256), "the first eight span GF(2^8)");
    }

    #[test]
    fn the_points_are_all_symbols() {
        let mut seen = vec![false; 65_536];
        for index in 0..65_536 {
            seen[usize::from(point(index))] = true;
            assert_eq!(POINTS[index], packed(point(index)));
        }
        assert!(seen.into_iter().all(|seen| seen));
    }

    #[test]
    fn products_of_bytes_are_those_of_aes() {
        for a in 0..=255_u8 {
            for b in 0..=255_u8 {
                assert_eq!(PRODUCTS[usize::from(a)][usize::from(b)], multiply_bytes(a, b));
            }
        }
        assert_eq!(multiply_bytes(0x57, 0x83), 0xC1, "the example of FIPS 197, 4.2");
    }

    #[test]
    fn inverses_and_logs_agree_with_products() {
        assert_eq!((INVERSES[0], POINT_LOGS[0]), (0, 0));
        for index in 1..65_536 {
            let log = u32::from(POINT_LOGS[index]);
            assert_eq!(exp(log), point(index));
            let inverse = exp(ORDER - log);
            assert_eq!(multiply(inverse, point(index)), 1);
            assert_eq!(INVERSES[index], packed(inverse));
        }
    }

    #[test]
    fn a_product_is_linear_and_w_solves_its_equation() {
        assert_eq!(multiply(0x100, 0x100), 0x100 ^ u16::from(U));
        for a in (0..=65_535).step_by(251) {
            for b in (0..=65_535).step_by(241) {
                let by_bits =
                    (0..16).filter(|bit| b >> bit & 1 == 1).fold(0, |sum, bit| sum ^ multiply(a, 1 << bit));
                assert_eq!(multiply(a, b), by_bits);
            }
        }
    }
}
