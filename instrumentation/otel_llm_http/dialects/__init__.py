"""Dialects: pure functions from the bytes of an HTTP exchange to an `LLMCall`, one module a protocol.

`recognise` says whether a request goes to a model, and as what; the `Endpoint` it returns takes cheap looks at the
body and makes the `CallParser`. Nothing here imports OpenTelemetry, and nothing raises whatever the bytes are.
"""

from otel_llm.llm import Limits
from otel_llm_http.dialects._endpoint import Endpoint
from otel_llm_http.dialects._parser import CallParser
from otel_llm_http.dialects._routes import recognise

__all__ = ["CallParser", "Endpoint", "Limits", "recognise"]
