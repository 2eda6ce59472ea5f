"""What is asked of the loopback server and what it answers, in terms that all its protocols share.

Plain data; imports only the standard library.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias

JSON: TypeAlias = dict[str, Any]

Finish: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter"]
"""Why an answer ends; each protocol spells it its own way."""

ErrorKind: TypeAlias = Literal[
    "rate_limit",
    "overloaded",
    "server_error",
    "auth",
    "context_length",
    "content_filter",
    "invalid_request",
    "not_found",
]
"""What may go wrong; each protocol has its own status and body for it."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the request offers: its name and the JSON schema of its arguments."""

    name: str
    schema: JSON = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call in an answer."""

    name: str
    arguments: JSON = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model says.

    Attributes:
        text: the answer; may be empty when there are tool calls.
        tool_calls: the tools it wants called.
        reasoning: what it thinks first; its words count as reasoning tokens.
        finish: why it ends; None picks `tool_calls` where there are any, else `stop`.
    """

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str = ""
    finish: Finish | None = None

    @property
    def ends_with(self) -> Finish:
        """`finish`, or what it must be."""
        return self.finish or ("tool_calls" if self.tool_calls else "stop")


@dataclass(frozen=True, slots=True)
class Ask:
    """What a request asks for.

    Attributes:
        model: the model as the request names it.
        messages: (role, text) oldest first, the system's among them; parts that are no text appear by kind.
        tools: what may be called.
        may_call: whether a tool call is a fitting answer (tools are offered and none was just answered).
        schema: the JSON schema that the answer must follow; `{}` for any object, None for plain text.
        reasoning: whether the model is asked to think.
        stream: whether the answer is wanted in pieces.
        usage_in_stream: whether a stream is to tell its token counts.
        choices: how many answers are wanted.
        max_tokens: where the answer is cut off, None for nowhere.
        prefix: the part of the input that a prompt cache may keep, empty where caching is off.
        inputs: the texts to embed; empty for all but embeddings.
        dimensions: of an embedding.
    """

    model: str
    messages: tuple[tuple[str, str], ...] = ()
    tools: tuple[Tool, ...] = ()
    may_call: bool = False
    schema: JSON | None = None
    reasoning: bool = False
    stream: bool = False
    usage_in_stream: bool = True
    choices: int = 1
    max_tokens: int | None = None
    prefix: str = ""
    inputs: tuple[str, ...] = ()
    dimensions: int = 8

    @property
    def last(self) -> str:
        """The text of the newest message, empty where there is none."""
        return self.messages[-1][1] if self.messages else ""


ReplyCallback: TypeAlias = Callable[[Ask], Reply | str | None]
"""Supplies the answer to a request; None leaves it to the server. Runs on the server's thread: be quick."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one answer: `input` is all of it, cached too; `output` is all of it, reasoning too."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0


@dataclass(slots=True)
class Sent:
    """What the server answered: the truth that a recorded span is compared with.

    Attributes:
        status: the HTTP status, 0 where no answer was begun.
        stream: whether it was sent in pieces.
        id: the answer's id, None for answers that have none.
        model: the model that the answer names.
        usage: its token counts; None where the answer does not tell them.
        finish_reasons: one per choice, as the protocol spells them.
        tool_calls: names of the tools called, in order.
        error: what went wrong by plan.
        complete: whether the whole answer was handed to the operating system.
        bytes: what was written of the body, framing of the transfer included.
    """

    status: int = 0
    stream: bool = False
    id: str | None = None
    model: str | None = None
    usage: Usage | None = None
    finish_reasons: tuple[str, ...] = ()
    tool_calls: tuple[str, ...] = ()
    error: ErrorKind | None = None
    complete: bool = False
    bytes: int = 0


@dataclass(eq=False)
class Request:
    """A request as the server saw it.

    Attributes:
        number: 1 for the first one.
        method: such as `POST`.
        host: the Host header; a client that uses the server as its proxy names the provider here.
        path: without query.
        query: without `?`.
        headers: lower-case names; of a repeated one the last.
        body: as received, chunked transfer undone.
        protocol: which protocol took it, None where none did.
        sent: what it was answered.
    """

    number: int
    method: str
    host: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    protocol: str | None = None
    sent: Sent = field(default_factory=Sent)

    @cached_property
    def json(self) -> JSON:
        """The body as a JSON object; `{}` where it is none."""
        try:
            value = json.loads(self.body or b"{}")
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


@dataclass(frozen=True, slots=True)
class Exchange:
    """All that a protocol needs in order to write an answer."""

    request: Request
    ask: Ask
    reply: Reply
    usage: Usage
    pieces: tuple[str, ...] = ()

    def id(self, prefix: str, *, width: int = 24) -> str:
        """An id that looks like the provider's and is the same in every run."""
        return f"{prefix}{self.request.number:0{width}d}"

    def call_id(self, prefix: str, index: int) -> str:
        """The id of this answer's tool call number `index`."""
        return f"{prefix}{self.request.number:06d}{index:02d}"
