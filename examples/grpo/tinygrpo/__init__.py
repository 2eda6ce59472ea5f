"""What the loops share: options, a model made on the spot, tasks, tools, and the arithmetic of GRPO.

Only `telemetry` and the rewards in `tasks` know of otel_llm; the loops themselves tell the rest.
"""
