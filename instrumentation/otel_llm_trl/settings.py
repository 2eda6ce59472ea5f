"""What can be set of training with TRL: argument of a trainer > `configure` > environment > default.

What of prompts and completions is kept at all is the core's setting (`otel_llm.instrument(content=…)`); these say
how many rollouts have it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from otel_llm import drops
from otel_llm.settings import SettingsError

FULL_TRAJECTORIES: Final = "OTEL_LLM_TRL_FULL_TRAJECTORIES"
TRAJECTORY_SAMPLES: Final = "OTEL_LLM_TRL_TRAJECTORY_SAMPLES"
TOKEN_DETAILS: Final = "OTEL_LLM_TRL_TOKEN_DETAILS"  # noqa: S105

_ON: Final = frozenset({"true", "on", "1", "yes"})
_OFF: Final = frozenset({"false", "off", "0", "no", "none"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TRLSettings:
    """Settings of this plug-in.

    Attributes:
        log_full_trajectories: whether rollouts have their prompt and completion, as far as the content policy goes;
            default true. `OTEL_LLM_TRL_FULL_TRAJECTORIES`.
        log_trajectory_samples: how many rollouts of a step have them, on each rank; 0 for all of them. The best, the
            worst and the most surprising go first; every rollout has its span. Default 5.
            `OTEL_LLM_TRL_TRAJECTORY_SAMPLES`.
        log_token_details: whether these rollouts have their tokens: ids, log-probabilities, importance ratios; in the
            local store only. Default false. `OTEL_LLM_TRL_TOKEN_DETAILS`.
    """

    log_full_trajectories: bool = True
    log_trajectory_samples: int = 5
    log_token_details: bool = False

    def but(self, **given: Any) -> TRLSettings:
        """Return the same with some others.

        Args:
            **given: by field name; None for what stays.

        Raises:
            SettingsError: a value is not accepted.
            TypeError: there is no such setting.
        """
        known = {field.name for field in fields(self)}
        if unknown := sorted(given.keys() - known):
            raise TypeError(
                f"otel_llm_trl has no setting {', '.join(unknown)}; it has {', '.join(sorted(known))}"
            )
        return replace(
            self, **{k: _checked(f"argument {k}", k, v) for k, v in given.items() if v is not None}
        )


_VARIABLES: Final = {
    "log_full_trajectories": FULL_TRAJECTORIES,
    "log_trajectory_samples": TRAJECTORY_SAMPLES,
    "log_token_details": TOKEN_DETAILS,
}

_configured: dict[str, Any] = {}


def configure(**given: Any) -> TRLSettings:
    """Set something for all trainers of this process. See `TRLSettings`.

    Raises:
        SettingsError: a value is not accepted.
        TypeError: there is no such setting.
    """
    TRLSettings().but(**given)
    _configured.update({name: value for name, value in given.items() if value is not None})
    return current()


def current(environ: Mapping[str, str] | None = None) -> TRLSettings:
    """Return the settings in force; a variable with a value that is not accepted is said once and passed over."""
    environ = os.environ if environ is None else environ
    found: dict[str, Any] = {}
    for name, variable in _VARIABLES.items():
        text = environ.get(variable, "").strip()
        if not text:
            continue
        try:
            found[name] = _checked(variable, name, text)
        except SettingsError as error:
            drops.warn_once(f"trl:setting:{variable}", "%s", error)
    return TRLSettings(**{**found, **_configured})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give a program's command line `--log-full-trajectories`, `--log-trajectory-samples`, `--log-token-details`.

    The result of `parser.parse_args()` has them under the names of `TRLSettings`; None where they were not given.
    """
    boolean = argparse.BooleanOptionalAction
    parser.add_argument(
        "--log-full-trajectories", action=boolean, default=None, help="keep prompts and completions"
    )
    parser.add_argument(
        "--log-trajectory-samples", type=int, default=None, metavar="N", help="of so many rollouts a step (5)"
    )
    parser.add_argument("--log-token-details", action=boolean, default=None, help="keep their tokens as well")


def _checked(where: str, name: str, value: Any) -> Any:
    if name == "log_trajectory_samples":
        if isinstance(value, str) and value.isdigit():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise SettingsError(f"{where} is {value!r}; it accepts a whole number, 0 for all")
        return value
    if isinstance(value, str):
        lowered = value.strip().lower()
        value = True if lowered in _ON else False if lowered in _OFF else value
    if not isinstance(value, bool):
        raise SettingsError(f"{where} is {value!r}; it accepts true or false")
    return value
