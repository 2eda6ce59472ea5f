"""Whatever a program gives, nothing is raised and nothing is lost."""

from __future__ import annotations

import datetime as dt
import enum
import json
import logging
import math
import pathlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import otel_llm
from otel_llm import drops, testing
from otel_llm import semconv as sc
from otel_llm.manual.given import understand

FUNCTIONS = [
    otel_llm.log_order_generation,
    otel_llm.log_negotiation,
    otel_llm.log_planning,
    otel_llm.log_diary,
    otel_llm.log_initialization,
    otel_llm.log_state_update,
    otel_llm.log_consolidation,
    otel_llm.log_grpo_response,
    otel_llm.log_interaction,
]
NAMES = [
    "game_id", "model_name", "power_name", "phase", "prompt", "response", "orders", "messages", "plan", "diary",
    "success", "response_time_ms", "supply_centers", "units", "episode", "step", "reward", "batch_size",
    "batch_time_ms", "timestamp", "tokens", "cost", "error", "error_type", "provider", "interaction_id",
    "interaction_type", "invalid_orders", "input_length", "attributes", "parent", "name", "self", "type", "",
    "phase_numeric", "season_numeric", "diary_type", "training", "relationships",
]  # fmt: skip


class Hostile:
    """Raises whatever is asked of it."""

    def __str__(self):
        raise RuntimeError("no")

    __len__ = __iter__ = __bool__ = __float__ = __str__
    content = recipient = prompt_tokens = value = property(__str__)


class Season(enum.Enum):
    SPRING = "S1901M"


def values():
    plain = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(st.characters(), max_size=20),
        st.binary(max_size=8),
        st.sampled_from(
            [Hostile(), Hostile, Season.SPRING, object(), 10**400, "1e3", "٣", "\ud800", "Failure: x (3): a"]
        ),
        st.datetimes(),
        st.builds(pathlib.PurePosixPath, st.text("abc/", max_size=8)),
        st.builds(ValueError, st.text(max_size=5)),
    )
    return st.recursive(
        plain,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.tuples(inner),
            st.dictionaries(
                st.one_of(
                    st.text(max_size=5),
                    st.sampled_from(["content", "recipient", "input", "total", "private"]),
                ),
                inner,
                max_size=3,
            ),
        ),
        max_leaves=6,
    )


@pytest.fixture(scope="class")
def one_runtime():
    with testing.capture(content="full") as captured:
        yield captured


@pytest.mark.usefixtures("one_runtime")
class TestAnything:
    """One runtime for all examples: setting one up for each would take most of the time."""

    @pytest.fixture(autouse=True)
    def _fresh_process(self):
        """Instead of the fixture that gives each test a process of its own."""

    @pytest.fixture(autouse=True)
    def _nobody_has_logged(self):
        """Likewise."""

    @settings(max_examples=150, suppress_health_check=list(HealthCheck), deadline=None)
    @given(st.sampled_from(FUNCTIONS), st.dictionaries(st.sampled_from(NAMES), values(), max_size=8))
    def test_every_record_is_kept_whatever_is_in_it(self, one_runtime, function, told) -> None:
        told.pop("self", None)
        one_runtime.exporter.clear()
        assert function(**told) is not None
        spans = one_runtime.spans()
        assert sum((s.attributes or {}).get(sc.SCOPE_KIND) == "interaction" for s in spans) == 1
        assert sum((s.attributes or {}).get(sc.OPERATION_NAME) == "chat" for s in spans) <= 1
        assert all(s.start_time <= s.end_time for s in spans)
        assert not [key for key in drops.counts() if key[0] == "internal_error"], drops.counts()

    @settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
    @given(values(), st.dictionaries(st.sampled_from(NAMES), values(), max_size=5), values())
    def test_sessions_take_anything(self, one_runtime, game_id, told, success) -> None:
        for name in ("self", "game_id"):
            told.pop(name, None)
        otel_llm.log_session_start(game_id, success, success, **told)
        assert otel_llm.log_order_generation(game_id=game_id, success=success) is not None
        otel_llm.log_session_end(game_id, **told)
        assert not [key for key in drops.counts() if key[0] == "internal_error"], drops.counts()

    @settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
    @given(values())
    def test_bulk_takes_anything(self, one_runtime, records) -> None:
        assert otel_llm.log_bulk_interactions(records) >= 0


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), values(), max_size=8))
def test_what_is_understood_is_usable(told) -> None:
    found = understand("order", told)
    assert 0 < found.start_ns <= found.end_ns
    assert isinstance(found.type, str)
    assert found.type
    for name in (found.game_id, found.power, found.model, found.phase):
        assert name is None or (isinstance(name, str) and name)
    assert found.cost is None or (found.cost >= 0 and math.isfinite(found.cost))
    if found.usage is not None:
        for count in (found.usage.input_tokens, found.usage.output_tokens):
            assert count is None or 0 <= count <= 1 << 62


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("response_time_ms", "soon"),
        ("response_time_ms", -5),
        ("response_time_ms", float("nan")),
        ("response_time_ms", 1e300),
        ("timestamp", -1),
        ("timestamp", 1e30),
        ("cost", -1),
        ("cost", "much"),
        ("tokens", {"input": -3}),
        ("tokens", {"input": "many"}),
        ("supply_centers", "three"),
        ("reward", "good"),
        ("messages", 12),
        ("episode", 1.5),
    ],
)
def test_what_cannot_be_used_is_named_in_the_record_and_warned_of_once(store, caplog, name, value) -> None:
    for _ in range(2):
        otel_llm.log_interaction("order", **{"game_id": "g", "phase": "S1901M", name: value})
    named = {"supply_centers": "centers"}.get(name, name)
    for span in store.spans("interaction"):
        assert span.attributes[sc.INVALID_FIELDS] == (named,)
    assert len(store.interactions()) == 2
    warnings = [
        r.getMessage() for r in caplog.records if r.levelno == logging.WARNING and named in r.getMessage()
    ]
    assert warnings == [f"the value given for {named} cannot be used, and is left out"]


