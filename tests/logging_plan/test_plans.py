"""What a plan may say, and the one clear error for what it may not."""

from __future__ import annotations

import copy
import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from otel_llm.logging import CSVHandler, LoggingPlanError, get_training_logger, initialize, shutdown

CONSOLE = {"class": "logging.StreamHandler"}
ROWS = {"class": "logging.custom.CSVHandler", "filename": "a.csv", "columns": ["a"]}


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        (
            {"handlers": {"x": {"class": "logging.custom.KafkaHandler"}}},
            ["handlers.x", "logging.custom.KafkaHandler", "CSVHandler, OpenTelemetryHandler, TensorBoardHandler"],
        ),
        ({"handlers": {"x": {**ROWS, "colums": []}}}, ["handlers.x", "colums", "columns", "flush_interval"]),
        ({"handlers": {"x": {"class": "logging.custom.CSVHandler"}}}, ["handlers.x", "filename"]),
        ({"handlers": {"x": {**ROWS, "columns": []}}}, ["handlers.x", "columns", "list of names"]),
        ({"handlers": {"x": {**ROWS, "buffer_size": 0}}}, ["handlers.x", "buffer_size", "at least 1"]),
        ({"handlers": {"x": {"class": "logging.NoHandler"}}}, ["handlers.x", "NoHandler"]),
        ({"handlers": {"x": {**CONSOLE, "level": "LOUD"}}}, ["handlers.x", "LOUD"]),
        ({"handlers": {"x": {}}}, ["handlers.x", "no class"]),
        ({"handlers": {"x": {**CONSOLE, "formatter": "pretty"}}}, ["handlers.x", "pretty", "formatters"]),
        ({"handlers": []}, ["handlers", "[]", "mapping"]),
        ({"root": {"handlers": ["file"]}}, ["root", "file", "handlers"]),
        ({"loggers": {"a": {"handlers": "console"}}}, ["loggers.a.handlers", "'console'", "list"]),
        ({"loggers": {"a": {"level": "LOUD"}}}, ["loggers.a", "LOUD"]),
        ({"formatters": {"f": {"format": "json", "field": []}}}, ["formatters.f", "field", "fields"]),
        ({"formatters": {"f": {"format": "%(message"}}}, ["formatters.f", "%"]),
        ({"metrics": {"logging_frequency": 0}}, ["metrics.logging_frequency", "0", "at least 1"]),
        ({"metrics": {"logging_frequency": True}}, ["metrics.logging_frequency", "True"]),
        ({"metrics": {"sampling_ratio": 2}}, ["metrics.sampling_ratio", "2", "0 to 1"]),
        ({"metrics": {"sample_ratio": 1}}, ["metrics", "sample_ratio", "sampling_ratio"]),
        ({"metrics": {"enable": {"gpu_metrics": True}}}, ["metrics.enable", "gpu_metrics", "resource_metrics"]),
        ({"metrics": {"enable": {"reward_metrics": 1}}}, ["metrics.enable.reward_metrics", "true or false"]),
        ({"metrics": 3}, ["metrics", "3"]),
        ({"version": 2}, ["version", "2"]),
        ({"incremental": True}, ["incremental"]),
        ({"handler": {}}, ["handler", "handlers"]),
        ([], ["list", "mapping"]),
    ],
)  # fmt: skip
def test_what_is_not_accepted_is_one_clear_error_and_changes_nothing(plan: Any, says: list[str]) -> None:
    before = list(logging.getLogger().handlers)
    file = Path("plan.json")
    file.write_text(json.dumps(plan))
    with pytest.raises(LoggingPlanError) as caught:
        initialize(file)
    message = str(caught.value)
    assert all(part in message for part in says), message
    assert "\n" not in message
    assert logging.getLogger().handlers == before


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    with pytest.raises(LoggingPlanError, match=r"nowhere\.yaml cannot be read"):
        initialize("nowhere.yaml")
    for name in ("bad.yaml", "bad.json"):
        (tmp_path / name).write_text("{handlers: [")
        with pytest.raises(LoggingPlanError, match=f"{name} is no "):
            initialize(tmp_path / name)
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LoggingPlanError, match="cannot be read"):
        initialize(tmp_path / "bad.yaml")


