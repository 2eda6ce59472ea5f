"""Everything about each step and each rollout, in packed chunks: the page unpacks the one that somebody reads.

The first items are the steps, by row; the rollouts follow. What stands in a chunk is read from the store a second
time, so that at no moment more than the chosen conversations are in memory.
"""

from __future__ import annotations

import zlib
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import orjson

from otel_llm.analysis.training import RolloutRecord, StepRecord, each_rollout
from otel_llm.analysis.training.trajectories import below, conversation_of
from otel_llm.report.details import MAX_TEXT, Chunk
from otel_llm.report.items import milliseconds
from otel_llm.report.strict_json import dumps
from otel_llm.report.training.gathering import Gathered

if TYPE_CHECKING:
    from otel_llm.store import StoreReader

Said = list[tuple[str, str]]

_CHUNK_CHARACTERS: Final = 600_000
_CHUNK_ITEMS: Final = 400
_THREADS: Final = 2
_LEVEL: Final = 4
_MAX_TOKENS: Final = 600
"""Tokens of which a report shows ids, logarithms and ratios."""
_MAX_TRACES: Final = 400
"""Rollouts whose conversation is put together from the calls below them, a trace each."""
_MAX_SHORT: Final = 2_000
"""Characters of an explanation or an error."""


class Details:
    """Packs the details of a run.

    Args:
        reader: the store.
        gathered: the run's numbers.
        t0_ns: when the document's time begins.
        chosen: numbers of the rollouts of which it shows what was said.

    Attributes:
        kept: numbers of the rollouts of which it does.
    """

    def __init__(self, reader: StoreReader, gathered: Gathered, t0_ns: int, chosen: set[int]) -> None:
        self.kept: set[int] = set()
        self._reader = reader
        self._gathered = gathered
        self._t0 = t0_ns
        self._chosen = chosen
        self._steps = [
            dumps(_step(step, names)) for step, names in zip(gathered.steps, gathered.names, strict=True)
        ]
        self._rollouts: list[bytes] = [b"null"] * len(gathered.samples)
        self._said: dict[int, Said] = {}
        self._read()

    def chunks(self) -> list[Chunk]:
        """Return the chunks of all items: steps, then rollouts."""
        with ThreadPoolExecutor(_THREADS) as pool:
            return [job.result() for job in [pool.submit(_pack, *one) for one in self._batches()]]

    # --- reading --------------------------------------------------------------------------------------

    def _read(self) -> None:
        places = {sample.span: number for number, sample in enumerate(self._gathered.samples)}
        texts: dict[str, str] = {}
        silent: list[int] = []
        of_steps = {trace for step in self._gathered.steps for trace in step.trace_ids}
        own_trace = {
            n for n, sample in enumerate(self._gathered.samples) if sample.span.trace_id not in of_steps
        }
        for one in each_rollout(self._reader, self._gathered.run.run_id):
            number = places.get(one.span)
            if number is None:
                continue  # it ended after the numbers were read
            # A copy: orjson leaves behind what it had reserved, which is many times what it wrote.
            self._rollouts[number] = bytes(memoryview(self._rollout(one)))
            if number not in self._chosen:
                continue
            if one.output_messages or number not in own_trace:
                self._keep(number, one.conversation, texts)
            else:
                silent.append(number)
        # Each of these is a trace to look up, so there is a limit; the most surprising ones come first.
        silent.sort(key=lambda number: -abs(self._gathered.samples[number].surprise or 0.0))
        for number in silent[:_MAX_TRACES]:
            self._ask_calls(number, texts)

    def _ask_calls(self, number: int, texts: dict[str, str]) -> None:
        """Put a conversation together from the model calls below a rollout that has none of its own."""
        ref = self._gathered.samples[number].span
        spans = below(self._reader.trace(ref.trace_id), ref.span_id)
        own = next((span for span in spans if span.span_id == ref.span_id), None)
        if own is not None:
            from otel_llm.analysis.training.making import rollout

            self._keep(number, conversation_of(rollout(own), spans), texts)

    def _keep(self, number: int, said: Said, texts: dict[str, str]) -> None:
        if not said:
            return
        # Prompts are the same for all of a group: one copy of each is enough.
        self._said[number] = [
            (_clean(role), texts.setdefault(cut, cut)) for role, cut in ((r, _cut(t)) for r, t in said)
        ]
        self.kept.add(number)

    def _rollout(self, one: RolloutRecord) -> bytes:
        consumers = self._gathered.consumption.of(one)
        rewards = [
            [name, score, one.weights.get(name), _short(one.explanations.get(name))]
            for name, score in one.rewards.items()
        ]
        n = min(max(len(one.token_ids), len(one.token_logprobs), len(one.token_ratios)), _MAX_TOKENS)
        return dumps(
            _lean(
                {
                    "group": one.group, "mode": one.mode, "status": one.status, "reward": _told(one.reward),
                    "rewards": rewards, "given": one.input_tokens, "policy": one.policy_step,
                    "version": one.policy_version, "stale": one.staleness, "turns": one.turns, "problems": one.problems,
                    "error": one.error_type, "message": _short(one.error_message), "task": _short(one.task),
                    "trace": one.span.trace_id, "span": one.span.span_id, "took": one.duration_s,
                    "start": milliseconds(one.start_ns, self._t0),
                    "consumers": [
                        [c.kind, c.step, c.attempt, c.rank, c.micro_step, c.iteration, _told(c.loss), c.n, c.span.trace_id,
                         c.span.span_id, c.update]
                        for c in consumers
                    ],
                    "tokens": [
                        [_at(one.token_ids, i), _at(one.token_logprobs, i), _at(one.token_ratios, i)] for i in range(n)
                    ],
                }
            )
        )  # fmt: skip

    # --- packing --------------------------------------------------------------------------------------

    def _batches(self) -> Iterator[tuple[int, list[bytes], list[Said]]]:
        first, characters = 0, 0
        items: list[bytes] = []
        said: list[Said] = []
        for number, (item, turns) in enumerate(self._items()):
            if items and (characters > _CHUNK_CHARACTERS or len(items) >= _CHUNK_ITEMS):
                yield first, items, said
                first, items, said, characters = number, [], [], 0
            items.append(item)
            said.append(turns)
            characters += len(item) + sum(len(text) for _, text in turns)
        if items:
            yield first, items, said

    def _items(self) -> Iterable[tuple[bytes, Said]]:
        for step in self._steps:
            yield step, []
        for number, rollout in enumerate(self._rollouts):
            yield rollout, self._said.get(number, [])


