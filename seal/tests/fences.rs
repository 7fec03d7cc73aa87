//! Our own AES-128-GCM between pages that must not be touched: memcheck cannot run it, so this is what sees a byte read
//! or written beyond header, text or room.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(unsafe_code, reason = "fenced memory comes from the kernel")]

use punktfunk_seal::{
    AAD_BYTES_MAX, Backend, Cipher, Direction, Opener, Plane, PlaneKeys, Sealer, Secret, TAG_BYTES,
};
use std::time::Instant;

const PAGE_BYTES: usize = 4096;
const ROOM_BYTES: usize = 4 * PAGE_BYTES;

/// Memory with a page before and behind it that ends the process when it is touched.
struct Fenced {
    /// The page before.
    at: *mut u8,
    room: std::ops::Range<usize>,
}

impl Fenced {
    fn new() -> Fenced {
        let bytes = ROOM_BYTES + 2 * PAGE_BYTES;
        let (readable, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: new memory, of which nobody knows.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), bytes, readable, flags, -1, 0) };
        assert_ne!(at, libc::MAP_FAILED);
        let at: *mut u8 = at.cast();
        for fence in [at, at.wrapping_add(PAGE_BYTES + ROOM_BYTES)] {
            // SAFETY: a page of the memory above.
            assert_eq!(unsafe { libc::mprotect(fence.cast(), PAGE_BYTES, libc::PROT_NONE) }, 0);
        }
        Fenced { at, room: PAGE_BYTES..PAGE_BYTES + ROOM_BYTES }
    }

    /// `bytes` right before the fence behind, or right behind the one before.
    fn bytes(&mut self, bytes: usize, at_end: bool) -> &mut [u8] {
        assert!(bytes <= ROOM_BYTES);
        let start = if at_end { self.room.end - bytes } else { self.room.start };
        // SAFETY: within the room, and borrowed as long as this is.
        unsafe { std::slice::from_raw_parts_mut(self.at.add(start), bytes) }
    }
}

impl Drop for Fenced {
    fn drop(&mut self) {
        // SAFETY: what `new` mapped; nothing borrows it any more.
        unsafe { libc::munmap(self.at.cast(), ROOM_BYTES + 2 * PAGE_BYTES) };
    }
}

fn keys(backend: Backend) -> PlaneKeys {
    PlaneKeys::new(&Secret::new([9; 32]), Cipher::Aes128Gcm, Direction::HostToClient, Plane::Video)
        .with_backend(backend)
}

#[test]
fn no_byte_beside_header_text_and_room_is_touched() {
    for backend in [Backend::Vaes512, Backend::Vaes256] {
        if !backend.supports(Cipher::Aes128Gcm) {
            eprintln!("{backend} was not run: this CPU lacks its instructions");
            continue;
        }
        let now = Instant::now();
        let (mut ours, mut library) =
            (Sealer::new(keys(backend), now), Sealer::new(keys(Backend::Ring), now));
        let mut opener = Opener::new(keys(backend), 64);
        let [mut header, mut shard, mut slot, mut place] = [(); 4].map(|()| Fenced::new());
        for length in (0..2300).chain(4000..4100).chain(8150..8200) {
            for (at_end, padding) in [(true, 0), (true, 5), (false, 0), (false, 5)] {
                let aad = header.bytes(length % (AAD_BYTES_MAX + 1), at_end);
                aad.fill(3);
                let text = shard.bytes(length, at_end);
                text.iter_mut().zip(0_usize..).for_each(|(byte, i)| *byte = (i * 7 + i / 251) as u8);
                let sealed = slot.bytes(length + padding + TAG_BYTES, at_end);
                let ticket = ours.reserve(now).unwrap();
                let sequence = ticket.sequence();
                ours.seal(ticket, aad, text, padding, sealed);
                let mut expected = vec![0; sealed.len()];
                let ticket = library.reserve(now).unwrap();
                library.seal(ticket, aad, text, padding, &mut expected);
                assert_eq!(sealed, expected, "{backend}, {length} + {padding} bytes");
                let opened = place.bytes(length + padding, at_end);
                assert_eq!(opener.open(0, sequence, aad, sealed, opened, now), Ok(()));
                assert_eq!(opened[..length], *text, "{backend}, {length} + {padding} bytes");
            }
        }
    }
}
