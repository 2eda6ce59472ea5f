"""What a scope's span says when it ends: runs on the worker, once a scope.

Puts together what the program told, what happened below, failures and messages; scrubs it, keeps of texts what
the content policy allows, ends the span, and adds the figures to the scopes above.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from time import time_ns
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
from opentelemetry.trace import Status, StatusCode

from otel_llm import drops, fields, hooks
from otel_llm import semconv as sc
from otel_llm.content import ContentPolicy, marker
from otel_llm.errors import error_of, qualified_name, text_of
from otel_llm.llm import AttributeValue, LLMCall
from otel_llm.message_shapes import conventional

if TYPE_CHECKING:
    from types import TracebackType

    from otel_llm.attributes import Describer
    from otel_llm.recording import Recorder
    from otel_llm.scoping import Scope

_MAX_FRAMES: Final = 30
_MAX_CATEGORY: Final = 40
_MAX_SAID_MESSAGES: Final = 10_000


class Said(NamedTuple):
    """What was said, as JSON."""

    json: str


class Message(NamedTuple):
    """A message from one player to others."""

    time_ns: int
    sender: str
    recipients: tuple[str, ...]
    private: bool
    content: str


class Failure(NamedTuple):
    """A failure, without the exception itself, which would keep the program's frames alive."""

    type: str
    message: str
    stack: str | None
    time_ns: int


def failure_of(error: BaseException | str) -> Failure:
    """Return a failure in words. Reads no source file."""
    if not isinstance(error, BaseException):
        return Failure(category(str(error)), str(error), None, time_ns())
    # Broken off is no fault of the program's: one word for it, whatever class a framework has for that.
    kind = "cancelled" if error_of(error) == "cancelled" else qualified_name(error)
    return Failure(kind, text_of(error), _stack(error.__traceback__), time_ns())


def _stack(traceback: TracebackType | None) -> str | None:
    frames: list[str] = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        frames.append(f"{code.co_filename}:{traceback.tb_lineno} in {code.co_qualname}")
        traceback = traceback.tb_next
    return "\n".join(frames[-_MAX_FRAMES:]) or None


def category(text: str) -> str:
    """Return the class of failure that a text such as `Failure: Invalid LLM Moves (2): …` tells of.

    Returns:
        A short word without numbers, fit to be a metric's label: `invalid_llm_moves`; `failure` where there is none.
    """
    head = re.sub(r"^\W*(failure|failed|error|false)\b\W*", "", text.strip(), flags=re.IGNORECASE)
    words = re.split(r"[^A-Za-z _-]", head, maxsplit=1)[0]
    return "_".join(re.findall(r"[a-z]+", words.lower()))[:_MAX_CATEGORY].strip("_") or "failure"


def close(scope: Scope, recorder: Recorder) -> None:
    """Finish a scope: attributes, events, status, the span's end, metrics, and the totals of the scopes above.

    Args:
        scope: it has ended.
        recorder: what finishes it.
    """
    error_type: str | None = None
    described: dict[str, AttributeValue] = {}
    span = scope.span
    try:
        if scope.kind == "interaction":
            _count_orders(scope.attributes)
        error_type, why = _outcome(scope)
        if error_type is not None:  # the program may have given it, and it becomes a metric's label
            error_type = recorder.describer.scrub_name(error_type)
        if span.is_recording():
            described = _described(scope, recorder.describer, error_type)
            span.set_attributes(described)
            if error_type is not None:
                span.set_status(Status(StatusCode.ERROR, recorder.describer.scrub(why or error_type)))
            _add_events(scope, recorder.describer)
    except Exception:
        drops.internal_error("finishing a scope")
    finally:
        # Whatever happened above, the span ends: the program's trace must not have a hole.
        span.end(scope.end_ns)
    if hooks.active:
        told = {**scope.own, **scope.inherited, **described}
        hooks.finished(scope.kind, span, scope.name, told, scope.start_ns, scope.end_ns, error_type)
    _sum_up(scope, failed=error_type is not None)
    if recorder.scope_instruments is not None:
        recorder.scope_instruments.record(scope, error_type)


def _outcome(scope: Scope) -> tuple[str | None, str | None]:
    """Return the class of failure and the words for it; None and None where the scope did not fail."""
    told = scope.attributes
    succeeded = told.get(sc.INTERACTION_SUCCESS)
    given = told.get(sc.ERROR_TYPE)
    if scope.failures:
        last = scope.failures[-1]
        return str(given or last.type), last.message
    outcome = told.get(sc.INTERACTION_OUTCOME)
    if succeeded is False:
        return str(given or category(str(outcome or ""))), None if outcome is None else str(outcome)
    if given is not None:
        return str(given), None
    if (
        succeeded is None
        and scope.kind == "interaction"
        and scope.has_totals
        and scope.totals.last_call_error
    ):
        # The program caught the failure of its last call and said nothing.
        totals = scope.totals
        return totals.last_call_error, f"the last of {totals.calls} calls failed: {totals.last_call_error}"
    return None, None


