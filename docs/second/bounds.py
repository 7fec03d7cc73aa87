"""What both ends derive from a Welcome's six numbers (docs/wire.md, Bounds), and the longest shard that a path carries.

Refuses (`OutOfRange`) a number out of its range. A bound is never a guess: each is the formula of the document.
"""

from dataclasses import dataclass

from header import OVERHEAD_BYTES, SHARD_UNIT

BLOCK_DATA_SHARDS_MAX = 4_096
SHARD_BYTES_MIN, SHARD_BYTES_MAX = 256, 8_896
SEQUENCES = 1 << 23
AU_STALL_DEADLINE_US = 250_000
ENDED_AUS_KNOWN = 64

_RANGES = {
    "shard_bytes_max": (SHARD_BYTES_MIN, SHARD_BYTES_MAX),
    "bitrate_kbps": (500, 8_000_000),
    "refresh_mhz": (1_000, 480_000),
    "slices_max": (1, 64),
    "redundancy_per_mille": (0, 1_000),
    "au_bytes_max": (65_536, 67_108_864),
}


class OutOfRange(ValueError):
    """A number of the Welcome that ends the session."""


def _up(value: int, by: int) -> int:
    return -(-value // by)


def _within(value: int, least: int, most: int) -> int:
    return max(least, min(value, most))


def _power_of_two(value: int) -> int:
    return 1 << (value - 1).bit_length()


@dataclass(frozen=True)
class Bounds:
    """In the order in which the vectors list them."""

    shard_bytes_max: int
    bitrate_kbps: int
    refresh_mhz: int
    slices_max: int
    redundancy_per_mille: int
    au_bytes_max: int

    def __post_init__(self):
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise OutOfRange(f"{name} is {value}, not {least} to {most}")
        if self.shard_bytes_max % SHARD_UNIT:
            raise OutOfRange(f"shard_bytes_max is {self.shard_bytes_max}, no multiple of {SHARD_UNIT}")

    @classmethod
    def of(cls, fields: dict) -> "Bounds":
        return cls(**{name: fields[name] for name in _RANGES})

    def parity_agreed(self, k: int, idr: bool) -> int:
        """The most parity that a block of `k` data shards may have."""
        rate = k * self.redundancy_per_mille
        return max(_up(rate * 3 // 2, 1_000), 2) if idr else max(_up(rate, 1_000), 1)

    @property
    def parity_max(self) -> int:
        return self.parity_agreed(BLOCK_DATA_SHARDS_MAX, True)

    @property
    def block_shards_max(self) -> int:
        return BLOCK_DATA_SHARDS_MAX + self.parity_max

    @property
    def blocks_per_au_max(self) -> int:
        shards = self.au_bytes_max // SHARD_BYTES_MIN + self.slices_max
        return self.slices_max + _up(shards, BLOCK_DATA_SHARDS_MAX) + 1

    @property
    def au_deadline_us(self) -> int:
        return _within(2 * (10**9 // self.refresh_mhz), 20_000, 100_000)

    @property
    def aus_open_max(self) -> int:
        pictures = self.refresh_mhz * (self.au_deadline_us // 1_000) // 10**6
        return _power_of_two(_within(2 * pictures + 8, 16, 64))

    @property
    def au_span(self) -> int:
        blocks, shard = self.blocks_per_au_max, self.shard_bytes_max
        data = self.au_bytes_max + blocks * shard
        parity_per_mille = 1_000 * self.parity_max // BLOCK_DATA_SHARDS_MAX + 1
        return data + data * parity_per_mille // 1_000 + 2 * blocks * shard

    @property
    def replay_window(self) -> int:
        return _power_of_two(_within(6 * (self.au_span // SHARD_BYTES_MIN), 65_536, 1 << 22))

    @property
    def memory(self) -> int:
        return 12 * self.au_span

    def derived(self) -> dict:
        """As the vectors name them."""
        return {
            "au_deadline_us": self.au_deadline_us,
            "au_stall_deadline_us": AU_STALL_DEADLINE_US,
            "aus_open_max": self.aus_open_max,
            "block_data_shards_max": BLOCK_DATA_SHARDS_MAX,
            "block_shards_max": self.block_shards_max,
            "blocks_per_au_max": self.blocks_per_au_max,
            "replay_window": self.replay_window,
        }


def shard_bytes_of(udp_payload: int):
    """The longest shard in a UDP payload of this length, or None."""
    longest = min((udp_payload - OVERHEAD_BYTES) // SHARD_UNIT * SHARD_UNIT, SHARD_BYTES_MAX)
    return longest if longest >= SHARD_BYTES_MIN else None
