"""What is asked of every story that goes through agent and gateway into Jaeger, beside the stores of its programs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from otel_llm import semconv as sc
from otel_llm.store import StoredSpan, StoreReader
from tests.collector import fleet
from tests.collector.fleet import Collector, Jaeger

_DECISIONS = "otelcol_processor_tail_sampling_global_count_traces_sampled"

Traces = Mapping[str, Sequence[StoredSpan]]
"""Spans by the id of their trace, as the programs' own stores have them."""


def traces(stores: Iterable[Path]) -> Traces:
    """All that these stores have."""
    found: dict[str, list[StoredSpan]] = defaultdict(list)
    for store in stores:
        for span in StoreReader(store).spans():
            found[span.trace_id].append(span)
    return dict(found)


def decided(gateway: Collector, stored: Traces) -> None:
    """Wait until the gateway has decided on every trace, and what it keeps has left it."""
    fleet.eventually(lambda: gateway.own(_DECISIONS) >= len(stored), seconds=120, every=0.5)
    spans = sum(map(len, stored.values()))
    assert gateway.own("otelcol_receiver_accepted_spans", receiver="otlp") >= spans
    assert gateway.own(_DECISIONS) == len(stored)
    left = gateway.own(_DECISIONS, sampled="true")
    fleet.eventually(lambda: len(kept_traces(gateway)) >= left, seconds=60)
    fleet.eventually(lambda: gateway.own("otelcol_exporter_queue_size") == 0, seconds=60)


def kept_traces(gateway: Collector) -> set[str]:
    return {one.trace for one in fleet.kept(gateway)}


def check_whole(gateway: Collector, jaeger: Jaeger, stored: Traces) -> None:
    """Every trace that was kept has all its spans, once, in the archive and in Jaeger."""
    archived: dict[str, list[str]] = defaultdict(list)
    for one in fleet.kept(gateway):
        archived[one.trace].append(one.id)
    for trace_id, ids in archived.items():
        wanted = sorted(span.span_id for span in stored[trace_id])
        assert sorted(ids) == wanted
        assert fleet.eventually(lambda: sorted(jaeger.trace(trace_id)) == wanted)


def check_share(gateway: Collector, stored: Traces, percent: float, *, reward: float = 2.0) -> set[str]:
    """Every trace that matters was kept, of the others the share (99.9 %, two-sided); returns those that matter.

    Args:
        gateway: that decided.
        stored: everything there was.
        percent: its `KEEP_PERCENT`.
        reward: from which on (both signs) a reward is extreme there.
    """
    kept = kept_traces(gateway)
    important = {trace_id for trace_id, spans in stored.items() if matters(spans, reward)}
    assert important <= kept
    rest = stored.keys() - important
    assert len(rest) > 100
    share, wanted = len(rest & kept) / len(rest), percent / 100
    assert abs(share - wanted) < 3.29 * (wanted * (1 - wanted) / len(rest)) ** 0.5
    return important


def matters(spans: Iterable[StoredSpan], reward: float = 2.0) -> bool:
    """Whether a trace is one that the page says is kept."""
    return any(
        span.status == "ERROR"
        or span.attributes.get(sc.SCOPE_KIND) in {"game", "training_run"}
        or abs(span.attributes.get(sc.SAMPLE_REWARD, 0)) >= reward
        or abs(span.attributes.get(sc.SAMPLE_ADVANTAGE, 0)) >= 2
        or span.attributes.get(sc.ORDERS_INVALID_COUNT, 0) > 0
        or span.attributes.get(sc.COST_TOTAL, 0) >= 0.5
        or sc.TRAIN_PROBLEMS in span.attributes
        or sc.SAMPLE_PROBLEMS in span.attributes
        for span in spans
    )


def check_private(gateway: Collector, said: str, stored: Traces) -> None:
    """No prompt, no secret, and none of what was said left the gateway; the stores have it."""
    text = "".join(path.read_text() for path in (gateway.folder / "archive").iterdir())
    assert said not in text
    assert "sk-proj-" not in text
    for key in (
        sc.INPUT_MESSAGES,
        sc.OUTPUT_MESSAGES,
        sc.SYSTEM_INSTRUCTIONS,
        sc.MESSAGE_CONTENT,
        sc.INTERACTION_DIARY,
    ):
        assert f'"{key}"' not in text
    assert any(said in str(span.attributes) for spans in stored.values() for span in spans)


def check_counts(gateway: Collector, stored: Traces) -> int:
    """Tokens, costs, rewards and advantages are what the stores have; returns how many there were."""
    counts = 0
    by_id = {span.span_id: span for spans in stored.values() for span in spans}
    exact = {
        sc.COST_TOTAL,
        sc.SAMPLE_INPUT_TOKENS,
        sc.SAMPLE_OUTPUT_TOKENS,
        sc.SAMPLE_REWARD,
        sc.SAMPLE_ADVANTAGE,
    }
    for one in fleet.kept(gateway):
        for key, value in by_id[one.id].attributes.items():
            if key.startswith(sc.USAGE_PREFIX) or key in exact:
                assert one.attributes[key] == value
                counts += 1
    return counts
