"""Known kinds of secrets (keys, tokens, passwords) and how they are found in text.

How it is fast. Nearly all text holds no secret, so what counts is the cost of finding nothing. The text is
folded to one byte a character: lower case, `:` and `=` become one byte, and a few characters that known kinds
of secrets cannot do without become another. Regular expressions run over that; each begins with such a byte,
so the engine skips from one to the next at about three characters a nanosecond and looks around only
there. What they find is judged on the original text, by rules that know case and length. All look-arounds are
bounded, and every rule starts at its mark: the time is linear in the text.

Text that is JSON stays valid JSON: what is replaced never holds a quote or half an escape, and never lies
outside of a string.

Imports nothing of ours.
"""

from __future__ import annotations

import re
from binascii import a2b_base64
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

REDACTED: Final = "[redacted]"

Span: TypeAlias = tuple[int, int]

# --- folding --------------------------------------------------------------------------------------
_ASSIGN: Final = 1  # `:` and `=`
_MARK: Final = 2  # one of:
_MARKS: Final = b"-_J9AB"  # sk- and ghp_, a JWT's eyJ, ya29, AKIA and AIza, Bearer and Basic


def _fold_table() -> bytes:
    table = bytearray(bytes(range(256)).lower())
    table[_ASSIGN] = table[_MARK] = ord(" ")
    for byte in b":=":
        table[byte] = _ASSIGN
    for byte in _MARKS:
        table[byte] = _MARK
    return bytes(table)


_FOLD: Final = _fold_table()


def _folded(word: str) -> bytes:
    """Return a pattern of fixed width for `word` in any case, in folded text; `.` stays a wildcard."""
    out = b""
    for byte in word.encode():
        both = {_FOLD[byte], _FOLD[bytes([byte]).upper()[0]]}  # a, b and j are marks in upper case only
        out += bytes(both) if len(both) == 1 else b"[%s]" % bytes(sorted(both))
    return out


def _last_two(words: Iterable[str]) -> bytes:
    """Return a pattern of the last two characters of any of `words`: the cheapest look that rules most out."""
    ends: dict[bytes, set[bytes]] = {}
    for word in words:
        ends.setdefault(_folded(word[-2]), set()).add(_folded(word[-1]).strip(b"[]"))
    return b"(?:%s)" % b"|".join(
        first + b"[%s]" % b"".join(sorted(lasts)) for first, lasts in sorted(ends.items())
    )


# --- where a secret may be, in folded text --------------------------------------------------------
_SURE_NAMES: Final = ("ssword", "sswd", "pwd", "ssphrase", "uthori.ation")
_WEAK_NAMES: Final = ("key", "token", "secret", "credential", "credentials", "sig", "signature", "auth")


def _after_name(filler: bytes) -> bytes:
    """Match right after `:` or `=`, where a name and `filler` stand before it; cheap looks come first.

    Names that often mean nothing (`{"key": "x"}`) count where they end a longer one, or where a long value follows.
    """
    before = [_folded(name) + filler + rb"\x01" for name in _SURE_NAMES]
    before += [rb"[a-z0-9\x02?&# .]" + _folded(name) + filler + rb"\x01" for name in _WEAK_NAMES]
    last_two = _last_two((*_SURE_NAMES, *_WEAK_NAMES))
    return rb"(?<=%s\x01)(?<=%s%s\x01)(?:(?:%s)|(?=[ \"'\\>\x01]{0,6}[a-z0-9\x02+/.~%%]{16})(?:%s))" % (
        filler or b"[ydntlsgeh]",
        last_two,
        filler,
        b"|".join(rb"(?<=%s)" % name for name in before),
        b"|".join(rb"(?<=%s%s\x01)" % (_folded(name), filler) for name in _WEAK_NAMES),
    )


# What stands between a name and its `:` or `=`: nothing, "key": \"key\": \\\"key\\\":
_FILLERS: Final = (b"", rb"[ \"']", rb"[\\\"'][ \"']", rb"\\\\\\[\"']")
_ASSIGNMENTS: Final = re.compile(
    rb"\x01(?://[^/\s\"'<>\\]{1,256}@|" + b"|".join(map(_after_name, _FILLERS)) + b")"
)

# Prefixes of tokens, without the hyphen or underscore that ends them. The first are ends of words too (task-,
# park-), so they count at a boundary only.
_BOUND: Final = ("sk", "rk", "pk")
_PREFIXES: Final = (
    "csk", "ghp", "gho", "ghu", "ghs", "ghr", "github_pat", "glpat", "gldt", "glrt", "xoxb", "xoxa", "xoxp", "xoxe",
    "xoxr", "xoxs", "xoxc", "xoxd", "xapp", "hf", "gsk", "xai", "sk_live", "sk_test", "rk_live", "rk_test", "whsec",
    "npm", "pypi", "nvapi", "pplx", "tgp_v1", "wandb_v1", "dop_v1", "shpat", "lsv2_pt", "lsv2_sk", "r8", "ntn",
)  # fmt: skip

