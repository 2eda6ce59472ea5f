"""Pictures of a training run's report: `python -m tests.report.training_screenshots --store DIR --run ID`.

    python -m tests.report.training_screenshots [--store DIR --run ID] [--step N] [--output docs/images]

Without a store it is a run that nobody trained. Needs a Chromium: `OTEL_LLM_TEST_CHROMIUM`, else one on the PATH. With
Pillow installed the pictures have 256 colours.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from otel_llm.report.training import write_run
from otel_llm.store import StoreReader
from tests.report.chromium import Browser, Page
from tests.report.screenshots import WIDTH, take
from tests.report.training import Run


def curves(page: Page) -> tuple[int, int, int, int]:
    """The head of the page, the reward and the trainer's curves."""
    bottom = page.evaluate("document.querySelector('#curves').getBoundingClientRect().bottom + scrollY")
    return 0, 0, WIDTH, int(bottom) + 16


def step(page: Page, number: int | None) -> tuple[int, int, int, int]:
    """A step, rank by rank, and its most surprising rollout with its way to the loss."""
    page.wait("document.documentElement.dataset.step")
    if number is not None:
        page.evaluate(f"otelLlmReport.pick(otelLlmReport.data.steps.number.lastIndexOf({number}))")
        page.wait(f"document.documentElement.dataset.step === '{number}'")
    page.evaluate("document.querySelectorAll('#step .picks')[2]?.querySelector('button').click()")
    page.wait("document.querySelector('.detail').dataset.item !== undefined")
    top, bottom = page.evaluate(
        "[document.querySelector('#step').getBoundingClientRect().top + scrollY, document.querySelector('#rollouts').getBoundingClientRect().bottom + scrollY]"
    )
    return 0, int(top) - 16, WIDTH, int(bottom - top) + 32


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", type=Path, default=None)
    parser.add_argument("--run", default=None)
    parser.add_argument("--step", type=int, default=None)
    parser.add_argument("--output", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    binary = (
        os.environ.get("OTEL_LLM_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    )
    if not binary:
        sys.exit("there is no Chromium; tests/components/chromium.sh finds or installs one")
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, Browser(binary) as browser:
        store, run_id = options.store, options.run
        if store is None:
            made = Run(steps=60, groups=4, size=8).train()
            store, run_id = made.write(Path(scratch) / "store"), made.id
        elif run_id is None:
            sys.exit("--run says which run of the store")
        report = write_run(StoreReader(store), run_id, Path(scratch) / "run.html").path
        for name, dark, area in (
            ("training-curves", False, curves),
            ("training-rollout", True, lambda page: step(page, options.step)),
        ):
            path = options.output / f"{name}.png"
            print(path, take(browser, report, path, dark, area), "bytes")


if __name__ == "__main__":
    main()