def _described(scope: Scope, describer: Describer, error_type: str | None) -> dict[str, AttributeValue]:
    out: dict[str, AttributeValue] = dict(scope.attributes)
    extra: dict[str, AttributeValue] = {}
    policy, kept = describer.policies
    for key in fields.TEXTS & out.keys():
        text = str(out.pop(key))
        out.update(_text(key, text, policy, describer))
        if kept is not policy:
            extra.update(_text(key, text, kept, describer))
    if error_type is not None:
        out[sc.ERROR_TYPE] = error_type
    if scope.kind == "interaction":
        out[sc.INTERACTION_SUCCESS] = error_type is None
    if scope.unusable:
        out[sc.INVALID_FIELDS] = tuple(dict.fromkeys(scope.unusable))
    if scope.has_totals:
        out.update(scope.totals.attributes())
    out = describer.scoped(out)
    if scope.prompt is not None or scope.response is not None:
        call = _said(scope)
        out.update(describer.content(call, policy))
        if hooks.analysing:
            out.update(hooks.analyse(call, describer.scrub))
        if kept is not policy:
            extra.update(describer.content(call, kept))
    if kept is not policy and scope.messages and kept in _TEXTUAL:
        extra[sc.MESSAGE_CONTENT] = tuple(_cut(m.content, kept, describer) for m in scope.messages)
    if extra and describer.keep is not None:
        describer.keep(scope.span, describer.scoped(extra))
    return out


_TEXTUAL: Final = frozenset({ContentPolicy.PREVIEW, ContentPolicy.FULL})


def _text(key: str, text: str, policy: ContentPolicy, describer: Describer) -> Mapping[str, AttributeValue]:
    if policy is ContentPolicy.NONE:
        return {}
    if policy is ContentPolicy.LENGTH:
        return {key + sc.LENGTH_SUFFIX: len(text)}
    return {key: _cut(text, policy, describer)}


def _cut(text: str, policy: ContentPolicy, describer: Describer) -> str:
    longest = describer.longest(policy)
    text = describer.scrub(text)
    return text if len(text) <= longest else text[:longest] + marker(len(text))


def _count_orders(out: dict[str, AttributeValue]) -> None:
    """Fill in how many orders were valid, where the program said which were given and which were not valid."""
    submitted, invalid = out.get(sc.ORDERS_SUBMITTED), out.get(sc.ORDERS_INVALID_COUNT)
    if sc.ORDERS_VALID_COUNT not in out and isinstance(submitted, tuple) and isinstance(invalid, int):
        out[sc.ORDERS_VALID_COUNT] = max(0, len(submitted) - invalid)


def _said(scope: Scope) -> LLMCall:
    call = LLMCall("", "")
    call.input_messages = messages_of(scope.prompt, "user")
    call.output_messages = messages_of(scope.response, "assistant")
    return call


_MESSAGE: Final = frozenset({"content", "parts", "tool_calls"})


def messages_of(said: Any, role: str) -> list[dict[str, Any]]:
    """Return a text, or messages as SDKs take them, in the conventions' shape."""
    if said is None:
        return []
    if not isinstance(said, Said):
        return [{"role": role, "parts": [{"type": "text", "content": said}]}]
    value = orjson.loads(said.json)
    items = value if isinstance(value, list) else [value]
    found: list[dict[str, Any]] = []
    for item in items[:_MAX_SAID_MESSAGES]:
        if isinstance(item, dict) and not item.keys().isdisjoint(_MESSAGE):
            parts = item.get("parts")
            if isinstance(parts, list) and all(isinstance(part, dict) for part in parts):
                found.append({"role": str(item.get("role", role)), "parts": parts})
            else:
                found.append(conventional(item, role))
        else:
            text = item if isinstance(item, str) else _json(item)
            found.append({"role": role, "parts": [{"type": "text", "content": text}]})
    return found


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _add_events(scope: Scope, describer: Describer) -> None:
    span = scope.span
    policy = describer.policies[0]
    for name, at_ns, attributes in scope.events:
        span.add_event(describer.scrub(name), describer.scoped(attributes), at_ns)
    for message in scope.messages:
        told: dict[str, AttributeValue] = {
            sc.MESSAGE_SENDER: message.sender,
            sc.MESSAGE_RECIPIENTS: message.recipients,
            sc.MESSAGE_PRIVATE: message.private,
        }
        if policy is not ContentPolicy.NONE:
            told[sc.MESSAGE_LENGTH] = len(message.content)
        if policy in _TEXTUAL:
            told[sc.MESSAGE_CONTENT] = _cut(message.content, policy, describer)
        span.add_event(sc.EVENT_MESSAGE, describer.scoped(told), message.time_ns)
    for failure in (*scope.retried, *scope.failures):
        said: dict[str, AttributeValue] = {
            sc.EXCEPTION_TYPE: failure.type,
            sc.EXCEPTION_MESSAGE: failure.message,
        }
        if failure.stack is not None:
            said[sc.EXCEPTION_STACKTRACE] = failure.stack
        span.add_event(sc.EVENT_EXCEPTION_RECORDED, describer.scoped(said), failure.time_ns)


def _sum_up(scope: Scope, *, failed: bool) -> None:
    """Add what is known now to the scopes above; calls have added themselves."""
    above = scope.parent
    if above is None:
        return
    is_interaction, is_phase = scope.kind == "interaction", scope.kind == "phase"
    told = scope.attributes
    kind: Any = scope.inherited.get(sc.INTERACTION_TYPE)
    power: Any = scope.inherited.get(sc.POWER_NAME)
    valid, invalid = _int(told.get(sc.ORDERS_VALID_COUNT)), _int(told.get(sc.ORDERS_INVALID_COUNT))
    if is_phase and scope.has_totals and (scope.totals.valid_orders or scope.totals.invalid_orders):
        valid = invalid = 0  # its interactions have told of them
    while above is not None:
        totals = above.totals
        if is_interaction:
            totals.add_interaction(kind, power, failed=failed)
        elif is_phase:
            totals.phases += 1
        totals.valid_orders += valid
        totals.invalid_orders += invalid
        above = above.parent


def _int(value: Any) -> int:
    return value if isinstance(value, int) else 0
