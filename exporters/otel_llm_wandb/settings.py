# ruff: noqa: RUF009 (`_setting` is `field` with our metadata)
"""What can be set about W&B, in one frozen dataclass: argument of `configure` > `OTEL_LLM_WANDB_*` > W&B's own > default.

W&B's own variables (`WANDB_PROJECT`, `WANDB_ENTITY`, `WANDB_MODE`, `WANDB_DIR`, `WANDB_RUN_GROUP`, `WANDB_TAGS` …) and
settings files are read by W&B itself and keep their meaning; what is None here is left to them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, Literal

from otel_llm.settings import SettingsError

PREFIX: Final = "OTEL_LLM_WANDB_"
MODES: Final = ("online", "offline", "disabled")
TABLE_MODES: Final = ("immutable", "incremental")
LAYOUTS: Final = ("pipelines", "job_types", "hierarchy", "groups")


def _text(text: str) -> str:
    return text


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ValueError("a number, 0 or more")
    return value


def _whole(text: str) -> int:
    if not text.strip().isdigit():
        raise ValueError("a whole number, 0 or more")
    return int(text)


def _boolean(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered in {"1", "true", "yes", "on"}:
        return True
    if lowered in {"0", "false", "no", "off"}:
        return False
    raise ValueError("true or false")


def _one_of(*accepted: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in accepted:
            raise ValueError(", ".join(accepted))
        return text

    return parse


def _mapping(text: str) -> dict[str, str]:
    """Read `training=rl-agent,inference=inference-only`."""
    made = {}
    for part in _names(text):
        key, equals, value = part.partition("=")
        if not equals or not key or not value:
            raise ValueError("pairs such as training=rl-agent,inference=inference-only")
        made[key.strip()] = value.strip()
    return made


def _setting(
    default: Any, parse: Callable[[str], Any] = _text, factory: Callable[[], Any] | None = None
) -> Any:
    if factory is not None:
        return field(default_factory=factory, metadata={"parse": parse})
    return field(default=default, metadata={"parse": parse})


@dataclass(frozen=True, slots=True, kw_only=True)
class WandbSettings:
    """Every setting of the W&B sink; the variable of a field is `OTEL_LLM_WANDB_` and its name in capitals.

    Attributes:
        project: the run's project; `{pipeline}` and `{job_type}` in it are filled in.
        entity: the team or user that the project belongs to.
        name: the run's display name.
        run_id: the run to write; default: a new one, or for `replay` the one that the store's program wrote.
        group: what links related runs: an experiment.
        job_type: `training`, `inference` …
        tags: for filters.
        notes: a description.
        config: what the run's config holds besides the resource's attributes.
        mode: `online`, `offline` or `disabled` (what is disabled is not settled: `replay` can send it later).
        dir: where W&B puts the run's directory, `wandb/` below it.
        layout: one of four arrangements of runs and projects (see `layouts`); default none.
        pipeline: the pipeline that this process is, for layouts: `training`, `inference` …
        projects: for the layout `job_types`: the project of each job type.
        prefix: put before the name of every scalar, histogram and step that does not begin with it: `training/`.
        join: whether to write into the run that the program (or its trainer) has started.
        join_wait_s: how long a run of our own is put off for one that the program may still start, in seconds.
        all_ranks: whether each rank of a distributed job starts a run of its own; default: rank 0 alone, and what the
            others did is in their stores, from which `replay` adds it. A run that a rank's program started is joined.
        tables: `immutable` (a table version a flush; a step slider in W&B) or `incremental` (increments of one table;
            needs W&B Server 0.70).
        exclude_tables: tables that are not written.
        table_rows: rows that make a flush of a table; at most 10,000, where W&B cuts.
        table_interval_s: how long a row waits for that at most, at first. It grows with the run, so that a long run
            has some hundred files (W&B advises fewer than 1,000).
        max_cell_length: characters of a text cell; W&B advises less than 1 MB a value.
        whole_tables: whether the end of a run writes `{table}_all` with all rows, where these are at most 10,000.
        trajectories: tables whose rows the end of a run puts into an artifact of the type `trajectories`.
        artifacts: whether finished games become artifacts.
        session_keys: up to how many games get `sessions/{id}/…` keys of their own; default 0: a key with one value is
            no curve, and W&B advises fewer than 10,000 keys a project.
        interaction_keys: likewise `interactions/{id}/…`: 20 keys an interaction, that W&B's core never forgets.
        trace_trees: up to how many traces are written as W&B's own (old) trace tables; default 0.
        trace_tree_spans: the largest trace that gets one, in spans.
        init_timeout: seconds that `wandb.init` may take; twice that, where there is no network.
        finish_timeout: seconds that the end of our own run may take, whatever the network does.
        flush_interval_s: how often W&B's core writes our own run to its file, in seconds.
    """

    project: str | None = _setting(None)
    entity: str | None = _setting(None)
    name: str | None = _setting(None)
    run_id: str | None = _setting(None)
    group: str | None = _setting(None)
    job_type: str | None = _setting(None)
    tags: tuple[str, ...] = _setting((), _names)
    notes: str | None = _setting(None)
    config: Mapping[str, Any] = _setting(None, _mapping, dict)
    mode: Literal["online", "offline", "disabled"] | None = _setting(None, _one_of(*MODES))
    dir: Path | None = _setting(None, Path)
    layout: Literal["pipelines", "job_types", "hierarchy", "groups"] | None = _setting(
        None, _one_of(*LAYOUTS)
    )
    pipeline: str | None = _setting(None)
    projects: Mapping[str, str] = _setting(None, _mapping, dict)
    prefix: str = _setting("")
    join: bool = _setting(True, _boolean)
    join_wait_s: float = _setting(30.0, _number)
    all_ranks: bool = _setting(False, _boolean)
    tables: Literal["immutable", "incremental"] = _setting("immutable", _one_of(*TABLE_MODES))
    exclude_tables: tuple[str, ...] = _setting((), _names)
    table_rows: int = _setting(500, _whole)
    table_interval_s: float = _setting(15.0, _number)
    max_cell_length: int = _setting(100_000, _whole)
    whole_tables: bool = _setting(True, _boolean)
    trajectories: tuple[str, ...] = _setting(("full_trajectories",), _names)
    artifacts: bool = _setting(True, _boolean)
    session_keys: int = _setting(0, _whole)
    interaction_keys: int = _setting(0, _whole)
    trace_trees: int = _setting(0, _whole)
    trace_tree_spans: int = _setting(200, _whole)
    init_timeout: float = _setting(30.0, _number)
    finish_timeout: float = _setting(60.0, _number)
    flush_interval_s: float = _setting(1.0, _number)

    @classmethod
    def resolve(
        cls, arguments: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
    ) -> WandbSettings:
        """Merge arguments, environment and defaults, and lay out what `layout` says.

        Args:
            arguments: explicit values by field name; text is accepted where the environment would be.
            environ: the environment; default `os.environ`.

        Raises:
            SettingsError: a value is not accepted.
            TypeError: an argument has no such setting.
        """
        arguments = arguments or {}
        environ = os.environ if environ is None else environ
        known = {spec.name: spec for spec in fields(cls)}
        if unknown := sorted(arguments.keys() - known.keys()):
            raise TypeError(f"otel_llm_wandb has no setting {', '.join(unknown)}; it has {', '.join(known)}")
        values: dict[str, Any] = {}
        for name, spec in known.items():
            variable = PREFIX + name.upper()
            if name in arguments:
                value = arguments[name]
                values[name] = (
                    _read(f"argument {name}", value, spec.metadata["parse"])
                    if isinstance(value, str)
                    else value
                )
            elif text := environ.get(variable, "").strip():
                values[name] = _read(variable, text, spec.metadata["parse"])
        made = cls(**_normal(values))
        from otel_llm_wandb.layouts import laid_out

        return laid_out(made, environ)

    def with_changes(self, **changes: Any) -> WandbSettings:
        """Return a copy with other values."""
        return replace(self, **changes)


def _read(where: str, text: str, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        raise SettingsError(f"{where} is {text!r}; it accepts {error}") from None


def _normal(values: dict[str, Any]) -> dict[str, Any]:
    """Bring arguments that are not text into the field's form, and check them."""
    for name in ("tags", "exclude_tables", "trajectories"):
        if name in values:
            values[name] = tuple(str(one) for one in values[name])
    for name, accepted in (("mode", MODES), ("tables", TABLE_MODES), ("layout", LAYOUTS)):
        if values.get(name) is not None and values[name] not in accepted:
            raise SettingsError(f"argument {name} is {values[name]!r}; it accepts {', '.join(accepted)}")
    rows = values.get("table_rows", 1)
    if not 1 <= rows <= MAX_ROWS:
        raise SettingsError(f"table_rows is {rows!r}; it accepts 1 to {MAX_ROWS}")
    return values


MAX_ROWS: Final = 10_000
"""Rows of a table that W&B shows; what is beyond them it cuts without a word (`wandb.Table.MAX_ROWS`)."""
