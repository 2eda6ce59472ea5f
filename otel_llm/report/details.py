"""Everything about each item, in packed chunks: the page unpacks the one that somebody reads.

A chunk is JSON, deflated and in base64, so that ten thousand conversations neither fill the file nor have to be
parsed before the page can be used. Texts are in a table of their chunk and said once in it: prompts repeat themselves.
"""

from __future__ import annotations

import zlib
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from otel_llm import semconv as sc
from otel_llm.analysis import CallRecord, InteractionRecord, Message
from otel_llm.analysis.conversation import decoded, part_text, turns
from otel_llm.analysis.queries import Answer
from otel_llm.report.items import Item, milliseconds
from otel_llm.report.strict_json import dumps

MAX_TEXT: Final = 200_000
"""Characters of one text that a report holds."""
_CHUNK_CHARACTERS: Final = 1_000_000
_CHUNK_ITEMS: Final = 500
_THREADS: Final = 2
_LEVEL: Final = 2
"""Of deflate: three times as fast as the default, for a tenth more."""

_SHOWN: Final = frozenset(
    {
        sc.INPUT_MESSAGES, sc.OUTPUT_MESSAGES, sc.SYSTEM_INSTRUCTIONS, sc.GAME_ID, sc.PHASE_NAME, sc.PHASE_YEAR,
        sc.PHASE_SEASON, sc.PHASE_TYPE, sc.POWER_NAME, sc.AGENT_NAME, sc.OPERATION_NAME, sc.SCOPE_KIND,
        sc.INTERACTION_TYPE, sc.INTERACTION_SUCCESS, sc.INTERACTION_OUTCOME, sc.INTERACTION_ATTEMPT,
        sc.ORDERS_SUBMITTED, sc.ORDERS_INVALID, sc.ORDERS_VALID_COUNT, sc.ORDERS_INVALID_COUNT, sc.POWER_CENTERS,
        sc.POWER_UNITS, sc.GAME_REWARD, sc.GAME_EPISODE, sc.ERROR_TYPE, sc.ERROR_MESSAGE, sc.REQUEST_MODEL,
    }
)  # fmt: skip
"""Attributes that the page tells in another way."""


@dataclass(slots=True)
class Chunk:
    """One packed chunk.

    Attributes:
        first: number of its first item.
        data: base64 of deflated JSON: `{"texts": [text, ...], "items": [detail, ...]}`.
    """

    first: int
    data: bytes


@dataclass(slots=True)
class _Building:
    first: int
    texts: dict[str, int] = field(default_factory=dict)
    items: list[dict[str, Any]] = field(default_factory=list)
    characters: int = 0

    def text(self, text: str) -> int:
        """Return a text's number."""
        number = self.texts.get(text)
        if number is None:
            number = self.texts[text] = len(self.texts)
            self.characters += len(text)
        return number

    def packed(self) -> Chunk:
        raw = dumps({"texts": list(self.texts), "items": self.items})
        return Chunk(self.first, b64encode(zlib.compress(raw, _LEVEL)))


