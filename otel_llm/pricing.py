"""What a call cost, in US dollars, by the list prices of `genai-prices`.

The package is imported when the first call is priced (on the worker), and never fetches anything. Its own
arithmetic takes 80 µs a call; this module asks it once per provider, model and service tier which prices hold,
and repeats the arithmetic. It does so only after both gave the same for a few probes; where they differ, and for
usage by modality, the package computes. Unknown models have no cost: a guess would be worse.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from types import ModuleType
from typing import Any, Final, NamedTuple, TypeAlias

from otel_llm import drops
from otel_llm import semconv as sc
from otel_llm.llm import LLMCall, Usage


class Cost(NamedTuple):
    """What a call cost, in US dollars.

    Attributes:
        input: the price of what was sent.
        output: the price of what came back.
        total: both, and what is paid per request.
    """

    input: float
    output: float
    total: float


PROVIDERS: Final[Mapping[str, str]] = {
    "openai": "openai",
    "anthropic": "anthropic",
    "gcp.gemini": "google",
    "gcp.vertex_ai": "google",
    "gcp.gen_ai": "google",
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "aws.bedrock": "aws",
    "mistral_ai": "mistral",
    "groq": "groq",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "perplexity": "perplexity",
    "x_ai": "x-ai",
    "moonshot_ai": "moonshotai",
    "together": "together",
    "together_ai": "together",
    "openrouter": "openrouter",
    "fireworks": "fireworks",
    "fireworks_ai": "fireworks",
    "cerebras": "cerebras",
    "novita": "novita",
    "baseten": "baseten",
    "voyageai": "voyageai",
}
"""`gen_ai.provider.name` -> the id that genai-prices has for it. Others are not priced: its own matching by
substring would take any "my-openai-proxy" for OpenAI."""

_DEPLOYMENTS: Final = frozenset({"azure"})
"""Where the request names a deployment, whose name says nothing about the model."""

_PACKAGE: Final = "genai_prices"
_FETCHING: Final = "genai_prices.update_prices"
_FETCHERS: Final = ("UpdatePrices", "wait_prices_updated_async", "wait_prices_updated_sync")
_MAX_CACHED: Final = 1024
_MINUTE_NS: Final = 60_000_000_000
_PER_MILLION: Final = Decimal(1_000_000)
_PER_THOUSAND: Final = Decimal(1000)
_ZERO: Final = Decimal(0)

Key: TypeAlias = tuple[str, str | None, str | None, object]
Rates: TypeAlias = Callable[[Usage], Cost | None]


class _Entry:
    """Which prices hold for one provider, model and service tier.

    Attributes:
        calculate: computes a cost.
        minute: the minute for which they hold; None for always. Prices that depend on the time of day change
            on whole minutes.
    """

    __slots__ = ("calculate", "minute")

    def __init__(self, calculate: Rates, minute: int | None) -> None:
        self.calculate = calculate
        self.minute = minute


class Pricer:
    """Prices calls. One a runtime; used on the worker only."""

    __slots__ = ("_entries", "_unusable")

    def __init__(self) -> None:
        self._entries: dict[Key, _Entry | None] = {}
        self._unusable = False

    def price(self, call: LLMCall, at_ns: int, *, priced: bool = True) -> Cost | None:
        """Return the cost of `call`.

        Args:
            call: the call, with its usage.
            at_ns: when it was made, in nanoseconds since the epoch: prices change.
            priced: whether the server is the provider's own, which `gen_ai.provider.name` does not say: a local
                server may call its model `gpt-4`.

        Returns:
            None where there is no usage, or nobody knows the price.
        """
        usage = call.usage
        if usage is None or not priced or self._unusable:
            return None
        key = (
            call.provider,
            call.response_model,
            call.request_model,
            call.response.get(sc.OPENAI_RESPONSE_SERVICE_TIER),
        )
        try:
            entry = self._entries[key]
            if entry is not None and entry.minute is not None and entry.minute != at_ns // _MINUTE_NS:
                entry = self._find(key, at_ns)
        except KeyError:
            entry = self._find(key, at_ns)
        if entry is None or (usage.input_tokens is None and usage.output_tokens is None):
            return None
        try:
            return entry.calculate(usage)
        except ValueError:
            # Counts that contradict each other, such as more cached tokens than there were.
            drops.count("cost", "inconsistent_usage")
        except Exception:
            drops.internal_error("pricing")
        return None

    def _find(self, key: Key, at_ns: int) -> _Entry | None:
        entry = None
        try:
            entry = _look_up(key, at_ns)
        except ImportError:
            self._unusable = True
            drops.internal_error("importing genai_prices")
        except Exception:
            drops.internal_error("looking up a price")
        if len(self._entries) >= _MAX_CACHED:
            self._entries.clear()
        self._entries[key] = entry
        return entry


def _load_package() -> None:
    """Import genai-prices without the part of it that fetches prices, and with it httpx2.

    This runs on the worker. Were it to import httpx2 there, the program could meet that module half-made: openai
    2.54 looks into `sys.modules` for it on every request, and fails then. What is left out is imported when
    somebody asks the package for it.
    """
    if _PACKAGE in sys.modules or "httpx2" in sys.modules:
        return
    stub = ModuleType(_FETCHING)
    for name in _FETCHERS:
        setattr(stub, name, None)
    sys.modules[_FETCHING] = stub
    try:
        package = importlib.import_module(_PACKAGE)
    finally:
        if sys.modules.get(_FETCHING) is stub:
            del sys.modules[_FETCHING]
    for name in (*_FETCHERS, "update_prices"):
        package.__dict__.pop(name, None)

    def missing(name: str) -> Any:
        if name in _FETCHERS:
            return getattr(importlib.import_module(_FETCHING), name)
        raise AttributeError(f"module {_PACKAGE!r} has no attribute {name!r}")

    package.__dict__["__getattr__"] = missing


def _look_up(key: Key, at_ns: int) -> _Entry | None:
    provider_name, response_model, request_model, tier = key
    provider_id = PROVIDERS.get(provider_name)
    if provider_id is None:
        return None
    _load_package()
    from genai_prices.data_snapshot import get_snapshot

    snapshot = get_snapshot()
    models = [response_model] if provider_id in _DEPLOYMENTS else [response_model, request_model]
    for name in models:
        if not name:
            continue
        try:
            provider, model = snapshot.find_provider_model(
                _bare_name(name, provider_id), None, provider_id, None
            )
        except LookupError:
            continue
        return _entry(provider, model, tier if isinstance(tier, str) else None, at_ns)
    return None


def _bare_name(name: str, provider_id: str) -> str:
    # models/gemini-2.5-pro, publishers/google/models/gemini-2.5-pro
    return name.rpartition("models/")[2] if provider_id == "google" else name


def _entry(provider: Any, model: Any, tier: str | None, at_ns: int) -> _Entry | None:
    # A model of another provider that this one sells has no variants here.
    context = {"service_tier": tier} if tier and any(model is own for own in provider.models) else None
    conditional = not _is_plain(model.prices) or (
        context is not None and any(variant.constraint is not None for variant in model.price_variants or ())
    )
    minute = at_ns // _MINUTE_NS if conditional else None
    at = datetime.fromtimestamp((at_ns if minute is None else minute * _MINUTE_NS) / 1e9, UTC)
    prices = model.get_prices(at, context)
    rates = {
        name: rate for name, rate in vars(prices).items() if rate is not None and not name.startswith("_")
    }
    if not rates.keys() & {"input_mtok", "output_mtok"}:
        return None  # known, but not by the token

    def by_the_package(usage: Usage) -> Cost:
        price = model.calc_price(
            _package_usage(usage),
            provider,
            genai_request_timestamp=at,
            price_context=context,
        )
        return Cost(float(price.input_price), float(price.output_price), float(price.total_price))

    own = _calculator(rates)
    if any(own(probe) != by_the_package(probe) for probe in _PROBES):
        return _Entry(by_the_package, minute)
    if not rates.keys() & _MODALITY_RATES:
        return _Entry(own, minute)
    return _Entry(lambda usage: by_the_package(usage) if usage.by_modality else own(usage), minute)


def _is_plain(prices: Any) -> bool:
    return not isinstance(prices, list)


_MODALITY_RATES: Final = frozenset(
    {
        f"{prefix}{modality}_{suffix}"
        for modality in ("text", "audio", "image", "video")
        for prefix, suffix in (("input_", "mtok"), ("output_", "mtok"), ("cache_", "read_mtok"))
    },
)

_PROBES: Final = (
    Usage(
        input_tokens=1_009,
        output_tokens=211,
        cache_read_tokens=307,
        cache_write_tokens=101,
        reasoning_tokens=53,
    ),
    Usage(input_tokens=100_003, output_tokens=0),
    Usage(input_tokens=10_000_019, output_tokens=70_001, cache_read_tokens=4_000_037, reasoning_tokens=601),
)


def _calculator(rates: Mapping[str, Any]) -> Callable[[Usage], Cost]:
    """Return a function that computes costs with `rates` as genai-prices does.

    Every token is paid once, by the most specific rate: cached ones leave the input, reasoning leaves the
    output where it has a rate of its own. Rates may rise for all tokens of a call with a long input.
    """
    read_rate = rates.get("cache_read_mtok")
    write_rate = rates.get("cache_write_mtok")
    reasoning_rate = rates.get("output_reasoning_mtok")
    request = rates.get("requests_kcount", _ZERO) / _PER_THOUSAND
    names = ("input_mtok", "cache_read_mtok", "cache_write_mtok", "output_mtok", "output_reasoning_mtok")
    steps = sorted(
        {tier.start for name in names for tier in getattr(rates.get(name), "tiers", ())}, reverse=True
    )
    # Per step, highest first, the rates that hold above it, in dollars a token.
    levels = [(start, *(_rate(rates.get(name), start + 1) for name in names)) for start in (*steps, -1)]

    def calculate(usage: Usage) -> Cost:
        total = usage.input_tokens or 0
        read = usage.cache_read_tokens or 0 if read_rate is not None else 0
        write = usage.cache_write_tokens or 0 if write_rate is not None else 0
        reasoning = usage.reasoning_tokens or 0 if reasoning_rate is not None else 0
        fresh = total - read - write
        output = (usage.output_tokens or 0) - reasoning
        if min(fresh, read, write, output, reasoning) < 0:
            raise ValueError("token counts contradict each other")
        level = 0
        while total <= levels[level][0]:
            level += 1
        _, fresh_at, read_at, write_at, output_at, reasoning_at = levels[level]
        sent = fresh * fresh_at + read * read_at + write * write_at
        received = output * output_at + reasoning * reasoning_at
        return Cost(float(sent), float(received), float(sent + received + request))

    return calculate


def _rate(price: Any, input_tokens: int) -> Decimal:
    """Return dollars a token at this input length."""
    if price is None:
        return _ZERO
    for tier in reversed(getattr(price, "tiers", ())):
        if input_tokens > tier.start:
            return Decimal(tier.price) / _PER_MILLION
    return Decimal(getattr(price, "base", price)) / _PER_MILLION


def _package_usage(usage: Usage) -> Any:
    from genai_prices import Usage as PackageUsage

    counts = {
        "input_tokens": usage.input_tokens or 0,
        "output_tokens": usage.output_tokens or 0,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "output_reasoning_tokens": usage.reasoning_tokens,
    }
    for tail, count in usage.by_modality.items():
        if (name := _MODALITY_COUNTS.get(tail)) is not None:
            counts[name] = count
    return PackageUsage(**{name: count for name, count in counts.items() if count is not None})


_MODALITY_COUNTS: Final = {
    f"{modality}.{ours}": f"{prefix}{modality}_{suffix}"
    for modality in ("text", "audio", "image", "video")
    for ours, prefix, suffix in (
        ("input_tokens", "input_", "tokens"),
        ("output_tokens", "output_", "tokens"),
        ("cache_read.input_tokens", "cache_", "read_tokens"),
    )
}
