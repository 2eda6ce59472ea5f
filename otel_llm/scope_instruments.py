"""The metrics of games: phases, interactions, orders, by type, power and model. Never by game: ids are no labels.

Recorded on the worker as scopes finish.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from otel_llm import drops
from otel_llm import semconv as sc
from otel_llm.version import VERSION

if TYPE_CHECKING:
    from otel_llm.games import OpenGames
    from otel_llm.scoping import Scope
    from otel_llm.totals import Totals

_MAX_LABELS: Final = 2000
"""Distinct label sets kept at most; what comes on top goes without them."""

Labels = dict[str, str | bool | int]


class ScopeInstruments:
    """Instruments on one MeterProvider at a time; moves over when the program sets its own.

    Args:
        provider: returns the MeterProvider in use.
    """

    def __init__(self, provider: Callable[[], MeterProvider]) -> None:
        self._provider_in_use = provider
        self._provider: MeterProvider | None = None
        self._lock = threading.RLock()
        self._known: set[tuple[Any, ...]] = set()
        self.games: OpenGames | None = None

    def _settle(self) -> None:
        provider = self._provider_in_use()
        if provider is self._provider:
            return
        meter = provider.get_meter("otel_llm", VERSION, sc.SCHEMA_URL)
        buckets = list(sc.DURATION_BUCKETS)
        self._durations = {
            kind: meter.create_histogram(
                name, sc.UNIT_SECONDS, text, explicit_bucket_boundaries_advisory=buckets
            )
            for kind, name, text in (
                ("game", sc.METRIC_GAME_DURATION, "Duration of a game."),
                ("phase", sc.METRIC_PHASE_DURATION, "Duration of a phase of a game."),
                ("interaction", sc.METRIC_INTERACTION_DURATION, "Duration of an interaction of a power."),
            )
        }
        self._tokens = meter.create_counter(
            sc.METRIC_INTERACTION_TOKENS, sc.UNIT_TOKENS, "Tokens used in interactions."
        )
        self._cost = meter.create_counter(
            sc.METRIC_INTERACTION_COST, sc.UNIT_USD, "Cost of the calls in interactions, by list prices."
        )
        self._orders = meter.create_counter(sc.METRIC_ORDERS, sc.UNIT_ORDERS, "Orders given.")
        meter.create_observable_up_down_counter(
            sc.METRIC_GAMES_ACTIVE, [self._observe_games], sc.UNIT_GAMES, "Games that are being played."
        )
        self._provider = provider

    def _observe_games(self, _options: CallbackOptions) -> Iterable[Observation]:
        return [] if self.games is None else [Observation(len(self.games))]

    def record(self, scope: Scope, error_type: str | None) -> None:
        """Measure a scope that ended.

        Args:
            scope: any scope; only games, phases and interactions have metrics.
            error_type: class of its failure, None where it did not fail.
        """
        try:
            with self._lock:
                self._settle()
                duration = self._durations.get(scope.kind)
                if duration is None:
                    return
                labels = self._labels(scope, error_type)
                if sc.UNTIMED not in scope.attributes:
                    duration.record(scope.duration_s, labels)
                if scope.kind == "interaction":
                    self._interaction(scope, labels)
        except Exception:
            drops.internal_error("measuring a scope")

    def _interaction(self, scope: Scope, labels: Labels) -> None:
        labels = {key: value for key, value in labels.items() if key != sc.ERROR_TYPE}
        if scope.has_totals:
            self._calls(scope.totals, labels)
        told = scope.attributes
        for key, valid in ((sc.ORDERS_VALID_COUNT, True), (sc.ORDERS_INVALID_COUNT, False)):
            count = told.get(key)
            if isinstance(count, int) and count:
                self._orders.add(count, {**labels, sc.ORDER_VALID: valid})

    def _calls(self, totals: Totals, labels: Labels) -> None:
        if len(totals.calls_by_model) == 1:
            labels[sc.REQUEST_MODEL] = next(iter(totals.calls_by_model))
        for kind, n in (("input", totals.input_tokens), ("output", totals.output_tokens)):
            if n:
                self._tokens.add(n, {**labels, sc.TOKEN_TYPE: kind})
        if totals.cost:
            self._cost.add(totals.cost, labels)

    def _labels(self, scope: Scope, error_type: str | None) -> Labels:
        source: Mapping[str, Any] = scope.inherited
        labels: Labels = {key: source[key] for key in _KEYS[scope.kind] if key in source}
        if error_type is not None:
            labels[sc.ERROR_TYPE] = error_type
        identity = scope.kind, *labels.items()
        if identity not in self._known:
            if len(self._known) >= _MAX_LABELS:
                drops.count("metric_label", "cardinality")
                return {}
            self._known.add(identity)
        return labels

    def after_fork_in_child(self) -> None:
        """A lock held at the fork would never be released."""
        self._lock = threading.RLock()


_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "game": (sc.GAME_NAME, sc.GAME_IN_TRAINING),
    "phase": (sc.GAME_NAME, sc.PHASE_TYPE),
    "interaction": (sc.GAME_NAME, sc.PHASE_TYPE, sc.INTERACTION_TYPE, sc.POWER_NAME),
}
