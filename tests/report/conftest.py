"""Games in a store, reports of them, and a browser to open these in."""

import os

import pytest

from otel_llm.report import write_report
from otel_llm.store import StoreReader
from tests.cli.conftest import invoke, otel_llm  # noqa: F401 (the command line as users type it)
from tests.report.chromium import Browser
from tests.report.games import Game, write


@pytest.fixture(scope="session")
def game():
    """One game of two years, with content; nobody changes it."""
    return Game(years=2).play()


@pytest.fixture
def report(tmp_path):
    """Write spans to a store and a report of them; returns its path."""

    def make(spans, name="report.html", **options):
        store = tmp_path / f"{name}.store"
        write(store, spans)
        return write_report(StoreReader(store), tmp_path / name, **options).path

    return make


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium for all tests."""
    binary = os.environ.get("OTEL_LLM_TEST_CHROMIUM")
    if not binary:
        pytest.skip("OTEL_LLM_TEST_CHROMIUM names no browser; tests/components/chromium.sh finds one")
    with Browser(binary) as browser:
        yield browser


@pytest.fixture
def opened(browser, report):
    """Open a report of spans, wait until it can be used, and see at the end that nothing went wrong in it."""
    pages = []

    def make(spans, *, fragment="", options=None, **page):
        path = report(spans, f"report-{len(pages)}.html", **(options or {}))
        shown = browser.open(path, fragment, **page)
        pages.append((shown, path))
        shown.wait("document.documentElement.dataset.interactive")
        return shown

    yield make
    for page, path in pages:
        faults = page.errors, page.console, page.dialogs
        asked = [url.partition("#")[0] for url in page.requests]
        page.close()
        assert faults == ([], [], [])
        assert set(asked) == {path.as_uri()}
