"""What needs no trainer: settings, the halves of seams, texts, what the source says. None of it imports torch."""

from __future__ import annotations

import argparse
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import otel_llm_trl
from otel_llm import drops
from otel_llm import semconv as sc
from otel_llm.settings import SettingsError
from otel_llm.training.choosing import chosen
from otel_llm_trl import completions, guarding, probing, sessions, settings, throughput


@pytest.fixture(autouse=True)
def _as_nobody_configured(monkeypatch):
    monkeypatch.setattr(settings, "_configured", {})


# --- settings -------------------------------------------------------------------------------------
def test_the_defaults_are_those_of_the_enhanced_trainer():
    assert settings.current({}) == otel_llm_trl.TRLSettings(
        log_full_trajectories=True, log_trajectory_samples=5, log_token_details=False
    )


def test_an_argument_comes_before_configuration_and_that_before_the_environment():
    environ = {settings.TRAJECTORY_SAMPLES: "7", settings.TOKEN_DETAILS: "yes"}
    assert settings.current(environ).log_trajectory_samples == 7
    assert settings.current(environ).log_token_details
    otel_llm_trl.configure(log_trajectory_samples=8)
    assert settings.current(environ).log_trajectory_samples == 8
    assert settings.current(environ).but(log_trajectory_samples=9).log_trajectory_samples == 9


@pytest.mark.parametrize("given", [{"log_trajectory_samples": -1}, {"log_token_details": "perhaps"}])
def test_an_argument_that_is_not_accepted_says_what_is(given):
    with pytest.raises(SettingsError, match="it accepts"):
        otel_llm_trl.configure(**given)


def test_a_variable_that_is_not_accepted_is_said_and_passed_over(caplog):
    assert settings.current({settings.TRAJECTORY_SAMPLES: "many"}).log_trajectory_samples == 5
    assert settings.TRAJECTORY_SAMPLES in caplog.text


def test_a_setting_that_does_not_exist_is_a_mistake_of_the_program():
    with pytest.raises(TypeError, match="has no setting log_everything"):
        otel_llm_trl.configure(log_everything=True)


def test_the_flags_are_those_of_the_enhanced_trainer():
    parser = argparse.ArgumentParser()
    otel_llm_trl.add_arguments(parser)
    flags = ["--no-log-full-trajectories", "--log-trajectory-samples", "10", "--log-token-details"]
    assert vars(parser.parse_args(flags)) == {
        "log_full_trajectories": False,
        "log_trajectory_samples": 10,
        "log_token_details": True,
    }
    assert set(vars(parser.parse_args([])).values()) == {None}


