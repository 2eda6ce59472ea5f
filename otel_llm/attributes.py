"""From a finished `LLMCall` to span attributes: the one place where a call is put into words.

Runs on the worker, except `scrub_name`. Knows the content policies, not the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.trace import Span

from otel_llm import semconv as sc
from otel_llm.content import ContentPolicy, content_attributes, marker
from otel_llm.llm import AttributeValue, CallError, LLMCall
from otel_llm.pricing import Cost, Pricer

if TYPE_CHECKING:
    from otel_llm.calls import CallRecord
    from otel_llm.hosts import NearHosts
    from otel_llm.redaction import Scrubber
    from otel_llm.settings import Settings

_MAX_NAMES: Final = 4096
_MAX_TEXT: Final = 4096
_MAX_ID: Final = 256

ContentSink = Callable[[Span, Mapping[str, AttributeValue]], None]
"""Takes content that is kept outside of the span, just before the span ends."""


class Describer:
    """Turns calls into attributes, under the settings of one runtime."""

    def __init__(self, settings: Settings, scrubber: Scrubber, near: NearHosts) -> None:
        self._settings = settings
        self._scrubber = scrubber
        self._near = near
        self._pricer = Pricer()
        self._policy = settings.content
        self._max_length = settings.max_content_length
        self._preview_length = settings.preview_length
        self._renames = sc.V1_41 if settings.semconv == "1.41" else None
        self._dropped = settings.drop_attributes
        self._drops: dict[str, bool] = {}
        self._names: dict[str, str] = {}
        self.keep: ContentSink | None = None
        """Takes what the local store keeps beyond what spans carry."""
        self.emit: Callable[[CallRecord, LLMCall, Mapping[str, AttributeValue]], None] | None = None
        """Takes what goes into events, where the program asked for content in events."""

    def scrub(self, text: str) -> str:
        """Return `text` without secrets."""
        return self._scrubber.text(text)

    def scrub_name(self, name: str) -> str:
        """Return a model's name without secrets; remembered, since names repeat. Hot path."""
        if (known := self._names.get(name)) is None:
            known = self._scrubber.text(name)
            if len(self._names) >= _MAX_NAMES:
                self._names.clear()
            self._names[name] = known
        return known

    @property
    def policies(self) -> tuple[ContentPolicy, ContentPolicy]:
        """What spans carry of content, and what the local store keeps."""
        return self._policy, self._settings.kept_content

    def longest(self, policy: ContentPolicy) -> int:
        """Return how long a single text may be under `policy`, in characters."""
        return self._preview_length if policy is ContentPolicy.PREVIEW else self._max_length

    def scrub_id(self, text: str) -> str:
        """Return an id without secrets; two ids stay two, also where all that differs is the secret. Hot path."""
        clean = self.scrub_name(text)
        if clean == text and len(text) <= _MAX_ID:
            return text
        return f"{clean[:_MAX_ID]}-{blake2b(text.encode('utf-8', 'replace'), digest_size=4).hexdigest()}"

    def identity(
        self,
        kind: str,
        own: Mapping[str, AttributeValue],
        handed_down: Mapping[str, AttributeValue],
        above: Mapping[str, AttributeValue] | None,
    ) -> tuple[dict[str, AttributeValue], dict[str, AttributeValue]]:
        """Return what a scope's span starts with, and what the scope hands down, without secrets. Hot path.

        Args:
            kind: the scope's kind.
            own: what only its own span gets.
            handed_down: what the spans below get as well.
            above: what the scope above hands down; clean already.
        """
        inherited: dict[str, Any] = {} if above is None else dict(above)
        for key, value in handed_down.items():
            inherited[key] = self._clean(key, value) if type(value) in _TEXTUAL else value
        if self._dropped:
            inherited = self.wanted(inherited)
        attributes = inherited.copy()
        attributes[sc.SCOPE_KIND] = kind
        for key, value in own.items():
            attributes[key] = self._clean(key, value) if type(value) in _TEXTUAL else value
        return self.wanted(attributes) if self._dropped else attributes, inherited

    def _clean(self, key: str, value: Any) -> Any:
        if type(value) is not str:
            return tuple(self._clean("", item) if type(item) is str else item for item in value)
        if (known := self._names.get(value)) is not None and known == value:
            return known
        if key == sc.GAME_ID:
            return self.scrub_id(value)
        return self.scrub_name(value if len(value) <= _MAX_ID else value[:_MAX_ID])

    def scoped(self, attributes: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
        """Return attributes that a program gave: without secrets, bounded, without those it switched off."""
        out: dict[str, Any] = {self.scrub_name(key): value for key, value in attributes.items()}
        self._scrub(out)
        for key, value in out.items():
            if type(value) is str and len(value) > self._max_length:
                out[key] = value[: self._max_length] + marker(len(value))
        return self.wanted(out) if self._dropped else out

    def column(self, key: str, values: list[Any]) -> tuple[str, list[Any]]:
        """Return one attribute of many spans, its key and a value for each, as `scoped` has it of one.

        `Settings.drop_attributes` is left to the caller.
        """
        key = self.scrub_name(key)
        texts = [value if type(value) is str else repr(value) for value in values if type(value) in _TEXTUAL]
        short = max(map(len, texts), default=0) <= self._max_length
        if short and not self._scrubber.looks_at(key) and self._scrubber.leaves_alone(texts):
            return key, values
        return key, [None if value is None else self.scoped({key: value}).get(key) for value in values]

    def wanted(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """Return attributes without those that `Settings.drop_attributes` names."""
        return {key: value for key, value in attributes.items() if not self._is_dropped(key)}

    @property
    def drops_any(self) -> bool:
        """Whether there are attributes that nobody wants."""
        return bool(self._dropped)

    def _is_dropped(self, key: str) -> bool:
        if (known := self._drops.get(key)) is None:
            if len(self._drops) >= _MAX_NAMES:
                self._drops.clear()
            known = self._drops[key] = any(fnmatchcase(key, pattern) for pattern in self._dropped)
        return known

    def span_name(self, call: LLMCall) -> str:
        """Return `{operation} {model}`, or the operation alone."""
        if not call.request_model:
            return call.operation
        return f"{call.operation} {self.scrub_name(call.request_model)}"

    def price(self, record: CallRecord, call: LLMCall) -> Cost | None:
        """Return what the call cost by list prices; None where nobody knows, and for near hosts."""
        if call.usage is None:
            return None
        return self._pricer.price(call, record.start_ns, priced=record.host not in self._near)

    def attributes(self, record: CallRecord, call: LLMCall, cost: Cost | None) -> dict[str, AttributeValue]:
        """Return what the span gets beyond what it started with."""
        out: dict[str, Any] = dict(call.request)
        # What the span started with is set again only where the body tells otherwise.
        if call.request_model and call.request_model != record.model:
            out[sc.REQUEST_MODEL] = self.scrub_name(call.request_model)
        if call.operation != record.endpoint.operation:
            out[sc.OPERATION_NAME] = call.operation
        if call.provider != record.endpoint.provider:
            out[sc.PROVIDER_NAME] = call.provider
        if call.stream:
            out[sc.REQUEST_STREAM] = True
        self._response(record, call, out)
        _usage(call, out)
        if cost is not None:
            if cost.input is not None:
                out[sc.COST_INPUT] = cost.input
            if cost.output is not None:
                out[sc.COST_OUTPUT] = cost.output
            out[sc.COST_TOTAL] = cost.total
        if call.error is not None:
            _error(call.error, out)
        self._scrub(out)
        if self._policy is not ContentPolicy.NONE:
            out.update(self.content(call, self._policy))
        if self._dropped:
            out = self.wanted(out)
        if self._renames is not None:
            out = {self._renames.get(key, key): value for key, value in out.items()}
        return out

    def content(self, call: LLMCall, policy: ContentPolicy) -> dict[str, AttributeValue]:
        """Return the content attributes that `policy` allows."""
        found = content_attributes(call, policy, self._scrubber, self._max_length, self._preview_length)
        return self.wanted(found) if self._dropped else found

    def before_end(self, record: CallRecord, call: LLMCall, attributes: Mapping[str, AttributeValue]) -> None:
        """Hand on what is kept elsewhere than on the span."""
        if self.keep is not None:
            kept = self._settings.kept_content
            if kept is not self._policy:
                extra = {
                    k: v for k, v in self.content(call, kept).items() if k not in attributes or k in _CONTENT
                }
                if extra:
                    self.keep(record.span, extra)
        if self.emit is not None:
            self.emit(record, call, attributes)

    def _scrub(self, attributes: dict[str, Any]) -> None:
        """Take secrets out, in place. One scan over all texts, and a look at each only where it may be needed."""
        scrubber = self._scrubber
        textual = {k: v for k, v in attributes.items() if type(v) in _TEXTUAL}
        texts: list[str] = []
        for value in textual.values():
            if type(value) is str:
                texts.append(value)
            else:
                texts += [item for item in value if type(item) is str]
        clean = scrubber.leaves_alone(texts)
        for key, value in textual.items():
            if not clean or scrubber.looks_at(key):
                attributes[key] = scrubber.attribute(key, value)

    def _response(self, record: CallRecord, call: LLMCall, out: dict[str, Any]) -> None:
        if call.response_id:
            out[sc.RESPONSE_ID] = call.response_id
        if call.response_model:
            out[sc.RESPONSE_MODEL] = self.scrub_name(call.response_model)
        if call.finish_reasons:
            out[sc.RESPONSE_FINISH_REASONS] = tuple(call.finish_reasons)
        out.update(call.response)
        status = record.status
        if status is not None:
            out[sc.HTTP_STATUS_CODE] = status
        if record.streaming and call.stream:
            first = record.time_to_first_chunk_s
            if first is not None:
                out[sc.RESPONSE_TIME_TO_FIRST_CHUNK] = first
                out[sc.STREAM_CHUNKS] = record.chunks
            if (gaps := record.time_per_chunk_s) is not None:
                out[sc.STREAM_CHUNK_MEAN], out[sc.STREAM_CHUNK_MAX] = gaps
        if call.truncated:
            out[sc.BODY_TRUNCATED] = True
        if record.unavailable:
            out[sc.CONTENT_UNAVAILABLE] = True


def _error(error: CallError, out: dict[str, Any]) -> None:
    out[sc.ERROR_TYPE] = error.type
    if error.message:
        out[sc.ERROR_MESSAGE] = error.message[:_MAX_TEXT]
    if error.code:
        out[sc.ERROR_CODE] = error.code[:_MAX_TEXT]
    if error.exception:
        out[sc.EXCEPTION_TYPE] = error.exception


def _usage(call: LLMCall, out: dict[str, Any]) -> None:
    usage = call.usage
    if usage is None:
        return
    counts = (
        (sc.USAGE_INPUT_TOKENS, usage.input_tokens),
        (sc.USAGE_OUTPUT_TOKENS, usage.output_tokens),
        (sc.USAGE_CACHE_READ, usage.cache_read_tokens),
        (sc.USAGE_CACHE_WRITE, usage.cache_write_tokens),
        (sc.USAGE_REASONING, usage.reasoning_tokens),
    )
    out.update([(key, value) for key, value in counts if value is not None])
    for tail, count in usage.by_modality.items():
        out[sc.USAGE_PREFIX + tail] = count


_TEXTUAL: Final = frozenset({str, tuple, list})
_CONTENT: Final = frozenset(
    {sc.INPUT_MESSAGES, sc.OUTPUT_MESSAGES, sc.SYSTEM_INSTRUCTIONS, sc.TOOL_DEFINITIONS},
)
