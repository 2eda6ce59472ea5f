"""The pictures of the report in the README: `python -m tests.report.screenshots`.

    python -m tests.report.screenshots [--store DIR] [--game ID] [--output docs/images]

Without a store it is a game that nobody played. Needs a Chromium: `OTEL_LLM_TEST_CHROMIUM`, else one on the PATH. With
Pillow installed the pictures have 256 colours, so that they may be sharper for their size.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import sys
import tempfile
from pathlib import Path

from otel_llm.analysis import OUTSIDE, load_games
from otel_llm.report import write_games
from otel_llm.store import StoreReader
from tests.report.chromium import Browser, Page
from tests.report.games import Game, write

MAX_BYTES = 300_000
WIDTH = 1280


def overview(page: Page) -> tuple[int, int, int, int]:
    """The head of the page, the timeline and the powers."""
    bottom = page.evaluate("document.querySelector('#powers').getBoundingClientRect().bottom + scrollY")
    return 0, 0, WIDTH, int(bottom) + 16


def conversation(page: Page) -> tuple[int, int, int, int]:
    """A negotiation in the list of interactions, with what was said."""
    page.evaluate(
        """(() => {
            const { items, types } = otelLlmReport.data, kind = types.indexOf('negotiation');
            const sent = [...Array(items.n).keys()].filter((i) => items.type[i] === kind && items.to[i] && items.to[i].length > 1);
            otelLlmReport.openItem(sent[Math.floor(sent.length / 2)] ?? Math.floor(items.n / 2));
        })()"""
    )
    page.wait("document.querySelector('.detail .facts') !== null")
    top, bottom = page.evaluate(
        "(() => { const b = document.querySelector('#interactions').getBoundingClientRect(); return [b.top + scrollY, b.bottom + scrollY]; })()"
    )
    return 0, int(top) - 16, WIDTH, int(bottom - top) + 32


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", type=Path, default=None)
    parser.add_argument("--game", default=None, help="its id; the latest game if it is not given")
    parser.add_argument("--output", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    binary = (
        os.environ.get("OTEL_LLM_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    )
    if not binary:
        sys.exit("there is no Chromium; tests/components/chromium.sh finds or installs one")
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        store = options.store
        if store is None:
            store = Path(scratch) / "store"
            write(store, Game(years=4).play().spans)
        games = [g for g in load_games(StoreReader(store), game_id=options.game) if g.game_id != OUTSIDE]
        if not games:
            sys.exit(f"there is no such game in {store}")
        report = Path(scratch) / "report.html"
        write_games([max(games, key=lambda game: game.last_ns)], report)
        with Browser(binary) as browser:
            for name, dark, area in (
                ("report-game", False, overview),
                ("report-conversation", True, conversation),
            ):
                path = options.output / f"{name}.png"
                print(path, take(browser, report, path, dark, area), "bytes")


def take(browser: Browser, report: Path, path: Path, dark: bool, area) -> int:
    """Take one picture, as sharp as it may be, and return its size in bytes."""
    for scale in (2.0, 1.5, 1.25, 1.0):
        page = browser.open(report, width=WIDTH, height=1000, dark=dark, scale=scale)
        page.wait("document.documentElement.dataset.interactive")
        page.evaluate("otelLlmReport.drawEverything()")
        picture = smaller(page.screenshot(clip=area(page)))
        page.close()
        if len(picture) <= MAX_BYTES:
            break
    return path.write_bytes(picture)


def smaller(png: bytes) -> bytes:
    """Reduce a picture to 256 colours, which is a third of its size; as it is where there is no Pillow."""
    try:
        from PIL import Image
    except ImportError:
        return png
    reduced = io.BytesIO()
    Image.open(io.BytesIO(png)).quantize(256, dither=Image.Dither.NONE).save(reduced, "png", optimize=True)
    return reduced.getvalue()


if __name__ == "__main__":
    main()
