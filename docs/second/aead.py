"""The two AEADs and HKDF, from their standards, for reading and not for speed.

AES-128: FIPS 197. GCM: NIST SP 800-38D with 96-bit nonces and 128-bit tags. ChaCha20-Poly1305: RFC 8439. HKDF-SHA256:
RFC 5869. Nothing but Python's own library. Not constant in time: it is for checking vectors, never for secrets.
"""

import hashlib
import hmac
import struct

TAG_BYTES = 16
NONCE_BYTES = 12


class Refused(Exception):
    """A tag that does not hold: the datagram is forged, damaged, or sealed with another key."""


def hkdf_extract(salt: bytes, secret: bytes) -> bytes:
    """RFC 5869, 2.2."""
    return hmac.new(salt or bytes(32), secret, hashlib.sha256).digest()


def hkdf_expand(key: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869, 2.3; at most 255 blocks."""
    assert 0 < length <= 255 * 32
    out, block = b"", b""
    for counter in range(1, (length + 31) // 32 + 1):
        block = hmac.new(key, block + info + bytes([counter]), hashlib.sha256).digest()
        out += block
    return out[:length]


# AES-128


def _double(byte: int) -> int:
    return ((byte << 1) ^ (0x11B if byte & 0x80 else 0)) & 0xFF


def gf256_mul(a: int, b: int) -> int:
    """The product in the field of AES: bytes as polynomials modulo x^8 + x^4 + x^3 + x + 1."""
    out = 0
    while b:
        if b & 1:
            out ^= a
        a, b = _double(a), b >> 1
    return out


def _s_box() -> bytes:
    box = bytearray(256)
    for byte in range(256):
        inverse = next((other for other in range(256) if gf256_mul(byte, other) == 1), 0)
        out = 0x63
        for turn in range(5):
            out ^= ((inverse << turn) | (inverse >> (8 - turn))) & 0xFF
        box[byte] = out
    return bytes(box)


S_BOX = _s_box()
# Row r of a column-major state is turned left by r columns.
_SHIFT_ROWS = [(4 * ((place // 4 + place % 4) % 4) + place % 4) for place in range(16)]


class Aes128:
    """The block cipher, encrypting only; GCM needs no more."""

    def __init__(self, key: bytes):
        assert len(key) == 16
        words = [key[at : at + 4] for at in range(0, 16, 4)]
        constant = 1
        for index in range(4, 44):
            word = words[index - 1]
            if index % 4 == 0:
                turned = bytes(S_BOX[byte] for byte in word[1:] + word[:1])
                word = bytes([turned[0] ^ constant]) + turned[1:]
                constant = _double(constant)
            words.append(xor(words[index - 4], word))
        self._rounds = [b"".join(words[at : at + 4]) for at in range(0, 44, 4)]

    def encrypt(self, block: bytes) -> bytes:
        """One block of 16 bytes."""
        state = xor(block, self._rounds[0])
        for number, key in enumerate(self._rounds[1:], 1):
            state = bytes(S_BOX[state[place]] for place in _SHIFT_ROWS)
            if number < 10:
                state = b"".join(_mix(state[at : at + 4]) for at in range(0, 16, 4))
            state = xor(state, key)
        return state


def _mix(column: bytes) -> bytes:
    every = column[0] ^ column[1] ^ column[2] ^ column[3]
    return bytes(byte ^ every ^ _double(byte ^ column[(row + 1) % 4]) for row, byte in enumerate(column))


def xor(left: bytes, right: bytes) -> bytes:
    """As long as the shorter one."""
    return bytes(a ^ b for a, b in zip(left, right))


def _pad16(data: bytes) -> bytes:
    return data + bytes(-len(data) % 16)


# GCM


class Aes128Gcm:
    """AES-128-GCM: `seal` gives ciphertext ‖ tag, `open` the text or `Refused`."""

    KEY_BYTES = 16

    def __init__(self, key: bytes):
        self._aes = Aes128(key)
        # Multiples of H by the 16 values of each of 32 nibbles: a shard takes milliseconds, not seconds.
        power, powers = int.from_bytes(self._aes.encrypt(bytes(16)), "big"), []
        for _ in range(128):
            powers.append(power)
            power = (power >> 1) ^ (0xE1 << 120 if power & 1 else 0)
        self._multiples = [
            [_xor_where(nibble, powers[4 * place : 4 * place + 4]) for nibble in range(16)] for place in range(32)
        ]

    def _times_h(self, value: int) -> int:
        out = 0
        for place, multiples in enumerate(self._multiples):
            out ^= multiples[value >> (124 - 4 * place) & 15]
        return out

    def _tag(self, nonce: bytes, aad: bytes, sealed: bytes) -> bytes:
        data = _pad16(aad) + _pad16(sealed) + struct.pack(">QQ", 8 * len(aad), 8 * len(sealed))
        hashed = 0
        for at in range(0, len(data), 16):
            hashed = self._times_h(hashed ^ int.from_bytes(data[at : at + 16], "big"))
        return xor(hashed.to_bytes(16, "big"), self._aes.encrypt(nonce + struct.pack(">I", 1)))

    def _mask(self, nonce: bytes, text: bytes) -> bytes:
        blocks = range((len(text) + 15) // 16)
        return xor(text, b"".join(self._aes.encrypt(nonce + struct.pack(">I", 2 + block)) for block in blocks))

    def seal(self, nonce: bytes, aad: bytes, text: bytes) -> bytes:
        sealed = self._mask(nonce, text)
        return sealed + self._tag(nonce, aad, sealed)

    def open(self, nonce: bytes, aad: bytes, sealed: bytes) -> bytes:
        text, tag = _split(sealed)
        _check(self._tag(nonce, aad, text), tag)
        return self._mask(nonce, text)


def _xor_where(nibble: int, powers: list) -> int:
    out = 0
    for bit, power in enumerate(powers):
        if nibble >> (3 - bit) & 1:
            out ^= power
    return out


def _split(sealed: bytes):
    if len(sealed) < TAG_BYTES:
        raise Refused("shorter than a tag")
    return sealed[:-TAG_BYTES], sealed[-TAG_BYTES:]


def _check(expected: bytes, came: bytes):
    if not hmac.compare_digest(expected, came):
        raise Refused("the tag does not hold")


# ChaCha20-Poly1305


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
        data = _pad16(aad) + _pad16(sealed) + struct.pack("<QQ", len(aad), len(sealed))
        return poly1305(chacha20_block(self._key, 0, nonce)[:32], data)

    def seal(self, nonce: bytes, aad: bytes, text: bytes) -> bytes:
        sealed = self._mask(nonce, text)
        return sealed + self._tag(nonce, aad, sealed)

    def open(self, nonce: bytes, aad: bytes, sealed: bytes) -> bytes:
        text, tag = _split(sealed)
        _check(self._tag(nonce, aad, text), tag)
        return self._mask(nonce, text)