_TOKENS: Final = re.compile(
    # The engine skips an alternative at once if its first character differs: hence characters before look-arounds.
    rb"\x02(?:"
    rb"[a-z0-9\x02](?=[a-z0-9\x02]{7})(?:(?<=ey\x02.)|(?<=%s\x02.)(?:"
    % _last_two((*_BOUND, *_PREFIXES))
    + b"|".join(rb"(?<=%s\x02.)" % _folded(prefix) for prefix in _PREFIXES)
    + b"".join(
        # The letter before may belong to an escape: JSON writes a line break as \n.
        rb"|(?<=%s\x02.)(?:(?<![a-z0-9]%s\x02.)|(?<=\\[nrtbf]%s\x02.)|(?<=u[0-9a-f\x02]{4}%s\x02.))"
        % ((_folded(p),) * 4)
        for p in _BOUND
    )
    + rb"))"
    rb"|e(?:.rer (?=[a-z0-9\x01\x02+/~.]{8})|gin )"  # Bearer, -----BEGIN
    rb"|[a\x02]sic (?=[a-z0-9\x02+/]{6})"  # Basic
    rb"|[ks]i\x02(?=[a-z0-9\x02]{16})|iza(?=[a-z0-9\x02]{30})"  # AKIA, ASIA, AIza
    rb"|\.(?<=ya2\x02\.)(?=[a-z0-9\x02]{8})"  # ya29.
    rb")",
)
_KEYS: Final = re.compile(rb"key(?: is|s?)[ (]{1,3}[0-9a-f\x02]{32}")

# --- what a secret is, in the text itself ---------------------------------------------------------
# The letter before belongs to an escape of JSON, not to a word.
_AFTER_ESCAPE: Final = r"(?<=\\[nrtbf])|(?<=\\u[0-9a-fA-F]{4})"
_PREFIX: Final = re.compile(
    rf"(?:(?:(?<![A-Za-z0-9])|{_AFTER_ESCAPE})(?:{'|'.join(_BOUND)})|{'|'.join(_PREFIXES)})[-_]\Z",
)
_PREFIXED: Final = re.compile(
    r"[srp]k-[A-Za-z0-9_-]{16,}|[sr]k_(?:live|test)_[A-Za-z0-9]{8,}|(?:csk|xai|pplx|nvapi|pypi)-[A-Za-z0-9_-]{16,}"
    r"|gl[a-z]{2,3}-[A-Za-z0-9_-]{16,}|x(?:ox[a-z]|app)-[A-Za-z0-9-]{10,}|github_pat_[A-Za-z0-9_]{16,}"
    r"|(?:tgp|wandb|dop)_v1_[A-Za-z0-9_-]{16,}|lsv2_[a-z]{2}_[A-Za-z0-9_]{16,}|whsec_[A-Za-z0-9+/=]{16,}"
    r"|(?:gh[a-z]|hf|gsk|npm|r8|ntn|shpat)_[A-Za-z0-9]{16,}",
)
_STARTED: Final = re.compile(
    rf"(?:(?<![A-Za-z0-9_-])|{_AFTER_ESCAPE})"
    r"eyJ[A-Za-z0-9_-]{6,}+\.[A-Za-z0-9_-]{6,}+(?:\.[A-Za-z0-9_-]+)*"
    r"|A[KS]IA[A-Z0-9]{16,}|AIza[A-Za-z0-9_-]{30,}|ya29\.[A-Za-z0-9_-]{16,}",
)
_PEM_BEGIN: Final = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PEM_BODY: Final = re.compile(r"(?:[A-Za-z0-9+/=:,.\s-]|\\+[nr])*")
_PEM_LINES: Final = re.compile(r"(?:[A-Za-z0-9+/=]{16,}|\\+[nr]|\s)*")  # of a key that is cut short
_PEM_END: Final = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PEM_REACH: Final = 16_384
_HEX_KEY: Final = re.compile(
    r"[kK][eE][yY](?: is|s)?[ (]+([0-9a-fA-F]{64}|[0-9a-fA-F]{40}|[0-9a-fA-F]{32})(?![A-Za-z0-9])"
)
_BEARER: Final = re.compile(
    r"[Bb][Ee][Aa][Rr][Ee][Rr] +((?=[^\s\"'\\]*[0-9])[A-Za-z0-9._~+/=-]{8,}|[A-Za-z0-9._~+=-]{24,})"
)
_BASIC: Final = re.compile(r"[Bb][Aa][Ss][Ii][Cc] +([A-Za-z0-9+/]{6,}={0,2})")
_USERINFO: Final = re.compile(r"://([^\s/\"'<>\\@:]*:[^\s/\"'<>\\]+)@")