def test_importing_the_plug_in_imports_no_trainer():
    program = (
        "import sys, otel_llm, otel_llm_trl; otel_llm.instrument(store=None); otel_llm_trl.seams();"
        "print(sorted({'torch', 'transformers', 'trl', 'accelerate', 'datasets', 'numpy'} & sys.modules.keys()))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


# --- seams ----------------------------------------------------------------------------------------
class Half:
    """What a half of ours did."""

    def __init__(self, told, *, breaks=None):
        self.told, self.breaks = told, breaks

    def _tell(self, what, value):
        self.told.append((what, value))
        if self.breaks == what:
            raise ValueError("ours is broken")

    def done(self, result):
        self._tell("done", result)

    def failed(self, error):
        self._tell("failed", error)


class Trainer:
    def learn(self, batch, *, scale=1):
        """Learn."""
        if batch is None:
            raise KeyError("no batch")
        return batch * scale


def wrapped(told, breaks=None):
    seam = guarding.Seam("loss", "losses")

    def enter(trainer, args, kwargs):
        told.append(("enter", (args, dict(kwargs))))
        if breaks == "enter":
            raise ValueError("ours is broken")
        return Half(told, breaks=breaks)

    return seam, guarding.around(seam, enter, Trainer.learn)


def test_both_halves_are_called_and_the_result_is_the_trainers():
    told = []
    seam, learn = wrapped(told)
    assert learn(Trainer(), 3, scale=2) == 6
    assert told == [("enter", ((3,), {"scale": 2})), ("done", 6)]
    assert learn.__doc__ == "Learn."
    assert seam.works


def test_an_error_of_the_trainers_goes_through_and_is_told():
    told = []
    _, learn = wrapped(told)
    with pytest.raises(KeyError, match="no batch"):
        learn(Trainer(), None)
    assert [what for what, _ in told] == ["enter", "failed"]


@pytest.mark.parametrize("breaks", ["enter", "done", "failed"])
def test_a_half_that_breaks_is_switched_off_counted_and_said_once(breaks, caplog):
    told = []
    seam, learn = wrapped(told, breaks)
    if breaks == "failed":
        with pytest.raises(KeyError, match="no batch"):
            learn(Trainer(), None)
    assert learn(Trainer(), 3) == 3
    seen = len(told)
    assert learn(Trainer(), 4) == 4
    assert len(told) == seen, "it is off"
    assert seam.state == "failed: ValueError('ours is broken')"
    assert drops.counts()["seam", "loss"] == 1
    assert caplog.text.count("the TRL seam loss") == 1


def test_what_was_replaced_is_put_back():
    patches = guarding.Patches()
    original = Trainer.learn
    assert patches.replace(Trainer, "learn", lambda theirs: lambda self: theirs(self, 1))
    assert patches.replace(Trainer, "learn", lambda _: None), "once is enough"
    assert Trainer().learn() == 1
    assert not patches.replace(Trainer, "forget", lambda theirs: theirs)
    patches.remove()
    assert Trainer.learn is original


def test_what_others_have_wrapped_since_is_left_alone():
    class Other(Trainer):
        def learn(self):
            return 1

    patches = guarding.Patches()
    patches.replace(Other, "learn", lambda theirs: lambda self: theirs(self))
    Other.learn = theirs = lambda self: 2
    patches.remove()
    assert Other.learn is theirs


def test_a_seam_that_is_missing_is_said_once_a_trainer(caplog):
    seam = guarding.Seam("rewards", "rewards")
    for _ in range(2):
        seam.lacking("OwnTrainer")
    assert caplog.text.count("OwnTrainer has no place to record rewards") == 1
    assert seam.state == "missing in OwnTrainer"


def test_before_any_training_the_source_says_what_there_is(monkeypatch, tmp_path):
    package = tmp_path / "trl" / "trainer"
    package.mkdir(parents=True)
    (tmp_path / "trl" / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "grpo_trainer.py").write_text(
        "from x import profiling_context\nclass GRPOTrainer:\n    def _calculate_rewards(self): ...\n"
    )
    for name in [name for name in sys.modules if name == "trl" or name.startswith("trl.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    found = probing.states()
    assert found["rewards"] == "not used yet"
    assert found["sampling"] == "missing in trl/trainer/grpo_trainer.py"


# --- texts ----------------------------------------------------------------------------------------
def test_messages_with_tool_calls_get_the_shape_of_the_conventions():
    told = completions.said(
        [
            {
                "role": "assistant",
                "content": "let me see",
                "reasoning_content": "hm",
                "tool_calls": [{"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}],
            },
            {"role": "tool", "name": "add", "content": "2"},
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "two"}, {"type": "image", "image": object()}],
            },
        ]
    )
    assert told.json == (
        '[{"role":"assistant","parts":[{"type":"reasoning","content":"hm"},{"type":"text","content":"let me see"},'
        '{"type":"tool_call","name":"add","arguments":{"a":1}}]},'
        '{"role":"tool","parts":[{"type":"tool_call_response","response":"2","name":"add"}]},'
        '{"role":"assistant","parts":[{"type":"text","content":"two\\n<image>"}]}]'
    )


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(anything)
def test_whatever_a_program_calls_a_completion_is_put_into_words(value):
    completions.said(value)
    completions.said([value])
    completions.task({"prompt": value, "answer": value})


def test_columns_that_are_named_like_ours_are_the_datasets_own():
    told = completions.task({"prompt": "?", "rl.sample.id": "mine", "_otel_llm_rollouts": 7})
    assert told == '{"rl.sample.id":"mine","_otel_llm_rollouts":7}'
    assert completions.task({"prompt": "?"}) is None


# --- which texts are kept -------------------------------------------------------------------------
def test_the_best_the_worst_and_the_most_surprising_keep_their_texts():
    columns = {sc.SAMPLE_REWARD: [0.0, 3.0, 1.0, -2.0, 1.0], sc.SAMPLE_ADVANTAGE: [0.0, 0.1, 0.0, 0.1, -9.0]}
    assert chosen(columns, {}, 5, 3) == {1, 3, 4}
    assert chosen(columns, {}, 5, 4) == {0, 1, 3, 4}
    assert chosen(columns, {}, 5, None) == set(range(5))


@given(st.integers(0, 8), st.lists(st.none() | st.floats(), max_size=8))
def test_as_many_texts_are_kept_as_were_asked_for(most, scores):
    size = len(scores)
    found = chosen({}, {"r": (scores, 2.0)}, size, most)
    assert len(found) == min(most, size)
    assert found <= set(range(size))


# --- figures --------------------------------------------------------------------------------------
class Shaped:
    def __init__(self, *shape):
        self.shape = shape


def test_tokens_of_a_batch_are_known_by_its_shapes():
    assert throughput.tokens_of({"input_ids": Shaped(2, 5), "labels": Shaped(2, 5)}) == 10
    assert throughput.tokens_of({"chosen_input_ids": Shaped(2, 5), "rejected_input_ids": Shaped(2, 6)}) == 22
    assert throughput.tokens_of(None) == 0


def test_utilisation_is_given_for_known_devices_alone(monkeypatch):
    assert throughput.peak_of("NVIDIA H100 80GB HBM3") == 989e12
    assert throughput.peak_of("NVIDIA A100-SXM4-80GB") == 312e12
    assert throughput.peak_of("Own Accelerator 1") is None
    session = sessions.Session(Trainer())
    session.tokens, session.parameters = 1000, 2_000_000
    assert "perf/mfu" not in throughput.of_step(session, 0.5, {})
    monkeypatch.setattr(throughput, "device_name", lambda: "NVIDIA H100 80GB HBM3")
    found = throughput.of_step(session, 0.5, {"generation": 250_000_000})
    assert found["perf/mfu"] == pytest.approx(6 * 2e6 * 1000 / 0.5 / 989e12)
    assert found["perf/tokens_per_second"] == 2000
    assert found["perf/time/generation"] == 0.25


def test_a_session_lets_its_trainer_go():
    class Part:
        pass

    trainer = Trainer()
    trainer.callback_handler, trainer.accelerator = Part(), Part()
    session = sessions.begin(trainer)
    assert sessions.begin(trainer) is None
    assert sessions.of(trainer) is sessions.of_part(trainer.accelerator) is session
    sessions.end(session)
    assert sessions.of(trainer) is sessions.of_part(trainer.callback_handler) is None


def test_rollouts_are_found_by_their_numbers_in_any_order():
    session = sessions.Session(Trainer())
    batches = [sessions.Known(session.number_batch(4), 4, name, step, []) for step, name in enumerate("ab")]
    for known in batches:
        session.keep(known)
    assert session.of_rollouts([5, 1, 4, 0]) == [(batches[1], [1, 0]), (batches[0], [1, 0])]
    assert session.of_rollouts([99]) == []
