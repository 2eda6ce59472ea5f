"""Which hosts are near, and what an exception stands for."""

from __future__ import annotations

import asyncio

import pytest

from otel_llm.errors import error_of
from otel_llm.hosts import NearHosts


@pytest.mark.parametrize(
    "host",
    ["localhost", "127.0.0.1", "127.8.9.1", "::1", "[::1]", "10.0.0.9", "172.16.3.4", "192.168.1.1", "fe80::1%eth0",
     "fd00::1", "vllm", "llm.default.svc.cluster.local", "box.local", "model.internal", "LOCALHOST", "169.254.3.3"],
)  # fmt: skip
def test_loopback_and_private_networks_are_near(host: str) -> None:
    assert host in NearHosts()


@pytest.mark.parametrize(
    "host", ["api.openai.com", "8.8.8.8", "2606:4700::1111", "local.example.com", "172.32.0.1", ""]
)
def test_public_hosts_are_not(host: str) -> None:
    assert host not in NearHosts()
    assert host not in NearHosts()  # nor the second time, when the answer is remembered


def test_allowed_hosts_are_near_and_only_those() -> None:
    near = NearHosts(["llm.example.com", "*.corp.example.org"])
    assert "llm.example.com" in near
    assert "a.b.corp.example.org" in near
    assert "example.com" not in near
    assert "evil-corp.example.org" not in near


def test_what_is_remembered_is_bounded() -> None:
    near = NearHosts()
    for n in range(10_000):
        assert f"host{n}.example.com" not in near
    assert len(near._known) <= 4096


class ReadTimeout(Exception):
    pass


class MyReadTimeout(ReadTimeout):
    pass


class DecodingError(Exception):
    pass


@pytest.mark.parametrize(
    ("exception", "error"),
    [
        (TimeoutError(), "timeout"),
        (MyReadTimeout(), "timeout"),
        (asyncio.CancelledError(), "cancelled"),
        (KeyboardInterrupt(), "cancelled"),
        (GeneratorExit(), "cancelled"),
        (ConnectionResetError(), "connection"),
        (DecodingError(), "malformed_response"),
        (UnicodeDecodeError("utf-8", b"", 0, 1, ""), "malformed_response"),
        (RuntimeError("anything"), "connection"),
    ],
)
def test_an_exception_stands_for_one_class_of_failure(exception: BaseException, error: str) -> None:
    assert error_of(exception) == error
