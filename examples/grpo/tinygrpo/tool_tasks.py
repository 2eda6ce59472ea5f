"""Tasks of several turns: looking something up, and having something computed."""

import random
import re
from typing import Final

import otel_llm
from tinygrpo.arithmetic import evaluate
from tinygrpo.multi_turn import Conversation, Tool, ToolTask
from tinygrpo.tasks import Demonstration, Question, answer_in

PEOPLE: Final = ("Ann", "Bob", "Cleo", "Dan")
TOWNS: Final = ("Rome", "Oslo", "Lima", "Cairo")
_OUTSIDE: Final = "Put the answer between <answer> and </answer>."


@otel_llm.reward("correct")
def correct(completion: str, question: Question) -> float:
    """Score 1 for the right answer."""
    return 1.0 if answer_in(completion) == question.answer else 0.0


@otel_llm.reward("form")
def form(completion: str, question: Question) -> float:  # noqa: ARG001 (all rewards are asked alike)
    """Score 0.1 for any answer between tags, in the end."""
    return 0.1 if answer_in(completion) else 0.0


@otel_llm.reward("faithful")
def faithful(one: Conversation) -> float:
    """Score 0.25 for an answer that is in what the tool said last, right or not."""
    answer = answer_in(one.answer)
    said = [result for _, result in one.calls if result is not None]
    return 0.25 if answer and said and answer in re.findall(r"\w+", said[-1]) else 0.0


# --- questions over documents ---------------------------------------------------------------------


def search(query: str, question: Question) -> str:
    """Return the document that is about somebody.

    Raises:
        ValueError: there is none.
    """
    if query not in question.documents:
        raise ValueError("no document")
    return question.documents[query]


@otel_llm.reward("retrieved")
def retrieved(one: Conversation) -> float:
    """Score 0.5 for having looked up the right document."""
    return 0.5 if any(query == one.question.subject for query, _ in one.calls) else 0.0


def documents(seed: int, count: int) -> ToolTask:
    """Return the task of `multiturn_qa.py`: where does somebody live? A document says so; who lives where changes."""
    chance = random.Random(seed)
    questions = []
    for _ in range(count):
        towns = {name: chance.choice(TOWNS) for name in PEOPLE}
        name = chance.choice(PEOPLE)
        found = {person: f"{person} lives in {town}." for person, town in towns.items()}
        questions.append(Question(_where(name), towns[name], found, name))
    return ToolTask(
        questions=questions,
        demonstrations=[_lookup(chance) for _ in range(256)],
        rewards=(form, correct),
        judges=(retrieved, faithful),
        tool=Tool("search", "search", "query", search),
        turns=3,
        new_tokens=8,
        words=("<result>error</result>",),
    )


def _lookup(chance: random.Random) -> Demonstration:
    somebody, town = chance.choice(PEOPLE), chance.choice(TOWNS)
    return Demonstration(
        _where(chance.choice(PEOPLE)),
        [
            (f"<search>{somebody}</search>", True),
            (f"<result>{somebody} lives in {town}.</result>", False),
            (f"<answer>{chance.choice(TOWNS)}</answer>", True),
        ],
    )


def _where(name: str) -> str:
    return f"Where does {name} live? Use <search> </search>. {_OUTSIDE}"


# --- sums with a tool -----------------------------------------------------------------------------


def python(code: str, question: Question) -> str:  # noqa: ARG001 (all tools are asked alike)
    """Return what a sum comes to.

    Raises:
        ValueError: it is no sum.
    """
    return str(evaluate(code))


@otel_llm.reward("computed")
def computed(one: Conversation) -> float:
    """Score 0.25 for code that ran, 0.5 for the right result."""
    results = [result for _, result in one.calls if result is not None]
    return (0.5 if one.question.answer in results else 0.25) if results else 0.0


def sums(seed: int, count: int) -> ToolTask:
    """Return the task of `math_python.py`: how much is a sum of two numbers? The tool knows."""
    chance = random.Random(seed)
    codes = [_sum(chance) for _ in range(count)]
    return ToolTask(
        questions=[Question(_how_much(code), str(evaluate(code))) for code in codes],
        demonstrations=[_computation(chance) for _ in range(256)],
        rewards=(form, correct),
        judges=(computed, faithful),
        tool=Tool("python", "python", "code", python),
        turns=3,
        new_tokens=8,
        words=("<result>error</result>", *map(str, range(2, 7))),
    )


def _computation(chance: random.Random) -> Demonstration:
    code = _sum(chance)
    return Demonstration(
        _how_much(_sum(chance)),
        [
            (f"<python>{code}</python>", True),
            (f"<result>{evaluate(code)}</result>", False),
            (f"<answer>{chance.randint(2, 6)}</answer>", True),
        ],
    )


def _sum(chance: random.Random) -> str:
    return f"{chance.randint(1, 3)} + {chance.randint(1, 3)}"


def _how_much(code: str) -> str:
    return f"How much is {code}? Use <python> </python>. {_OUTSIDE}"
