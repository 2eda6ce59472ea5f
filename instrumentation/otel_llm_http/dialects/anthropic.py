"""Anthropic's messages, also as Vertex (`:rawPredict`), Bedrock (`/invoke`) and gateways take them.

Cache reads and writes are not part of `input_tokens` on the wire; the conventions count them in, so they are added.
Source: docs.claude.com/en/api/messages and /messages-streaming.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from io import StringIO
from typing import Any, ClassVar, Final

from otel_llm import semconv as sc
from otel_llm.llm import Message, Part
from otel_llm_http.dialects._openai import output_type
from otel_llm_http.dialects._parser import CallParser
from otel_llm_http.dialects._parts import (
    answer,
    base64_part,
    blob_part,
    file_part,
    message,
    modality_of,
    other_part,
    reasoning_part,
    server_tool_part,
    text_part,
    tool_call_part,
    tool_definition,
    tool_result_part,
    uri_part,
)
from otel_llm_http.dialects._values import count, integer, number, put, record, records, strings, text

_MAX_BLOCKS: Final = 4096
_DELTAS: Final = {"text_delta": "text", "input_json_delta": "partial_json", "thinking_delta": "thinking"}


class _Block:
    """A content block under way."""

    __slots__ = ("start", "written")

    def __init__(self, start: dict[str, Any]) -> None:
        self.start = start
        self.written = StringIO()


class AnthropicMessages(CallParser):
    """One exchange with `/v1/messages`."""

    __slots__ = ("_blocks", "_counts", "_role")
    text_key: ClassVar[bytes] = b'"text":'

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._blocks: dict[Any, _Block] = {}
        self._counts: dict[str, Any] = {}
        self._role: str | None = None

    # --- the request ----------------------------------------------------------------------------------

    def _on_request(self, body: dict[str, Any]) -> None:
        call = self.call
        call.request_model = self.path_model or text(body.get("model"))
        if body.get("stream") is True:
            call.stream = True
        self._parameters(body)
        call.system_instructions = content_parts(body.get("system"))
        call.input_messages = [_message(item) for item in records(body.get("messages"))]
        call.tool_definitions = [_tool(tool) for tool in records(body.get("tools"))]

    def _parameters(self, body: dict[str, Any]) -> None:
        out = self.call.request
        put(out, sc.REQUEST_MAX_TOKENS, count(body.get("max_tokens")))
        put(out, sc.REQUEST_TEMPERATURE, number(body.get("temperature")))
        put(out, sc.REQUEST_TOP_P, number(body.get("top_p")))
        put(out, sc.REQUEST_TOP_K, integer(body.get("top_k")))
        put(out, sc.REQUEST_STOP_SEQUENCES, strings(body.get("stop_sequences")))
        config = record(body.get("output_config"))
        put(out, sc.REQUEST_REASONING_LEVEL, text(config.get("effort")))
        put(out, sc.OUTPUT_TYPE, output_type(config.get("format") or body.get("output_format")))

    # --- an answer that comes whole -------------------------------------------------------------------

    def _on_response(self, body: Any) -> bool:
        if type(body) is not dict or type(content := body.get("content")) is not list:
            return False
        call = self.call
        call.response_id = text(body.get("id"))
        call.response_model = text(body.get("model"))
        reason = text(body.get("stop_reason"))
        if reason is not None:
            call.finish_reasons = [reason]
        call.output_messages = [answer(content_parts(content), reason, body.get("role"))]
        self._count(body.get("usage"))
        return True

    # --- an answer in pieces --------------------------------------------------------------------------

    def _on_event(self, name: str | None, event: Any) -> Callable[[str], None] | None:
        kind = event.get("type") or name
        if kind == "content_block_delta":
            return self._delta(event)
        if kind == "content_block_start":
            if len(self._blocks) < _MAX_BLOCKS:
                self._blocks[event.get("index")] = _Block(record(event.get("content_block")))
        elif kind == "message_start":
            start = record(event.get("message"))
            self.call.response_id = text(start.get("id"))
            self.call.response_model = text(start.get("model"))
            self._role = text(start.get("role"))
            self._count(start.get("usage"))
        elif kind == "message_delta":
            if (reason := text(record(event.get("delta")).get("stop_reason"))) is not None:
                self.call.finish_reasons = [reason]
            self._count(event.get("usage"))
        elif kind == "message_stop":
            self.call.complete = self.call.error is None
        elif kind == "error":
            self.fail(event)
        return None

    def _delta(self, event: dict[str, Any]) -> Callable[[str], None] | None:
        delta = event["delta"]
        key = _DELTAS.get(delta.get("type"))
        if key is None:
            return None  # a signature or a citation
        index = event.get("index")
        block = self._blocks.get(index)
        if block is None:
            if len(self._blocks) >= _MAX_BLOCKS:
                return None
            kind = {"text": "text", "partial_json": "tool_use", "thinking": "thinking"}[key]
            block = self._blocks[index] = _Block({"type": kind})
        piece = delta.get(key)
        if not piece:
            return None
        block.written.write(self.room(piece))
        return partial(self._write, block.written.write) if key == "text" else None

    def _write(self, write: Callable[[str], Any], piece: str) -> None:
        write(self.room(piece))

    def _on_end(self) -> None:
        call = self.call
        if call.output_messages or not (self._blocks or call.finish_reasons or self._role):
            return
        if call.finish_reasons and call.error is None:
            call.complete = True
        reason = call.finish_reasons[0] if call.finish_reasons else "error"
        parts: list[Part] = []
        for block in self._blocks.values():
            parts += _finished(block)
        call.output_messages = [answer(parts, reason, self._role)]

    def _count(self, usage: Any) -> None:
        """Merge token counts: those of a stream's end are totals, and replace those of its start."""
        if type(usage) is not dict:
            return
        counts = self._counts
        counts.update({key: value for key, value in usage.items() if value is not None})
        out = self.usage()
        out.cache_read_tokens = count(counts.get("cache_read_input_tokens"))
        out.cache_write_tokens = count(counts.get("cache_creation_input_tokens"))
        fresh = count(counts.get("input_tokens"))
        if fresh is not None:
            out.input_tokens = fresh + (out.cache_read_tokens or 0) + (out.cache_write_tokens or 0)
        out.output_tokens = count(counts.get("output_tokens"))
        details = record(counts.get("output_tokens_details"))
        out.reasoning_tokens = count(details.get("thinking_tokens", details.get("reasoning_tokens")))


