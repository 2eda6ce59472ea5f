"""TensorBoard's events, made with the `tensorboard` package's own messages and written with its own record writer.

A value is a float of 32 bits there: TensorBoard draws no more than that. The store has the exact number.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.summary.writer.record_writer import RecordWriter

from otel_llm.views.model import Cell, Histogram

_VERSION: Final = "brain.Event:2"
_MAX_INT: Final = (1 << 63) - 1
_MAX_FLOAT32: Final = 3.4028234663852886e38


def encoded(events: Iterable[Any]) -> bytes:
    """Return events as records of an event file."""
    out = io.BytesIO()
    writer = RecordWriter(out)
    for event in events:
        writer.write(event.SerializeToString())
    return out.getvalue()


def first(time_s: float) -> Any:
    """Return the event that an event file begins with."""
    return Event(wall_time=time_s, file_version=_VERSION)


def scalars(values: Mapping[str, float], step: int, time_s: float) -> Any:
    """Return an event with a point on each of several curves."""
    made = [Summary.Value(tag=tag, simple_value=_float32(value)) for tag, value in values.items()]
    return _event(made, step, time_s)


def histogram(of: Histogram, step: int, time_s: float) -> Any:
    """Return an event with a distribution; its squares are estimated from the middles of the buckets."""
    middles = [(low + high) / 2 for low, high in zip(of.edges, of.edges[1:], strict=False)]
    total = of.sum
    if total is None:
        total = sum(m * n for m, n in zip(middles, of.counts, strict=True))
    proto = HistogramProto(
        min=of.edges[0],
        max=of.edges[-1],
        num=of.count,
        sum=total,
        sum_squares=sum(m * m * n for m, n in zip(middles, of.counts, strict=True)),
        # The first bucket of a proto reaches from its own limit downwards: an empty one says where ours begins.
        bucket_limit=list(of.edges),
        bucket=[0.0, *map(float, of.counts)],
    )
    return _event([Summary.Value(tag=of.name, histo=proto)], step, time_s)


def text(tag: str, markdown: str, step: int, time_s: float) -> Any:
    """Return an event with a text."""
    metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
    tensor = TensorProto(
        dtype=DT_STRING,
        string_val=[markdown.encode()],
        tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]),
    )
    return _event([Summary.Value(tag=f"{tag}/text_summary", metadata=metadata, tensor=tensor)], step, time_s)


def hparams(config: Mapping[str, Cell], time_s: float) -> Any:
    """Return an event with the run's hyperparameters."""
    # Not the plugin's own `summary`, which needs TensorFlow.
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo

    info = SessionStartInfo(start_time_secs=time_s)
    for key, value in sorted(config.items()):
        if isinstance(value, bool):
            info.hparams[key].bool_value = value
        elif isinstance(value, int | float):
            info.hparams[key].number_value = value
        elif value is not None:
            info.hparams[key].string_value = value
    made = Summary.Value(
        tag=metadata.SESSION_START_INFO_TAG,
        metadata=metadata.create_summary_metadata(HParamsPluginData(session_start_info=info)),
        tensor=metadata.NULL_TENSOR,
    )
    return _event([made], 0, time_s)


def _event(values: list[Any], step: int, time_s: float) -> Any:
    clipped = min(max(step, -_MAX_INT), _MAX_INT)
    return Event(wall_time=time_s, step=clipped, summary=Summary(value=values))


def _float32(value: float) -> float:
    """Return what comes nearest among floats of 32 bits; the message refuses what is beyond them."""
    try:
        number = float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    return math.copysign(math.inf, number) if _MAX_FLOAT32 < abs(number) < math.inf else number
