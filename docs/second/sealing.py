"""The sender's side of the keys (docs/wire.md, Epochs): it gives out sequences and goes on to the next epoch.

Promises that no sequence of an epoch is used twice, and that the epoch goes on only when the receiver is known to
have the one before. Refuses (`Exhausted`) to seal when the sequences are used up and it may not go on.
"""

from dataclasses import replace

from bounds import SEQUENCES
from header import Header
from keys import EpochKey

EPOCH_US = 600 * 1_000_000


class Exhausted(Exception):
    """No sequence is left until a feedback report says that this epoch was opened."""


class Sealer:
    def __init__(self, secret, cipher, direction, plane, now_us, sequences=SEQUENCES, epoch_us=EPOCH_US):
        assert sequences <= SEQUENCES and epoch_us <= EPOCH_US
        self._about = (secret, cipher, direction, plane)
        self._sequences, self._epoch_us = sequences, epoch_us
        self._opened = None
        self._begin(0, now_us)

    def _begin(self, epoch: int, now_us: int):
        self._key, self._sequence, self._since_us = EpochKey.derive(*self._about, epoch), 0, now_us

    @property
    def epoch(self) -> int:
        return self._key.epoch

    def handle_epoch_opened(self, epoch: int):
        """A feedback report's word; one of an epoch ahead of this one is not believed."""
        if epoch <= self.epoch:
            self._opened = epoch if self._opened is None else max(self._opened, epoch)

    def seal(self, header: Header, shard: bytes, now_us: int) -> bytes:
        """The whole datagram; the header's epoch and sequence are filled in here."""
        used_up = self._sequence == self._sequences
        if (used_up or now_us - self._since_us >= self._epoch_us) and self._opened == self.epoch:
            self._begin(self.epoch + 1, now_us)
        elif used_up:
            raise Exhausted
        sequence, self._sequence = self._sequence, self._sequence + 1
        aad = replace(header, epoch_low=self.epoch & 3, sequence=sequence).bytes()
        return aad + self._key.seal(sequence, aad, shard)
