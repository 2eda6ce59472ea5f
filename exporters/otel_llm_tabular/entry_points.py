"""What `pyproject.toml` names: the sinks' factories, and OpenTelemetry's exporters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_llm.views.exporters import ViewMetricExporter, ViewSpanExporter
from otel_llm.views.model import SinkOptions
from otel_llm_tabular.csv_sink import CsvSink
from otel_llm_tabular.settings import CsvSettings, ParquetSettings

if TYPE_CHECKING:
    from otel_llm_tabular.parquet_sink import ParquetSink


def make_csv_sink(options: SinkOptions) -> CsvSink:
    """Return the CSV sink as the variables say."""
    return CsvSink(CsvSettings.resolve(), options.output, alone=not options.live)


def make_parquet_sink(options: SinkOptions) -> ParquetSink:
    """Return the Parquet sink as the variables say."""
    from otel_llm_tabular.parquet_sink import ParquetSink

    return ParquetSink(ParquetSettings.resolve(), options.output, alone=not options.live)


class CsvSpanExporter(ViewSpanExporter):
    """Spans as CSV."""

    sink = "csv"


class CsvMetricExporter(ViewMetricExporter):
    """Metric points as CSV."""

    sink = "csv"


class ParquetSpanExporter(ViewSpanExporter):
    """Spans as Parquet."""

    sink = "parquet"


class ParquetMetricExporter(ViewMetricExporter):
    """Metric points as Parquet."""

    sink = "parquet"