class Details:
    """Packs the details of items.

    Args:
        t0_ns: when the document's time begins.
        max_characters: how many characters of texts at most; of what comes after, only lengths are kept.
        content: whether what was said may be shown at all.

    Attributes:
        kept: items of which something that was said is in the chunks.
        left_out: items of which it is not, though it is in the store, because there was too much.
    """

    def __init__(self, t0_ns: int, *, max_characters: int, content: bool) -> None:
        self.kept = 0
        self.left_out = 0
        self._t0 = t0_ns
        self._room = max_characters
        self._content = content

    def chunks(self, items: Sequence[Item]) -> list[Chunk]:
        """Return the chunks of all items."""
        # Deflating takes a third of the time of a report, and lets other threads run meanwhile.
        with ThreadPoolExecutor(_THREADS) as pool:
            return [packed.result() for packed in [pool.submit(one.packed) for one in self._buildings(items)]]

    def _buildings(self, items: Sequence[Item]) -> Iterator[_Building]:
        building = _Building(0)
        for number, item in enumerate(items):
            if building.characters > _CHUNK_CHARACTERS or len(building.items) >= _CHUNK_ITEMS:
                self._room -= building.characters
                yield building
                building = _Building(number)
            building.items.append(self._detail(item.record, building))
        if building.items:
            yield building

    def _detail(self, record: Answer, chunk: _Building) -> dict[str, Any]:
        said = _has_content(record)
        shown = said and self._content and chunk.characters <= self._room
        self.kept += shown
        self.left_out += said and self._content and not shown
        if isinstance(record, CallRecord):
            return _lean({"trace": record.trace_id, "calls": [self._call(record, chunk, shown)]})
        return _lean(
            {
                "trace": record.trace_id,
                "error": record.error_type,
                "message": record.error_message,
                "exception": record.exception,
                "outcome": record.outcome,
                "orders": record.orders,
                "invalid": record.invalid_orders,
                "valid_count": record.valid_count,
                "results": record.results,
                "centers": record.centers,
                "units": record.units,
                "reward": record.reward,
                "episode": record.episode,
                "step": record.step,
                "response_time": record.response_time_s,
                "input_length": record.input_length,
                "response_length": record.response_length,
                "letters": [self._letter(message, chunk, shown) for message in record.messages],
                "own": self._own(record, chunk) if shown else None,
                "calls": [self._call(call, chunk, shown) for call in record.calls],
                "attributes": {k: v for k, v in record.attributes.items() if k not in _SHOWN},
            }
        )

    def _own(self, record: InteractionRecord, chunk: _Building) -> list[tuple[str, int]] | None:
        """Return what was said by the program's own word; what its calls say is not said twice."""
        if any(call.input_messages or call.output_messages for call in record.calls):
            return None
        a = record.attributes
        return [*self._turns(a.get(sc.INPUT_MESSAGES), chunk), *self._turns(a.get(sc.OUTPUT_MESSAGES), chunk)]

    def _call(self, call: CallRecord, chunk: _Building, shown: bool) -> dict[str, Any]:
        said: list[tuple[str, int]] = []
        if shown:
            system = decoded(call.system_instructions) or ()
            said += [("system", chunk.text(_cut(part_text(part)))) for part in system]
            said += self._turns(call.input_messages, chunk)
            said += self._turns(call.output_messages, chunk)
        return _lean(
            {
                "id": call.span_id,
                "name": call.name,
                "model": call.model,
                "provider": call.provider,
                "start": milliseconds(call.start_ns, self._t0),
                "took": call.duration_s,
                "first": call.time_to_first_token_s,
                "given": call.input_tokens,
                "got": call.output_tokens,
                "cached": call.cached_tokens,
                "thought": call.reasoning_tokens,
                "cost": call.cost_usd,
                "finish": call.finish_reasons,
                "error": call.error_type,
                "message": call.error_message,
                "code": call.status_code,
                "attempt": call.attempt if call.attempt > 1 else None,
                "wait": call.retry_after_s,
                "input_length": call.input_length,
                "output_length": call.output_length,
                "said": said,
            }
        )

    def _letter(self, message: Message, chunk: _Building, shown: bool) -> dict[str, Any]:
        return _lean(
            {
                "from": message.sender,
                "to": message.recipients,
                "private": message.private,
                "length": message.length,
                "text": chunk.text(_cut(message.content)) if shown and message.content is not None else None,
                "at": milliseconds(message.time_ns, self._t0),
            }
        )

    def _turns(self, value: Any, chunk: _Building) -> Iterable[tuple[str, int]]:
        return [(role, chunk.text(_cut(text))) for role, text in turns(value)] if value else ()


def _has_content(record: Answer) -> bool:
    if isinstance(record, CallRecord):
        return bool(record.input_messages or record.output_messages)
    return (
        any(call.input_messages or call.output_messages for call in record.calls)
        or any(message.content is not None for message in record.messages)
        or sc.INPUT_MESSAGES in record.attributes
        or sc.OUTPUT_MESSAGES in record.attributes
    )


def _lean(detail: dict[str, Any]) -> dict[str, Any]:
    """Leave out what says nothing; a zero does."""
    return {key: value for key, value in detail.items() if value or (value == 0 and value is not False)}


def _cut(text: str) -> str:
    if len(text) <= MAX_TEXT:
        return text
    return f"{text[:MAX_TEXT]}\n…[the report leaves out {len(text) - MAX_TEXT:,} more characters]"
