"""Engines' own ways to generate: vLLM's `/inference/v1/generate` and `/generate`, and their namesakes.

`/generate` is also what SGLang, Hugging Face's TGI and TRL's server call theirs; the payload tells which it is.
Source: vllm/entrypoints (api_server.py, serve/disagg/protocol.py), docs.sglang.ai/basic_usage/native_api,
trl/scripts/vllm_serve.py.
"""

from __future__ import annotations

from typing import Any, Final

from otel_llm import semconv as sc
from otel_llm.llm import Part
from otel_llm_http.dialects._failures import holds_error
from otel_llm_http.dialects._openai import read_parameters, read_usage
from otel_llm_http.dialects._parser import CallParser
from otel_llm_http.dialects._parts import answer, message, text_part
from otel_llm_http.dialects._values import count, integer, put, record, records, text
from otel_llm_http.dialects.openai_chat import prompts, tokens_part

_MAX_CHOICES: Final = 4096


class TokensGenerate(CallParser):
    """One exchange with `/inference/v1/generate`: tokens in, tokens out."""

    __slots__ = ("_asked", "_begun", "_given", "_reasons")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._asked: int | None = None
        self._begun = False
        self._given: dict[int, int] = {}
        self._reasons: dict[int, str] = {}

    def _on_request(self, body: dict[str, Any]) -> None:
        call = self.call
        call.request_model = text(body.get("model"))
        if body.get("stream") is True:
            call.stream = True
        read_parameters(record(body.get("sampling_params")), call.request)
        ids = body.get("token_ids")
        if type(ids) is list:
            self._asked = len(ids)
            call.input_messages = [message("user", [tokens_part(ids)])]

    def _on_response(self, body: Any) -> bool:
        if type(body) is not dict or type(body.get("choices")) is not list or holds_error(body):
            return False
        self._on_event(None, body)
        return True

    def _on_event(self, name: str | None, event: Any) -> None:  # noqa: ARG002
        if event.get("error"):
            self.fail(event)
            return
        if not self._begun:
            self._begun = True
            self.call.response_id = text(event.get("request_id"))
            self.call.response_model = text(event.get("model"))
        for choice in records(event.get("choices"))[:_MAX_CHOICES]:
            index = integer(choice.get("index")) or 0
            ids = choice.get("token_ids")
            if index in self._given or len(self._given) < _MAX_CHOICES:
                self._given[index] = self._given.get(index, 0) + (len(ids) if type(ids) is list else 0)
                if (reason := text(choice.get("finish_reason"))) is not None:
                    self._reasons[index] = reason
        if type(usage := event.get("usage")) is dict:
            read_usage(usage, self.usage())

    def _on_end(self) -> None:
        call = self.call
        if not self._given:
            return
        if not call.complete and call.error is None:
            call.complete = len(self._reasons) == len(self._given)
        if call.usage is None:
            # What is counted here is exact: it is all there is on the wire.
            usage = self.usage()
            usage.input_tokens = self._asked
            usage.output_tokens = sum(self._given.values())
        for index in sorted(self._given):
            reason = self._reasons.get(index) or ("error" if not call.complete else None)
            if reason is not None:
                call.finish_reasons.append(reason)
            parts: list[Part] = [{"type": "token_ids", "size": self._given[index]}]
            call.output_messages.append(answer(parts, reason))


