//! The arena is as large as the largest access unit needs, and not much larger.

use punktfunk_net::limits::LEASES_MAX;
use punktfunk_net::{Arena, Lease};
use punktfunk_proto::{Negotiated, Packetizer, ReassemblerLimits};

use super::arena_bytes;

/// Leases every block of access unit `au` as the protect stage does; returns the bytes.
fn lease_au(arena: &mut Arena, packetizer: &mut Packetizer, au: u32, idr: bool, slices: &[usize]) -> usize {
    packetizer.begin(au, 0, idr, false);
    let mut leases: Vec<Lease> = Vec::new();
    for (index, bytes) in slices.iter().enumerate() {
        let plans =
            packetizer.plan_slice(*bytes, index + 1 == slices.len()).expect("it is within the limits");
        leases.extend(plans.map(|plan| arena.lease(plan.slots_bytes()).expect("the arena has room")));
    }
    let leased = arena.leased_bytes();
    leases.into_iter().for_each(|lease| arena.release(lease));
    leased
}

#[test]
fn the_largest_access_unit_fits_and_little_is_unused() {
    for (au_bytes, slices, per_mille) in
        [(65_536, 1, 0), (65_536, 64, 1_000), (1 << 20, 4, 100), (4 << 20, 1, 100), (4 << 20, 64, 1_000)]
    {
        let negotiated =
            Negotiated::new(1408, 20_000, 60_000, slices, per_mille, au_bytes).expect("in range");
        let blocks_max = usize::from(ReassemblerLimits::from(&negotiated).blocks_per_au_max);
        assert!(blocks_max <= LEASES_MAX);
        let bytes = arena_bytes(&negotiated, blocks_max);
        let mut arena = Arena::new(bytes).expect("a few megabytes");
        let mut packetizer = Packetizer::new(&negotiated);
        packetizer.set_shard_bytes(1408);
        let (count, all) = (usize::from(slices), au_bytes as usize);
        let even = vec![all / count; count];
        // After short slices, a short first one has the whole of the next one cut into short shards.
        let short = vec![1_000; count];
        let lopsided = [vec![1_000; count - 1], vec![all - 1_000 * (count - 1)]].concat();
        let mut largest = 0;
        for (au, (idr, slices)) in (0_u32..).zip([
            (true, &even),
            (false, &short),
            (false, &even),
            (false, &short),
            (false, &lopsided),
            (true, &lopsided),
        ]) {
            largest = largest.max(lease_au(&mut arena, &mut packetizer, au, idr, slices));
            assert_eq!(arena.leased_bytes(), 0);
        }
        // The bound counts a shard's padding and rounding for each slice, which is most of a small access unit.
        assert!(bytes <= largest * 3 / 2 + (512 << 10), "{bytes} bytes for {largest}: {negotiated:?}");
    }
}
