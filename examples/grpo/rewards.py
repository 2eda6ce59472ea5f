"""Reward functions for answers in tags, as GRPO uses them, and how they are logged.

An answer is expected to be

    <reasoning>
    how it was found
    </reasoning>
    <answer>
    42
    </answer>

Each function takes what TRL gives it and returns a score for each completion. They know nothing of telemetry: `logged`
wraps them, so that each score is an event, each component a curve, and right answers are counted.

    trainer = GRPOTrainer(
        model, REWARD_FUNCTIONS, GRPOConfig(reward_weights=WEIGHTS, ...), callbacks=[EnhancedLoggingCallback()], ...
    )
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from reward_config import (
    CORRECTNESS_REWARD,
    INTEGER_REWARD,
    REPETITION,
    REWARD_WEIGHTS,
    SOFT_FORMAT_REWARD,
    STRICT_FORMAT_REWARD,
    TOPIC,
    TRAILING_PENALTY,
    XML_COUNT_REWARD,
)

from otel_llm_trl.rewards import logged

STRICT = re.compile(r"<reasoning>\n.+?\n</reasoning>\n<answer>\n.+?\n</answer>\n?", re.DOTALL)
SOFT = re.compile(r"<reasoning>.*?</reasoning>\s*<answer>.*?</answer>", re.DOTALL)
TAGS = ("<reasoning>\n", "\n</reasoning>\n", "\n<answer>\n", "\n</answer>")
RUN = re.compile(r"(.{{1,4}}?)\1{{{},}}".format(int(REPETITION["run"]) - 1), re.DOTALL)
COMMON = frozenset(
    {"a", "an", "and", "are", "as", "at", "be", "by", "for", "from", "how", "in", "is", "it", "of", "on", "or", "that",
     "the", "this", "to", "was", "what", "with"}
)  # fmt: skip


# --- taking an answer apart -----------------------------------------------------------------------
def text_of(completion: Any) -> str:
    """Return what the model said: of a text that, of messages the first one's content."""
    if isinstance(completion, str):
        return completion
    content = completion[0].get("content") if completion else ""
    return content if isinstance(content, str) else ""


def extract_xml_answer(text: str) -> str:
    """Return what stands in the last answer tag; without one the whole text."""
    return text.rpartition("<answer>")[2].partition("</answer>")[0].strip()


def extract_reasoning_and_answer(text: str) -> tuple[str, str]:
    """Return reasoning and answer, each empty where its tags are not there."""
    reasoning = re.search(r"<reasoning>(.*?)</reasoning>", text, re.DOTALL)
    answer = re.search(r"<answer>(.*?)(?:</answer>|\Z)", text, re.DOTALL)
    return (reasoning[1].strip() if reasoning else "", answer[1].strip() if answer else "")


# --- the functions --------------------------------------------------------------------------------
def correctness_reward_func(
    prompts: Sequence[Any],  # noqa: ARG001 (as its wrapper is called elsewhere)
    completions: Sequence[Any],
    answer: Sequence[str],
    **_: Any,
) -> list[float]:
    """Reward the right answer."""
    found = [extract_xml_answer(text_of(completion)) for completion in completions]
    return [
        CORRECTNESS_REWARD if given == str(right).strip() else 0.0
        for given, right in zip(found, answer, strict=True)
    ]


def int_reward_func(completions: Sequence[Any], **_: Any) -> list[float]:
    """Reward an answer that is a whole number, right or wrong."""
    found = [extract_xml_answer(text_of(completion)) for completion in completions]
    return [INTEGER_REWARD if re.fullmatch(r"[+-]?\d+", given) else 0.0 for given in found]


def strict_format_reward_func(completions: Sequence[Any], **_: Any) -> list[float]:
    """Reward the format to the letter: each tag on a line of its own, nothing around."""
    return [STRICT_FORMAT_REWARD if STRICT.fullmatch(text_of(one)) else 0.0 for one in completions]


def soft_format_reward_func(completions: Sequence[Any], **_: Any) -> list[float]:
    """Reward both pairs of tags in their order, wherever they stand."""
    return [SOFT_FORMAT_REWARD if SOFT.search(text_of(one)) else 0.0 for one in completions]


def count_xml(text: str) -> float:
    """Return a score for each tag that is there once, less what comes after the last one."""
    score = sum(XML_COUNT_REWARD for tag in TAGS if text.count(tag) == 1)
    if "</answer>" in text:
        score -= TRAILING_PENALTY * len(text.rpartition("</answer>")[2].strip())
    return score


def xmlcount_reward_func(completions: Sequence[Any], **_: Any) -> list[float]:
    """Reward each tag, so that there is something to learn before the format is whole."""
    return [count_xml(text_of(completion)) for completion in completions]


def repetition_of(text: str) -> float:
    """Return the share of phrases in a text that were there before, 0 to 1."""
    words, n = text.lower().split(), int(REPETITION["words"])
    phrases = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return 1.0 - len(set(phrases)) / len(phrases) if phrases else 0.0


def anti_repetition_reward_func(completions: Sequence[Any], **_: Any) -> list[float]:
    """Take away for phrases that come again, and for the same characters over and over, in any script."""
    scores = []
    for text in map(text_of, completions):
        score = -REPETITION["penalty"] * repetition_of(text)
        score -= REPETITION["run_penalty"] * len(RUN.findall(text))
        scores.append(max(REPETITION["lowest"], score))
    return scores


def words_of(text: str) -> set[str]:
    """Return the words that say what a text is about."""
    return {word for word in re.findall(r"\w+", text.lower()) if word not in COMMON}


def topic_relevance_reward_func(prompts: Sequence[Any], completions: Sequence[Any], **_: Any) -> list[float]:
    """Reward reasoning that takes up the question; take away for length, and for going on after the answer."""
    scores = []
    for prompt, text in zip(prompts, map(text_of, completions), strict=True):
        question = words_of(prompt if isinstance(prompt, str) else text_of(prompt[-1:]))
        reasoning, answer = extract_reasoning_and_answer(text)
        shared = len(question & words_of(reasoning)) / len(question) if question else 0.0
        score = TOPIC["reward"] * shared
        for part, longest in ((reasoning, "max_reasoning_length"), (answer, "max_answer_length")):
            score -= TOPIC["length_penalty"] * max(0.0, len(part) - TOPIC[longest]) / 100
        if "</answer>" in text and text.rpartition("</answer>")[2].strip():
            score -= TOPIC["trailing_penalty"]
        scores.append(max(TOPIC["lowest"], score))
    return scores


# --- logged ---------------------------------------------------------------------------------------
wrapped_xmlcount_reward_func = logged(xmlcount_reward_func)
wrapped_soft_format_reward_func = logged(soft_format_reward_func)
wrapped_strict_format_reward_func = logged(strict_format_reward_func)
wrapped_int_reward_func = logged(int_reward_func)
wrapped_correctness_reward_func = logged(correctness_reward_func)
wrapped_anti_repetition_reward_func = logged(anti_repetition_reward_func)
wrapped_topic_relevance_reward_func = logged(topic_relevance_reward_func)

REWARD_FUNCTIONS = [
    wrapped_xmlcount_reward_func,
    wrapped_soft_format_reward_func,
    wrapped_strict_format_reward_func,
    wrapped_int_reward_func,
    wrapped_correctness_reward_func,
    wrapped_anti_repetition_reward_func,
    wrapped_topic_relevance_reward_func,
]
WEIGHTS = [REWARD_WEIGHTS[function.__name__] for function in REWARD_FUNCTIONS]
