"""What the loopback server saw of games, counted without anything of otel_llm's: the truth to compare with."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from otel_llm.loopback import Request

_HEAD = re.compile(r"^(Game|Phase|Power|Task): (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Served:
    """One request: what its prompt says, and what it was answered."""

    game: str
    phase: str
    power: str
    task: str
    model: str
    status: int
    id: str | None
    input_tokens: int
    output_tokens: int

    @classmethod
    def of(cls, request: Request) -> Served:
        prompt = request.json["messages"][-1]["content"]
        head = dict(_HEAD.findall(prompt[:600]))
        usage = request.sent.usage
        return cls(
            head["Game"],
            head["Phase"].split()[0],
            head["Power"],
            head["Task"],
            request.json["model"],
            request.sent.status,
            request.sent.id if request.sent.status == 200 else None,
            usage.input if usage else 0,
            usage.output if usage else 0,
        )


@dataclass
class Count:
    """Sums over requests; where none fails, each request is an interaction."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    by_type: Counter[str] = field(default_factory=Counter)
    by_power: Counter[str] = field(default_factory=Counter)
    by_phase: Counter[str] = field(default_factory=Counter)
    by_model: Counter[str] = field(default_factory=Counter)

    def add(self, one: Served) -> None:
        self.calls += 1
        self.input_tokens += one.input_tokens
        self.output_tokens += one.output_tokens
        self.by_type[one.task] += 1
        self.by_power[one.power] += 1
        self.by_phase[one.phase] += 1
        self.by_model[one.model] += 1

    def plain(self) -> dict[str, Any]:
        return {
            key: dict(value) if isinstance(value, Counter) else value for key, value in vars(self).items()
        }


def by_game(requests: Iterable[Request]) -> dict[str, dict[str, Any]]:
    """Sums by game."""
    found: dict[str, Count] = {}
    for request in requests:
        one = Served.of(request)
        found.setdefault(one.game, Count()).add(one)
    return {game: count.plain() for game, count in found.items()}
