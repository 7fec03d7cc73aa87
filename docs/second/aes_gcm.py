"""AES-128-GCM from its standards, for reading and not for speed.

AES-128: FIPS 197. GCM: NIST SP 800-38D with 96-bit nonces and 128-bit tags. Not constant in time: it is for checking
vectors, never for secrets.
"""

import struct

from aead import check, pad16, split, xor


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
        data = pad16(aad) + pad16(sealed) + struct.pack(">QQ", 8 * len(aad), 8 * len(sealed))
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
        text, tag = split(sealed)
        check(self._tag(nonce, aad, text), tag)
        return self._mask(nonce, text)


def _xor_where(nibble: int, powers: list) -> int:
    out = 0
    for bit, power in enumerate(powers):
        if nibble >> (3 - bit) & 1:
            out ^= power
    return out
