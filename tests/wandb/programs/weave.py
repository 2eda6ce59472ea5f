"""A game, to Weave."""

from __future__ import annotations

from story import play

import otel_llm
from otel_llm.loopback import LoopbackServer

with LoopbackServer() as server:
    otel_llm.instrument(exporters=["weave"])
    play(1, url=server.url)
    otel_llm.shutdown()