def test_missing_packages_are_named(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_llm.logging._tensorboard.find_spec", lambda _: None)
    with pytest.raises(
        LoggingPlanError, match=r"handlers\.tensorboard .* needs the tensorboard package: pip install"
    ):
        initialize(plan)
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(LoggingPlanError, match=r"needs PyYAML: pip install 'otel-llm\[logging\]'"):
        initialize(plan)


def test_a_plan_may_be_a_mapping_which_stays_as_it_was() -> None:
    plan = {"handlers": {"rows": dict(ROWS)}, "loggers": {"logging.model": {"handlers": ["rows"]}}}
    before = copy.deepcopy(plan)
    initialize(plan)
    assert plan == before
    assert [type(handler) for handler in logging.getLogger("logging.model").handlers] == [CSVHandler]


def test_without_a_plan_everything_from_info_on_goes_to_the_console(
    capsys: pytest.CaptureFixture[str],
) -> None:
    initialize()
    get_training_logger().info("starting")
    get_training_logger().debug("unheard")
    assert capsys.readouterr().err.endswith("- logging.training - INFO - starting\n")


def test_a_plan_that_fails_half_way_leaves_logging_as_it_was() -> None:
    initialize({"root": {"handlers": ["a"], "level": "ERROR"}, "handlers": {"a": dict(CONSOLE)}})
    before = logging.getLogger().handlers[0].name
    broken = {
        "root": {"handlers": ["b", "c"]},
        "handlers": {"b": dict(CONSOLE), "c": {"class": "logging.FileHandler", "filename": "/dev/null/x"}},
    }
    with pytest.raises(LoggingPlanError, match=r"handlers\.c cannot be set up"):
        initialize(broken)
    assert (logging.getLogger().handlers[0].name, logging.getLogger().level) == (before, logging.ERROR)


def test_other_handlers_of_the_program_go_on_and_come_back(tmp_path: Path) -> None:
    own = logging.FileHandler(tmp_path / "own.log", mode="w")
    roots = logging.FileHandler(tmp_path / "root.log", mode="w")
    mine, root = logging.getLogger("test.mine"), logging.getLogger()
    mine.addHandler(own)
    root.addHandler(roots)
    try:
        initialize()
        mine.warning("during")
        shutdown()
        mine.warning("after")
        root.warning("root, after")
    finally:
        mine.removeHandler(own)
        root.removeHandler(roots)
        own.close()
        roots.close()
    assert (tmp_path / "own.log").read_text() == "during\nafter\n"
    assert (tmp_path / "root.log").read_text() == "after\nroot, after\n"


def test_existing_loggers_are_disabled_only_if_the_plan_says_so() -> None:
    logger = logging.getLogger("test.existing")
    initialize({})
    assert not logger.disabled
    initialize({"disable_existing_loggers": True, "loggers": {"test.named": {}}})
    assert logger.disabled
    shutdown()
    assert not logger.disabled


def test_a_second_plan_replaces_the_first() -> None:
    initialize({"handlers": {"rows": dict(ROWS)}, "loggers": {"logging.model": {"handlers": ["rows"]}}})
    initialize({"loggers": {"logging.training": {"level": "DEBUG"}}})
    assert logging.getLogger("logging.model").handlers == []
    assert get_training_logger().level == logging.DEBUG
    shutdown()
    assert get_training_logger().level == logging.NOTSET
    shutdown()


def test_handlers_may_name_each_other_and_streams_as_in_pythons_own_plans(
    capsys: pytest.CaptureFixture[str],
) -> None:
    initialize(
        {
            "root": {"handlers": ["memory"], "level": "INFO"},
            "handlers": {
                "memory": {"class": "logging.handlers.MemoryHandler", "capacity": 1, "target": "out"},
                "out": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "f"},
            },
            "formatters": {"f": {"format": "{levelname}|{message}|{trace_id}", "style": "{"}},
        }
    )
    logging.getLogger("any").info("hello")
    assert capsys.readouterr().out == "INFO|hello|\n"
