"""What is known of a call from its method, host and path, and the cheap looks at its body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from otel_llm.llm import Limits
from otel_llm_http.dialects._parser import CallParser
from otel_llm_http.dialects._scan import flag_of, has_any, string_of

_DEFAULT: Final = Limits()

Keys = tuple[bytes, ...]
"""JSON keys, in quotes."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address that takes model calls.

    Attributes:
        operation: the operation, a value of `gen_ai.operation.name`.
        provider: `gen_ai.provider.name`.
        protocol: what reads its exchanges.
        model: the model that the path names (Gemini, Azure, Bedrock), else None.
        stream: whether the path says that the answer comes in pieces.
        needs: a call has one key of each of these in its body; empty where host and path leave no doubt.
        certain: whether it is a call even if nobody can see the body.
        model_key: the key of the model in the request's body, in quotes.
        streams_unless_told: whether an answer comes in pieces if the request says nothing about it.
    """

    operation: str
    provider: str
    protocol: type[CallParser]
    model: str | None = None
    stream: bool = False
    needs: tuple[Keys, ...] = ()
    certain: bool = True
    model_key: bytes = b'"model"'
    streams_unless_told: bool = False

    def confirm(self, body: bytes | None) -> bool:
        """Say whether this really is a model call. Hot path; never raises.

        Args:
            body: the request's bytes, None where they are not at hand.
        """
        if not self.needs:
            return True
        if body is None:
            return self.certain
        try:
            return all(has_any(body, keys) for keys in self.needs)
        except TypeError:
            return False

    def request_model(self, body: bytes | None) -> str | None:
        """Return the model that is asked for, by a look at the bytes. Hot path; never raises."""
        if self.model is not None or not body:
            return self.model
        try:
            return string_of(body, self.model_key)
        except TypeError:
            return None

    def is_streaming(self, body: bytes | None) -> bool:
        """Say whether the answer is asked for in pieces, by a look at the bytes. Hot path; never raises."""
        if self.stream:
            return True
        try:
            told = flag_of(body, b'"stream"') if body else None
        except TypeError:
            told = None
        return self.streams_unless_told if told is None else told

    def parser(self, limits: Limits | None = None) -> CallParser:
        """Return what reads one exchange with this endpoint."""
        return self.protocol(self.operation, self.provider, self.model, self.stream, limits or _DEFAULT)
