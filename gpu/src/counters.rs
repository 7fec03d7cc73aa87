//! What became of pictures here, by number: what went as it should, and each thing that did not.

/// Counted since the importer was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Pictures whose conversion was begun.
    pub conversions: u64,
    /// Buffers that became images: one for each buffer of a producer, not for each picture.
    pub imports: u64,
    /// Pictures whose buffer was an image already.
    pub cache_hits: u64,
    /// Images that made room for newer ones.
    pub evictions: u64,
    /// Pictures that came in memory and were uploaded.
    pub uploads: u64,
    /// Of those the ones that the GPU read where they were.
    pub uploads_in_place: u64,
    /// Bytes of pictures that the CPU copied.
    pub bytes_copied: u64,
    /// Pictures whose producer named a point at which its drawing is done.
    pub explicit_acquires: u64,
    /// Pictures whose producer's drawing was asked for at the buffer itself.
    pub implicit_acquires: u64,
    /// Pictures of which nobody could say whether their drawing was done.
    pub unguarded_acquires: u64,
    /// Waits of this thread for a producer, because the GPU could not wait by itself.
    pub host_waits_acquire: u64,
    /// Release points that this thread brought up when it came by, because the GPU could not by itself.
    pub late_releases: u64,
    /// Waits of this thread for a picture to be done, because its reader is the CPU or has no shared semaphore.
    pub host_waits_hand_over: u64,
    /// Waits of this thread because too much was under way.
    pub host_waits_full: u64,
}

impl Counters {
    /// Every wait of this thread.
    #[must_use]
    pub fn host_waits(&self) -> u64 {
        self.host_waits_acquire + self.host_waits_hand_over + self.host_waits_full
    }
}
