"""Commands that make something else of what is in the store, `replay` and `report`; and `doctor`, which looks after it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from otel_llm.cli.commands.options import (
    Attribute,
    Errors,
    Game,
    Json,
    MinDuration,
    Model,
    Since,
    Store,
    TrainingRun,
)
from otel_llm.cli.errors import CliError, command


@command
def replay(
    run_or_dir: Annotated[
        Path | None,
        typer.Argument(metavar="RUN_OR_DIR", help="A store's directory, or one file in it.  [as --store]"),
    ] = None,
    to: Annotated[
        str, typer.Option("--to", metavar="SINK", help="Where to: otlp, csv, parquet, tensorboard …")
    ] = "otlp",
    endpoint: Annotated[
        str | None,
        typer.Option("--endpoint", metavar="URL", help="Instead of what OTEL_EXPORTER_OTLP_* say."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Where sinks of files write.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the run's processes have ended; not for otlp.")
    ] = False,
    tables: Annotated[
        Path | None,
        typer.Option(
            "--tables", metavar="FILE", help="Python that calls otel_llm.define_table; not for otlp."
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="What was delivered before, too.")] = False,
    model: Model = None,
    errors: Errors = False,
    min_duration: MinDuration = None,
    attribute: Attribute = None,
    since: Since = None,
    store: Store = None,
) -> int:
    """Send what is stored to a backend that does not have it yet. Running it again sends only what is left.

    For otlp, endpoint, protocol, headers, compression and timeout are OpenTelemetry's variables
    (OTEL_EXPORTER_OTLP_*). Other sinks get tables and curves, out of spans, metrics, series and logs.
    Exit code 1: something could not be sent.

    \b
    Examples:
      otel-llm replay --to otlp --endpoint http://localhost:4318
      otel-llm replay --since 2h --errors
      otel-llm replay --all .otel_llm
      otel-llm replay --to csv --output results
      otel-llm replay --to tensorboard --follow
    """  # noqa: D301 (\b keeps the lines as they are)
    from otel_llm.cli.filters import Filters
    from otel_llm.cli.replay import replay as send

    filters = Filters.parse(
        time.time_ns(),
        model=model,
        errors=errors,
        min_duration=min_duration,
        attributes=attribute or (),
        since=since,
    )
    return send(
        run_or_dir or store,
        filters,
        to=to,
        endpoint=endpoint,
        everything=everything,
        follow=follow,
        output=output,
        tables=tables,
    )


@command
def report(
    game: Game = None,
    training_run: TrainingRun = None,
    since: Since = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="WHEN", help="Only what began before: an age, or a time.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Where to.  [otel-llm-report.html, or …-report-ID.html]"
        ),
    ] = None,
    no_content: Annotated[
        bool, typer.Option("--no-content", help="Leave out what was said, even where the store has it.")
    ] = False,
    store: Store = None,
) -> int:
    """Write a game, a training run, or all that happened in a time, as one HTML file for any browser.

    Timeline of phases and interactions, centres, who wrote to whom, times, tokens, cost, invalid orders,
    errors and repeated attempts, training progress, and every interaction with what was said in it. Where
    there is no game: calls by model and trace. Of a training run: reward and its components, KL, entropy,
    loss over steps, what the time of a step went into on each rank, its best, worst and most surprising
    rollouts, and which loss learned from them. Nothing is loaded from a network, and what models said
    cannot run in it.

    \b
    Examples:
      otel-llm report --game diplomacy-7
      otel-llm report --since 2h --output games.html
      otel-llm report --run sums-7 --output sums-7.html
      otel-llm report --since 2026-11-20 --until 2026-11-21 --no-content
    """  # noqa: D301 (\b keeps the lines as they are)
    if training_run is not None:
        clashing = [n for n, v in (("--game", game), ("--since", since), ("--until", until)) if v is not None]
        if clashing:
            raise CliError(f"--run does not go with {' or '.join(clashing)}")
        from otel_llm.cli.report import report_run

        return report_run(training_run, output=output, content=not no_content, store=store)
    from otel_llm.cli.report import report as write

    return write(game, since=since, until=until, output=output, content=not no_content, store=store)


@command
def doctor(json: Json = False, store: Store = None) -> int:
    """Say what is installed, patched, configured, reachable, stored and dropped. Exit code 1: a problem.

    \b
    Examples:
      otel-llm doctor
      OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 otel-llm doctor --json
    """  # noqa: D301 (\b keeps the lines as they are)
    from otel_llm.cli.doctor import doctor as examine

    return examine(store, as_json=json)
