"""What a program tells of a scope while it lasts: fields, content, messages, events, failures.

Kept as it was when it was told; described and scrubbed later, on the worker (`closing`). Nothing here raises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import time_ns
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from otel_llm import drops, fields
from otel_llm import semconv as sc
from otel_llm.closing import Failure, Message, Said, failure_of
from otel_llm.content import dumps

if TYPE_CHECKING:
    from otel_llm.llm import AttributeValue

T = TypeVar("T")

MAX_EVENTS: Final = 1000
"""Messages, and events, that one scope keeps."""

_MAX_FAILURES: Final = 16


class Told:
    """The part of a scope that programs talk to.

    Attributes:
        kind: the scope's kind.
        ended: whether it has ended; what is told later is not kept.
        inherited: attributes that all spans below it get.
        attributes: what was told, as attributes.
        failures: those that make its span fail.
        retried: those after which the program tried again.
        messages: from one player to others.
        events: names, times in nanoseconds since the epoch, attributes.
        unusable: names of fields whose values were left out.
        prompt: what was asked, where no call below shows it.
        response: what was answered.
    """

    kind: str
    inherited: dict[str, AttributeValue]
    attributes: dict[str, AttributeValue]
    ended = False
    failures: Sequence[Failure] = ()
    retried: Sequence[Failure] = ()
    messages: Sequence[Message] = ()
    events: Sequence[tuple[str, int, dict[str, AttributeValue]]] = ()
    unusable: Sequence[str] = ()
    prompt: Any = None
    response: Any = None
    _attempts = 1

    def set(self, attributes: Mapping[str, Any] | None = None, /, **more: Any) -> Self:
        """Tell something about it, at any time before its end; later values replace earlier ones.

        Args:
            attributes: under exactly these names.
            **more: fields by the names that `docs/games.md` lists (`orders`, `success`, `centers` …); others
                become `otel_llm.custom.<name>`. None is left out. Numbers may come as text. A value that cannot be
                used is left out, and its name kept in `otel_llm.invalid_fields`.

        Returns:
            Itself.
        """
        try:
            if self.ended:
                drops.warn_once(
                    "set-late", "%s was told something after its end; that is not kept", self.kind
                )
                return self
            unusable: list[str] = []
            if more:
                if self.kind == "game":
                    for name in fields.GAME_FIELDS.keys() & more.keys():
                        if (value := more.pop(name)) is not None:
                            fields.GAME_FIELDS[name](value, self.attributes)
                fields.take(more, self.attributes, unusable)
            if attributes:
                fields.take_literally(attributes, self.attributes, unusable)
            if unusable:
                self.not_usable(unusable)
        except Exception:
            drops.internal_error("telling a scope something")
        return self

    def not_usable(self, names: Sequence[str]) -> None:
        """Note fields whose values were left out."""
        self.unusable = [*self.unusable, *names][-_MAX_FAILURES:]
        drops.warn_once(
            f"unusable:{names[-1]}", "the value given for %s cannot be used, and is left out", names[-1]
        )

    def content(self, *, prompt: Any = None, response: Any = None) -> Self:
        """Tell what was asked and answered, where no model call below shows it.

        Lengths are kept always, the texts as the content policy says.

        Args:
            prompt: text, or a list of messages as SDKs take them; None leaves what was told before.
            response: text; None leaves what was told before.
        """
        if not self.ended:
            if prompt is not None:
                self.prompt = frozen(prompt)
            if response is not None:
                self.response = frozen(response)
        return self

    def message(
        self,
        content: Any = None,
        *,
        recipients: Any = (),
        sender: Any = None,
        private: bool | None = None,
        at_ns: int | None = None,
    ) -> Self:
        """Tell of a message that one player sent: an event, its text as the content policy says.

        Args:
            content: its text.
            recipients: one player or several; nobody stands for everybody.
            sender: default: the power of this scope.
            private: default: whether there are recipients.
            at_ns: when it was sent, in nanoseconds since the epoch; default: now.
        """
        try:
            if len(self.messages) >= MAX_EVENTS or self.ended:
                drops.count("message", "too_many" if not self.ended else "late")
                return self
            to = () if recipients is None else fields.texts(recipients)
            said = Message(
                time_ns() if at_ns is None else int(at_ns),
                fields.text_of(sender if sender is not None else self.inherited.get(sc.POWER_NAME, "")),
                to,
                bool(to) if private is None else bool(private),
                "" if content is None else fields.text_of(content),
            )
            self.messages = _with(self.messages, said)
        except Exception:
            drops.internal_error("a message of a scope")
        return self

    def event(self, name: str, attributes: Mapping[str, Any] | None = None) -> Self:
        """Note that something happened: an event of the span, with this moment as its time."""
        try:
            if len(self.events) >= MAX_EVENTS or self.ended:
                drops.count("event", "too_many" if not self.ended else "late")
                return self
            kept: dict[str, AttributeValue] = {}
            unusable: list[str] = []
            fields.take_literally(attributes or {}, kept, unusable)
            if unusable:
                self.not_usable(unusable)
            self.events = _with(self.events, (fields.text_of(name)[: fields.MAX_KEY], time_ns(), kept))
        except Exception:
            drops.internal_error("an event of a scope")
        return self

    def fail(self, error: BaseException | str) -> Self:
        """Note a failure that the program handles itself: the span says it, and nothing is raised."""
        try:
            if not self.ended:
                self.failures = [*self.failures[1 - _MAX_FAILURES :], failure_of(error)]
        except Exception:
            drops.internal_error("a failure of a scope")
        return self

    def retry(self, error: BaseException | str) -> Self:
        """Note that an attempt failed and the program tries again: an event, and `game.interaction.attempt`.

        The span fails only if the scope does in the end. A program whose loop is around the scope need not say
        this: the scope after a failed one of the same type and power is numbered by itself.

        Args:
            error: why the attempt failed.
        """
        try:
            if not self.ended:
                self.retried = [*self.retried[1 - _MAX_FAILURES :], failure_of(error)]
                self._attempts += 1
                self.attributes[sc.INTERACTION_ATTEMPT] = self._attempts
        except Exception:
            drops.internal_error("a retry of a scope")
        return self

    @property
    def nbytes_told(self) -> int:
        """About how many bytes the texts keep alive."""
        if self.prompt is None and self.response is None and not self.messages:
            return 0
        return _size(self.prompt) + _size(self.response) + sum(len(m.content) for m in self.messages)


def _with(items: Sequence[T], item: T) -> Sequence[T]:
    """Return `items` with one more; in place where that is possible."""
    if isinstance(items, list):
        items.append(item)
        return items
    return [*items, item]


def frozen(value: Any) -> Any:
    """Return what was said in a form that nobody changes any more: text as it is, anything else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return Said(dumps(value))


def _size(value: Any) -> int:
    return len(value.json) if isinstance(value, Said) else len(value) if isinstance(value, str) else 0
