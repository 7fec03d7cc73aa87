"""A speed test's filler at its receiver (docs/wire.md, The speed test).

Promises that only what is authentic, new and of the newest test counts. Refuses nothing by an exception: what does not
count is left out.
"""

import keys
from header import OVERHEAD_BYTES, Header, Malformed
from opening import NotOpened, Opener

WINDOW = 65_536
POSITIONS = 10


class Meter:
    def __init__(self, secret: bytes, cipher: int, shard_bytes_max: int):
        self._opener = Opener(secret, cipher, keys.HOST_TO_CLIENT, keys.PROBE, WINDOW)
        self._shard_bytes_max = shard_bytes_max
        self._test = None

    def handle_datagram(self, datagram: bytes, at_us: int) -> bool:
        """Whether it counts."""
        try:
            header = Header.parse(datagram, keys.PROBE)
        except Malformed:
            return False
        if header.flags or header.tail or len(datagram) - OVERHEAD_BYTES > self._shard_bytes_max:
            return False
        try:
            self._opener.open(header, datagram, at_us)
        except NotOpened:
            return False
        if self._test is None or 0 < (header.block - self._test) % 2**16 < 2**15:
            self._begin(header.block, at_us)
        elif header.block != self._test:
            return False
        self._count(header, len(datagram), at_us)
        return True

    def _begin(self, test: int, at_us: int):
        self._test, self._first_us, self._last_us = test, at_us, at_us
        self._datagrams = self._bytes = 0
        self._by_position = [0] * POSITIONS
        self._pts_us, self._delays = None, []

    def _count(self, header: Header, datagram_bytes: int, at_us: int):
        self._last_us = at_us
        self._datagrams += 1
        self._bytes += datagram_bytes
        self._by_position[header.shard * POSITIONS // (header.k + header.m)] += 1
        if header.pts_us != self._pts_us:
            self._pts_us = header.pts_us
            delay = (at_us - header.pts_us) % 2**32
            base = self._delays[0] if self._delays else delay
            # Whatever the clocks are: near the first one's.
            above = (delay - base) % 2**32
            self._delays.append(base + above - (2**32 if above >= 2**31 else 0))

    def says(self, test: int) -> dict:
        said = {"test": test, "epoch_opened": self._opener.epoch}
        if test != self._test:
            nothing = "datagrams wire_bytes span_us delay_p50_us delay_p99_us".split()
            return {**said, **dict.fromkeys(nothing, 0), "by_position": [0] * POSITIONS}
        delays = sorted(self._delays)

        def above(per_mille: int) -> int:
            return delays[(len(delays) - 1) * per_mille // 1_000] - delays[0]

        return {
            **said,
            "datagrams": self._datagrams,
            "wire_bytes": self._bytes,
            "span_us": self._last_us - self._first_us,
            "by_position": self._by_position,
            "delay_p50_us": above(500),
            "delay_p99_us": above(990),
        }
