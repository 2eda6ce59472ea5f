"""Both pipelines at once, in one of four layouts: `python examples/wandb_layouts groups`; see README.md."""

import argparse
import os
import subprocess
import sys
import uuid
from pathlib import Path

LAYOUTS = ("pipelines", "job_types", "hierarchy", "groups")
PIPELINES = ("training", "inference")


def main() -> int:
    """Start a process a pipeline, and wait for both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("layout", choices=LAYOUTS)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--online", action="store_true", help="write to W&B; needs WANDB_API_KEY")
    parser.add_argument("--directory", type=Path, default=Path("wandb_layouts"), help="where offline runs go")
    asked = parser.parse_args()
    asked.directory.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "WANDB_MODE": "online" if asked.online else "offline",
        "WANDB_DIR": str(asked.directory.resolve()),
        # What both have in common: in the layout `groups` the group of their runs.
        "OTEL_LLM_WANDB_EXPERIMENT": f"experiment-{uuid.uuid4().hex[:8]}",
    }
    program = Path(__file__).with_name("pipeline.py").resolve()
    started = [
        subprocess.Popen(
            [sys.executable, str(program), asked.layout, name, str(asked.steps)],
            env=environment,
            cwd=asked.directory,
        )
        for name in PIPELINES
    ]
    codes = [process.wait() for process in started]
    print(f"{asked.layout}: the runs are in {asked.directory / 'wandb'}")
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
