"""What can be set for TensorBoard: variables only, since sinks are made by name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorBoardSettings:
    """Settings of the TensorBoard sink.

    Attributes:
        directory: the log directory; made if it is not there. Default `otel_llm_tensorboard`.
            `OTEL_LLM_TENSORBOARD_DIR`.
        texts: of each table that has texts to show, the first so many rows are shown, and then one in a hundred;
            default 10. 0 shows none. `OTEL_LLM_TENSORBOARD_TEXTS`.
    """

    directory: Path = Path("otel_llm_tensorboard")
    texts: int = 10

    @classmethod
    def resolve(cls, environ: Mapping[str, str] | None = None) -> TensorBoardSettings:
        """Read the variables.

        Raises:
            ValueError: a value is not accepted; the text says which, and what is.
        """
        environ = os.environ if environ is None else environ
        default = cls()
        directory = environ.get("OTEL_LLM_TENSORBOARD_DIR", "").strip()
        texts = environ.get("OTEL_LLM_TENSORBOARD_TEXTS", "").strip()
        if texts and not texts.isdecimal():
            raise ValueError(f"OTEL_LLM_TENSORBOARD_TEXTS is {texts!r}; it accepts a whole number, 0 or more")
        return cls(
            directory=Path(directory) if directory else default.directory,
            texts=int(texts) if texts else default.texts,
        )
