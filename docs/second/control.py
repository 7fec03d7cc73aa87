"""Control messages (docs/wire.md, Control messages): their framing, their fields, and what breaks the protocol.

A message is its kind and a dict from field numbers to values. `parse` gives None for a kind that it does not know,
leaves out what it does not know in a message, and refuses (`Broken`) what ends the session.
"""

from dataclasses import dataclass

import cbor

PROTOCOL = 2
MESSAGE_BYTES_MAX = 32_768
KIND_MAX = 65_535
TEXT_BYTES_MAX, NAME_BYTES_MAX, LIST_MAX = 512, 64, 32
CODECS, CIPHERS = (1, 2, 3, 100), (1, 2)
DEPTHS, CHROMAS = (8, 10), (420, 444)


class Broken(ValueError):
    """The peer broke the protocol: close code 1."""


@dataclass(frozen=True)
class Number:
    bits: int

    def read(self, source: cbor.Reader) -> int:
        number = source.unsigned()
        if number >> self.bits:
            raise Broken(f"{number} does not fit {self.bits} bits")
        return number


@dataclass(frozen=True)
class OneOf:
    """A u16 of which only some are known."""

    known: tuple

    def read(self, source: cbor.Reader) -> int:
        number = U16.read(source)
        if number not in self.known:
            raise Broken(f"{number} is not known")
        return number


class Bool:
    def read(self, source: cbor.Reader) -> bool:
        return source.boolean()


# What is shown as a question mark: control characters, and what turns the reading direction or ends a line.
_ACTED_ON = ((0x00, 0x1F), (0x7F, 0x9F), (0x61C, 0x61C), (0x200E, 0x200F), (0x2028, 0x202E), (0x2066, 0x2069))


def _is_acted_on(character: int) -> bool:
    return any(first <= character <= last for first, last in _ACTED_ON)


@dataclass(frozen=True)
class Text:
    bytes_max: int

    def read(self, source: cbor.Reader) -> str:
        text = source.text()
        if len(text.encode()) > self.bytes_max:
            raise Broken(f"a text above {self.bytes_max} bytes")
        return "".join("?" if _is_acted_on(ord(char)) else char for char in text)


@dataclass(frozen=True)
class Bytes:
    """So many, no more and no less."""

    size: int

    def read(self, source: cbor.Reader) -> bytes:
        came = source.bytes()
        if len(came) != self.size:
            raise Broken(f"{len(came)} bytes, not {self.size}")
        return came


@dataclass(frozen=True)
class List:
    """Of at most 32; of those that are not in `known`, if that is given, nothing is kept."""

    item: object
    known: tuple = None

    def read(self, source: cbor.Reader) -> list:
        out, count = [], 0
        for _ in source.items(cbor.ARRAY):
            count += 1
            if count > LIST_MAX:
                raise Broken(f"a list of more than {LIST_MAX}")
            out.append(self.item.read(source))
        return [item for item in out if self.known is None or item in self.known]


@dataclass(frozen=True)
class Field:
    """`absent`: its value when it is not there; None: it is optional, and may be null; REQUIRED: it must be there."""

    kind: object
    absent: object = None


REQUIRED = object()


def must(kind) -> Field:
    return Field(kind, REQUIRED)


@dataclass(frozen=True)
class Map:
    fields: dict

    def read(self, source: cbor.Reader) -> dict:
        out = {}
        for _ in source.items(cbor.MAP):
            number = source.integer()
            if not -(1 << 63) <= number < 1 << 63:
                raise Broken(f"field {number}")
            if number not in self.fields:
                _skip(source)
            elif self.fields[number].absent is None and source.take_null():
                out.pop(number, None)
            else:
                out[number] = self.fields[number].kind.read(source)
        for number, field in self.fields.items():
            if number not in out and field.absent is REQUIRED:
                raise Broken(f"field {number} is absent")
            if number not in out and field.absent is not None:
                out[number] = field.absent
        return dict(sorted(out.items()))


def _skip(source: cbor.Reader):
    try:
        source.skip()
    except cbor.NotCbor as why:
        raise Broken(f"in what is skipped: {why}") from None


U16, U32, U64 = Number(16), Number(32), Number(64)
NAME, TEXT, BOOL = Text(NAME_BYTES_MAX), Text(TEXT_BYTES_MAX), Bool()
MODE = Map({0: must(U32), 1: must(U32), 2: must(U32)})
OFFER = Map({0: must(NAME), 1: Field(NAME), 2: must(BOOL), 3: must(TEXT)})
STAGE = Map({0: must(NAME), **{number: must(U64) for number in range(1, 6)}})

PENDING = Map({0: must(U64), 1: must(NAME), 2: must(Bytes(32)), 3: must(U32)})
FALL = Map({0: must(NAME), 1: must(NAME), 2: must(NAME), 3: must(U64)})


