"""Amazon Bedrock's runtime: Converse, and InvokeModel with the protocols of the models behind it.

Cache reads and writes are not part of `inputTokens` on the wire; the conventions count them in, so they are added.
Answers of InvokeModel tell their token counts in headers, streams of it in their last event.
Source: docs.aws.amazon.com/bedrock/latest/APIReference (bedrock-runtime) and userguide/model-parameters.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Final

from otel_llm import semconv as sc
from otel_llm.llm import Message, Part, Usage
from otel_llm_http.dialects._choices import Choice
from otel_llm_http.dialects._parser import CallParser
from otel_llm_http.dialects._parts import (
    answer,
    base64_part,
    message,
    other_part,
    reasoning_part,
    text_part,
    tool_call_part,
    tool_definition,
    tool_result_part,
    uri_part,
)
from otel_llm_http.dialects._values import count, integer, loads, number, put, record, records, strings, text
from otel_llm_http.dialects.anthropic import AnthropicMessages

_COUNT_HEADERS: Final = (
    ("x-amzn-bedrock-input-token-count", "inputTokens"),
    ("x-amzn-bedrock-output-token-count", "outputTokens"),
    ("x-amzn-bedrock-cache-read-input-token-count", "cacheReadInputTokens"),
    ("x-amzn-bedrock-cache-write-input-token-count", "cacheWriteInputTokens"),
)
_METRICS: Final = "amazon-bedrock-invocationMetrics"
_MEDIA: Final = ("image", "video", "audio", "document")


def _read_usage(body: dict[str, Any], usage: Usage) -> None:
    asked = count(body.get("inputTokens", body.get("inputTokenCount")))
    given = count(body.get("outputTokens", body.get("outputTokenCount")))
    read = body.get("cacheReadInputTokens", body.get("cacheReadInputTokenCount"))
    written = body.get("cacheWriteInputTokens", body.get("cacheWriteInputTokenCount"))
    usage.cache_read_tokens = count(read)
    usage.cache_write_tokens = count(written)
    if asked is not None:
        usage.input_tokens = asked + (usage.cache_read_tokens or 0) + (usage.cache_write_tokens or 0)
    if given is not None:
        usage.output_tokens = given


def counts_in(headers: Mapping[str, str]) -> dict[str, int]:
    """Return the token counts that response headers tell."""
    return {key: int(value) for name, key in _COUNT_HEADERS if (value := headers.get(name, "")).isdecimal()}


def unwrapped(name: str | None, event: Any) -> Any:
    """Return the model's own event from within an event of InvokeModelWithResponseStream; None where there is none."""
    if name != "chunk" or type(data := event.get("bytes")) is not str:
        return None
    try:
        return loads(b64decode(data))
    except (binascii.Error, ValueError):
        return None


class BedrockAnthropic(AnthropicMessages):
    """Anthropic's messages by InvokeModel."""

    __slots__ = ()

    def _on_event(self, name: str | None, event: Any) -> None:
        inner = unwrapped(name, event)
        if type(inner) is dict:
            super()._on_event(None, inner)
        elif name is not None and name.endswith("Exception"):
            self.fail({**event, "code": name})
        elif name is None:
            super()._on_event(None, event)


