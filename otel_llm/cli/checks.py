"""What `doctor` looks at, as plain data; it changes nothing and sends nothing but a TCP handshake."""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit, urlunsplit

from otel_llm import exporting
from otel_llm import semconv as sc
from otel_llm.cli.run import RunError, environment
from otel_llm.settings import Settings, SettingsError

if TYPE_CHECKING:
    from otel_llm.store import PointRow, StoreReader

CONNECT_TIMEOUT_S: Final = 1.0
_PROBE_TIMEOUT_S: Final = 30.0
_DROPPED: Final = "dropped."

_OURS: Final = (
    "otel-llm", "opentelemetry-api", "opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry-exporter-otlp-proto-grpc", "opentelemetry-instrumentation", "genai-prices",
)  # fmt: skip
_THEIRS: Final = (
    "httpx", "httpx2", "aiohttp", "requests", "openai", "anthropic", "google-genai", "mistralai", "groq", "together",
    "cohere", "ollama", "litellm", "langchain-core", "vllm", "torch", "trl", "verifiers", "ray", "wandb",
)  # fmt: skip

# Runs as a program under `otel-llm run` would. It imports the HTTP clients that are installed, so that what is
# patched is what would be patched.
_PROBE: Final = """
import importlib, json, os, sys
import otel_llm
for seams in otel_llm.status().get("seams", {}).values():
    for client in seams:
        try:
            importlib.import_module(client.partition(".")[0])
        except Exception:
            pass
sys.stdout.write(json.dumps(otel_llm.status(), default=str))
sys.stdout.flush()
os._exit(0)
"""


