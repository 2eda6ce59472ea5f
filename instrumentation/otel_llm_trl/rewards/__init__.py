"""Reward functions that log what they give, and change nothing of it. Imports neither TRL nor transformers.

    from otel_llm_trl.rewards import logged

    wrapped_correctness_reward_func = logged(correctness_reward_func)
    trainer = GRPOTrainer(..., reward_funcs=[wrapped_correctness_reward_func, wrapped_int_reward_func])

Their scores become events and `reward/NAME/mean`; a callback of `otel_llm_trl.callbacks` adds answers and accuracy.
"""

from otel_llm_trl.rewards.collecting import Collector, collector
from otel_llm_trl.rewards.wrapping import logged, logged_all

__all__ = ["Collector", "collector", "logged", "logged_all"]