class BedrockConverse(CallParser):
    """Converse, and Amazon's own models (Nova) by InvokeModel, which speak nearly the same."""

    __slots__ = ("_choice", "_starts")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._choice: Choice | None = None
        self._starts: dict[Any, dict[str, Any]] = {}

    def _on_request(self, body: dict[str, Any]) -> None:
        call = self.call
        call.request_model = self.path_model
        out = call.request
        config = record(body.get("inferenceConfig"))
        put(out, sc.REQUEST_MAX_TOKENS, count(config.get("maxTokens", config.get("max_new_tokens"))))
        put(out, sc.REQUEST_TEMPERATURE, number(config.get("temperature")))
        put(out, sc.REQUEST_TOP_P, number(config.get("topP", config.get("top_p"))))
        put(out, sc.REQUEST_TOP_K, integer(config.get("topK", config.get("top_k"))))
        put(out, sc.REQUEST_STOP_SEQUENCES, strings(config.get("stopSequences")))
        call.system_instructions = _parts(body.get("system"))
        call.input_messages = [_message(item) for item in records(body.get("messages"))]
        for tool in records(record(body.get("toolConfig")).get("tools")):
            spec = record(tool.get("toolSpec"))
            call.tool_definitions.append(
                tool_definition(
                    spec.get("name"), spec.get("description"), record(spec.get("inputSchema")).get("json")
                )
            )

    def _on_response(self, body: Any) -> bool:
        if type(body) is not dict or type(said := record(body.get("output")).get("message")) is not dict:
            return False
        call = self.call
        reason = text(body.get("stopReason"))
        if reason is not None:
            call.finish_reasons = [reason]
        call.output_messages = [answer(_parts(said.get("content")), reason, said.get("role"))]
        if type(usage := body.get("usage")) is dict:
            _read_usage(usage, self.usage())
        return True

    def _on_event(self, name: str | None, event: Any) -> None:
        if name is not None and name.endswith("Exception"):
            self.fail({**event, "code": name})
            return
        inner = unwrapped(name, event)
        if type(inner) is dict:
            for key, value in inner.items():
                if key == _METRICS:
                    self._metrics(value)
                elif type(value) is dict:
                    self._told(key, value)
        elif name is not None and name != "chunk":
            self._told(name, event)

    def _metrics(self, value: Any) -> None:
        if self.call.usage is None and type(value) is dict:
            _read_usage(value, self.usage())

    def _told(self, kind: str, event: dict[str, Any]) -> None:
        choice = self._choice
        if choice is None:
            choice = self._choice = Choice(self)
        index = event.get("contentBlockIndex", 0)
        if kind == "contentBlockDelta":
            delta = record(event.get("delta"))
            if type(piece := delta.get("text")) is str:
                choice.text(piece)
            elif type(use := delta.get("toolUse")) is dict:
                choice.merge({"tool_calls": [{"index": index, "function": {"arguments": use.get("input")}}]})
            elif type(piece := record(delta.get("reasoningContent")).get("text")) is str:
                choice.reasoning(piece)
        elif kind == "contentBlockStart":
            use = record(record(event.get("start")).get("toolUse"))
            if use:
                function = {"name": use.get("name")}
                choice.merge(
                    {"tool_calls": [{"index": index, "id": use.get("toolUseId"), "function": function}]}
                )
        elif kind == "messageStart":
            choice.role = text(event.get("role"))
        elif kind == "messageStop":
            choice.finish(event.get("stopReason"))
            self.call.complete = self.call.error is None
        elif kind == "metadata" and type(usage := event.get("usage")) is dict:
            _read_usage(usage, self.usage())

    def _on_end(self) -> None:
        choice = self._choice
        if choice is None:
            return
        reason = choice.reason or ("error" if not self.call.complete else None)
        if reason is not None:
            self.call.finish_reasons = [reason]
        self.call.output_messages = [answer(choice.parts(), reason, choice.role)]


