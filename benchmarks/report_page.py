"""How long a report takes: `python -m benchmarks.report_page [--interactions 10000] [--rounds 5]`.

One game of so many interactions, with prompts of 5 kB in words with Zipf's frequencies, so that they compress as prose
does. Written: from opening the store to the file in its place. Opened: in a headless Chromium
(`OTEL_LLM_TEST_CHROMIUM`), from the navigation to the mark that the page sets when what is in sight is painted and it
answers; in a new page each time, and once more with the text search, the slowest thing the page does.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from otel_llm.report import write_report
from otel_llm.store import StoreReader
from tests.report.chromium import Browser
from tests.report.games import Game, write

_rnd = random.Random(1)
_WORDS = ["".join(_rnd.choice("aeioubcdfghlmnprst") for _ in range(_rnd.randint(2, 9))) for _ in range(3000)]
_POOL = _rnd.choices(_WORDS, [1 / (i + 1) for i in range(3000)], k=400_000)
_SEARCH = """(async () => {
    const box = document.querySelector('input[type=search]'), said = document.querySelector('output');
    const began = performance.now();
    box.value = 'no such text at all';
    box.dispatchEvent(new Event('input'));
    while (!/^0 of/.test(said.textContent) || said.textContent.includes('searching'))
        await new Promise((done) => setTimeout(done, 5));
    return performance.now() - began;
})()"""
_ZOOM = """(() => {
    const chart = echarts.getInstanceByDom(document.querySelector('#timeline .chart')), began = performance.now();
    for (let i = 0; i < 10; i++) {
        chart.dispatchAction({ type: 'dataZoom', start: i, end: 90 - i });
        chart.getZr().flush();
    }
    return (performance.now() - began) / 10;
})()"""


class _Prose(Game):
    def _past(self, power: str) -> str:  # noqa: ARG002
        at = self.dice.randrange(len(_POOL) - self.words)
        return " ".join(_POOL[at : at + self.words])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--interactions", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    binary = os.environ.get("OTEL_LLM_TEST_CHROMIUM")
    if not binary:
        sys.exit("OTEL_LLM_TEST_CHROMIUM names no browser; tests/components/chromium.sh finds one")
    with tempfile.TemporaryDirectory() as scratch:
        store, page = Path(scratch) / "store", Path(scratch) / "report.html"
        game = _Prose(rounds=4, words=900).play(options.interactions)
        write(store, game.spans)
        del game
        writing = []
        for _ in range(options.rounds):
            began = time.perf_counter()
            made = write_report(StoreReader(store), page)
            writing.append(time.perf_counter() - began)
        opening, zoom, search = [], 0.0, 0.0
        with Browser(binary) as browser:
            for _ in range(options.rounds):
                shown = browser.open(page)
                opening.append(float(shown.wait("document.documentElement.dataset.interactive")) / 1000)
                zoom, search = shown.evaluate(_ZOOM), shown.evaluate(_SEARCH)
                shown.close()
            print(
                f"{made.interactions} interactions, {made.calls} calls, {made.nbytes / 1e6:.1f} MB; {browser.version}"
            )
    print(f"written in {median(writing):.2f} s ({min(writing):.2f} to {max(writing):.2f})")
    print(f"opened in {median(opening):.2f} s ({min(opening):.2f} to {max(opening):.2f})")
    print(f"zoomed in {zoom:.0f} ms, searched all text in {search:.0f} ms")


if __name__ == "__main__":
    main()
