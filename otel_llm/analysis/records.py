"""Games, phases, interactions and calls as plain records: what every question about a game is asked of.

Made from stored spans by `otel_llm.analysis.loading`; nothing here reads anything. Times are nanoseconds since the
epoch, durations seconds, lengths characters, costs US dollars by list prices. What nobody knows is None, never 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from otel_llm import semconv as sc
from otel_llm.analysis.conversation import last_text
from otel_llm.analysis.totals import Totals

OUTSIDE = ""
"""The id of the record that holds what belongs to no game."""


@dataclass(slots=True)
class Message:
    """One message that a player sent.

    Attributes:
        sender: the power that wrote it; None where nobody said.
        recipients: to whom; empty for everybody.
        private: whether it was meant for the recipients alone; None where nobody said.
        length: its characters.
        content: its text, as far as the content policy kept it.
        time_ns: when it was sent.
        phase: name of the phase in which it was sent.
    """

    sender: str | None
    recipients: tuple[str, ...]
    private: bool | None
    length: int | None
    content: str | None
    time_ns: int
    phase: str | None = None


@dataclass(slots=True)
class CallRecord:
    """One model call; each attempt is one of its own.

    Attributes:
        span_id: 16 hex digits.
        trace_id: 32 hex digits.
        parent_id: 16 hex digits, None for a root.
        name: the span's name, such as `chat gpt-5`.
        operation: `gen_ai.operation.name`.
        model: the model asked for, else the one that answered.
        provider: `gen_ai.provider.name`.
        start_ns: when it began.
        end_ns: when it ended; None while it is open, or where its process died.
        duration_s: from start to end; None while it is open.
        time_to_first_token_s: until the first piece of a streamed answer.
        input_tokens: those from and to a cache included.
        output_tokens: reasoning included.
        cached_tokens: input tokens that a cache served.
        reasoning_tokens: output tokens spent thinking.
        cost_usd: by list prices.
        finish_reasons: one a choice, as the provider spells them.
        error_type: the class of failure (`otel_llm.llm.ErrorType`, or another program's word); None for success.
        error_message: in the words of the provider or of the exception.
        attempt: 1 for the first; counts the attempts that a client made by itself.
        status_code: of the HTTP response.
        retry_after_s: how long a refusal asked to wait.
        input_length: characters that were sent.
        output_length: characters that came back.
        input_messages: JSON of the GenAI conventions, as far as the content policy kept it; may be cut.
        output_messages: likewise.
        system_instructions: likewise.
        game_id: the game it belongs to; empty for none.
        phase: name of the phase.
        power: the power for whom it was made.
        interaction_type: type of the interaction.
        interaction_id: span id of the nearest interaction above it; None outside any.
    """

    span_id: str
    trace_id: str
    parent_id: str | None
    name: str
    start_ns: int
    end_ns: int | None = None
    operation: str | None = None
    model: str | None = None
    provider: str | None = None
    duration_s: float | None = None
    time_to_first_token_s: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: float | None = None
    finish_reasons: tuple[str, ...] = ()
    error_type: str | None = None
    error_message: str | None = None
    attempt: int = 1
    status_code: int | None = None
    retry_after_s: float | None = None
    input_length: int | None = None
    output_length: int | None = None
    input_messages: str | None = None
    output_messages: str | None = None
    system_instructions: str | None = None
    game_id: str = OUTSIDE
    phase: str | None = None
    power: str | None = None
    interaction_type: str | None = None
    interaction_id: str | None = None

    @property
    def failed(self) -> bool:
        """Whether it ended badly."""
        return self.error_type is not None


@dataclass(slots=True)
class InteractionRecord:
    """One interaction: a power asked for orders, a message, a plan, a diary entry …; each attempt is one.

    Attributes:
        span_id: 16 hex digits.
        trace_id: 32 hex digits.
        parent_id: 16 hex digits, None for a root.
        name: the span's name.
        game_id: the game it belongs to; empty for none.
        phase: name of its phase; None outside any.
        year: the phase's year in the game.
        season: 0 spring, 1 fall, 2 winter.
        phase_type: `movement`, `retreats`, `adjustments`, `forming`, `completed`, `other`.
        power: who was asked.
        type: `order`, `negotiation`, `planning` …, or the program's own word.
        model: the model the program named, else the one that most of its calls asked, else the one by which its
            power plays.
        models: all models that were asked, in order of first use.
        start_ns: when it began.
        end_ns: when it ended; None while it is open, or where its process died.
        duration_s: from start to end; None while it is open.
        response_time_s: how long the answer took by the program's own measure.
        success: what the program said of it; None where it said nothing. See `succeeded`.
        outcome: the program's own word for how it ended.
        error_type: why it failed; None where it did not.
        error_message: in the words of the exception or of the program.
        exception: whether it was an exception that it failed by, rather than a word of the program's.
        attempt: 1 for the first; 2 for the first repetition of a failed one.
        retry_of: (trace id, span id) of the attempt before.
        orders: the orders given.
        invalid_orders: those that the program called invalid, where it named them.
        valid_count: how many orders were valid; None where the program did not say.
        invalid_count: how many were not; None likewise.
        results: what became of the orders, as JSON.
        messages: what was sent, in order of time.
        centers: supply centres of the power.
        units: units of the power.
        reward: the reward of a training game.
        episode: the training episode.
        step: the training step.
        calls: the model calls made in it, in order of their start; those of an interaction inside it are not.
        input_tokens: sum over its calls; where it has none, what the program said.
        output_tokens: likewise.
        cost_usd: likewise.
        input_length: characters of the prompt by the program's word, else of its calls that did not fail.
        response_length: characters of the answer, likewise.
        attributes: all attributes of its span.
    """

    span_id: str
    trace_id: str
    parent_id: str | None
    name: str
    start_ns: int
    end_ns: int | None = None
    duration_s: float | None = None
    game_id: str = OUTSIDE
    phase: str | None = None
    year: int | None = None
    season: int | None = None
    phase_type: str | None = None
    power: str | None = None
    type: str | None = None
    model: str | None = None
    models: tuple[str, ...] = ()
    response_time_s: float | None = None
    success: bool | None = None
    outcome: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    exception: bool = False
    attempt: int = 1
    retry_of: tuple[str, str] | None = None
    orders: tuple[str, ...] = ()
    invalid_orders: tuple[str, ...] = ()
    valid_count: int | None = None
    invalid_count: int | None = None
    results: str | None = None
    messages: list[Message] = field(default_factory=list)
    centers: int | None = None
    units: int | None = None
    reward: float | None = None
    episode: int | None = None
    step: int | None = None
    calls: list[CallRecord] = field(default_factory=list)
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    input_length: int | None = None
    response_length: int | None = None
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool | None:
        """What the program said of it, else whether it ended without an error; None while it is open."""
        if self.success is not None:
            return self.success
        if self.error_type is not None:
            return False
        return None if self.end_ns is None else True

    @property
    def failed(self) -> bool:
        """Whether it is known to have failed."""
        return self.succeeded is False

    @property
    def latency_s(self) -> float | None:
        """How long the answer took: by the program's own measure, else from start to end."""
        if self.response_time_s is not None:
            return self.response_time_s
        # Told afterwards without a time, or with that of a whole batch: nobody measured it.
        return None if self.attributes.get(sc.UNTIMED) else self.duration_s

    @property
    def prompt(self) -> str | None:
        """The prompt's text where content was kept: the interaction's own, else that of its last call."""
        return self._text(sc.INPUT_MESSAGES)

    @property
    def response(self) -> str | None:
        """The answer's text, likewise."""
        return self._text(sc.OUTPUT_MESSAGES)

    def _text(self, key: str) -> str | None:
        own = last_text(self.attributes.get(key))
        if own is not None:
            return own
        given = key == sc.INPUT_MESSAGES
        for call in reversed(self.calls):
            text = last_text(call.input_messages if given else call.output_messages)
            if text is not None:
                return text
        return None


@dataclass(slots=True)
class PhaseRecord:
    """One phase of a game, as one process recorded it: two that record the same phase make two of these.

    Attributes:
        name: as the program calls it.
        trace_id: 32 hex digits of its trace.
        span_id: 16 hex digits; None where its span is not in the store and it is known from what happened in it.
        year: the year in the game.
        season: 0 spring, 1 fall, 2 winter.
        type: `movement`, `retreats`, `adjustments`, `forming`, `completed`, `other`.
        start_ns: when it began.
        end_ns: when it ended; None while it is open, or where its process died.
        centers: supply centres by power when it ended.
        units: units by power when it ended.
        interactions: what happened in it, in order of their start.
        calls: model calls in it that belong to no interaction.
        messages: messages in it that belong to no interaction.
        error_type: why it failed; None where it did not.
        error_message: in the words of the exception or of the program.
        out_of_order: whether it is earlier in the game than the phase before it.
        totals: sums over it.
        attributes: all attributes of its span.
    """

    name: str
    trace_id: str
    span_id: str | None
    start_ns: int
    end_ns: int | None = None
    year: int | None = None
    season: int | None = None
    type: str = "other"
    centers: dict[str, int] = field(default_factory=dict)
    units: dict[str, int] = field(default_factory=dict)
    interactions: list[InteractionRecord] = field(default_factory=list)
    calls: list[CallRecord] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    error_type: str | None = None
    error_message: str | None = None
    out_of_order: bool = False
    totals: Totals = field(default_factory=Totals)
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def duration_s(self) -> float | None:
        """From start to end; None while it is open."""
        return None if self.end_ns is None else (self.end_ns - self.start_ns) / 1e9


@dataclass(slots=True)
class GameRecord:
    """One game, put together from all processes that recorded something under its id.

    Attributes:
        game_id: its id; `OUTSIDE` for what belongs to no game.
        name: its name; None where it has none.
        start_ns: when its first span began.
        end_ns: when its last span ended; None while the game is open, or where its process died.
        last_ns: the last moment of which anything is known.
        status: of an ended game its own word (`completed`, `unfinished` …), else `failed`, `cancelled` or `ended`; of an open
            one `running`, or `killed` where its process is gone; `unknown` where no span of the game itself is
            in the store.
        outcome: `solo`, `draw`, or the program's own word.
        winners: who won.
        players: the powers, in the program's order; where it named none, those that were seen.
        models: models by power; where the program named none, those that its interactions asked.
        episode: the training episode.
        step: the training step.
        training: whether it is a game of a training run; None where nobody said.
        reward: the game's reward.
        phases: in order of their start.
        interactions: those outside any phase, in order of their start.
        calls: those outside any interaction and phase.
        messages: those outside any interaction and phase.
        error_type: why it failed; None where it did not.
        error_message: in the words of the exception or of the program.
        spans: (trace id, span id) of the game's own spans; several where several processes, or several runs,
            used one id.
        totals: sums over all of it.
        attributes: all attributes of its own span, the latest where there are several.
    """

    game_id: str
    name: str | None = None
    start_ns: int = 0
    end_ns: int | None = None
    last_ns: int = 0
    status: str = "unknown"
    outcome: str | None = None
    winners: tuple[str, ...] = ()
    players: tuple[str, ...] = ()
    models: dict[str, str] = field(default_factory=dict)
    episode: int | None = None
    step: int | None = None
    training: bool | None = None
    reward: float | None = None
    phases: list[PhaseRecord] = field(default_factory=list)
    interactions: list[InteractionRecord] = field(default_factory=list)
    calls: list[CallRecord] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    error_type: str | None = None
    error_message: str | None = None
    spans: list[tuple[str, str]] = field(default_factory=list)
    totals: Totals = field(default_factory=Totals)
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def duration_s(self) -> float:
        """From the start to the end, or to the last moment of which anything is known."""
        return ((self.last_ns if self.end_ns is None else self.end_ns) - self.start_ns) / 1e9

    def all_interactions(self) -> Iterator[InteractionRecord]:
        """Iterate over the interactions of all phases, then over those outside any."""
        for phase in self.phases:
            yield from phase.interactions
        yield from self.interactions

    def all_calls(self) -> Iterator[CallRecord]:
        """Iterate over all calls, in interactions and outside."""
        for interaction in self.all_interactions():
            yield from interaction.calls
        for phase in self.phases:
            yield from phase.calls
        yield from self.calls

    def all_messages(self) -> Iterator[Message]:
        """Iterate over all messages, in interactions and outside."""
        for interaction in self.all_interactions():
            yield from interaction.messages
        for phase in self.phases:
            yield from phase.messages
        yield from self.messages
