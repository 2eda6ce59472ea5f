"""Exceptions that a call into vLLM ends with, as classes of failure.

In process nothing is between the program and the engine, so an exception that nobody knows is no lost connection:
either the request was not good, or the engine failed.
"""

from __future__ import annotations

import re
from typing import Final

from otel_llm.errors import failure_of as general
from otel_llm.llm import CallError, ErrorType

_BY_NAME: Final[tuple[tuple[str, ErrorType], ...]] = (
    ("QueueOverflowError", "overloaded"),
    ("MaxQueuedTokensError", "overloaded"),
    ("VLLMServerError", "overloaded"),
    ("EngineDeadError", "overloaded"),
    ("EngineGenerateError", "overloaded"),
    ("OutOfMemoryError", "overloaded"),
    ("VLLMClientError", "invalid_request"),
    ("ValueError", "invalid_request"),
    ("TypeError", "invalid_request"),
    ("LookupError", "invalid_request"),
)
_TOO_LONG: Final = re.compile(
    r"(?:longer|greater) than the maximum (?:model|context) length|maximum context length|max_model_len"
    r"|prompt .{0,40}too long|context.{0,12}length",
    re.IGNORECASE | re.DOTALL,
)


def failure_of(exception: BaseException) -> CallError:
    """Return what a call failed of; not the exception itself, which would keep the program's frames alive."""
    error = general(exception)
    if error.type != "connection":
        return error
    error.type = _class_of(exception)
    if error.type == "invalid_request" and _TOO_LONG.search(error.message or ""):
        error.type = "context_length"
    return error


def _class_of(exception: BaseException) -> ErrorType:
    names = {base.__name__ for base in type(exception).__mro__}
    return next((error for name, error in _BY_NAME if name in names), "overloaded")
