"""Stored spans of games for tests, and a reader that holds them in memory."""

from otel_llm import semconv as sc
from otel_llm.store.rows import StoredEvent
from tests.cli.spans import MS, T0, call, failed_call, span

GAME_TRACE = "9" * 32


def trace(number):
    return f"{number:032x}"


def game(number=1, game_id="g", *, trace_id=GAME_TRACE, took_ms=10_000.0, more=None, **rest):
    attributes = {
        sc.SCOPE_KIND: "game",
        sc.OPERATION_NAME: sc.INVOKE_WORKFLOW,
        sc.GAME_ID: game_id,
        sc.GAME_NAME: "diplomacy",
    }
    return span(
        number,
        "invoke_workflow diplomacy",
        trace_id=trace_id,
        took_ms=took_ms,
        attributes=attributes | (more or {}),
        **rest,
    )


def phase(number, name="S1901M", game_id="g", *, trace_id=trace(1), took_ms=1000.0, more=None, **rest):
    attributes = {sc.SCOPE_KIND: "phase", sc.PHASE_NAME: name}
    if game_id is not None:
        attributes[sc.GAME_ID] = game_id
    return span(
        number,
        f"phase {name}",
        trace_id=trace_id,
        took_ms=took_ms,
        attributes=attributes | (more or {}),
        **rest,
    )


def interaction(
    number,
    kind="order",
    power="FRANCE",
    game_id="g",
    *,
    trace_id=trace(1),
    took_ms=100.0,
    phase_name=None,
    more=None,
    **rest,
):
    attributes = {
        sc.SCOPE_KIND: "interaction",
        sc.OPERATION_NAME: sc.INVOKE_AGENT,
        sc.INTERACTION_TYPE: kind,
        sc.POWER_NAME: power,
        sc.AGENT_NAME: power,
        sc.GAME_ID: game_id,
        sc.PHASE_NAME: phase_name,
    }
    attributes = {k: v for k, v in attributes.items() if v is not None}
    return span(
        number,
        f"invoke_agent {power}",
        trace_id=trace_id,
        took_ms=took_ms,
        attributes=attributes | (more or {}),
        **rest,
    )


def model_call(number, model="gpt-5", game_id="g", *, trace_id=trace(1), took_ms=50.0, more=None, **rest):
    own = {} if game_id is None else {sc.GAME_ID: game_id}
    return call(number, model, trace_id=trace_id, took_ms=took_ms, more=own | (more or {}), **rest)


def refused_call(number, model="gpt-5", game_id="g", *, trace_id=trace(1), more=None, **rest):
    return failed_call(number, model, trace_id=trace_id, more={sc.GAME_ID: game_id} | (more or {}), **rest)


def message(*recipients, at_ms=0, text=None, **more):
    attributes = {sc.MESSAGE_RECIPIENTS: recipients, sc.MESSAGE_LENGTH: len(text or "12345")}
    if text is not None:
        attributes[sc.MESSAGE_CONTENT] = text
    return StoredEvent(sc.EVENT_MESSAGE, T0 + at_ms * MS, attributes | more)


def raised(kind="KeyError", words="'orders'"):
    return StoredEvent(
        sc.EVENT_EXCEPTION_RECORDED,
        T0,
        {sc.EXCEPTION_TYPE: kind, sc.EXCEPTION_MESSAGE: words, sc.EXCEPTION_STACKTRACE: "game.py:7 in turn"},
    )


def failure(kind="KeyError", words="'orders'"):
    """What a span of an interaction that an exception ended has, besides its event."""
    return {sc.ERROR_TYPE: kind, sc.ERROR_MESSAGE: words, sc.INTERACTION_SUCCESS: False}


class Memory:
    """What the loader asks of a reader, over spans in memory."""

    def __init__(self, *spans):
        self.all = spans

    def spans(self, *, since_ns=None, until_ns=None, attributes=None, name=None):
        for found in self.all:
            if since_ns is not None and found.start_ns < since_ns:
                continue
            if until_ns is not None and found.start_ns >= until_ns:
                continue
            if name is not None and not found.name.startswith(name.removesuffix("*")):
                continue
            if all(str(found.attributes.get(key)) == value for key, value in (attributes or {}).items()):
                yield found

    def trace(self, trace_id):
        return [found for found in self.all if found.trace_id == trace_id]

    def files(self):
        return []
