"""Instruments a Python process before its first import; `otel-llm run` puts this directory on PYTHONPATH.

Python imports `sitecustomize` before the program, in every process that inherits the variable, whichever
interpreter runs it. So this file is written for any Python 3, says nothing where otel_llm is not installed
(except for the very process that `otel-llm run` started), and leaves no trace on `sys.path`.
"""  # noqa: INP001 (a directory for PYTHONPATH, not a package)

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 (cheaper at every start than pathlib)


def _leave_path() -> None:
    """Take this directory off `sys.path`; it stays in PYTHONPATH, so subprocesses are instrumented as well."""
    sys.path[:] = [entry for entry in sys.path if entry != _HERE and os.path.abspath(entry or ".") != _HERE]  # noqa: PTH100


def _instrument() -> None:
    mine = os.environ.get("OTEL_LLM_RUN_PID") == str(os.getpid())
    if mine:
        del os.environ["OTEL_LLM_RUN_PID"]
    try:
        import otel_llm

        otel_llm.instrument()
    except Exception as error:
        if mine or not isinstance(error, ImportError):
            text = "otel_llm: {} is not instrumented: {}\n".format(sys.executable, error)  # noqa: UP032
            sys.stderr.write(text)


def _chain() -> None:
    """Run the `sitecustomize` that this one hides.

    Where there is none, the ImportError goes to Python, which takes it as it would without us: no such module.
    """
    sys.modules.pop("sitecustomize", None)
    import sitecustomize  # type: ignore[import-not-found] # noqa: F401


_leave_path()
_instrument()
_chain()
