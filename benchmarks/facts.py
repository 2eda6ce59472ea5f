"""Which facts a contestant recorded, found by the sentinels in its spans.

A contestant that drops the usage of a stream is not cheaper; it does less.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from benchmarks.payloads import SENTINELS

CHECKED: Final = ("chat_small", "stream_200")
"""The workloads whose answers carry every sentinel."""
FACTS: Final = (*SENTINELS, "finish_reason", "ttft")
_FINISH: Final = re.compile(r"finish_?reasons?[^,]{0,30}tool_calls?")
_FIRST: Final = re.compile(r"first_?(token|chunk)|ttft|completion_start_time", re.IGNORECASE)


def recorded(captured: dict[str, Any]) -> set[str]:
    """The facts in what one call left behind: span attributes and events, else the contestant's own records."""
    spans = captured.get("spans", [])
    own = [[span.get("attributes", {}), span.get("events", [])] for span in spans]
    text = json.dumps(own or captured.get("records", []))
    found = set()
    for fact, sentinel in SENTINELS.items():
        # A number must stand alone: 571 is also in 15710.
        pattern = rf"(?<![\d.]){sentinel}(?!\d)" if sentinel.isdigit() else re.escape(sentinel)
        if re.search(pattern, text):
            found.add(fact)
    if _FINISH.search(text.replace("\\", "")):
        found.add("finish_reason")
    if _FIRST.search(text):
        found.add("ttft")
    return found


def missing(captured: dict[str, Any], workload: str) -> list[str]:
    """The facts that are not there and should be. Only a stream has a first chunk."""
    expected = [fact for fact in FACTS if fact != "ttft" or workload == "stream_200"]
    found = recorded(captured)
    return [fact for fact in expected if fact not in found]
