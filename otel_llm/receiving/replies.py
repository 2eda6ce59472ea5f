"""Answers as HTTP and gRPC have them: OTLP's own messages where it went well, `google.rpc.Status` where it did not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import orjson
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from otel_llm.receiving.answers import Answer, Kind
from otel_llm.receiving.decoding import Form, Signal

_PROTOBUF: Final = "application/x-protobuf"
_JSON: Final = "application/json"
_STATUSES: Final = {
    Kind.ACCEPTED: 200,
    Kind.MALFORMED: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.TOO_LARGE: 413,
    Kind.FAILED: 500,
    Kind.BUSY: 429,
    Kind.UNAVAILABLE: 503,
}
# google/rpc/code.proto
_CODES: Final = {400: 3, 401: 16, 404: 5, 405: 12, 413: 3, 415: 3, 429: 8, 500: 13, 503: 14}
_UNKNOWN: Final = 2
_RESPONSES: Final[dict[Signal, Any]] = {
    "traces": ExportTraceServiceResponse,
    "metrics": ExportMetricsServiceResponse,
    "logs": ExportLogsServiceResponse,
}
_REJECTED: Final[dict[Signal, tuple[str, str]]] = {
    "traces": ("rejected_spans", "rejectedSpans"),
    "metrics": ("rejected_data_points", "rejectedDataPoints"),
    "logs": ("rejected_log_records", "rejectedLogRecords"),
}


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response.

    Attributes:
        status: the status.
        body: the body.
        content_type: of the body.
        headers: more headers, as `Name: value` lines.
    """

    status: int
    body: bytes
    content_type: str
    headers: tuple[str, ...] = ()

    def head(self, *, keep_alive: bool) -> bytes:
        """Return everything up to the body."""
        lines = [
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            *self.headers,
            *(() if keep_alive else ("Connection: close",)),
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def response(answer: Answer, signal: Signal) -> Message:
    """Return OTLP's message for a request that was taken."""
    message: Any = _RESPONSES[signal]()
    if answer.rejected or answer.message:
        partial = message.partial_success
        setattr(partial, _REJECTED[signal][0], answer.rejected)
        partial.error_message = answer.message
    made: Message = message
    return made


def of_answer(answer: Answer, signal: Signal, form: Form) -> Reply:
    """Return the HTTP response for an answer."""
    status = _STATUSES[answer.kind]
    if answer.kind is not Kind.ACCEPTED:
        return of_refusal(status, answer.message, form, answer.retry_after_s)
    if form == "protobuf":
        return Reply(status, response(answer, signal).SerializeToString(), _PROTOBUF)
    made: dict[str, Any] = {}
    if answer.rejected or answer.message:
        # 64-bit integers are text in protobuf's JSON.
        made["partialSuccess"] = {
            _REJECTED[signal][1]: str(answer.rejected),
            "errorMessage": answer.message,
        }
    return Reply(status, orjson.dumps(made), _JSON)


def of_refusal(
    status: int, message: str, form: Form = "protobuf", retry_after_s: float | None = None
) -> Reply:
    """Return the HTTP response for a request that was not taken."""
    headers: tuple[str, ...] = ()
    if retry_after_s is None and status == HTTPStatus.SERVICE_UNAVAILABLE:
        retry_after_s = 1.0
    if retry_after_s is not None:
        headers = (f"Retry-After: {math.ceil(retry_after_s)}",)
    if status == HTTPStatus.UNAUTHORIZED:
        headers = ('WWW-Authenticate: Bearer realm="otel-llm"',)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers = ("Allow: POST",)
    code = _CODES.get(status, _UNKNOWN)
    if form == "json":
        return Reply(status, orjson.dumps({"code": code, "message": message}), _JSON, headers)
    return Reply(status, Status(code=code, message=message).SerializeToString(), _PROTOBUF, headers)


def health(refusal: Answer | None) -> Reply:
    """Return whether requests are taken, for load balancers."""
    if refusal is None:
        return Reply(200, b"ok\n", "text/plain; charset=utf-8")
    return Reply(503, f"{refusal.message}\n".encode(), "text/plain; charset=utf-8")


def retry_info(answer: Answer) -> RetryInfo:
    """Return when to come again, for gRPC."""
    info = RetryInfo()
    info.retry_delay.FromMilliseconds(math.ceil((answer.retry_after_s or 1.0) * 1000))
    return info
