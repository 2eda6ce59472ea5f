"""Which run this process trains, and ids that all its ranks derive alike, without talking to each other.

    trace id of a step = H(run id, attempt, "step", number)

The run id is an argument, `OTEL_LLM_RUN_ID`, or agreed once through the store of `torch.distributed` (a key-value
store, no collective), else made from what the launcher gave all ranks, else new. `torchrun` alone calls every job
`none`, which is no id. A run that is started again under its id is a new attempt.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from datetime import timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, NamedTuple

from otel_llm import drops
from otel_llm.ids import SystemIdGenerator
from otel_llm.training.place import Place, find_place, process_group

RUN_VARIABLE: Final = "OTEL_LLM_RUN_ID"
ATTEMPT_VARIABLE: Final = "OTEL_LLM_RUN_ATTEMPT"

_RESTARTS: Final = ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT")
_JOB: Final = ("SLURM_JOB_ID", "LSB_JOBID", "PBS_JOBID", "RAY_JOB_ID")
_NO_ID: Final = frozenset({"", "none"})
_AGREE_S: Final = 5.0
_MAX_ID: Final = 256
_MAX_TOKENS: Final = 10_000
_MAX_NUMBERS: Final = 4096
_KEY: Final = "otel_llm/run/"


# How often a trace began in this process, also by an earlier run of the same name where attempts cannot be counted.
_times: OrderedDict[tuple[str, int, str, int], int] = OrderedDict()
_times_lock = threading.Lock()


class Ids(NamedTuple):
    """The ids of one trace that several ranks share.

    Attributes:
        trace_id: 128 bits.
        root_id: 64 bits: the span of rank 0, of which the spans of other ranks are children.
    """

    trace_id: int
    root_id: int


class RunIdentity:
    """One attempt of one run.

    Attributes:
        run_id: what the run is called.
        attempt: 0 at first, 1 when it was started again once.
        place: where this process is in it.
    """

    def __init__(self, run_id: str, attempt: int, place: Place) -> None:
        self.run_id = run_id
        self.attempt = attempt
        self.place = place

    def ids(self, what: str, number: int = 0) -> Ids:
        """Return the ids of a trace; each call in this process for the same one gives new ids, on all ranks alike.

        Args:
            what: `run`, `step`, `evaluation`.
            number: which of them.
        """
        key = self.run_id, self.attempt, what, number
        with _times_lock:
            times = _times.pop(key, 0)
            _times[key] = times + 1
            if len(_times) > _MAX_NUMBERS:
                _times.popitem(last=False)
        return derived_ids(self.run_id, self.attempt, what, number, times)

    def __repr__(self) -> str:
        return f"<RunIdentity {self.run_id!r} attempt {self.attempt} rank {self.place.rank}/{self.place.world_size}>"


def derived_ids(run_id: str, attempt: int, what: str, number: int, times: int = 0) -> Ids:
    """Return the ids that every rank derives for one trace.

    Args:
        run_id: the run's id.
        attempt: the run's attempt.
        what: `run`, `step`, `evaluation`.
        number: which of them.
        times: how often it began before in the same attempt.
    """
    text = "\0".join((run_id, str(attempt), what, str(number), str(times)))
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=24, person=b"otel_llm").digest()
    return Ids(int.from_bytes(digest[:16], "big") or 1, int.from_bytes(digest[16:], "big") or 1)


def identify(
    run_id: str | None = None,
    attempt: int | None = None,
    *,
    place: Place | None = None,
    directory: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> RunIdentity:
    """Find out which run this is. Waits for other ranks for 5 seconds at most; never raises.

    Args:
        run_id: default: `OTEL_LLM_RUN_ID`, what ranks agree on, or a new id.
        attempt: default: `OTEL_LLM_RUN_ATTEMPT`, else how often the run was started before, as far as the launcher
            and `directory` know.
        place: default: found.
        directory: of the local store, where attempts of named runs are counted.
        environ: default: the process's own.
    """
    environ = os.environ if environ is None else environ
    place = find_place(environ=environ) if place is None else place
    named = (run_id or environ.get(RUN_VARIABLE, "")).strip()[:_MAX_ID]
    if attempt is None:
        given = environ.get(ATTEMPT_VARIABLE, "").strip()
        attempt = int(given) if given.isdigit() else None
    nth = _next_identity()
    launch = _launch(place, environ, nth)
    agreed = _agreed(place, named, nth, attempt, directory, environ)
    if agreed is not None:
        return RunIdentity(*agreed, place)
    if not named and launch is not None:
        named = f"run-{launch}"
    if not named:
        return RunIdentity(new_run_id(), attempt or 0, place)
    if attempt is None:
        attempt = _attempt(named, launch or new_run_id(), directory, environ)
    return RunIdentity(named, attempt, place)


def new_run_id() -> str:
    """Return an id that nobody else has."""
    return f"run-{SystemIdGenerator().generate_span_id():016x}"


def _launch(place: Place, environ: Mapping[str, str], nth: int) -> str | None:
    """Return what this launch of the job is called, from what all its ranks see alike; None for a single process."""
    if place.world_size == 1:
        return None
    parts = [
        str(nth),
        str(_restarts(environ)),
        environ.get("MASTER_ADDR", ""),
        environ.get("MASTER_PORT", ""),
    ]
    job = environ.get("TORCHELASTIC_RUN_ID", "").strip()
    if job.lower() not in _NO_ID:
        parts.append(job)
    parts += [environ[name] for name in _JOB if environ.get(name)]
    if environ.get("LOCAL_WORLD_SIZE", "") == str(place.world_size):  # one host: its launcher is our parent
        parts += [place.host, str(os.getppid()), _started(os.getppid())]
    return blake2b("\0".join(parts).encode(), digest_size=8, person=b"otel_llm").hexdigest()


def _started(pid: int) -> str:
    """Return when a process started, where the system tells: process ids come back."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _agreed(
    place: Place,
    named: str,
    nth: int,
    attempt: int | None,
    directory: Path | None,
    environ: Mapping[str, str],
) -> tuple[str, int] | None:
    """Agree with the other ranks: rank 0 says, through the store of `torch.distributed`; None where there is none."""
    group = process_group() if place.world_size > 1 else None
    store = _store_of(group)
    if store is None:
        return None
    try:
        key = f"{_KEY}{nth}"
        if place.rank == 0:
            run_id = named or new_run_id()
            if attempt is None:
                attempt = _attempt(run_id, new_run_id(), directory, environ) if named else 0
            store.set(key, f"{attempt}\n{run_id}")
            return run_id, attempt
        store.wait([key], timedelta(seconds=_AGREE_S))
        number, _, run_id = store.get(key).decode().partition("\n")
        return run_id, int(number)
    except Exception:
        drops.warn_once("run-agreement", "ranks could not agree on a run id; set %s", RUN_VARIABLE)
        return None


