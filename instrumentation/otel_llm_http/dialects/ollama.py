"""Ollama's own chat and generate. Answers come in lines of JSON, in pieces unless the request says otherwise.

Source: github.com/ollama/ollama/blob/main/docs/api.md.
"""

from __future__ import annotations

from typing import Any

from otel_llm import semconv as sc
from otel_llm.llm import Message, Part
from otel_llm_http.dialects._choices import Choice
from otel_llm_http.dialects._openai import tools_of
from otel_llm_http.dialects._parser import CallParser
from otel_llm_http.dialects._parts import (
    answer,
    base64_part,
    message,
    reasoning_part,
    text_part,
    tool_call_part,
    tool_result_part,
)
from otel_llm_http.dialects._values import count, integer, number, put, record, records, strings, text


class Ollama(CallParser):
    """One exchange with `/api/chat` or `/api/generate`."""

    __slots__ = ("_choice",)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._choice: Choice | None = None

    def _on_request(self, body: dict[str, Any]) -> None:
        call = self.call
        call.request_model = text(body.get("model"))
        call.stream = body.get("stream") is not False
        options = record(body.get("options"))
        out = call.request
        put(out, sc.REQUEST_TEMPERATURE, number(options.get("temperature")))
        put(out, sc.REQUEST_TOP_P, number(options.get("top_p")))
        put(out, sc.REQUEST_TOP_K, integer(options.get("top_k")))
        put(out, sc.REQUEST_MAX_TOKENS, count(options.get("num_predict")))
        put(out, sc.REQUEST_SEED, integer(options.get("seed")))
        put(out, sc.REQUEST_STOP_SEQUENCES, strings(options.get("stop")))
        put(out, sc.REQUEST_FREQUENCY_PENALTY, number(options.get("frequency_penalty")))
        put(out, sc.REQUEST_PRESENCE_PENALTY, number(options.get("presence_penalty")))
        put(out, sc.REQUEST_REASONING_LEVEL, text(body.get("think")))
        if body.get("format"):
            out[sc.OUTPUT_TYPE] = "json"
        if "messages" in body:
            call.input_messages = [_message(item) for item in records(body["messages"])]
        else:
            prompt = text(body.get("prompt"))
            parts = _images(body) if prompt is None else [text_part(prompt), *_images(body)]
            call.input_messages = [message("user", parts)] if parts else []
        if (system := text(body.get("system"))) is not None:
            call.system_instructions = [text_part(system)]
        call.tool_definitions = tools_of(body.get("tools"))

    def _on_response(self, body: Any) -> bool:
        if type(body) is not dict or not ("message" in body or "response" in body):
            return False
        self._on_event(None, body)
        return self.call.error is None

    def _on_event(self, name: str | None, event: Any) -> None:  # noqa: ARG002
        if "error" in event:
            self.fail(event)
            return
        choice = self._choice
        if choice is None:
            choice = self._choice = Choice(self)
            self.call.response_model = text(event.get("model"))
        said = event.get("message")
        if type(said) is dict:
            if type(piece := said.get("content")) is str and piece:
                choice.text(piece)
            if type(piece := said.get("thinking")) is str and piece:
                choice.reasoning(piece)
            for call in records(said.get("tool_calls")):
                choice.merge({"tool_calls": [{**call, "index": None}]})
        else:
            if type(piece := event.get("response")) is str and piece:
                choice.text(piece)
            if type(piece := event.get("thinking")) is str and piece:
                choice.reasoning(piece)
        if event.get("done") is True:
            self._done(event, choice)

    def _done(self, event: dict[str, Any], choice: Choice) -> None:
        self.call.complete = self.call.error is None
        choice.finish(event.get("done_reason"))
        asked = count(event.get("prompt_eval_count"))
        given = count(event.get("eval_count"))
        if asked is not None or given is not None:
            usage = self.usage()
            usage.input_tokens = asked
            usage.output_tokens = given

    def _on_end(self) -> None:
        choice = self._choice
        if choice is None:
            return
        reason = choice.reason or ("error" if not self.call.complete else None)
        if reason is not None:
            self.call.finish_reasons = [reason]
        self.call.output_messages = [answer(choice.parts(), reason)]


def _images(item: dict[str, Any]) -> list[Part]:
    images = item.get("images")
    return (
        [base64_part("image", None, data) for data in images if type(data) is str]
        if type(images) is list
        else []
    )


def _message(item: dict[str, Any]) -> Message:
    role = item.get("role")
    content = text(item.get("content"))
    if role == "tool":
        return message(role, [tool_result_part(item.get("tool_call_id") or item.get("tool_name"), content)])
    parts: list[Part] = []
    if (thinking := text(item.get("thinking"))) is not None:
        parts.append(reasoning_part(thinking))
    if content is not None:
        parts.append(text_part(content))
    parts += _images(item)
    for call in records(item.get("tool_calls")):
        function = record(call.get("function"))
        parts.append(tool_call_part(call.get("id"), function.get("name"), function.get("arguments")))
    return message(role, parts)
