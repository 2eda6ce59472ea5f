"""What `pyproject.toml` names: the sink's factory, and OpenTelemetry's exporters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_llm.views.exporters import ViewMetricExporter, ViewSpanExporter
from otel_llm.views.model import SinkOptions
from otel_llm_tensorboard.settings import TensorBoardSettings

if TYPE_CHECKING:
    from otel_llm_tensorboard.sink import TensorBoardSink


def make_tensorboard_sink(options: SinkOptions) -> TensorBoardSink:
    """Return the sink as the variables say.

    Raises:
        ImportError: TensorBoard is not installed.
    """
    settings = TensorBoardSettings.resolve()
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        raise ImportError("it needs TensorBoard: pip install 'otel-llm[tensorboard]'") from None
    from otel_llm_tensorboard.sink import TensorBoardSink

    return TensorBoardSink(settings, options.output, alone=not options.live)


class TensorBoardSpanExporter(ViewSpanExporter):
    """Spans for TensorBoard."""

    sink = "tensorboard"


class TensorBoardMetricExporter(ViewMetricExporter):
    """Metric points for TensorBoard."""

    sink = "tensorboard"
