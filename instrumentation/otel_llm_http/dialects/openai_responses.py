"""OpenAI's responses: created (`POST /v1/responses`), and fetched again (`GET /v1/responses/{id}`).

An answer is one message, whatever number of items it comes in. A stream's last event repeats the whole response, so
pieces matter only where a stream broke off.
Source: platform.openai.com/docs/api-reference/responses and /responses-streaming.
"""

from __future__ import annotations

from io import StringIO
from typing import Any, ClassVar, Final

from otel_llm import semconv as sc
from otel_llm.llm import CallError, Message, Part
from otel_llm_http.dialects._failures import from_payload
from otel_llm_http.dialects._openai import (
    content_parts,
    output_type,
    read_parameters,
    read_usage,
    result_of,
    tools_of,
)
from otel_llm_http.dialects._parser import CallParser
from otel_llm_http.dialects._parts import (
    answer,
    message,
    other_part,
    reasoning_part,
    server_tool_part,
    text_part,
    tool_call_part,
    tool_result_part,
)
from otel_llm_http.dialects._values import put, record, records, text

_MAX_ITEMS: Final = 4096
_ENDS: Final = frozenset(
    {"response.completed", "response.incomplete", "response.failed", "response.cancelled"}
)
_DELTAS: Final = frozenset(
    {
        "response.output_text.delta",
        "response.refusal.delta",
        "response.function_call_arguments.delta",
        "response.custom_tool_call_input.delta",
        "response.reasoning_summary_text.delta",
        "response.reasoning_text.delta",
    }
)
_OWN_TOOLS: Final = ("_call", "_call_output", "_list_tools", "_approval_request", "_approval_response")


class OpenAIResponses(CallParser):
    """One exchange with `/v1/responses`."""

    __slots__ = ("_begun", "_done", "_items", "_pieces")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._begun = False
        self._done: dict[Any, dict[str, Any]] = {}
        self._items: dict[Any, dict[str, Any]] = {}
        self._pieces: dict[Any, StringIO] = {}

    def _on_request(self, body: dict[str, Any]) -> None:
        call = self.call
        call.request_model = self.path_model or text(body.get("model"))
        if body.get("stream") is True:
            call.stream = True
        read_parameters(body, call.request)
        put(call.request, sc.OUTPUT_TYPE, output_type(record(body.get("text")).get("format")))
        conversation = body.get("conversation")
        put(call.request, sc.CONVERSATION_ID, text(record(conversation).get("id") or conversation))
        asked = body.get("input")
        if type(asked) is str:
            call.input_messages = [message("user", [text_part(asked)])]
        else:
            call.input_messages = [_message(item) for item in records(asked)]
        instructions = body.get("instructions")
        if type(instructions) is str:
            call.system_instructions = [text_part(instructions)] if instructions else []
        else:
            call.system_instructions = [
                part for item in records(instructions) for part in _message(item)["parts"]
            ]
        call.tool_definitions = tools_of(body.get("tools"))

    def _on_response(self, body: Any) -> bool:
        if type(body) is not dict or not (
            body.get("object") == "response" or type(body.get("output")) is list
        ):
            return False
        self._read(body)
        return True

    def _on_event(self, name: str | None, event: Any) -> None:
        kind = event.get("type") or name
        if kind in _DELTAS:
            if type(delta := event.get("delta")) is str:
                pieces = self._pieces.get(index := event.get("output_index"))
                if pieces is None:
                    if len(self._pieces) >= _MAX_ITEMS:
                        return
                    pieces = self._pieces[index] = StringIO()
                pieces.write(self.room(delta))
        elif kind == "response.output_item.added":
            if len(self._items) < _MAX_ITEMS:
                self._items[event.get("output_index")] = record(event.get("item"))
        elif kind == "response.output_item.done":
            index = event.get("output_index")
            if index in self._items or len(self._items) < _MAX_ITEMS:
                self._done[index] = record(event.get("item"))
                self._items.pop(index, None)
                self._pieces.pop(index, None)
        elif kind in _ENDS:
            self._read(record(event.get("response")))
            self.call.complete = self.call.error is None
        elif kind == "error":
            self.fail(event)
        elif not self._begun and type(response := event.get("response")) is dict:
            self._begun = True
            self.call.response_id = text(response.get("id"))
            self.call.response_model = text(response.get("model"))

    def _read(self, body: dict[str, Any]) -> None:
        """Read a response, whole."""
        call = self.call
        call.response_id = text(body.get("id"))
        call.response_model = text(body.get("model"))
        put(call.response, sc.OPENAI_RESPONSE_SERVICE_TIER, text(body.get("service_tier")))
        conversation = text(record(body.get("conversation")).get("id"))
        if conversation is not None:
            call.request.setdefault(sc.CONVERSATION_ID, conversation)
        status = text(body.get("status"))
        reason = (
            text(record(body.get("incomplete_details")).get("reason")) if status == "incomplete" else None
        )
        reason = reason or status
        if reason is not None:
            call.finish_reasons = [reason]
        parts = [part for item in records(body.get("output")) for part in output_parts(item)]
        if parts or reason is not None:
            call.output_messages = [answer(parts, reason)]
        usage = body.get("usage")
        if type(usage) is dict:
            read_usage(usage, self.usage())
        if not self.fetches and status == "failed":
            failure = body.get("error")
            call.error = (
                from_payload(failure, None) if failure else CallError("overloaded", "the response failed")
            )

    def _on_end(self) -> None:
        call = self.call
        if call.output_messages or not (self._items or self._done or self._pieces):
            return
        parts: list[Part] = []
        indexes = [index for index in {**self._done, **self._items, **self._pieces} if type(index) is int]
        for index in sorted(indexes):
            if index in self._done:
                parts += output_parts(self._done[index])
            else:
                pieces = self._pieces.get(index)
                parts += _unfinished(self._items.get(index, {}), "" if pieces is None else pieces.getvalue())
        call.output_messages = [answer(parts, "error")]