_NAME: Final = re.compile(
    r"(?P<query>[?&#])?(?:"
    r"(?P<word>(?:proxy-)?authori[sz]ation|pass(?:word|wd|phrase)|pwd"
    r"|(?:api|access|secret|private|auth|account|subscription|encryption|signing|master|service|licen[sc]e|admin"
    r"|storage)[-_. ]?(?:access[-_. ]?)?key"
    r"|(?:access|refresh|auth|(?<![A-Za-z])id|session|security|bearer|oauth|api|(?<![A-Za-z])bot|personal[-_. ]?access)[-_. ]?token"
    r"|(?:client|api|(?<![A-Za-z])app|consumer|webhook)[-_. ]?secret)"
    r"|(?P<key>key)|(?P<weak>token|secret|credentials?|sig(?:nature)?|auth))"
    r"(?P<closed>\\*[\"'])?[ ]?\Z",
    re.IGNORECASE,
)
_OPENING: Final = re.compile(r"(?:=>|:=|==?|:)[ \t]*(?:\\+t)*(\\*[\"'])?")
# In JSON a quote after such a name and no quote before it ends the string: what follows is then structure.
_QUOTED: Final = re.compile(r"(?![,:\]}\s]|\[redac)(?:[^\"\\\n]|\\.)+")
_QUOTED_INSIDE: Final = re.compile(r"(?!\[redac)[^\"'\\\n]+")
_BARE: Final = re.compile(
    r"(?:(?:bearer|basic|token|apikey|digest)[ +])?([^\s\"'\\,;&<>(){}\[\]|`]{1,512})", re.IGNORECASE
)
_BARE_REST: Final = re.compile(r"[^\s\"'\\,;&<>(){}\[\]|`]*")
_QUERY: Final = re.compile(r"[^&#\s\"'\\<>()\[\]{}|`]+")
_PLACEHOLDER: Final = re.compile(
    r"<[^<>]*>|\$?\{+[^{}]*\}+|(?-i:\$[A-Z_][A-Z0-9_]*)|%\w+%|\*+|\.\.\.|x{3,}", re.IGNORECASE
)
_RANDOM: Final = re.compile(r"(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9_+/=.~%-]{16,}")
_KEY_LIKE: Final = re.compile(
    r"[0-9a-fA-F]{32,}|(?=[^0-9]*[0-9])(?=[^A-Z]*[A-Z])(?=[^a-z]*[a-z])[A-Za-z0-9_+/=.~-]{32,}",
)
_CODE: Final = re.compile(
    r"[A-Za-z_]\w{0,20}(?:\.[A-Za-z_]\w{0,20})+|none|null|true|false|undefined|str|string", re.IGNORECASE
)
_URL: Final = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_NAME_REACH: Final = 32
_PREFIX_REACH: Final = 1 + max(map(len, _PREFIXES)) + 6  # an escape before it included
_LONG: Final = 20
_JUDGED: Final = 512
_AWS_SECRET: Final = 40


def _assigned(s: str, at: int) -> Span | None:
    """Return the secret that `s[at]`, a `:` or `=`, gives to something."""
    if userinfo := _USERINFO.match(s, at):
        return userinfo.span(1)
    name = _NAME.search(s, max(0, at - _NAME_REACH), at)
    opening = _OPENING.match(s, at)
    if name is None or opening is None:
        return None
    start = opening.end()
    if name["query"] and s[at] == "=":
        return _span(_QUERY.match(s, at + 1))
    quote = opening[1]
    if quote is None:
        return None if name["closed"] else _bare(s, start, name, spaced=start > at + 1)
    value = (_QUOTED if quote == '"' else _QUOTED_INSIDE).match(s, start)
    if value is None or _PLACEHOLDER.fullmatch(value[0]):
        return None
    if name["word"]:
        return value.span()
    return value.span() if (_KEY_LIKE if name["key"] else _RANDOM).fullmatch(value[0]) else None


