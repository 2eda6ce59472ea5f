"""Looks at a request's body that parse nothing."""

from __future__ import annotations

import json

import pytest

from tests.http.dialects.exchanges import endpoint

CHAT = endpoint("http://10.0.0.7/v1/chat/completions")
LONG = [{"role": "user", "content": 'say "model": "x" and "stream": true ' * 50} for _ in range(40)]


@pytest.mark.parametrize(
    "body",
    [
        {"model": "m/1", "messages": LONG},
        {"messages": LONG, "model": "m/1"},
        {"messages": LONG[:20], "model": "m/1", "input": LONG[20:]},
        {"messages": LONG, "model": "m/1", "tools": [{"properties": {"model": {"type": "string"}}}]},
    ],
)
def test_the_model_is_found_wherever_it_stands(body: dict[str, object]) -> None:
    for text in (json.dumps(body), json.dumps(body, indent=2), json.dumps(body, separators=(",", ":"))):
        assert CHAT.request_model(text.encode()) == "m/1"
        assert not CHAT.is_streaming(text.encode())


def test_text_that_looks_like_a_key_is_not_taken_for_one() -> None:
    body = json.dumps({"messages": [{"content": '"model": "evil", "stream": true'}]}).encode()
    assert CHAT.request_model(body) is None
    assert not CHAT.is_streaming(body)
    body = json.dumps({"content": 'ends with "model'}).encode()
    assert CHAT.request_model(body) is None


def test_whether_an_answer_comes_in_pieces_is_found_at_both_ends() -> None:
    assert CHAT.is_streaming(json.dumps({"messages": LONG, "stream": True}).encode())
    assert CHAT.is_streaming(json.dumps({"stream": True, "messages": LONG}).encode())
    assert not CHAT.is_streaming(json.dumps({"messages": LONG, "stream": False}).encode())
    assert not CHAT.is_streaming(None)
    assert endpoint(
        "https://generativelanguage.googleapis.com/v1/models/g:streamGenerateContent"
    ).is_streaming(b"{}")


def test_ollama_streams_unless_it_is_told_not_to() -> None:
    chat = endpoint("http://localhost/api/chat")
    assert chat.is_streaming(b'{"model":"m","messages":[]}')
    assert chat.is_streaming(None)
    assert not chat.is_streaming(b'{"model":"m","messages":[],"stream":false}')


def test_a_name_that_never_ends_is_cut() -> None:
    assert CHAT.request_model(b'{"messages":[],"model":"' + b"x" * 5000 + b'"}') is None
    assert CHAT.request_model(b'{"messages":[],"model":"org\\/m"}') == "org/m"


def test_a_body_that_is_no_bytes_is_no_call() -> None:
    assert not CHAT.confirm("text")  # type: ignore[arg-type]
    assert CHAT.request_model(object()) is None  # type: ignore[arg-type]
    assert not CHAT.is_streaming(object())  # type: ignore[arg-type]
