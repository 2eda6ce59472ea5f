"""Who may send: everybody on this machine, or who has the token."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from typing import Final

_SCHEME: Final = "bearer "


class Access:
    """Checks bearer tokens.

    Args:
        token: the token; None: everybody may.
    """

    def __init__(self, token: str | None) -> None:
        self._token = None if token is None else token.encode()

    def allows(self, authorization: str | bytes | None) -> bool:
        """Say whether a request may come, by its `Authorization` header; takes the same time for every wrong token."""
        if self._token is None:
            return True
        if authorization is None:
            return False
        # Header values have been read as Latin-1, which gives back the bytes that came.
        given = (
            authorization if isinstance(authorization, bytes) else authorization.encode("latin-1", "replace")
        )
        scheme, token = given[: len(_SCHEME)], given[len(_SCHEME) :].strip()
        return scheme.lower() == _SCHEME.encode() and hmac.compare_digest(token, self._token)


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach an address.

    Args:
        host: a name or an address; what cannot be resolved is not.
    """
    try:
        found = socket.getaddrinfo(host or None, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    # An address may carry a zone: fe80::1%eth0.
    return bool(host) and all(
        ipaddress.ip_address(str(address[4][0]).partition("%")[0]).is_loopback for address in found
    )
