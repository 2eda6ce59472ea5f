"""A program with a W&B run of its own: `joined.py implicit|explicit|late|finishing|separate`.

It logs `theirs` ten times, and says what it saw.
"""

from __future__ import annotations

import json
import os
import sys
import time

import wandb
from story import play, train

import otel_llm
from otel_llm.loopback import LoopbackServer

how = sys.argv[1]
seen: dict[str, object] = {}


def log(i: int) -> None:
    if how == "explicit":
        wandb.log({"theirs": i}, step=i)
    else:
        wandb.log({"theirs": i})


with LoopbackServer() as server:
    if how not in {"late", "separate"}:
        run = wandb.init(
            project="programs-own", settings=wandb.Settings(x_transaction_log_flush_interval=1.0)
        )
    otel_llm.instrument(exporters=["wandb"])
    hooks = sys.excepthook, sys.exit
    if how == "late":
        play(1, url=server.url)
        time.sleep(1.5)  # the sink waits
        run = wandb.init(project="programs-own")
    if how == "separate":
        play(1, url=server.url)
        otel_llm.force_flush()  # a run of the sink's own, since there is none
        seen["run while ours is written"] = wandb.run is None
        seen["hooks"] = (sys.excepthook, sys.exit) == hooks
        seen["WANDB_SERVICE"] = os.environ.get("WANDB_SERVICE")
        run = wandb.init(project="programs-own")
    for i in range(10):
        log(i)
        if i == 4:
            play(1, url=server.url, first=1)
            train(20)
            time.sleep(1.5)
        if i == 7 and how == "finishing":
            wandb.finish()
            break
    if how == "finishing":
        play(1, url=server.url, first=2)
        train(5, first=20)
    seen["id"] = run.id
    if how == "shutdown":
        otel_llm.shutdown()
        seen["still theirs"] = wandb.run is run
        wandb.log({"theirs": 10})
    print(json.dumps(seen))
