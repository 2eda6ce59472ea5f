"""Figures of rewards, generations and memory: plain arithmetic over what is given."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from statistics import fmean, pstdev
from typing import Any, Final

from otel_llm.numeric import as_number
from otel_llm.trajectory import read_messages, tag_adherence_rate

_GB: Final = 1 << 30
_NGRAM: Final = 3
_REASONING: Final = re.compile(r"<(think|thinking|reasoning)>(.*?)</\1>", re.DOTALL)
_ANSWER: Final = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


def numbers_of(values: Any) -> list[int | float]:
    """Return the numbers among values; one number alone is a list of it."""
    if (alone := as_number(values)) is not None:
        return [alone]
    if hasattr(values, "tolist") and not hasattr(values, "device"):  # an array of NumPy's, all in memory
        values = values.tolist()
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        return []
    return [number for value in values if (number := as_number(value)) is not None]


def spread(values: Sequence[int | float]) -> dict[str, float]:
    """Return `mean`, and of more than one value `std` (of the population), `min` and `max`; nothing of none."""
    if not values:
        return {}
    if len(values) == 1:
        return {"mean": values[0]}
    return {"mean": fmean(values), "std": pstdev(values), "min": min(values), "max": max(values)}


def text_of_generation(generation: Any) -> str:
    """Return what a model said: a text, or the assistant's messages of a conversation."""
    if isinstance(generation, str):
        return generation
    return "\n".join(m.text for m in read_messages(generation) if m.role == "assistant")


def reasoning_of(text: str) -> str | None:
    """Return what stands between reasoning tags; None without them."""
    found = _REASONING.search(text)
    return None if found is None else found[2].strip()


def answer_of(text: str) -> str:
    """Return what stands between the last answer tags; without them all but the reasoning."""
    found = _ANSWER.findall(text)
    return (found[-1] if found else _REASONING.sub("", text)).strip()


def generation_figures(texts: Sequence[str]) -> dict[str, float]:
    """Return figures of generations that cost little: how many, lengths in characters, how many are empty."""
    figures: dict[str, float] = {"count": len(texts)}
    figures |= {f"length/{name}": value for name, value in spread([len(text) for text in texts]).items()}
    if texts:
        figures["empty"] = sum(not text.strip() for text in texts) / len(texts)
    return figures


def expensive_generation_figures(texts: Sequence[str], tags: Iterable[str]) -> dict[str, float]:
    """Return figures that look at every word: repetition, distinctness, words, adherence to tags. Shares are 0 to 1."""
    if not texts:
        return {}
    words = [text.split() for text in texts]
    figures: dict[str, float] = {"words/mean": fmean(map(len, words)), "unique": len(set(texts)) / len(texts)}
    grams = [[tuple(w[i : i + _NGRAM]) for i in range(len(w) - _NGRAM + 1)] for w in words]
    repeated = [1 - len(set(one)) / len(one) for one in grams if one]
    if repeated:
        figures["repetition"] = fmean(repeated)
    for tag, rate in tag_adherence_rate(texts, tags).items():
        if rate is not None:
            figures[f"tags/{tag}"] = rate
    return figures


def memory_figures() -> dict[str, float]:
    """Return memory of the process and of its GPU, in GB of 2**30 bytes; what cannot be had is left out.

    PyTorch is asked only where the program has imported it and uses its GPU; its counters are the host's own, so
    nothing waits for the device.
    """
    figures: dict[str, float] = {}
    if (resident := _resident_bytes()) is not None:
        figures["memory_rss_gb"] = resident / _GB
    return figures | gpu_memory()


def gpu_memory() -> dict[str, float]:
    """Return the part of `memory_figures` that is about the GPU."""
    torch = sys.modules.get("torch")
    try:
        return {} if torch is None else _gpu(torch)
    except Exception:  # a build without CUDA, a stand-in
        return {}


def _gpu(torch: Any) -> dict[str, float]:
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return {
            "gpu_memory_allocated_gb": torch.cuda.memory_allocated() / _GB,
            "gpu_memory_reserved_gb": torch.cuda.memory_reserved() / _GB,
            "gpu_memory_peak_gb": torch.cuda.max_memory_allocated() / _GB,
        }
    if torch.backends.mps.is_available():
        return {
            "gpu_memory_allocated_gb": torch.mps.current_allocated_memory() / _GB,
            "gpu_memory_reserved_gb": torch.mps.driver_allocated_memory() / _GB,
        }
    return {}


def _resident_bytes() -> int | None:
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 (a path object would cost more than the read)
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        pass
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # the peak: better than nothing
    return peak if sys.platform == "darwin" else peak * 1024
