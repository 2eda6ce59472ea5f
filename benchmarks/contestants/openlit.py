"""openlit.init with its defaults (content on) and our provider, without its metrics and events."""

import json
import os
import pathlib

from benchmarks import sinks

VENV = "openlit"
BASELINE = "none_openai2"
_PRICES = {
    "chat": {"gpt-4.1-mini": {"promptPrice": 0.0004, "completionPrice": 0.0016}},
    "embeddings": {"text-embedding-3-small": 0.00002},
}


def setup() -> None:
    sinks.tracer_provider()
    prices = pathlib.Path(os.environ["BENCH_SCRATCH"]) / "openlit_prices.json"  # else it fetches them
    prices.write_text(json.dumps(_PRICES))
    import openlit

    openlit.init(disable_metrics=True, disable_events=True, pricing_json=str(prices))
