"""Costs are those of the price list, or none at all."""

import subprocess
import sys
from datetime import UTC, datetime

import pytest
from genai_prices import Usage as ListUsage
from genai_prices import calc_price
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ConditionalPrice, TimeOfDateConstraint
from hypothesis import given
from hypothesis import strategies as st

from otel_llm import drops, pricing
from otel_llm import semconv as sc
from otel_llm.llm import LLMCall, Usage
from otel_llm.pricing import PROVIDERS, Cost, Pricer

AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def ns(at):
    return int(at.timestamp()) * 10**9


def call(provider, model, usage, *, response_model=None, tier=None):
    return LLMCall(
        "chat",
        provider,
        model,
        response_model=response_model,
        response={} if tier is None else {sc.OPENAI_RESPONSE_SERVICE_TIER: tier},
        usage=usage,
    )


def listed(provider_id, model, at=AT, **usage):
    price = calc_price(ListUsage(**usage), model, provider_id=provider_id, genai_request_timestamp=at)
    return Cost(float(price.input_price), float(price.output_price), float(price.total_price))


@pytest.fixture(autouse=True)
def _no_counts():
    drops.reset()
    yield
    drops.reset()


def test_a_cost_can_be_worked_out_by_hand():
    # gpt-4.1-mini: $0.40 fresh, $0.10 cached, $1.60 out, a million tokens.
    cost = Pricer().price(call("openai", "gpt-4.1-mini", Usage(2113, 571, 1289, None, 277)), ns(AT))
    assert cost == Cost(
        pytest.approx((824 * 0.4 + 1289 * 0.1) / 1e6),
        pytest.approx(571 * 1.6 / 1e6),
        pytest.approx((824 * 0.4 + 1289 * 0.1 + 571 * 1.6) / 1e6),
    )


def test_cache_writes_and_long_inputs_have_their_own_rates():
    # claude-sonnet-4-5: fresh $3, read $0.30, write $3.75, out $15; twice that ($22.50 out) above 200,000 in.
    short = Pricer().price(call("anthropic", "claude-sonnet-4-5", Usage(10_000, 100, 6_000, 3_000)), ns(AT))
    assert short == Cost(*map(pytest.approx, (0.003 + 0.0018 + 0.01125, 0.0015, 0.01755)))
    long = Pricer().price(call("anthropic", "claude-sonnet-4-5", Usage(200_001, 100)), ns(AT))
    assert long == Cost(*map(pytest.approx, (200_001 * 6 / 1e6, 0.00225, 200_001 * 6 / 1e6 + 0.00225)))


