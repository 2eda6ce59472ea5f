"""Messages that a power sent, in whatever shape a program has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from otel_llm import fields

_EVERYBODY: Final = frozenset({"", "all", "global", "everyone", "everybody", "public"})
_CONTENT: Final = ("content", "message", "text", "body")
_RECIPIENTS: Final = ("recipients", "recipient", "to")
_SENDER: Final = ("sender", "from")
_PRIVACY: Final = ("private", "is_private", "message_type", "type")


class Sent(NamedTuple):
    """A message that a power sent.

    Attributes:
        content: its text.
        sender: who wrote it; None for the power of the interaction.
        recipients: to whom; empty for everybody.
        private: whether for the recipients alone; None where nobody said.
    """

    content: Any
    sender: Any = None
    recipients: tuple[str, ...] = ()
    private: bool | None = None


def messages_of(value: Any) -> list[Sent]:
    """Return messages, from one or many: texts, mappings, or objects such as the `diplomacy` engine's.

    A mapping without any known key is taken as text by recipient.

    Raises:
        TypeError: there is nothing like a message.
    """
    if isinstance(value, str):
        return [Sent(value)]
    if isinstance(value, Mapping):
        if not any(key in value for key in (*_CONTENT, *_RECIPIENTS, *_SENDER)):
            return [_sent(text, to=to) for to, text in value.items()]
        return [_message(value)]
    if isinstance(value, list | tuple | set | frozenset):
        return [_message(item) for item in value if item is not None]
    return [_message(value)]


def _message(item: Any) -> Sent:
    if isinstance(item, Sent):
        return item
    if isinstance(item, str):
        return Sent(item)

    def first(names: tuple[str, ...]) -> Any:
        for name in names:
            found = item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)
            if found is not None and not callable(found):
                return found
        return None

    content, recipients = first(_CONTENT), first(_RECIPIENTS)
    if content is None and recipients is None:
        raise TypeError
    return _sent(content, to=recipients, sender=first(_SENDER), privacy=first(_PRIVACY))


def _sent(content: Any, *, to: Any = None, sender: Any = None, privacy: Any = None) -> Sent:
    names = () if to is None else fields.texts(to)
    kept = tuple(name for name in names if name.strip().lower() not in _EVERYBODY)
    private: bool | None = None
    if isinstance(privacy, bool):
        private = privacy
    elif isinstance(privacy, str):
        private = {"private": True, "public": False, "global": False}.get(privacy.strip().lower())
    if private is None and names and not kept:
        private = False
    return Sent(content, sender, kept, private)
