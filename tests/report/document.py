"""A report's file as tests read it: without running it."""

import base64
import json
import zlib
from html.parser import HTMLParser


class Page(HTMLParser):
    """What a browser's parser finds in a report.

    Attributes:
        tags: all elements, in order: (name, attributes).
        scripts: (attributes, text) of the script elements.
        data: the document.
    """

    def __init__(self, path):
        super().__init__()
        self.tags, self.scripts, self._inside = [], [], None
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)
        self.close()
        self.data = json.loads(
            next(text for attributes, text in self.scripts if attributes.get("id") == "report-data"),
            parse_constant=_refuse,
        )

    @property
    def policy(self):
        return next(a["content"] for tag, a in self.tags if a.get("http-equiv") == "Content-Security-Policy")

    def details(self):
        """Return the details of all items, with their texts put in."""
        found = []
        for attributes, text in self.scripts:
            if attributes.get("class") == "chunk":
                assert int(attributes["data-first"]) == len(found)
                chunk = json.loads(zlib.decompress(base64.b64decode(text)), parse_constant=_refuse)
                found += [_resolved(detail, chunk["texts"]) for detail in chunk["items"]]
        return found

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] == "script" and self.cdata_elem == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = attributes, text + data


def _resolved(detail, texts):
    for letter in detail.get("letters", ()):
        if "text" in letter:
            letter["text"] = texts[letter["text"]]
    for call in detail.get("calls", ()):
        call["said"] = [(role, texts[number]) for role, number in call.get("said", ())]
    if "said" in detail:
        detail["said"] = [(role, texts[number]) for role, number in detail["said"]]
    if "own" in detail:
        detail["own"] = [(role, texts[number]) for role, number in detail["own"]]
    return detail


def _refuse(constant):
    raise AssertionError(f"{constant} is no JSON")
