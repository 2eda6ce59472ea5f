"""`otel-llm run`: become an unedited program, with every Python process of it instrumented.

Nothing is emulated. The environment is set, and this process is replaced (`exec`) by the very command that
would run without us, so arguments, `__main__`, `sys.path[0]`, standard streams, signals, tracebacks and exit
codes are Python's own. Standard library only, for the sake of start-up.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

BOOTSTRAP: Final = Path(__file__).with_name("bootstrap")
RUN_PID: Final = "OTEL_LLM_RUN_PID"

_OPTIONS: Final = {
    "--content": "OTEL_LLM_CONTENT",
    "--store-content": "OTEL_LLM_STORE_CONTENT",
    "--exporter": "OTEL_LLM_EXPORTERS",
    "--store": "OTEL_LLM_STORE",
}
_PYTHON_SUFFIXES: Final = frozenset({".py", ".pyw", ".pyc", ".pyz", ".zip"})
_USAGE: Final = 2
_NOT_FOUND: Final = 127


class RunError(Exception):
    """The command line cannot be run; the text says why, `code` is the exit code."""

    def __init__(self, text: str, code: int = _USAGE) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run, and with which settings.

    Attributes:
        command: the program and its arguments; a first element `-m` asks for a module.
        settings: values of `--content` and so on, by the variable that carries them.
    """

    command: tuple[str, ...]
    settings: dict[str, str] = field(default_factory=dict)


def parse(arguments: Sequence[str]) -> Plan:
    """Split options of ours, which come first, from the program and its arguments.

    Raises:
        RunError: an option is unknown or lacks its value, or there is no program.
    """
    rest = list(arguments)
    settings: dict[str, str] = {}
    while rest and rest[0].startswith("-") and rest[0] != "-m":
        option = rest.pop(0)
        if option == "--":
            break
        option, equals, value = option.partition("=")
        if option not in _OPTIONS:
            known = ", ".join([*_OPTIONS, "-m"])
            raise RunError(
                f"there is no option {option}; there are {known}, and they come before the program"
            )
        if not equals:
            if not rest:
                raise RunError(f"option {option} needs a value")
            value = rest.pop(0)
        variable = _OPTIONS[option]
        if option == "--exporter" and variable in settings:
            value = f"{settings[variable]},{value}"
        settings[variable] = value
    if not rest or rest == ["-m"]:
        raise RunError(
            "what is to be run? For example: otel-llm run script.py, or otel-llm run -m package.module"
        )
    return Plan(tuple(rest), settings)


def environment(
    settings: Mapping[str, str], environ: Mapping[str, str], cwd: Path, pid: int
) -> dict[str, str]:
    """Return the environment in which Python processes instrument themselves.

    Args:
        settings: what the command line set; stands above `environ`.
        environ: the environment of this process.
        cwd: the working directory; a relative store is pinned to it, since subprocesses may change theirs.
        pid: the process whose failure to be instrumented is worth a message.
    """
    result = {**environ, **settings}
    others = [p for p in environ.get("PYTHONPATH", "").split(os.pathsep) if p and p != str(BOOTSTRAP)]
    result["PYTHONPATH"] = os.pathsep.join([str(BOOTSTRAP), *others])
    result[RUN_PID] = str(pid)
    from otel_llm.settings import Settings, SettingsError

    try:
        store = Settings.resolve({}, result).store
    except SettingsError as error:
        raise RunError(_in_terms_of_options(str(error), settings)) from None
    if store is not None:
        result["OTEL_LLM_STORE"] = str(cwd / store)
    return result


def _in_terms_of_options(text: str, settings: Iterable[str]) -> str:
    for option, variable in _OPTIONS.items():
        if variable in settings:
            text = text.replace(variable, option, 1)
    return text


def resolve(command: Sequence[str]) -> tuple[str, list[str]]:
    """Return the file to execute and its arguments: this Python where the command is a script or a module.

    Raises:
        RunError: there is no such file or command.
    """
    first = command[0]
    python = sys.executable, [sys.executable, *command]
    if first == "-m":
        return python
    path = Path(first)
    if path.suffix in _PYTHON_SUFFIXES or (path / "__main__.py").is_file():
        return python  # where a script does not exist, Python itself says so
    if path.is_file():
        return (first, list(command)) if os.access(path, os.X_OK) else python
    found = shutil.which(first)
    if found is None:
        raise RunError(f"there is no file and no command {first!r}", _NOT_FOUND)
    return found, list(command)


def run(arguments: Sequence[str]) -> int:
    """Become the program; returns only where that fails (and on Windows, with the program's exit code)."""
    try:
        plan = parse(arguments)
        file, command = resolve(plan.command)
        environ = environment(plan.settings, os.environ, Path.cwd(), os.getpid())
    except RunError as error:
        sys.stderr.write(f"otel-llm run: {error}\n")
        return error.code
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "nt":  # exec there returns to the shell before the program is done
        import subprocess

        return subprocess.call([file, *command[1:]], env=environ)  # noqa: S603 (running it is what was asked for)
    # Python ignores these, and what is ignored stays so across exec: the program must not notice.
    for name in ("SIGPIPE", "SIGXFSZ"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        os.execve(file, command, environ)  # noqa: S606
    except OSError as error:
        sys.stderr.write(f"otel-llm run: {plan.command[0]}: {error.strerror}\n")
        return 126
