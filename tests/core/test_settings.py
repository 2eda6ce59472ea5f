"""Argument > environment > default, and one clear error for a bad value."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path

import pytest

import otel_llm
from otel_llm import ContentPolicy, Settings, SettingsError


def test_the_defaults_are_private_and_local() -> None:
    settings = Settings.resolve({}, {})
    assert settings.content is ContentPolicy.LENGTH
    assert settings.kept_content is ContentPolicy.LENGTH
    assert settings.store == Path(".otel_llm")
    assert settings.exporters == ()
    assert set(settings.sources.values()) == {"default"}


def test_an_argument_wins_over_the_environment_which_wins_over_the_default() -> None:
    environ = {"OTEL_LLM_CONTENT": "preview", "OTEL_LLM_EXPORTERS": "otlp, console"}
    settings = Settings.resolve({"content": "full"}, environ)
    assert settings.content is ContentPolicy.FULL
    assert settings.exporters == ("otlp", "console")
    assert settings.sources["content"] == "argument"
    assert settings.sources["exporters"] == "OTEL_LLM_EXPORTERS"
    assert Settings.resolve({}, environ).content is ContentPolicy.PREVIEW


def test_content_for_the_store_is_set_apart() -> None:
    settings = Settings.resolve({"store_content": "full"}, {})
    assert (settings.content, settings.kept_content) == (ContentPolicy.LENGTH, ContentPolicy.FULL)


@pytest.mark.parametrize("text", ["", "off", "none", "false", "0", "no", "OFF"])
def test_the_store_can_be_switched_off(text: str) -> None:
    assert Settings.resolve({}, {"OTEL_LLM_STORE": text}).store is None
    assert Settings.resolve({"store": None}, {}).store is None


@pytest.mark.parametrize(
    ("mode", "policy"),
    [
        ("SPAN_ONLY", ContentPolicy.FULL),
        ("span_and_event", ContentPolicy.FULL),
        ("EVENT_ONLY", ContentPolicy.LENGTH),
        ("NO_CONTENT", ContentPolicy.LENGTH),
    ],
)
def test_opentelemetrys_own_variable_is_honoured(mode: str, policy: ContentPolicy) -> None:
    environ = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": mode}
    assert Settings.resolve({}, environ).content is policy
    assert Settings.resolve({}, {**environ, "OTEL_LLM_CONTENT": "none"}).content is ContentPolicy.NONE


@pytest.mark.parametrize(
    ("arguments", "environ", "says"),
    [
        (
            {},
            {"OTEL_LLM_CONTENT": "everything"},
            ["OTEL_LLM_CONTENT", "'everything'", "none", "length", "full"],
        ),
        ({"content": "all"}, {}, ["content", "'all'", "preview"]),
        ({}, {"OTEL_LLM_MAX_QUEUE_BYTES": "-3"}, ["OTEL_LLM_MAX_QUEUE_BYTES", "whole number"]),
        ({}, {"OTEL_LLM_METRICS": "maybe"}, ["OTEL_LLM_METRICS", "true or false"]),
        ({}, {"OTEL_LLM_SHUTDOWN_TIMEOUT": "nan"}, ["OTEL_LLM_SHUTDOWN_TIMEOUT", "seconds"]),
        ({}, {"OTEL_LLM_SEMCONV": "1.2"}, ["OTEL_LLM_SEMCONV", "latest or 1.41"]),
        ({"exporters": 3}, {}, ["exporters", "list of texts"]),
        ({"redact": 3}, {}, ["redact", "function"]),
        ({"redact_patterns": ["("]}, {}, ["redact_patterns", "regular expression"]),
        ({"shutdown_timeout": -1}, {}, ["shutdown_timeout", "0 or more"]),
    ],
)
def test_a_bad_value_gives_one_clear_error(arguments: dict, environ: dict, says: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.resolve(arguments, environ)
    message = str(caught.value)
    assert all(part in message for part in says), message
    assert "\n" not in message


def test_an_unknown_setting_is_named_with_those_that_exist() -> None:
    with pytest.raises(TypeError, match="no setting contents; it has content"):
        otel_llm.instrument(contents="full")


def test_settings_cannot_be_changed_and_every_field_is_documented() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings.resolve({}, {}).content = ContentPolicy.FULL  # type: ignore[misc]
    documented = inspect.getdoc(Settings) or ""
    for field in dataclasses.fields(Settings):
        assert f"\n    {field.name}: " in documented
        if field.metadata["env"]:
            assert f"`{field.metadata['env']}`" in documented