def _counters(*ranges) -> dict:
    return {number: Field(U64, 0) for numbers in ranges for number in numbers}


HELLO = Map({
    0: must(U32), 1: must(NAME), 2: must(MODE), 3: must(List(U16, CODECS)), 4: must(List(U16, CIPHERS)), 5: must(U32),
    6: Field(NAME), 7: must(U16), 8: must(U32), 9: must(U16), 10: Field(U16),
    11: Field(BOOL, False), 12: Field(U16), 13: Field(U16),
})  # fmt: skip
WELCOME = Map({
    0: must(U32), 1: must(NAME), 2: must(MODE), 3: must(OneOf(CODECS)), 4: must(OneOf(CIPHERS)), 5: must(U32),
    6: must(U16), 7: must(U16), 8: must(U32), 9: must(U16), 10: must(TEXT), 11: must(TEXT), 12: must(List(OFFER)),
    13: Field(OneOf(DEPTHS)), 14: Field(OneOf(CHROMAS)),
})  # fmt: skip
HOST_STATS = Map({
    **_counters(range(0, 1), range(2, 6), range(7, 16), range(17, 21), range(30, 36), range(40, 49), range(60, 61)),
    **_counters(range(62, 67), range(70, 74), range(80, 83)), 61: Field(NAME, ""),
    1: Field(BOOL, False), 16: Field(List(STAGE), []), 50: Field(List(FALL), []),
})  # fmt: skip
MESSAGES = {
    1: HELLO,
    2: WELCOME,
    3: Map({0: must(U32), 1: must(U16), 2: must(TEXT)}),
    4: Map({}),
    5: Map({0: Field(MODE), 1: Field(U32), 2: Field(U16)}),
    6: Map({0: must(MODE), 1: must(U32), 2: must(U32), 3: must(TEXT)}),
    7: Map({0: must(U32), 1: Field(U32)}),
    8: Map({0: must(U32), 1: must(U64)}),
    9: Map({0: must(U32), 1: must(U64), 2: must(U64), 3: must(U64)}),
    10: Map({0: must(U64)}),
    11: HOST_STATS,
    12: Map({0: must(U16), 1: must(TEXT)}),
    13: Map({0: must(U64)}),
    14: Map({0: must(TEXT), 1: must(TEXT), 2: Field(MODE), 3: must(U32)}),
    18: Map({**_counters(range(0, 10)), 16: Field(List(STAGE), [])}),
    20: Map({0: must(List(PENDING))}),
    21: Map({0: must(U64), 1: must(BOOL)}),
    30: Map({0: must(U32), 1: must(U32)}),
    31: Map({0: must(U16), 1: must(U32), 2: must(U32)}),
    32: Map({0: must(U16)}),
    33: Map({
        0: must(U16), 1: must(U64), 2: must(U64), 3: must(U64), 4: must(List(U64)), 5: must(U32), 6: must(U32),
        7: must(U64), 8: must(U32),
    }),
    34: Map({
        0: must(U16), 1: must(U32), 2: must(U64), 3: must(U64), 4: must(U64), 5: must(U32), 6: must(List(U32)),
        7: must(U32), 8: must(U32), 9: must(U32), 10: must(U16), 11: must(TEXT),
    }),
    35: Map({0: must(TEXT)}),
}  # fmt: skip
# The pairing protocol's, framed in the same way.
SHARE, CONFIRMATION = Bytes(65), Bytes(32)
PAIR_MESSAGES = {
    1: Map({0: must(NAME), 1: must(SHARE)}),
    2: Map({0: must(SHARE), 1: must(CONFIRMATION)}),
    3: Map({0: must(CONFIRMATION)}),
    4: Map({0: must(NAME)}),
    5: Map({0: must(U32)}),
    6: Map({0: must(NAME)}),
    7: Map({0: must(U16)}),
}


def parse_length(prefix: bytes) -> int:
    """Of the body behind these four bytes."""
    length = int.from_bytes(prefix, "little")
    if not 1 <= length <= MESSAGE_BYTES_MAX:
        raise Broken(f"a message of {length} bytes")
    return length


def parse(body: bytes, known: dict = MESSAGES):
    """Kind and fields; None for a kind that is skipped, with all that stands behind it. `known`: the protocol's."""
    source = cbor.Reader(body)
    try:
        if source.definite_array() != 2:
            raise Broken("no array of two")
        kind = source.unsigned()
        if kind > KIND_MAX:
            raise Broken(f"kind {kind}")
        if kind not in known:
            return None
        fields = known[kind].read(source)
    except cbor.NotCbor as why:
        raise Broken(str(why)) from None
    if not source.at_end:
        raise Broken("bytes behind the message")
    return kind, fields


def frame(kind: int, fields: dict) -> bytes:
    """The message as it is written to the stream."""
    body = cbor.encode([kind, fields])
    assert len(body) <= MESSAGE_BYTES_MAX
    return len(body).to_bytes(4, "little") + body
