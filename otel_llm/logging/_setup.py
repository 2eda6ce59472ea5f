"""Putting a plan into force, and taking it back.

Only the loggers that a plan names are touched. Their handlers of before are put aside, open, and come back with
`shutdown`; handlers of other loggers stay as they are (`logging.config.dictConfig` would close all of them).
"""

from __future__ import annotations

import logging
import logging.config
import os
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from otel_llm import correlation, drops
from otel_llm.logging._errors import LoggingPlanError
from otel_llm.logging._metrics_plan import MetricsPlan
from otel_llm.logging._plan import Plan, read_plan

_BY: Final = "logging plan"
_lock = threading.RLock()
_active: _Installed | None = None
_no_plan: Final = MetricsPlan()


class _Installed:
    """A plan in force: its handlers, and what was there before."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.handlers: list[logging.Handler] = []
        self._undo: list[Callable[[], None]] = []

    def install(self) -> None:
        config = self.plan.config
        names = ["", *config["loggers"]] if "root" in config else list(config["loggers"])
        for name in names:
            self._remember(logging.getLogger(name))
        if config.get("disable_existing_loggers"):
            self._disable_others(config["loggers"])
        _Configurator(config).apply(self.handlers)

    def _remember(self, logger: logging.Logger) -> None:
        handlers, filters = list(logger.handlers), list(logger.filters)
        level, propagate, disabled = logger.level, logger.propagate, logger.disabled

        def back() -> None:
            logger.handlers[:] = handlers
            logger.filters[:] = filters
            logger.setLevel(level)
            logger.propagate, logger.disabled = propagate, disabled

        self._undo.append(back)

    def _disable_others(self, named: Mapping[str, Any]) -> None:
        for name, logger in list(logging.root.manager.loggerDict.items()):
            is_named = any(name == one or name.startswith(f"{one}.") for one in named)
            if isinstance(logger, logging.Logger) and not is_named:
                self._remember(logger)
                logger.disabled = True

    def remove(self) -> None:
        for back in reversed(self._undo):
            back()
        self._undo.clear()
        for handler in self.handlers:
            try:
                handler.close()
            except Exception:
                drops.internal_error("closing a log handler")
        self.handlers.clear()


class _Configurator(logging.config.DictConfigurator):
    """Does what a configuration says to the loggers it names, and nothing to any other handler or logger."""

    def apply(self, made: list[logging.Handler]) -> None:
        """Put everything in force.

        Args:
            made: takes every handler as it is made.
        """
        config: Any = self.config
        for name in config["formatters"]:
            config["formatters"][name] = self._named("formatters", name, self.configure_formatter)
        for name in config["filters"]:
            config["filters"][name] = self._named("filters", name, self.configure_filter)
        waiting = sorted(config["handlers"])
        # A handler may have another one as its target, which must be made first.
        for last in (False, True):
            for name in list(waiting):
                try:
                    handler = self._named("handlers", name, self.configure_handler)
                except LoggingPlanError as error:
                    if last or "target not configured yet" not in str(error):
                        raise
                    continue
                handler.name = name
                config["handlers"][name] = handler
                made.append(handler)
                waiting.remove(name)
        for name in config["loggers"]:
            self._named("loggers", name, partial(self.configure_logger, name))
        if "root" in config:
            self._named("", "root", self.configure_root)

    def _named(self, section: str, name: str, make: Callable[[Any], Any]) -> Any:
        """Make something; an error says where the plan went wrong."""
        where = f"{section}.{name}" if section else name
        config: Any = self.config
        try:
            spec = config[section][name] if section else config[name]
            if section == "handlers":
                _make_directory(spec)
            return make(spec)
        except Exception as error:
            cause = error.__cause__ if error.__cause__ is not None else error
            said = " ".join(f"{error}: {cause}".split()) if cause is not error else str(error)
            raise LoggingPlanError(f"{where} cannot be set up: {said}") from error


def _make_directory(spec: Mapping[str, Any]) -> None:
    filename = spec.get("filename")
    if isinstance(filename, str | os.PathLike):
        Path(filename).parent.mkdir(parents=True, exist_ok=True)


def initialize(
    config: os.PathLike[str] | str | Mapping[str, Any] | None = None, *, log_correlation: bool = True
) -> None:
    """Set up logging by a plan.

    The plan is a configuration of `logging.config` as a YAML or JSON file or a mapping, with handlers of ours
    (`logging.custom.CSVHandler`, `TensorBoardHandler`, `OpenTelemetryHandler`), `format: json` among formatters, and
    a section `metrics:` that the `log_*` functions keep to. Loggers that it does not name stay as they are, unless it
    says `disable_existing_loggers: true`. Directories of files are made. A second call replaces the first plan.

    Args:
        config: the plan; None for one that writes everything from INFO on to the console.
        log_correlation: whether the records of all loggers get `trace_id` and `span_id` of the current span.

    Raises:
        LoggingPlanError: the plan cannot be read or put into force; logging is as it was before then.
    """
    global _active
    plan = read_plan(config)
    with _lock:
        before, _active = _active, None
        if before is not None:
            before.remove()
        installed = _Installed(plan)
        try:
            installed.install()
        except Exception:
            installed.remove()
            if before is not None:
                _reinstall(before.plan)
            raise
        _active = installed
        (correlation.install if log_correlation else correlation.remove)(_BY)


def _reinstall(plan: Plan) -> None:
    """Put the plan of before back in force."""
    global _active
    installed = _Installed(plan)
    try:
        installed.install()
        _active = installed
    except Exception:
        installed.remove()
        drops.internal_error("putting a logging plan back")


def shutdown() -> None:
    """Flush and close the plan's handlers, and put back what was there before; nothing without a plan."""
    global _active
    with _lock:
        before, _active = _active, None
        if before is not None:
            before.remove()
            correlation.remove(_BY)


def flush() -> None:
    """Write what the plan's handlers hold."""
    with _lock:
        for handler in () if _active is None else _active.handlers:
            try:
                handler.flush()
            except Exception:
                drops.internal_error("flushing a log handler")


def metrics_plan() -> MetricsPlan:
    """Return the `metrics:` section in force; without a plan, one that lets everything through."""
    active = _active
    return _no_plan if active is None else active.plan.metrics
