"""Watching a streamed body while the program reads it: one generator for sync readers, one for async ones.

They differ only in `await`; what happens to the record is in `noted` and `_ended`, which never raise.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any, TypeVar

from otel_llm import drops
from otel_llm.calls import CallRecord

T = TypeVar("T")


def tee(
    chunks: Generator[T, None, None], record: CallRecord, visible: bool = True
) -> Generator[T, None, None]:
    """Yield what `chunks` yields, note it, and end the record however the reading ends.

    Args:
        chunks: the client's own generator.
        record: the call.
        visible: whether the chunks are uncompressed.
    """
    try:
        record.reading = True
        for data in chunks:
            record.reading = False
            noted(record, data, visible)
            yield data
            record.reading = True
    except GeneratorExit:  # the program has had enough; whether that is an error the payload tells
        ended(record)
        raise
    except BaseException as exception:
        ended(record, exception)
        raise
    else:
        ended(record)
    finally:
        record.reading = False
        chunks.close()


async def atee(
    chunks: AsyncGenerator[T, None], record: CallRecord, visible: bool = True
) -> AsyncGenerator[T, None]:
    """As `tee`, for an asynchronous reader."""
    try:
        record.reading = True
        async for data in chunks:
            record.reading = False
            noted(record, data, visible)
            yield data
            record.reading = True
    except GeneratorExit:
        ended(record)
        raise
    except BaseException as exception:
        ended(record, exception)
        raise
    else:
        ended(record)
    finally:
        record.reading = False
        await chunks.aclose()


def noted(record: CallRecord, data: Any, visible: bool = True) -> None:
    """Note a chunk; never raises."""
    try:
        if not visible:
            record.raw_chunk(data)
        elif type(data) is bytes:
            record.chunk(data)
        else:  # requests decodes when it is asked to; aiohttp may hand out other buffers
            record.chunk(data.encode() if isinstance(data, str) else bytes(data))
    except Exception:
        drops.internal_error("a chunk")


def ended(record: CallRecord, exception: BaseException | None = None) -> None:
    """End the record; never raises."""
    try:
        record.end(exception=exception)
    except Exception:
        drops.internal_error("the end of a call")
