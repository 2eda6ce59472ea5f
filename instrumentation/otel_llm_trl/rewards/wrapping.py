"""The wrapper of reward functions: same name, same arguments, same result, same exceptions."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from otel_llm import drops
from otel_llm.logging import log_reward
from otel_llm.logging._figures import numbers_of
from otel_llm.step_series import step_of
from otel_llm_trl.rewards.collecting import Collector, Output, collector

_SUFFIX: Final = re.compile(r"(_reward)?(_func(tion)?)?$")


def logged(
    function: Callable[..., Any],
    name: str | None = None,
    *,
    judges: bool | None = None,
    collected_by: Collector = collector,
) -> Callable[..., Any]:
    """Return a reward function that logs what it gives, each time it is called.

    What it is called with and returns, and what it raises, stays as it is; it keeps its name, so the trainer's own
    metrics do too. Coroutine functions stay coroutine functions. In an evaluation nothing is logged.

    Args:
        function: takes `prompts`, `completions` and columns of the dataset, as TRL calls it, and returns scores.
        name: what the reward is called; default: the function's name without `_reward_func`.
        judges: whether a score above 0 says that the answer is right; default: whether its name has `correct` in it.
        collected_by: what counts answers; default: the process's own.
    """
    called = name or reward_name(function)
    told = _Telling(called, "correct" in called if judges is None else judges, collected_by)
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):

        @functools.wraps(function)
        async def scored(*args: Any, **kwargs: Any) -> Any:
            rewards = await function(*args, **kwargs)
            told.tell(rewards, args, kwargs)
            return rewards

        return scored
    return _Logged(function, told)


def logged_all(functions: Iterable[Any], *, collected_by: Collector = collector) -> list[Any]:
    """Return reward functions wrapped, in their order; models and names of models stay as they are."""
    return [
        function
        if isinstance(function, str) or hasattr(function, "forward") or not callable(function)
        else logged(function, collected_by=collected_by)
        for function in functions
    ]


def reward_name(function: Any) -> str:
    """Return what a reward is called: `correctness` for `correctness_reward_func`."""
    full = getattr(function, "__name__", None) or type(function).__name__
    return _SUFFIX.sub("", full.removeprefix("wrapped_")) or full


class _Logged:
    """A wrapped function; an object, so that it can be pickled where the function can."""

    def __init__(self, function: Callable[..., Any], told: _Telling) -> None:
        self._function = function
        self._told = told
        functools.update_wrapper(self, function)
        if not hasattr(self, "__name__"):  # an object that can be called: TRL wants a name
            self.__name__ = type(function).__name__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        rewards = self._function(*args, **kwargs)
        self._told.tell(rewards, args, kwargs)
        return rewards

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self._function, self._told.name, self._told.judges)


def _again(function: Callable[..., Any], name: str, judges: bool) -> Callable[..., Any]:
    return logged(function, name, judges=judges)


class _Telling:
    """What is done with the scores of one function."""

    def __init__(self, name: str, judges: bool, collected_by: Collector) -> None:
        self.name = name
        self.judges = judges
        self._collector = collected_by

    def tell(self, rewards: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Log scores; never raises, and changes nothing."""
        try:
            found = self._collector
            if found.is_evaluating:
                return
            step = found.step if found.step is not None else _next_step(kwargs.get("trainer_state"))
            if found.is_due(self.name, step):
                values = list(rewards) if isinstance(rewards, Sequence) else rewards
                count = len(values) if isinstance(values, list) else 0
                log_reward(self.name, values, samples=[f"sample_{i}" for i in range(count)], step=step)
            if self.judges:
                self._judged(rewards, args, kwargs)
        except Exception:
            drops.internal_error("logging a reward")

    def _judged(self, rewards: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        prompts = _listed(kwargs.get("prompts", args[0] if len(args) > 1 else None))
        completions = _listed(
            kwargs.get("completions", args[1] if len(args) > 1 else args[0] if args else None)
        )
        answers = _listed(kwargs.get("answer", kwargs.get("answers")))
        outputs = [
            Output(_at(prompts, i), _at(answers, i), completion) for i, completion in enumerate(completions)
        ]
        self._collector.answered([value > 0 for value in numbers_of(rewards)], outputs)


def _listed(values: Any) -> Sequence[Any]:
    return values if isinstance(values, list | tuple) else ()


def _at(values: Sequence[Any], i: int) -> Any:
    return values[i] if i < len(values) else None


def _next_step(state: Any) -> int | None:
    done = step_of(getattr(state, "global_step", None))
    return None if done is None else done + 1
