"""Cohere's chat: v2, which speaks in messages, and v1, which speaks in one message and a history.

Where tokens used and tokens billed are both told, the conventions ask for those billed.
Source: docs.cohere.com/reference/chat, /chat-stream and /v1.
"""

from __future__ import annotations

from typing import Any, Final

from otel_llm import semconv as sc
from otel_llm.llm import Message, Part, Usage
from otel_llm_http.dialects._choices import Choice
from otel_llm_http.dialects._openai import content_parts, message_of, output_parts, read_parameters, tools_of
from otel_llm_http.dialects._parser import CallParser
from otel_llm_http.dialects._parts import (
    answer,
    message,
    reasoning_part,
    text_part,
    tool_call_part,
    tool_definition,
    tool_result_part,
)
from otel_llm_http.dialects._values import count, put, record, records, text

_ROLES: Final = {"USER": "user", "CHATBOT": "assistant", "SYSTEM": "system", "TOOL": "tool"}
_FAILED: Final = frozenset({"ERROR", "ERROR_TOXIC", "ERROR_LIMIT", "TIMEOUT"})


def read_usage(body: dict[str, Any], usage: Usage) -> None:
    """Read `usage` (v2) or `meta` (v1)."""
    billed = record(body.get("billed_units"))
    used = record(body.get("tokens"))
    usage.input_tokens = count(billed.get("input_tokens", used.get("input_tokens")))
    usage.output_tokens = count(billed.get("output_tokens", used.get("output_tokens")))
    if (cached := count(body.get("cached_tokens"))) is not None:
        usage.cache_read_tokens = cached


class CohereChat(CallParser):
    """One exchange with `/v2/chat`."""

    __slots__ = ("_choice", "_plan")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._choice: Choice | None = None
        self._plan = ""

    def _on_request(self, body: dict[str, Any]) -> None:
        call = self.call
        call.request_model = text(body.get("model"))
        if body.get("stream") is True:
            call.stream = True
        read_parameters(body, call.request)
        call.input_messages = [message_of(item) for item in records(body.get("messages"))]
        call.tool_definitions = tools_of(body.get("tools"))

    def _on_response(self, body: Any) -> bool:
        if type(body) is not dict or type(said := body.get("message")) is not dict:
            return False
        call = self.call
        call.response_id = text(body.get("id"))
        reason = text(body.get("finish_reason"))
        parts: list[Part] = []
        if (plan := text(said.get("tool_plan"))) is not None:
            parts.append(reasoning_part(plan))
        parts += output_parts(said)
        self._finish(parts, reason, body.get("usage"))
        return True

    def _on_event(self, name: str | None, event: Any) -> None:
        kind = event.get("type") or name
        choice = self._choice
        if choice is None:
            choice = self._choice = Choice(self)
        delta = record(event.get("delta"))
        said = record(delta.get("message"))
        if kind == "content-delta":
            content = record(said.get("content"))
            if type(piece := content.get("text")) is str:
                choice.text(piece)
            elif type(piece := content.get("thinking")) is str:
                choice.reasoning(piece)
        elif kind == "tool-plan-delta":
            if type(piece := said.get("tool_plan")) is str:
                choice.reasoning(piece)
        elif kind in {"tool-call-start", "tool-call-delta"}:
            call = record(said.get("tool_calls"))
            choice.merge({"tool_calls": [{**call, "index": event.get("index", 0)}]})
        elif kind == "message-start":
            self.call.response_id = text(event.get("id"))
        elif kind == "message-end":
            choice.finish(delta.get("finish_reason"))
            if type(usage := delta.get("usage")) is dict:
                read_usage(usage, self.usage())
            if delta.get("error"):
                self.fail(delta)
            self.call.complete = self.call.error is None
        elif kind == "error" or "error" in event:
            self.fail(event)

    def _on_end(self) -> None:
        choice = self._choice
        if choice is None:
            return
        reason = choice.reason or ("error" if not self.call.complete else None)
        self._finish(choice.parts(), reason, None)

    def _finish(self, parts: list[Part], reason: str | None, usage: Any) -> None:
        call = self.call
        if reason is not None:
            call.finish_reasons = [reason]
        call.output_messages = [answer(parts, reason)]
        if type(usage) is dict:
            read_usage(usage, self.usage())
        if reason in _FAILED and call.error is None:
            self.fail(
                {
                    "code": "timeout_error" if reason == "TIMEOUT" else reason,
                    "message": f"finished with {reason}",
                }
            )


class CohereChatV1(CohereChat):
    """One exchange with `/v1/chat`."""

    __slots__ = ()

    def _on_request(self, body: dict[str, Any]) -> None:
        call = self.call
        call.request_model = text(body.get("model"))
        if body.get("stream") is True:
            call.stream = True
        read_parameters(body, call.request)
        put(call.request, sc.CONVERSATION_ID, text(body.get("conversation_id")))
        if (preamble := text(body.get("preamble"))) is not None:
            call.system_instructions = [text_part(preamble)]
        call.input_messages = [_spoken(item) for item in records(body.get("chat_history"))]
        if (said := text(body.get("message"))) is not None:
            call.input_messages.append(message("user", [text_part(said)]))
        results = _results(body.get("tool_results"))
        if results:
            call.input_messages.append(message("tool", results))
        call.tool_definitions = [
            tool_definition(tool.get("name"), tool.get("description"), tool.get("parameter_definitions"))
            for tool in records(body.get("tools"))
        ]

    def _on_response(self, body: Any) -> bool:
        if type(body) is not dict or type(said := body.get("text")) is not str:
            return False
        self._ended(body, said, text(body.get("finish_reason")))
        return True

    def _on_event(self, name: str | None, event: Any) -> None:  # noqa: ARG002
        choice = self._choice
        if choice is None:
            choice = self._choice = Choice(self)
        kind = event.get("event_type")
        if kind == "text-generation":
            if type(piece := event.get("text")) is str:
                choice.text(piece)
        elif kind == "stream-start":
            self.call.response_id = text(event.get("generation_id"))
        elif kind == "stream-end":
            body = record(event.get("response"))
            reason = text(event.get("finish_reason")) or text(body.get("finish_reason"))
            said = body.get("text")
            self._ended(body, said if type(said) is str else "", reason)
            self.call.complete = self.call.error is None
        elif "error" in event or (kind is None and "message" in event):
            self.fail(event)

    def _on_end(self) -> None:
        if not self.call.output_messages:
            super()._on_end()

    def _ended(self, body: dict[str, Any], said: str, reason: str | None) -> None:
        self.call.response_id = (
            text(body.get("response_id")) or text(body.get("generation_id")) or self.call.response_id
        )
        parts: list[Part] = [text_part(said)] if said else []
        parts += _calls(body.get("tool_calls"))
        self._finish(parts, reason, body.get("meta"))


def _calls(calls: Any) -> list[Part]:
    return [tool_call_part(None, call.get("name"), call.get("parameters")) for call in records(calls)]


def _results(results: Any) -> list[Part]:
    return [
        tool_result_part(record(result.get("call")).get("name"), result.get("outputs"))
        for result in records(results)
    ]


def _spoken(item: dict[str, Any]) -> Message:
    role = item.get("role")
    parts = (
        content_parts(item.get("message"))
        + _calls(item.get("tool_calls"))
        + _results(item.get("tool_results"))
    )
    return message(_ROLES.get(role, role) if type(role) is str else None, parts)
