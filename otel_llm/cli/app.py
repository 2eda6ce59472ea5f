"""The commands and their options; what they do is in a module each, imported when it is asked for."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from otel_llm.cli.errors import CliError, command
from otel_llm.version import VERSION

app = typer.Typer(
    name="otel-llm",
    help="See every LLM call: what was asked of which model, how long it took, tokens, cost, retries, errors.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

Store = Annotated[
    Path | None,
    typer.Option("--store", metavar="DIR", help="The store's directory.  [OTEL_LLM_STORE, else .otel_llm]"),
]
Model = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME", help="Only calls of this model; * and ? stand for others."),
]
Errors = Annotated[bool, typer.Option("--errors", help="Only what failed.")]
MinDuration = Annotated[
    str | None, typer.Option("--min-duration", metavar="TIME", help="Only what took at least 2, 200ms, 3s …")
]
Attribute = Annotated[
    list[str] | None,
    typer.Option(
        "--attribute", "-a", metavar="KEY=VALUE", help="Only spans with this attribute; repeatable."
    ),
]
Since = Annotated[
    str | None, typer.Option("--since", metavar="WHEN", help="Only what began since: 10m, 2h, 7d, or a time.")
]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]
Game = Annotated[
    str | None, typer.Option("--game", metavar="ID", help="One game, by its id or the beginning of it.")
]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"otel-llm {VERSION}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
@command
def demo(
    store: Store = None,
    content: Annotated[
        str, typer.Option("--content", metavar="POLICY", help="none, length, preview or full.")
    ] = "full",
) -> int:
    """Watch an agent call three models, with no key and no network.

    The real openai, anthropic and google SDKs call a server on loopback: answers, streams, tools, a rate
    limit with its retry, a failure, an embedding. Then the trace, as `otel-llm show` prints it.

    \b
    Examples:
      otel-llm demo
      otel-llm demo && otel-llm show --full
    """  # noqa: D301 (\b keeps the lines as they are)
    from otel_llm.cli.demo import demo as run_demo

    return run_demo(store, content)


@app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
    }
)
def run(
    context: typer.Context,
    content: Annotated[
        str | None,
        typer.Option(
            "--content", metavar="POLICY", help="What is kept of prompts: none, length, preview, full."
        ),
    ] = None,
    store_content: Annotated[
        str | None,
        typer.Option("--store-content", metavar="POLICY", help="The same for the local store alone."),
    ] = None,
    exporter: Annotated[
        list[str] | None,
        typer.Option("--exporter", metavar="NAME", help="An exporter, such as otlp or console; repeatable."),
    ] = None,
    store: Annotated[
        Path | None, typer.Option("--store", metavar="DIR", help="The store's directory, or off.")
    ] = None,
    module: Annotated[
        str | None, typer.Option("-m", metavar="MODULE", help="Run a module, as python -m does.")
    ] = None,
) -> None:
    """Run an unedited program and see its LLM calls, those of its subprocesses included.

    The program runs as it would under `python`: same arguments, streams, signals and exit code. Options
    come before it. Python processes that ignore PYTHONPATH (python -I, -E, -S) are not seen.

    \b
    Examples:
      otel-llm run script.py --its-own option
      otel-llm run --content full -m package.module
      otel-llm run --exporter otlp pytest tests
      otel-llm run torchrun --nproc-per-node 8 train.py
    """  # noqa: D301 (\b keeps the lines as they are)
    # Only `--help` and tests come here: `otel_llm.cli.main` takes `run` before typer is imported.
    from otel_llm.cli.run import run as run_program

    arguments: list[str] = []
    for option, value in (("--content", content), ("--store-content", store_content), ("--store", store)):
        if value is not None:
            arguments += [option, str(value)]
    for name in exporter or ():
        arguments += ["--exporter", name]
    arguments += ["-m", module] if module is not None else ["--"]
    raise typer.Exit(run_program([*arguments, *context.args]))


@app.command()
@command
def show(
    trace_id: Annotated[
        str | None,
        typer.Argument(metavar="TRACE_ID", help="One trace, by its id or the first digits of it."),
    ] = None,
    last: Annotated[
        int | None,
        typer.Option(
            "--last", "-n", min=1, metavar="N", help="How many of the newest.  [5 traces, all games]"
        ),
    ] = None,
    model: Model = None,
    errors: Errors = False,
    min_duration: MinDuration = None,
    attribute: Attribute = None,
    since: Since = None,
    games: Annotated[bool, typer.Option("--games", help="A list of games instead.")] = False,
    game: Game = None,
    phase: Annotated[
        str | None, typer.Option("--phase", metavar="NAME", help="With --game: this phase as a tree.")
    ] = None,
    stats: Annotated[
        bool, typer.Option("--stats", help="Figures of all games, or of one: latency, success, cost …")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Every span, its attributes, and what was said.")
    ] = False,
    json: Json = False,
    store: Store = None,
) -> int:
    """Show traces as trees: times, tokens, cost, tools, retries, errors. The newest comes last.

    A filter selects traces that have a matching span. Large traces are folded; --full unfolds them.
    --game shows a game at a glance: its phases, what they cost, what went wrong.

    \b
    With --json, one document: {"schema": "otel_llm.traces/1", "traces": [...]}. A trace has trace_id,
    name, start, duration_s, calls, errors, open, input_tokens, output_tokens, cost_usd and spans.
    A span has trace_id, span_id, parent_id, name, kind, open, start, start_ns, end_ns, duration_s,
    operation, model, time_to_first_chunk_s, input_tokens, output_tokens, cached_tokens,
    reasoning_tokens, cost_usd, finish_reasons, tool_calls, retry, retry_of, error, status,
    status_description, attributes, events, links, resource, scope. What is not known is null.

    \b
    {"schema": "otel_llm.game/1", ...} of --game has game_id, name, status, outcome, winners, players,
    models, start, start_ns, end_ns, last_ns, duration_s, episode, step, training, reward, totals, phases
    (each with totals and interactions), interactions and loose_calls outside of phases, messages,
    trouble, attributes; --full adds each interaction's calls, attributes, prompt and response.
    {"schema": "otel_llm.games/1", "games": [...]} of --games has the same without what happened.
    {"schema": "otel_llm.stats/1", ...} of --stats has games, interactions, calls, latency_of_calls,
    latency_of_interactions, success, cost (rows grouped `by`), patterns, correspondence, models,
    episodes, reward_correlations, slowest. The fields are those of otel_llm.analysis.

    \b
    Examples:
      otel-llm show
      otel-llm show --games
      otel-llm show --game diplomacy-7
      otel-llm show --game diplomacy-7 --phase S1901M --full
      otel-llm show --stats --since 2h
      otel-llm show 4bf92f35 --full
      otel-llm show --errors --since 10m
      otel-llm show --model gpt-5 --min-duration 3s --last 20
      otel-llm show -a game.id=7 --json | jq '.traces[].cost_usd'
    """  # noqa: D301 (\b keeps the lines as they are)
    from otel_llm.cli.filters import Filters
    from otel_llm.cli.show import DEFAULT_LAST
    from otel_llm.cli.show import show as show_traces

    filters = Filters.parse(
        time.time_ns(),
        model=model,
        errors=errors,
        min_duration=min_duration,
        attributes=attribute or (),
        since=since,
    )
    if game is None and not games and not stats:
        if phase is not None:
            raise CliError("--phase is of a game: name it with --game ID")
        return show_traces(trace_id, filters, last=last or DEFAULT_LAST, full=full, as_json=json, store=store)
    chosen = "--game" if game is not None else "--games" if games else "--stats"
    clashing = [
        name
        for name, is_given in (
            ("a trace id", trace_id is not None),
            ("--phase", phase is not None and (game is None or stats)),
            ("--games", games and game is not None),
            ("--stats", stats and games),
            ("--last", last is not None and not games),
            ("--since", since is not None and game is not None),
            ("--model", model is not None),
            ("--errors", errors),
            ("--min-duration", min_duration is not None),
            ("--attribute", bool(attribute)),
        )
        if is_given
    ]
    if clashing:
        raise CliError(f"{chosen} does not go with {' or '.join(clashing)}")
    from otel_llm.cli.games import show_game, show_games, show_stats

    if game is not None:
        return show_game(game, phase=phase, stats=stats, full=full, as_json=json, store=store)
    if games:
        return show_games(filters, last=last, as_json=json, store=store)
    return show_stats(filters, full=full, as_json=json, store=store)


@app.command()
@command
def tail(
    model: Model = None,
    errors: Errors = False,
    min_duration: MinDuration = None,
    attribute: Attribute = None,
    game: Annotated[
        str | None,
        typer.Option(
            "--game", metavar="ID", help="One game: its interactions, messages, orders, phases, calls."
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Spans that have nothing to do with models, too.")
    ] = False,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="What is in the store already, too.")
    ] = False,
    for_seconds: Annotated[
        float | None, typer.Option("--for", min=0, metavar="SECONDS", help="Stop after so long.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="A JSON document a line, as a span of `show --json`.")
    ] = False,
    store: Store = None,
) -> int:
    """Watch calls as they are committed to the store, from whatever process. Ctrl-C ends it.

    \b
    Examples:
      otel-llm tail
      otel-llm tail --errors --model gpt-5
      otel-llm tail --json --for 60 > calls.jsonl
      otel-llm tail --game diplomacy-7
    """  # noqa: D301 (\b keeps the lines as they are)
    from otel_llm.cli.filters import Filters
    from otel_llm.cli.tail import tail as follow

    filters = Filters.parse(
        time.time_ns(),
        model=model,
        errors=errors,
        min_duration=min_duration,
        attributes=attribute or (),
        game=game,
    )
    return follow(
        filters, as_json=json, everything=everything, from_start=from_start, for_s=for_seconds, store=store
    )


@app.command()
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


@app.command()
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


@app.command()
@command
def report(
    game: Game = None,
    since: Since = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="WHEN", help="Only what began before: an age, or a time.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where to.  [otel-llm-report.html]")
    ] = Path("otel-llm-report.html"),
    no_content: Annotated[
        bool, typer.Option("--no-content", help="Leave out what was said, even where the store has it.")
    ] = False,
    store: Store = None,
) -> int:
    """Write a game, or all that happened in a time, as one HTML file that opens without a network.

    Timeline of phases and interactions, centres, who wrote to whom, times, tokens, cost, invalid orders,
    errors and repeated attempts, training progress, and every interaction with what was said in it. Where
    there is no game: calls by model and trace. What models said cannot run in it.

    \b
    Examples:
      otel-llm report --game diplomacy-7
      otel-llm report --since 2h --output games.html
      otel-llm report --since 2026-11-20 --until 2026-11-21 --no-content
    """  # noqa: D301 (\b keeps the lines as they are)
    from otel_llm.cli.report import report as write

    return write(game, since=since, until=until, output=output, content=not no_content, store=store)
