"""The one error that users see."""

from __future__ import annotations


class LoggingPlanError(ValueError):
    """A logging plan cannot be used; the text says where, and what is accepted."""
