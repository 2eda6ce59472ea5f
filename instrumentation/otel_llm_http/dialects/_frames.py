"""Incremental decoders of event streams: bytes in any split to whole events.

Server-sent events as the HTML standard has them (section 9.2.6): lines end with LF, CRLF or CR and with nothing
else (U+2028 is text), a byte order mark is dropped, lines that start with a colon are comments, the data lines
of an event are joined by LF. Newline-delimited JSON is one event a line.
"""

from __future__ import annotations

from typing import Final

Frame = tuple[str | None, bytes]
"""Name of the event (None where it has none) and its data."""

_BOM: Final = b"\xef\xbb\xbf"


class SSEDecoder:
    """Splits a stream of server-sent events.

    Args:
        max_event: an event of more bytes than this is dropped and `overflowed` set.
    """

    __slots__ = ("_begun", "_carry", "_max", "_skipping", "overflowed")

    def __init__(self, max_event: int) -> None:
        self._carry = b""
        self._max = max_event
        self._begun = False
        self._skipping = False
        self.overflowed = False

    @property
    def pending(self) -> int:
        """Bytes of an event that is not whole yet."""
        return len(self._carry)

    def feed(self, data: bytes, *, final: bool = False) -> list[Frame]:
        """Return the events that are whole now; at the end also one whose closing blank line is missing."""
        data = self._carry + data if self._carry else data
        self._carry = b""
        if not self._begun and data:
            if not final and len(data) < len(_BOM) and _BOM.startswith(data):
                self._carry = data
                return []
            self._begun = True
            data = data.removeprefix(_BOM)
        if b"\r" in data:
            if data.endswith(b"\r") and not final:
                # The LF that may follow belongs to it.
                data, self._carry = data[:-1], b"\r"
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if final:
            blocks = data.split(b"\n\n")
        else:
            cut = data.rfind(b"\n\n")
            if cut < 0:
                self._keep(data)
                return []
            blocks = data[:cut].split(b"\n\n")
        if self._skipping:
            self._skipping = False
            blocks = blocks[1:]
        if not final:
            self._keep(data[cut + 2 :])
        frames: list[Frame] = []
        for block in blocks:
            if block[:6] == b"data: " and b"\n" not in block:
                frames.append((None, block[6:]))
            elif block and (frame := _parse(block)) is not None:
                frames.append(frame)
        return frames

    def _keep(self, rest: bytes) -> None:
        if len(rest) > self._max:
            self.overflowed = True
            self._skipping = True
            rest = rest[-1:] if rest.endswith(b"\n") else b""
        self._carry = rest + self._carry


def _parse(block: bytes) -> Frame | None:
    name: str | None = None
    data: list[bytes] = []
    for line in block.split(b"\n"):
        key, _, value = line.partition(b":")
        if key == b"data":
            data.append(value.removeprefix(b" "))
        elif key == b"event":
            name = value.removeprefix(b" ").decode("utf-8", "replace")
    if not data:
        return None
    return name, data[0] if len(data) == 1 else b"\n".join(data)


class LineDecoder:
    """Splits a stream of newline-delimited JSON.

    Args:
        max_event: a line of more bytes than this is dropped and `overflowed` set.
    """

    __slots__ = ("_carry", "_max", "_skipping", "overflowed")

    def __init__(self, max_event: int) -> None:
        self._carry = b""
        self._max = max_event
        self._skipping = False
        self.overflowed = False

    @property
    def pending(self) -> int:
        """Bytes of a line that is not whole yet."""
        return len(self._carry)

    def feed(self, data: bytes, *, final: bool = False) -> list[Frame]:
        """Return the lines that are whole now; at the end also the last one."""
        lines = (self._carry + data).split(b"\n")
        self._carry = b"" if final else lines.pop()
        if self._skipping and lines:
            self._skipping = False
            del lines[0]
        if len(self._carry) > self._max:
            self.overflowed = True
            self._skipping = True
            self._carry = b""
        # vLLM's oldest server ends its lines with NUL, and some servers write `data: ` all the same.
        return [
            (None, stripped.removeprefix(b"data: "))
            for line in lines
            if (stripped := line.strip(b"\r\0 \t")) and not stripped.startswith(b":")
        ]