def _finished(block: _Block) -> list[Part]:
    """Return the parts of a block that came in pieces."""
    start = block.start
    written = block.written.getvalue()
    kind = start.get("type")
    if kind == "text":
        written = (start["text"] if type(start.get("text")) is str else "") + written
        return [text_part(written)] if written else []
    if kind == "thinking":
        return [reasoning_part((start["thinking"] if type(start.get("thinking")) is str else "") + written)]
    if kind == "tool_use":
        return [tool_call_part(start.get("id"), start.get("name"), written or start.get("input"))]
    return content_parts([start])


def _message(item: dict[str, Any]) -> Message:
    parts = content_parts(item.get("content"))
    role = item.get("role")
    if role == "user" and parts and all(part["type"] == "tool_call_response" for part in parts):
        role = "tool"
    return message(role, parts)


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    kind = text(tool.get("type"))
    out = tool_definition(tool.get("name"), tool.get("description"), tool.get("input_schema"))
    if kind is not None and kind != "custom":
        out["type"] = kind
    return out


def content_parts(content: Any) -> list[Part]:
    """Return the parts of a message's content, or of system instructions."""
    if type(content) is str:
        return [text_part(content)] if content else []
    return [_part(item) for item in records(content)]


def _part(item: dict[str, Any]) -> Part:
    kind = item.get("type")
    if kind == "text" and type(item.get("text")) is str:
        return text_part(item["text"])
    if kind == "tool_use":
        return tool_call_part(item.get("id"), item.get("name"), item.get("input"))
    if kind == "tool_result":
        return tool_result_part(item.get("tool_use_id"), _result(item.get("content")))
    if kind == "thinking":
        return reasoning_part(item["thinking"] if type(item.get("thinking")) is str else "")
    if kind == "redacted_thinking":
        return {"type": "reasoning", "content": "", "redacted": True}
    if kind in {"image", "document"}:
        return _source(str(kind), record(item.get("source")))
    if kind == "container_upload":
        return file_part(item.get("file_id"))
    if kind in {"server_tool_use", "mcp_tool_use"}:
        return server_tool_part(item, item.get("name"))
    return other_part(item)


def _result(content: Any) -> Any:
    if content is None or type(content) is str:
        return content
    parts = content_parts(content)
    if parts and all(part["type"] == "text" for part in parts):
        return "".join(part["content"] for part in parts)
    return parts


def _source(kind: str, source: dict[str, Any]) -> Part:
    how = source.get("type")
    if how == "url":
        return uri_part(kind, source.get("url"))
    if how == "file":
        return file_part(source.get("file_id"), kind)
    mime_type = source.get("media_type")
    if how == "base64":
        return base64_part(modality_of(mime_type, kind), mime_type, source.get("data"))
    data = source.get("data")
    return blob_part(kind, mime_type, len(data.encode()) if type(data) is str else 0)
