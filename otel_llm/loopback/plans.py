"""What the server is to do with a request: plans to hand to `LoopbackServer.script`.

server.script(plans.rate_limited(retry_after=0.01), plans.answer("Then it worked."))
server.script(plans.stream(200, delay=0.001).compressed("gzip").split(7))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from otel_llm.loopback.exchange import ErrorKind, Reply

Encoding: TypeAlias = Literal["gzip", "deflate", "br", "zstd"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What happens to one request; the functions of this module make the usual ones.

    Attributes:
        reply: what is answered; None leaves it to the server's callback, or to the server.
        delay: seconds before the answer begins.
        chunks: in how many pieces a stream gives its text (a shorter text is drawn out); None: word by word.
        chunk_delay: seconds before each frame of a stream but the first.
        error: the request fails in this way.
        retry_after: seconds, said in the headers of an error.
        breaks_with: after `breaks_after` frames a stream `hang`s, is `reset`, or tells an `error`;
            for an answer that is no stream, `hang` and `reset` come before its first byte or half-way.
        breaks_after: how many frames a stream sends before it breaks.
        body: these bytes in place of an answer.
        content_type: of `body`.
        status: of `body`.
        headers: more headers, or others in place of the server's.
        encoding: how the body is compressed.
        split_every: the body is sent in pieces of this many bytes, each a write of its own.
    """

    reply: Reply | None = None
    delay: float = 0.0
    chunks: int | None = None
    chunk_delay: float = 0.0
    error: ErrorKind | None = None
    retry_after: float | None = None
    breaks_with: Literal["hang", "reset", "error"] | None = None
    breaks_after: int = 0
    body: bytes | None = None
    content_type: str = "application/json"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    encoding: Encoding | None = None
    split_every: int | None = None

    def compressed(self, encoding: Encoding = "gzip") -> Plan:
        """The same, with a compressed body."""
        return replace(self, encoding=encoding)

    def split(self, size: int) -> Plan:
        """The same, its body sent `size` bytes at a time, across frames and characters."""
        return replace(self, split_every=size)


def answer(reply: Reply | str | None = None, *, delay: float = 0.0) -> Plan:
    """A good answer: `reply`, or what the server would say anyway."""
    return Plan(reply=Reply(reply) if isinstance(reply, str) else reply, delay=delay)


def stream(
    chunks: int | None = None, *, delay: float = 0.0, first: float = 0.0, reply: Reply | str | None = None
) -> Plan:
    """A good answer for a streaming request: `chunks` pieces of text, `delay` seconds apart, after `first`."""
    said = Reply(reply) if isinstance(reply, str) else reply
    return Plan(reply=said, chunks=chunks, chunk_delay=delay, delay=first)


def rate_limited(retry_after: float | None = 0.01) -> Plan:
    """429, with the seconds to wait where they are given."""
    return Plan(error="rate_limit", retry_after=retry_after)


def overloaded(retry_after: float | None = None) -> Plan:
    """503, or the provider's own status for too much load (Anthropic: 529)."""
    return Plan(error="overloaded", retry_after=retry_after)


def server_error() -> Plan:
    """500."""
    return Plan(error="server_error")


def unauthorized() -> Plan:
    """401."""
    return Plan(error="auth")


def context_length() -> Plan:
    """The input is too long: 400 in the provider's words."""
    return Plan(error="context_length")


def content_filter() -> Plan:
    """The provider's filter refuses the request: an error or a blocked answer, as the provider does it."""
    return Plan(error="content_filter")


def hang(after_frames: int = 0) -> Plan:
    """Nothing more comes, after that many frames of a stream or at once; the connection stays open."""
    return Plan(breaks_with="hang", breaks_after=after_frames)


def reset(after_frames: int = 0) -> Plan:
    """The connection is reset after that many frames of a stream, or half-way through a plain body."""
    return Plan(breaks_with="reset", breaks_after=after_frames)


def stream_error(after_frames: int = 2) -> Plan:
    """A stream that tells an error after that many frames, and ends."""
    return Plan(breaks_with="error", breaks_after=after_frames)


def html(status: int = 502) -> Plan:
    """An HTML page, as a gateway in between sends it."""
    page = b"<!DOCTYPE html><html><head><title>Bad gateway</title></head><body>Bad gateway</body></html>"
    return Plan(body=page, content_type="text/html; charset=utf-8", status=status)


def malformed(body: bytes = b'{"id": "broken", "choices": [{"mess') -> Plan:
    """200 and JSON that is none."""
    return Plan(body=body)
