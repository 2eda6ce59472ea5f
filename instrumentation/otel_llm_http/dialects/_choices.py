"""An answer that comes in pieces, put together: text, reasoning and tool calls of one choice."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any, Final

from otel_llm.llm import Part
from otel_llm_http.dialects._openai import content_parts
from otel_llm_http.dialects._parts import base64_size, blob_part, reasoning_part, text_part, tool_call_part
from otel_llm_http.dialects._values import dumps, records, text

if TYPE_CHECKING:
    from otel_llm_http.dialects._parser import CallParser

_MAX_TOOL_CALLS: Final = 1024


class ToolCall:
    """A tool call under way."""

    __slots__ = ("arguments", "id", "name")

    def __init__(self) -> None:
        self.id: str | None = None
        self.name = ""
        self.arguments = StringIO()


class Choice:
    """One choice of a stream, in the manner of chat completions.

    Args:
        parser: whose bounds hold.
    """

    __slots__ = (
        "_audio",
        "_others",
        "_parser",
        "_reasoning",
        "_refusal",
        "_said",
        "_text",
        "_tools",
        "reason",
        "role",
    )

    def __init__(self, parser: CallParser) -> None:
        self._parser = parser
        self.role: str | None = None
        self.reason: str | None = None
        self._text = StringIO()
        self._reasoning: StringIO | None = None
        self._refusal: StringIO | None = None
        self._said: StringIO | None = None
        self._audio = 0
        self._tools: dict[Any, ToolCall] = {}
        self._others: list[Part] = []

    def text(self, piece: str) -> None:
        """Add some text."""
        parser = self._parser
        parser.left -= len(piece)
        if parser.left < 0:
            parser.left += len(piece)
            piece = parser.room(piece)
        self._text.write(piece)

    def reasoning(self, piece: str) -> None:
        """Add some reasoning."""
        if self._reasoning is None:
            self._reasoning = StringIO()
        self._reasoning.write(self._parser.room(piece))

    def finish(self, reason: Any) -> None:
        """Note why the choice ended."""
        if type(reason) is str and reason:
            self.reason = reason

    def merge(self, delta: dict[str, Any]) -> bool:
        """Add a delta; say whether it held some text and nothing else."""
        content = delta.get("content")
        plain = False
        if type(content) is str:
            if content:
                self.text(content)
                plain = True
        elif content:
            self._content(content)
        if plain and len(delta) == 1:
            return True
        for key, value in delta.items():
            if value and key != "content":
                self._field(key, value)
                plain = plain and key == "role"
        return plain

    def _field(self, key: str, value: Any) -> None:
        if key == "role":
            self.role = text(value)
        elif key in {"reasoning_content", "reasoning"}:
            if type(value) is str:
                self.reasoning(value)
        elif key == "tool_calls":
            for call in records(value):
                self._tool(call.get("index", call.get("id")), call)
        elif key == "function_call" and type(value) is dict:
            self._tool(0, {"function": value})
        elif key == "refusal" and type(value) is str:
            if self._refusal is None:
                self._refusal = StringIO()
            self._refusal.write(self._parser.room(value))
        elif key == "audio" and type(value) is dict:
            if type(said := value.get("transcript")) is str:
                if self._said is None:
                    self._said = StringIO()
                self._said.write(self._parser.room(said))
            if type(data := value.get("data")) is str:
                self._audio += base64_size(data)

    def _content(self, content: Any) -> None:
        """Add content that comes as parts (Mistral)."""
        for part in content_parts(content):
            if part["type"] == "text":
                self.text(part["content"])
            elif part["type"] == "reasoning":
                self.reasoning(part["content"])
            elif len(self._others) < _MAX_TOOL_CALLS:
                self._others.append(part)

    def _tool(self, key: Any, call: dict[str, Any]) -> None:
        if type(key) not in {int, str}:
            key = len(self._tools)
        state = self._tools.get(key)
        if state is None:
            if len(self._tools) >= _MAX_TOOL_CALLS:
                self._parser.call.truncated = True
                return
            state = self._tools[key] = ToolCall()
        if type(call_id := call.get("id")) is str and call_id:
            state.id = call_id
        function = call.get("function") or call.get("custom")
        if type(function) is not dict:
            return
        if type(name := function.get("name")) is str and name:
            state.name = name
        arguments = function.get("arguments", function.get("input"))
        if type(arguments) is str:
            state.arguments.write(self._parser.room(arguments))
        elif isinstance(arguments, dict | list):
            # Some servers send the arguments whole, and as an object.
            state.arguments.write(self._parser.room(dumps(arguments)))

    def parts(self) -> list[Part]:
        """Return what the choice came to."""
        parts: list[Part] = []
        if self._reasoning is not None:
            parts.append(reasoning_part(self._reasoning.getvalue()))
        written = self._text.getvalue()
        if written:
            parts.append(text_part(written))
        if self._refusal is not None:
            parts.append({"type": "refusal", "content": self._refusal.getvalue()})
        if self._said is not None:
            parts.append(text_part(self._said.getvalue()))
        if self._audio:
            parts.append(blob_part("audio", None, self._audio))
        parts += self._others
        for state in self._tools.values():
            parts.append(tool_call_part(state.id, state.name, state.arguments.getvalue()))
        return parts
