"""Games and training, then SIGKILL in the middle: `killed.py SECONDS_BEFORE`."""

from __future__ import annotations

import os
import signal
import sys
import time

from story import play, train

import otel_llm
from otel_llm.loopback import LoopbackServer

with LoopbackServer() as server:
    otel_llm.instrument(exporters=["wandb"])
    play(2, url=server.url)
    train(20)
    otel_llm.force_flush()
    play(2, url=server.url, first=2)
    train(20, first=20)
    time.sleep(float(sys.argv[1]))
    active = otel_llm.runtime.current()
    assert active is not None
    active.finisher.drain(5)
    active.store.flush(5)
    os.kill(os.getpid(), signal.SIGKILL)
