"""Recorded HTTP traffic with LLM providers: an iterator over interactions, and a table of what is seen in it.

The recordings lie outside of the project (`OTEL_LLM_CASSETTES`, else `../shared/cassettes` beside the checkout); they
come from the test suites of opentelemetry-python-genai, opentelemetry-python-contrib and agentops.

    python -m tests.http.cassettes        prints the table
"""

from __future__ import annotations

import base64
import gzip
import os
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Interaction:
    """One recorded exchange.

    Attributes:
        file: the cassette, relative to the root.
        number: which interaction of the cassette, from 0.
        method: the HTTP method.
        url: the whole URL.
        request_headers: names in lower case.
        request_body: as it was sent; None where there was none.
        status: the HTTP status.
        response_headers: names in lower case.
        raw: the response's body as it came, compressed if it was.
    """

    file: str
    number: int
    method: str
    url: str
    request_headers: Mapping[str, str]
    request_body: bytes | None
    status: int
    response_headers: Mapping[str, str]
    raw: bytes

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @cached_property
    def body(self) -> bytes:
        """The response's body, uncompressed."""
        encoding = self.response_headers.get("content-encoding", "").strip().lower()
        try:
            return _decoded(self.raw, encoding)
        except (OSError, ValueError, zlib.error):
            return self.raw  # recorded as it was after decoding, with the header left as it was

    def __str__(self) -> str:
        return f"{self.file}#{self.number} {self.method} {self.host}{self.path}"


def root() -> Path:
    """Return the folder of recordings, which may not exist."""
    told = os.environ.get("OTEL_LLM_CASSETTES")
    return Path(told) if told else Path(__file__).resolve().parents[3] / "shared" / "cassettes"


def interactions(folder: Path | None = None) -> Iterator[Interaction]:
    """Yield every interaction of every cassette, in a fixed order."""
    folder = folder or root()
    for path in sorted([*folder.rglob("*.yaml"), *folder.rglob("*.json")]):
        with path.open("rb") as file:
            cassette = yaml.load(file, _LOADER)  # JSON is YAML
        if not isinstance(cassette, dict):
            continue
        for number, entry in enumerate(cassette.get("interactions", ())):
            yield _interaction(str(path.relative_to(folder)), number, entry)


def _interaction(file: str, number: int, entry: dict[str, Any]) -> Interaction:
    request, response = entry["request"], entry["response"]
    status = response["status"]
    return Interaction(
        file=file,
        number=number,
        method=request["method"],
        url=request["uri"],
        request_headers=_headers(request.get("headers")),
        request_body=_bytes(request.get("body")),
        status=status["code"] if isinstance(status, dict) else status,
        response_headers=_headers(response.get("headers")),
        raw=_bytes(response.get("body")) or b"",
    )


def _bytes(body: Any) -> bytes | None:
    if isinstance(body, dict):
        if "base64_string" in body:
            return base64.b64decode(body["base64_string"])
        body = body.get("string")
    if isinstance(body, str):
        return body.encode()
    return body


def _headers(headers: Any) -> dict[str, str]:
    out = {}
    for name, value in (headers or {}).items():
        out[name.lower()] = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return out


def _decoded(data: bytes, encoding: str) -> bytes:
    match encoding:
        case "gzip":
            return gzip.decompress(data)
        case "deflate":
            return zlib.decompress(data)
        case "br":
            import brotli

            return brotli.decompress(data)
        case "zstd":
            import zstandard

            return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return data


def main() -> None:
    """Print, as Markdown, how many calls were seen per provider and endpoint, and why others were not."""
    from tests.http import cassette_readings as readings

    rows: Counter[tuple[str, str, str]] = Counter()
    found: Counter[tuple[str, str, str]] = Counter()
    notes: dict[tuple[str, str, str], str] = {}
    for interaction in interactions():
        key = (interaction.host, interaction.method, readings.shape(interaction.path))
        rows[key] += 1
        call = readings.seen(interaction)
        expected = readings.read(interaction)
        if call is not None:
            found[key] += 1
            if expected is None:
                notes[key] = "SEEN, BUT NO CALL"
            elif (missed := readings.differences(expected, call)) != []:
                notes[key] = f"DIFFERS in {', '.join(missed)}"
        elif expected is not None:
            notes[key] = "MISSED"
        else:
            notes[key] = readings.why_not(interaction)
    print("| host | endpoint | interactions | calls | note |\n|---|---|---:|---:|---|")
    for key in sorted(rows):
        host, method, path = key
        print(f"| {host} | `{method} {path}` | {rows[key]} | {found[key]} | {notes.get(key, '')} |")
    print(f"| **all** | | {rows.total()} | {found.total()} | |")


if __name__ == "__main__":
    main()
