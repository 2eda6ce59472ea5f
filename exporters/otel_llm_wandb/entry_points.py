"""What the entry point `otel_llm_sink` names, and what the program says about the run before it is there."""

from __future__ import annotations

from typing import Any

from otel_llm.views.model import Sink, SinkOptions
from otel_llm_wandb.settings import WandbSettings

_configured: dict[str, Any] = {}


def configure(**settings: Any) -> None:
    """Say how the W&B run is to be, before the first span ends; replaces what was said before.

    Args:
        **settings: fields of `WandbSettings`: `configure(project="rl", job_type="training", tags=["seed-42"])`.

    Raises:
        SettingsError: a setting has a value it does not accept.
        TypeError: there is no such setting.
    """
    WandbSettings.resolve(settings)
    _configured.clear()
    _configured.update(settings)


def make_sink(options: SinkOptions) -> Sink:
    """Return the sink; the entry point `otel_llm_sink`: `wandb`.

    Raises:
        ImportError: W&B is not installed: `pip install otel-llm[wandb]`.
        SettingsError: a setting has a value it does not accept.
        RuntimeError: another process writes the run, or it is not clear which run is meant.
    """
    from importlib.util import find_spec

    from otel_llm_wandb.sink import WandbSink

    if find_spec("wandb") is None:
        raise ImportError("W&B is not installed: pip install 'otel-llm[wandb]'")
    settings = WandbSettings.resolve(_configured)
    if options.output is not None:
        settings = settings.with_changes(dir=options.output)
    return WandbSink(settings, options)
