"""The session clock (docs/wire.md, Time): 32 bits of a capture time made whole, and one round of the handshake.

Refuses (`Impossible`) a round whose times cannot be.
"""

from dataclasses import dataclass

HALF, WHOLE = 1 << 31, 1 << 32
HALF_64 = 1 << 63


class Impossible(ValueError):
    """The answer breaks the protocol."""


def session_us(pts_us: int, now_us: int) -> int:
    """The session time nearest to `now_us` that ends with these 32 bits."""
    ahead = (pts_us - now_us) % WHOLE
    ahead -= WHOLE if ahead >= HALF else 0
    return now_us + ahead if now_us + ahead >= 0 else pts_us


@dataclass(frozen=True)
class Round:
    """A SkewPing and its SkewPong, all in microseconds."""

    t_client: int
    t_received: int
    t_sent: int
    t_back: int

    def __post_init__(self):
        there, here = self.t_sent - self.t_received, self.t_back - self.t_client
        if here < 0 or there < 0 or there > here + 2 or not -HALF_64 <= self.offset < HALF_64:
            raise Impossible("times that cannot be")

    @property
    def rtt(self) -> int:
        return max((self.t_back - self.t_client) - (self.t_sent - self.t_received), 0)

    @property
    def offset(self) -> int:
        """Session clock minus the client's, rounded towards zero."""
        twice = (self.t_received - self.t_client) + (self.t_sent - self.t_back)
        return twice // 2 if twice >= 0 else -(-twice // 2)

    @property
    def error(self) -> int:
        return -(-self.rtt // 2) + 2

    def says(self) -> dict:
        """As the vectors name it."""
        return {"offset_us": self.offset, "rtt_us": self.rtt, "error_us": self.error}


def says(*times: int):
    """What a round of these four times says; None where it breaks the protocol."""
    try:
        return Round(*times).says()
    except Impossible:
        return None
