"""The page around a document: one file, and nothing in it but what is ours runs.

What models said is data and stays data: it stands in `<script type="application/json">`, escaped so that it cannot
end that element, and the page's scripts make text of it and never markup. The Content-Security-Policy then says the
same to the browser: scripts and styles by their hashes, no network, no frames, no forms, no base; and Trusted Types
keep our own scripts, the charting library's included, from making markup of strings.
"""

from __future__ import annotations

import html
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Final

from otel_llm.report.details import Chunk
from otel_llm.report.strict_json import for_script
from otel_llm.version import VERSION

_ASSETS: Final = files("otel_llm.report") / "assets"

# The charting library is Apache ECharts (Apache-2.0), a foundation's project with releases every few months: it draws
# on canvas, so ten thousand bars stay quick to zoom, and its `custom` series make a timeline of lanes, which uPlot
# (50 kB) has not and which Plotly (4.7 MB) draws as SVG. The file is the unchanged release build, 1.1 MB or a third of
# that in the wheel, so that anybody can compare it with the published one; its licence lies beside it.
LIBRARY: Final = "echarts.min.js"


_SHARED_BEFORE: Final = "50"
"""Scripts whose names come before this one are shared by all pages."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of page.

    Attributes:
        folder: where its own scripts are, under `assets`; the shared ones come before them.
        list_id: id of the section that a keyboard may skip to.
        list_name: what that section lists.
    """

    folder: str
    list_id: str
    list_name: str


GAMES: Final = Kind("js", "interactions", "interactions")
TRAINING: Final = Kind("training", "rollouts", "rollouts")


class Assets:
    """The parts of the page that are the same in every report of a kind."""

    def __init__(self, kind: Kind = GAMES) -> None:
        self.template = _read("page.html")
        self.style = _read("page.css")
        self.library = _read(LIBRARY)
        shared = [path for path in _scripts("js") if path.name < _SHARED_BEFORE]
        scripts = shared + [path for path in _scripts(kind.folder) if path.name >= _SHARED_BEFORE]
        joined = "\n".join(path.read_text(encoding="utf-8") for path in scripts)
        self.script = f'"use strict";\n(() => {{\n{joined}}})();'
        for text in (self.library, self.script):
            # Either would end, or start, something in HTML however it is meant in JavaScript.
            if "</script" in text.lower() or "<!--" in text:
                raise ValueError("a script of the report cannot stand in a page")

    def policy(self) -> str:
        """Return the page's Content-Security-Policy."""
        scripts = " ".join(_hash(text) for text in (self.library, self.script))
        return "; ".join(
            (
                "default-src 'none'",
                f"script-src {scripts}",
                f"style-src {_hash(self.style)}",
                "img-src data:",
                "base-uri 'none'",
                "form-action 'none'",
                "require-trusted-types-for 'script'",
                "trusted-types default",
            )
        )


def _scripts(folder: str) -> list[Traversable]:
    found = [path for path in (_ASSETS / folder).iterdir() if path.name.endswith(".js")]
    return sorted(found, key=lambda path: path.name)


def page(title: str, data: dict[str, Any], chunks: Iterable[Chunk], kind: Kind = GAMES) -> Iterator[bytes]:
    """Iterate over the pieces of a page.

    Args:
        title: what it is called.
        data: the document.
        chunks: packed details of its items; they come last, so that the page works before they are read.
        kind: which scripts draw it.
    """
    assets = Assets(kind)
    values = {
        "policy": html.escape(assets.policy(), quote=True).encode(),
        "version": html.escape(VERSION).encode(),
        "list": kind.list_id.encode(),
        "lists": kind.list_name.encode(),
        "title": html.escape(title).encode("utf-8", "replace"),
        "style": assets.style.encode(),
        "data": for_script(data),
        "library": assets.library.encode(),
        "script": assets.script.encode(),
    }
    rest = assets.template
    while "{{" in rest:
        before, _, rest = rest.partition("{{")
        name, _, rest = rest.partition("}}")
        yield before.encode()
        if name == "chunks":
            for chunk in chunks:
                yield b'<script type="text/plain" class="chunk" data-first="%d">' % chunk.first
                yield chunk.data
                yield b"</script>\n"
        else:
            yield values[name]
    yield rest.encode()


def _read(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
