"""Commands that show what is in the store: `show`, `tail`."""

from __future__ import annotations

import time
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
