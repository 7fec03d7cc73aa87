"""The 24 bytes in front of each media datagram (docs/wire.md, The media datagram).

`Header.parse` refuses what no session could mean, by the header and the length alone; what a session has agreed on is
judged elsewhere. `Header.bytes` gives back what was parsed, bit for bit.
"""

import struct
from dataclasses import dataclass

HEADER_BYTES, TAG_BYTES = 24, 16
OVERHEAD_BYTES = HEADER_BYTES + TAG_BYTES
SHARD_UNIT = 64
SHARDS_MAX = 65_535

LAST_BLOCK, SLICE_END, IDR, RECOVERY_POINT = 1, 2, 4, 8
FLAGS = LAST_BLOCK | SLICE_END | IDR | RECOVERY_POINT

_LAYOUT = struct.Struct("<BBHIIIHHHH")
assert _LAYOUT.size == HEADER_BYTES


class Malformed(Exception):
    """No sender of this protocol makes such a datagram."""


@dataclass(frozen=True)
class Header:
    plane: int
    epoch_low: int
    flags: int
    shard: int
    sequence: int
    au: int
    pts_us: int
    k: int
    m: int
    block: int
    tail: int

    def bytes(self) -> bytes:
        kind = self.plane << 4 | self.epoch_low << 2
        return _LAYOUT.pack(
            kind, self.flags, self.shard, self.sequence, self.au, self.pts_us, self.k, self.m, self.block, self.tail
        )

    @classmethod
    def parse(cls, datagram: bytes, plane: int) -> "Header":
        """Of a datagram for a receiver of `plane`."""
        shard_bytes = len(datagram) - OVERHEAD_BYTES
        if shard_bytes <= 0 or shard_bytes % SHARD_UNIT:
            raise Malformed("a length that there is not")
        kind, flags, *rest = _LAYOUT.unpack_from(datagram)
        if kind & 0b1100_0011 or flags & ~FLAGS:
            raise Malformed("a bit that is kept is set")
        header = cls(kind >> 4 & 3, kind >> 2 & 3, flags, *rest)
        if header.plane != plane:
            raise Malformed("another plane")
        header._judge(shard_bytes)
        return header

    def _judge(self, shard_bytes: int):
        if not self.k or not self.m or self.k + self.m > SHARDS_MAX:
            raise Malformed("no FEC block has this shape")
        if self.shard >= self.k + self.m:
            raise Malformed("a shard behind its block's last")
        if self.tail > shard_bytes or (self.tail == shard_bytes and self.k > 1):
            raise Malformed("more padding than there can be")
