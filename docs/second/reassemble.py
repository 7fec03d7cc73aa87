"""From datagrams in any order to blocks in order (docs/wire.md, What a receiver says of a datagram, and Delivery).

`handle_datagram` gives the outcome's name, `handle_timeout` lets time go by, `poll` hands on what is due: blocks,
each once and in order, and AUs that are lost. Promises that what is refused changes nothing but the replay window,
and that no header makes it hold more than was agreed.
"""

from dataclasses import dataclass, field

import fec
from bounds import AU_STALL_DEADLINE_US, BLOCK_DATA_SHARDS_MAX, ENDED_AUS_KNOWN, SEQUENCES, Bounds
from header import IDR, LAST_BLOCK, OVERHEAD_BYTES, RECOVERY_POINT, SLICE_END, Header, Malformed
from keys import VIDEO
from opening import NotOpened, Opener

ACCEPTED, SURPLUS, LATE, MALFORMED, OVER_LIMIT = "accepted", "surplus", "late", "malformed", "over_limit"


@dataclass
class Block:
    shape: tuple
    have: dict = field(default_factory=dict)
    data: bytes = None
    recovered: int = 0


@dataclass
class OpenAu:
    """`said`: what all its datagrams have in common. `touched_us`: when one was accepted last, None before that."""

    said: tuple
    blocks: dict = field(default_factory=dict)
    last: int = None
    handed_on: int = 0
    touched_us: int = None
    bytes: int = 0


@dataclass
class Delivered:
    au: int
    block: int
    pts_us: int
    flags: int
    bytes: bytes
    recovered: int


@dataclass
class Lost:
    """`count` AUs from this one on; of the first, so many blocks were handed on before."""

    au: int
    count: int
    blocks_delivered: int


