"""What was said: messages in the conventions' JSON shape, and all other attributes, as lines for `--full`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from otel_llm import semconv as sc
from otel_llm.analysis.conversation import decoded, part_text, plain
from otel_llm.cli.lines import Line
from otel_llm.cli.text import fit, many_lines, one_line, wrap
from otel_llm.cli.text import width as cells

if TYPE_CHECKING:
    from otel_llm.store import StoredSpan

_CONTENT: Final = (sc.SYSTEM_INSTRUCTIONS, sc.TOOL_DEFINITIONS, sc.INPUT_MESSAGES, sc.OUTPUT_MESSAGES)
_ROLE_WIDTH: Final = 10
_SHOWN_ANYWAY: Final = frozenset(
    {
        *_CONTENT, sc.OPERATION_NAME, sc.REQUEST_MODEL, sc.USAGE_INPUT_TOKENS, sc.USAGE_OUTPUT_TOKENS,
        sc.USAGE_CACHE_READ, sc.USAGE_CACHE_WRITE, sc.V1_41[sc.USAGE_CACHE_WRITE], sc.USAGE_REASONING,
        sc.COST_TOTAL, sc.RESPONSE_FINISH_REASONS, sc.RESPONSE_TIME_TO_FIRST_CHUNK, sc.ERROR_TYPE,
        sc.ERROR_MESSAGE, sc.OUTPUT_TOOL_CALLS, sc.HTTP_RESEND_COUNT,
    }
)  # fmt: skip


def has_content(span: StoredSpan) -> bool:
    """Say whether any of what was said is kept on a span."""
    return any(key in span.attributes for key in _CONTENT)


def detail_lines(span: StoredSpan, width: int) -> list[Line]:
    """Return everything about a span that its row does not tell: content, then attributes and events."""
    lines: list[Line] = []
    for key in _CONTENT:
        if key in span.attributes:
            lines += _content_lines(key, span.attributes[key], width)
    lines += _pairs({k: v for k, v in span.attributes.items() if k not in _SHOWN_ANYWAY}, width)
    for event in span.events:
        lines.append(Line.of(fit(f"event {one_line(event.name)}", width), "warn"))
        lines += [Line.of(f"  {line.text}", "quiet") for line in _pairs(event.attributes, width - 2)]
    return lines


def _pairs(attributes: Mapping[str, Any], width: int) -> list[Line]:
    """Return attributes by key, as many on a line as fit, long ones wrapped."""
    lines: list[Line] = []
    for key, value in sorted(attributes.items()):
        pieces = wrap(f"{one_line(key)}={one_line(plain(value))}", width)
        if lines and len(pieces) == 1 and lines[-1].width + 2 + cells(pieces[0]) <= width:
            lines[-1].add("  ").add(pieces[0], "quiet")
        else:
            lines += [Line.of(piece, "quiet") for piece in pieces]
    return lines


def _content_lines(key: str, value: Any, width: int) -> Iterator[Line]:
    items = decoded(value)
    if items is None:  # cut off in the middle, or not ours
        yield from _said(key.rpartition(".")[2], str(value), width)
    elif key == sc.SYSTEM_INSTRUCTIONS:
        for part in items:
            yield from _said("system", part_text(part), width)
    elif key == sc.TOOL_DEFINITIONS:
        names = [str(tool.get("name", "?")) if isinstance(tool, Mapping) else str(tool) for tool in items]
        yield from _said("tools", ", ".join(names), width)
    else:
        for message in items:
            if not isinstance(message, Mapping):
                yield from _said("?", str(message), width)
                continue
            parts = message.get("parts")
            for part in parts if isinstance(parts, list) else []:
                yield from _said(str(message.get("role", "?")), part_text(part), width)


def _said(role: str, said: str, width: int) -> Iterator[Line]:
    margin = min(_ROLE_WIDTH + 1, width // 3)
    first = True
    for line in many_lines(said):
        for piece in wrap(line, width - margin):
            label = one_line(role, max(margin - 1, 1)) if first else ""
            first = False
            yield Line.of(label, "role").pad(margin).add(piece)
