"""Metrics and logs where the program has set up none: providers of our own that feed the store and exporters.

Like our TracerProvider they leave the program's one `set_*_provider` call free. A program's own provider is
used as it is: nothing is added to it, since neither readers nor processors of a provider are ours to change.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final

from opentelemetry.metrics import _internal as metrics_internal
from opentelemetry.sdk.resources import Resource

from otel_llm import drops
from otel_llm.exporting import (
    OTEL_LOGS_EXPORTER,
    OTEL_METRICS_EXPORTER,
    make_exporter,
    named_by_environment,
    plain_name,
)

STORE_INTERVAL_MS: Final = 10_000


class OwnProvider:
    """A provider of ours, as long as the program has none.

    Args:
        module: OpenTelemetry's module that holds the global.
        name: the global's name in it.
    """

    def __init__(self, module: Any, name: str) -> None:
        self._module = module
        self._name = name
        self._provider: Any = None

    def put(self, provider: Any) -> None:
        """Put `provider` in the global's place; the program may still set its own."""
        self._provider = provider
        setattr(self._module, self._name, provider)
        self._announced(provider)

    @property
    def is_free(self) -> bool:
        """Whether nobody has set a provider."""
        return hasattr(self._module, self._name) and getattr(self._module, self._name) is None

    def force_flush(self, timeout_s: float) -> bool:
        """Hand on what was recorded."""
        return self._provider is None or _quietly("flush", self._provider.force_flush, int(timeout_s * 1000))

    def close(self, timeout_s: float) -> None:
        """Hand on what was recorded, stop, and leave the place."""
        provider, self._provider = self._provider, None
        if provider is None:
            return
        self._shut(provider, timeout_s)
        if getattr(self._module, self._name, None) is provider:
            setattr(self._module, self._name, None)
            self._retracted()

    def _retracted(self) -> None:
        """Undo `_announced`."""

    def _announced(self, provider: Any) -> None:
        """Tell those who asked before there was a provider."""

    def _shut(self, provider: Any, timeout_s: float) -> None:
        _quietly("shutdown", provider.shutdown, timeout_s * 1000)


class _OwnMetrics(OwnProvider):
    def _announced(self, provider: Any) -> None:
        metrics_internal._PROXY_METER_PROVIDER.on_set_meter_provider(provider)

    def _retracted(self) -> None:
        metrics_internal._PROXY_METER_PROVIDER._real_meter_provider = None


def own_metrics(
    resource: Callable[[], Resource], store: Any, taken: Collection[str] = frozenset()
) -> OwnProvider:
    """Set up metrics, if the program has not and somebody wants them.

    Args:
        resource: makes the resource of our own provider.
        store: takes points: the local store's writer, or None.
        taken: names of exporters that get what `store` gets.
    """
    place = _OwnMetrics(metrics_internal, "_METER_PROVIDER")
    names = [name for name in named_by_environment(OTEL_METRICS_EXPORTER) if plain_name(name) not in taken]
    if not place.is_free or (store is None and not names):
        return place
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader

    readers: list[MetricReader] = []
    if store is not None:
        from otel_llm.store.metrics import StoreMetricExporter

        readers.append(PeriodicExportingMetricReader(StoreMetricExporter(store), STORE_INTERVAL_MS))
    for name in names:
        exporter = make_exporter(name, OTEL_METRICS_EXPORTER)
        if exporter is not None:
            readers.append(
                exporter if isinstance(exporter, MetricReader) else PeriodicExportingMetricReader(exporter)
            )
    place.put(MeterProvider(readers, resource(), shutdown_on_exit=False))
    return place


class _OwnLogs(OwnProvider):
    def _shut(self, provider: Any, timeout_s: float) -> None:  # takes no bound, so the flush before it does
        if _quietly("flush", provider.force_flush, int(timeout_s * 1000)):
            _quietly("shutdown", provider.shutdown)


def own_logs(resource: Callable[[], Resource], store: Any) -> OwnProvider:
    """Set up logs and events, if the program has not and somebody wants them.

    Args:
        resource: makes the resource of our own provider.
        store: the local store's writer, or None.
    """
    from opentelemetry._logs import _internal as logs_internal

    place = _OwnLogs(logs_internal, "_LOGGER_PROVIDER")
    names = named_by_environment(OTEL_LOGS_EXPORTER)
    if not place.is_free or (store is None and not names):
        return place
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    provider = LoggerProvider(resource(), shutdown_on_exit=False)
    if store is not None:
        from otel_llm.store.logs import StoreLogProcessor

        provider.add_log_record_processor(StoreLogProcessor(store))
    for name in names:
        exporter = make_exporter(name, OTEL_LOGS_EXPORTER)
        if exporter is not None:
            provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    place.put(provider)
    return place


def _quietly(where: str, do: Callable[..., Any], *arguments: Any) -> bool:
    try:
        return do(*arguments) is not False
    except Exception:
        drops.internal_error(f"{where} of metrics or logs")
        return False