def examine(store: Path | None, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the report: `ok`, `problems` (one line each), and a section a topic."""
    environ = dict(os.environ if environ is None else environ)
    problems: list[str] = []
    report: dict[str, Any] = {"ok": True, "problems": problems, "versions": versions()}
    try:
        settings = Settings.resolve({}, environ)
    except SettingsError as error:
        problems.append(str(error))
        settings = Settings()
    report["settings"] = configured(settings)
    report["instrumentation"] = instrumentation(environ, problems)
    report["exporters"] = exporters(settings, environ, problems)
    report["store"] = stored(settings.store if store is None else store, problems)
    report["ok"] = not problems
    return report


def versions() -> dict[str, Any]:
    """Return the versions of Python, of ours, and of what could be instrumented."""
    return {
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(terse=True),
        **{name: found for name in (*_OURS, *_THEIRS) if (found := _version(name)) is not None},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def configured(settings: Settings) -> dict[str, dict[str, str]]:
    """Return every setting with its value, as text, and where it came from."""
    found: dict[str, dict[str, str]] = {}
    for spec in fields(settings):
        if spec.metadata.get("parse") is None:
            continue
        value = getattr(settings, spec.name)
        text = ", ".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)
        entry = {"value": text, "source": settings.sources.get(spec.name, "default")}
        if spec.metadata["env"]:
            entry["variable"] = spec.metadata["env"]
        found[spec.name] = entry
    return found


def instrumentation(environ: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    """Return what `otel_llm.status()` says in a program of its own, started as `otel-llm run` starts one."""
    off = {"OTEL_LLM_STORE": "off", "OTEL_LLM_EXPORTERS": ""} | dict.fromkeys(
        (exporting.OTEL_TRACES_EXPORTER, exporting.OTEL_METRICS_EXPORTER, exporting.OTEL_LOGS_EXPORTER),
        "none",
    )
    try:
        probe = environment(off, environ, Path.cwd(), 0)
    except RunError:
        probe = environment(
            off, {k: v for k, v in environ.items() if not k.startswith("OTEL_LLM_")}, Path.cwd(), 0
        )
    try:
        done = subprocess.run(  # noqa: S603 (this Python, our own text)
            [sys.executable, "-c", _PROBE],
            env=probe,
            capture_output=True,
            text=True,
            timeout=_PROBE_TIMEOUT_S,
            check=False,
        )
        status: dict[str, Any] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        problems.append(f"a program under `otel-llm run` does not start: {error}")
        return {"error": str(error)}
    if not status.get("instrumented"):
        switch = "OTEL_SDK_DISABLED" if environ.get("OTEL_SDK_DISABLED", "").lower() == "true" else None
        problems.append(
            f"{switch}=true switches everything off"
            if switch
            else "a program under `otel-llm run` is not instrumented"
        )
    for name, state in status.get("instrumentations", {}).items():
        if str(state).startswith("failed"):
            problems.append(f"the instrumentor {name} {state}")
    for seams in status.get("seams", {}).values():
        problems += [
            f"the hook into {client} {s}" for client, s in seams.items() if str(s).startswith("failed")
        ]
    return status


def exporters(settings: Settings, environ: Mapping[str, str], problems: list[str]) -> list[dict[str, Any]]:
    """Return what is exported to, signal by signal, and whether it can be reached."""
    found: list[dict[str, Any]] = []
    signals = (
        ("traces", exporting.OTEL_TRACES_EXPORTER, settings.exporters),
        ("metrics", exporting.OTEL_METRICS_EXPORTER, ()),
        ("logs", exporting.OTEL_LOGS_EXPORTER, ()),
    )
    for signal, variable, added in signals:
        for name in dict.fromkeys([*added, *exporting.named_by_environment(variable, environ)]):
            entry: dict[str, Any] = {"signal": signal, "exporter": name}
            found.append(entry)
            if name == "otlp":
                _otlp(entry, signal, variable, environ)
            if not _known(name, signal, entry.get("protocol")):
                entry["problem"] = "there is no exporter of this name installed"
    same: dict[tuple[str, str], list[str]] = {}
    for entry in found:
        if entry.get("problem"):
            same.setdefault((entry.get("endpoint", entry["exporter"]), entry["problem"]), []).append(
                entry["signal"]
            )
    problems += [f"{', '.join(signals)} to {where}: {what}" for (where, what), signals in same.items()]
    return found


def _known(name: str, signal: str, protocol: str | None) -> bool:
    if name == "otlp":
        name = "otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"
    return any(True for _ in entry_points(group=f"opentelemetry_{signal}_exporter", name=name))


def _otlp(entry: dict[str, Any], signal: str, variable: str, environ: Mapping[str, str]) -> None:
    protocol = exporting.protocol_of(variable, environ)
    specific = f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"
    source = next((v for v in (specific, "OTEL_EXPORTER_OTLP_ENDPOINT") if environ.get(v)), "default")
    endpoint = environ.get(source) or f"http://localhost:{4317 if protocol == 'grpc' else 4318}"
    entry.update(protocol=protocol, endpoint=without_secrets(endpoint), source=source)
    parts = urlsplit(endpoint if "://" in endpoint else f"http://{endpoint}")
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        entry["problem"] = "the endpoint is no URL"
        return
    problem = _unreachable(parts.hostname or "localhost", port)
    entry["reachable"] = problem is None
    if problem is not None:
        entry["problem"] = f"not reachable: {problem}"


@cache  # one look an endpoint: most often all signals share it
def _unreachable(host: str, port: int) -> str | None:
    try:
        socket.create_connection((host, port), CONNECT_TIMEOUT_S).close()
    except OSError as error:
        return error.strerror or str(error)
    return None


def without_secrets(url: str) -> str:
    """Return a URL without user, password and query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def stored(directory: Path | None, problems: list[str]) -> dict[str, Any]:
    """Return what is in the store, and what its writers say they dropped."""
    if directory is None:
        return {"directory": None}
    report: dict[str, Any] = {"directory": str(directory.absolute()), "exists": directory.is_dir()}
    if not directory.is_dir():
        parent = next(p for p in directory.absolute().parents if p.exists())
        if not os.access(parent, os.W_OK):
            problems.append(f"the store {directory} cannot be made: {parent} is not writable")
        return report
    if not os.access(directory, os.W_OK):
        problems.append(f"the store {directory} is not writable")
    from otel_llm.store import StoreReader

    reader = StoreReader(directory)
    files = reader.files()
    newest = reader.traces(limit=1)
    dropped: Counter[str] = Counter()
    for file in files:
        for key, number in file.meta.items():
            if key.startswith(_DROPPED) and number.isdigit():
                dropped[key.removeprefix(_DROPPED)] += int(number)
    for point in _last_points(reader, sc.METRIC_DROPPED):
        what, reason = point.attributes.get(sc.DROP_WHAT), str(point.attributes.get(sc.DROP_REASON))
        if not reason.startswith("store_"):  # the store's own are in its files' own words
            dropped[f"{what}: {reason}"] += int(point.value)
    report |= {
        "files": len(files),
        "bytes": sum(file.nbytes for file in files),
        "spans": sum(file.spans for file in files),
        "open_spans": sum(file.open_spans for file in files),
        "writing": sum(file.alive is True for file in files),
        "newest_trace_ns": newest[0].start_ns if newest else None,
        "dropped": dict(sorted(dropped.items())),
        "unreadable": list(reader.problems),
    }
    problems += report["unreadable"]
    return report


def _last_points(reader: StoreReader, metric: str) -> list[PointRow]:
    """Return the last point of every process's counter: counters only grow."""
    last: dict[Any, PointRow] = {}
    for point in reader.points(metric):
        if isinstance(point.value, int | float):
            # A receiver's file holds those of many processes.
            process = str(sorted((point.resource or {}).items()))
            last[point.file, process, tuple(sorted(map(str, point.attributes.values())))] = point
    return list(last.values())
