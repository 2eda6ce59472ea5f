"""Tasks of one turn that a tiny model learns within a minute, and how answers are scored.

Each is a list of questions, and rewards: functions that `otel_llm.reward` makes into components.
"""

import inspect
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import otel_llm

_ANSWER: Final = re.compile(r"<answer>\s*(.*?)\s*</answer>", re.DOTALL)

Reward = Callable[[str, "Question"], float]


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt, and what is right.

    Attributes:
        text: the prompt.
        answer: the right answer.
        documents: what a tool finds, by what it is asked for.
        subject: what to ask the tool for.
    """

    text: str
    answer: str
    documents: dict[str, str] = field(default_factory=dict)
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Demonstration:
    """An answer of the right form and of no use, for `warm_up`.

    Attributes:
        prompt: what is asked.
        said: texts, and whether the policy is to say them; the others a tool says.
    """

    prompt: str
    said: Sequence[tuple[str, bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is to be learned.

    Attributes:
        questions: prompts with their answers.
        demonstrations: of the form of answers.
        rewards: the components; the reward is their sum.
        new_tokens: how many tokens the policy may say at once.
        words: what else is said.
    """

    questions: Sequence[Question]
    demonstrations: Sequence[Demonstration]
    rewards: Sequence[Reward]
    new_tokens: int
    words: Sequence[str] = ()

    def texts(self) -> list[str]:
        """Return texts that have all its words."""
        asked = [question.text for question in self.questions]
        shown = [
            text for one in self.demonstrations for text in (one.prompt, *(said for said, _ in one.said))
        ]
        return [*asked, *shown, *self.words]

    def score(self, completion: str, question: Question) -> dict[str, float]:
        """Return the score of each component, by name."""
        return {reward.__name__: reward(completion, question) for reward in self.rewards}

    def score_all(self, completions: Sequence[str], questions: Sequence[Question]) -> dict[str, list[float]]:
        """Return the scores of each component, by name; each component is one span, whatever it scores."""
        found = {}
        for reward in self.rewards:
            with otel_llm.reward(reward.__name__):
                score = inspect.unwrap(reward)  # without a span for each
                found[reward.__name__] = list(map(score, completions, questions))
        return found


def answer_in(completion: str) -> str | None:
    """Return what is between the tags `<answer>`; None where there are none."""
    found = _ANSWER.search(completion)
    return found[1] if found else None


@otel_llm.reward("form")
def form(completion: str, question: Question) -> float:  # noqa: ARG001 (all rewards are asked alike)
    """Score 0.2 for one digit between tags, and nothing else."""
    return 0.2 if re.fullmatch(r"<answer>\s*\d\s*</answer>", completion) else 0.0


@otel_llm.reward("correct")
def correct(completion: str, question: Question) -> float:
    """Score 1 for the right answer."""
    return 1.0 if answer_in(completion) == question.answer else 0.0


@otel_llm.reward("length")
def length(completion: str, question: Question) -> float:
    """Score up to 1 for as many words as were asked for."""
    asked = int(question.answer)
    return max(0.0, 1 - abs(len(completion.split()) - asked) / asked)


def copying(seed: int, count: int) -> Task:
    """Return the task of `base.py`: say the digit that is asked for."""
    return _digits(seed, count, "Say the digit {0}.", lambda digit: digit, (form, correct))


def successor(seed: int, count: int) -> Task:
    """Return the task of `accelerate_ddp.py`: say the digit that comes next."""
    return _digits(
        seed,
        count,
        "Which digit comes after {0}?",
        lambda digit: digit + 1,
        (form, correct),
        largest=5,
    )


def mirrored(seed: int, count: int) -> Task:
    """Return the task of `accelerate_loop.py`: say what is missing to 5."""
    return _digits(seed, count, "{0} and what is 5?", lambda digit: 5 - digit, (form, correct), largest=5)


def counting(seed: int, count: int) -> Task:
    """Return the task of `dr_grpo.py`: say a word so many times. How long an answer is, is what is learned."""
    chance = random.Random(seed)
    asked = [chance.choice("23456") for _ in range(count)]
    questions = [Question(f"Say go {number} times.", number) for number in asked]
    shown = [
        Demonstration(
            f"Say go {chance.choice('23456')} times.", [(" ".join(["go"] * chance.randint(1, 8)), True)]
        )
        for _ in range(256)
    ]
    return Task(questions=questions, demonstrations=shown, rewards=(length,), new_tokens=12)


def _digits(
    seed: int,
    count: int,
    template: str,
    right: Callable[[int], int],
    rewards: Sequence[Reward],
    largest: int = 9,
) -> Task:
    chance = random.Random(seed)
    template += " Put it between <answer> and </answer>."
    asked = [chance.randint(0, largest) for _ in range(count)]
    answers = [str(right(digit)) for digit in range(largest + 1)]
    questions = [Question(template.format(digit), answers[digit]) for digit in asked]
    shown = [
        Demonstration(
            template.format(chance.randint(0, largest)),
            [(f"<answer>{chance.choice(answers)}</answer>", True)],
        )
        for _ in range(256)
    ]
    return Task(questions=questions, demonstrations=shown, rewards=rewards, new_tokens=8)
