"""The `otel-llm` command. Typer and rich are imported in this package and nowhere else.

`run` is taken before either is imported: it sets the environment and becomes the program, so a program that
is started through it pays for neither.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> int | None:
    """Run the command line; the console entry point."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["run"] and arguments[1:2] not in (["--help"], ["-h"], []):
        from otel_llm.cli.run import run

        return run(arguments[1:])
    from otel_llm.cli.app import app

    app(prog_name="otel-llm")
    return None
