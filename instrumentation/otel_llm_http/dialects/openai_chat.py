"""OpenAI chat completions and completions, as OpenAI and everybody compatible speaks them.

Differences that are known are read here too: reasoning texts (`reasoning_content` of DeepSeek and vLLM, `reasoning`
of OpenRouter and Groq, thinking parts of Mistral), usage inside of `x_groq` or of a choice (Moonshot).
Source: platform.openai.com/docs/api-reference/chat and the servers' own documentation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

from otel_llm import semconv as sc
from otel_llm.llm import Message, Part
from otel_llm_http.dialects._choices import Choice
from otel_llm_http.dialects._failures import holds_error
from otel_llm_http.dialects._openai import message_of, output_parts, read_parameters, read_usage, tools_of
from otel_llm_http.dialects._parser import CallParser
from otel_llm_http.dialects._parts import answer, message, text_part
from otel_llm_http.dialects._values import count, put, record, records, text

_MAX_CHOICES: Final = 1024


class OpenAIChat(CallParser):
    """Chat completions and completions: they differ in what a choice holds."""

    __slots__ = ("_begun", "_choices", "_wanted")
    text_key: ClassVar[bytes] = b'"content":'

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._choices: dict[int, Choice] = {}
        self._begun = False
        self._wanted = 1

    def _on_request(self, body: dict[str, Any]) -> None:
        call = self.call
        call.request_model = self.path_model or text(body.get("model"))
        if body.get("stream") is True:
            call.stream = True
        self._wanted = count(body.get("n")) or 1
        read_parameters(body, call.request)
        messages = body.get("messages")
        if messages is not None:
            call.input_messages = [message_of(item) for item in records(messages)]
        elif (prompt := body.get("prompt")) is not None:
            call.input_messages = prompts(prompt)
            if type(prompt) is list and prompt and type(prompt[0]) in {str, list}:
                self._wanted *= len(prompt)
        tools = body.get("tools") or body.get("functions")
        if tools:
            call.tool_definitions = tools_of(tools)

    def _on_response(self, body: Any) -> bool:
        if type(body) is not dict or type(choices := body.get("choices")) is not list:
            return False
        if not choices and holds_error(body):
            return False
        self._begin(body)
        call = self.call
        for choice in records(choices):
            reason = text(choice.get("finish_reason"))
            if reason is not None:
                call.finish_reasons.append(reason)
            content = choice.get("message")
            if type(content) is dict:
                call.output_messages.append(answer(output_parts(content), reason, content.get("role")))
            else:
                written = choice.get("text")
                parts: list[Part] = [text_part(written)] if type(written) is str and written else []
                call.output_messages.append(answer(parts, reason))
            if choice.get("error"):
                self.fail(choice)
        usage = body.get("usage")
        if type(usage) is dict:
            read_usage(usage, self.usage())
        if body.get("error"):
            self.fail(body)
        return True

    def _on_event(self, name: str | None, event: Any) -> Callable[[str], None] | None:  # noqa: ARG002
        if not self._begun:
            self._begin(event)
        taken: Callable[[str], None] | None = None
        choices = event.get("choices") or ()
        for choice in choices:
            index = choice.get("index", 0)
            state = self._choices.get(index)
            if state is None:
                if type(index) is not int or len(self._choices) >= _MAX_CHOICES:
                    continue
                state = self._choices[index] = Choice(self)
            delta = choice.get("delta")
            if delta is None:
                written = choice.get("text")
                if type(written) is str and written:
                    state.text(written)
                elif type(choice.get("message")) is dict:
                    state.merge(choice["message"])
            elif state.merge(delta):
                taken = state.text
            if (reason := choice.get("finish_reason")) is not None:
                state.finish(reason)
            if "usage" in choice:
                self._usage(choice["usage"])
            if "error" in choice:
                self._failed(choice)
        usage = event.get("usage")
        if usage is not None:
            self._usage(usage)
        if "error" in event:
            self._failed(event)
        elif "x_groq" in event:
            self._usage(record(event["x_groq"]).get("usage"))
        elif taken is not None and len(choices) == 1:
            # The same event with other text would tell nothing else: reason and counts it repeats are the same.
            return taken
        return None

    def _failed(self, event: dict[str, Any]) -> None:
        if event["error"]:
            self.fail(event)

    def _usage(self, usage: Any) -> None:
        if type(usage) is dict:
            read_usage(usage, self.usage())

    def _begin(self, body: dict[str, Any]) -> None:
        """Read what every chunk repeats."""
        call = self.call
        call.response_id = text(body.get("id"))
        call.response_model = text(body.get("model"))
        self._begun = call.response_id is not None or bool(body.get("choices"))
        put(call.response, sc.OPENAI_RESPONSE_SERVICE_TIER, text(body.get("service_tier")))
        put(call.response, sc.OPENAI_RESPONSE_SYSTEM_FINGERPRINT, text(body.get("system_fingerprint")))

    def _on_end(self) -> None:
        if not self._choices:
            return
        call = self.call
        choices = [self._choices[index] for index in sorted(self._choices)]
        if not call.complete and call.error is None and len(choices) >= self._wanted:
            call.complete = all(choice.reason is not None for choice in choices)
        for choice in choices:
            reason = choice.reason
            if reason is None and not call.complete:
                reason = "error"
            if reason is not None:
                call.finish_reasons.append(reason)
            call.output_messages.append(answer(choice.parts(), reason, choice.role))


def prompts(prompt: Any) -> list[Message]:
    """Return the prompts of a completion: a text, texts, token ids, or lists of token ids."""
    if type(prompt) is str:
        return [message("user", [text_part(prompt)])]
    if type(prompt) is not list:
        return []
    if prompt and type(prompt[0]) is int:
        return [message("user", [tokens_part(prompt)])]
    out = []
    for item in prompt:
        if type(item) is str:
            out.append(message("user", [text_part(item)]))
        elif type(item) is list:
            out.append(message("user", [tokens_part(item)]))
    return out


def tokens_part(ids: list[Any]) -> Part:
    """Describe token ids: how many there are."""
    return {"type": "token_ids", "size": len(ids)}
