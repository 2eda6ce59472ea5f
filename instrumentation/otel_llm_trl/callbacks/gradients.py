"""Norms of gradients, each parameter's own: computed where the gradients are, read later on the worker."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import partial
from typing import Any, Final

from otel_llm import drops
from otel_llm.step_series import record
from otel_llm.training.deferred import Deferred, deferred
from otel_llm.training.figures.belonging import belonging

PREFIX: Final = "gradients/"
_SOURCE: Final = "logging"
_BYTES: Final = 160


def log_gradient_norms(model: Any, step: int) -> int:
    """Log the 2-norm of each parameter's gradient as `gradients/NAME`.

    Called between the backward pass and the optimiser's step, where Hugging Face's trainers have clipped them already.
    The device gets a few more kernels and is not waited for. Of parameters that are sharded over ranks (FSDP) each
    rank logs its own part; where a framework keeps gradients to itself (DeepSpeed) there are none.

    Args:
        model: a torch module.
        step: the training step.

    Returns:
        How many there were.
    """
    torch = sys.modules.get("torch")
    if torch is None or model is None:
        return 0
    names: dict[Any, list[str]] = {}
    gradients: dict[Any, list[Any]] = {}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            gradient = _own(parameter.grad)
            if gradient is not None and gradient.numel():
                names.setdefault(gradient.device, []).append(name)
                gradients.setdefault(gradient.device, []).append(gradient)
        norms = {device: deferred(torch.stack(_norms(torch, found))) for device, found in gradients.items()}
    count = sum(map(len, names.values()))
    if count:
        attributes, _ = belonging()
        told = [(found, norms[device]) for device, found in names.items()]
        record(partial(_rows, told, step), source=_SOURCE, attributes=attributes, nbytes=_BYTES * count)
    else:
        drops.warn_once(
            "gradients",
            "no parameter has a gradient that a callback can see; no norms of gradients are logged",
        )
    return count


def _own(gradient: Any) -> Any:
    """Return this rank's part of a gradient; a sharded one is not put together, since all ranks would have to."""
    if gradient is not None and hasattr(gradient, "to_local"):
        gradient = gradient.to_local()
    return gradient.coalesce().values() if gradient is not None and gradient.is_sparse else gradient


def _norms(torch: Any, gradients: list[Any]) -> list[Any]:
    try:
        norms = torch._foreach_norm(gradients)  # one kernel for all, as torch's own clipping uses it
    except Exception:
        norms = [torch.linalg.vector_norm(gradient) for gradient in gradients]
    return [norm.to(torch.float32) for norm in norms]


def _rows(told: list[tuple[list[str], Deferred]], step: int) -> Iterable[tuple[str, float, int]]:
    for names, norms in told:
        for name, norm in zip(names, norms.numbers(len(names)), strict=True):
            if norm is not None:
                yield f"{PREFIX}{name}", norm, step