def _pack(first: int, items: Sequence[bytes], said: Sequence[Said]) -> Chunk:
    texts: dict[str, int] = {}
    rows = [
        {
            "about": orjson.Fragment(item),
            "said": [(role, texts.setdefault(text, len(texts))) for role, text in turns],
        }
        for item, turns in zip(items, said, strict=True)
    ]
    raw = orjson.dumps({"items": rows, "texts": list(texts)})
    return Chunk(first, b64encode(zlib.compress(raw, _LEVEL)))


def _step(step: StepRecord, groups: Sequence[str]) -> dict[str, Any]:
    """Return what each rank did in a step, and the names of its groups."""
    return {
        "ranks": [
            _lean(
                {
                    "rank": rank.rank, "host": rank.host, "device": rank.device, "took": rank.duration_s,
                    "times": rank.times, "died": rank.died, "open": rank.end_ns is None, "error": rank.error_type,
                    "message": _short(rank.error_message), "span": rank.span.span_id if rank.span else None,
                    "numbers": {name: _told(value) for name, value in rank.scalars.items()},
                    "losses": [
                        [part.micro_step, part.iteration, _told(part.loss), len(part.consumed) or len(part.consumed_groups),
                         part.duration_s, part.span.span_id, part.update]
                        for part in rank.losses[:_MAX_TOKENS]
                    ],
                    "failed": [
                        [part.name, part.error_type, _short(part.error_message)]
                        for part in rank.parts if part.error_type is not None
                    ],
                    "unfinished": [part.name for part in rank.parts if part.end_ns is None],
                }
            )
            for rank in step.ranks
        ],
        "groups": [_short(name) for name in groups],
        "missing": step.missing_ranks,
        "trace": list(step.trace_ids),
    }  # fmt: skip


def _told(value: float | None) -> float | str | None:
    """Return a number, one that is not finite as text: JSON has no other word for it."""
    if value is None or (value - value == 0.0):
        return value
    return str(value)


def _at(column: Sequence[Any], place: int) -> Any:
    return _told(column[place]) if place < len(column) and isinstance(column[place], int | float) else None


def _lean(detail: dict[str, Any]) -> dict[str, Any]:
    """Leave out what says nothing; a zero does."""
    return {key: value for key, value in detail.items() if value or (value == 0 and value is not False)}


def _clean(text: str) -> str:
    """Return a text that is Unicode: half a surrogate pair is spelled out."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def _short(text: str | None) -> str | None:
    return None if text is None else text[:_MAX_SHORT]


def _cut(text: str) -> str:
    if len(text) <= MAX_TEXT:
        return _clean(text)
    return _clean(f"{text[:MAX_TEXT]}\n…[the report leaves out {len(text) - MAX_TEXT:,} more characters]")
