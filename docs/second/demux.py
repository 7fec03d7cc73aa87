"""Whose a datagram is, by its first byte (docs/wire.md, One port and Datagrams by plane)."""

MEDIA, QUIC, NOBODY = "media", "quic", "nobody"
FEEDBACK = 0xD0
PLANE_BYTES_MAX = 1_120


def owner(datagram: bytes) -> str:
    """Of a UDP payload; an empty one is nobody's."""
    if not datagram:
        return NOBODY
    return MEDIA if datagram[0] >> 6 == 0 else QUIC


def plane_of(quic_datagram: bytes):
    """The plane's number and its bytes, or None for what is skipped: empty, too long, or of a plane not in use."""
    if not quic_datagram or len(quic_datagram) > 1 + PLANE_BYTES_MAX or quic_datagram[0] != FEEDBACK:
        return None
    return quic_datagram[0], quic_datagram[1:]
