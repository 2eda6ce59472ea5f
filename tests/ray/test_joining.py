"""What `ray.init` is told, without Ray."""

from __future__ import annotations

import json
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import otel_llm
from otel_llm import drops, testing
from otel_llm_ray import joining, portable
from otel_llm_ray.settings import RaySettings


@pytest.fixture
def fake_ray(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """As much of Ray as is touched."""
    ray: Any = types.ModuleType("ray")
    ray.seen = []
    ray.is_initialized = lambda: False
    ray.init = lambda *args, **kwargs: ray.seen.append((args, kwargs)) or "context"
    actor: Any = types.ModuleType("ray.actor")
    actor.ActorHandle = type("ActorHandle", (), {"_actor_method_call": lambda self, *args: args})
    util, tracing, helper = (types.ModuleType(name) for name in ("ray.util", "ray.util.tracing", "helper"))
    propagator = type(
        "_DictPropagator", (), {"inject_current_context": staticmethod(lambda: {"theirs": "1"})}
    )
    helper._DictPropagator = propagator  # type: ignore[attr-defined]
    helper._global_is_tracing_enabled = False  # type: ignore[attr-defined]
    helper._enable_tracing = lambda: setattr(helper, "_global_is_tracing_enabled", True)  # type: ignore[attr-defined]
    tracing.tracing_helper = helper  # type: ignore[attr-defined]
    for name, module in (
        ("ray", ray),
        ("ray.actor", actor),
        ("ray.util", util),
        ("ray.util.tracing", tracing),
        ("ray.util.tracing.tracing_helper", helper),
    ):
        monkeypatch.setitem(sys.modules, name, module)
    return ray


def init(fake: Any, **kwargs: Any) -> dict[str, Any]:
    assert joining.wrapped_init(fake.init)(**kwargs) == "context"
    told: dict[str, Any] = fake.seen[-1][1]
    return told


def test_workers_get_settings_run_and_hook(
    fake_ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "cluster")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer abc")
    otel_llm.instrument(store=tmp_path / "s", content="preview", instrumentations=())
    with otel_llm.training_run("exp"):
        told = init(fake_ray, num_cpus=2, runtime_env={"env_vars": {"MINE": "1"}, "pip": ["x"]})
    environment = told["runtime_env"]["env_vars"]
    assert told["num_cpus"] == 2
    assert told["runtime_env"]["pip"] == ["x"]
    assert environment["MINE"] == "1"
    assert environment["OTEL_LLM_RUN_ID"] == "exp"
    assert environment["OTEL_SERVICE_NAME"] == "cluster"
    assert "Bearer abc" not in json.dumps(environment)
    configuration = json.loads(environment[joining.CONFIGURATION])
    assert configuration["content"] == "preview"
    assert configuration["store"] == str(tmp_path / "s")
    assert callable(told["runtime_env"]["worker_process_setup_hook"])


def test_the_programs_own_hook_runs_after_ours(fake_ray: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    monkeypatch.setitem(
        sys.modules, "otel_llm_ray.workers", types.SimpleNamespace(start=lambda: ran.append("ours"))
    )
    theirs: Any = types.ModuleType("mine")
    theirs.setup = lambda: ran.append("theirs")
    monkeypatch.setitem(sys.modules, "mine", theirs)
    with testing.capture(instrumentations=()):
        for hook in ("mine.setup", theirs.setup):
            init(fake_ray, runtime_env={"worker_process_setup_hook": hook})["runtime_env"][
                "worker_process_setup_hook"
            ]()
    assert ran == ["ours", "theirs"] * 2


def test_a_client_from_outside_keeps_its_tracing_off(fake_ray: Any, caplog: pytest.LogCaptureFixture) -> None:
    with testing.capture(instrumentations=()):
        told = init(
            fake_ray, address="ray://head:10001", runtime_env={"worker_process_setup_hook": "mine.setup"}
        )
    assert told["runtime_env"]["worker_process_setup_hook"] == "mine.setup"
    assert not sys.modules["ray.util.tracing.tracing_helper"]._global_is_tracing_enabled  # type: ignore[attr-defined]
    assert "ray://" in caplog.text


@pytest.mark.parametrize("address", [None, "ray://head:10001"])
def test_a_client_by_its_variable_is_one_too(
    fake_ray: Any, monkeypatch: pytest.MonkeyPatch, address: str | None
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with testing.capture(instrumentations=()):
        told = init(fake_ray, address=address)
    assert "worker_process_setup_hook" not in told["runtime_env"]


def test_what_the_submitted_job_says_is_not_said_again(
    fake_ray: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Ray refuses to start where a variable or a field is in both.
    job: dict[str, Any] = {"env_vars": {"OTEL_SERVICE_NAME": "cluster"}}
    monkeypatch.setenv("OTEL_SERVICE_NAME", "cluster")
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps({"runtime_env": job}))
    with testing.capture(instrumentations=()):
        told = init(fake_ray)["runtime_env"]
        assert "OTEL_SERVICE_NAME" not in told["env_vars"]
        assert joining.CONFIGURATION in told["env_vars"]
        assert callable(told["worker_process_setup_hook"])
        sys.modules["ray.util.tracing.tracing_helper"]._global_is_tracing_enabled = False  # type: ignore[attr-defined]
        job["worker_process_setup_hook"] = "mine.setup"
        monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps({"runtime_env": job}))
        assert "worker_process_setup_hook" not in init(fake_ray)["runtime_env"]
    assert not sys.modules["ray.util.tracing.tracing_helper"]._global_is_tracing_enabled  # type: ignore[attr-defined]
    assert "worker_process_setup_hook" in caplog.text


def test_a_job_config_keeps_its_runtime_environment(fake_ray: Any) -> None:
    theirs = types.SimpleNamespace(runtime_env={"pip": ["x"], "env_vars": {"MINE": "1"}})
    with testing.capture(instrumentations=()):
        told = init(fake_ray, job_config=theirs)["runtime_env"]
    assert told["pip"] == ["x"]
    assert told["env_vars"]["MINE"] == "1"
    assert theirs.runtime_env == {"pip": ["x"], "env_vars": {"MINE": "1"}}


def test_a_second_init_of_a_running_ray_is_left_alone(fake_ray: Any) -> None:
    fake_ray.is_initialized = lambda: True
    with testing.capture(instrumentations=()):
        assert init(fake_ray, ignore_reinit_error=True) == {"ignore_reinit_error": True}
    assert not sys.modules["ray.util.tracing.tracing_helper"]._global_is_tracing_enabled  # type: ignore[attr-defined]


def test_a_variable_with_a_secret_in_its_url_is_not_sent(
    fake_ray: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://me:hunter2hunter2@collector:4318")
    with testing.capture(instrumentations=()):
        assert "hunter2" not in json.dumps(init(fake_ray)["runtime_env"]["env_vars"])


def test_methods_that_do_not_take_the_context_are_called_without_it(fake_ray: Any) -> None:
    with testing.capture(instrumentations=()):
        init(fake_ray)
    handle = sys.modules["ray.actor"].ActorHandle()  # type: ignore[attr-defined]
    takes, caught = types.SimpleNamespace(name="_ray_trace_ctx"), types.SimpleNamespace(name="named")
    handle._ray_method_signatures = {"work": [takes], "generator": [], "catches_all": [caught]}
    given = {"_ray_trace_ctx": {}, "a": 1}
    assert handle._actor_method_call("work", [1], given) == ("work", [1], given)
    for method in ("generator", "catches_all"):
        assert handle._actor_method_call(method, [1], given) == (method, [1], {"a": 1})
    assert handle._actor_method_call("of another language", [1], given)[2] == given
    assert given == {"_ray_trace_ctx": {}, "a": 1}


def test_without_instrument_nothing_is_added(fake_ray: Any) -> None:
    assert init(fake_ray, num_cpus=1) == {"num_cpus": 1}


def test_what_scopes_hand_down_goes_along(fake_ray: Any) -> None:
    with testing.capture(instrumentations=()):
        init(fake_ray)
        inject = sys.modules["ray.util.tracing.tracing_helper"]._DictPropagator.inject_current_context
        with otel_llm.training_run("exp"), otel_llm.step(3):
            carried = inject()
    assert carried["traceparent"]
    assert "rl.train.step=3" in carried["baggage"]
    assert "rl.rank" not in carried["baggage"]


def test_our_part_failing_leaves_ray_as_it_is(fake_ray: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(joining, "_environment", broken)
    with testing.capture(instrumentations=()):
        assert init(fake_ray, num_cpus=1) == {"num_cpus": 1}
        assert drops.counts()


def test_the_workers_function_is_not_found_by_its_name() -> None:
    hook = portable.worker_hook()
    assert hook.__module__ == "__main__"
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(hook)  # by name it cannot be sent; Ray sends its code


def test_in_a_worker_without_opentelemetry_rays_wrappers_get_a_stand_in(
    fake_ray: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper: Any = sys.modules["ray.util.tracing.tracing_helper"]

    def enable() -> None:
        raise ImportError

    helper._enable_tracing = enable
    helper._opentelemetry = None
    helper._is_tracing_enabled = lambda: False
    helper._get_opentelemetry = lambda: helper._opentelemetry
    for name in ("otel_llm_ray.workers", "opentelemetry.propagate"):
        monkeypatch.setitem(sys.modules, name, None)
    portable.worker_hook()()
    stand_in = helper._opentelemetry
    with stand_in.trace.get_tracer("x").start_as_current_span("y", kind=stand_in.trace.SpanKind.CONSUMER):
        pass
    assert not helper._global_is_tracing_enabled


def test_settings_say_what_they_accept() -> None:
    assert RaySettings.from_environment({}) == RaySettings("store", True)
    assert RaySettings.from_environment(
        {"OTEL_LLM_RAY_FLUSH": "all", "OTEL_LLM_RAY_TRACING": "off"}
    ) == RaySettings("all", False)
    with pytest.raises(
        otel_llm.SettingsError, match="OTEL_LLM_RAY_FLUSH is 'often'; it accepts store, all or none"
    ):
        RaySettings.from_environment({"OTEL_LLM_RAY_FLUSH": "often"})
