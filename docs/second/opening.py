"""The receiver's side of the keys (docs/wire.md, Epochs, Replay window): which epochs are open, each sequence once.

Promises that nothing changes before a tag held. Refuses, in this order: an epoch that is not open, a tag that does
not hold, a sequence that was opened or is too old.
"""

from aead import Refused
from header import HEADER_BYTES, Header
from keys import EpochKey

GRACE_US = 2_000_000
UNKNOWN_EPOCH, BAD_TAG, REPLAYED = "unknown_epoch", "bad_tag", "replayed"


class NotOpened(Exception):
    """Its one argument is the outcome."""


class Window:
    """The sequences of one epoch that were opened, of the last `size` up to the highest."""

    def __init__(self, size: int):
        self._size, self._highest, self._opened = size, -1, set()

    def take(self, sequence: int) -> bool:
        """Marks it; False when it was there before or is too old to know."""
        if sequence <= self._highest - self._size or sequence in self._opened:
            return False
        self._opened.add(sequence)
        if sequence > self._highest:
            self._highest = sequence
            if len(self._opened) > self._size:
                self._opened = {one for one in self._opened if one > sequence - self._size}
        return True


class Opener:
    def __init__(self, secret: bytes, cipher: int, direction: int, plane: int, window: int):
        self._about, self._size = (secret, cipher, direction, plane), window
        self.epoch, self._since_us = 0, None
        self._keys, self._windows = {}, {0: Window(window)}

    def _key(self, epoch: int) -> EpochKey:
        if epoch not in self._keys:
            self._keys[epoch] = EpochKey.derive(*self._about, epoch)
        return self._keys[epoch]

    def _named(self, low: int, now_us: int) -> int:
        for epoch in (self.epoch, self.epoch + 1):
            if epoch & 3 == low:
                return epoch
        in_grace = self.epoch > 0 and now_us - self._since_us < GRACE_US
        if in_grace and (self.epoch - 1) & 3 == low:
            return self.epoch - 1
        raise NotOpened(UNKNOWN_EPOCH)

    def open(self, header: Header, datagram: bytes, now_us: int) -> bytes:
        """The shard, or `NotOpened`."""
        epoch = self._named(header.epoch_low, now_us)
        try:
            shard = self._key(epoch).open(header.sequence, datagram[:HEADER_BYTES], datagram[HEADER_BYTES:])
        except Refused:
            raise NotOpened(BAD_TAG) from None
        if epoch > self.epoch:
            self._go_on(epoch, now_us)
        if not self._windows[epoch].take(header.sequence):
            raise NotOpened(REPLAYED)
        return shard

    def _go_on(self, epoch: int, now_us: int):
        self._windows = {epoch - 1: self._windows[epoch - 1], epoch: Window(self._size)}
        self._keys = {one: key for one, key in self._keys.items() if one >= epoch - 1}
        self.epoch, self._since_us = epoch, now_us