def _bare(s: str, start: int, name: re.Match[str], *, spaced: bool) -> Span | None:
    """Judge a value without quotes: prose has many a `password: must be long`."""
    value = _BARE.match(s, start)
    if value is None:
        return None
    text = value[1].rstrip(".:")  # judged by its first 512 characters, replaced whole
    span = value.start(1), value.start(1) + len(text)
    if len(value[1]) == _JUDGED and (rest := _BARE_REST.match(s, value.end(1))):
        span = value.start(1), rest.end()
    if not name["word"]:
        return span if (_KEY_LIKE if name["key"] else _RANDOM).fullmatch(text) else None
    if _PLACEHOLDER.fullmatch(text) or _CODE.fullmatch(text) or _URL.match(text):
        return None
    if text[:1] in "/~.[" and (len(text) < _AWS_SECRET or "." in text):
        return None  # a path; the secret keys of AWS may begin with a slash too
    if any(c.isdigit() for c in text):
        return span if len(text) > 3 else None  # noqa: PLR2004
    if len(text) >= _LONG and "." not in text:
        return span
    # Password=hunter; in a connection string, but not password=getpass() in a program.
    followed_by = s[value.end(1) : value.end(1) + 1]
    if name["word"].lower().startswith("pass") and not spaced and followed_by not in {"(", "[", ",", ")"}:
        return span
    return None


def _token(s: str, at: int) -> Span | None:
    """Return the token of a known kind that has its mark, such as the hyphen of `sk-`, at `s[at]`."""
    mark = s[at]
    if mark in "-_":
        prefix = _PREFIX.search(s, max(0, at - _PREFIX_REACH), at + 1)
        if prefix is None:
            return None
        start = prefix.start()
        if s[start] in "nrt" and s[start - 1 : start] == "\\":
            return None  # the letter belongs to the escape before it
        return _span(_PREFIXED.match(s, start))
    if mark == "J":
        return _span(_STARTED.match(s, at - 2))
    if mark == "9":
        return _span(_STARTED.match(s, at - 3))
    if mark == "A":
        return _span(_STARTED.match(s, at))
    if at > 4 and s.startswith("-----BEGIN", at - 5):  # noqa: PLR2004
        return _pem(s, at - 5)
    if found := _BEARER.match(s, at):
        return found.span(1)
    found = _BASIC.match(s, at)
    return found.span(1) if found and _is_basic(found[1]) else None


def _pem(s: str, at: int) -> Span | None:
    begin = _PEM_BEGIN.match(s, at)
    if begin is None:
        return None
    end = _PEM_END.match(s, s.find("-----END ", begin.end(), begin.end() + _PEM_REACH))
    if end is not None and _PEM_BODY.fullmatch(s, begin.end(), end.start()):
        return at, end.end()
    lines = _PEM_LINES.match(s, begin.end())
    return at, lines.end() if lines else begin.end()


def _hex_key(s: str, at: int) -> Span | None:
    found = _HEX_KEY.match(s, at)
    return found.span(1) if found else None


def _is_basic(value: str) -> bool:
    """Say whether `value` is `user:password` in base64: "Basic understanding" is not."""
    try:
        decoded = a2b_base64(value + "=" * (-len(value) % 4)).decode()
    except ValueError:  # no base64, or no text inside
        return False
    return ":" in decoded and decoded.isprintable()


def _span(match: re.Match[str] | None) -> Span | None:
    return match.span() if match else None


def _found(s: str, folded: bytes) -> Iterator[Span]:
    for scan, judge in ((_ASSIGNMENTS, _assigned), (_TOKENS, _token), (_KEYS, _hex_key)):
        done = 0
        for match in scan.finditer(folded):
            if match.start() < done:
                continue  # part of what was just found: without this, sk-sk-sk-… would take quadratic time
            if (span := judge(s, match.start())) is not None and span[0] < span[1]:
                done = span[1]
                yield span


_MAX_PASSES: Final = 8


def may_hold_secret(s: str) -> bool:
    """Say whether a closer look at `s` is needed; False only if it holds no known kind of secret."""
    # One byte a character, so that positions agree; what latin-1 lacks is part of no rule.
    folded = s.encode("latin-1", "replace").translate(_FOLD)
    return bool(_ASSIGNMENTS.search(folded) or _TOKENS.search(folded) or _KEYS.search(folded))


def scrub_secrets(s: str) -> str:
    """Return `s` with every known kind of secret replaced by `[redacted]`.

    Scrubbing twice gives the same as scrubbing once, and JSON stays JSON.
    """
    for _ in range(_MAX_PASSES):  # what is replaced may uncover a boundary before the next
        # One byte a character, so that positions agree; what latin-1 lacks is part of no rule.
        folded = s.encode("latin-1", "replace").translate(_FOLD)
        if not (_ASSIGNMENTS.search(folded) or _TOKENS.search(folded) or _KEYS.search(folded)):
            return s
        spans = sorted(_found(s, folded))
        if not spans:
            return s
        pieces: list[str] = []
        done = 0
        for start, end in spans:
            if start >= done:
                pieces += s[done:start], REDACTED
            done = max(done, end)
        pieces.append(s[done:])
        if (scrubbed := "".join(pieces)) == s:
            return s
        s = scrubbed
    return s
