"""Games and training, to the end: `whole.py [shutdown|exit|flushes]`."""

from __future__ import annotations

import json
import os
import sys

from story import play, rollouts, train

import otel_llm
from otel_llm.loopback import LoopbackServer

how = sys.argv[1] if len(sys.argv) > 1 else "shutdown"
with LoopbackServer() as server:
    otel_llm.instrument(exporters=[] if os.environ.get("WITHOUT") else ["wandb"])
    play(1, url=server.url)
    if how == "flushes":
        otel_llm.force_flush()
    play(1, url=server.url, first=1)
    train(20)
    rollouts(3)
    if how != "exit":
        otel_llm.shutdown()
        print(json.dumps(otel_llm.status()["dropped"]))
