"""Gemini's interactions: created (`POST /v1beta/interactions`), and fetched again (`GET …/{id}`).

Thoughts and the input of tools are counted apart on the wire; the conventions count them in.
Source: ai.google.dev/api/interactions-api.
"""

from __future__ import annotations

from io import StringIO
from typing import Any, ClassVar, Final

from otel_llm import semconv as sc
from otel_llm.llm import Message, Part, Usage
from otel_llm_http.dialects._parser import CallParser
from otel_llm_http.dialects._parts import (
    answer,
    base64_part,
    message,
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

_MAX_STEPS: Final = 4096
_MEDIA: Final = frozenset({"image", "audio", "video", "document"})
_ENDS: Final = frozenset({"interaction.completed", "interaction.complete"})


class _Step:
    __slots__ = ("arguments", "others", "start", "thought", "written")

    def __init__(self, start: dict[str, Any]) -> None:
        self.start = start
        self.written = StringIO()
        self.thought = StringIO()
        self.arguments = StringIO()
        self.others: list[Part] = []


class GeminiInteraction(CallParser):
    """One exchange with `/interactions`."""

    __slots__ = ("_begun", "_steps")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._begun = False
        self._steps: dict[Any, _Step] = {}

    def _on_request(self, body: dict[str, Any]) -> None:
        call = self.call
        call.request_model = text(body.get("model"))
        if body.get("stream") is True:
            call.stream = True
        out = call.request
        config = record(body.get("generation_config"))
        put(out, sc.REQUEST_TEMPERATURE, number(config.get("temperature")))
        put(out, sc.REQUEST_TOP_P, number(config.get("top_p")))
        put(out, sc.REQUEST_MAX_TOKENS, count(config.get("max_output_tokens")))
        put(out, sc.REQUEST_SEED, integer(config.get("seed")))
        put(out, sc.REQUEST_STOP_SEQUENCES, strings(config.get("stop_sequences")))
        put(out, sc.REQUEST_REASONING_LEVEL, text(config.get("thinking_level")))
        put(out, sc.REQUEST_PREVIOUS_RESPONSE_ID, text(body.get("previous_interaction_id")))
        put(out, sc.AGENT_NAME, text(body.get("agent")))
        form = body.get("response_format")
        if (
            body.get("response_mime_type") == "application/json"
            or record(form).get("mime_type") == "application/json"
        ):
            out[sc.OUTPUT_TYPE] = "json"
        if (system := text(body.get("system_instruction"))) is not None:
            call.system_instructions = [text_part(system)]
        call.input_messages = _asked(body.get("input"))
        call.tool_definitions = [_tool(tool) for tool in records(body.get("tools"))]

    def _on_response(self, body: Any) -> bool:
        if type(body) is not dict or type(body.get("id")) is not str or "status" not in body:
            return False
        self._read(body)
        return True

    def _read(self, body: dict[str, Any]) -> None:
        """Read an interaction, whole or as a stream's ends tell it."""
        call = self.call
        call.response_id = text(body.get("id")) or call.response_id
        call.response_model = text(body.get("model")) or call.response_model
        status = text(body.get("status"))
        if status is not None:
            call.finish_reasons = [status]
        if type(usage := body.get("usage")) is dict:
            _read_usage(usage, self.usage())
        steps = records(body.get("steps") or body.get("outputs"))
        if steps:
            parts = [part for step in steps if step.get("type") != "user_input" for part in step_parts(step)]
            call.output_messages = [answer(parts, status)]
        if status == "failed" and not self.fetches:
            self.fail(body if body.get("error") else {"message": "the interaction failed"})

    def _on_event(self, name: str | None, event: Any) -> None:
        kind = event.get("event_type") or name
        if kind in {"step.delta", "content.delta"}:
            self._delta(record(event.get("delta")), event.get("index"))
        elif kind in {"step.start", "content.start"}:
            if len(self._steps) < _MAX_STEPS:
                self._steps[event.get("index")] = _Step(record(event.get("step") or event.get("content")))
        elif kind in _ENDS:
            self._read(record(event.get("interaction")))
            self.call.complete = self.call.error is None
        elif kind == "error":
            self.fail(event)
        elif not self._begun and type(begun := event.get("interaction")) is dict:
            self._begun = True
            self.call.response_id = text(begun.get("id"))
            self.call.response_model = text(begun.get("model"))

    def _delta(self, delta: dict[str, Any], index: Any) -> None:
        step = self._steps.get(index)
        if step is None:
            if len(self._steps) >= _MAX_STEPS:
                return
            step = self._steps[index] = _Step({})
        kind = delta.get("type")
        if kind == "text" and type(piece := delta.get("text")) is str:
            step.written.write(self.room(piece))
        elif kind in {"thought", "thought_summary"}:
            piece = delta.get("text") or record(delta.get("content")).get("text")
            if type(piece) is str:
                step.thought.write(self.room(piece))
        elif kind in {"arguments_delta", "arguments"}:
            piece = delta.get("partial_arguments", delta.get("arguments"))
            if type(piece) is str:
                step.arguments.write(self.room(piece))
        elif kind != "thought_signature" and len(step.others) < _MAX_STEPS:
            step.others += step_parts(delta)

    def _on_end(self) -> None:
        call = self.call
        if call.output_messages or not (self._steps or call.finish_reasons):
            return
        reason = call.finish_reasons[0] if call.finish_reasons else "error"
        parts: list[Part] = []
        for step in self._steps.values():
            if thought := step.thought.getvalue():
                parts.append(reasoning_part(thought))
            if written := step.written.getvalue():
                parts.append(text_part(written))
            parts += step.others
            start = step.start
            if start.get("type") == "function_call":
                parts.append(
                    tool_call_part(
                        start.get("id"),
                        start.get("name"),
                        step.arguments.getvalue() or start.get("arguments"),
                    )
                )
            elif start.get("type") not in {"model_output", "thought", "user_input", "text", None}:
                parts += step_parts(start)
        call.output_messages = [answer(parts, reason)]


class GeminiFetchedInteraction(GeminiInteraction):
    """One exchange with `GET /interactions/{id}`: what another call generated is fetched."""

    __slots__ = ()
    fetches: ClassVar[bool] = True


def _read_usage(body: dict[str, Any], usage: Usage) -> None:
    asked = count(body.get("total_input_tokens"))
    given = count(body.get("total_output_tokens"))
    thoughts = count(body.get("total_thought_tokens", body.get("total_reasoning_tokens")))
    if asked is not None:
        usage.input_tokens = asked + (count(body.get("total_tool_use_tokens")) or 0)
    if given is not None or thoughts is not None:
        usage.output_tokens = (given or 0) + (thoughts or 0)
    usage.reasoning_tokens = thoughts
    usage.cache_read_tokens = count(body.get("total_cached_tokens"))
    for key, tail in (
        ("input_tokens_by_modality", "input_tokens"),
        ("output_tokens_by_modality", "output_tokens"),
        ("cached_tokens_by_modality", "cache_read.input_tokens"),
    ):
        for detail in records(body.get(key)):
            found = count(detail.get("tokens"))
            if found and (modality := detail.get("modality")) in {"text", "image", "audio"}:
                usage.by_modality[f"{modality}.{tail}"] = found


def _asked(asked: Any) -> list[Message]:
    if type(asked) is str:
        return [message("user", [text_part(asked)])]
    items = records([asked] if type(asked) is dict else asked)
    out: list[Message] = []
    for item in items:
        if "role" in item:
            content = item.get("content")
            parts = [text_part(content)] if type(content) is str else _contents(content)
            out.append(message("assistant" if item["role"] == "model" else item["role"], parts))
        else:
            kind = item.get("type")
            role = "tool" if kind == "function_result" else "assistant" if kind in _SPOKEN else "user"
            parts = step_parts(item)
            if out and out[-1]["role"] == role and kind != "user_input":
                out[-1]["parts"] += parts
            else:
                out.append(message(role, parts))
    return out


_SPOKEN: Final = frozenset({"model_output", "thought", "function_call"})


def _contents(content: Any) -> list[Part]:
    return [
        part for item in records([content] if type(content) is dict else content) for part in step_parts(item)
    ]


def step_parts(step: dict[str, Any]) -> list[Part]:
    """Return the parts of a step, or of a piece of content."""
    kind = step.get("type")
    if kind in {"model_output", "user_input"}:
        content = step.get("content")
        return [text_part(content)] if type(content) is str else _contents(content)
    if kind == "text" and type(step.get("text")) is str:
        return [text_part(step["text"])]
    if kind == "thought":
        return [
            reasoning_part(piece["text"])
            for piece in records(step.get("summary") or step.get("content"))
            if type(piece.get("text")) is str
        ]
    if kind == "function_call":
        return [tool_call_part(step.get("id"), step.get("name"), step.get("arguments"))]
    if kind == "function_result":
        return [tool_result_part(step.get("call_id"), step.get("result"))]
    if kind in _MEDIA:
        mime_type = step.get("mime_type")
        if type(step.get("uri")) is str:
            return [uri_part(str(kind), step["uri"], mime_type)]
        return [base64_part(str(kind), mime_type, step.get("data"))]
    if type(kind) is str and kind.endswith(("_call", "_result")):
        return [server_tool_part(step, step.get("name"))]
    return [other_part(step)]


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    kind = text(tool.get("type"))
    if kind == "function":
        return tool_definition(tool.get("name"), tool.get("description"), tool.get("parameters"))
    return {"type": kind or "unknown", "name": text(tool.get("name")) or kind or ""}
