"""Where `replay` sends to: spans as they are to the standard OTLP exporter, and views to what plug-ins bring."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

from otel_llm.cli.errors import CliError
from otel_llm.cli.text import one_line

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    from otel_llm.store import StoredSpan
    from otel_llm.views.model import Sink, SinkOptions

OTLP: Final = "otlp"


class SpanSink(Protocol):
    """Takes stored spans to a backend as they are."""

    def send(self, spans: Sequence[StoredSpan]) -> bool:
        """Send a batch; return whether the backend took all of it. May block for as long as its timeout."""
        ...

    def problem(self) -> str | None:
        """Say in one line why the last batch was not taken, as far as it is known."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


def make_view_sink(name: str, options: SinkOptions) -> Sink:
    """Return the sink of views `name` (entry points of the group `otel_llm_sink`).

    Raises:
        CliError: there is none, or it cannot be set up.
    """
    from otel_llm.views.registry import find, names

    if name not in names():
        known = ", ".join([OTLP, *names()])
        raise CliError(f"--to is {one_line(name, 60)!r}; it accepts {known}")
    try:
        return find(name)(options)
    except Exception as error:
        reason = one_line(str(error) or type(error).__name__, 300)
        raise CliError(f"the sink {name} cannot be set up: {reason}", code=1) from None


class OtlpSink:
    """The standard OTLP exporter, over gRPC or HTTP, as OpenTelemetry's variables say.

    Args:
        endpoint: instead of the variables' endpoint: a base URL, or the full path of the traces signal.
    """

    def __init__(self, endpoint: str | None) -> None:
        from otel_llm.exporting import make_span_exporter

        with _endpoint(endpoint):
            exporter = make_span_exporter("otlp")
        if exporter is None:
            raise CliError("the OTLP exporter cannot be set up; see `otel-llm doctor`", code=1)
        self._exporter: SpanExporter = exporter
        self._log = _LastMessage()
        _LOGGER.addHandler(self._log)
        _LOGGER.propagate = False  # its tracebacks: what they say is in our one line

    def send(self, spans: Sequence[StoredSpan]) -> bool:
        """Export a batch."""
        from opentelemetry import context
        from opentelemetry.sdk.trace.export import SpanExportResult

        self._log.text = None
        token = context.attach(context.set_value(context._SUPPRESS_INSTRUMENTATION_KEY, True))
        try:
            readable = [span.to_readable() for span in spans]
            return self._exporter.export(readable) is SpanExportResult.SUCCESS
        except Exception as error:
            self._log.text = f"{type(error).__name__}: {error}"
            return False
        finally:
            context.detach(token)

    def problem(self) -> str | None:
        """Return what the exporter logged last."""
        return self._log.text

    def close(self) -> None:
        """Shut the exporter down."""
        _LOGGER.removeHandler(self._log)
        _LOGGER.propagate = True
        try:
            self._exporter.shutdown()
        except Exception:
            return


class _LastMessage(logging.Handler):
    """Keeps the last message that was logged, without its traceback."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()


_LOGGER: Final = logging.getLogger("opentelemetry.exporter")
_TRACES_PATH: Final = "/v1/traces"
_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"


@contextmanager
def _endpoint(endpoint: str | None) -> Iterator[None]:
    """Let the exporter that is made inside read `endpoint` where it reads the variables'.

    Raises:
        CliError: it is no URL.
    """
    if endpoint is None:
        yield
        return
    from otel_llm.exporting import OTEL_TRACES_EXPORTER, protocol_of

    parts = urlsplit(endpoint)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise CliError(
            f"--endpoint is {one_line(endpoint, 200)!r}; it accepts a URL such as http://localhost:4318"
        )
    base = endpoint.rstrip("/").removesuffix(_TRACES_PATH)
    protocol = protocol_of(OTEL_TRACES_EXPORTER, {**os.environ, _ENDPOINT: base})
    before = os.environ.get(_ENDPOINT)
    os.environ[_ENDPOINT] = base if protocol == "grpc" else base + _TRACES_PATH
    try:
        yield
    finally:
        if before is None:
            del os.environ[_ENDPOINT]
        else:
            os.environ[_ENDPOINT] = before


def batches(spans: Iterator[StoredSpan], max_bytes: int, max_spans: int) -> Iterator[list[StoredSpan]]:
    """Yield spans in batches of at most `max_spans`, and of about `max_bytes` unless one span is larger."""
    batch: list[StoredSpan] = []
    total = 0
    for span in spans:
        size = estimated_bytes(span)
        if batch and (total + size > max_bytes or len(batch) >= max_spans):
            yield batch
            batch, total = [], 0
        batch.append(span)
        total += size
    if batch:
        yield batch


_SPAN_BYTES: Final = 512
_VALUE_BYTES: Final = 16


def estimated_bytes(span: StoredSpan) -> int:
    """Return about how many bytes a span is on the wire."""
    size = _SPAN_BYTES + len(span.name)
    for attributes in (
        span.attributes,
        *(e.attributes for e in span.events),
        *(k.attributes for k in span.links),
    ):
        for key, value in attributes.items():
            size += len(key) + _VALUE_BYTES
            if isinstance(value, str):
                size += len(value) if value.isascii() else len(value.encode("utf-8", "replace"))
            elif isinstance(value, tuple | dict):
                size += len(str(value))
    return size
