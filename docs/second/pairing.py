"""SPAKE2+ over P-256 as pairing runs it (docs/wire.md, Pairing; RFC 9383), from scratch and slow.

`run` plays both ends with scalars that are given, and lets each check the other. For vectors only: nothing here takes
the same time for every secret.
"""

import hashlib
import hmac

# P-256 (FIPS 186-4, D.1.2.3): y^2 = x^3 - 3x + b over the field of P, with generator G of order N.
P = 2**256 - 2**224 + 2**192 + 2**96 - 1
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
# RFC 9383, section 4, compressed.
M_BYTES = "02886e2f97ace46e55ba9dd7242579f2993b64e16ef3dcab95afd497333d8fa12f"
N_BYTES = "03d8bbd6c639c62937b04d997f38c3770719c629d7014d49a24b4f98baa1292b49"
CONTEXT = b"punktfunk pair 1"
PIN_SALT = b"punktfunk pair 1 pin"


def _decompress(text: str):
    raw = bytes.fromhex(text)
    x = int.from_bytes(raw[1:], "big")
    y = pow(x**3 - 3 * x + B, (P + 1) // 4, P)
    return x, y if y % 2 == raw[0] % 2 else P - y


def _add(a, b):
    """Of two points; None is the identity."""
    if a is None or b is None:
        return a if b is None else b
    if a[0] == b[0] and (a[1] + b[1]) % P == 0:
        return None
    if a == b:
        slope = (3 * a[0] ** 2 - 3) * pow(2 * a[1], -1, P)
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P)
    x = (slope**2 - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def _times(scalar: int, point):
    out = None
    for bit in bin(scalar % ORDER)[2:]:
        out = _add(out, out)
        if bit == "1":
            out = _add(out, point)
    return out


def _minus(point):
    return point[0], P - point[1]


def _point(point) -> bytes:
    """SEC 1, uncompressed."""
    return b"\x04" + point[0].to_bytes(32, "big") + point[1].to_bytes(32, "big")


def _hmac(key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, hashlib.sha256).digest()


def _expand(prk: bytes, info: bytes, size: int) -> bytes:
    out, last = b"", b""
    for count in range(1, size // 32 + 2):
        last = _hmac(prk, last + info + bytes([count]))
        out += last
    return out[:size]


M, N = _decompress(M_BYTES), _decompress(N_BYTES)


def scalars_of(pin: str) -> tuple:
    """w0 and w1: what both make of the PIN's six digits."""
    spread = _expand(_hmac(PIN_SALT, pin.encode("ascii")), b"", 80)
    return tuple(int.from_bytes(half, "big") % ORDER for half in (spread[:40], spread[40:]))


def _keys(binding: tuple, share_p: bytes, share_v: bytes, z, v, w0: int) -> tuple:
    """Both confirmations."""
    host, client, exporter = binding
    context = CONTEXT + host + client + exporter
    points = (_point(M), _point(N), share_p, share_v, _point(z), _point(v))
    parts = (context, client, host, *points, w0.to_bytes(32, "big"))
    main = hashlib.sha256(b"".join(len(part).to_bytes(8, "little") + part for part in parts)).digest()
    both = _expand(_hmac(bytes(32), main), b"ConfirmationKeys", 64)
    return _hmac(both[:32], share_v), _hmac(both[32:], share_p)


def run(pin: str, host: bytes, client: bytes, exporter: bytes, x: int, y: int) -> tuple:
    """shareP, shareV, confirmV, confirmP of a run with these scalars; each end has made them for itself."""
    w0, w1 = scalars_of(pin)
    share_p = _add(_times(x, G), _times(w0, M))
    share_v = _add(_times(y, G), _times(w0, N))
    binding, shares = (host, client, exporter), (_point(share_p), _point(share_v))
    unmasked_v = _add(share_v, _minus(_times(w0, N)))
    at_client = _keys(binding, *shares, _times(x, unmasked_v), _times(w1, unmasked_v), w0)
    unmasked_p = _add(share_p, _minus(_times(w0, M)))
    at_host = _keys(binding, *shares, _times(y, unmasked_p), _times(y, _times(w1, G)), w0)
    assert at_client == at_host, "the two ends do not agree"
    confirm_p, confirm_v = at_client
    return *shares, confirm_v, confirm_p
