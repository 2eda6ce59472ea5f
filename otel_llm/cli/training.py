"""`otel-llm show --runs` and `--run`: training runs as a list, one at a glance, one of its steps, one of its rollouts."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otel_llm import semconv as sc
from otel_llm.analysis.training import (
    Consumption,
    RolloutRecord,
    RunRecord,
    StepRecord,
    Trouble,
    each_rollout,
    groups_of,
    load_runs,
    load_steps,
    surprises_of,
)
from otel_llm.cli import documents, reading, training_documents
from otel_llm.cli.errors import CliError
from otel_llm.cli.filters import Filters
from otel_llm.cli.lines import Line, Output
from otel_llm.cli.render import Style
from otel_llm.cli.rollout_view import RolloutPage, rollout_lines
from otel_llm.cli.run_view import RunPage, StepFigures, run_lines, runs_lines
from otel_llm.cli.step_view import step_lines
from otel_llm.cli.text import one_line

if TYPE_CHECKING:
    from otel_llm.store import StoreReader

STEPS: Final = 12
"""Steps of a run that is not asked for in full: its last ones."""
_NAMED: Final = 10
_NAME: Final = 60


def show_runs(filters: Filters, *, last: int | None, as_json: bool, store: Path | None) -> int:
    """Print a list of training runs, the newest last.

    Args:
        filters: of these `since_ns` alone.
        last: so many runs at most; None for all.
        as_json: as one JSON document.
        store: the store's directory, None for the configured one.

    Raises:
        CliError: there is no store.
    """
    reader = reading.open_store(store)
    runs = [run for run in load_runs(reader) if filters.since_ns is None or run.start_ns >= filters.since_ns]
    runs = runs if last is None else runs[-last:]
    if as_json:
        _write(training_documents.runs(runs))
    elif runs:
        output = Output()
        output.write_all(runs_lines(runs, Style(width=output.width, now_ns=time.time_ns())))
        output.flush()
    else:
        Output(sys.stderr).write(Line.of("the store has no training runs yet", "quiet"))
    reading.report(reader)
    return 0


def show_run(
    run_id: str,
    *,
    step: int | None,
    rollout: str | None,
    last: int | None,
    full: bool,
    as_json: bool,
    store: Path | None,
) -> int:
    """Print one training run: at a glance, one of its steps, or one of its rollouts.

    Args:
        run_id: its id, as it is or as it is printed, or the only one that begins so.
        step: this step as a tree instead; with `rollout`, where to look for it.
        rollout: this rollout instead; its sample id, or its span's.
        last: how many of the last steps.
        full: everything of which there may be many.
        as_json: as one JSON document.
        store: the store's directory, None for the configured one.

    Raises:
        CliError: there is no such run, step or rollout, or no store.
    """
    reader = reading.open_store(store)
    run = find_run(reader, run_id)
    if rollout is not None:
        _show_rollout(reader, run, rollout, step, full=full, as_json=as_json)
    elif step is not None:
        _show_step(reader, run, step, full=full, as_json=as_json)
    else:
        _show_run(reader, run, last=last, full=full, as_json=as_json)
    reading.report(reader)
    return 0


def find_run(reader: StoreReader, wanted: str) -> RunRecord:
    """Return the run with an id, as it is, as it is printed, or by its first characters.

    Raises:
        CliError: there is none, or there are several.
    """
    known = load_runs(reader)
    exact = [run for run in known if wanted and wanted in (run.run_id, one_line(run.run_id))]
    begun = [
        run
        for run in known
        if wanted and (run.run_id.startswith(wanted) or one_line(run.run_id).startswith(wanted))
    ]
    for matching in (exact, begun):
        if len(matching) == 1:
            return matching[0]
        if matching:
            several = ", ".join(one_line(run.run_id, _NAME) for run in matching[:_NAMED])
            raise CliError(f"several runs begin with {one_line(wanted, _NAME)}: {several}", code=1)
    reading.report(reader)
    raise CliError(
        f"there is no training run {one_line(wanted, _NAME)} in the store; `otel-llm show --runs` lists them",
        code=1,
    )


# --- a run ----------------------------------------------------------------------------------------
def _show_run(reader: StoreReader, run: RunRecord, *, last: int | None, full: bool, as_json: bool) -> None:
    steps = load_steps(reader, run.run_id)
    by_step, trouble = _figures(reader, run, steps)
    if as_json:
        _write(training_documents.run(run, steps, by_step, trouble.problems))
        return
    output = Output()
    style = Style(width=output.width, now_ns=time.time_ns(), full=full)
    shown = steps if full and last is None else steps[-(last or STEPS) :]
    output.write_all(run_lines(RunPage(run, steps, shown, by_step, trouble.problems), style))
    output.flush()
    _advise(run, shown)


def _figures(
    reader: StoreReader, run: RunRecord, steps: list[StepRecord]
) -> tuple[dict[tuple[int, int | None], StepFigures], Trouble]:
    """Return what the rollouts of each step come to, and what went wrong; rollouts are read one by one."""
    trouble = Trouble()
    trouble.look_at_run(run)
    trouble.look_at_steps(steps)
    linked = Consumption(steps)
    told = bool(linked.consumers)
    if told:
        linked.resolve_groups(each_rollout(reader, run.run_id) if linked.has_stand_ins else ())
    figures: dict[tuple[int, int | None], StepFigures] = {}
    for one in each_rollout(reader, run.run_id):
        trouble.look_at_rollout(one, unconsumed=told and not linked.numbers_of(one))
        figures.setdefault((one.attempt, one.step), StepFigures()).add(one)
    for (_, step), found in figures.items():
        if n := found.without_spread:
            trouble.note("no spread", "group", step, None, n)
    return figures, trouble


# --- a step ---------------------------------------------------------------------------------------
def _show_step(reader: StoreReader, run: RunRecord, number: int, *, full: bool, as_json: bool) -> None:
    steps = load_steps(reader, run.run_id, step=number)
    if not steps:
        has = "it has none" if run.last_step is None else f"its last one is {run.last_step}"
        raise CliError(f"the run has no step {number}; {has}", code=1)
    since = min(step.start_ns for step in steps)
    rollouts = list(each_rollout(reader, run.run_id, step=number, since_ns=since))
    consumption = Consumption(steps)
    consumption.resolve_groups(rollouts)
    if as_json:
        _write(training_documents.step(run, steps, rollouts, consumption))
        return
    output = Output()
    style = Style(width=output.width, now_ns=time.time_ns(), full=full)
    for index, step in enumerate(steps):
        if index:
            output.write("")
        mine = [one for one in rollouts if one.attempt == step.attempt]
        output.write_all(step_lines(run, step, mine, consumption, style))
    output.flush()


# --- a rollout ------------------------------------------------------------------------------------
def _show_rollout(
    reader: StoreReader, run: RunRecord, wanted: str, step: int | None, *, full: bool, as_json: bool
) -> None:
    found = _find_rollout(reader, run, wanted, step)
    pages = [_page(reader, run, one) for one in found]
    if as_json:
        _write(training_documents.rollouts(run, pages))
        return
    output = Output()
    style = Style(width=output.width, now_ns=time.time_ns(), full=full)
    for index, page in enumerate(pages):
        if index:
            output.write("")
        output.write_all(rollout_lines(page, style))
    output.flush()


def _find_rollout(reader: StoreReader, run: RunRecord, wanted: str, step: int | None) -> list[RolloutRecord]:
    ids = {sc.RUN_ID: run.run_id} if step is None else {sc.RUN_ID: run.run_id, sc.TRAIN_STEP: str(step)}
    given = wanted.strip()
    found = [
        one
        for one in each_rollout(reader, run.run_id, step=step)
        if given in (one.sample_id, one.span.span_id, one_line(one.sample_id))
    ]
    if not found:
        where = f"step {step} of the run" if sc.TRAIN_STEP in ids else "the run"
        raise CliError(
            f"{where} has no rollout {one_line(wanted, _NAME)}; "
            f"`otel-llm show --run {shlex.quote(one_line(run.run_id))} --step N` lists those of a step",
            code=1,
        )
    return sorted(found, key=lambda one: (one.attempt, one.start_ns))


def _page(reader: StoreReader, run: RunRecord, one: RolloutRecord) -> RolloutPage:
    """Put together what is known of a rollout: its neighbours, what is below it, and who learned from it."""
    from otel_llm.analysis.training.trajectories import below, conversation_of

    spans = below(reader.trace(one.span.trace_id), one.span.span_id)
    beside = (
        [other for other in each_rollout(reader, run.run_id, step=one.step) if other.attempt == one.attempt]
        if one.step is not None
        else [one]
    )
    # A later step may have learned from it, too: all of them are asked.
    consumption = Consumption(load_steps(reader, run.run_id))
    consumption.resolve_groups(beside)
    surprise = next(
        (value for other, value in zip(beside, surprises_of(beside), strict=True) if other.span == one.span),
        None,
    )
    group = next((g for g in groups_of(beside) if any(other.span == one.span for other in g.members)), None)
    said = conversation_of(one, spans)
    others_told = not said and any(
        other.input_messages or other.output_messages for other in each_rollout(reader, run.run_id)
    )
    return RolloutPage(run, one, group, surprise, said, others_told, spans, consumption.of(one))


def _advise(run: RunRecord, shown: list[StepRecord]) -> None:
    """Say, where somebody is watching, how to go on."""
    output = Output(sys.stderr)
    if not output.is_terminal or not shown:
        return
    name = shlex.quote(one_line(run.run_id))
    said = [
        f"otel-llm show --run {name} --step {shown[-1].number} shows the last step",
        f"otel-llm report --run {name} a page with all of it",
    ]
    output.write("", *(Line.of(line, "quiet") for line in said))


def _write(document: dict[str, Any]) -> None:
    sys.stdout.write(documents.dumps(document, indent=2) + "\n")
