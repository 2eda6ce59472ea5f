"""`SummaryWriter.add_scalar` and `add_scalars`, PyTorch's and tensorboardX's, taken up as series and metrics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath
from typing import Any, Final

from otel_llm.bridges._seams import Seam
from otel_llm.bridges._taking import looking
from otel_llm.numeric import as_number
from otel_llm.step_series import record, scalars_of, step_of

MODULES: Final = ("torch.utils.tensorboard.writer", "tensorboardX.writer")
_NAMED_BY: Final = 2
"""Components of a log directory that tell its writer apart: `run1/train`."""


class TensorBoardBridge(Seam):
    """Patches the writer's class of one module.

    Args:
        module: the module that defines `SummaryWriter`.
    """

    def __init__(self, module: str) -> None:
        super().__init__(module, "SummaryWriter", {"add_scalar": self._one, "add_scalars": self._several})

    def _one(self, original: Callable[..., Any]) -> Callable[..., Any]:
        return looking(original, _add_scalar, lambda: self._enabled)

    def _several(self, original: Callable[..., Any]) -> Callable[..., Any]:
        return looking(original, _add_scalars, lambda: self._enabled)


def _add_scalar(
    writer: Any,
    tag: Any = None,
    scalar_value: Any = None,
    global_step: Any = None,
    walltime: Any = None,
    *_: Any,
    **__: Any,
) -> None:
    _take(writer, scalars_of({tag: scalar_value}), global_step, walltime)


def _add_scalars(
    writer: Any,
    main_tag: Any = None,
    tag_scalar_dict: Any = None,
    global_step: Any = None,
    walltime: Any = None,
    *_: Any,
    **__: Any,
) -> None:
    _take(writer, scalars_of({main_tag: tag_scalar_dict}), global_step, walltime)


def _take(writer: Any, scalars: list[tuple[str, int | float]], global_step: Any, walltime: Any) -> None:
    if not scalars:
        return
    step = None if global_step is None else step_of(global_step)
    seconds = None if walltime is None else as_number(walltime)
    record(
        [(name, value, step) for name, value in scalars],
        source="tensorboard",
        run=_name(writer),
        at_ns=None if seconds is None else int(seconds * 1e9),
    )


def _name(writer: Any) -> str | None:
    """Return the name of a writer's directory: PyTorch calls it `log_dir`, tensorboardX `logdir`."""
    directory = getattr(writer, "log_dir", None) or getattr(writer, "logdir", None)
    if directory is None:
        return None
    return "/".join(PurePath(str(directory)).parts[-_NAMED_BY:])
