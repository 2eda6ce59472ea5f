"""Incremental decoders of event streams: bytes in any split to whole events.

Server-sent events as the HTML standard has them (section 9.2.6): lines end with LF, CRLF or CR and with nothing
else (U+2028 is text), a byte order mark is dropped, lines that start with a colon are comments, the data lines
of an event are joined by LF. Newline-delimited JSON is one event a line.
"""

from __future__ import annotations

from typing import Final

Frame = tuple[str | None, bytes]
"""Name of the event (None where it has none) and its data."""

_TOO_LONG: Final = b"\0"
"""Stands for the name of a field whose line was too long."""

_BOM: Final = b"\xef\xbb\xbf"


class SSEDecoder:
    """Splits a stream of server-sent events.

    Args:
        max_event: an event of more bytes than this is dropped and `overflowed` set.

    `cut` says, after the end, that the last event had no proper end itself.
    """

    __slots__ = (
        "_begun",
        "_carry",
        "_data",
        "_max",
        "_more",
        "_name",
        "_size",
        "_skipping",
        "cut",
        "overflowed",
    )

    def __init__(self, max_event: int) -> None:
        self._carry = b""
        self._max = max_event
        self.cut = False
        self._begun = False
        self._name: str | None = None
        self._data: bytes | None = None
        self._more: list[bytes] = []
        self._size = 0
        self._skipping = False
        self.overflowed = False

    @property
    def pending(self) -> int:
        """Bytes of a line that is not whole yet."""
        return len(self._carry)

    def feed(self, data: bytes, *, final: bool = False) -> list[Frame]:
        """Return the events that are whole now; at the end also one whose closing blank line is missing."""
        lines = self._lines(data, final=final)
        frames: list[Frame] = []
        name = self._name
        held = self._data
        for line in lines:
            if not line:
                if held is not None and not self._skipping:
                    frames.append((name, b"\n".join((held, *self._more)) if self._more else held))
                    self._more = []
                held = name = None
                self._size = 0
                self._skipping = False
            elif held is None and line[:6] == b"data: ":
                held = line[6:]
            else:
                key, _, value = line.partition(b":")
                value = value.removeprefix(b" ")
                if key == _TOO_LONG:
                    # What comes of this line cannot be told from other fields, so the whole event goes.
                    self.overflowed = self._skipping = True
                elif key == b"event":
                    name = value.decode("utf-8", "replace")
                elif key == b"data":
                    if held is None:
                        held = value
                    else:
                        self._append(value)
        self._name = name
        self._data = held
        if final and held is not None and not self._skipping:
            self.cut = True
            frames.append((name, b"\n".join((held, *self._more)) if self._more else held))
        return frames

    def _append(self, value: bytes) -> None:
        """Keep a further data line of an event."""
        self._size += len(value) + 1
        if self._size > self._max:
            self.overflowed = self._skipping = True
            self._more = []
        elif not self._skipping:
            self._more.append(value)

    def _lines(self, data: bytes, *, final: bool) -> list[bytes]:
        data = self._carry + data if self._carry else data
        self._carry = b""
        if not self._begun and data:
            if not final and len(data) < len(_BOM) and _BOM.startswith(data):
                self._carry = data
                return []
            self._begun = True
            data = data.removeprefix(_BOM)
        held_back = b""
        if b"\r" in data:
            if data.endswith(b"\r") and not final:
                # The LF that may follow belongs to it.
                data, held_back = data[:-1], b"\r"
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = data.split(b"\n")
        if len(data) > self._max:
            lines = [line if len(line) <= self._max else _TOO_LONG + b":" for line in lines]
        if final:
            return lines if lines[-1] else lines[:-1]
        self._carry = lines.pop() + held_back
        return lines


class LineDecoder:
    """Splits a stream of newline-delimited JSON.

    Args:
        max_event: a line of more bytes than this is dropped and `overflowed` set.

    `cut` says, after the end, that the last line had no proper end itself.
    """

    __slots__ = ("_carry", "_max", "_skipping", "cut", "overflowed")

    def __init__(self, max_event: int) -> None:
        self._carry = b""
        self._max = max_event
        self.cut = False
        self._skipping = False
        self.overflowed = False

    @property
    def pending(self) -> int:
        """Bytes of a line that is not whole yet."""
        return len(self._carry)

    def feed(self, data: bytes, *, final: bool = False) -> list[Frame]:
        """Return the lines that are whole now; at the end also the last one."""
        lines = (self._carry + data).split(b"\n")
        if final:
            self._carry = b""
            self.cut = bool(lines[-1])
        else:
            self._carry = lines.pop()
        if self._skipping and lines:
            self._skipping = False
            del lines[0]
        if any(len(line) > self._max for line in lines):
            self.overflowed = True
            lines = [line for line in lines if len(line) <= self._max]
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
