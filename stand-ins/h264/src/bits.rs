//! Bits, most significant first, and the codes that H.264's syntax is made of (clause 9.1).
//!
//! Promises: what was put is in [`Bits::bytes`] once [`Bits::trail`] has ended it. The memory is kept for the next one.

/// An RBSP that is being written.
#[derive(Debug, Default)]
pub(crate) struct Bits {
    bytes: Vec<u8>,
    /// The bits that fill no byte yet, right-aligned.
    open: u64,
    /// How many; below eight between calls.
    count: u32,
}

impl Bits {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.open = 0;
        self.count = 0;
    }

    /// u(n): the lowest `count` bits of `value`, at most 32.
    pub(crate) fn put(&mut self, count: u32, value: u32) {
        debug_assert!(count <= 32 && (count == 32 || u64::from(value) < 1 << count));
        self.open = self.open << count | u64::from(value);
        self.count += count;
        while self.count >= 8 {
            self.count -= 8;
            self.bytes.push((self.open >> self.count) as u8);
        }
        self.open &= (1 << self.count) - 1;
    }

    /// One bit.
    pub(crate) fn flag(&mut self, value: bool) {
        self.put(1, u32::from(value));
    }

    /// ue(v): as many zeros as the number plus one has bits after its first, then that.
    pub(crate) fn ue(&mut self, value: u32) {
        debug_assert!(value < u32::MAX);
        let code = value + 1;
        let length = 32 - code.leading_zeros();
        self.put(length - 1, 0);
        self.put(length, code);
    }

    /// se(v): 0, 1, -1, 2, -2 …
    pub(crate) fn se(&mut self, value: i32) {
        let magnitude = value.unsigned_abs() * 2;
        self.ue(if value > 0 { magnitude - 1 } else { magnitude });
    }

    /// Zeros up to the next byte.
    pub(crate) fn align(&mut self) {
        if self.count > 0 {
            self.put(8 - self.count, 0);
        }
    }

    pub(crate) fn is_aligned(&self) -> bool {
        self.count == 0
    }

    /// Whole bytes; only where the bits so far fill theirs.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        debug_assert_eq!(self.count, 0, "aligned");
        self.bytes.extend_from_slice(bytes);
    }

    /// rbsp_trailing_bits().
    pub(crate) fn trail(&mut self) {
        self.put(1, 1);
        self.align();
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        debug_assert_eq!(self.count, 0, "ended");
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut Bits)) -> String {
        let mut bits = Bits::default();
        write(&mut bits);
        let open: String =
            (0..bits.count).rev().map(|bit| char::from(b'0' + (bits.open >> bit & 1) as u8)).collect();
        bits.bytes.iter().map(|byte| format!("{byte:08b}")).collect::<String>() + &open
    }

    #[test]
    fn codes_are_those_of_the_standards_tables() {
        for (value, code) in
            [(0, "1"), (1, "010"), (2, "011"), (3, "00100"), (7, "0001000"), (30, "000011111")]
        {
            assert_eq!(written(|bits| bits.ue(value)), code, "ue({value})");
        }
        for (value, code) in [(0, "1"), (1, "010"), (-1, "011"), (2, "00100"), (-2, "00101")] {
            assert_eq!(written(|bits| bits.se(value)), code, "se({value})");
        }
        assert_eq!(written(|bits| bits.put(32, u32::MAX)), "1".repeat(32));
        assert_eq!(written(|bits| bits.ue(u32::MAX - 1)).len(), 63);
    }

    #[test]
    fn an_end_is_a_one_and_zeros_up_to_the_byte() {
        assert_eq!(written(Bits::trail), "10000000");
        assert_eq!(
            written(|bits| {
                bits.put(7, 0);
                bits.trail();
            }),
            "0000000110000000".get(..8).unwrap()
        );
        assert_eq!(
            written(|bits| {
                bits.put(3, 5);
                bits.align();
                bits.append(&[255]);
            }),
            "1010000011111111"
        );
    }
}
