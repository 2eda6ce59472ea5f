"""What can be set of Ray, by environment variables of the driver."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, cast

from otel_llm.settings import SettingsError

FLUSH_VARIABLE: Final = "OTEL_LLM_RAY_FLUSH"
TRACING_VARIABLE: Final = "OTEL_LLM_RAY_TRACING"

Flush = Literal["store", "all", "none"]
_FLUSH: Final = frozenset({"store", "all", "none"})


@dataclass(frozen=True, slots=True)
class RaySettings:
    """Settings of the Ray instrumentation.

    Attributes:
        flush: what is brought to safety before a remote call returns, since a worker may be killed right after it:
            `store` (default; some milliseconds a call; the exporters where there is no store), `all` (the exporters
            too, two seconds at most a call), `none`. `OTEL_LLM_RAY_FLUSH`.
        tracing: whether Ray's own tracing is turned on, which carries the context and makes two spans a call;
            default true. `OTEL_LLM_RAY_TRACING`.
    """

    flush: Flush = "store"
    tracing: bool = True

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> RaySettings:
        """Read the settings.

        Raises:
            SettingsError: a variable has a value that is not accepted.
        """
        environ = os.environ if environ is None else environ
        flush = environ.get(FLUSH_VARIABLE, "store").strip().lower() or "store"
        if flush not in _FLUSH:
            raise SettingsError(f"{FLUSH_VARIABLE} is {flush!r}; it accepts store, all or none")
        tracing = environ.get(TRACING_VARIABLE, "true").strip().lower()
        return cls(cast("Flush", flush), tracing not in {"", "0", "false", "off", "no", "none"})
