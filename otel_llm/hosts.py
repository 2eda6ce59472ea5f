"""Which hosts are near: loopback, private networks, and what the program allowed.

`traceparent` and baggage go to near hosts only, never to a public provider unasked; and a call to a near host
is not priced, since a local server may call its model anything. Imports the standard library alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

_MAX_CACHED: Final = 4096
_NEAR_SUFFIXES: Final = (".local", ".localhost", ".internal", ".lan", ".svc", ".cluster.local", ".home.arpa")


def is_private(host: str) -> bool:
    """Say whether `host` is on this machine or on a private network, by its name alone (no look-up).

    Names without a dot (`localhost`, a container, a service of the same namespace) and the suffixes that are
    reserved or customary for private networks count as private.
    """
    host = host.strip("[]").rstrip(".").lower()
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return bool(host) and ("." not in host or host.endswith(_NEAR_SUFFIXES))
    return address.is_private or address.is_loopback or address.is_link_local


class NearHosts:
    """`is_private`, widened by the hosts that were allowed, with its answers remembered.

    Args:
        allowed: host names, or `*.example.com` for all names below a domain.
    """

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        names = [name.lower() for name in allowed]
        self._exact = frozenset(name for name in names if not name.startswith("*."))
        self._below = tuple(name[1:] for name in names if name.startswith("*."))
        self._known: dict[str, bool] = {}

    def __contains__(self, host: object) -> bool:
        if (known := self._known.get(host)) is not None:  # type: ignore[call-overload]
            return bool(known)
        name = str(host).lower()
        near = is_private(name) or name in self._exact or (bool(self._below) and name.endswith(self._below))
        if len(self._known) >= _MAX_CACHED:
            self._known.clear()
        self._known[str(host)] = near
        return near
