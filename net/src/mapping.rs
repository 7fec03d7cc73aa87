//! Memory from the kernel: anonymous, prefaulted, on huge pages where they are to be had: those set apart
//! (`MAP_HUGETLB`), else those that the kernel puts together (`MADV_HUGEPAGE`).
//!
//! Promises: no page fault later, nor by [`Mapping::renew`]; zeroed at first, given back on drop. Refuses: to be resized or
//! shared.

use std::io;
use std::mem;
use std::process;
use std::ptr::{self, NonNull};

use crate::NetError;

/// The size of a transparent huge page on x86-64 and on arm64 with 4 KiB pages.
const HUGE_BYTES: usize = 2 << 20;

/// Which pages a piece of memory lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageKind {
    /// All of it on huge pages.
    Huge,
    /// Some of it on huge pages.
    Mixed {
        /// How much of it.
        huge_bytes: usize,
    },
    /// None of it on huge pages.
    Small,
}

/// One anonymous mapping.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    bytes: usize,
    pages: PageKind,
}

// SAFETY: the mapping is owned by this value alone, like a `Box<[u8]>`; nothing in it belongs to a thread.
unsafe impl Send for Mapping {}
// SAFETY: through a shared reference the bytes can only be read.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps at least `bytes`, rounded up to whole pages (huge ones from one huge page on).
    ///
    /// # Errors
    /// [`NetError::Map`] if the kernel has no such memory.
    pub(crate) fn new(bytes: usize) -> Result<Self, NetError> {
        let unit = if bytes >= HUGE_BYTES { HUGE_BYTES } else { page_bytes() };
        let refused = |source| NetError::Map { bytes, source };
        let whole =
            bytes.checked_next_multiple_of(unit).ok_or_else(|| refused(io::ErrorKind::OutOfMemory.into()))?;
        if unit == HUGE_BYTES
            && let Ok(base) = map(whole, libc::MAP_HUGETLB | libc::MAP_HUGE_2MB | libc::MAP_POPULATE)
        {
            // Of the pages that somebody has set apart: whole or not at all, and never swapped.
            return Ok(Self { base, bytes: whole, pages: PageKind::Huge });
        }
        let mut mapping = Self::of_no_pages_set_apart(whole, unit).map_err(refused)?;
        mapping.pages = pages_of(mapping.base.as_ptr() as usize, whole);
        Ok(mapping)
    }

    /// `bytes` at a multiple of `unit`, on the pages that there are for everybody.
    fn of_no_pages_set_apart(bytes: usize, unit: usize) -> io::Result<Self> {
        let base = map_aligned(bytes, unit)?;
        let mut mapping = Self { base, bytes, pages: PageKind::Small };
        // SAFETY: the range is this mapping's own; the advice changes no contents. A refusal (no transparent
        // huge pages in this kernel) leaves small pages, which `pages` then says.
        unsafe { libc::madvise(base.as_ptr().cast(), bytes, libc::MADV_HUGEPAGE) };
        mapping.prefault();
        Ok(mapping)
    }

    /// The same bytes at the same place on other pages, none of them set apart: what the kernel still reads of the old
    /// ones stays as it is, whatever is written from now on.
    ///
    /// # Errors
    /// [`NetError::Map`] if the kernel has no such memory, or moves none. Then nothing has changed.
    pub(crate) fn renew(&mut self) -> Result<(), NetError> {
        let bytes = self.bytes;
        let refused = |source| NetError::Map { bytes, source };
        let unit = if bytes >= HUGE_BYTES { HUGE_BYTES } else { page_bytes() };
        let mut other = Self::of_no_pages_set_apart(bytes, unit).map_err(refused)?;
        other.as_mut_slice().copy_from_slice(self.as_slice());
        let (from, to) = (other.base.as_ptr().cast(), self.base.as_ptr().cast());
        // SAFETY: both ranges are mappings of this length of which nothing is borrowed: `other` is known here only, and
        // `&mut self` says so of ours. Pages that the kernel has pinned of the old ones live on with it.
        let moved =
            unsafe { libc::mremap(from, bytes, bytes, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED, to) };
        if moved == libc::MAP_FAILED {
            let source = io::Error::last_os_error();
            // SAFETY: advice that every page has already; it is refused only where none is mapped.
            if unsafe { libc::madvise(to, bytes, libc::MADV_NORMAL) } != 0 {
                // The old pages were taken and no others put there: whoever reads or writes them must not go on.
                process::abort();
            }
            return Err(refused(source));
        }
        // Its range is empty now.
        mem::forget(other);
        self.pages = pages_of(self.base.as_ptr() as usize, bytes);
        Ok(())
    }

    pub(crate) fn pages(&self) -> PageKind {
        self.pages
    }

    /// Where it begins.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.base
    }

    /// Its length.
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        // SAFETY: `base` is valid for `bytes` initialised (zeroed) bytes until drop; `&self` shares them.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.bytes) }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_slice`, and `&mut self` makes this the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr(), self.bytes) }
    }

    /// Makes every page present and writable.
    fn prefault(&mut self) {
        // SAFETY: the range is this mapping's own; populating it keeps its contents.
        let done = unsafe { libc::madvise(self.base.as_ptr().cast(), self.bytes, libc::MADV_POPULATE_WRITE) };
        if done != 0 {
            // Before Linux 5.14: touch them. Volatile, or the stores of zeroes could be left out.
            for page in self.as_mut_slice().chunks_mut(page_bytes()) {
                // SAFETY: a chunk is never empty, and is borrowed mutably.
                unsafe { ptr::write_volatile(page.as_mut_ptr(), 0) };
            }
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly the range that `map_aligned` left mapped; no reference outlives `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}

/// Maps `bytes` at a multiple of `align` (a power of two, a multiple of the page): maps more, cuts both ends.
fn map_aligned(bytes: usize, align: usize) -> io::Result<NonNull<u8>> {
    let all = bytes.checked_add(align).ok_or(io::ErrorKind::OutOfMemory)?;
    let raw = map(all, 0)?.as_ptr();
    let before = raw.align_offset(align);
    let after = align - before;
    // SAFETY: `before <= align` and `before + bytes + after == all`: both cuts are page-aligned parts of the
    // mapping just made, outside of what is returned.
    unsafe {
        if before > 0 {
            libc::munmap(raw.cast(), before);
        }
        if after > 0 {
            libc::munmap(raw.add(before + bytes).cast(), after);
        }
        NonNull::new(raw.add(before)).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }
}

/// Maps `bytes` of new memory where the kernel likes.
fn map(bytes: usize, flags: i32) -> io::Result<NonNull<u8>> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = flags | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no existing memory.
    let raw = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, -1, 0) };
    if raw == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(raw.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

/// Whether this machine has huge pages for who asks: set apart, or put together on demand.
pub(crate) fn huge_pages() -> bool {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let free = read("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
    has_huge_pages(&free, &read("/sys/kernel/mm/transparent_hugepage/enabled"))
}

/// By the kernel's own words: the number set apart that is free, and the policy in brackets.
fn has_huge_pages(free: &str, transparent: &str) -> bool {
    let set_apart = free.trim().parse::<u64>().is_ok_and(|free| free > 0);
    set_apart || transparent.contains("[always]") || transparent.contains("[madvise]")
}

fn page_bytes() -> usize {
    // SAFETY: no preconditions.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).unwrap_or(4096)
}

/// What the kernel says about the pages of a range; small where it says nothing.
fn pages_of(base: usize, bytes: usize) -> PageKind {
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    kind(huge_bytes_in(&smaps, base, base + bytes), bytes)
}

fn kind(huge_bytes: usize, bytes: usize) -> PageKind {
    match huge_bytes {
        0 => PageKind::Small,
        huge if huge >= bytes => PageKind::Huge,
        huge_bytes => PageKind::Mixed { huge_bytes },
    }
}

/// Sums `AnonHugePages` over the areas that lie in `start..end`. An area that merely overlaps (the kernel
/// joins neighbours with equal flags) counts up to the overlap.
fn huge_bytes_in(smaps: &str, start: usize, end: usize) -> usize {
    let mut overlap = 0;
    let mut huge = 0;
    for line in smaps.lines() {
        let first = line.split_ascii_whitespace().next().unwrap_or_default();
        if let Some((low, high)) = area(first) {
            overlap = high.min(end).saturating_sub(low.max(start));
        } else if first == "AnonHugePages:" {
            let kib: usize = line.split_ascii_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
            huge += (kib << 10).min(overlap);
        }
    }
    huge
}

fn area(text: &str) -> Option<(usize, usize)> {
    let (low, high) = text.split_once('-')?;
    Some((usize::from_str_radix(low, 16).ok()?, usize::from_str_radix(high, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_zeroed_aligned_and_writable_to_its_ends() {
        for asked in [1, 4096, 100_000, HUGE_BYTES, 3 * HUGE_BYTES + 1] {
            let mut mapping = Mapping::new(asked).unwrap();
            assert!(mapping.as_slice().len() >= asked);
            assert!(mapping.as_slice().iter().all(|byte| *byte == 0));
            let last = mapping.as_slice().len() - 1;
            mapping.as_mut_slice()[0] = 1;
            mapping.as_mut_slice()[last] = 2;
            assert_eq!((mapping.as_slice()[0], mapping.as_slice()[last]), (1, 2));
            if asked >= HUGE_BYTES {
                assert_eq!(mapping.as_slice().as_ptr() as usize % HUGE_BYTES, 0);
            }
        }
    }

    #[test]
    fn an_impossible_size_is_an_error() {
        for bytes in [usize::MAX, usize::MAX / 2, 1 << 60] {
            assert!(matches!(Mapping::new(bytes), Err(NetError::Map { .. })), "{bytes}");
        }
    }

    #[test]
    fn huge_pages_are_there_by_either_way() {
        for (free, transparent, are) in [
            ("0\n", "always madvise [never]\n", false),
            ("3\n", "always madvise [never]\n", true),
            ("0\n", "always [madvise] never\n", true),
            ("", "[always] madvise never\n", true),
            ("", "", false),
            ("many", "madvise", false),
        ] {
            assert_eq!(has_huge_pages(free, transparent), are, "{free:?} {transparent:?}");
        }
    }

    #[test]
    fn huge_pages_are_summed_within_the_range_only() {
        let smaps = "1000-2000 rw-p 0 00:00 0\nAnonHugePages:      4 kB\nVmFlags: rd\n\
                     200000-600000 rw-p 0 00:00 0 [x]\nSize: 4096 kB\nAnonHugePages:   4096 kB\n\
                     600000-800000 rw-p\nAnonHugePages: 2048 kB\nbroken-line\nAnonHugePages:\n";
        assert_eq!(huge_bytes_in(smaps, 0x20_0000, 0x60_0000), 4 << 20);
        assert_eq!(huge_bytes_in(smaps, 0x40_0000, 0x60_0000), 2 << 20);
        assert_eq!(huge_bytes_in(smaps, 0x90_0000, 0xa0_0000), 0);
        assert_eq!(kind(0, 5), PageKind::Small);
        assert_eq!(kind(3, 5), PageKind::Mixed { huge_bytes: 3 });
        assert_eq!(kind(5, 5), PageKind::Huge);
    }

    #[test]
    fn renewed_memory_is_where_it_was_and_holds_what_it_held() {
        for bytes in [1, HUGE_BYTES] {
            let mut mapping = Mapping::new(bytes).unwrap();
            let base = mapping.start();
            let bytes = mapping.len();
            for round in 0..3 {
                let byte = |index: usize| (index + round) as u8;
                mapping.as_mut_slice().iter_mut().enumerate().for_each(|(index, at)| *at = byte(index));
                mapping.renew().unwrap();
                assert_eq!((mapping.start(), mapping.len()), (base, bytes));
                assert!(mapping.as_slice().iter().enumerate().all(|(index, at)| *at == byte(index)));
            }
        }
    }
}
