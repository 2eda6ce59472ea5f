"""Parts of a step that know more than their time: the loss, and generating in the process itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self

from otel_llm import semconv as sc
from otel_llm.scoping import Scope
from otel_llm.training.deferred import Deferred
from otel_llm.training.scopes import LossPart, PartScope

GENERATING: Final = frozenset({"generation", "sampling"})
"""Parts in which a model writes."""


class Generation(PartScope):
    """Generating in the process, where no model call below shows what was asked of which model.

    `set` takes `input_tokens` and `output_tokens`, one number or one a completion, which are summed, and
    `temperature`, `top_p`, `top_k`, `max_tokens`.
    """

    figure_keys: ClassVar[Mapping[str, str]] = {
        "input_tokens": sc.USAGE_INPUT_TOKENS,
        "output_tokens": sc.USAGE_OUTPUT_TOKENS,
        "temperature": sc.REQUEST_TEMPERATURE,
        "top_p": sc.REQUEST_TOP_P,
        "top_k": sc.REQUEST_TOP_K,
        "max_tokens": sc.REQUEST_MAX_TOKENS,
    }

    def set(self, attributes: Mapping[str, Any] | None = None, /, **more: Any) -> Self:
        """Tell something about it, as `TrainingScope.set`; tokens are summed."""
        for name in ("input_tokens", "output_tokens"):
            if more.get(name) is not None:
                more[name] = _Sum(more[name])
        return super().set(attributes, **more)


class _Sum(Deferred):
    """The sum of the numbers that were given."""

    __slots__ = ()

    def value(self) -> Any:
        found = super().value()
        items = found if isinstance(found, list) else [found]
        numbers = [item for item in items if isinstance(item, int | float)]
        return sum(numbers) if numbers else None


class Loss(LossPart):
    """The loss of one batch; what it learns from is known when it is made."""

    learns_from: tuple[Any, Any] = ((), None)

    def start(self, at_ns: int | None = None) -> Self:
        """Start it, as `Scope.start`, and link what it learns from."""
        is_first = not self.started
        super().start(at_ns)
        rollouts, indices = self.learns_from
        if is_first and not (isinstance(rollouts, tuple) and not rollouts):
            self.consumes(rollouts, indices)
        return self

    def fresh(self) -> Scope:
        """Return one like this that has not started."""
        made = super().fresh()
        made.learns_from = self.learns_from  # type: ignore[attr-defined]
        return made
