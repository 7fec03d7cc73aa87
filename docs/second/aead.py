"""What the two AEADs have in common: a tag behind the text, which holds or is refused."""

import hmac

TAG_BYTES = 16
NONCE_BYTES = 12


class Refused(Exception):
    """A tag that does not hold: the datagram is forged, damaged, or sealed with another key."""


def xor(left: bytes, right: bytes) -> bytes:
    """As long as the shorter one."""
    return bytes(a ^ b for a, b in zip(left, right))


def pad16(data: bytes) -> bytes:
    return data + bytes(-len(data) % 16)


def split(sealed: bytes):
    if len(sealed) < TAG_BYTES:
        raise Refused("shorter than a tag")
    return sealed[:-TAG_BYTES], sealed[-TAG_BYTES:]


def check(expected: bytes, came: bytes):
    if not hmac.compare_digest(expected, came):
        raise Refused("the tag does not hold")
