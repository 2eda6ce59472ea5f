"""Content as an event instead of a span attribute, where the program asked for it that way.

`OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=EVENT_ONLY` or `SPAN_AND_EVENT` makes one
`gen_ai.client.inference.operation.details` log record a call, with the call's span as its context.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber, get_logger

from otel_llm import semconv as sc
from otel_llm.content import ContentPolicy
from otel_llm.llm import AttributeValue, LLMCall
from otel_llm.version import VERSION

if TYPE_CHECKING:
    from otel_llm.attributes import Describer
    from otel_llm.calls import CallRecord


class DetailEvents:
    """Emits the details of calls as events."""

    def __init__(self, describer: Describer) -> None:
        self._describer = describer

    def __call__(self, record: CallRecord, call: LLMCall, attributes: Mapping[str, AttributeValue]) -> None:
        """Emit one event for `call`, with all that its span has, and the content."""
        # The span has by now what it started with and what was learned; one that is not the SDK's shows less.
        seen = getattr(record.span, "attributes", None) or attributes
        details = {**seen, **self._describer.content(call, ContentPolicy.FULL)}
        get_logger("otel_llm", VERSION, schema_url=sc.SCHEMA_URL).emit(
            LogRecord(
                timestamp=record.end_ns,
                context=trace.set_span_in_context(record.span),
                severity_number=SeverityNumber.DEBUG,
                event_name=sc.EVENT_OPERATION_DETAILS,
                attributes=details,
            )
        )
