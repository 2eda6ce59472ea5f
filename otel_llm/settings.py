# ruff: noqa: RUF009 (`_setting` is `field` with our metadata)
"""What can be set, in one frozen dataclass: explicit argument > environment > default.

Standard `OTEL_*` variables (exporters, endpoints, samplers, resource, limits) are read by OpenTelemetry
itself and keep their meaning; this module holds only what is ours. A bad value raises `SettingsError`,
whose text names the argument or variable and what it accepts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal

from otel_llm.content import CaptureMode, ContentPolicy, capture_mode
from otel_llm.sampling.targets import Sampling

_OFF: Final = frozenset({"", "none", "off", "false", "0", "no"})
_ON: Final = frozenset({"true", "on", "1", "yes"})


class SettingsError(ValueError):
    """A setting has a value it does not accept; the text says which, and what it accepts."""


def _setting(default: Any, env: str | None, parse: Callable[[str], Any]) -> Any:
    return field(default=default, metadata={"env": env, "parse": parse})


def _boolean(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered in _ON:
        return True
    if lowered in _OFF:
        return False
    raise ValueError("true or false")


def _positive_int(text: str) -> int:
    value = int(text) if text.strip().isdigit() else 0
    if value < 1:
        raise ValueError("a whole number of at least 1")
    return value


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ValueError("a number of seconds, 0 or more")
    return value


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _patterns(text: str) -> tuple[str, ...]:
    # One regular expression a line: they may contain commas.
    return tuple(line for line in text.splitlines() if line.strip())


def _directory(text: str) -> Path | None:
    return None if text.strip().lower() in _OFF else Path(text)


def _policy(text: str) -> ContentPolicy:
    return ContentPolicy.parse(text)


def _dialect(text: str) -> str:
    if text not in {"latest", "1.41"}:
        raise ValueError("latest or 1.41")
    return text


def _game_traces(text: str) -> str:
    if text not in {"phase", "game"}:
        raise ValueError("phase or game")
    return text


def _text(text: str) -> str:
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting of the core.

    Attributes:
        content: what spans carry of prompts and answers, and so what every exporter sees: `none`, `length`
            (counts and lengths only, the default), `preview`, `full`. Variable `OTEL_LLM_CONTENT`; else
            OpenTelemetry's `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`.
        store_content: what the local store keeps; default: as `content`. `OTEL_LLM_STORE_CONTENT`.
        store: directory of the local store, `None` (or `off`) for no store. Default `.otel_llm` in the
            working directory. `OTEL_LLM_STORE`.
        store_max_age_days: files of finished processes older than this are removed; default 30.
            `OTEL_LLM_STORE_MAX_AGE_DAYS`.
        store_max_bytes: the store's files may take this much together, the oldest go first;
            default 10 GiB. `OTEL_LLM_STORE_MAX_BYTES`.
        exporters: names of span exporters to add: `otlp`, `console`, or any entry point in
            `opentelemetry_traces_exporter`. Those that `OTEL_TRACES_EXPORTER` names are set up anyway and not
            added twice. `OTEL_LLM_EXPORTERS`, comma separated.
        instrumentations: which of our instrumentors to install; `None` (default) for all.
            `OTEL_LLM_INSTRUMENTATIONS`, comma separated.
        service_name: `service.name` of our own provider; default `OTEL_SERVICE_NAME`, else the script's name.
        semconv: `latest`, or `1.41` for backends that still read the older names. `OTEL_LLM_SEMCONV`.
        metrics: whether calls become metrics as well as spans; default true. `OTEL_LLM_METRICS`.
        game_traces: `phase` for one trace a phase of a game (default), `game` for one trace a game.
            `OTEL_LLM_GAME_TRACES`.
        drop_attributes: attributes that are not wanted, such as `game.orders.*` or `gen_ai.request.seed`; `*` and
            `?` stand for others. They are left out of spans, store and exporters alike.
            `OTEL_LLM_DROP_ATTRIBUTES`, comma separated.
        max_content_length: longest content attribute, in characters; default 262,144.
            `OTEL_LLM_MAX_CONTENT_LENGTH`.
        preview_length: longest text of a message under `preview`, in characters; default 200.
            `OTEL_LLM_PREVIEW_LENGTH`.
        max_body_bytes: largest request or response body that is parsed; of larger ones lengths are kept.
            Default 64 MiB. `OTEL_LLM_MAX_BODY_BYTES`.
        max_queue_bytes: what may wait in each queue of ours; default 256 MiB. When it is full, bodies are let
            go first, then spans; both are counted. `OTEL_LLM_MAX_QUEUE_BYTES`.
        propagate_hosts: hosts that get `traceparent` and baggage besides loopback and private networks, such as
            `llm.example.com` or `*.example.com`. `OTEL_LLM_PROPAGATE_HOSTS`, comma separated.
        redact_patterns: regular expressions whose matches are scrubbed besides the built-in ones.
            `OTEL_LLM_REDACT_PATTERNS`, one a line.
        redact: the program's own redaction, `(str) -> str`, called off the hot path on every text that is kept.
            Argument only.
        sampling: how much each exporter gets once it is known how things ended: a share (`0.1`) or a rate (`50/s`) for
            all, or by exporter (`otlp=50/s`, or a mapping). What failed, was slow or is rare is always kept, and the
            local store keeps everything. Default: no sampling. `OTEL_LLM_SAMPLING`.
        bridges: whose scalars to take up as series and metrics: `wandb` (`wandb.log`), `tensorboard` (`add_scalar` of
            PyTorch's and tensorboardX's `SummaryWriter`). Default: none. `OTEL_LLM_BRIDGES`, comma separated.
        log_correlation: whether records of Python's `logging` get `trace_id` and `span_id`, for formats that name
            them; default false. `OTEL_LLM_LOG_CORRELATION`.
        shutdown_timeout: seconds that exit, `SIGTERM` and `shutdown()` may take, whatever a backend does;
            default 10. `OTEL_LLM_SHUTDOWN_TIMEOUT`.
        debug: log our own internal errors with tracebacks; default false. `OTEL_LLM_DEBUG`.
        capture: how content was asked for by OpenTelemetry's variable (spans, events or both).
        sources: where each setting came from: `argument`, a variable's name, or `default`.
    """

    content: ContentPolicy = _setting(ContentPolicy.LENGTH, "OTEL_LLM_CONTENT", _policy)
    store_content: ContentPolicy | None = _setting(None, "OTEL_LLM_STORE_CONTENT", _policy)
    store: Path | None = _setting(Path(".otel_llm"), "OTEL_LLM_STORE", _directory)
    store_max_age_days: float = _setting(30.0, "OTEL_LLM_STORE_MAX_AGE_DAYS", _seconds)
    store_max_bytes: int = _setting(10 << 30, "OTEL_LLM_STORE_MAX_BYTES", _positive_int)
    exporters: tuple[str, ...] = _setting((), "OTEL_LLM_EXPORTERS", _names)
    instrumentations: tuple[str, ...] | None = _setting(None, "OTEL_LLM_INSTRUMENTATIONS", _names)
    service_name: str | None = _setting(None, None, _text)
    semconv: Literal["latest", "1.41"] = _setting("latest", "OTEL_LLM_SEMCONV", _dialect)
    metrics: bool = _setting(True, "OTEL_LLM_METRICS", _boolean)
    game_traces: Literal["phase", "game"] = _setting("phase", "OTEL_LLM_GAME_TRACES", _game_traces)
    drop_attributes: tuple[str, ...] = _setting((), "OTEL_LLM_DROP_ATTRIBUTES", _names)
    max_content_length: int = _setting(262_144, "OTEL_LLM_MAX_CONTENT_LENGTH", _positive_int)
    preview_length: int = _setting(200, "OTEL_LLM_PREVIEW_LENGTH", _positive_int)
    max_body_bytes: int = _setting(64 << 20, "OTEL_LLM_MAX_BODY_BYTES", _positive_int)
    max_queue_bytes: int = _setting(256 << 20, "OTEL_LLM_MAX_QUEUE_BYTES", _positive_int)
    propagate_hosts: tuple[str, ...] = _setting((), "OTEL_LLM_PROPAGATE_HOSTS", _names)
    redact_patterns: tuple[str, ...] = _setting((), "OTEL_LLM_REDACT_PATTERNS", _patterns)
    redact: Callable[[str], str] | None = _setting(None, None, _text)
    sampling: Sampling | None = _setting(None, "OTEL_LLM_SAMPLING", Sampling.parse)
    bridges: tuple[str, ...] = _setting((), "OTEL_LLM_BRIDGES", _names)
    log_correlation: bool = _setting(False, "OTEL_LLM_LOG_CORRELATION", _boolean)
    shutdown_timeout: float = _setting(10.0, "OTEL_LLM_SHUTDOWN_TIMEOUT", _seconds)
    debug: bool = _setting(False, "OTEL_LLM_DEBUG", _boolean)
    capture: CaptureMode = field(default=CaptureMode.UNSET, metadata={"env": None, "parse": None})
    sources: Mapping[str, str] = field(
        default_factory=dict, compare=False, metadata={"env": None, "parse": None}
    )

    @property
    def kept_content(self) -> ContentPolicy:
        """What the local store keeps: `store_content`, or `content` where that is not set."""
        return self.content if self.store_content is None else self.store_content

    @classmethod
    def resolve(cls, arguments: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Settings:
        """Merge arguments, environment and defaults.

        Args:
            arguments: explicit values by field name; `UNSET` values must have been left out. Text is accepted
                where the environment would be (`content="full"`).
            environ: the environment; default `os.environ`.

        Raises:
            SettingsError: a value is not accepted.
            TypeError: an argument has no such setting.
        """
        environ = os.environ if environ is None else environ
        known = {f.name: f for f in fields(cls) if f.metadata["parse"] is not None}
        if unknown := sorted(arguments.keys() - known.keys()):
            raise TypeError(f"otel_llm has no setting {', '.join(unknown)}; it has {', '.join(known)}")
        capture = capture_mode(environ)
        values: dict[str, Any] = {"capture": capture}
        sources: dict[str, str] = {}
        if capture is not CaptureMode.UNSET:
            values["content"] = ContentPolicy.FULL if capture.spans else ContentPolicy.LENGTH
            sources["content"] = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
        for name, spec in known.items():
            env = spec.metadata["env"]
            if name in arguments:
                values[name] = _accept(f"argument {name}", arguments[name], spec.metadata["parse"], name)
                sources[name] = "argument"
            elif (
                env is not None
                and (text := environ.get(env)) is not None
                and (text.strip() or name == "store")
            ):
                values[name] = _accept(env, text, spec.metadata["parse"], name)
                sources[name] = env
            else:
                sources.setdefault(name, "default")
        return cls(**values, sources=sources)


def _accept(where: str, value: Any, parse: Callable[[str], Any], name: str) -> Any:
    if isinstance(value, os.PathLike):
        return Path(value)
    if not isinstance(value, str):
        return _check(where, value, name)
    try:
        return _check(where, parse(value), name)
    except SettingsError:
        raise
    except ValueError as error:
        raise SettingsError(f"{where} is {value!r}; it accepts {error}") from None


_NUMBERS: Final = frozenset(
    {
        "store_max_age_days",
        "store_max_bytes",
        "max_content_length",
        "preview_length",
        "max_body_bytes",
        "max_queue_bytes",
        "shutdown_timeout",
    },
)
_TUPLES: Final = frozenset(
    {"exporters", "instrumentations", "propagate_hosts", "redact_patterns", "drop_attributes", "bridges"}
)


_BRIDGES: Final = frozenset({"wandb", "tensorboard"})


def _check(where: str, value: Any, name: str) -> Any:
    """Check what is not text: arguments of the right kind pass, others are refused in one line."""
    if value is None and name in {"store", "store_content", "instrumentations", "service_name", "redact"}:
        return None
    if name in _NUMBERS and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
        raise SettingsError(f"{where} is {value!r}; it accepts a number, 0 or more")
    if name in _TUPLES:
        if not isinstance(value, list | tuple | set | frozenset) or not all(
            isinstance(v, str) for v in value
        ):
            raise SettingsError(f"{where} is {value!r}; it accepts a list of texts")
        value = tuple(value)
        if name == "redact_patterns":
            for pattern in value:
                try:
                    re.compile(pattern)
                except re.error as error:
                    raise SettingsError(f"{where}: {pattern!r} is no regular expression: {error}") from None
        if name == "bridges" and (unknown := sorted(set(value) - _BRIDGES)):
            raise SettingsError(
                f"{where} names {', '.join(unknown)}; it accepts {', '.join(sorted(_BRIDGES))}"
            )
        return value
    if name in {"metrics", "debug", "log_correlation"} and not isinstance(value, bool):
        raise SettingsError(f"{where} is {value!r}; it accepts True or False")
    if name in {"content", "store_content"} and not isinstance(value, ContentPolicy):
        raise SettingsError(f"{where} is {value!r}; it accepts none, length, preview or full")
    if name == "sampling":
        try:
            return Sampling.parse(value)
        except ValueError as error:
            raise SettingsError(f"{where} is {value!r}; it accepts {error}") from None
    if name == "redact" and not callable(value):
        raise SettingsError(f"{where} is {value!r}; it accepts a function from text to text")
    if name == "store" and value is False:
        return None
    return value
