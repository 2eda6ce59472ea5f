"""What a user did wrong, said in one line and never as a traceback."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

import typer

P = ParamSpec("P")


class CliError(Exception):
    """The command cannot do what was asked; the text says why and what would work.

    Args:
        text: one line.
        code: the exit code; 2 for a wrong command line, 1 where something is missing or failed.
    """

    def __init__(self, text: str, code: int = 2) -> None:
        super().__init__(text)
        self.code = code


def command(function: Callable[P, int | None]) -> Callable[P, None]:
    """Make a function that returns an exit code a command of typer's, with errors in one line."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        from otel_llm.settings import SettingsError

        try:
            code = function(*args, **kwargs)
        except (CliError, SettingsError) as error:
            sys.stdout.flush()
            sys.stderr.write(f"otel-llm: {error}\n")
            raise typer.Exit(error.code if isinstance(error, CliError) else 2) from None
        if code:
            raise typer.Exit(code)

    return run
