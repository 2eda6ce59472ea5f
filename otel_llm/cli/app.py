"""The command line: which commands there are, in the order in which `--help` lists them."""

from __future__ import annotations

from typing import Annotated

import typer

from otel_llm.cli.commands import passing_on, recording, showing
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


app.command()(recording.demo)
app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
    }
)(recording.run)
app.command()(showing.show)
app.command()(showing.tail)
app.command()(passing_on.doctor)
app.command()(passing_on.replay)
app.command()(passing_on.report)
app.command()(recording.receive)
