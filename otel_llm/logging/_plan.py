"""Reading a plan: a YAML file or a mapping in the form of `logging.config`, with handlers and formatters of ours."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from otel_llm.logging._csv import CSVHandler
from otel_llm.logging._errors import LoggingPlanError
from otel_llm.logging._formatters import DEFAULT_FORMAT, JSONFormatter, TextFormatter
from otel_llm.logging._metrics_plan import MetricsPlan
from otel_llm.logging._opentelemetry import OpenTelemetryHandler
from otel_llm.logging._tensorboard import TensorBoardHandler

CUSTOM: Final = "logging.custom."
"""Where plans look for handlers of ours; there is no such module."""

HANDLERS: Final[dict[str, type]] = {
    handler.__name__: handler for handler in (CSVHandler, OpenTelemetryHandler, TensorBoardHandler)
}
_HOMES: Final = (CUSTOM, f"{__package__}.")
_GENERIC: Final = frozenset({"class", "formatter", "filters", "level", "()", "."})
_KEYS: Final = frozenset(
    {"version", "disable_existing_loggers", "incremental", "root", "loggers", "handlers", "formatters", "filters", "metrics"}
)  # fmt: skip

DEFAULT: Final[Mapping[str, Any]] = {
    "root": {"level": "INFO", "handlers": ["console"]},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "standard"}},
    "formatters": {"standard": {"format": DEFAULT_FORMAT}},
}
"""The plan where none is given: everything from INFO on to the console."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan that was read.

    Attributes:
        config: what `logging.config` takes.
        metrics: the `metrics:` section.
        source: where it came from, for people.
    """

    config: dict[str, Any]
    metrics: MetricsPlan
    source: str


def read_plan(given: os.PathLike[str] | str | Mapping[str, Any] | None) -> Plan:
    """Read and check a plan.

    Args:
        given: a YAML or JSON file, a mapping (which is not changed), or None for the default.

    Raises:
        LoggingPlanError: it cannot be read, or something in it is not accepted.
    """
    if given is None:
        return _checked(DEFAULT, "the default plan")
    if isinstance(given, Mapping):
        return _checked(given, "the plan")
    path = Path(given).expanduser()
    return _checked(_load(path), str(path))


def _load(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LoggingPlanError(f"the logging plan {path} cannot be read: {error}") from None
    if path.suffix.lower() == ".json":
        try:
            return json.loads(text)
        except ValueError as error:
            raise LoggingPlanError(f"{path} is no JSON: {error}") from None
    try:
        import yaml
    except ImportError:
        raise LoggingPlanError(
            f"{path} is a YAML file, which needs PyYAML: pip install 'otel-llm[logging]'"
        ) from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise LoggingPlanError(f"{path} is no YAML: {' '.join(str(error).split())}") from None


def _checked(given: Any, source: str) -> Plan:
    if not isinstance(given, Mapping):
        raise LoggingPlanError(f"{source} is {type(given).__name__}; it accepts a mapping of {_list(_KEYS)}")
    if unknown := [str(key) for key in given if key not in _KEYS]:
        raise LoggingPlanError(f"{source} has {_list(unknown)}; it accepts {_list(_KEYS)}")
    if given.get("incremental"):
        raise LoggingPlanError(f"{source} is incremental, which is not accepted: a plan stands for itself")
    if given.get("version", 1) != 1:
        raise LoggingPlanError(f"{source} has version {given['version']!r}; it accepts 1")
    config = {key: deepcopy(value) for key, value in given.items() if key != "metrics" and value is not None}
    config["version"] = 1
    for section in ("handlers", "formatters", "loggers", "filters"):
        config[section] = _section(config.get(section, {}), section)
    config["handlers"] = {name: _handler(name, spec) for name, spec in config["handlers"].items()}
    config["formatters"] = {name: _formatter(name, spec) for name, spec in config["formatters"].items()}
    _check_names(config)
    return Plan(config, MetricsPlan.parse(given.get("metrics")), source)


def _section(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise LoggingPlanError(f"{name} is {value!r}; it accepts a mapping from names to settings")
    for key, spec in value.items():
        if not isinstance(key, str) or not isinstance(spec, Mapping | None):
            raise LoggingPlanError(f"{name}.{key} is {spec!r}; it accepts a mapping of settings")
    return {key: dict(spec or {}) for key, spec in value.items()}


def _handler(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    kind = spec.get("class")
    if kind is None and "()" not in spec:
        raise LoggingPlanError(f"handlers.{name} has no class; it accepts one such as logging.StreamHandler")
    home = next((home for home in _HOMES if isinstance(kind, str) and kind.startswith(home)), None)
    if home is not None:
        ours = HANDLERS.get(str(kind).removeprefix(home))
        if ours is None:
            raise LoggingPlanError(
                f"handlers.{name} has the class {kind}, which there is not; {home} accepts {_list(HANDLERS)}"
            )
        known = set(inspect.signature(ours).parameters)
        if unknown := sorted(key for key in spec if key not in _GENERIC | known):
            raise LoggingPlanError(
                f"handlers.{name} ({kind}) has {_list(unknown)}; it accepts {_list(known | _GENERIC - {'()', '.'})}"
            )
        spec = {"()": ours, **{key: value for key, value in spec.items() if key != "class"}}
    return spec


def _formatter(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    if "()" in spec or "class" in spec:
        return spec
    form = spec.get("format")
    if isinstance(form, str) and form.strip().lower() == "json":
        return {"()": JSONFormatter, **_only(name, spec, ("fields", "datefmt"))}
    told = _only(name, spec, ("datefmt", "style", "validate"))
    if isinstance(form, str) and form.strip().lower() == "text":
        form = None
    return {"()": TextFormatter, "fmt": form, **told}


def _only(name: str, spec: Mapping[str, Any], known: tuple[str, ...]) -> dict[str, Any]:
    if unknown := sorted(key for key in spec if key not in {"format", *known}):
        raise LoggingPlanError(
            f"formatters.{name} has {_list(unknown)}; it accepts {_list(('format', *known))}"
        )
    return {key: spec[key] for key in known if key in spec}


def _check_names(config: Mapping[str, Any]) -> None:
    """Check that every handler, formatter and filter that is named is there."""
    root = config.get("root", {})
    if not isinstance(root, Mapping):
        raise LoggingPlanError(f"root is {root!r}; it accepts a mapping of settings")
    loggers = {f"loggers.{name}": spec for name, spec in config["loggers"].items()} | {"root": root}
    for where, spec in loggers.items():
        _check("handlers", spec.get("handlers") or (), config["handlers"], where)
        _check("filters", spec.get("filters") or (), config["filters"], where)
    for name, spec in config["handlers"].items():
        form = spec.get("formatter")
        _check("formatters", () if form is None else (form,), config["formatters"], f"handlers.{name}")
        _check("filters", spec.get("filters") or (), config["filters"], f"handlers.{name}")


def _check(what: str, named: Any, there: Mapping[str, Any], where: str) -> None:
    if isinstance(named, str) or not isinstance(named, Iterable):
        raise LoggingPlanError(f"{where}.{what} is {named!r}; it accepts a list of names")
    if missing := [str(name) for name in named if name not in there]:
        raise LoggingPlanError(
            f"{where} names {_list(missing)} of {what}; there are {_list(there) or 'none'}"
        )


def _list(names: Iterable[str]) -> str:
    return ", ".join(names if isinstance(names, list | tuple) else sorted(names))
