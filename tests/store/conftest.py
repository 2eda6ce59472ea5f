"""What the store's tests share: a store with a tracer on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from otel_llm import drops
from otel_llm.ids import SystemIdGenerator
from otel_llm.store import StoreReader, StoreWriter
from otel_llm.store.processor import StoreSpanProcessor

RESOURCE = {"service.name": "tests", "host.name": "here"}


@pytest.fixture(autouse=True)
def fresh_drops() -> Iterator[None]:
    drops.reset()
    yield
    drops.reset()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def make_writer(directory: Path) -> Iterator[Callable[..., StoreWriter]]:
    made: list[StoreWriter] = []

    def make(where: os.PathLike[str] | str = directory, **options: object) -> StoreWriter:
        writer = StoreWriter(where, **options)
        made.append(writer)
        return writer

    yield make
    for writer in made:
        writer.close(5)


@pytest.fixture
def writer(make_writer: Callable[..., StoreWriter]) -> StoreWriter:
    return make_writer()


@pytest.fixture
def reader(directory: Path) -> StoreReader:
    return StoreReader(directory)


def provider_of(writer: StoreWriter) -> TracerProvider:
    provider = TracerProvider(
        resource=Resource(RESOURCE, "https://example.com/schema"),
        id_generator=SystemIdGenerator(),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(StoreSpanProcessor(writer))
    return provider


@pytest.fixture
def provider(writer: StoreWriter) -> TracerProvider:
    return provider_of(writer)


@pytest.fixture
def tracer(provider: TracerProvider):
    return provider.get_tracer("tests", "1.2", "https://example.com/scope", {"layer": "test"})
