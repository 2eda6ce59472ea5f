"""Tables and curves as CSV and Parquet files.

    otel_llm.instrument(exporters=["csv"])                  # files in otel_llm_csv/
    OTEL_TRACES_EXPORTER=otlp,otel_llm_parquet              # beside another exporter
    otel-llm replay --to csv --output results               # from the store, afterwards

CSV needs nothing but the core; Parquet needs the extra `tabular` (pyarrow). What is in which table is in
`otel_llm.views.tables`.
"""

from otel_llm_tabular.csv_sink import CsvSink
from otel_llm_tabular.entry_points import (
    CsvMetricExporter,
    CsvSpanExporter,
    ParquetMetricExporter,
    ParquetSpanExporter,
    make_csv_sink,
    make_parquet_sink,
)
from otel_llm_tabular.settings import CsvSettings, ParquetSettings

__all__ = [
    "CsvMetricExporter",
    "CsvSettings",
    "CsvSink",
    "CsvSpanExporter",
    "ParquetMetricExporter",
    "ParquetSettings",
    "ParquetSpanExporter",
    "make_csv_sink",
    "make_parquet_sink",
]
