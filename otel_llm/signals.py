"""Metrics and logs where the program has set up none: providers of our own that feed the store and exporters.

Like our TracerProvider they leave the program's one `set_*_provider` call free. A program's own provider is
used as it is; the store then gets metrics from a second, private MeterProvider, since no reader can be added
to one that exists.
"""

from __future__ import annotations

from typing import Any, Final

from opentelemetry import metrics as metrics_api
from opentelemetry.metrics import _internal as metrics_internal
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from otel_llm import drops
from otel_llm.exporting import OTEL_METRICS_EXPORTER, make_exporter, named_by_environment

STORE_INTERVAL_MS: Final = 10_000


class OwnMetrics:
    """Our MeterProvider, while the program has none.

    Args:
        resource: describes this process.
        store: takes metrics into the local store; None for no store.
    """

    def __init__(self, resource: Resource, store: MetricExporter | None) -> None:
        self._resource = resource
        self._store = store
        self._own: MeterProvider | None = None

    def take(self) -> None:
        """Put a MeterProvider of ours where the program has none and somebody wants metrics."""
        if not isinstance(metrics_api.get_meter_provider(), metrics_internal._ProxyMeterProvider):
            return
        readers: list[MetricReader] = []
        if self._store is not None:
            readers.append(PeriodicExportingMetricReader(self._store, STORE_INTERVAL_MS))
        for name in named_by_environment(OTEL_METRICS_EXPORTER):
            exporter = make_exporter(name, OTEL_METRICS_EXPORTER)
            if isinstance(exporter, MetricReader):
                readers.append(exporter)
            elif exporter is not None:
                readers.append(PeriodicExportingMetricReader(exporter))
        if not readers:
            return
        self._own = MeterProvider(readers, self._resource, shutdown_on_exit=False)
        if hasattr(metrics_internal, "_METER_PROVIDER"):
            # As with the TracerProvider: the one call of `set_meter_provider` stays the program's.
            metrics_internal._METER_PROVIDER = self._own
            metrics_internal._PROXY_METER_PROVIDER.on_set_meter_provider(self._own)
        else:
            metrics_api.set_meter_provider(self._own)

    @property
    def wanted(self) -> bool:
        """Whether recording a metric would reach anybody."""
        provider = metrics_api.get_meter_provider()
        return not isinstance(provider, metrics_internal._ProxyMeterProvider | metrics_api.NoOpMeterProvider)

    def force_flush(self, timeout_s: float) -> bool:
        """Collect and hand on what was recorded."""
        return self._own is None or _quietly("flush of metrics", self._own.force_flush, timeout_s * 1000)

    def close(self, timeout_s: float) -> None:
        """Hand on what was recorded and leave the place."""
        own, self._own = self._own, None
        if own is None:
            return
        _quietly("shutdown of metrics", own.shutdown, timeout_s * 1000)
        if getattr(metrics_internal, "_METER_PROVIDER", None) is own:
            metrics_internal._METER_PROVIDER = None


def _quietly(where: str, do: Any, timeout_ms: float) -> bool:
    try:
        return do(timeout_ms) is not False
    except Exception:
        drops.internal_error(where)
        return False
