"""What can be set: argument of `configure` > `OTEL_LLM_VLLM_*` > default."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from otel_llm.settings import SettingsError

_STATS: Final = ("auto", "on", "off")


@dataclass(frozen=True, slots=True, kw_only=True)
class VLLMSettings:
    """Every setting of this package.

    Attributes:
        samples: spans of samples a call at most; the first ones get one, the figures of all are on the call. 0 for
            none. `OTEL_LLM_VLLM_SAMPLES`.
        stats: whether `LLM(...)` gets `disable_log_stats=False` where the program does not say. vLLM's offline
            engine measures no request by itself (the server and `AsyncLLM` do). `auto`: only where vLLM fails
            without, which is with `otlp_traces_endpoint`; `on`: always, so that samples have their times; `off`:
            never. `OTEL_LLM_VLLM_STATS`.
    """

    samples: int = 256
    stats: Literal["auto", "on", "off"] = "auto"

    @classmethod
    def resolve(
        cls, arguments: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
    ) -> VLLMSettings:
        """Merge arguments, environment and defaults.

        Args:
            arguments: explicit values by name.
            environ: the environment; default `os.environ`.

        Raises:
            SettingsError: a value is not accepted.
            TypeError: an argument has no such setting.
        """
        environ = os.environ if environ is None else environ
        given = dict(arguments or {})
        samples = given.pop("samples", environ.get("OTEL_LLM_VLLM_SAMPLES") or cls().samples)
        stats = given.pop("stats", environ.get("OTEL_LLM_VLLM_STATS") or cls().stats)
        if given:
            raise TypeError(f"otel_llm_vllm has no setting {', '.join(given)}; it has samples, stats")
        if isinstance(samples, bool) or not str(samples).strip().isdigit():
            raise SettingsError(f"samples is {samples!r}; it accepts a whole number, 0 or more")
        if str(stats).strip().lower() not in _STATS:
            raise SettingsError(f"stats is {stats!r}; it accepts {', '.join(_STATS)}")
        return cls(
            samples=int(str(samples)),
            stats=cast("Literal['auto', 'on', 'off']", str(stats).strip().lower()),
        )


current = VLLMSettings()
"""What holds in this process."""


def use(settings: VLLMSettings) -> None:
    """Let these settings hold from now on."""
    global current
    current = settings
