"""ChaCha20-Poly1305 from RFC 8439, for reading and not for speed.

Not constant in time: it is for checking vectors, never for secrets.
"""

import struct

from aead import check, pad16, split, xor


def _turned(value: int, by: int) -> int:
    return (value << by | value >> (32 - by)) & 0xFFFFFFFF


def _quarter(state: list, a: int, b: int, c: int, d: int):
    for into, by, other, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        state[into] = (state[into] + state[by]) & 0xFFFFFFFF
        state[other] = _turned(state[other] ^ state[into], turn)


def chacha20_block(key: bytes, counter: int, nonce: bytes) -> bytes:
    """RFC 8439, 2.3."""
    start = list(struct.unpack("<4I", b"expand 32-byte k") + struct.unpack("<8I", key))
    start += [counter, *struct.unpack("<3I", nonce)]
    state = list(start)
    for _ in range(10):
        for column in range(4):
            _quarter(state, column, column + 4, column + 8, column + 12)
        for column in range(4):
            _quarter(state, column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4)
    return struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(state, start)))


def poly1305(key: bytes, data: bytes) -> bytes:
    """RFC 8439, 2.5."""
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    out = 0
    for at in range(0, len(data), 16):
        out = (out + int.from_bytes(data[at : at + 16] + b"\1", "little")) * r % ((1 << 130) - 5)
    return ((out + int.from_bytes(key[16:], "little")) & ((1 << 128) - 1)).to_bytes(16, "little")


class ChaCha20Poly1305:
    """RFC 8439, 2.8: `seal` gives ciphertext ‖ tag, `open` the text or `Refused`."""

    KEY_BYTES = 32

    def __init__(self, key: bytes):
        assert len(key) == 32
        self._key = key

    def _mask(self, nonce: bytes, text: bytes) -> bytes:
        blocks = range((len(text) + 63) // 64)
        return xor(text, b"".join(chacha20_block(self._key, 1 + block, nonce) for block in blocks))

    def _tag(self, nonce: bytes, aad: bytes, sealed: bytes) -> bytes:
        data = pad16(aad) + pad16(sealed) + struct.pack("<QQ", len(aad), len(sealed))
        return poly1305(chacha20_block(self._key, 0, nonce)[:32], data)

    def seal(self, nonce: bytes, aad: bytes, text: bytes) -> bytes:
        sealed = self._mask(nonce, text)
        return sealed + self._tag(nonce, aad, sealed)

    def open(self, nonce: bytes, aad: bytes, sealed: bytes) -> bytes:
        text, tag = split(sealed)
        check(self._tag(nonce, aad, text), tag)
        return self._mask(nonce, text)
