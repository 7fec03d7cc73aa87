"""The FEC code by its definition in docs/fec.md: sums over the data for parity, and elimination for the way back."""

import functools

from aes_gcm import gf256_mul

U = 0x31
BASIS = [0x0001, 0x00BD, 0x00E1, 0x00EC, 0x00FE, 0x00F9, 0x0047, 0x0031]
BASIS += [0x0100, 0xBDC7, 0xE198, 0xECF8, 0xFE60, 0xF9C3, 0x47A4, 0x314F]
DATA_MAX = PARITY_MAX = 32_768
SHARDS_MAX = 65_535

_LOG, _EXP = [0] * 256, [0] * 510


def _fill_tables():
    value = 1
    for power in range(255):
        _EXP[power] = _EXP[power + 255] = value
        _LOG[value] = power
        value = gf256_mul(value, 3)


_fill_tables()


def _mul8(a: int, b: int) -> int:
    return _EXP[_LOG[a] + _LOG[b]] if a and b else 0


def mul(a: int, b: int) -> int:
    """The product in GF(2^16), whose elements are lo + hi w with w^2 + w = U."""
    a0, a1, b0, b1 = a & 0xFF, a >> 8, b & 0xFF, b >> 8
    high = _mul8(a1, b1)
    return (_mul8(a0, b0) ^ _mul8(U, high)) | (_mul8(a0, b1) ^ _mul8(a1, b0) ^ high) << 8


def inverse(a: int) -> int:
    """The inverse of what is not zero: its conjugate over its norm, which lies in GF(2^8)."""
    assert a
    low, high = a & 0xFF, a >> 8
    norm = _mul8(low, low) ^ _mul8(low, high) ^ _mul8(U, _mul8(high, high))
    scale = _EXP[255 - _LOG[norm]]
    return _mul8(low ^ high, scale) | _mul8(high, scale) << 8


@functools.cache
def point(index: int) -> int:
    out = 0
    for bit, element in enumerate(BASIS):
        if index >> bit & 1:
            out ^= element
    return out


def factor(k: int, m: int, data: int, parity: int) -> int:
    """What data shard `data` is multiplied by in parity shard `parity`."""
    c = 1
    while c < min(k, m):
        c *= 2
    a, b = (c + data, parity) if m <= k else (data, c + parity)
    return mul(point(max(a, b) // c), inverse(point(a) ^ point(b)))


@functools.cache
def _table(by: int) -> bytes:
    return bytes(_mul8(by, byte) for byte in range(256))


def _row_of(shard: bytes, by: int) -> bytes:
    """A shard times one factor: `mul` for all its symbols at once."""
    b0, b1 = by & 0xFF, by >> 8
    if b1 == 0:
        return shard.translate(_table(b0))
    half = len(shard) // 2
    low, high = shard[:half], shard[half:]
    return _plus(low.translate(_table(b0)), high.translate(_table(_mul8(U, b1)))) + _plus(
        low.translate(_table(b1)), high.translate(_table(b0 ^ b1))
    )


def _plus(left: bytes, right: bytes) -> bytes:
    size = len(left)
    return (int.from_bytes(left, "little") ^ int.from_bytes(right, "little")).to_bytes(size, "little")


def parity_of(data: list, m: int) -> list:
    """The `m` parity shards of these data shards, all of one even length."""
    k = len(data)
    out = []
    for parity in range(m):
        total = bytes(len(data[0]))
        for index, shard in enumerate(data):
            total = _plus(total, _row_of(shard, factor(k, m, index, parity)))
        out.append(total)
    return out


def recover(k: int, m: int, have: dict) -> list:
    """All `k` data shards from any k of the k + m: `have` maps a shard's number (k on: parity) to its bytes."""
    missing = [index for index in range(k) if index not in have]
    rows = [index for index in sorted(have) if index >= k][: len(missing)]
    if len(rows) < len(missing):
        raise ValueError(f"{len(missing)} data shards are missing and {len(rows)} parity shards came")
    # Each parity row, less what is known, is a sum over the missing ones.
    known, matrix = [], []
    for row in rows:
        total = have[row]
        for index in range(k):
            if index in have:
                total = _plus(total, _row_of(have[index], factor(k, m, index, row - k)))
        known.append(total)
        matrix.append([factor(k, m, index, row - k) for index in missing])
    for column in range(len(missing)):
        pivot = next(row for row in range(column, len(missing)) if matrix[row][column])
        matrix[column], matrix[pivot] = matrix[pivot], matrix[column]
        known[column], known[pivot] = known[pivot], known[column]
        scale = inverse(matrix[column][column])
        matrix[column] = [mul(scale, value) for value in matrix[column]]
        known[column] = _row_of(known[column], scale)
        for row in range(len(missing)):
            by = matrix[row][column]
            if row != column and by:
                matrix[row] = [a ^ mul(by, b) for a, b in zip(matrix[row], matrix[column])]
                known[row] = _plus(known[row], _row_of(known[column], by))
    found = dict(zip(missing, known))
    return [have[index] if index in have else found[index] for index in range(k)]