@pytest.mark.parametrize(
    ("success", "expected", "error", "outcome"),
    [
        (True, True, None, None),
        (False, False, "failure", None),
        ("True", True, None, None),
        ("false", False, "failure", None),
        ("Success", True, None, "Success"),
        (
            "Failure: Invalid LLM Moves (2): A, B",
            False,
            "invalid_llm_moves",
            "Failure: Invalid LLM Moves (2): A, B",
        ),
        ("Success: Using LLM moves", True, None, "Success: Using LLM moves"),
        (1, True, None, None),
        (0, False, "failure", None),
        (None, True, None, None),
    ],
)
def test_success_is_a_bool_or_words(store, success, expected, error, outcome) -> None:
    otel_llm.log_order_generation("g", success=success)
    (read,) = store.interactions()
    assert (read.success, read.error_type) == (expected, error)
    (span,) = store.spans("interaction")
    assert span.attributes.get(sc.INTERACTION_OUTCOME) == outcome


def test_how_many_orders_were_invalid_is_read_from_the_words(store) -> None:
    otel_llm.log_order_generation("g", orders=["A", "B", "C"], success="Failure: Invalid LLM Moves (2): A, B")
    otel_llm.log_order_generation(
        "g", orders=["A", "B", "C"], success="Failure: Invalid LLM Moves (2): see above"
    )
    one, two = (span.attributes for span in store.spans("interaction"))
    assert (one[sc.ORDERS_INVALID], one[sc.ORDERS_INVALID_COUNT], one[sc.ORDERS_VALID_COUNT]) == (
        ("A", "B"),
        2,
        1,
    )
    assert sc.ORDERS_INVALID not in two
    assert (two[sc.ORDERS_INVALID_COUNT], two[sc.ORDERS_VALID_COUNT]) == (2, 1)


def test_numbers_may_be_text_and_names_anything_that_is_a_name(store) -> None:
    otel_llm.log_order_generation(
        pathlib.PurePosixPath("results/2026 «1»/run"),
        "m",
        7,
        Season.SPRING,
        "p",
        b"r",
        ["x"],
        True,
        "12.5",
        "3",
        ["A"],
    )
    (read,) = store.interactions()
    assert (read.game_id, read.power_name, read.phase) == ("results/2026 «1»/run", "7", "S1901M")
    assert (read.response_time_ms, read.supply_center_count, read.unit_count) == (12.5, 3, 1)


def test_a_moment_may_be_a_datetime(store) -> None:
    when = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    otel_llm.log_order_generation("g", timestamp=when)
    (read,) = store.interactions()
    assert read.timestamp == when.timestamp()


def test_an_sdks_usage_object_is_understood(store) -> None:
    class Usage:
        prompt_tokens, completion_tokens, total_tokens, cached_tokens = 12, 3, 15, None

    otel_llm.log_order_generation("g", "m", tokens=Usage())
    otel_llm.log_order_generation("g", "m", input_tokens=5, output_tokens="6")
    one, two = store.interactions()
    assert one.tokens == {"input": 12, "output": 3}
    assert two.tokens == {"input": 5, "output": 6}


def test_a_mapping_by_power_tells_of_the_power(store) -> None:
    otel_llm.log_order_generation(
        "g", power_name="ITALY", supply_centers={"ITALY": ["ROM", "NAP"], "FRANCE": 3}, units={"ITALY": 1}
    )
    (read,) = store.interactions()
    assert (read.supply_center_count, read.unit_count) == (2, 1)


def test_a_prompt_may_be_messages(tmp_path, store) -> None:
    otel_llm.instrument(content="full")
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Orders?"}]
    otel_llm.log_order_generation("g", "m", prompt=messages, response={"orders": ["A"]})
    messages.clear()  # what was told is kept, not what becomes of it
    (call,) = store.spans("chat")
    assert [m["role"] for m in json.loads(call.attributes[sc.INPUT_MESSAGES])] == ["system", "user"]
    (read,) = store.interactions()
    assert read.input_length == len("Be brief.") + len("Orders?")
    assert read.response_length == len('{"orders":["A"]}')
