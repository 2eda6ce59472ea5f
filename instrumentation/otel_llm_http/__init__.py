"""LLM calls at the HTTP layer: one patch per HTTP client, one dialect per provider protocol.

Every Python LLM SDK ends in `send` of httpx or httpx2, a few in aiohttp or requests. Patching those sees every
SDK, every hand-written call and every retry alike, and no release of an SDK can break it.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any, Final

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from otel_llm_http.clients import CLIENTS, Patches

_OWN_TRACING: Final = {"ANTHROPIC_OPEN_TELEMETRY": "false"}
"""SDKs that trace themselves, by the variable that switches it off. Their one span a call hides attempts, retries
and cost, and would stand for the call instead of ours; so it is off unless the program has set the variable."""


class HTTPInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Registers post-import hooks for the HTTP clients; never raises and imports none of them.

    The hooks do nothing until `otel_llm.instrument()` has run, which is what `opentelemetry-instrument` and
    `otel-llm run` do too.
    """

    _patches = Patches()
    _switched_off: tuple[str, ...] = ()

    def instrumentation_dependencies(self) -> Collection[str]:
        """Nothing has to be installed: a client that is never imported is never patched."""
        return ()

    def _instrument(self, **_: Any) -> None:
        for module, patch in CLIENTS:
            self._patches.when_imported(module, patch)
        self._switched_off = tuple(name for name in _OWN_TRACING if name not in os.environ)
        for name in self._switched_off:
            os.environ[name] = _OWN_TRACING[name]

    def _uninstrument(self, **_: Any) -> None:
        self._patches.remove()
        for name in self._switched_off:
            if os.environ.get(name) == _OWN_TRACING[name]:
                del os.environ[name]
        self._switched_off = ()

    def seams(self) -> dict[str, str]:
        """Return per client what became of its seam: `patched`, `not imported` or `failed: …`."""
        return self._patches.report()
