"""Gemini's generateContent and streamGenerateContent, of the Developer API and of Vertex.

Thoughts and prompts of tools are not part of the counts for candidates and prompt on the wire; the conventions count
them in. Field names come in camel case, from hand-written calls also in snake case.
Source: ai.google.dev/api/generate-content, cloud.google.com/vertex-ai/generative-ai/docs/model-reference.
"""

from __future__ import annotations

from typing import Any, Final

from otel_llm import semconv as sc
from otel_llm.llm import CallError, Message, Part, Usage
from otel_llm_http.dialects._failures import holds_error
from otel_llm_http.dialects._parser import CallParser
from otel_llm_http.dialects._parts import (
    answer,
    base64_part,
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

_MAX_CANDIDATES: Final = 256
_MAX_PARTS: Final = 65_536
_BLOCKED: Final = frozenset({"BLOCK_REASON_UNSPECIFIED", ""})


# Vertex's own SDK asks for enumerations as numbers (`enum-encoding=int`).
_REASONS: Final = (
    "FINISH_REASON_UNSPECIFIED",
    "STOP",
    "MAX_TOKENS",
    "SAFETY",
    "RECITATION",
    "OTHER",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MALFORMED_FUNCTION_CALL",
)
_MODALITIES: Final = ("", "TEXT", "IMAGE", "VIDEO", "AUDIO", "DOCUMENT")


def _named(value: Any, names: tuple[str, ...]) -> str | None:
    if type(value) is int:
        return names[value] if 0 <= value < len(names) else str(value)
    return text(value)


def either(body: dict[str, Any], camel: str, snake: str) -> Any:
    """Return a field by its name in camel case, or in snake case."""
    value = body.get(camel)
    return body.get(snake) if value is None else value


class _Candidate:
    """One candidate, whole or under way: adjacent texts of a kind become one part."""

    __slots__ = ("_open", "_parser", "_pieces", "parts", "reason", "role")

    def __init__(self, parser: CallParser) -> None:
        self._parser = parser
        self.parts: list[Part] = []
        self._open: str | None = None
        self._pieces: list[str] = []
        self.reason: str | None = None
        self.role: str | None = None

    def add(self, candidate: dict[str, Any]) -> None:
        for item in records(record(candidate.get("content")).get("parts")):
            written = item.get("text")
            if type(written) is str:
                if written:
                    self._write("reasoning" if item.get("thought") is True else "text", written)
            elif len(self.parts) < _MAX_PARTS:
                self.close()
                self.parts.append(part_of(item))
        if (reason := _named(either(candidate, "finishReason", "finish_reason"), _REASONS)) is not None:
            self.reason = reason

    def _write(self, kind: str, piece: str) -> None:
        if self._open != kind:
            self.close()
            self._open = kind
        if piece := self._parser.room(piece):
            self._pieces.append(piece)

    def close(self) -> None:
        if self._open is not None and self._pieces:
            self.parts.append({"type": self._open, "content": "".join(self._pieces)})
        self._open = None
        self._pieces = []


class GeminiGenerate(CallParser):
    """One exchange with `:generateContent` or `:streamGenerateContent`."""

    __slots__ = ("_begun", "_candidates", "_wanted")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._candidates: dict[int, _Candidate] = {}
        self._begun = False
        self._wanted = 1

    def _on_request(self, body: dict[str, Any]) -> None:
        call = self.call
        call.request_model = self.path_model or text(body.get("model"))
        config = record(either(body, "generationConfig", "generation_config"))
        self._wanted = count(either(config, "candidateCount", "candidate_count")) or 1
        _parameters(config, call.request, self._wanted)
        system = either(body, "systemInstruction", "system_instruction")
        call.system_instructions = [text_part(system)] if type(system) is str else parts_of(system)
        contents = body.get("contents")
        if type(contents) is str:
            call.input_messages = [message("user", [text_part(contents)])]
        else:
            call.input_messages = [
                _message(item) for item in records([contents] if type(contents) is dict else contents)
            ]
        for tool in records(body.get("tools")):
            call.tool_definitions += _tools(tool)

    def _on_response(self, body: Any) -> bool:
        # Without `alt=sse` a stream is one JSON array of what else would be events.
        chunks = body if type(body) is list else [body]
        known = [chunk for chunk in chunks if type(chunk) is dict and _is_chunk(chunk)]
        for chunk in known:
            self._on_event(None, chunk)
        if type(body) is list and chunks and holds_error(chunks[-1:]):
            self.fail(chunks[-1])
        return bool(known)

    def _on_event(self, name: str | None, event: Any) -> None:  # noqa: ARG002
        if not self._begun:
            self._begin(event)
        for at, candidate in enumerate(event.get("candidates") or ()):
            index = candidate.get("index", at)
            state = self._candidates.get(index)
            if state is None:
                if type(index) is not int or len(self._candidates) >= _MAX_CANDIDATES:
                    continue
                state = self._candidates[index] = _Candidate(self)
            state.add(candidate)
        counts = either(event, "usageMetadata", "usage_metadata")
        if type(counts) is dict:
            read_usage(counts, self.usage())
        if "error" in event:
            self.fail(event)
        feedback = either(event, "promptFeedback", "prompt_feedback")
        if type(feedback) is dict:
            reason = text(either(feedback, "blockReason", "block_reason"))
            if reason is not None and reason not in _BLOCKED and self.call.error is None:
                words = text(either(feedback, "blockReasonMessage", "block_reason_message"))
                self.call.error = CallError(
                    "content_filter", words or f"the prompt was blocked: {reason}", reason
                )

    def _begin(self, event: dict[str, Any]) -> None:
        self._begun = True
        call = self.call
        call.response_id = text(either(event, "responseId", "response_id"))
        call.response_model = text(either(event, "modelVersion", "model_version"))

    def _on_end(self) -> None:
        call = self.call
        if call.output_messages or not self._candidates:
            return
        states = [self._candidates[index] for index in sorted(self._candidates)]
        finished = all(state.reason is not None for state in states)
        if not call.complete and call.error is None and len(states) >= self._wanted:
            call.complete = finished
        for state in states:
            state.close()
            reason = state.reason
            if reason is None and not call.complete:
                reason = "error"
            if reason is not None:
                call.finish_reasons.append(reason)
            call.output_messages.append(answer(state.parts, reason))


def _is_chunk(body: dict[str, Any]) -> bool:
    return any(
        key in body
        for key in (
            "candidates",
            "usageMetadata",
            "promptFeedback",
            "usage_metadata",
            "modelVersion",
            "responseId",
        )
    )


def _parameters(config: dict[str, Any], out: dict[str, Any], wanted: int) -> None:
    if wanted != 1:
        out[sc.REQUEST_CHOICE_COUNT] = wanted
    put(out, sc.REQUEST_TEMPERATURE, number(config.get("temperature")))
    put(out, sc.REQUEST_TOP_P, number(either(config, "topP", "top_p")))
    put(out, sc.REQUEST_TOP_K, integer(either(config, "topK", "top_k")))
    put(out, sc.REQUEST_MAX_TOKENS, count(either(config, "maxOutputTokens", "max_output_tokens")))
    put(out, sc.REQUEST_SEED, integer(config.get("seed")))
    put(out, sc.REQUEST_FREQUENCY_PENALTY, number(either(config, "frequencyPenalty", "frequency_penalty")))
    put(out, sc.REQUEST_PRESENCE_PENALTY, number(either(config, "presencePenalty", "presence_penalty")))
    put(out, sc.REQUEST_STOP_SEQUENCES, strings(either(config, "stopSequences", "stop_sequences")))
    thinking = record(either(config, "thinkingConfig", "thinking_config"))
    put(out, sc.REQUEST_REASONING_LEVEL, text(either(thinking, "thinkingLevel", "thinking_level")))
    put(out, sc.OUTPUT_TYPE, _output_type(config))


def _output_type(config: dict[str, Any]) -> str | None:
    mime_type = either(config, "responseMimeType", "response_mime_type")
    if mime_type in {"application/json", "text/x.enum"}:
        return "json"
    modalities = either(config, "responseModalities", "response_modalities")
    if type(modalities) is list:
        if "IMAGE" in modalities:
            return "image"
        if "AUDIO" in modalities:
            return "speech"
    return "text" if mime_type == "text/plain" else None


def read_usage(body: dict[str, Any], usage: Usage) -> None:
    """Read `usageMetadata`; a stream repeats it with totals."""
    asked = count(either(body, "promptTokenCount", "prompt_token_count"))
    for_tools = count(either(body, "toolUsePromptTokenCount", "tool_use_prompt_token_count"))
    given = count(either(body, "candidatesTokenCount", "candidates_token_count"))
    thoughts = count(either(body, "thoughtsTokenCount", "thoughts_token_count"))
    cached = count(either(body, "cachedContentTokenCount", "cached_content_token_count"))
    if asked is not None:
        usage.input_tokens = asked + (for_tools or 0)
    if given is not None or thoughts is not None:
        usage.output_tokens = (given or 0) + (thoughts or 0)
    if thoughts is not None:
        usage.reasoning_tokens = thoughts
    if cached is not None:
        usage.cache_read_tokens = cached
    for camel, snake, tail in (
        ("promptTokensDetails", "prompt_tokens_details", "input_tokens"),
        ("candidatesTokensDetails", "candidates_tokens_details", "output_tokens"),
        ("cacheTokensDetails", "cache_tokens_details", "cache_read.input_tokens"),
    ):
        for detail in records(either(body, camel, snake)):
            modality = _named(detail.get("modality"), _MODALITIES)
            found = count(either(detail, "tokenCount", "token_count"))
            if found and modality is not None and modality.lower() in {"text", "image", "audio"}:
                usage.by_modality[f"{modality.lower()}.{tail}"] = found


def parts_of(content: Any) -> list[Part]:
    """Return the parts of a `Content`."""
    return [part_of(item) for item in records(record(content).get("parts"))]


def _message(content: dict[str, Any]) -> Message:
    parts = parts_of(content)
    role = content.get("role")
    if role == "model":
        role = "assistant"
    elif role == "function" or (parts and all(part["type"] == "tool_call_response" for part in parts)):
        role = "tool"
    return message(role, parts)


def part_of(item: dict[str, Any]) -> Part:
    """Return one `Part`; what is not text is described."""
    written = item.get("text")
    if type(written) is str:
        return reasoning_part(written) if item.get("thought") is True else text_part(written)
    if type(call := either(item, "functionCall", "function_call")) is dict:
        return tool_call_part(call.get("id"), call.get("name"), call.get("args"))
    if type(result := either(item, "functionResponse", "function_response")) is dict:
        return tool_result_part(result.get("id") or result.get("name"), result.get("response"))
    if type(data := either(item, "inlineData", "inline_data")) is dict:
        mime_type = either(data, "mimeType", "mime_type")
        return base64_part(modality_of(mime_type), mime_type, data.get("data"))
    if type(data := either(item, "fileData", "file_data")) is dict:
        mime_type = either(data, "mimeType", "mime_type")
        return uri_part(modality_of(mime_type), either(data, "fileUri", "file_uri"), mime_type)
    for camel, snake in (
        ("executableCode", "executable_code"),
        ("codeExecutionResult", "code_execution_result"),
    ):
        if type(code := either(item, camel, snake)) is dict:
            return server_tool_part(code, snake)
    return other_part(item)


def _tools(tool: dict[str, Any]) -> list[dict[str, Any]]:
    functions = either(tool, "functionDeclarations", "function_declarations")
    if type(functions) is list:
        return [
            tool_definition(
                function.get("name"),
                function.get("description"),
                function.get("parameters")
                or either(function, "parametersJsonSchema", "parameters_json_schema"),
            )
            for function in records(functions)
        ]
    # A tool of Google's, such as search: there is nothing to it but its name.
    return [{"type": key, "name": key} for key in tool]
