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
TrainingRun = Annotated[
    str | None,
    typer.Option("--run", metavar="ID", help="One training run, by its id or the beginning of it."),
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
            "--last",
            "-n",
            min=1,
            metavar="N",
            help="How many of the newest.  [5 traces, 12 steps, all games]",
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
    runs: Annotated[bool, typer.Option("--runs", help="A list of training runs instead.")] = False,
    training_run: TrainingRun = None,
    step: Annotated[
        int | None, typer.Option("--step", metavar="N", help="With --run: this step, rank by rank.")
    ] = None,
    rollout: Annotated[
        str | None,
        typer.Option("--rollout", metavar="ID", help="With --run: this rollout, by its sample id."),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Every span, its attributes, and what was said.")
    ] = False,
    json: Json = False,
    store: Store = None,
) -> int:
    """Show traces as trees: times, tokens, cost, tools, retries, errors. The newest comes last.

    A filter selects traces that have a matching span. Large traces are folded; --full unfolds them.
    --game shows a game at a glance: its phases, what they cost, what went wrong. --run does the same for
    a training run: its last steps with reward, KL, loss and what their time went into.

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
    {"schema": "otel_llm.runs/1", "runs": [...]} of --runs, "otel_llm.run/1" of --run (step_list,
    trouble), "otel_llm.step/1" with --step (attempts, each with ranks, groups, rollouts) and
    "otel_llm.rollout/1" with --rollout (attempts, each with conversation, consumers, spans) have the
    fields of otel_llm.analysis.training.

    \b
    Examples:
      otel-llm show
      otel-llm show --games
      otel-llm show --game diplomacy-7
      otel-llm show --game diplomacy-7 --phase S1901M --full
      otel-llm show --stats --since 2h
      otel-llm show --runs
      otel-llm show --run sums-7
      otel-llm show --run sums-7 --step 40
      otel-llm show --run sums-7 --rollout 40-1-3
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
    is_training = runs or training_run is not None
    if game is None and not games and not stats and not is_training:
        for name, is_given, whole in (
            ("--phase", phase is not None, "game: name it with --game ID"),
            ("--step", step is not None, "training run: name it with --run ID"),
            ("--rollout", rollout is not None, "training run: name it with --run ID"),
        ):
            if is_given:
                raise CliError(f"{name} is of a {whole}")
        return show_traces(trace_id, filters, last=last or DEFAULT_LAST, full=full, as_json=json, store=store)
    chosen = (
        "--run" if training_run is not None
        else "--runs" if runs
        else "--game" if game is not None
        else "--games" if games
        else "--stats"
    )  # fmt: skip
    clashing = [
        name
        for name, is_given in (
            ("a trace id", trace_id is not None),
            ("--runs", runs and training_run is not None),
            ("--game", game is not None and is_training),
            ("--phase", phase is not None and (game is None or stats or is_training)),
            ("--games", games and (game is not None or is_training)),
            ("--stats", stats and (games or is_training)),
            ("--step", step is not None and training_run is None),
            ("--rollout", rollout is not None and training_run is None),
            ("--last", last is not None and not games and not is_training),
            ("--since", since is not None and (game is not None or training_run is not None)),
            ("--model", model is not None),
            ("--errors", errors),
            ("--min-duration", min_duration is not None),
            ("--attribute", bool(attribute)),
        )
        if is_given
    ]
    if clashing:
        raise CliError(f"{chosen} does not go with {' or '.join(clashing)}")
    if is_training:
        from otel_llm.cli.training import show_run, show_runs

        if training_run is None:
            return show_runs(filters, last=last, as_json=json, store=store)
        return show_run(
            training_run, step=step, rollout=rollout, last=last, full=full, as_json=json, store=store
        )
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
    training_run: TrainingRun = None,
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


@app.command()
@command
def receive(
    host: Annotated[
        str,
        typer.Option("--host", metavar="ADDRESS", help="Where to listen; beyond this machine with a token."),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            "--port", min=0, max=65535, metavar="N", show_default=False, help="Of HTTP; 0: any.  [4318]"
        ),
    ] = 4318,
    grpc_port: Annotated[
        int,
        typer.Option(
            "--grpc-port", min=0, max=65535, metavar="N", show_default=False, help="Of gRPC; 0: any.  [4317]"
        ),
    ] = 4317,
    no_grpc: Annotated[bool, typer.Option("--no-grpc", help="HTTP alone.")] = False,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file", metavar="FILE", help="The token that senders must have.  [OTEL_LLM_RECEIVE_TOKEN]"
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="FILE", help="Certificate chain (PEM), for TLS.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", metavar="FILE", help="Its private key (PEM).")
    ] = None,
    max_body: Annotated[
        float,
        typer.Option(
            "--max-body",
            min=0.001,
            metavar="MB",
            show_default=False,
            help="Largest request, uncompressed.  [64]",
        ),
    ] = 64,
    max_queue: Annotated[
        float,
        typer.Option(
            "--max-queue",
            min=0.001,
            metavar="MB",
            help="All requests at a time; more are told to wait.  [128]",
        ),
    ] = 128,
    store: Store = None,
) -> int:
    """Receive OTLP from other processes and machines into the store, for show, tail, report and replay.

    HTTP (protobuf and JSON) and gRPC: spans, metrics, logs and the step series of training. A request is
    answered when what it brought is committed. Secrets are scrubbed; prompts are stored as they come.
    Ctrl-C or SIGTERM ends it, after the requests that have begun.

    \b
    Examples:
      otel-llm receive --store runs/grpo-7
      otel-llm receive --host 0.0.0.0 --token-file token --tls-cert cert.pem --tls-key key.pem
      otel-llm replay runs/grpo-7 --to wandb --follow
    On the senders:
      export OTEL_EXPORTER_OTLP_ENDPOINT=http://HOST:4318
      export OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20TOKEN"
    """  # noqa: D301 (\b keeps the lines as they are)
    from otel_llm.cli.receive import receive as run_receiver

    return run_receiver(
        host=host,
        port=port,
        grpc_port=None if no_grpc else grpc_port,
        token_file=token_file,
        tls_cert=tls_cert,
        tls_key=tls_key,
        max_body_mb=max_body,
        max_queue_mb=max_queue,
        store=store,
    )
