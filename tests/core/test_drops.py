"""What our own failures say in the program's log."""

from __future__ import annotations

import pytest

from otel_llm import drops

KEY = "sk-proj-abcdefghijklmnop1234567890"


@pytest.mark.parametrize(
    ("fail", "words"),
    [
        (
            lambda: f"a private prompt, {KEY} \ud800".encode(),
            "UnicodeEncodeError: 'utf-8' codec can't encode",
        ),
        (
            lambda: int(f"token={KEY}"),
            "ValueError: invalid literal for int() with base 10: 'token=[redacted]'",
        ),
        (lambda: {}[None], "KeyError: None"),
    ],
)
def test_a_failure_of_ours_tells_no_secret_and_not_what_it_failed_on(
    fail: object, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    try:
        fail()  # type: ignore[operator]
    except Exception:
        drops.internal_error("a test")
    assert f"otel_llm failed in a test ({words}" in caplog.text
    assert KEY not in caplog.text
    assert "private" not in caplog.text


def test_words_on_an_exception_are_bounded_and_never_fail() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert drops.said(Mute()) == "Mute"
    assert drops.said(ValueError()) == "ValueError"
    assert len(drops.said(ValueError("x" * 10_000))) < 250
