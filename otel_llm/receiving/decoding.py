"""From a request's bytes to what is committed. Whatever the bytes are, this says so and never fails otherwise."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_llm.receiving import counting, json_form, rows, spans
from otel_llm.receiving.origins import Origins
from otel_llm.receiving.scrubbing import Cleaner
from otel_llm.receiving.values import Values
from otel_llm.store.database import EncodedSpan
from otel_llm.store.rows import LogRow, PointRow, SeriesRow

Signal = Literal["traces", "metrics", "logs"]
Form = Literal["protobuf", "json"]

_REQUESTS: Final[dict[Signal, type[Message]]] = {
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
    "logs": ExportLogsServiceRequest,
}


class CrowdedError(Exception):
    """The request is made of more messages than fit into memory, however small they are."""


class MalformedError(Exception):
    """The bytes are not what they are said to be; the text says what is wrong and holds nothing of them."""


@dataclass(slots=True)
class Decoded:
    """What a request brought.

    Attributes:
        spans: each with its ids (24 bytes), None for one that is open: it may come again, ended.
        points: metric points.
        logs: log records.
        series: scalars of training.
        rejected: how many spans cannot be kept.
        problem: why, of the first.
    """

    spans: list[tuple[bytes | None, EncodedSpan]] = field(default_factory=list)
    points: list[PointRow] = field(default_factory=list)
    logs: list[LogRow] = field(default_factory=list)
    series: list[SeriesRow] = field(default_factory=list)
    rejected: int = 0
    problem: str | None = None


class Decoder:
    """Reads requests. For one thread.

    Args:
        cleaner: takes secrets out.
    """

    def __init__(self, cleaner: Cleaner) -> None:
        self._cleaner = cleaner
        self._origins = Origins(cleaner)

    def decode(self, signal: Signal, form: Form, body: bytes) -> Decoded:
        """Return what a request holds, scrubbed.

        Raises:
            MalformedError: the body is not what it is said to be.
            CrowdedError: it has too many parts.
        """
        request = _parsed(signal, form, body)
        found = Decoded()
        values = Values(self._cleaner)
        if signal == "traces":
            self._spans(request, values, found)
        elif signal == "metrics":
            self._points(request, values, found)
        else:
            self._logs(request, values, found)
        return found

    def _spans(self, request: Any, values: Values, found: Decoded) -> None:
        drafts: list[spans.Draft] = []
        for of_resource in request.resource_spans:
            resource = self._origins.resource(of_resource)
            for of_scope in of_resource.scope_spans:
                scope = self._origins.scope(of_scope)
                for span in of_scope.spans:
                    if (problem := spans.problem(span)) is not None:
                        found.rejected += 1
                        found.problem = found.problem or problem
                    else:
                        drafts.append(spans.Draft(span, resource, scope, values))
        cleaner = self._cleaner
        if not cleaner.leaves_alone(values.texts):
            for draft in drafts:
                first, end = draft.texts
                if not cleaner.leaves_alone(values.texts[first:end]):
                    draft.clean(cleaner)
        found.spans = [(draft.key, draft.encoded()) for draft in drafts]

    def _points(self, request: Any, values: Values, found: Decoded) -> None:
        for of_resource in request.resource_metrics:
            resource = self._origins.resource(of_resource)
            for of_scope in of_resource.scope_metrics:
                scope = self._origins.scope(of_scope)
                for metric in of_scope.metrics:
                    found.points += rows.points(metric, resource, scope, values)
        if not self._cleaner.leaves_alone(values.texts):
            found.points = [rows.clean_point(point, self._cleaner) for point in found.points]

    def _logs(self, request: Any, values: Values, found: Decoded) -> None:
        now = time.time_ns()
        records: list[LogRow] = []
        for of_resource in request.resource_logs:
            resource = self._origins.resource(of_resource)
            for of_scope in of_resource.scope_logs:
                scope = self._origins.scope(of_scope)
                records += [rows.log(one, resource, scope, values, now) for one in of_scope.log_records]
        if not self._cleaner.leaves_alone(values.texts):
            records = [rows.clean_log(record, self._cleaner) for record in records]
        for record in records:
            if scalars := rows.series(record):
                found.series += scalars
            else:
                found.logs.append(record)


def _parsed(signal: Signal, form: Form, body: bytes) -> Message:
    kind = _REQUESTS[signal]
    if counting.too_many(body, kind, form):
        raise CrowdedError
    try:
        if form == "json":
            return json_form.parse(body, kind)
        request = kind()
        request.ParseFromString(body)
    except (DecodeError, ValueError, TypeError, RecursionError) as error:
        raise MalformedError(f"the body is no OTLP {signal} request in {form}") from error
    except Exception as error:  # a bug of a parser's, on bytes that nobody thought of
        raise MalformedError(f"the body could not be read as an OTLP {signal} request in {form}") from error
    return request
