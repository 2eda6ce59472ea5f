# ruff: noqa: RUF001 (punctuation of other scripts)
"""A small analyser of texts: how long, how varied, how repetitive, whether JSON, whether a refusal.

Works for any language that writes words or ideographs. Takes under 200 µs for 5,000 characters of English (five times
as long for ideographs), and is bounded: of longer texts it looks at the beginning and the end only. Imports nothing of
ours.

    otel_llm.add_analyser(text_features)
"""

from __future__ import annotations

import re
from typing import Final

import orjson

MAX_CHARACTERS: Final = 32_768
"""Longer texts are judged by their first and last half of this."""

_WORD: Final = re.compile(r"[^\W\u3040-\u30ff\u3400-\u9fff]+|[\u3040-\u30ff\u3400-\u9fff]")
_ASCII_WORD: Final = re.compile(r"\w+", re.ASCII)
_ENDS: Final = (". ", ".\n", "! ", "!\n", "? ", "?\n", "… ", "…\n")
_WIDE_ENDS: Final = ("。", "！", "？", "؟", "। ")
_SHORTEST_PASSAGE: Final = 8  # words
_REFUSAL_HEAD: Final = 2_000
_MAX_JSON: Final = 1 << 17
_FENCE: Final = re.compile(r"\A```\w*\s*\n(.*)\n\s*```\Z", re.DOTALL)
_REFUSALS: Final = (
    "i cannot", "i can't", "i can’t", "i'm sorry", "i’m sorry", "i am sorry", "i apologize", "i'm unable", "i am unable",
    "i'm not able to", "i won't", "i will not be able", "as an ai", "against my guidelines", "cannot assist",
    "can't assist", "can't help with", "lo siento", "no puedo", "je suis désolé", "je ne peux pas", "tut mir leid",
    "ich kann nicht", "ich kann leider", "não posso", "desculpe", "mi dispiace", "non posso", "не могу", "извините",
    "抱歉", "对不起", "无法", "不能提供", "申し訳", "できません", "죄송", "할 수 없",
)  # fmt: skip


def text_features(text: str, role: str = "output") -> dict[str, int | float | bool]:  # noqa: ARG001 (an analyser's)
    """Return figures about a text.

    Args:
        text: any text.
        role: `input` or `output`; both are judged alike.

    Returns:
        By name: `words` (ideographs count one each), `sentences`, `questions`, `distinct_word_ratio` (0 to 1, from
        different words in lower case; 0 where there is none), `repetition` (0 to 1: about how long the longest
        passage is that occurs a second time, overlaps included, as a share of the words; passages below 8 words do not
        count), `json` (whether it is a JSON object or array, fenced or not), `refusal_markers` (phrases such as
        "I cannot" near the beginning), and `partial`, true where the text was so long that its middle was left out.
    """
    partial = len(text) > MAX_CHARACTERS
    whole = text
    if partial:
        text = text[: MAX_CHARACTERS // 2] + text[-MAX_CHARACTERS // 2 :]
    lowered = text.lower()
    plain = text.isascii()
    words = (_ASCII_WORD if plain else _WORD).findall(lowered)
    features: dict[str, int | float | bool] = {
        "words": len(words),
        "sentences": _sentences(text, plain=plain),
        "questions": text.count("?") if plain else sum(map(text.count, "?？؟")),
        "distinct_word_ratio": round(len(set(words)) / len(words), 4) if words else 0.0,
        "repetition": _repetition(words),
        "json": _is_json(whole),
        "refusal_markers": sum(map(lowered[:_REFUSAL_HEAD].count, _REFUSALS)),
    }
    if partial:
        features["partial"] = True
    return features


def _sentences(text: str, *, plain: bool) -> int:
    """Count what ends like a sentence; `str.count` is four times faster here than a regular expression."""
    n = sum(map(text.count, _ENDS))
    if not plain:
        n += sum(map(text.count, _WIDE_ENDS))
    return n + text.endswith((".", "!", "?", "…"))


def _repetition(words: list[str]) -> float:
    """Return the length of the longest repeated passage over that of the text.

    In one pass: each word is compared with the one that followed where the words before it stood earlier; where they
    differ, a new passage begins at the last place of the word. So the first words of a passage may not be counted.
    """
    after: dict[str, int] = {}  # word -> the place after its last one
    longest = length = earlier = place = 0
    for word in words:
        if length and words[earlier] == word:
            length += 1
            earlier += 1
            if length > longest:  # noqa: PLR1730 (`max` is a call)
                longest = length
        else:
            length = 0
            if (known := after.get(word)) is not None:
                earlier, length = known, 1
        place += 1  # noqa: SIM113 (`enumerate` makes a tuple a word)
        after[word] = place
    return round(longest / len(words), 4) if longest >= _SHORTEST_PASSAGE else 0.0


def _is_json(text: str) -> bool:
    text = text.strip()
    if fenced := _FENCE.match(text) if text.startswith("```") else None:
        text = fenced[1].strip()
    if not text.startswith(("{", "[")) or len(text) > _MAX_JSON:
        return False
    try:
        orjson.loads(text)
    except ValueError:
        return False
    return True
