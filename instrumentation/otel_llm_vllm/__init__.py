"""vLLM in this process: a span a call of `LLM.generate`, `LLM.chat` and `AsyncLLM.generate`, one a sample below it.

A sample's span has its tokens, how it finished, what vLLM measured (time to the first token, in the queue, in
prefill and decode), and the version of the weights that made it. vLLM's own spans of requests are in the same trace.

Calls over HTTP are seen where they are made (`otel_llm_http`). Only a process that asks for it has this package at
work: a server does when it is started as `otel-llm run vllm serve …`, and not otherwise.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from opentelemetry import trace as trace_api
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from otel_llm import drops
from otel_llm_vllm import semconv as vc
from otel_llm_vllm import settings
from otel_llm_vllm.settings import VLLMSettings

if TYPE_CHECKING:
    from otel_llm_vllm._seams import Seams

__all__ = ["VLLMInstrumentor", "VLLMSettings", "configure"]

_arguments: dict[str, Any] = {}


def configure(**arguments: Any) -> VLLMSettings:
    """Set what can be set (see `VLLMSettings`), before or after `otel_llm.instrument()`.

    Args:
        **arguments: settings by name; those that are left out keep their values.

    Raises:
        otel_llm.settings.SettingsError: a value is not accepted.
        TypeError: there is no such setting.
    """
    made = VLLMSettings.resolve({**_arguments, **arguments})
    _arguments.update(arguments)
    settings.use(made)
    return made


class VLLMInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Registers post-import hooks for vLLM; never raises and imports nothing of it."""

    _seams: Seams | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        """Nothing has to be installed: what is never imported is never patched."""
        return ()

    def _instrument(self, **_: Any) -> None:
        from otel_llm_vllm._seams import Seams
        from otel_llm_vllm.hooks import SEAMS

        configure()
        if self._seams is None:
            type(self)._seams = Seams(SEAMS)  # one a process: an import hook cannot be taken back
        _look_at_provider()
        assert self._seams is not None  # noqa: S101 (made above)
        self._seams.install()

    def _uninstrument(self, **_: Any) -> None:
        if self._seams is not None:
            self._seams.remove()

    def seams(self) -> dict[str, str]:
        """Return per member what became of it: `patched`, `not imported`, `not in this vLLM` or `failed: …`."""
        return {} if self._seams is None else self._seams.report()


def _look_at_provider() -> None:
    """Say so where vLLM's TracerProvider is the global one already: ids come from `random`, which vLLM seeds."""
    resource = getattr(trace_api.get_tracer_provider(), "resource", None)
    if resource is not None and vc.RESOURCE_MODULE in resource.attributes:
        drops.warn_once(
            "vllm:provider",
            "vLLM has set its own TracerProvider, whose span ids repeat from run to run: call "
            "otel_llm.instrument() before LLM(...)",
        )