class OpenAIFetchedResponse(OpenAIResponses):
    """One exchange with `GET /v1/responses/{id}`: what another call generated is fetched, at no cost of tokens."""

    __slots__ = ()
    fetches: ClassVar[bool] = True


def _unfinished(item: dict[str, Any], written: str) -> list[Part]:
    kind = item.get("type")
    if kind in {"function_call", "custom_tool_call"}:
        return [tool_call_part(item.get("call_id"), item.get("name"), written)]
    if kind == "reasoning":
        return [reasoning_part(written)] if written else []
    return [text_part(written)] if written else []


def _message(item: dict[str, Any]) -> Message:
    """Return an item of the input as a message."""
    kind = item.get("type")
    if kind in {"function_call_output", "custom_tool_call_output"}:
        return message("tool", [tool_result_part(item.get("call_id"), result_of(item.get("output")))])
    if "role" in item:
        return message(item["role"], content_parts(item.get("content")))
    return message("assistant", output_parts(item))


def output_parts(item: dict[str, Any]) -> list[Part]:
    """Return the parts of an item of the output."""
    kind = item.get("type")
    if kind == "message":
        return content_parts(item.get("content"))
    if kind == "function_call":
        return [
            tool_call_part(item.get("call_id") or item.get("id"), item.get("name"), item.get("arguments"))
        ]
    if kind == "custom_tool_call":
        return [tool_call_part(item.get("call_id") or item.get("id"), item.get("name"), item.get("input"))]
    if kind == "reasoning":
        told = records(item.get("content")) or records(item.get("summary"))
        return [reasoning_part(piece["text"]) for piece in told if type(piece.get("text")) is str]
    if type(kind) is str and kind.endswith(_OWN_TOOLS):
        return [server_tool_part(item, item.get("name"))]
    return [other_part(item)]
