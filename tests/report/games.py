"""Games that nobody played, straight into a store: data for the report's tests, benchmarks and screenshots.

    python -m tests.report.games DIR [--years 4] [--games 1] [--rounds 2] [--interactions N] [--seed 7]

A game has seven powers on five models, negotiates, plans, writes diaries and orders; models differ in speed, price
and in how often their orders are invalid. Rate limits, a client that is dead for a phase and repeated attempts are
in it, so that every part of the report has something to show. The same seed gives the same game.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from otel_llm import semconv as sc
from otel_llm.store import StoreWriter
from otel_llm.store.rows import StoredEvent, StoredLink, StoredSpan

T0 = 1_795_168_800_000_000_000
"""When games begin: an arbitrary instant in 2026, in nanoseconds."""
S = 1_000_000_000

POWERS = ("AUSTRIA", "ENGLAND", "FRANCE", "GERMANY", "ITALY", "RUSSIA", "TURKEY")
PLACES = {
    "AUSTRIA": "VIE BUD TRI SER GRE BUL", "ENGLAND": "LON EDI LVP NWY BEL HOL", "FRANCE": "PAR MAR BRE SPA POR BEL",
    "GERMANY": "BER MUN KIE DEN HOL SWE", "ITALY": "ROM NAP VEN TUN TRI GRE", "RUSSIA": "MOS WAR SEV STP RUM SWE",
    "TURKEY": "CON ANK SMY BUL RUM SEV",
}  # fmt: skip


@dataclass(frozen=True)
class Model:
    """How a model of the synthetic game behaves."""

    name: str
    provider: str
    seconds: float
    usd_in: float
    usd_out: float
    invalid: float
    fails: float


MODELS = {
    "AUSTRIA": Model("gpt-5.2-mini", "openai", 2.1, 0.25e-6, 2e-6, 0.10, 0.010),
    "ENGLAND": Model("claude-sonnet-5", "anthropic", 4.6, 3e-6, 15e-6, 0.03, 0.004),
    "FRANCE": Model("gpt-5.2", "openai", 7.8, 1.25e-6, 10e-6, 0.02, 0.004),
    "GERMANY": Model("gemini-3-pro", "gcp.gemini", 5.9, 1.25e-6, 10e-6, 0.05, 0.012),
    "ITALY": Model("qwen3-32b", "vllm", 3.4, 0.1e-6, 0.4e-6, 0.16, 0.020),
    "RUSSIA": Model("claude-sonnet-5", "anthropic", 4.6, 3e-6, 15e-6, 0.03, 0.004),
    "TURKEY": Model("qwen3-32b", "vllm", 3.4, 0.1e-6, 0.4e-6, 0.16, 0.020),
}
LENGTHS = {  # type -> (seconds factor, output tokens)
    "initialization": (1.4, 420), "negotiation": (0.8, 160), "negotiation_diary": (0.7, 190), "plan": (1.2, 320),
    "order": (1.5, 260), "order_diary": (0.5, 120), "state_update": (0.6, 140),
}  # fmt: skip
SAID = (
    "I would rather keep {a} quiet this year. If you leave it alone, I leave {b} to you.",
    "{who} has promised me the same as you. One of us is being lied to, and I think it is you.",
    "Support my army into {a} and I will not contest {b} before winter.",
    "Let us call {a} neutral. I have written the same to {who}, so all three of us know where we stand.",
    "Your fleet next to {b} makes me nervous. Move it and I will take that as a sign of good faith.",
    "I can promise nothing for the autumn, but in spring my units face the other way.",
    "Nobody can stop {who} alone. I suggest we both move now and talk about {a} afterwards.",
    "To everyone: {who} has five centres and no friends. Draw your own conclusions.",
)
THOUGHTS = (
    "{who} kept the word given in spring. Trust goes up a little.",
    "The move to {a} was a bluff; the real question is who holds {b} after the autumn.",
    "If nobody supports {b}, it falls this year. Ask for help without sounding weak.",
    "An alliance that ends in a stalemate line is worth nothing. Look for a second front.",
    "Two of the neighbours write less than before. They are writing to each other.",
)


@dataclass
class Game:
    """Makes the spans of one game.

    Attributes:
        number: which of several games; also its episode.
        seed: what its dice are thrown with.
        years: how many years are played.
        rounds: rounds of negotiation in a movement phase.
        content: whether what was said is kept.
        training: whether it is a game of a training run, with rewards.
        words: how many words of context a prompt has, roughly.
    """

    number: int = 0
    seed: int = 7
    years: int = 4
    rounds: int = 2
    content: bool = True
    training: bool = False
    words: int = 420
    id: str = ""
    start_ns: int = T0
    spans: list[StoredSpan] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dice = random.Random(f"{self.seed}/{self.number}")
        self.id = self.id or f"selfplay-{self.number + 1:03d}"
        self.now = self.start_ns
        self.centers = dict.fromkeys(POWERS, 3) | {"RUSSIA": 4}
        self.phases: list[StoredSpan] = []
        self.interactions = 0
        self.total_centers = sum(self.centers.values())

    def play(self, at_least: int | None = None) -> Game:
        """Play the game: for its years, or until it has so many interactions."""
        root = self._span(f"invoke_workflow {'diplomacy'}", self._id(32), None, sc.INVOKE_WORKFLOW, "game")
        self.root = root
        year = 1901
        while year < 1901 + self.years if at_least is None else self.interactions < at_least:
            first = year == 1901
            self._phase(f"S{year}M", year, 0, "movement", first=first)
            self._phase(f"F{year}M", year, 1, "movement")
            if self.dice.random() < 0.3:
                self._phase(f"F{year}R", year, 1, "retreats")
            self._move_centers()
            self._phase(f"W{year}A", year, 2, "adjustments")
            year += 1
        root.end_ns = self.now
        best = max(self.centers, key=lambda power: self.centers[power])
        root.attributes |= {
            sc.GAME_NAME: "diplomacy", sc.GAME_PLAYERS: POWERS, sc.GAME_STATUS: "completed",
            sc.GAME_MODELS: tuple(MODELS[power].name for power in POWERS), sc.GAME_OUTCOME: "draw",
            sc.GAME_WINNERS: (best,), sc.GAME_IN_TRAINING: self.training,
        }  # fmt: skip
        if self.training:
            root.attributes |= {
                sc.GAME_EPISODE: self.number,
                sc.GAME_REWARD: self._skill() + self.dice.gauss(0, 0.08),
            }
        return self

    # --- phases ---------------------------------------------------------------------------------------

    def _phase(self, name: str, year: int, season: int, kind: str, *, first: bool = False) -> None:
        facts = {sc.PHASE_NAME: name, sc.PHASE_YEAR: year, sc.PHASE_SEASON: season, sc.PHASE_TYPE: kind}
        phase = self._span(f"phase {name}", self._id(32), None, None, "phase", facts)
        phase.links.append(StoredLink(self.root.trace_id, self.root.span_id, {sc.LINK_KIND: sc.LINK_GAME}))
        if self.phases:
            last = self.phases[-1]
            phase.links.append(
                StoredLink(last.trace_id, last.span_id, {sc.LINK_KIND: sc.LINK_PREVIOUS_PHASE})
            )
        self.phases.append(phase)
        alive = [power for power in POWERS if self.centers[power]]
        if kind == "movement":
            steps = ["initialization"] * first + ["negotiation"] * self.rounds
            steps += ["negotiation_diary", "plan", "order", "order_diary", "state_update"]
        else:
            alive, steps = self.dice.sample(alive, min(3, len(alive))), ["order"]
        dead = self.dice.choice(alive) if self.dice.random() < 0.12 else None
        for step in steps:
            ends = [self._interaction(phase, facts, step, power, dead == power) for power in sorted(alive)]
            self.now = max([self.now, *ends]) + int(0.15 * S)
        phase.end_ns = self.now
        for power in POWERS:
            phase.attributes[sc.PHASE_CENTERS_PREFIX + power] = self.centers[power]
            phase.attributes[sc.PHASE_UNITS_PREFIX + power] = self.centers[power]
        self.now += int(0.4 * S)

    def _move_centers(self) -> None:
        for power in POWERS:
            if not self.centers[power]:
                continue
            gain = self.dice.choices((-1, 0, 1, 2), (2 + 12 * MODELS[power].invalid, 5, 4, 1))[0]
            gain = min(gain, 34 - sum(self.centers.values()))
            self.centers[power] = max(0, self.centers[power] + gain)

    # --- interactions ---------------------------------------------------------------------------------

    def _interaction(
        self, phase: StoredSpan, facts: dict[str, Any], kind: str, power: str, dead: bool
    ) -> int:
        model, start, attempt, before = MODELS[power], self.now + int(self.dice.random() * 0.2 * S), 1, None
        while True:
            attributes = {sc.POWER_NAME: power, sc.AGENT_NAME: power, sc.INTERACTION_TYPE: kind, **facts}
            span = self._span(
                f"invoke_agent {power}",
                phase.trace_id,
                phase,
                sc.INVOKE_AGENT,
                "interaction",
                attributes,
                start,
            )
            self.interactions += 1
            if before is not None:
                span.attributes[sc.INTERACTION_ATTEMPT] = attempt
                link = {sc.LINK_KIND: sc.LINK_RETRY_OF}
                span.links.append(StoredLink(before.trace_id, before.span_id, link))
            span.attributes |= {sc.POWER_CENTERS: self.centers[power], sc.POWER_UNITS: self.centers[power]}
            fails = dead or self.dice.random() < model.fails * 2
            (self._fail if fails else self._succeed)(span, model, kind, power)
            if not fails or attempt == (3 if kind == "order" else 1):
                return span.end_ns or 0
            start, before, attempt = (span.end_ns or 0) + int(2**attempt * 0.5 * S), span, attempt + 1

    def _fail(self, span: StoredSpan, model: Model, kind: str, power: str) -> None:
        error, status, message = self.dice.choice(
            (
                ("connection", None, "Connection refused"),
                ("timeout", None, "No answer within 30 seconds"),
                ("overloaded", 503, "The engine is overloaded, please try again later."),
                ("malformed_response", 200, "Expected a JSON object, found 'I cannot'"),
            )
        )
        call = self._call(span, model, kind, span.start_ns, power, "")
        call.attributes |= {sc.ERROR_TYPE: error, sc.ERROR_MESSAGE: message}
        if status:
            call.attributes[sc.HTTP_STATUS_CODE] = status
        for key in _OF_ANSWERS:
            call.attributes.pop(key, None)
        call.status = "error"
        span.end_ns, span.status, span.status_description = call.end_ns, "error", message
        span.attributes |= {sc.INTERACTION_SUCCESS: False, sc.ERROR_TYPE: error, sc.ERROR_MESSAGE: message}
        raised = {
            sc.EXCEPTION_TYPE: "openai.APIError", sc.EXCEPTION_MESSAGE: message,
            sc.EXCEPTION_STACKTRACE: f"openai.APIError: {message}",
        }  # fmt: skip
        span.events.append(StoredEvent(sc.EVENT_EXCEPTION_RECORDED, span.end_ns or 0, raised))

    def _succeed(self, span: StoredSpan, model: Model, kind: str, power: str) -> None:
        at, text = span.start_ns, self._answer(span, model, kind, power)
        if self.dice.random() < 0.03:
            refused = self._call(span, model, kind, at, power, "", seconds=0.2)
            refused.status = "error"
            for key in _OF_ANSWERS:
                refused.attributes.pop(key, None)
            refused.attributes |= {
                sc.ERROR_TYPE: "rate_limit", sc.HTTP_STATUS_CODE: 429, sc.RETRY_AFTER: 1.0,
                sc.ERROR_MESSAGE: "Rate limit reached for requests per minute.",
            }  # fmt: skip
            at = (refused.end_ns or at) + S
        call = self._call(span, model, kind, at, power, text)
        if at != span.start_ns:
            call.attributes[sc.HTTP_RESEND_COUNT] = 1
        span.end_ns = call.end_ns
        span.attributes.setdefault(sc.INTERACTION_SUCCESS, True)
        if self.training:
            span.attributes[sc.GAME_REWARD] = round(
                0.4 * self._skill()
                - 0.2 * span.attributes.get(sc.ORDERS_INVALID_COUNT, 0)
                + self.dice.gauss(0, 0.1),
                3,
            )

    def _answer(self, span: StoredSpan, model: Model, kind: str, power: str) -> str:
        if kind == "order":
            orders, invalid = [], []
            for _ in range(max(1, self.centers[power])):
                a, b = self.dice.sample(PLACES[power].split(), 2)
                order = self.dice.choice((f"A {a} - {b}", f"A {a} H", f"F {a} S A {b}", f"F {a} - {b}"))
                orders.append(order)
                if self.dice.random() < model.invalid * (1 - 0.5 * self._skill()):
                    invalid.append(order)
            span.attributes |= {
                sc.ORDERS_SUBMITTED: tuple(orders), sc.ORDERS_INVALID: tuple(invalid),
                sc.ORDERS_VALID_COUNT: len(orders) - len(invalid), sc.ORDERS_INVALID_COUNT: len(invalid),
            }  # fmt: skip
            if len(invalid) > 2:
                span.attributes |= {
                    sc.INTERACTION_SUCCESS: False,
                    sc.INTERACTION_OUTCOME: f"Failure: Invalid LLM Moves ({len(invalid)}): {', '.join(invalid)}",
                    sc.ERROR_TYPE: "invalid_orders",
                }
            return json.dumps({"orders": orders})
        if kind == "negotiation":
            said = []
            friends = [p for p in POWERS if p != power and self.centers[p]]
            for _ in range(self.dice.choice((1, 1, 2, 3))):
                public = self.dice.random() < 0.15 or not friends
                near = power if public else friends[POWERS.index(power) % len(friends)]
                to = near if public or self.dice.random() < 0.35 else self.dice.choice(friends)
                words = self._line(SAID, power)
                said.append(words)
                event = {
                    sc.MESSAGE_SENDER: power, sc.MESSAGE_RECIPIENTS: () if public else (to,),
                    sc.MESSAGE_PRIVATE: not public, sc.MESSAGE_LENGTH: len(words),
                }  # fmt: skip
                if self.content:
                    event[sc.MESSAGE_CONTENT] = words
                span.events.append(StoredEvent(sc.EVENT_MESSAGE, span.start_ns + S, event))
            return "\n\n".join(said)
        return " ".join(self._line(THOUGHTS, power) for _ in range(self.dice.randint(2, 5)))

    # --- model calls ----------------------------------------------------------------------------------

    def _call(
        self,
        parent: StoredSpan,
        model: Model,
        kind: str,
        at: int,
        power: str,
        text: str,
        seconds: float | None = None,
    ) -> StoredSpan:
        factor, tokens = LENGTHS[kind]
        took = model.seconds * factor * self.dice.lognormvariate(0, 0.35) if seconds is None else seconds
        facts = {key: parent.attributes[key] for key in _BELOW if key in parent.attributes}
        prompt = self._prompt(power, kind, str(facts.get(sc.PHASE_NAME)))
        given, got = len(prompt) // 4, max(8, int(tokens * self.dice.uniform(0.6, 1.5)))
        span = self._span(f"chat {model.name}", parent.trace_id, parent, sc.CHAT, None, facts, at)
        span.kind, span.end_ns = "client", at + int(took * S)
        span.attributes |= {
            sc.PROVIDER_NAME: model.provider, sc.REQUEST_MODEL: model.name, sc.USAGE_INPUT_TOKENS: given,
            sc.USAGE_OUTPUT_TOKENS: got, sc.COST_TOTAL: given * model.usd_in + got * model.usd_out,
            sc.RESPONSE_FINISH_REASONS: ("stop",), sc.RESPONSE_TIME_TO_FIRST_CHUNK: took * 0.2,
            sc.INPUT_LENGTH: len(prompt), sc.OUTPUT_LENGTH: len(text),
        }  # fmt: skip
        if self.content:
            rules = f"You play {power.title()} in a game of Diplomacy. Be brief, keep your plans to yourself."
            span.attributes |= {
                sc.SYSTEM_INSTRUCTIONS: json.dumps([{"type": "text", "content": rules}]),
                sc.INPUT_MESSAGES: _messages("user", prompt),
                sc.OUTPUT_MESSAGES: _messages("assistant", text, "stop"),
            }
        return span

    def _prompt(self, power: str, kind: str, phase: str) -> str:
        board = "\n".join(f"{p}: {n} centres; units {PLACES[p]}" for p, n in self.centers.items())
        past = self._past(power)
        return (
            f"Phase {phase}. Task: {kind}.\n\n{board}\n\nWhat happened before:\n{past}\n\nAnswer as {power}."
        )

    def _past(self, power: str) -> str:
        return " ".join(self._line(THOUGHTS, power) for _ in range(self.words // 14))

    def _line(self, lines: tuple[str, ...], power: str) -> str:
        a, b = self.dice.sample(PLACES[power].split(), 2)
        who = self.dice.choice([p for p in POWERS if p != power]).title()
        return self.dice.choice(lines).format(a=a, b=b, who=who)

    # --- spans ----------------------------------------------------------------------------------------

    def _span(
        self,
        name: str,
        trace_id: str,
        parent: StoredSpan | None,
        operation: str | None,
        scope: str | None,
        facts: dict[str, Any] | None = None,
        start: int | None = None,
    ) -> StoredSpan:
        attributes: dict[str, Any] = {sc.GAME_ID: self.id, **(facts or {})}
        if operation is not None:
            attributes[sc.OPERATION_NAME] = operation
        if scope is not None:
            attributes[sc.SCOPE_KIND] = scope
        if self.training:
            attributes[sc.GAME_EPISODE] = self.number
        span = StoredSpan(
            trace_id=trace_id,
            span_id=self._id(16),
            parent_id=None if parent is None else parent.span_id,
            name=name,
            kind="internal",
            start_ns=self.now if start is None else start,
            end_ns=None,
            status="unset",
            attributes=attributes,
            resource={"service.name": "selfplay"},
        )
        self.spans.append(span)
        return span

    def _id(self, digits: int) -> str:
        return f"{self.dice.getrandbits(digits * 4) or 1:0{digits}x}"

    def _skill(self) -> float:
        """What training has taught by this episode: 0 to 1."""
        return 1 - 0.93**self.number if self.training else 0.0


_BELOW = (sc.PHASE_NAME, sc.PHASE_YEAR, sc.PHASE_SEASON, sc.PHASE_TYPE, sc.POWER_NAME, sc.INTERACTION_TYPE)

_OF_ANSWERS = (
    sc.OUTPUT_MESSAGES, sc.OUTPUT_LENGTH, sc.USAGE_INPUT_TOKENS, sc.USAGE_OUTPUT_TOKENS, sc.COST_TOTAL,
    sc.RESPONSE_FINISH_REASONS, sc.RESPONSE_TIME_TO_FIRST_CHUNK,
)  # fmt: skip


def _messages(role: str, text: str, finish: str | None = None) -> str:
    message: dict[str, Any] = {"role": role, "parts": [{"type": "text", "content": text}]}
    return json.dumps([message | ({} if finish is None else {"finish_reason": finish})])


def games(count: int, *, years: int = 2, seed: int = 7, training: bool = True, **more: Any) -> Iterator[Game]:
    """Make several games that were played one after the other, half overlapping."""
    start = T0
    for number in range(count):
        game = Game(number=number, seed=seed, years=years, training=training, start_ns=start, **more).play()
        yield game
        start += (game.now - game.start_ns) // 2


def write(directory: Path, spans: list[StoredSpan]) -> None:
    """Write spans to a store as the SDK's processors would; those without an end stay open."""
    writer = StoreWriter(directory, commit_interval_s=0.0, open_after_s=0.0, max_queue_bytes=1 << 32)
    for span in spans:
        if span.end_ns is None:
            writer.started(span.to_readable())
        else:
            writer.ended(span.to_readable())
    assert writer.flush(60)
    assert writer.close(60)


def main() -> None:
    """Write games to a store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument("--years", type=int, default=4)
    parser.add_argument("--games", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--interactions", type=int, default=None, help="one game that has at least so many")
    parser.add_argument("--words", type=int, default=420)
    parser.add_argument("--no-content", action="store_true")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    shape = {"rounds": options.rounds, "words": options.words, "content": not options.no_content}
    if options.games > 1:
        made = list(games(options.games, years=options.years, seed=options.seed, **shape))
    else:
        made = [Game(seed=options.seed, years=options.years, **shape).play(options.interactions)]
    for game in made:
        write(options.directory, game.spans)
    print(sum(game.interactions for game in made), "interactions,", sum(len(g.spans) for g in made), "spans")


if __name__ == "__main__":
    main()
