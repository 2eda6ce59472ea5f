"""What the reward functions of `rewards.py` are worth, and where their limits are."""

from __future__ import annotations

CORRECTNESS_REWARD = 2.0
INTEGER_REWARD = 0.5
STRICT_FORMAT_REWARD = 0.5
SOFT_FORMAT_REWARD = 0.5
XML_COUNT_REWARD = 0.125  # for each of the four tags

REWARD_WEIGHTS = {
    "xmlcount_reward_func": 1.0,
    "soft_format_reward_func": 1.0,
    "strict_format_reward_func": 1.0,
    "int_reward_func": 1.0,
    "correctness_reward_func": 1.0,
    "anti_repetition_reward_func": 0.5,
    "topic_relevance_reward_func": 0.5,
}
"""How much each counts in the total that is learned from: `GRPOConfig(reward_weights=[...])`, in their order."""

TRAILING_PENALTY = 0.001  # for each character after the answer's closing tag

REPETITION = {
    "words": 4,  # so many words in a row, seen again, are a repetition
    "penalty": 1.0,  # for a text that is nothing but repetitions
    "run": 10,  # so many times the same character, or the same few, in a row
    "run_penalty": 0.5,
    "lowest": -1.5,
}

TOPIC = {
    "reward": 0.5,  # for an answer whose reasoning takes up every word of the question
    "max_reasoning_length": 2000,  # characters
    "max_answer_length": 200,
    "length_penalty": 0.1,  # for each 100 characters above
    "trailing_penalty": 0.25,  # for text after the answer
    "lowest": -1.0,
}
