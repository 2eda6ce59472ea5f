"""Tables: what is in which column, live and from the store."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry._logs import LogRecord, get_logger

import otel_llm
from otel_llm import drops
from otel_llm import semconv as sc
from otel_llm.logging import log_reward
from otel_llm.store import StoreReader
from otel_llm.views.mapping import Mapper, Taken
from otel_llm.views.model import Sink
from tests.views.programs import play, roll_out, train

INTERACTION_FIELDS = [
    "model_name",
    "power_name",
    "interaction_type",
    "success",
    "response_time_ms",
    "game_id",
    "phase",
    "phase_numeric",
    "season_numeric",
    "input_length",
    "response_length",
    "supply_center_count",
    "unit_count",
    "error_type",
    "grpo_episode",
    "grpo_step",
    "grpo_reward",
    "tokens_input",
    "tokens_output",
    "cost_estimate",
]
SESSION_FIELDS = [
    "start_time",
    "end_time",
    "duration_seconds",
    "total_interactions",
    "is_grpo_training",
    "grpo_episode",
    "interactions_by_type/order",
    "interactions_by_power/FRANCE",
    "interactions_by_power/ENGLAND",
]


@pytest.fixture
def mapped(tmp_path):
    """Run a program with a store; returns the tables of all that it stored, as dicts."""

    def run(program, **settings):
        otel_llm.instrument(store=tmp_path / "store", **{"content": "full", **settings})
        program()
        otel_llm.shutdown()
        reader = StoreReader(tmp_path / "store")
        batch = Mapper().map(Taken(list(reader.spans()), [], [], list(reader.logs())))
        return {
            rows.table: [dict(zip(rows.names, row, strict=True)) for row in rows.cells]
            for rows in batch.tables
        }

    return run


def test_every_field_of_an_interaction_has_a_column(mapped, tmp_path):
    rows = mapped(play)["interactions"]
    read = list(otel_llm.read_interactions(tmp_path / "store"))
    assert len(rows) == len(read) == 8
    by_span = {row["span_id"]: row for row in rows}
    for interaction in read:
        row = by_span[interaction.span_id]
        assert row["time"] == interaction.timestamp
        for field in INTERACTION_FIELDS:
            if field.startswith("tokens_"):
                assert row[field] == interaction.tokens[field.removeprefix("tokens_")]
            else:
                assert row[field] == getattr(interaction, field), field
    # Nothing is empty that the program told.
    assert all(
        row[field] is not None for row in rows for field in INTERACTION_FIELDS if field != "error_type"
    )
    assert [row["error_type"] for row in rows if not row["success"]] == ["invalid_llm_moves"] * 2
    assert {(row["valid_orders"], row["invalid_orders"]) for row in rows} == {(1, 1)}


def test_every_field_of_a_session_has_a_column(mapped, tmp_path):
    rows = mapped(play)["sessions"]
    for row, session in zip(rows, otel_llm.read_sessions(tmp_path / "store"), strict=True):
        assert row["game_id"] == session.game_id
        for field in SESSION_FIELDS:
            name, _, key = field.partition("/")
            expected = getattr(session, name)
            assert row[field] == (expected[key] if key else expected), field
        assert (row["status"], row["outcome"], row["winners"]) == ("completed", "solo", '["FRANCE"]')


def test_calls_have_figures_and_completions_have_texts(mapped):
    tables = mapped(lambda: play(1, 1))
    assert [row["model"] for row in tables["calls"]] == ["gpt-5", "claude-sonnet-4.5"]
    assert not any("Orders" in str(value) for row in tables["calls"] for value in row.values())
    row = tables["completions"][0]
    assert (row["question"], row["reasoning"], row["answer"]) == ("Orders?", "Hm.", "A PAR H")
    assert (row["game_id"], row["phase"], row["power_name"]) == ("g0", "S1901M", "FRANCE")


def test_a_full_trajectory_has_every_column(mapped):
    (row,) = mapped(roll_out)["full_trajectories"]
    assert (row["Step"], row["Sample"], row["Group"]) == (3, "s0", "q1")
    assert "What is the capital of France?" in row["Input"]
    assert "What is the capital of France?" in row["Prompt"]
    for part in ("USER", "retrieve(", "TOOL [retrieve]", "Paris is the capital.", "<answer>Paris</answer>"):
        assert part in row["Full_Trajectory"]
    assert row["Rewards"] == "correctness: 1.000 | format: 0.500 | total: 1.500"
    assert (row["Total_Reward"], row["Reward/correctness"], row["Reward/format"]) == (1.5, 1.0, 0.5)
    assert (row["Turns"], row["Tool_Calls"], row["Tool_Responses"]) == (1, 1, 1)
    assert (row["Tag_Adherence"], row["Success"]) == (1.0, True)


def test_without_content_a_trajectory_has_its_figures_alone(mapped):
    (row,) = mapped(roll_out, content="length")["full_trajectories"]
    assert row["Full_Trajectory"] is None
    assert row["Total_Reward"] == 1.5


def test_logs_and_logged_answers_have_tables(mapped):
    tables = mapped(train)
    assert [(row["severity"], row["body"]) for row in tables["logs"]] == [("WARN", "low memory")]
    (row,) = tables["model_outputs"]
    assert [row[name] for name in ("question", "answer", "llm_reasoning", "llm_answer")] == [
        "2+2?",
        "4",
        "two and two",
        "4",
    ]
    assert row["timestamp"].endswith("+00:00")


def test_rewards_that_a_program_logs_are_rows_of_evaluations_beside_the_span_they_are_about(mapped):
    ids = []

    def program():
        with otel_llm.game("g1"), otel_llm.phase("S1901M"):
            context = trace.get_current_span().get_span_context()
            ids.append((f"{context.trace_id:032x}", f"{context.span_id:016x}"))
            log_reward("format", [1.0, 0.25], samples=["a", "b"], step=3)
        get_logger("other").emit(
            LogRecord(
                event_name=sc.EVENT_EVALUATION_RESULT,
                attributes={
                    sc.EVALUATION_NAME: "judge",
                    sc.EVALUATION_LABEL: "good",
                    sc.EVALUATION_EXPLANATION: "it holds",
                },
            )
        )

    tables = mapped(program)
    rows = sorted(tables["evaluations"], key=lambda row: row["name"])  # ours come by way of the worker
    assert [(row["trace_id"], row["span_id"]) for row in rows] == [*ids * 2, (None, None)]
    assert [(row["name"], row["score"], row["sample"], row["step"]) for row in rows] == [
        ("format", 1.0, "a", 3),
        ("format", 0.25, "b", 3),
        ("judge", None, None, None),
    ]
    assert (rows[2]["label"], rows[2]["explanation"]) == ("good", "it holds")
    assert "logs" not in tables


def test_a_program_can_define_a_table(mapped):
    remove = otel_llm.define_table(
        "centers",
        of="invoke_agent *",
        columns={
            "power": "game.power.name",
            "centers": ("game.power.centers", int),
            "twice": (lambda item: item.get("game.power.centers") * 2, "float"),
            "letters": ("game.power.name", "int"),
            "broken": (lambda item: 1 / 0, "float"),
        },
        where=lambda item: item.get("game.power.name") == "FRANCE",
    )
    try:
        rows = mapped(lambda: play(1, 1))["centers"]
    finally:
        remove()
    (row,) = rows
    assert list(row)[:3] == ["trace_id", "span_id", "time"]
    assert [row[name] for name in ("power", "centers", "twice", "letters", "broken")] == [
        "FRANCE",
        3,
        6.0,
        None,
        None,
    ]
    assert drops.counts()["cell", "wrong_type"] == 1
    assert drops.counts()["cell", "failed"] == 1


@pytest.mark.parametrize(
    ("name", "columns", "error"),
    [
        ("interactions", ["a"], ValueError),
        ("no spaces", ["a"], ValueError),
        ("t", {"time": "a"}, ValueError),
        ("t", {"a": ("a", "decimal")}, ValueError),
        ("t", {"a": 3}, TypeError),
    ],
)
def test_a_table_that_cannot_be_is_refused(name, columns, error):
    with pytest.raises(error):
        otel_llm.define_table(name, of="game", columns=columns)


def test_an_interaction_takes_no_calls_of_one_inside_it(mapped):
    def program():
        from opentelemetry import trace

        from tests.views.programs import _order

        with otel_llm.interaction("negotiation", power="FRANCE"):
            _order(trace.get_tracer("test"), "ENGLAND", "claude", failed=False)

    rows = mapped(program)["interactions"]
    assert [(row["interaction_type"], row["tokens_input"]) for row in rows] == [
        ("order", 120),
        ("negotiation", None),
    ]


def test_a_column_that_comes_late_is_empty_before():
    class Nothing(Sink):
        name = book = "nothing"

        def write(self, batch):
            return True

    from otel_llm import semconv as sc
    from tests.cli.spans import span

    def game(number, **types):
        told = {sc.SCOPE_KIND: "game", sc.GAME_ID: str(number)}
        told |= {f"game.totals.interactions_by_type.{name}": n for name, n in types.items()}
        return span(number, "invoke_workflow game", attributes=told, trace_id=f"{number:032x}")

    mapper = Mapper(Nothing.wants)
    (rows,) = mapper.map(Taken([game(1, order=2), game(2, diary=1)])).tables
    assert rows.names[-2:] == ("interactions_by_type/order", "interactions_by_type/diary")
    assert [row[-2:] for row in rows.cells] == [(2, None), (None, 1)]
    (later,) = mapper.map(Taken([game(3)])).tables
    assert later.columns == rows.columns
