"""As much CBOR (RFC 8949) as messages take: unsigned numbers, bytes, texts, arrays, maps, false, true and null.

`Reader` walks over bytes and can pass over any well-formed item, however deep, without recursion. Refuses (`NotCbor`)
what is cut short, not well-formed, or not what was asked for. `encode` writes the shortest form, with map fields in
the order given.
"""

import struct

UNSIGNED, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE = range(8)
FALSE, TRUE, NULL = 20, 21, 22
INDEFINITE = 31
BREAK = 0xFF
ELEMENT, KEY, VALUE = "element", "key", "value"


class NotCbor(ValueError):
    """What was expected and did not come."""


class Reader:
    def __init__(self, body: bytes):
        self._body, self._at = body, 0

    @property
    def at_end(self) -> bool:
        return self._at == len(self._body)

    def _take(self, size: int) -> bytes:
        if size > len(self._body) - self._at:
            raise NotCbor("cut short")
        self._at += size
        return self._body[self._at - size : self._at]

    def _head(self):
        """Major type, the five bits behind it, and the number: None for an indefinite length."""
        first = self._take(1)[0]
        major, bits = first >> 5, first & 31
        if bits < 24:
            return major, bits, bits
        if bits < 28:
            return major, bits, int.from_bytes(self._take(1 << bits - 24), "big")
        if bits == INDEFINITE and major in (BYTES, TEXT, ARRAY, MAP):
            return major, bits, None
        raise NotCbor("an item that there is not")

    def _expect(self, wanted: int):
        major, _, number = self._head()
        if major != wanted:
            raise NotCbor(f"major type {major}, not {wanted}")
        return number

    def take_break(self) -> bool:
        """Goes over the end of an indefinite length if it stands here."""
        if self._body[self._at : self._at + 1] != bytes([BREAK]):
            return False
        self._at += 1
        return True

    def take_null(self) -> bool:
        if self._body[self._at : self._at + 1] != bytes([SIMPLE << 5 | NULL]):
            return False
        self._at += 1
        return True

    def unsigned(self) -> int:
        return self._expect(UNSIGNED)

    def integer(self) -> int:
        """Also one below zero."""
        major, _, number = self._head()
        if major not in (UNSIGNED, NEGATIVE):
            raise NotCbor(f"major type {major}, no integer")
        return number if major == UNSIGNED else -1 - number

    def boolean(self) -> bool:
        major, bits, _ = self._head()
        if major != SIMPLE or bits not in (FALSE, TRUE):
            raise NotCbor("neither false nor true")
        return bits == TRUE

    def bytes(self) -> bytes:
        size = self._expect(BYTES)
        if size is None:
            raise NotCbor("bytes of no length said before")
        return self._take(size)

    def text(self) -> str:
        size = self._expect(TEXT)
        if size is None:
            raise NotCbor("a text of no length said before")
        return self._utf8(size)

    def _utf8(self, size: int) -> str:
        try:
            return self._take(size).decode("utf-8")
        except UnicodeDecodeError:
            raise NotCbor("a text that is not UTF-8") from None

    def item(self):
        """Any item, as Python's own. For vectors only: it recurses, which nobody's bytes may make it do."""
        if self.take_null():
            return None
        major = self._body[self._at] >> 5 if not self.at_end else None
        if major == ARRAY:
            return [self.item() for _ in self.items(ARRAY)]
        if major == MAP:
            return {self.integer(): self.item() for _ in self.items(MAP)}
        if major == SIMPLE:
            return self.boolean()
        if major == BYTES:
            return self.bytes()
        return self.text() if major == TEXT else self.integer()

    def definite_array(self) -> int:
        size = self._expect(ARRAY)
        if size is None:
            raise NotCbor("an array of no length said before")
        return size

    def items(self, major: int):
        """Stops before each element of an array, or each pair of a map, until there is none left."""
        left = self._expect(major)
        while not self.take_break() if left is None else left > 0:
            yield
            left = None if left is None else left - 1

    def skip(self):
        """Goes over one item and all that is in it."""
        # What each open item still waits for: so many items; or, before a break, an element, a key or a value.
        waiting = [1]
        while waiting:
            left = waiting.pop()
            if left == 0 or (left in (ELEMENT, KEY) and self.take_break()):
                continue
            waiting.append({ELEMENT: ELEMENT, KEY: VALUE, VALUE: KEY}.get(left) or left - 1)
            major, bits, number = self._head()
            if major in (BYTES, TEXT):
                self._skip_string(major, number)
            elif major in (ARRAY, MAP):
                endless = ELEMENT if major == ARRAY else KEY
                waiting.append(endless if number is None else number * (1 + (major == MAP)))
            elif major == TAG:
                waiting.append(1)

    def _skip_string(self, major: int, size):
        take = self._utf8 if major == TEXT else self._take
        if size is not None:
            take(size)
            return
        while not self.take_break():
            size = self._expect(major)
            if size is None:
                raise NotCbor("a piece of no length said before")
            take(size)


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    for bits, layout in ((24, ">B"), (25, ">H"), (26, ">I"), (27, ">Q")):
        if number < 1 << 8 * struct.calcsize(layout):
            return bytes([major << 5 | bits]) + struct.pack(layout, number)
    raise ValueError("above 64 bits")


def encode(value) -> bytes:
    if value is None or isinstance(value, bool):
        return bytes([SIMPLE << 5 | {None: NULL, False: FALSE, True: TRUE}[value]])
    if isinstance(value, int):
        return _head(UNSIGNED, value)
    if isinstance(value, bytes):
        return _head(BYTES, len(value)) + value
    if isinstance(value, str):
        return _head(TEXT, len(value.encode())) + value.encode()
    if isinstance(value, dict):
        return _head(MAP, len(value)) + b"".join(encode(key) + encode(item) for key, item in value.items())
    return _head(ARRAY, len(value)) + b"".join(map(encode, value))