class Reassembler:
    def __init__(self, bounds: Bounds, opener: Opener):
        self._bounds, self._opener = bounds, opener
        self._aus = {}
        self._next = 0  # the AU that is handed on next; all below it have ended
        self._ended_well = set()
        self._superseded_us = {}  # when a newer AU was first opened
        self._memory = 0
        self._due = []
        self.highest_au = None

    @property
    def epoch_opened(self) -> int:
        return self._opener.epoch

    def handle_datagram(self, datagram: bytes, now_us: int) -> str:
        self.handle_timeout(now_us)
        try:
            header = Header.parse(datagram, VIDEO)
        except Malformed:
            return MALFORMED
        shard_bytes = len(datagram) - OVERHEAD_BYTES
        if self._is_over(header, shard_bytes):
            return OVER_LIMIT
        if header.sequence >= SEQUENCES:
            return MALFORMED
        try:
            shard = self._opener.open(header, datagram, now_us)
        except NotOpened as why:
            return why.args[0]
        outcome = self._place(header, shard, now_us)
        self._hand_on(now_us)
        return outcome

    def _is_over(self, header: Header, shard_bytes: int) -> bool:
        bounds = self._bounds
        return (
            shard_bytes > bounds.shard_bytes_max
            or header.k > BLOCK_DATA_SHARDS_MAX
            or header.k + header.m > bounds.block_shards_max
            or header.block >= bounds.blocks_per_au_max
        )

    def _place(self, header: Header, shard: bytes, now_us: int) -> str:
        """Of an authentic datagram."""
        if header.au < self._next:
            known = header.au >= self._next - ENDED_AUS_KNOWN
            return SURPLUS if known and header.au in self._ended_well else LATE
        self._push_out(header.au - self._bounds.aus_open_max)
        said = (header.pts_us, header.flags & (IDR | RECOVERY_POINT), len(shard))
        if header.au not in self._aus:
            self._open(header.au, said, now_us)
        au = self._aus[header.au]
        shape = (header.k, header.m, header.tail, header.flags)
        if self._contradicts(au, header, said, shape):
            return MALFORMED
        block = au.blocks.get(header.block)
        if block is None:
            size = header.k * len(shard) - header.tail
            memory = (header.k + min(header.k, header.m)) * len(shard)
            if au.bytes + size > self._bounds.au_bytes_max or self._memory + memory > self._bounds.memory:
                return OVER_LIMIT
            block = au.blocks[header.block] = Block(shape)
            au.bytes, self._memory = au.bytes + size, self._memory + memory
        elif block.data is not None or header.shard in block.have:
            return SURPLUS
        au.touched_us = now_us
        if header.flags & LAST_BLOCK:
            au.last = header.block
        block.have[header.shard] = shard
        if len(block.have) == header.k:
            self._complete(block)
        return ACCEPTED

    @staticmethod
    def _contradicts(au: OpenAu, header: Header, said: tuple, shape: tuple) -> bool:
        if au.said != said:
            return True
        if header.block in au.blocks:
            return au.blocks[header.block].shape != shape
        if au.last is not None and header.block > au.last:
            return True
        return bool(header.flags & LAST_BLOCK) and (au.last is not None or header.block < max(au.blocks, default=0))

    @staticmethod
    def _complete(block: Block):
        k, m, tail, _ = block.shape
        block.recovered = sum(1 for shard in range(k) if shard not in block.have)
        data = b"".join(fec.recover(k, m, block.have))
        block.data = data[: len(data) - tail]
        block.have.clear()

    def _open(self, number: int, said: tuple, now_us: int):
        """The clocks of older ones start, if they had not."""
        self._aus[number] = OpenAu(said)
        for older in range(max(self._next, self.highest_au or 0), number):
            self._superseded_us.setdefault(older, now_us)
        self.highest_au = max(self.highest_au or 0, number)

    def handle_timeout(self, now_us: int):
        while self._deadline_us() <= now_us:
            self._give_up()
            self._hand_on(now_us)

    def _deadline_us(self) -> float:
        """When the AU that is next is no use any more."""
        if self._next in self._superseded_us:
            return self._superseded_us[self._next] + self._bounds.au_deadline_us
        au = self._aus.get(self._next)
        waits = au is not None and au.touched_us is not None
        return au.touched_us + AU_STALL_DEADLINE_US if waits else float("inf")

    def _push_out(self, newest: int):
        """Gives up every AU up to this one, whole or not; a gap of any width at once."""
        while self._next <= newest:
            if self._next in self._aus:
                self._give_up()
            else:
                self._skip(min([au for au in self._aus if au <= newest], default=newest + 1))

    def _give_up(self):
        au = self._aus.get(self._next)
        self._due.append(Lost(self._next, 1, au.handed_on if au else 0))
        self._end()

    def _skip(self, to: int):
        """Nothing came of the AUs below `to`."""
        self._due.append(Lost(self._next, to - self._next, 0))
        self._end(to)

    def _end(self, to: int = None):
        """The next AU has ended, or all below `to`."""
        au = self._aus.pop(self._next, None)
        for block in au.blocks.values() if au else ():
            k, m, _, _ = block.shape
            self._memory -= (k + min(k, m)) * au.said[2]
        self._next = to or self._next + 1
        self._superseded_us = {au: since for au, since in self._superseded_us.items() if au >= self._next}
        self._ended_well = {au for au in self._ended_well if au >= self._next - ENDED_AUS_KNOWN}

    def _hand_on(self, now_us: int):
        while (au := self._aus.get(self._next)) is not None:
            block = au.blocks.get(au.handed_on)
            if block is None or block.data is None:
                return
            flags = block.shape[3]
            self._due.append(Delivered(self._next, au.handed_on, au.said[0], flags, block.data, block.recovered))
            au.handed_on += 1
            if flags & LAST_BLOCK:
                self._ended_well.add(self._next)
                self._end()

    def poll(self) -> list:
        """What is due since the last call."""
        due, self._due = self._due, []
        return due


def flag_names(flags: int) -> dict:
    """As the vectors say them."""
    names = (("last_block", LAST_BLOCK), ("slice_end", SLICE_END), ("idr", IDR), ("recovery_point", RECOVERY_POINT))
    return {name: bool(flags & bit) for name, bit in names}
