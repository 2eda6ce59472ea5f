"""Which exporters run: those that OpenTelemetry's variables name, and those that `exporters=` adds.

Names are those of OpenTelemetry's entry points (`otlp`, `console`, or what a plug-in registers), those of ours also
without their prefix (`csv` for `otel_llm_csv`). Nothing is
exported to a collector that nobody mentioned: unlike the bare SDK, whose default is `otlp` to localhost, an
exporter is set up only where a variable or an argument asks for one.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, Final, cast

from opentelemetry.sdk.environment_variables import (
    OTEL_EXPORTER_OTLP_ENDPOINT,
    OTEL_EXPORTER_OTLP_LOGS_ENDPOINT,
    OTEL_EXPORTER_OTLP_METRICS_ENDPOINT,
    OTEL_EXPORTER_OTLP_PROTOCOL,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
)
from opentelemetry.sdk.trace.export import SpanExporter

from otel_llm import drops

OTEL_TRACES_EXPORTER: Final = "OTEL_TRACES_EXPORTER"
OTEL_METRICS_EXPORTER: Final = "OTEL_METRICS_EXPORTER"
OTEL_LOGS_EXPORTER: Final = "OTEL_LOGS_EXPORTER"

_ENDPOINTS: Final = {
    OTEL_TRACES_EXPORTER: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
    OTEL_METRICS_EXPORTER: OTEL_EXPORTER_OTLP_METRICS_ENDPOINT,
    OTEL_LOGS_EXPORTER: OTEL_EXPORTER_OTLP_LOGS_ENDPOINT,
}
_GROUPS: Final = {
    OTEL_TRACES_EXPORTER: "opentelemetry_traces_exporter",
    OTEL_METRICS_EXPORTER: "opentelemetry_metrics_exporter",
    OTEL_LOGS_EXPORTER: "opentelemetry_logs_exporter",
}


def named_by_environment(variable: str, environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the exporters that the environment asks for, for one signal.

    Args:
        variable: `OTEL_TRACES_EXPORTER`, `OTEL_METRICS_EXPORTER` or `OTEL_LOGS_EXPORTER`.
        environ: default `os.environ`.

    Returns:
        Names; `()` for `none` or where neither exporter nor OTLP endpoint is set.
    """
    environ = os.environ if environ is None else environ
    if (text := environ.get(variable)) is not None and text.strip():
        names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
        return tuple(name for name in names if name != "none")
    if environ.get(OTEL_EXPORTER_OTLP_ENDPOINT) or environ.get(_ENDPOINTS[variable]):
        return ("otlp",)
    return ()


def protocol_of(variable: str, environ: Mapping[str, str] | None = None) -> str:
    """Return `grpc` or `http/protobuf`, as OpenTelemetry's variables say.

    Where they do not, the endpoint's port tells (4317 is gRPC's), else `http/protobuf`, the specification's
    default.
    """
    environ = os.environ if environ is None else environ
    endpoint_variable = _ENDPOINTS[variable]
    signal_protocol = endpoint_variable.replace("_ENDPOINT", "_PROTOCOL")
    protocol = environ.get(signal_protocol) or environ.get(OTEL_EXPORTER_OTLP_PROTOCOL)
    if protocol:
        return protocol.strip()
    endpoint = environ.get(endpoint_variable) or environ.get(OTEL_EXPORTER_OTLP_ENDPOINT) or ""
    return "grpc" if endpoint.rstrip("/").endswith(":4317") else "http/protobuf"


PREFIX: Final = "otel_llm_"


def plain_name(name: str) -> str:
    """Return what an exporter of ours is called for short: `csv` for `otel_llm_csv`."""
    return name.removeprefix(PREFIX)


def make_exporter(name: str, variable: str = OTEL_TRACES_EXPORTER) -> Any | None:
    """Return the exporter `name` for a signal, or None (said and counted) where it cannot be made."""
    entry = f"otlp_proto_{'grpc' if protocol_of(variable) == 'grpc' else 'http'}" if name == "otlp" else name
    try:
        for candidate in (entry, PREFIX + entry):
            for found in entry_points(group=_GROUPS[variable], name=candidate):
                made = found.load()()
                _keep_from_global_randomness()
                return made
    except Exception as error:
        drops.count("exporter", "setup_failed")
        drops.warn_once(f"exporter:{name}", "the exporter %r cannot be set up: %s", name, drops.said(error))
        return None
    drops.count("exporter", "unknown")
    known = sorted({"otlp", *(plain_name(found.name) for found in entry_points(group=_GROUPS[variable]))})
    drops.warn_once(f"exporter:{name}", "there is no exporter %r; installed are %s", name, ", ".join(known))
    return None


_JITTERED: Final = (
    "opentelemetry.exporter.otlp.common.http",
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.proto.http._log_exporter",
)
"""Modules of OpenTelemetry's that draw jitter from `random`'s global generator, the HTTP one at each export."""


def _keep_from_global_randomness() -> None:
    """Give these modules a generator of their own: exporting must not shift a program's random numbers."""
    for name in _JITTERED:
        module = sys.modules.get(name)
        if module is not None and getattr(module, "random", None) is random:
            module.random = random.Random()  # type: ignore[attr-defined]  # noqa: S311


def make_span_exporter(name: str) -> SpanExporter | None:
    """Return the span exporter `name`, or None (said and counted) where it cannot be made."""
    return cast("SpanExporter | None", make_exporter(name))
