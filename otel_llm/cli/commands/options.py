"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