@pytest.mark.parametrize(
    ("provider", "model", "listed_as"),
    [
        ("openai", "gpt-4o-2024-08-06", "openai"),
        ("openai", "text-embedding-3-small", "openai"),
        ("anthropic", "claude-opus-4-6", "anthropic"),
        ("gcp.gemini", "gemini-2.5-pro", "google"),
        ("gcp.vertex_ai", "gemini-3-flash-preview", "google"),
        ("mistral_ai", "mistral-large-latest", "mistral"),
        ("groq", "openai/gpt-oss-120b", "groq"),
        ("deepseek", "deepseek-chat", "deepseek"),
        ("cohere", "command-r-plus", "cohere"),
        ("perplexity", "sonar-deep-research", "perplexity"),
        ("x_ai", "grok-4.3", "x-ai"),
        ("openrouter", "openai/gpt-4o", "openrouter"),
    ],
)
@pytest.mark.parametrize("size", [1_000, 300_000])
def test_costs_equal_the_price_lists_own(provider, model, listed_as, size):
    cost = Pricer().price(call(provider, model, Usage(size, 700, size // 3, 100, 50)), ns(AT))
    assert cost == listed(
        listed_as,
        model,
        input_tokens=size,
        output_tokens=700,
        cache_read_tokens=size // 3,
        cache_write_tokens=100,
        output_reasoning_tokens=50,
    )


EVERY_MODEL = [
    (name, provider_id, model)
    for name, provider_id in PROVIDERS.items()
    for provider in get_snapshot().providers
    if provider.id == provider_id
    for model in provider.models
]


@given(
    st.sampled_from(EVERY_MODEL),
    st.tuples(*[st.integers(0, 400_000)] * 4),
    st.integers(0, 2_000),
    st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),
    st.sampled_from([None, "default", "flex", "priority"]),
)
def test_every_model_costs_what_the_list_says_at_any_time(chosen, counts, reasoning, at, tier):
    name, provider_id, model = chosen
    at = at.replace(second=0, microsecond=0)
    read, write, fresh, output = counts
    usage = Usage(read + write + fresh, output + reasoning, read, write, reasoning)
    ours = Pricer().price(call(name, model.id, usage, tier=tier, response_model=model.id), ns(at))
    try:
        price = calc_price(
            ListUsage(
                input_tokens=read + write + fresh,
                output_tokens=output + reasoning,
                cache_read_tokens=read,
                cache_write_tokens=write,
                output_reasoning_tokens=reasoning,
            ),
            model.id,
            provider_id=provider_id,
            genai_request_timestamp=at,
            price_context={"service_tier": tier} if tier else None,
        )
    except LookupError:
        price = None
    if ours is None:
        assert price is None or not {"input_mtok", "output_mtok"} & vars(price.model_price).keys()
    else:
        assert ours == Cost(float(price.input_price), float(price.output_price), float(price.total_price))


def test_prices_follow_the_time_of_day_although_they_are_remembered():
    pricer = Pricer()
    asked = call("deepseek", "deepseek-chat", Usage(1_000_000, 0))
    for hour, minute in ((0, 29), (0, 30), (16, 29), (16, 30), (0, 29)):
        at = AT.replace(hour=hour, minute=minute, second=59)
        assert pricer.price(asked, ns(at)) == listed("deepseek", "deepseek-chat", at, input_tokens=1_000_000)


def test_prices_that_depend_on_the_time_change_on_whole_minutes():
    times = [
        time
        for provider in get_snapshot().providers
        for model in provider.models
        for price in (model.prices if isinstance(model.prices, list) else [])
        if isinstance(price, ConditionalPrice) and isinstance(price.constraint, TimeOfDateConstraint)
        for time in (price.constraint.start_time, price.constraint.end_time)
    ]
    assert times
    assert all(time.second == 0 and time.microsecond == 0 for time in times)


def test_the_service_tier_that_answered_is_priced():
    pricer = Pricer()
    usage = Usage(1_000_000, 0)
    default = pricer.price(call("openai", "gpt-5", usage, tier="default"), ns(AT))
    flex = pricer.price(call("openai", "gpt-5", usage, tier="flex"), ns(AT))
    assert flex.input == pytest.approx(default.input / 2)


def test_audio_is_priced_as_audio():
    usage = Usage(1_000_000, 0, by_modality={"audio.input_tokens": 1_000_000, "text.input_tokens": 0})
    spoken = Pricer().price(call("gcp.gemini", "gemini-2.5-flash", usage), ns(AT))
    written = Pricer().price(call("gcp.gemini", "gemini-2.5-flash", Usage(1_000_000, 0)), ns(AT))
    assert spoken == listed(
        "google", "gemini-2.5-flash", input_tokens=1_000_000, input_audio_tokens=1_000_000, output_tokens=0
    )
    assert spoken.input > written.input


def test_the_model_that_answered_is_priced_and_else_the_one_that_was_asked():
    pricer = Pricer()
    usage = Usage(1_000_000, 0)
    mini = listed("openai", "gpt-4o-mini", input_tokens=1_000_000)
    assert (
        pricer.price(call("openai", "gpt-4o", usage, response_model="gpt-4o-mini-2024-07-18"), ns(AT)) == mini
    )
    assert pricer.price(call("openai", "gpt-4o-mini", usage, response_model="unheard-of"), ns(AT)) == mini


def test_the_name_of_an_azure_deployment_is_no_model():
    usage = Usage(1_000_000, 0)
    assert Pricer().price(call("azure.ai.openai", "gpt-4o", usage), ns(AT)) is None
    assert Pricer().price(call("azure.ai.openai", "mine", usage, response_model="gpt-4o"), ns(AT)) is not None


@pytest.mark.parametrize("name", ["models/gemini-2.5-pro", "publishers/google/models/gemini-2.5-pro"])
def test_googles_resource_names_are_models(name):
    assert Pricer().price(call("gcp.vertex_ai", name, Usage(10, 10)), ns(AT)) is not None


@pytest.mark.parametrize(
    ("provider", "model", "usage"),
    [
        ("openai", "my-finetune-of-llama", Usage(10, 10)),
        ("vllm", "gpt-4o", Usage(10, 10)),
        ("my-openai-proxy", "gpt-4o", Usage(10, 10)),
        ("ollama", "llama3", Usage(10, 10)),
        ("openai", None, Usage(10, 10)),
        ("openai", "gpt-4o", None),
        ("openai", "gpt-4o", Usage()),
        ("mistral_ai", "mistral-ocr-2512", Usage(10, 10)),  # priced by the page
    ],
)
def test_what_nobody_knows_has_no_cost_rather_than_a_guess(provider, model, usage):
    assert Pricer().price(call(provider, model, usage), ns(AT)) is None
    assert drops.counts() == {}


def test_a_server_that_is_not_the_providers_is_not_priced():
    asked = call("openai", "gpt-4o", Usage(10, 10))
    assert Pricer().price(asked, ns(AT), priced=False) is None
    assert Pricer().price(asked, ns(AT), priced=True) is not None


def test_counts_that_contradict_each_other_have_no_cost_and_are_counted():
    pricer = Pricer()
    assert pricer.price(call("openai", "gpt-4o", Usage(10, 10, cache_read_tokens=11)), ns(AT)) is None
    assert drops.counts() == {("cost", "inconsistent_usage"): 1}


def test_failures_inside_have_no_cost_and_are_counted(monkeypatch):
    monkeypatch.setattr(pricing, "_look_up", lambda key, at_ns: 1 / 0)
    assert Pricer().price(call("openai", "gpt-4o", Usage(10, 10)), ns(AT)) is None
    assert drops.counts() == {("internal_error", "looking up a price"): 1}


def test_without_the_package_nothing_is_priced_and_it_is_said_once(monkeypatch):
    monkeypatch.setitem(sys.modules, "genai_prices.data_snapshot", None)
    pricer = Pricer()
    for _ in range(3):
        assert pricer.price(call("openai", "gpt-4o", Usage(10, 10)), ns(AT)) is None
    assert drops.counts() == {("internal_error", "importing genai_prices"): 1}


def test_any_number_of_models_is_remembered_in_bounded_space():
    pricer = Pricer()
    for n in range(3000):
        pricer.price(call("openai", f"no-such-model-{n}", Usage(10, 10)), ns(AT))
    assert len(pricer._entries) <= 1024


def test_the_price_list_is_imported_by_the_first_call_that_may_have_a_price():
    program = """
import sys
from otel_llm.llm import LLMCall, Usage
from otel_llm.pricing import Pricer
pricer = Pricer()
pricer.price(LLMCall("chat", "vllm", "gpt-4o", usage=Usage(1, 1)), 0)
assert "genai_prices" not in sys.modules
assert pricer.price(LLMCall("chat", "openai", "gpt-4o", usage=Usage(1, 1)), 0)
assert "genai_prices" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
