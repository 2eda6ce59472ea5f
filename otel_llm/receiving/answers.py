"""How a request ends, for whichever protocol asks.

Sources: opentelemetry.io/docs/specs/otlp, "Failures", "OTLP/gRPC Throttling", "OTLP/HTTP Throttling".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

FULL: Final = "as much is being worked on as fits into memory; come again"
GOING: Final = "the receiver is being stopped; come again"
BROKEN: Final = "the receiver failed; come again"
FAILED: Final = "the receiver failed at this request, and would again"
TOO_LARGE: Final = "the body is larger than this receiver takes (--max-body)"
SLOW: Final = "the message came too slowly; come again"
CROWDED: Final = "the request has more parts than this receiver takes, send it in several"
NO_TOKEN: Final = "a bearer token is needed, and this is not it"  # noqa: S105


class Kind(Enum):
    """How a request ended."""

    ACCEPTED = "accepted"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    BUSY = "busy"
    UNAVAILABLE = "unavailable"
    FAILED = "failed"
    UNAUTHENTICATED = "unauthenticated"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a sender is told.

    Attributes:
        kind: how it ended.
        message: why, in one line; nothing of what was sent is in it.
        rejected: how many spans of an accepted request were not kept.
        retry_after_s: when to come again, in seconds; None: not with this.
    """

    kind: Kind
    message: str = ""
    rejected: int = 0
    retry_after_s: float | None = None


def accepted(rejected: int = 0, problem: str | None = None) -> Answer:
    """Return the answer to a request that is committed."""
    return Answer(Kind.ACCEPTED, problem or "", rejected)
