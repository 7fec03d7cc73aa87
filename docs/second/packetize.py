"""From an access unit to its datagrams (docs/wire.md, From access unit to datagrams).

Promises blocks within the agreed bounds, each with as much parity as was agreed or less. Refuses (`TooMuch`) an AU
that no agreed receiver would take.
"""

from dataclasses import dataclass, field

import fec
from bounds import BLOCK_DATA_SHARDS_MAX, Bounds
from header import IDR, LAST_BLOCK, RECOVERY_POINT, SHARD_UNIT, SLICE_END, Header
from keys import VIDEO
from sealing import Sealer


class TooMuch(ValueError):
    """More slices, blocks or bytes than was agreed."""


@dataclass
class AccessUnit:
    """`late_end`: the last slice went out before its sender knew that it was the last."""

    au: int
    pts_us: int
    slices: list
    idr: bool = False
    recovery_point: bool = False
    late_end: bool = False


@dataclass
class Block:
    """A FEC block before it is sealed."""

    data: list
    tail: int
    flags: int
    shard_bytes: int
    parity: list = field(default_factory=list)


def block_of(data: bytes, shard_bytes: int, flags: int) -> Block:
    """One block of these bytes, the last shard filled up with zeros."""
    k = max(-(-len(data) // shard_bytes), 1)
    tail = k * shard_bytes - len(data)
    padded = data + bytes(tail)
    return Block([padded[at : at + shard_bytes] for at in range(0, len(padded), shard_bytes)], tail, flags, shard_bytes)


def blocks_of(unit: AccessUnit, shard_bytes: int, data_shards: int) -> list:
    """Its blocks without parity, in order, each of at most `data_shards` data shards."""
    step, blocks = shard_bytes * data_shards, []
    for part in unit.slices:
        pieces = [part[at : at + step] for at in range(0, len(part), step)] or [b""]
        blocks += [block_of(piece, shard_bytes, 0) for piece in pieces]
        blocks[-1].flags |= SLICE_END
    if unit.late_end:
        blocks.append(block_of(b"", shard_bytes, 0))
    blocks[-1].flags |= LAST_BLOCK
    for block in blocks:
        block.flags |= (IDR if unit.idr else 0) | (RECOVERY_POINT if unit.recovery_point else 0)
    return blocks


def packetize(
    unit: AccessUnit, bounds: Bounds, shard_bytes: int, sealer: Sealer, now_us: int, data_shards: int = None
) -> list:
    """All its datagrams, sealed, in the order in which they are sent."""
    assert shard_bytes % SHARD_UNIT == 0
    data_shards = data_shards or BLOCK_DATA_SHARDS_MAX
    blocks = blocks_of(unit, shard_bytes, data_shards)
    fits = (
        1 <= len(unit.slices) <= bounds.slices_max
        and len(blocks) <= bounds.blocks_per_au_max
        and sum(map(len, unit.slices)) <= bounds.au_bytes_max
        and shard_bytes <= bounds.shard_bytes_max
        and data_shards <= BLOCK_DATA_SHARDS_MAX
    )
    if not fits:
        raise TooMuch(f"AU {unit.au}")
    datagrams = []
    for number, block in enumerate(blocks):
        block.parity = fec.parity_of(block.data, bounds.parity_agreed(len(block.data), unit.idr))
        for shard, text in enumerate(block.data + block.parity):
            shape = (len(block.data), len(block.parity), number, block.tail)
            header = Header(VIDEO, 0, block.flags, shard, 0, unit.au, unit.pts_us, *shape)
            datagrams.append(sealer.seal(header, text, now_us))
    return datagrams
