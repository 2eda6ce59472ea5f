"""Games whose process is gone: ended where they were left, so that they get the row and the files of a game too.

A span that was never ended is in no view of what ended. Once nobody can end it any more, `replay` gives it the last moment
of which anything is known, the status `unfinished`, and the sums of what did end in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from otel_llm import semconv as sc
from otel_llm.store.reader import StoreReader
from otel_llm.store.rows import StoredSpan
from otel_llm.totals import Totals

UNFINISHED: Final = "unfinished"
_NAMES: Final = f"{sc.INVOKE_WORKFLOW}*"


def unfinished_games(reader: StoreReader, *, since_ns: int | None = None) -> Iterator[StoredSpan]:
    """Yield the spans of games whose process has died, as if they had ended.

    Those of a process that lives, or of which that cannot be known (it ran on another host), are let be.

    Args:
        reader: the store.
        since_ns: only games that began then or later, in nanoseconds since the epoch.
    """
    gone = {file.name for file in reader.files() if file.alive is False}
    left: dict[tuple[str, str], StoredSpan] = {}
    ended = set()
    for span in reader.spans(name=_NAMES, since_ns=since_ns):
        if span.attributes.get(sc.SCOPE_KIND) != "game":
            continue
        identity = span.trace_id, span.span_id
        if span.end_ns is not None:
            ended.add(identity)
        elif span.file in gone:
            left[identity] = span
    for identity, span in left.items():
        if identity not in ended:
            yield _ended(span, reader)


def _ended(span: StoredSpan, reader: StoreReader) -> StoredSpan:
    from otel_llm.analysis.loading import load_games

    totals, last_ns = Totals(), span.start_ns
    game_id = span.attributes.get(sc.GAME_ID)
    for game in [] if game_id is None else load_games(reader, game_id=str(game_id), since_ns=span.start_ns):
        last_ns = max(last_ns, game.last_ns)
        totals.phases += sum(phase.span_id is not None and phase.end_ns is not None for phase in game.phases)
        for one in game.all_interactions():
            if one.end_ns is not None:
                totals.add_interaction(one.type, one.power, failed=one.succeeded is False)
                totals.valid_orders += one.valid_count or 0
                totals.invalid_orders += one.invalid_count or 0
        for call in game.all_calls():
            if call.end_ns is not None:
                totals.add_call(
                    call.model, call.input_tokens, call.output_tokens, call.cost_usd, call.error_type
                )
    told = {**span.attributes, sc.GAME_STATUS: UNFINISHED, **totals.attributes()}
    return replace(span, end_ns=last_ns, attributes=told)
