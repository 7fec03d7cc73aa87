"""The feedback report (docs/wire.md), read and written: a dict of fields named as in the vectors.

Reading skips parts behind the known ones. Refuses (`Refused`, whose argument names why) another version, counts above
the limits and bytes too few for the counts.
"""

import struct

VERSION = 1
OPEN_AUS_MAX, WORDS_MAX, REPORT_BYTES_MAX = 4, 60, 1_120
HIGHEST_AU, ONE_WAY_DELAY, UNSEEN, TIMES, LOAD = 1, 2, 4, 32, 64
ARRIVALS_SHIFT = 3

_HEAD = struct.Struct("<BBBBIIHHIiI")
_OPEN, _WORD, _UNSEEN, _ARRIVAL = (struct.Struct(layout) for layout in ("<IHBB", "<IHHQ", "<Q", "<IIIII"))
_TIME, _LOAD = struct.Struct("<I"), struct.Struct("<IIHH")
_ARRIVAL_FIELDS = ("au", "first", "reach", "datagrams", "span_us")
_LOAD_FIELDS = ("aus_lost", "decode_us", "aus_waiting", "aus_overrun")


class Refused(ValueError):
    """too_short, version or too_many."""


class _Bytes:
    def __init__(self, report: bytes):
        self._report, self._at = report, 0

    def take(self, layout: struct.Struct) -> tuple:
        if self._at + layout.size > len(self._report):
            raise Refused("too_short")
        self._at += layout.size
        return layout.unpack_from(self._report, self._at - layout.size)


def _bits(word: int) -> list:
    return [bit for bit in range(64) if word >> bit & 1]


def _word(bits) -> int:
    return sum(1 << bit for bit in bits)


def parse(report: bytes) -> dict:
    # Of another version, no more than these four bytes is sure to be there.
    if len(report) < 4:
        raise Refused("too_short")
    if report[0] != VERSION:
        raise Refused("version")
    if report[1] > OPEN_AUS_MAX or report[2] > WORDS_MAX:
        raise Refused("too_many")
    source = _Bytes(report)
    _, open_aus, words, flags, highest, epoch, lost, burst, drops, delay, rate = source.take(_HEAD)
    aus = [source.take(_OPEN) for _ in range(open_aus)]
    missing = [source.take(_WORD) for _ in range(words)]
    unseen = [source.take(_UNSEEN)[0] for _ in range(open_aus)] if flags & UNSEEN else [0] * open_aus
    arrivals = [source.take(_ARRIVAL) for bit in (0, 1) if flags >> ARRIVALS_SHIFT + bit & 1]
    times = [source.take(_TIME)[0] if flags & TIMES else None for _ in arrivals]
    load = dict(zip(_LOAD_FIELDS, source.take(_LOAD))) if flags & LOAD else None
    return {
        "highest_au": highest if flags & HIGHEST_AU else None,
        "epoch_opened": epoch,
        "lost_per_mille": lost,
        "burst_max": burst,
        "kernel_drops": drops,
        "one_way_delay_us": delay if flags & ONE_WAY_DELAY else None,
        "receive_kbps": rate,
        "open_aus": [
            {"au": au, "blocks_seen": seen, "end_seen": bool(end & 1), "unseen_blocks": _bits(bits)}
            for (au, seen, end, _), bits in zip(aus, unseen)
        ],
        "missing": [
            {"au": au, "block": block, "word": word, "shards": [64 * word + bit for bit in _bits(bits)]}
            for au, block, word, bits in missing
        ],
        "arrivals": [
            dict(zip(_ARRIVAL_FIELDS, arrival), newest_us=time) for arrival, time in zip(arrivals, times)
        ],
        "load": load,
    }


def serialise(fields: dict) -> bytes:
    aus, missing, arrivals = fields["open_aus"], fields["missing"], fields["arrivals"]
    assert len(aus) <= OPEN_AUS_MAX and len(missing) <= WORDS_MAX and len(arrivals) <= 2
    highest, delay = fields["highest_au"], fields["one_way_delay_us"]
    unseen = any(au["unseen_blocks"] for au in aus)
    flags = (HIGHEST_AU if highest is not None else 0) | (ONE_WAY_DELAY if delay is not None else 0)
    flags |= (UNSEEN if unseen else 0) | _word(range(len(arrivals))) << ARRIVALS_SHIFT
    times, load = [arrival["newest_us"] for arrival in arrivals if arrival["newest_us"] is not None], fields["load"]
    assert len(times) in (0, len(arrivals))
    flags |= (TIMES if times else 0) | (LOAD if load is not None else 0)
    lost, burst = fields["lost_per_mille"], fields["burst_max"]
    head = (VERSION, len(aus), len(missing), flags, highest or 0, fields["epoch_opened"], lost, burst)
    out = _HEAD.pack(*head, fields["kernel_drops"], delay or 0, fields["receive_kbps"])
    for au in aus:
        out += _OPEN.pack(au["au"], au["blocks_seen"], au["end_seen"], 0)
    for word in missing:
        bits = _word(shard - 64 * word["word"] for shard in word["shards"])
        out += _WORD.pack(word["au"], word["block"], word["word"], bits)
    if unseen:
        out += b"".join(_UNSEEN.pack(_word(au["unseen_blocks"])) for au in aus)
    for arrival in arrivals:
        out += _ARRIVAL.pack(*(arrival[name] for name in _ARRIVAL_FIELDS))
    out += b"".join(_TIME.pack(time) for time in times)
    if load is not None:
        out += _LOAD.pack(*(load[name] for name in _LOAD_FIELDS))
    assert len(out) <= REPORT_BYTES_MAX
    return out
