"""What response headers tell."""

from __future__ import annotations

from typing import Any

import pytest

from otel_llm import semconv as sc
from otel_llm_http.dialects._headers import describe, duration

DATE = {"date": "Sat, 21 Nov 2026 12:00:00 GMT"}


def told(headers: dict[str, str]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    describe(headers, out)
    return {key.removeprefix(sc.RATE_LIMIT_PREFIX): value for key, value in out.items()}


def test_openai_and_those_alike() -> None:
    assert told(
        {
            "x-ratelimit-limit-requests": "10000",
            "x-ratelimit-remaining-requests": "9999",
            "x-ratelimit-reset-requests": "6m0.5s",
            "x-ratelimit-limit-tokens": "200000",
            "x-ratelimit-remaining-tokens": "199000",
            "x-ratelimit-reset-tokens": "17ms",
            "x-request-id": "req-1",
        }
    ) == {
        "limit.requests": 10000,
        "remaining.requests": 9999,
        "reset.requests": 360.5,
        "limit.tokens": 200000,
        "remaining.tokens": 199000,
        "reset.tokens": 0.017,
        sc.REQUEST_ID: "req-1",
    }


def test_anthropic() -> None:
    assert told(
        {
            **DATE,
            "anthropic-ratelimit-requests-limit": "50",
            "anthropic-ratelimit-requests-remaining": "49",
            "anthropic-ratelimit-requests-reset": "2026-11-21T12:00:30Z",
            "anthropic-ratelimit-input-tokens-remaining": "40000",
            "anthropic-ratelimit-unified-status": "allowed",
            "request-id": "req-2",
        }
    ) == {
        "limit.requests": 50,
        "remaining.requests": 49,
        "reset.requests": 30.0,
        "remaining.input_tokens": 40000,
        sc.REQUEST_ID: "req-2",
    }


def test_others() -> None:
    assert told({"x-ratelimit-limit": "10", "x-ratelimit-reset": "3"}) == {
        "limit.requests": 10,
        "reset.requests": 3.0,
    }
    assert told({**DATE, "x-ratelimit-reset": "1795262460"}) == {"reset.requests": 60.0}
    assert told({**DATE, "x-ratelimit-reset": "1795262460000"}) == {"reset.requests": 60.0}
    assert told({"x-ratelimit-limit-requests-day": "100"}) == {"limit.requests_day": 100}
    assert told({"ratelimit-remaining": "7"}) == {"remaining.requests": 7}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "20"}, 20.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "20", "retry-after-ms": "1500"}, 1.5),
        ({**DATE, "retry-after": "Sat, 21 Nov 2026 12:01:00 GMT"}, 60.0),
        ({**DATE, "retry-after": "Sat, 21 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after-ms": "x", "retry-after": "3"}, 3.0),
    ],
)
def test_when_to_try_again(headers: dict[str, str], seconds: float | None) -> None:
    assert told(headers).get(sc.RETRY_AFTER) == seconds


def test_nonsense_is_left_out() -> None:
    assert (
        told(
            {"x-ratelimit-remaining-tokens": "many", "x-ratelimit-reset-tokens": "later", "x-ratelimit": "1"}
        )
        == {}
    )
    assert told({"x-ratelimit-limit-\u00e9!": "1", "x-ratelimit-reset-tokens": "99999-99-99T99:99:99Z"}) == {}
    many = {f"x-ratelimit-limit-r{number}": "1" for number in range(500)}
    assert len(told(many)) < 50, "a server cannot fill a span"


def test_durations() -> None:
    assert [duration(text) for text in ("1s", "1h2m3s", "250ms", "2d", "", "s", "1", "1s?")] == [
        1.0,
        3723.0,
        0.25,
        172800.0,
        None,
        None,
        None,
        None,
    ]