_identities = itertools.count(1)


def _next_identity() -> int:
    # Ranks start their runs in the same order: the n-th of each is the same run.
    return next(_identities)


def _store_of(group: Any) -> Any:
    try:
        from_group = getattr(getattr(group, "distributed_c10d", None), "_get_default_store", None)
        return None if from_group is None else from_group()
    except Exception:
        return None


def _restarts(environ: Mapping[str, str]) -> int:
    for name in _RESTARTS:
        if environ.get(name, "").isdigit():
            return int(environ[name])
    return 0


def _attempt(run_id: str, launch: str, directory: Path | None, environ: Mapping[str, str]) -> int:
    """Return how many launches of a run came before this one.

    Each adds its name to a small file of the store, all its ranks the same one: its place in the file is its number.
    """
    if directory is None:
        return _restarts(environ)
    path = directory / "runs" / f"{blake2b(run_id.encode(), digest_size=12).hexdigest()}.attempts"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        known = _tokens(path)
        if launch not in known:
            with path.open("a", encoding="utf-8") as file:
                file.write(f"{launch}\n")  # one short write at the end: atomic among processes of a host
            known = _tokens(path)
        return known.index(launch)
    except (OSError, ValueError):
        drops.warn_once("run-attempt", "attempts of the run cannot be counted: %s is not writable", path)
        return _restarts(environ)


def _tokens(path: Path) -> list[str]:
    if not path.exists():
        return []
    return list(dict.fromkeys(path.read_text(encoding="utf-8").splitlines()[:_MAX_TOKENS]))
