"""An online run while OpenTelemetry's headers hold a secret: `headers.py ours|theirs` (W&B by hand)."""

from __future__ import annotations

import os
import sys

if sys.argv[1] == "theirs":
    import wandb

    run = wandb.init(settings=wandb.Settings(console="off", finish_timeout=10))
    run.log({"a": 1})
    run.finish()
    wandb.teardown()
else:
    from story import play, train

    import otel_llm
    from otel_llm.loopback import LoopbackServer

    before = dict(os.environ)
    with LoopbackServer() as server:
        otel_llm.instrument(exporters=["wandb"])
        play(1, url=server.url)
        train(3)
        otel_llm.shutdown()
    changed = {k for k in {*before, *os.environ} if before.get(k) != os.environ.get(k)}
    assert not changed, changed
    import wandb

    wandb.teardown()
