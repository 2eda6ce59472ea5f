"""Secrets out of text, wherever text can go: content, URLs, model names, headers, errors.

`Scrubber` applies the built-in kinds (`secret_kinds`) and what the user adds: patterns and a hook. Imports
`secret_kinds` and `drops` alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

import orjson

from otel_llm import drops
from otel_llm.secret_kinds import REDACTED, may_hold_secret, scrub_secrets

__all__ = ["FAILED", "REDACTED", "Scrubber"]

FAILED: Final = "[redaction failed]"

_SECRET_KEYS: Final = re.compile(
    r"(?:\A|[._-])(?:(?:proxy[-_])?authorization|(?:set[-_])?cookie|(?:x[-_])?(?:\w+[-_])?api[-_]?key|password|passwd"
    r"|(?:[\w-]+[-_])?(?:secret|(?:access|secret|private|subscription)[-_]key|(?:auth|access|security|refresh)[-_]token)"
    r"|x[-_]auth[-_]\w+)\Z",
    re.IGNORECASE,
)
_URL_KEYS: Final = frozenset({"url.full", "url.query", "url.original", "http.url", "http.target"})
_QUERY_SECRET: Final = re.compile(
    r"([?&;#](?:[\w.-]*[-_.])?(?:key|apikey|accesskeyid|token|secret|sig|signature|credential|credentials|password|passwd|pwd|auth"
    r"|code|jwt|assertion|awsaccesskeyid)=)([^&#\s\"'\\<>]+)",
    re.IGNORECASE,
)
_URL_USERINFO: Final = re.compile(r"(://)[^\s/?#\"'<>\\]+@")
_FIXED: Final = frozenset({"type", "role", "finish_reason"})  # part of the shape of a message, not content
_MAX_KEYS: Final = 1024


class Scrubber:
    """Takes secrets out of text: the built-in kinds, then the user's patterns, then the user's hook.

    Args:
        patterns: regular expressions; each match becomes `[redacted]`.
        hook: the user's own redaction. If it raises, or returns no text, the whole text is replaced by
            `[redaction failed]` and counted: nothing leaves that it has not seen.

    Raises:
        re.error: a pattern is no regular expression.
    """

    __slots__ = ("_hook", "_patterns", "_secret_keys")

    def __init__(self, patterns: Iterable[str] = (), hook: Callable[[str], str] | None = None) -> None:
        self._patterns = [re.compile(pattern) for pattern in patterns]
        self._hook = hook
        self._secret_keys: dict[str, bool] = {}

    def leaves_alone(self, texts: Iterable[str]) -> bool:
        """Say whether nothing in any of `texts` has to be scrubbed, in one scan over all of them.

        For the common case. False may mean only that one has to look at each by itself; and it is always false
        where the user has patterns or a hook, which must see each text.
        """
        if self._patterns or self._hook is not None:
            return False
        # NUL is part of no known kind of secret, and of no JSON text.
        joined = "\0".join(texts)
        return not may_hold_secret(joined) and _valid(joined) is joined

    def looks_at(self, key: str) -> bool:
        """Say whether a value under this key may hold a secret that is not seen from the value alone."""
        return key in _URL_KEYS or self._is_secret(key)

    def text(self, s: str) -> str:
        """Return `s` without secrets, and without lone surrogates, which no exporter could encode."""
        s = scrub_secrets(s)
        return _valid(self._own(s) if self._patterns or self._hook is not None else s)

    def url(self, s: str) -> str:
        """Return a URL without its user information, and without the values of parameters that hold secrets."""
        if "=" in s:
            s = _QUERY_SECRET.sub(rf"\1{REDACTED}", s)
        if "@" in s:
            s = _URL_USERINFO.sub(rf"\1{REDACTED}@", s)
        return self.text(s)

    def json(self, s: str) -> str:
        """Return JSON without secrets; it stays valid.

        The built-in kinds are scrubbed in the JSON as a whole, so that `{"api_key": "x"}` is seen together. The
        user's own redaction may replace what it likes, so it gets each string by itself.

        Args:
            s: valid JSON.
        """
        s = scrub_secrets(s)
        if self._patterns or self._hook is not None:
            s = orjson.dumps(self._own_each(orjson.loads(s))).decode()
        return s

    def attribute(self, key: str, value: Any) -> Any:
        """Return the value of a span attribute without secrets.

        Under keys that name a secret, such as `http.request.header.authorization`, it is replaced whole.

        Args:
            key: the attribute's name, or a header's.
            value: text, a sequence of texts, or anything else, which is returned as it is.
        """
        if isinstance(value, str):
            if self._is_secret(key):
                return REDACTED
            return self.url(value) if key in _URL_KEYS else self.text(value)
        if isinstance(value, list | tuple):
            return tuple(self.attribute(key, item) if isinstance(item, str) else item for item in value)
        return value

    def _is_secret(self, key: str) -> bool:
        known = self._secret_keys.get(key)
        if known is None:
            if len(self._secret_keys) >= _MAX_KEYS:
                self._secret_keys.clear()
            known = self._secret_keys[key] = _SECRET_KEYS.search(key) is not None
        return known

    def _own(self, s: str) -> str:
        try:
            for pattern in self._patterns:
                s = pattern.sub(REDACTED, s)
            if self._hook is not None:
                s = self._hook(s)
                if not isinstance(s, str):
                    raise TypeError("the redaction hook returned no text")
        except Exception:
            drops.count("content", "redaction_failed")
            drops.warn_once(
                "redaction", "the redaction hook failed; what it was given is replaced by %r", FAILED
            )
            return FAILED
        return s

    def _own_each(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._own(value)
        if isinstance(value, list):
            return [self._own_each(item) for item in value]
        if isinstance(value, dict):
            return {
                k: v if k in _FIXED and isinstance(v, str) else self._own_each(v) for k, v in value.items()
            }
        return value


def _valid(s: str) -> str:
    if s.isascii():
        return s
    try:
        s.encode()
    except UnicodeEncodeError:
        return s.encode("utf-8", "replace").decode()
    return s
