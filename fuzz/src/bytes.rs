//! Bytes as a script: numbers taken from them one by one, and scripts bent a little.

/// What is left of an input. After its end every number is 0.
#[derive(Debug, Clone, Copy)]
pub struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    /// All of `input`.
    pub fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// The next two bytes.
    pub fn two(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// The next four bytes.
    pub fn four(&mut self) -> u32 {
        u32::from(self.two()) | u32::from(self.two()) << 16
    }

    /// A number below `end`, which is not 0, from the next two bytes.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.two()) % end
    }

    /// Up to `count` of the bytes that are left.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// Bends an input as `random` says: bits flipped, bytes set, cut, doubled or put in.
pub fn mutate(input: &[u8], random: &mut impl FnMut() -> u64) -> Vec<u8> {
    const BYTES_MAX: usize = 4_096;
    let mut bytes = input.to_vec();
    for _ in 0..1 + random() % 6 {
        let at = (random() % (bytes.len() as u64 + 1)) as usize;
        match random() % 6 {
            0 if at < bytes.len() => bytes[at] ^= 1 << (random() % 8),
            1 if at < bytes.len() => bytes[at] = random() as u8,
            2 if at < bytes.len() => bytes[at] = [0, 1, 0x7F, 0x80, 0xFF][(random() % 5) as usize],
            3 => bytes.truncate(at),
            4 => {
                let piece = bytes[at..bytes.len().min(at + 32)].to_vec();
                bytes.extend(piece);
            }
            _ => bytes.insert(at, random() as u8),
        }
    }
    bytes.truncate(BYTES_MAX);
    bytes
}
