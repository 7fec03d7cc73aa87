//! A slice on its way to the wire, and the memory that it lies in.

/// One lent slice.
#[derive(Debug)]
pub enum Slice {
    /// In a buffer of ours.
    Pooled(Vec<u8>),
    /// In the encoder's own memory, until it is dropped.
    Lent(punktfunk_nvenc::Slice),
}

impl AsRef<[u8]> for Slice {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Pooled(buffer) => buffer,
            Self::Lent(slice) => slice.as_ref(),
        }
    }
}

/// Buffers for slices, used again and again.
#[derive(Debug, Default)]
pub struct SlicePool {
    free: Vec<Vec<u8>>,
}

impl SlicePool {
    /// A pool of `count` buffers with room for `bytes` each.
    pub fn new(count: usize, bytes: usize) -> Self {
        let mut free = Vec::with_capacity(count);
        free.resize_with(count, || {
            // Written with something else than zeros, which the kernel would only promise: no page fault shall
            // meet the first access units.
            let mut buffer = vec![0xA5; bytes];
            buffer.clear();
            buffer
        });
        Self { free }
    }

    /// An empty buffer; a new one while the pool has not reached its working size.
    pub fn take(&mut self) -> Vec<u8> {
        let mut buffer = self.free.pop().unwrap_or_default();
        buffer.clear();
        buffer
    }

    /// Takes a slice home: a pooled one's buffer is used again, a lent one's memory goes to its encoder.
    pub fn put(&mut self, slice: Slice) {
        match slice {
            Slice::Pooled(buffer) => self.free.push(buffer),
            Slice::Lent(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_used_again() {
        let mut pool = SlicePool::new(1, 4096);
        let mut first = pool.take();
        let place = first.as_ptr();
        first.extend_from_slice(&[1; 100]);
        pool.put(Slice::Pooled(first));
        let again = pool.take();
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
    }
}
