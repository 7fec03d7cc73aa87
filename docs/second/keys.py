"""The key schedule (docs/wire.md, Keys): from the session's secret to a key and a nonce for each datagram.

Promises nothing of time or of secrets in memory: it is for checking. Refuses ciphers, directions and planes without a
number.
"""

import struct
from dataclasses import dataclass

from aead import NONCE_BYTES, xor
from aes_gcm import Aes128Gcm
from chacha_poly import ChaCha20Poly1305
from hkdf import hkdf_expand, hkdf_extract

AES_128_GCM, CHACHA20_POLY1305 = 1, 2
CIPHERS = {AES_128_GCM: Aes128Gcm, CHACHA20_POLY1305: ChaCha20Poly1305}
CIPHER_NAMES = {"AES-128-GCM": AES_128_GCM, "ChaCha20-Poly1305": CHACHA20_POLY1305}
HOST_TO_CLIENT, CLIENT_TO_HOST = 1, 2
VIDEO, PROBE = 0, 1
PLANE_NAMES = {"video": VIDEO, "probe": PROBE}

SALT = b"punktfunk/1 media"
LABEL = b"punktfunk/1 epoch"


def info_of(cipher: int, direction: int, plane: int, epoch: int) -> bytes:
    """What a key is for, as HKDF's info: 24 bytes."""
    assert cipher in CIPHERS and direction in (1, 2) and plane in (0, 1)
    return LABEL + struct.pack("<BBBI", cipher, direction, plane, epoch)


@dataclass
class EpochKey:
    """The key of one direction, plane and epoch: it seals and opens by sequence."""

    epoch: int
    key: bytes
    static_nonce: bytes

    @classmethod
    def derive(cls, secret: bytes, cipher: int, direction: int, plane: int, epoch: int) -> "EpochKey":
        size = CIPHERS[cipher].KEY_BYTES
        info = info_of(cipher, direction, plane, epoch)
        okm = hkdf_expand(hkdf_extract(SALT, secret), info, size + NONCE_BYTES)
        made = cls(epoch, okm[:size], okm[size:])
        made._aead = CIPHERS[cipher](made.key)
        return made

    def nonce(self, sequence: int) -> bytes:
        return xor(self.static_nonce, bytes(4) + struct.pack("<II", self.epoch, sequence))

    def seal(self, sequence: int, aad: bytes, text: bytes) -> bytes:
        """Sealed bytes ‖ tag."""
        return self._aead.seal(self.nonce(sequence), aad, text)

    def open(self, sequence: int, aad: bytes, sealed: bytes) -> bytes:
        """The text, or `Refused`."""
        return self._aead.open(self.nonce(sequence), aad, sealed)
