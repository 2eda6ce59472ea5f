"""See every LLM call, game and training step, on OpenTelemetry.

    import otel_llm
    otel_llm.instrument()

This module defines nothing: it is the public face.
"""

from otel_llm.content import ContentPolicy
from otel_llm.runtime import Handle, force_flush, instrument, shutdown, status
from otel_llm.settings import Settings, SettingsError
from otel_llm.version import VERSION as __version__  # noqa: N811 (the name that Python gives it)

__all__ = [
    "ContentPolicy",
    "Handle",
    "Settings",
    "SettingsError",
    "__version__",
    "force_flush",
    "instrument",
    "shutdown",
    "status",
]
