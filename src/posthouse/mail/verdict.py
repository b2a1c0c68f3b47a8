"""Verdicts: what is decided about a session, a recipient or a message, always with a reason."""

from __future__ import annotations

from dataclasses import dataclass

from posthouse.mail.reply import Reply


@dataclass(frozen=True, slots=True)
class Accept:
    """Go on.

    Attributes:
        reason: Why, for the trace: the name of the rule, connector or route that decided.
    """

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Hold:
    """Accept, keep, and wait for an operator."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """Say no.

    Attributes:
        reply: What the peer reads: generic and stable.
        reason: What the operator reads: exact.
    """

    reply: Reply
    reason: str


@dataclass(frozen=True, slots=True)
class Discard:
    """Accept and throw away, visibly."""

    reason: str


Verdict = Accept | Hold | Refuse | Discard
