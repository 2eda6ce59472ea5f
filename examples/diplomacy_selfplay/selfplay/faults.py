"""What can go wrong in such a game, on purpose: each of these has cost somebody an afternoon.

Only against the loopback server.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Final

from otel_llm.loopback import LoopbackServer, plans
from selfplay import prompts
from selfplay.clients import Clients, Endpoint, OpenAIClient
from selfplay.replies import Seen

RATE_LIMITS: Final = "rate_limits"
DEAD_CLIENT: Final = "dead_client"
SWALLOWED: Final = "swallowed"
INVALID_ORDERS: Final = "invalid_orders"
KEY_IN_MODEL: Final = "key_in_model"

FAULTS: Final = {
    RATE_LIMITS: "every 7th of the first 700 requests to a path is refused with status 429",
    DEAD_CLIENT: "the client of TURKEY is called with an argument it does not know, before anything is sent",
    SWALLOWED: "ITALY never answers in JSON when it is to write its negotiation diary",
    INVALID_ORDERS: "RUSSIA gives two impossible orders in each movement phase",
    KEY_IN_MODEL: "somebody wrote an API key into the model id of GERMANY",
}
"""Names, and what happens."""

DEAD_POWER: Final = "TURKEY"
UNREADABLE_POWER: Final = "ITALY"
CHEATING_POWER: Final = "RUSSIA"
LEAKING_POWER: Final = "GERMANY"

LEAKED_KEY: Final = "sk-proj-" + hashlib.sha256(b"no key of anybody's").hexdigest()[:48]
IMPOSSIBLE: Final = ("A MOS - LON", "F SEV S A PAR - MOS")

_EVERY: Final = 7
_REQUESTS: Final = 700
# Each provider's requests are counted by themselves. The longer path first: it contains the shorter one.
_PATHS: Final = ("/messages", "/v1/chat/completions", "/chat/completions")


def misplay(faults: Iterable[str], seen: Seen, answer: str) -> str:
    """Return what the model says in place of its answer."""
    if SWALLOWED in faults and (seen.power, seen.task) == (UNREADABLE_POWER, prompts.NEGOTIATION_DIARY):
        return "I would rather not put that in writing."
    if INVALID_ORDERS in faults and (seen.power, seen.task) == (CHEATING_POWER, prompts.ORDER):
        if not seen.phase.endswith("M"):
            return answer
        found = json.loads(answer)
        return json.dumps({**found, "orders": [*found["orders"][2:], *IMPOSSIBLE]})
    return answer


def models(faults: Iterable[str], by_power: dict[str, str]) -> dict[str, str]:
    """Return the models' ids as somebody wrote them."""
    if KEY_IN_MODEL not in faults:
        return by_power
    return {**by_power, LEAKING_POWER: f"{by_power[LEAKING_POWER]}@{LEAKED_KEY}"}


def break_client(faults: Iterable[str], clients: Clients, endpoint: Endpoint, kinds: dict[str, str]) -> None:
    """Have one power call a client that cannot work; changes `kinds`, the kind of client by power."""
    if DEAD_CLIENT in faults:
        kinds[DEAD_POWER] = "dead"
        clients.put("dead", OpenAIClient(endpoint, response_fromat={"type": "json_object"}))


def plan(faults: Iterable[str], server: LoopbackServer) -> None:
    """Tell the server which requests to refuse."""
    if RATE_LIMITS in faults:
        refuse, fine = plans.rate_limited(retry_after=0.01), plans.answer()
        for path in _PATHS:
            server.script(
                *(refuse if n % _EVERY == _EVERY - 1 else fine for n in range(_REQUESTS)), path=path
            )