class TextGenerate(CallParser):
    """One exchange with a server's own `/generate` or `/completion`."""

    __slots__ = ("_last", "_pieces")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._last: dict[str, Any] | None = None
        self._pieces: list[str] = []

    def _on_request(self, body: dict[str, Any]) -> None:
        call = self.call
        call.request_model = text(body.get("model"))
        if body.get("stream") is True:
            call.stream = True
        for key, provider in (
            ("inputs", "huggingface"),
            ("sampling_params", "sglang"),
            ("n_predict", "llama_cpp"),
        ):
            if key in body and call.provider == "vllm":
                call.provider = provider
        options = record(body.get("sampling_params")) or record(body.get("parameters")) or body
        read_parameters(options, call.request)
        for key in ("max_new_tokens", "n_predict", "max_completion_length"):
            put(call.request, sc.REQUEST_MAX_TOKENS, count(options.get(key)))
        for key in ("prompt", "prompts", "text", "inputs", "input_ids"):
            if key in body:
                call.input_messages = prompts(body[key])
                break

    def _on_response(self, body: Any) -> bool:
        if (
            type(body) is list
            and body
            and type(body[0]) is dict
            and ("text" in body[0] or "generated_text" in body[0])
        ):
            for item in records(body):
                self._one(item)
            return True
        if type(body) is not dict:
            return False
        if any(key in body for key in ("text", "generated_text", "completion_ids", "content")):
            self._one(body)
            return True
        return False

    def _on_event(self, name: str | None, event: Any) -> None:  # noqa: ARG002
        if event.get("error"):
            self.fail(event)
            return
        self._last = event
        if type(token := event.get("token")) is dict:  # TGI
            if type(piece := token.get("text")) is str and token.get("special") is not True:
                self._pieces.append(self.room(piece))
        elif type(piece := event.get("content")) is str:  # llama.cpp
            self._pieces.append(self.room(piece))
            if event.get("stop") is True:
                self.call.complete = True

    def _one(self, body: dict[str, Any]) -> None:
        """Read an answer, whole."""
        call = self.call
        meta = record(body.get("meta_info")) or record(body.get("details"))
        call.response_id = text(meta.get("id")) or call.response_id
        reason = _reason(body, meta)
        for part in _written(body):
            call.output_messages.append(answer([part], reason))
            if reason is not None:
                call.finish_reasons.append(reason)
        asked = count(meta.get("prompt_tokens", body.get("tokens_evaluated")))
        given = count(
            meta.get("completion_tokens", meta.get("generated_tokens", body.get("tokens_predicted")))
        )
        if type(ids := body.get("completion_ids")) is list:
            given = sum(len(each) for each in ids if type(each) is list)
        if type(ids := body.get("prompt_ids")) is list:
            asked = sum(len(each) for each in ids if type(each) is list)
        if asked is not None or given is not None:
            usage = self.usage()
            usage.input_tokens = (
                (usage.input_tokens or 0) + asked if asked is not None else usage.input_tokens
            )
            usage.output_tokens = (
                (usage.output_tokens or 0) + given if given is not None else usage.output_tokens
            )
            if (cached := count(meta.get("cached_tokens"))) is not None:
                usage.cache_read_tokens = (usage.cache_read_tokens or 0) + cached

    def _on_end(self) -> None:
        call = self.call
        last = self._last
        if last is None or call.output_messages:
            return
        if self._pieces:
            last = {**last, "generated_text": "".join(self._pieces)}
            last.pop("content", None)
        if (
            call.error is None
            and _reason(last, record(last.get("meta_info")) or record(last.get("details"))) is not None
        ):
            call.complete = True
        # SGLang's and vLLM's pieces repeat all that came before, so the last one is the answer.
        self._one(last)


def _reason(body: dict[str, Any], meta: dict[str, Any]) -> str | None:
    reason = meta.get("finish_reason", body.get("finish_reason"))
    if type(reason) is dict:  # SGLang
        reason = reason.get("type")
    return text(reason) or text(body.get("stop_type"))


def _written(body: dict[str, Any]) -> list[Part]:
    """Return one part for each answer in a body."""
    if type(ids := body.get("completion_ids")) is list:
        return [tokens_part(each) for each in ids if type(each) is list][:_MAX_CHOICES]
    for key in ("generated_text", "text", "content"):
        value = body.get(key)
        if type(value) is str:
            return [text_part(value)]
        if type(value) is list:
            return [text_part(each) for each in value if type(each) is str][:_MAX_CHOICES]
    return []
