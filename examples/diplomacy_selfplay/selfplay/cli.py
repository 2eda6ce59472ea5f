"""The command: options, telemetry, games, summary."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

import otel_llm
from selfplay import summary
from selfplay.clients import KINDS
from selfplay.faults import FAULTS
from selfplay.match import LOOPBACK_MODELS, Match, parse_models, play
from selfplay.progress import Bars
from selfplay.table import FIRST_YEAR, Outcome, Rules

_INTERRUPTED = 130
_KEYS = {"anthropic": "ANTHROPIC_API_KEY"}


def main(argv: Sequence[str] | None = None) -> int:
    """Play and say what came of it.

    Args:
        argv: default: the command line.

    Returns:
        0; 1 where a game broke off, 130 where somebody interrupted it.
    """
    options, match = _match(argv)
    console = Console(highlight=False)
    if match.base_url is None:
        console.print(
            "No --base_url: a server on loopback plays all seven powers. It reads the prompts and answers by rule; "
            "nothing leaves this machine, and costs are what the named models would have cost.",
            soft_wrap=True,
        )
    began = time.time_ns()
    # What the loopback server says is made up, so the store may keep all of it.
    content = options.content or ("full" if match.base_url is None else None)
    kept: dict[str, Any] = {} if content is None else {"store_content": content}
    handle = otel_llm.instrument(service_name="diplomacy-selfplay", **kept)
    try:
        with Bars(match.game_ids, match.rules.max_year) as bars:
            found = play(match, on_phase=bars.show)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted. What was played is in the store: otel-llm show --games\n")
        return _INTERRUPTED
    otel_llm.force_flush()
    summary.say((each for each in found if isinstance(each, Outcome)), _store(handle), began, console)
    broken = [each for each in found if isinstance(each, BaseException)]
    for error in broken:
        sys.stderr.write(f"a game broke off: {type(error).__name__}: {error}\n")
    return 1 if broken else 0


def _store(handle: otel_llm.Handle) -> Path | None:
    return handle.settings.store if handle.enabled else None


def _match(argv: Sequence[str] | None) -> tuple[argparse.Namespace, Match]:
    parser = _parser()
    options = parser.parse_args(argv)
    chosen = (
        frozenset(FAULTS) if options.faults == "all" else frozenset(filter(None, options.faults.split(",")))
    )
    if unknown := sorted(chosen - FAULTS.keys()):
        parser.error(f"--faults: no such fault: {', '.join(unknown)}; there are {', '.join(FAULTS)}")
    if chosen and options.base_url:
        parser.error("--faults are for the loopback server alone, not for --base_url")
    try:
        models = parse_models(options.models.split(","), {} if options.base_url else LOOPBACK_MODELS)
    except ValueError as error:
        parser.error(f"--models: {error}")
    name = options.game_id or f"selfplay-{time.strftime('%m%d-%H%M')}-{secrets.token_hex(2)}"
    return options, Match(
        game_ids=[name] if options.games == 1 else [f"{name}-{n}" for n in range(1, options.games + 1)],
        models=models,
        rules=Rules(options.max_year, options.num_negotiation_rounds, options.planning_phase),
        base_url=options.base_url,
        keys={kind: os.environ.get(_KEYS.get(kind, "OPENAI_API_KEY")) or "none" for kind in KINDS},
        seed=options.seed,
        faults=chosen,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python examples/diplomacy_selfplay",
        description="Language models play Diplomacy against each other.",
        epilog="Faults: " + "; ".join(f"{name}: {what}" for name, what in FAULTS.items()) + ".",
    )
    parser.add_argument("--max_year", type=_from(FIRST_YEAR), default=FIRST_YEAR + 3, help="last year (1904)")
    parser.add_argument("--num_negotiation_rounds", type=_from(0), default=1, help="in a movement phase (1)")
    parser.add_argument("--planning_phase", action="store_true", help="players plan before they negotiate")
    parser.add_argument(
        "--models",
        default="",
        help="MODEL for all, seven of them with commas, or POWER=MODEL; openai:, anthropic:, aiohttp: or requests: "
        "in front says by which client (openai)",
    )
    parser.add_argument(
        "--base_url",
        "--endpoint",
        metavar="URL",
        help="an OpenAI-compatible endpoint such as http://localhost:8000/v1; the key is read from OPENAI_API_KEY, "
        "for anthropic: models from ANTHROPIC_API_KEY. Default: a loopback server that plays by rule",
    )
    parser.add_argument("--games", type=_from(1), default=1, help="how many at once (1)")
    parser.add_argument("--game_id", help="what the game is called; several get numbers")
    parser.add_argument("--seed", type=int, default=0, help="other seeds play other games on loopback (0)")
    parser.add_argument(
        "--faults", default="", metavar="NAMES", help="what goes wrong on loopback: names, or all"
    )
    parser.add_argument(
        "--content",
        choices=("none", "length", "preview", "full"),
        help="what the store keeps of prompts and answers (full on loopback, else lengths)",
    )
    return parser


def _from(least: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{least} or more")
        return value

    return whole
