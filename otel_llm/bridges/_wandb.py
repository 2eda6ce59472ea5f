"""`wandb.log` and `run.log`, taken up as series and metrics, each scalar with the step that W&B would plot it over."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any, Final
from weakref import WeakKeyDictionary

from otel_llm.bridges._seams import Seam
from otel_llm.bridges._taking import looking
from otel_llm.step_series import record, scalars_of, step_of

RUNS: Final = (("wandb.sdk.wandb_run", "Run"), ("wandb.sdk.lib.noop_run", "NoopRun"))
"""Classes of runs: that of `mode="disabled"` has methods of its own, and its curves are worth as much."""

_BOUND: Final = ("log", "define_metric")
"""Methods of the current run that `wandb` holds as functions of its own."""


class _Steps:
    """The step metrics that one run defined, and the last value of each."""

    def __init__(self) -> None:
        self._exact: dict[str, str] = {}
        self._globs: dict[str, str] = {}
        self._last: dict[str, int] = {}
        self._next = 0

    def row(self, step: int | None, commit: Any, counted: int | None) -> int:
        """Return the step of the row that a call writes to, as W&B counts: each call without a step ends one."""
        if counted is not None:
            self._next = counted
        if step is not None:
            self._next = max(self._next, step)
        row = self._next if step is None else step
        if commit or (step is None and commit is None):
            self._next += 1
        return row

    def define(self, name: str, step_metric: str) -> None:
        if name.endswith("*"):
            self._globs[name[:-1]] = step_metric
        else:
            self._exact[name] = step_metric

    def field_of(self, name: str) -> str | None:
        """Return the name of the metric that a scalar is plotted over; None for the run's own step."""
        # W&B joins the names of nested mappings with dots.
        for spelt in (name, name.replace("/", ".")):
            if (field := self._exact.get(spelt)) is not None:
                return field
        fitting = [
            prefix
            for prefix in self._globs
            if name.startswith(prefix) or name.replace("/", ".").startswith(prefix)
        ]
        return self._globs[max(fitting, key=len)] if fitting else None

    def of(
        self, scalars: list[tuple[str, int | float]], step: int | None
    ) -> list[tuple[str, int | float, int | None]]:
        """Give each scalar its step: of its own field in the same row, of that field's last value, or the row's."""
        if not (self._exact or self._globs):
            return [(name, value, step) for name, value in scalars]
        fields = {field for name, _ in scalars if (field := self.field_of(name)) is not None}
        fields |= set(self._exact.values()) | set(self._globs.values())
        for name, value in scalars:
            if name in fields and (there := step_of(value)) is not None:
                self._last[name] = there
        rows: list[tuple[str, int | float, int | None]] = []
        for name, value in scalars:
            field = self.field_of(name)
            own = None if field is None or field == name else self._last.get(field)
            rows.append((name, value, step if own is None else own))
        return rows


class WandbBridge(Seam):
    """Patches a class of runs, and what `wandb` has bound of a run that is there already.

    Args:
        module: the module that defines the class.
        owner: its name.
    """

    def __init__(self, module: str, owner: str) -> None:
        super().__init__(module, owner, {"log": self._logging, "define_metric": self._defining})
        self._counts = owner == "Run"
        self._steps: WeakKeyDictionary[Any, _Steps] = WeakKeyDictionary()
        self._lock = threading.RLock()

    def _logging(self, original: Callable[..., Any]) -> Callable[..., Any]:
        return looking(original, self._log, lambda: self._enabled)

    def _defining(self, original: Callable[..., Any]) -> Callable[..., Any]:
        return looking(original, self._define, lambda: self._enabled)

    def _log(
        self, run: Any, data: Any = None, step: Any = None, commit: Any = None, *_: Any, **__: Any
    ) -> None:
        scalars = scalars_of(data)
        # A run counts its rows itself, as W&B sees them; a disabled one does not.
        counted = step_of(getattr(run, "_local_step", None)) if self._counts else None
        with self._lock:
            steps = self._of(run)
            row = steps.row(step_of(step), commit, counted)
            rows = steps.of(scalars, row)
        identity = getattr(run, "id", None)
        record(rows, source="wandb", run=identity if isinstance(identity, str) else None)

    def _define(self, run: Any, name: Any = None, step_metric: Any = None, *_: Any, **__: Any) -> None:
        field = step_metric if isinstance(step_metric, str) else getattr(step_metric, "name", None)
        if isinstance(name, str) and isinstance(field, str):
            with self._lock:
                self._of(run).define(name, field)

    def _of(self, run: Any) -> _Steps:
        known = self._steps.get(run)
        if known is None:
            known = self._steps[run] = _Steps()
        return known

    def patched(self) -> None:
        """Let `wandb.log` be the patched method too, where a run was started before."""
        self._rebind(self.replacement_of)

    def remove(self) -> None:
        """Undo everything."""
        self._rebind(self.original_of)
        super().remove()

    @staticmethod
    def _rebind(other: Callable[[Any], Any]) -> None:
        wandb = sys.modules.get("wandb")
        for name in _BOUND:
            bound = getattr(wandb, name, None)
            function = other(getattr(bound, "__func__", None))
            if function is not None:
                setattr(wandb, name, function.__get__(bound.__self__))  # type: ignore[union-attr]

    def after_fork_in_child(self) -> None:
        """Forget a lock that another thread of the parent may have held."""
        self._lock = threading.RLock()