class BedrockText(CallParser):
    """InvokeModel of models that take a prompt: Titan, Llama, Mistral, Cohere's Command."""

    __slots__ = ("_begun", "_choice", "_headers_told")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._choice = Choice(self)
        self._begun = False
        self._headers_told: dict[str, int] = {}

    def _on_headers(self, headers: Mapping[str, str]) -> None:
        self._headers_told = counts_in(headers)

    def _on_request(self, body: dict[str, Any]) -> None:
        call = self.call
        call.request_model = self.path_model
        out = call.request
        config = record(body.get("textGenerationConfig")) or body
        for key in ("maxTokenCount", "max_tokens", "max_gen_len"):
            put(out, sc.REQUEST_MAX_TOKENS, count(config.get(key)))
        put(out, sc.REQUEST_TEMPERATURE, number(config.get("temperature")))
        for key in ("topP", "top_p", "p"):
            put(out, sc.REQUEST_TOP_P, number(config.get(key)))
        for key in ("top_k", "k"):
            put(out, sc.REQUEST_TOP_K, integer(config.get(key)))
        for key in ("stopSequences", "stop", "stop_sequences"):
            put(out, sc.REQUEST_STOP_SEQUENCES, strings(config.get(key)))
        prompt = text(body.get("inputText")) or text(body.get("prompt")) or text(body.get("message"))
        if prompt is not None:
            call.input_messages = [message("user", [text_part(prompt)])]

    def _on_response(self, body: Any) -> bool:
        if type(body) is not dict:
            return False
        self._read(body)
        self._choice.reason = self._choice.reason or None
        return self._begun

    def _on_event(self, name: str | None, event: Any) -> None:
        if name is not None and name.endswith("Exception"):
            self.fail({**event, "code": name})
            return
        inner = unwrapped(name, event)
        if type(inner) is dict:
            self._read(inner)

    def _read(self, body: dict[str, Any]) -> None:
        results = body.get("results") or body.get("outputs") or body.get("generations")
        self.call.response_id = text(body.get("response_id")) or text(body.get("id")) or self.call.response_id
        for item in records(results) or [body]:
            for key in ("outputText", "text", "generation"):
                if type(piece := item.get(key)) is str:
                    self._choice.text(piece)
                    self._begun = True
            for key in ("completionReason", "stop_reason", "finish_reason"):
                if type(reason := item.get(key)) is str:
                    self._choice.finish(reason)
                    self._begun = True
        if type(metrics := body.get(_METRICS)) is dict:
            _read_usage(metrics, self.usage())
        else:
            asked = count(body.get("prompt_token_count", body.get("inputTextTokenCount")))
            if asked is not None:
                self.usage().input_tokens = asked

    def _on_end(self) -> None:
        call = self.call
        if self._headers_told:
            _read_usage(self._headers_told, self.usage())
        if not self._begun:
            return
        reason = self._choice.reason
        if reason is not None and call.error is None:
            call.complete = True
        if reason is None and not call.complete:
            reason = "error"
        if reason is not None:
            call.finish_reasons = [reason]
        call.output_messages = [answer(self._choice.parts(), reason)]


def _message(item: dict[str, Any]) -> Message:
    parts = _parts(item.get("content"))
    role = item.get("role")
    if parts and all(part["type"] == "tool_call_response" for part in parts):
        role = "tool"
    return message(role, parts)


def _parts(content: Any) -> list[Part]:
    if type(content) is str:
        return [text_part(content)] if content else []
    return [_part(item) for item in records(content)]


def _part(item: dict[str, Any]) -> Part:
    if type(written := item.get("text")) is str:
        return text_part(written)
    if type(use := item.get("toolUse")) is dict:
        return tool_call_part(use.get("toolUseId"), use.get("name"), use.get("input"))
    if type(result := item.get("toolResult")) is dict:
        told = [
            _part(piece) if "json" not in piece else {"json": piece["json"]}
            for piece in records(result.get("content"))
        ]
        plain = all(part.get("type") == "text" for part in told)
        joined = "".join(str(part.get("content", "")) for part in told)
        only = told[0]["json"] if len(told) == 1 and "json" in told[0] else told
        return tool_result_part(result.get("toolUseId"), joined if plain else only)
    if type(thought := item.get("reasoningContent")) is dict:
        written = record(thought.get("reasoningText")).get("text")
        return reasoning_part(written if type(written) is str else "")
    for modality in _MEDIA:
        if type(media := item.get(modality)) is dict:
            source = record(media.get("source"))
            form = text(media.get("format"))
            mime_type = f"{modality}/{form}" if form and modality != "document" else None
            location = record(source.get("s3Location")).get("uri")
            if type(location) is str:
                return uri_part(modality, location, mime_type)
            return base64_part(modality, mime_type, source.get("bytes"))
    return other_part(item)
